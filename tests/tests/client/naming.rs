//! Discovery.

use std::fs;

use nacrite_client::{Client, Error, Instance, Settings};
use serde_json::Value;

use super::*;

const FAILOVER_SWITCH: &str = "00-00---000-VIPSRV_FAILOVER_SWITCH-000---00-00";

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_sees_who_registers_and_who_leaves() {
    let (_folder, server) = server();
    let (one, two) = (client(server.port()).await, client(server.port()).await);
    let mut seen = two.naming().subscribe(GROUP, "orders").await.unwrap();
    let (a, b) = (Instance::new("10.0.0.1", 80), Instance::new("10.0.0.2", 80));
    one.naming()
        .register(GROUP, "orders", a.clone())
        .await
        .unwrap();
    until(&mut seen, "the first", |s| addresses(s) == ["10.0.0.1:80"]).await;
    one.naming()
        .register_all(GROUP, "orders", vec![a.clone(), b.clone()])
        .await
        .unwrap();
    until(&mut seen, "both", |s| addresses(s).len() == 2).await;
    // Of a batch one goes, the other stays.
    one.naming().deregister(GROUP, "orders", &a).await.unwrap();
    until(&mut seen, "the second alone", |s| {
        addresses(s) == ["10.0.0.2:80"]
    })
    .await;
    one.naming().deregister(GROUP, "orders", &b).await.unwrap();
    until(&mut seen, "an empty list", |s| addresses(s).is_empty()).await;
    one.naming().register(GROUP, "orders", a).await.unwrap();
    until(&mut seen, "it is back", |s| addresses(s).len() == 1).await;
    let chosen = two.naming().select_one(GROUP, "orders").await.unwrap();
    assert_eq!(chosen.address(), "10.0.0.1:80");
    assert_eq!(
        two.naming().services(GROUP, 1, 10).await.unwrap(),
        (1, vec!["orders".into()])
    );
    drop(one);
    until(&mut seen, "its client ended", |s| addresses(s).is_empty()).await;
    assert!(matches!(
        two.naming().select_one(GROUP, "orders").await,
        Err(Error::NoInstance { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_an_error_and_is_not_tried_again() {
    let (_folder, server) = server();
    let client = client(server.port()).await;
    let bad = Instance::new("not an address;", 80);
    let refused = client.naming().register(GROUP, "orders", bad).await;
    assert_eq!(refused.unwrap_err().code(), Some(400));
    let one = Instance::new("10.0.0.1", 80);
    client
        .naming()
        .register(GROUP, "orders", one)
        .await
        .unwrap();
    let state = client.naming().query(GROUP, "orders", "", false).await;
    assert_eq!(addresses(&state.unwrap()), ["10.0.0.1:80"]);
    let name = client.naming().subscribe(GROUP, "").await;
    assert_eq!(name.unwrap_err().code(), Some(400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persistent_instance_outlives_its_client() {
    let (_folder, server) = server();
    let (one, two) = (client(server.port()).await, client(server.port()).await);
    let mut instance = Instance::new("10.0.0.1", 80);
    instance.ephemeral = false;
    one.naming()
        .register(GROUP, "orders", instance.clone())
        .await
        .unwrap();
    drop(one);
    let known = async || {
        let state = two.naming().query(GROUP, "orders", "", false).await;
        addresses(&state.unwrap()).len()
    };
    assert_eq!(known().await, 1);
    two.naming()
        .deregister(GROUP, "orders", &instance)
        .await
        .unwrap();
    assert_eq!(known().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_server_everything_is_said_again() {
    let (_folder, setup) = setup();
    let first = setup.start();
    let (one, two) = (client(first.port()).await, client(first.port()).await);
    let mut seen = two.naming().subscribe(GROUP, "orders").await.unwrap();
    let instance = Instance::new("10.0.0.1", 80);
    one.naming()
        .register(GROUP, "orders", instance.clone())
        .await
        .unwrap();
    until(&mut seen, "before", |s| addresses(s).len() == 1).await;
    first.kill();
    eventually("the loss is seen", async || !one.naming().is_connected()).await;
    let _second = setup.start();
    eventually("it is published again", async || {
        let state = one.naming().query(GROUP, "orders", "", false).await;
        state.is_ok_and(|s| addresses(&s).len() == 1)
    })
    .await;
    // The subscription is there again too: a change comes over it.
    let more = vec![instance, Instance::new("10.0.0.2", 80)];
    one.naming()
        .register_all(GROUP, "orders", more)
        .await
        .unwrap();
    until(&mut seen, "a change after", |s| addresses(s).len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_does_not_know_is_made_anew() {
    let (_folder, server) = server();
    let client = client(server.port()).await;
    let one = Instance::new("10.0.0.1", 80);
    client
        .naming()
        .register(GROUP, "orders", one)
        .await
        .unwrap();
    client.naming().reconnect();
    eventually("it is published again", async || {
        let state = client.naming().query(GROUP, "orders", "", false).await;
        client.naming().is_connected() && state.is_ok_and(|s| addresses(&s).len() == 1)
    })
    .await;
}

/// Incident row 15: weights and policies that are changed on the server must reach the caller.
#[tokio::test(flavor = "multi_thread")]
async fn weight_and_policy_are_followed_within_one_push() {
    let (_folder, server) = server();
    let (one, two) = (client(server.port()).await, client(server.port()).await);
    let both = vec![Instance::new("10.0.0.1", 80), Instance::new("10.0.0.2", 80)];
    one.naming()
        .register_all(GROUP, "orders", both)
        .await
        .unwrap();
    let mut seen = two.naming().subscribe(GROUP, "orders").await.unwrap();
    until(&mut seen, "both", |s| addresses(s).len() == 2).await;
    let balancing = two.balancing();
    let rule = async || balancing.policy("", "orders").await.unwrap().rule;
    assert_eq!(rule().await, "zone-avoidance");

    let set = server.ask(
        "PUT",
        "/nacrite/v1/policies?serviceName=orders",
        "policy=%7B%22rule%22%3A%22nacos-weighted%22%7D",
    );
    assert_eq!(set.status, 200, "{}", set.text());
    let pushed = seen.changed().await.expect("the subscription stands");
    let policy = pushed
        .policy
        .as_ref()
        .expect("the very next push has the policy");
    assert_eq!(policy.policy.as_ref().unwrap()["rule"], "nacos-weighted");
    eventually("the rule is in force", async || {
        rule().await == "nacos-weighted"
    })
    .await;

    let changed = server.ask(
        "PUT",
        "/nacos/v2/ns/instance",
        "serviceName=orders&ip=10.0.0.1&port=80&weight=0&ephemeral=true",
    );
    assert_eq!(changed.status, 200, "{}", changed.text());
    let pushed = seen.changed().await.expect("the subscription stands");
    let weights: Vec<f64> = pushed.info.instances().iter().map(|i| i.weight).collect();
    assert_eq!(
        weights.iter().sum::<f64>(),
        1.0,
        "the very next push has the weight"
    );
    assert!(pushed.policy.is_some(), "and still the policy");
    eventually("the weight is in force", async || {
        let all = balancing.candidates("", "orders").await.unwrap();
        all.iter().map(|c| c.weight).sum::<f64>() == 1.0
    })
    .await;
    for _ in 0..200 {
        let choice = balancing
            .choose("", "orders", Default::default())
            .await
            .unwrap();
        assert_eq!(choice.address(), "10.0.0.2:80");
    }

    // The namespace's policy is in force where the service has none, and a rollback is a push like any other.
    let revision: Value = serde_json::from_slice(&set.body).unwrap();
    let revision = revision["data"]["revision"].as_u64().unwrap();
    let removed = server.ask("DELETE", "/nacrite/v1/policies?serviceName=orders", "");
    assert_eq!(removed.status, 200, "{}", removed.text());
    until(&mut seen, "no policy", |s| s.policy.is_none()).await;
    server.ask(
        "PUT",
        "/nacrite/v1/policies",
        "policy=%7B%22rule%22%3A%22maglev%22%7D",
    );
    eventually("the namespace's is in force", async || {
        rule().await == "maglev"
    })
    .await;
    let back = format!("/nacrite/v1/policies/rollback?serviceName=orders&revision={revision}");
    let back = server.ask("POST", &back, "");
    assert_eq!(back.status, 200, "{}", back.text());
    eventually("the old one is back", async || {
        rule().await == "nacos-weighted"
    })
    .await;
    let history = server.ask("GET", "/nacrite/v1/policies/history?serviceName=orders", "");
    let history: Value = serde_json::from_slice(&history.body).unwrap();
    assert_eq!(history["data"]["totalCount"], 3, "{history}");

    // One set here goes before the server's; a bad one changes nothing.
    let own = |rule: &str| Some(nacrite_core::balance::Policy::of(rule));
    balancing
        .set_policy("", "orders", own("random"))
        .await
        .unwrap();
    assert_eq!(rule().await, "random");
    let bad = balancing.set_policy("", "orders", own("rundom")).await;
    assert!(
        bad.unwrap_err()
            .to_string()
            .contains("the nearest names are random")
    );
    balancing.set_policy("", "orders", None).await.unwrap();
    assert_eq!(rule().await, "nacos-weighted");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_do_not_ask_get_no_policy() {
    let (_folder, server) = server();
    server.ask(
        "PUT",
        "/nacrite/v1/policies",
        "policy=%7B%22rule%22%3A%22maglev%22%7D",
    );
    let mut plain = settings(&[server.port()]);
    plain.policies = false;
    let client = Client::start(plain).await.unwrap();
    let one = Instance::new("10.0.0.1", 80);
    client
        .naming()
        .register(GROUP, "orders", one)
        .await
        .unwrap();
    let state = client
        .naming()
        .query(GROUP, "orders", "", false)
        .await
        .unwrap();
    assert_eq!(addresses(&state).len(), 1);
    assert_eq!(state.policy, None);
    let shown = server.ask(
        "GET",
        "/nacrite/v1/policies/effective?serviceName=orders",
        "",
    );
    assert!(
        shown.text().contains(r#""rule":"maglev""#),
        "{}",
        shown.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_and_the_failover_folder_serve_without_a_server() {
    let (_folder, server) = server();
    let cache = tempfile::tempdir().unwrap();
    let cached = |load| Settings {
        cache: Some(cache.path().to_owned()),
        load_cache_at_start: load,
        request_timeout: Duration::from_millis(500),
        ..settings(&[server.port()])
    };
    let client = Client::start(cached(false)).await.unwrap();
    let one = Instance::new("10.0.0.1", 80);
    client
        .naming()
        .register(GROUP, "orders", one)
        .await
        .unwrap();
    let mut seen = client.naming().subscribe(GROUP, "orders").await.unwrap();
    until(&mut seen, "it", |s| addresses(s).len() == 1).await;
    let folder = cache.path().join("naming/public");
    let copy = folder.join("DEFAULT_GROUP%40%40orders");
    eventually("a copy is on disk", async || copy.exists()).await;

    // The switch turns the folder on while the server is there, and off again.
    let failover = folder.join("failover");
    fs::create_dir_all(&failover).unwrap();
    let text = fs::read_to_string(&copy)
        .unwrap()
        .replace("10.0.0.1", "10.9.9.9");
    fs::write(failover.join("DEFAULT_GROUP%40%40orders"), text).unwrap();
    fs::write(failover.join(FAILOVER_SWITCH), "1").unwrap();
    until(&mut seen, "the folder's", |s| {
        addresses(s) == ["10.9.9.9:80"]
    })
    .await;
    fs::write(failover.join(FAILOVER_SWITCH), "0").unwrap();
    until(&mut seen, "the server's", |s| {
        addresses(s) == ["10.0.0.1:80"]
    })
    .await;

    drop(client);
    let gone = cached(true);
    let without = cached(false);
    server.kill();
    let client = Client::start(gone).await.unwrap();
    let mut served = client.naming().subscribe(GROUP, "orders").await.unwrap();
    assert_eq!(addresses(&served.state()), ["10.0.0.1:80"]);
    let client = Client::start(without).await.unwrap();
    assert!(client.naming().subscribe(GROUP, "orders").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_protection_keeps_the_last_list() {
    let (_folder, server) = server();
    let one = client(server.port()).await;
    let protected = Settings {
        empty_protection: true,
        ..settings(&[server.port()])
    };
    let protected = Client::start(protected).await.unwrap();
    let plain = client(server.port()).await;
    let instance = Instance::new("10.0.0.1", 80);
    one.naming()
        .register(GROUP, "orders", instance.clone())
        .await
        .unwrap();
    let mut kept = protected.naming().subscribe(GROUP, "orders").await.unwrap();
    until(&mut kept, "it", |s| addresses(s).len() == 1).await;
    let mut seen = plain.naming().subscribe(GROUP, "orders").await.unwrap();
    one.naming()
        .deregister(GROUP, "orders", &instance)
        .await
        .unwrap();
    until(&mut seen, "the empty list", |s| addresses(s).is_empty()).await;
    // The same wave went to both; what a later one brings is taken again.
    let other = Instance::new("10.0.0.2", 80);
    assert_eq!(addresses(&kept.state()), ["10.0.0.1:80"]);
    one.naming().register(GROUP, "orders", other).await.unwrap();
    until(&mut kept, "the next list", |s| {
        addresses(s) == ["10.0.0.2:80"]
    })
    .await;
}
