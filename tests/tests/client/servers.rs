//! Lists of servers, and changes from one to another.

use nacrite_client::{Client, Error, Instance, Servers, Settings};

use super::*;

/// An address server whose list can be changed; also how often it was asked.
fn address_server(first: &str) -> (u16, Arc<Mutex<(String, u32)>>) {
    let state = Arc::new(Mutex::new((first.to_owned(), 0)));
    let shared = state.clone();
    let port = backend(move |path| {
        let mut state = shared.lock().unwrap();
        state.1 += 1;
        let status = if path.starts_with("/nacos/serverlist") {
            200
        } else {
            404
        };
        Some((status, state.0.clone()))
    });
    (port, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_server_is_gone_the_next_is_taken_and_told_everything() {
    let ((_a, first), (_b, second)) = (server(), server());
    let mut servers = [Some(first), Some(second)];
    let ports = [0, 1].map(|n| servers[n].as_ref().unwrap().port());
    let client = Client::start(settings(&ports)).await.unwrap();
    let one = Instance::new("10.0.0.1", 80);
    client
        .naming()
        .register(GROUP, "orders", one)
        .await
        .unwrap();
    let used = client.naming().server().expect("it is connected").port;
    let position = ports.iter().position(|p| *p == used).unwrap();
    servers[position].take().unwrap().kill();
    let other = ports[1 - position];
    eventually("the other is used", async || {
        client.naming().server().is_some_and(|s| s.port == other)
    })
    .await;
    eventually("the other knows the instance", async || {
        let state = client.naming().query(GROUP, "orders", "", false).await;
        state.is_ok_and(|s| addresses(&s).len() == 1)
    })
    .await;
    assert_eq!(client.config().get("g", "d").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_the_list_is_left_and_an_empty_list_changes_nothing() {
    let ((_a, first), (_b, second)) = (server(), server());
    let (port, list) = address_server(&format!("127.0.0.1:{}", first.port()));
    let settings = Settings {
        servers: Servers::Endpoint {
            address: format!("127.0.0.1:{port}"),
            path: "/nacos/serverlist".into(),
        },
        endpoint_refresh: Duration::from_millis(100),
        ..settings(&[1])
    };
    let client = Client::start(settings).await.unwrap();
    let used = async |port: u16| client.naming().server().is_some_and(|s| s.port == port);
    assert!(used(first.port()).await);
    list.lock().unwrap().0 = String::new();
    let asked = list.lock().unwrap().1;
    eventually("it is asked again", async || {
        list.lock().unwrap().1 > asked + 2
    })
    .await;
    assert!(used(first.port()).await, "an empty list changes nothing");
    list.lock().unwrap().0 = format!("127.0.0.1:{}\n", second.port());
    eventually("the new one is used", async || used(second.port()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_server_without_a_list_is_asked_five_times() {
    let (port, list) = address_server("");
    let started = std::time::Instant::now();
    let none = Client::start(Settings::with_endpoint(format!("127.0.0.1:{port}"))).await;
    assert!(matches!(none, Err(Error::NoServers(_))), "{none:?}");
    assert_eq!(list.lock().unwrap().1, 5);
    // 100 + 200 + 300 + 400 ms between them.
    assert!(started.elapsed() >= Duration::from_millis(1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_server_a_client_starts_and_goes_on_trying() {
    let (_folder, setup) = setup();
    let client = client(setup.port()).await;
    assert!(!client.naming().is_connected());
    let one = Instance::new("10.0.0.1", 80);
    let failed = client.naming().register(GROUP, "orders", one).await;
    assert!(matches!(failed, Err(Error::NotConnected(_))), "{failed:?}");
    let _server = setup.start();
    eventually("what was wanted is published", async || {
        let state = client.naming().query(GROUP, "orders", "", false).await;
        state.is_ok_and(|s| addresses(&s).len() == 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_used_are_refused() {
    let with = |change: fn(&mut Settings)| {
        let mut settings = settings(&[1]);
        change(&mut settings);
        settings
    };
    for (settings, name) in [
        (with(|s| s.batch = 3_001), "batch"),
        (with(|s| s.batch = 0), "batch"),
        (with(|s| s.servers = Servers::Fixed(" ,".into())), "servers"),
        (
            with(|s| s.poll_timeout = Duration::from_secs(9)),
            "poll_timeout",
        ),
        (
            with(|s| s.request_timeout = Duration::ZERO),
            "request_timeout",
        ),
    ] {
        match Client::start(settings).await {
            Err(Error::Setting { name: said, .. }) => assert_eq!(said, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset_goes_to_the_server_that_is_named() {
    let ((_a, first), (_b, second)) = (server(), server());
    let client = Client::start(settings(&[first.port(), second.port()])).await;
    let client = client.unwrap();
    let one = Instance::new("10.0.0.1", 80);
    client
        .naming()
        .register(GROUP, "orders", one)
        .await
        .unwrap();
    for _ in 0..2 {
        let used = client.naming().server().expect("it is connected").port;
        let (here, there) = if used == first.port() {
            (&first, &second)
        } else {
            (&second, &first)
        };
        let asked = format!(
            "/nacos/v2/core/loader/reloadCurrent?count=0&redirectAddress=127.0.0.1:{}",
            there.port()
        );
        let asked = here.ask("GET", &asked, "");
        assert_eq!(asked.status, 200, "{}", asked.text());
        eventually("the other is used, and knows the instance", async || {
            let state = client.naming().query(GROUP, "orders", "", false).await;
            client
                .naming()
                .server()
                .is_some_and(|s| s.port == there.port())
                && state.is_ok_and(|s| addresses(&s).len() == 1)
        })
        .await;
    }
}
