//! Configs.

use std::fs;

use nacrite_client::{Client, ConfigContent, ConfigListener, Error, Settings};

use super::*;

async fn next(listener: &mut ConfigListener, what: &str) -> ConfigContent {
    let changed = tokio::time::timeout(PATIENCE, listener.changed()).await;
    let changed = changed.unwrap_or_else(|_| panic!("not told: {what}"));
    changed.expect("somebody listens")
}

fn text(content: &ConfigContent) -> Option<&str> {
    content.content.as_deref()
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_are_written_read_compared_and_removed() {
    let (_folder, server) = server();
    let client = client(server.port()).await;
    let config = client.config();
    assert_eq!(config.get("g", "d").await, Ok(None));
    config.publish("g", "d", "one", "text").await.unwrap();
    assert_eq!(config.get("g", "d").await, Ok(Some("one".into())));
    let md5 = ConfigContentMd5::of("one");
    let wrong = config.publish_if("g", "d", "two", "text", "0000").await;
    assert!(matches!(wrong, Err(Error::Refused { .. })), "{wrong:?}");
    config
        .publish_if("g", "d", "two", "text", &md5)
        .await
        .unwrap();
    assert_eq!(config.get("g", "d").await, Ok(Some("two".into())));
    config.remove("g", "d").await.unwrap();
    config.remove("g", "d").await.unwrap();
    assert_eq!(config.get("g", "d").await, Ok(None));
}

struct ConfigContentMd5;

impl ConfigContentMd5 {
    fn of(text: &str) -> String {
        nacrite_core::model::Md5::of(text.as_bytes()).hex()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_is_told_of_each_change_and_of_the_removal() {
    let (_folder, server) = server();
    let (one, two) = (client(server.port()).await, client(server.port()).await);
    one.config().publish("g", "d", "one", "text").await.unwrap();
    let mut listener = two.config().listen("g", "d").await;
    assert_eq!(text(&next(&mut listener, "the first").await), Some("one"));
    one.config().publish("g", "d", "two", "text").await.unwrap();
    assert_eq!(text(&next(&mut listener, "the second").await), Some("two"));
    // Who asks the server what a client holds is told by the client.
    let asked = "/nacos/v1/cs/metrics/cluster?ip=127.0.0.1&dataId=d&group=g";
    let held = server.ask("GET", asked, "");
    let md5 = ConfigContentMd5::of("two");
    assert!(
        held.text().contains(&format!("two:{md5}")),
        "{}",
        held.text()
    );
    // A second listener is told at once of what is known, without asking.
    let mut second = two.config().listen("g", "d").await;
    assert_eq!(text(&next(&mut second, "what is known").await), Some("two"));
    assert_eq!(two.config().listens().await, [1]);
    one.config().remove("g", "d").await.unwrap();
    assert_eq!(text(&next(&mut listener, "the removal").await), None);
    // Only what differs is told.
    one.config()
        .publish("g", "d", "three", "text")
        .await
        .unwrap();
    assert_eq!(text(&next(&mut listener, "the third").await), Some("three"));
    two.config().unlisten("g", "d").await;
    eventually("nobody listens", async || {
        two.config().listens().await == [0]
    })
    .await;
    let over = tokio::time::timeout(PATIENCE, async {
        while listener.changed().await.is_some() {}
    });
    assert!(
        over.await.is_ok(),
        "the listener is not told that it is over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_listens_to_3000_configs_and_the_next_to_the_rest() {
    let (_folder, server) = server();
    let (one, two) = (client(server.port()).await, client(server.port()).await);
    let mut listeners = Vec::new();
    for n in 0..3_001 {
        listeners.push(two.config().listen("g", &format!("d{n}")).await);
    }
    assert_eq!(two.config().listens().await, [3_000, 1]);
    for n in [0, 2_999, 3_000] {
        let name = format!("d{n}");
        one.config()
            .publish("g", &name, &name, "text")
            .await
            .unwrap();
        let told = next(&mut listeners[n], &name).await;
        assert_eq!(text(&told), Some(&*name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_during_an_outage_is_told_after_it() {
    let (_folder, setup) = setup();
    let first = setup.start();
    let listening = client(first.port()).await;
    let other = client(first.port()).await;
    other
        .config()
        .publish("g", "d", "one", "text")
        .await
        .unwrap();
    let mut listener = listening.config().listen("g", "d").await;
    assert_eq!(text(&next(&mut listener, "before").await), Some("one"));
    first.kill();
    let second = setup.start();
    let written = second.ask(
        "POST",
        "/nacos/v1/cs/configs",
        "dataId=d&group=g&content=two",
    );
    assert_eq!(written.status, 200, "{}", written.text());
    assert_eq!(text(&next(&mut listener, "after").await), Some("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failover_file_goes_first_and_the_snapshot_last() {
    let (_folder, server) = server();
    let cache = tempfile::tempdir().unwrap();
    let cached = Settings {
        cache: Some(cache.path().to_owned()),
        request_timeout: Duration::from_millis(700),
        ..settings(&[server.port()])
    };
    let client = Client::start(cached).await.unwrap();
    let config = client.config();
    config.publish("g", "d", "server", "text").await.unwrap();
    let mut listener = config.listen("g", "d").await;
    assert_eq!(
        text(&next(&mut listener, "the server's").await),
        Some("server")
    );
    let base = format!("config/fixed-127.0.0.1_{}_nacos", server.port());
    let base = cache.path().join(base);
    let snapshot = base.join("snapshot/g/d");
    assert_eq!(fs::read_to_string(&snapshot).unwrap(), "server");

    let failover = base.join("data/config-data/g/d");
    fs::create_dir_all(failover.parent().unwrap()).unwrap();
    fs::write(&failover, "local").unwrap();
    assert_eq!(config.get("g", "d").await, Ok(Some("local".into())));
    let told = next(&mut listener, "the local one").await;
    assert!(told.from_failover && text(&told) == Some("local"));
    fs::remove_file(&failover).unwrap();
    assert_eq!(
        text(&next(&mut listener, "the server's again").await),
        Some("server")
    );

    // What the server says is not there is forgotten, what it cannot be asked for is not.
    config.publish("g", "gone", "x", "text").await.unwrap();
    assert_eq!(config.get("g", "gone").await, Ok(Some("x".into())));
    config.remove("g", "gone").await.unwrap();
    assert_eq!(config.get("g", "gone").await, Ok(None));
    assert!(!base.join("snapshot/g/gone").exists());
    server.kill();
    assert_eq!(config.get("g", "d").await, Ok(Some("server".into())));
    assert!(config.get("g", "gone").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_more_than_five_times_in_a_second_is_refused_after_one() {
    let (_folder, server) = server();
    let client = client(server.port()).await;
    let config = client.config();
    let asked = futures(10, async || config.get("g", "d").await).await;
    let refused = asked.iter().filter(|a| **a == Err(Error::TooOften)).count();
    assert_eq!(refused, 5, "{asked:?}");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(config.get("g", "d").await, Ok(None));
}

/// Runs so many at once.
async fn futures<T>(count: usize, make: impl AsyncFn() -> T) -> Vec<T> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Box::pin(make()));
    }
    let mut done = Vec::new();
    // The first poll of each is its question; their answers come in any order.
    let mut all: Vec<_> = all.into_iter().map(Some).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut all {
            if let Some(future) = slot
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                done.push(value);
                *slot = None;
            }
        }
        if done.len() == count {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}
