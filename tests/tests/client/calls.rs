//! Load-balanced calls: `http://orders/hello` over real sockets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use nacrite_client::{HttpClient, Instance, LoadBalanceLayer, Retries};
use nacrite_core::balance::Policy;

use super::*;

/// A client that knows `orders` at these ports, called round robin.
async fn calling(server: &Server, ports: &[u16]) -> (Client, HttpClient) {
    let client = client(server.port()).await;
    let all = ports
        .iter()
        .map(|p| Instance::new("127.0.0.1", *p))
        .collect();
    client
        .naming()
        .register_all(GROUP, "orders", all)
        .await
        .unwrap();
    let balancing = client.balancing().clone();
    eventually("all are known", async || {
        let known = balancing.candidates("", "orders").await;
        known.is_ok_and(|known| known.len() == ports.len())
    })
    .await;
    let policy = Some(Policy::of("round-robin"));
    balancing.set_policy("", "orders", policy).await.unwrap();
    let calls = HttpClient::new(balancing);
    (client, calls)
}

fn named(name: &'static str) -> u16 {
    backend(move |path| Some((200, format!("{name} {path}"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_by_name_reaches_each_instance_in_its_turn() {
    let (_folder, server) = server();
    let (_client, calls) = calling(&server, &[named("a"), named("b")]).await;
    let mut seen = BTreeMap::<String, u32>::new();
    for _ in 0..20 {
        let answer = calls.get("http://orders/hello?x=1").await.unwrap();
        *seen.entry(answer.text().await.unwrap()).or_default() += 1;
    }
    let expected = [
        ("a /hello?x=1".to_owned(), 10),
        ("b /hello?x=1".to_owned(), 10),
    ];
    assert_eq!(seen, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_service_is_left_as_it_is() {
    let (_folder, server) = server();
    let (client, calls) = calling(&server, &[named("a")]).await;
    let plain = format!("http://127.0.0.1:{}/x", named("plain"));
    let answer = calls.get(&plain).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "plain /x");
    let unknown = calls.get("http://nobody/x").await.unwrap_err();
    assert!(
        unknown.to_string().contains("no instance of nobody"),
        "{unknown}"
    );
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_made_again_on_another_instance_and_counted() {
    let (_folder, server) = server();
    // Nobody listens there: what is refused was surely not done.
    let dead = nacrite_tests::server::free_port();
    let (client, calls) = calling(&server, &[named("alive"), dead]).await;
    for _ in 0..10 {
        let post = calls
            .request(reqwest::Method::POST, "http://orders/p")
            .build();
        let answer = calls.execute(post.unwrap()).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "alive /p");
    }
    // Three refusals in a row open the circuit of Ribbon's rules: the dead one is known for what it is.
    let policy = Some(Policy::of("availability"));
    client
        .balancing()
        .set_policy("", "orders", policy)
        .await
        .unwrap();
    for _ in 0..10 {
        let choice = client
            .balancing()
            .choose("", "orders", Default::default())
            .await;
        let choice = choice.unwrap();
        assert!(!choice.address().ends_with(&format!(":{dead}")));
        choice.finish(nacrite_core::balance::Outcome::Success);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_not_done_twice() {
    let (_folder, server) = server();
    let done = Arc::new(AtomicU32::new(0));
    let counted = done.clone();
    // It takes the request and hangs up.
    let cut = backend(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        None
    });
    let (client, calls) = calling(&server, &[cut]).await;
    let post = calls
        .request(reqwest::Method::POST, "http://orders/p")
        .build();
    assert!(calls.execute(post.unwrap()).await.is_err());
    assert_eq!(done.load(Ordering::SeqCst), 1);
    assert!(calls.get("http://orders/g").await.is_err());
    assert_eq!(
        done.load(Ordering::SeqCst),
        3,
        "a read is tried on the next, which is the same"
    );
    let none = LoadBalanceLayer::new(client.balancing().clone()).retries(Retries::none());
    let calls = HttpClient::with(reqwest::Client::new(), &none);
    assert!(calls.get("http://orders/g").await.is_err());
    assert_eq!(done.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_an_overloaded_instance_are_asked_for_elsewhere() {
    let (_folder, server) = server();
    let busy = backend(|_| Some((503, "busy".into())));
    let (_client, calls) = calling(&server, &[busy, named("free")]).await;
    for _ in 0..6 {
        let answer = calls.get("http://orders/x").await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "free /x");
    }
    let post = || {
        calls
            .request(reqwest::Method::POST, "http://orders/x")
            .build()
    };
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let answer = calls.execute(post().unwrap()).await.unwrap();
        statuses.push(answer.status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503], "a write is not made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_to_the_same_instance_each_time() {
    let (_folder, server) = server();
    let ports = [named("a"), named("b"), named("c")];
    let (client, _) = calling(&server, &ports).await;
    let policy = Some(Policy::of("ring-hash"));
    client
        .balancing()
        .set_policy("", "orders", policy)
        .await
        .unwrap();
    let layer = LoadBalanceLayer::new(client.balancing().clone())
        .key_header(http::HeaderName::from_static("x-user"));
    let calls = HttpClient::with(reqwest::Client::new(), &layer);
    let ask = async |user: &str| {
        let request = calls.request(reqwest::Method::GET, "http://orders/x");
        let request = request.header("x-user", user).build().unwrap();
        calls.execute(request).await.unwrap().text().await.unwrap()
    };
    let mut seen = BTreeMap::<String, u32>::new();
    for user in 0..30 {
        let user = format!("u{user}");
        let first = ask(&user).await;
        assert_eq!(ask(&user).await, first);
        *seen.entry(first).or_default() += 1;
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}
