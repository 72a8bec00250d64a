//! The protocol of the 1.x line: HTTP, heart beats, long polls, and pushes over UDP.

use std::time::Instant;

use nacrite_client::{Client, Instance, Protocol, Settings};

use super::*;

fn over_http(port: u16) -> Settings {
    Settings {
        protocol: Protocol::Http,
        // Where pushes go: this machine, whatever its address is.
        ip: Some("127.0.0.1".into()),
        beat_interval: Duration::from_millis(500),
        ..settings(&[port])
    }
}

async fn http_client(port: u16) -> Client {
    Client::start(over_http(port)).await.expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_pushed_over_udp() {
    let (_folder, server) = server();
    let (one, two) = (
        http_client(server.port()).await,
        http_client(server.port()).await,
    );
    let instance = |n: u8| Instance::new(format!("10.0.0.{n}"), 80);
    one.naming()
        .register(GROUP, "orders", instance(1))
        .await
        .unwrap();
    let mut seen = two.naming().subscribe(GROUP, "orders").await.unwrap();
    until(&mut seen, "the first", |s| addresses(s) == ["10.0.0.1:80"]).await;
    // Past the first question again, the next is 10 s away: what comes sooner was pushed.
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    let changed = Instant::now();
    let both = vec![instance(1), instance(2)];
    one.naming()
        .register_all(GROUP, "orders", both)
        .await
        .unwrap();
    until(&mut seen, "both", |s| addresses(s).len() == 2).await;
    assert!(
        changed.elapsed() < Duration::from_secs(6),
        "it was not pushed"
    );
    one.naming()
        .deregister(GROUP, "orders", &instance(1))
        .await
        .unwrap();
    until(&mut seen, "the second alone", |s| {
        addresses(s) == ["10.0.0.2:80"]
    })
    .await;
    assert_eq!(
        two.naming().services(GROUP, 1, 10).await.unwrap(),
        (1, vec!["orders".into()])
    );
    one.naming()
        .deregister(GROUP, "orders", &instance(2))
        .await
        .unwrap();
    until(&mut seen, "an empty list", |s| addresses(s).is_empty()).await;
    let mut lasting = instance(3);
    lasting.ephemeral = false;
    one.naming()
        .register(GROUP, "stock", lasting.clone())
        .await
        .unwrap();
    let stock = two.naming().query(GROUP, "stock", "", false).await.unwrap();
    assert!(!stock.info.instances()[0].ephemeral, "{stock:?}");
    one.naming()
        .deregister(GROUP, "stock", &lasting)
        .await
        .unwrap();
    // A server that has policies is asked for them, with each question.
    server.ask(
        "PUT",
        "/nacrite/v1/policies",
        "policy=%7B%22rule%22%3A%22maglev%22%7D",
    );
    until(&mut seen, "the policy", |s| s.policy.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beaten_for_lives_and_what_is_not_goes() {
    let (_folder, setup) = setup();
    let first = setup.start();
    let (one, two) = (
        http_client(first.port()).await,
        http_client(first.port()).await,
    );
    let mut instance = Instance::new("10.0.0.1", 80);
    for (name, millis) in [
        ("preserved.heart.beat.interval", "1000"),
        ("preserved.heart.beat.timeout", "2000"),
        ("preserved.ip.delete.timeout", "3000"),
    ] {
        instance.metadata.insert(name.into(), millis.into());
    }
    one.naming()
        .register(GROUP, "orders", instance)
        .await
        .unwrap();
    let healthy = async || {
        let state = two.naming().query(GROUP, "orders", "", true).await;
        state.is_ok_and(|s| addresses(&s).len() == 1)
    };
    let until = Instant::now() + Duration::from_secs(9);
    while Instant::now() < until {
        assert!(healthy().await, "it is beaten for");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // A server that lost it learns of it from the next beat.
    first.kill();
    let _second = setup.start();
    eventually("it is back", healthy).await;
    drop(one);
    eventually("it is gone", async || {
        let state = two.naming().query(GROUP, "orders", "", false).await;
        state.is_ok_and(|s| addresses(&s).is_empty())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_polls_tell_of_changes_and_of_what_is_new() {
    let (_folder, setup) = setup();
    let first = setup.start();
    let client = http_client(first.port()).await;
    let config = client.config();
    assert_eq!(config.get("g", "d").await, Ok(None));
    config.publish("g", "d", "one & ü", "text").await.unwrap();
    assert_eq!(config.get("g", "d").await, Ok(Some("one & ü".into())));
    let wrong = config.publish_if("g", "d", "x", "text", "0000").await;
    assert!(wrong.is_err(), "{wrong:?}");
    let mut listener = config.listen("g", "d").await;
    let content = async |listener: &mut nacrite_client::ConfigListener| {
        let changed = tokio::time::timeout(PATIENCE, listener.changed()).await;
        changed.expect("told").expect("it stands").content
    };
    assert_eq!(content(&mut listener).await.as_deref(), Some("one & ü"));
    // The poll waits at the server now; what is new does not wait for its end.
    tokio::time::sleep(Duration::from_millis(300)).await;
    config.publish("h", "e", "new", "text").await.unwrap();
    let started = Instant::now();
    let mut second = config.listen("h", "e").await;
    assert_eq!(content(&mut second).await.as_deref(), Some("new"));
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "it waited for a poll"
    );
    config.publish("g", "d", "two", "text").await.unwrap();
    assert_eq!(content(&mut listener).await.as_deref(), Some("two"));
    config.remove("g", "d").await.unwrap();
    assert_eq!(content(&mut listener).await, None);
    // An outage costs the penalty of 2 s, and no change.
    first.kill();
    let second_server = setup.start();
    second_server.ask(
        "POST",
        "/nacos/v1/cs/configs",
        "dataId=d&group=g&content=after",
    );
    assert_eq!(content(&mut listener).await.as_deref(), Some("after"));
    config.unlisten("g", "d").await;
    eventually("one is left", async || config.listens().await == [1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_server_is_asked_when_one_is_gone() {
    let ((_a, first), (_b, second)) = (server(), server());
    let settings = Settings {
        protocol: Protocol::Http,
        ..settings(&[first.port(), second.port()])
    };
    let client = Client::start(settings).await.unwrap();
    let config = client.config();
    assert_eq!(config.get("g", "d").await, Ok(None));
    first.kill();
    config.publish("g", "d", "there", "text").await.unwrap();
    assert_eq!(config.get("g", "d").await, Ok(Some("there".into())));
    second.kill();
    assert!(config.get("g", "d").await.is_err());
}
