//! The gRPC connection: what it says first, when it is checked, when it is given up.

use std::sync::atomic::{AtomicBool, Ordering};

use nacrite_client::Error;
use serde_json::json;

use super::stub::{Stub, good};
use super::*;

/// A client of the stub at this HTTP port: quick to check, quick to give a request up.
async fn quick(port: u16) -> Client {
    let settings = Settings {
        idle_check: Duration::from_millis(200),
        request_timeout: Duration::from_millis(800),
        ..settings(&[port])
    };
    Client::start(settings).await.expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_begins_with_check_and_setup() {
    let port = nacrite_tests::server::free_port();
    let stub = Stub::serve(port + 1_000, |_, _| Some(good())).await;
    let client = quick(port).await;
    eventually("it is set up", async || {
        client.config().is_connected() && stub.count("ConnectionSetupRequest") == 2
    })
    .await;
    let _published = client.config().publish(GROUP, "d", "x", "text").await;
    let seen = stub.seen();
    // Discovery and configs have a connection each.
    let first = |kind: &str| seen.iter().position(|seen| seen == kind);
    assert_eq!(first("ServerCheckRequest"), Some(0), "{seen:?}");
    assert!(first("ConnectionSetupRequest") < first("ConfigPublishRequest"));
    assert_eq!(stub.count("ServerCheckRequest"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_checked_and_given_up_when_it_is_not_well() {
    let port = nacrite_tests::server::free_port();
    let well = Arc::new(AtomicBool::new(true));
    let now = well.clone();
    let stub = Stub::serve(port + 1_000, move |kind, _| {
        let ill = kind == "HealthCheckRequest" && !now.load(Ordering::SeqCst);
        Some(if ill {
            json!({"resultCode": 500, "errorCode": 500, "message": "not well"})
        } else {
            good()
        })
    })
    .await;
    let client = quick(port).await;
    eventually("it is checked again and again", async || {
        stub.count("HealthCheckRequest") >= 6
    })
    .await;
    assert_eq!(stub.count("ServerCheckRequest"), 2, "nothing is given up");
    well.store(false, Ordering::SeqCst);
    eventually("it is made anew", async || {
        stub.count("ServerCheckRequest") >= 4
    })
    .await;
    well.store(true, Ordering::SeqCst);
    eventually("it stands", async || client.config().is_connected()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_answer_makes_the_connection_be_checked() {
    let port = nacrite_tests::server::free_port();
    let stub = Stub::serve(port + 1_000, |kind, _| {
        (kind != "ConfigPublishRequest").then(good)
    })
    .await;
    let settings = Settings {
        // Silence alone makes no check.
        idle_check: Duration::from_secs(60),
        request_timeout: Duration::from_millis(800),
        ..settings(&[port])
    };
    let client = Client::start(settings).await.expect("a client");
    let failed = client.config().publish(GROUP, "d", "x", "text").await;
    assert!(
        matches!(failed, Err(Error::Timeout(_) | Error::NotConnected(_))),
        "{failed:?}"
    );
    eventually("it is checked", async || {
        stub.count("HealthCheckRequest") == 1
    })
    .await;
    assert_eq!(stub.count("ServerCheckRequest"), 2, "it is well, and stays");
}

/// An HTTP server that answers `statuses` in turn (the last one on and on), and keeps the heads of what it was asked.
fn http_stub(statuses: &'static [u16]) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let heads = Arc::new(Mutex::new(Vec::<String>::new()));
    let kept = heads.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let status = statuses[kept.len().min(statuses.len() - 1)];
            kept.push(head.join("\n").to_ascii_lowercase());
            drop(kept);
            let text =
                format!("HTTP/1.1 {status} x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
            let _gone = (&stream).write_all(text.as_bytes());
        }
    });
    (port, heads)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_server_is_asked_three_times_over_http() {
    for (statuses, good) in [(&[500, 503, 200][..], true), (&[500][..], false)] {
        let (port, heads) = http_stub(statuses);
        let settings = Settings {
            protocol: nacrite_client::Protocol::Http,
            ..settings(&[port])
        };
        let client = Client::start(settings).await.expect("a client");
        let got = client.config().get(GROUP, "d").await;
        assert_eq!(got.is_ok(), good, "{got:?}");
        let heads = heads.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(heads.len(), 3);
        assert!(heads[0].starts_with("get /nacos/v1/cs/configs?dataid=d&group="));
        // What servers know a client by.
        for header in [
            "user-agent: nacos-java-client:v",
            "client-version: nacos-java-client:v",
        ] {
            assert!(heads[0].contains(header), "{}", heads[0]);
        }
    }
}
