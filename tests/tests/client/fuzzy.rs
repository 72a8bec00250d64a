//! Fuzzy watches: names that match a pattern, as they come and go, over reconnects too.

use nacrite_client::{Error, FuzzyWatch, Protocol};

use super::*;

/// Waits until exactly these names match.
async fn become_these(watch: &mut FuzzyWatch, names: &[&str]) {
    let wanted = |watch: &FuzzyWatch| {
        let matches = watch.matches();
        matches
            .iter()
            .map(|(_, name)| name.as_str())
            .eq(names.iter().copied())
    };
    let waited = tokio::time::timeout(PATIENCE, async {
        while !wanted(watch) {
            watch.changed().await.expect("the watch stands");
        }
    });
    if waited.await.is_err() {
        panic!("{names:?} do not match, but {:?}", watch.matches());
    }
}

fn service(server: &Server, method: &str, name: &str) {
    let target = format!("/nacos/v1/ns/service?serviceName={name}");
    let answer = server.ask(method, &target, "");
    assert_eq!(answer.status, 200, "{method} {name}: {}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_match_are_told_as_they_come_and_go() {
    let (_folder, server) = server();
    let client = client(server.port()).await;
    for name in ["orders", "order-items", "stock"] {
        service(&server, "POST", name);
    }
    let naming = client.naming();
    let mut watch = naming.watch_fuzzy("*", "order*").await.expect("a watch");
    become_these(&mut watch, &["order-items", "orders"]).await;
    service(&server, "DELETE", "order-items");
    become_these(&mut watch, &["orders"]).await;
    service(&server, "POST", "order-log");
    become_these(&mut watch, &["order-log", "orders"]).await;
    // What changes while there is no connection is made up for.
    naming.reconnect();
    service(&server, "POST", "order-new");
    become_these(&mut watch, &["order-log", "order-new", "orders"]).await;
    service(&server, "DELETE", "orders");
    become_these(&mut watch, &["order-log", "order-new"]).await;
    naming
        .unwatch_fuzzy("*", "order*")
        .await
        .expect("over gRPC");
    let over = tokio::time::timeout(PATIENCE, async {
        // What came last may not have been looked at.
        while watch.changed().await.is_some() {}
    });
    assert!(over.await.is_ok(), "it was taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_that_match_are_told_as_they_come_and_go() {
    let (_folder, server) = server();
    let client = client(server.port()).await;
    let config = client.config();
    for name in ["a.yaml", "b.yaml", "c.txt"] {
        config
            .publish(GROUP, name, "x", "text")
            .await
            .expect("it is published");
    }
    let mut watch = config.watch_fuzzy(GROUP, "*.yaml").await.expect("a watch");
    become_these(&mut watch, &["a.yaml", "b.yaml"]).await;
    config
        .publish(GROUP, "d.yaml", "x", "text")
        .await
        .expect("it is published");
    become_these(&mut watch, &["a.yaml", "b.yaml", "d.yaml"]).await;
    config.remove(GROUP, "a.yaml").await.expect("it is removed");
    become_these(&mut watch, &["b.yaml", "d.yaml"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused() {
    let (_folder, server) = server();
    let client = client(server.port()).await;
    let empty = client.naming().watch_fuzzy("", "x").await;
    assert!(matches!(
        empty,
        Err(Error::Setting {
            name: "pattern",
            ..
        })
    ));
    // The server watches twenty patterns.
    let mut refused = None;
    for n in 0..21 {
        let watched = client.config().watch_fuzzy("*", &format!("p{n}*")).await;
        refused = watched.err().and_then(|error| error.code());
    }
    assert_eq!(refused, Some(50_310));
    let over_http = Settings {
        protocol: Protocol::Http,
        ..settings(&[server.port()])
    };
    let client = Client::start(over_http).await.expect("a client");
    let none = client.config().watch_fuzzy("*", "*").await;
    assert!(matches!(
        none,
        Err(Error::Setting {
            name: "protocol",
            ..
        })
    ));
}
