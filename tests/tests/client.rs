//! The client host against real servers: each behaviour that the Java client has, by its row, and load-balanced calls.

#[path = "client/calls.rs"]
mod calls;
#[path = "client/config.rs"]
mod config;
#[path = "client/fuzzy.rs"]
mod fuzzy;
#[path = "client/login.rs"]
mod login;
#[path = "client/naming.rs"]
mod naming;
#[path = "client/plugins.rs"]
mod plugins;
#[path = "client/rows.rs"]
mod rows;
#[path = "client/rpc.rs"]
mod rpc;
#[path = "client/servers.rs"]
mod servers;
#[path = "client/stub.rs"]
mod stub;
#[path = "client/v1.rs"]
mod v1;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nacrite_client::{Client, ServiceState, Settings, Subscription};
use nacrite_tests::server::{Server, Setup};

/// Longest wait for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const GROUP: &str = "DEFAULT_GROUP";

/// A setup whose data goes with the folder.
pub(crate) fn setup() -> (tempfile::TempDir, Setup) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let setup = Setup::new(&folder.path().join("data"));
    (folder, setup)
}

/// Starts a server, one test at a time: a free port is free until somebody takes it.
pub(crate) fn server() -> (tempfile::TempDir, Server) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (folder, setup) = setup();
    (folder, setup.start())
}

/// Settings for servers on loopback, quick to try again.
pub(crate) fn settings(ports: &[u16]) -> Settings {
    let servers: Vec<String> = ports.iter().map(|p| format!("127.0.0.1:{p}")).collect();
    Settings {
        redo_delay: Duration::from_millis(300),
        listen_interval: Duration::from_millis(500),
        failover_check: Duration::from_millis(200),
        ..Settings::new(servers.join(","))
    }
}

pub(crate) async fn client(port: u16) -> Client {
    Client::start(settings(&[port])).await.expect("a client")
}

/// What is known of a service once it is as wanted.
pub(crate) async fn until(
    subscription: &mut Subscription,
    what: &str,
    wanted: impl Fn(&ServiceState) -> bool,
) -> Arc<ServiceState> {
    let waited = tokio::time::timeout(PATIENCE, async {
        let mut state = subscription.state();
        while !wanted(&state) {
            state = subscription
                .changed()
                .await
                .expect("the subscription stands");
        }
        state
    });
    match waited.await {
        Ok(state) => state,
        Err(_) => panic!("not seen: {what}; known: {:?}", subscription.state()),
    }
}

/// Waits until something holds that nobody tells of.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

pub(crate) fn addresses(state: &ServiceState) -> Vec<String> {
    let mut all: Vec<String> = state
        .info
        .instances()
        .iter()
        .map(nacrite_client::Instance::address)
        .collect();
    all.sort();
    all
}

/// An HTTP server of a few lines: what it answers is decided by the path; `None` hangs up. It ends with the test program.
pub(crate) fn backend(
    answer: impl Fn(&str) -> Option<(u16, String)> + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let mut writer = stream.try_clone().expect("a socket can be shared");
                let mut lines = BufReader::new(stream).lines();
                while let Some(Ok(first)) = lines.next() {
                    // The head ends with an empty line; there is no body.
                    while lines
                        .next()
                        .is_some_and(|line| line.is_ok_and(|l| !l.is_empty()))
                    {}
                    let path = first.split(' ').nth(1).unwrap_or_default();
                    let Some((status, body)) = answer(path) else {
                        return;
                    };
                    let text = format!(
                        "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if writer.write_all(text.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}
