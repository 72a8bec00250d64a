//! How long a server takes to open data of some size: after `kill -9`, with a log to replay, and after an ordered end.
//!
//! Every page of both files is checked before it answers (`verify_data`), so the time grows with the data: it is
//! printed, and the contents are read back from their beginning, middle and end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nacrite_tests::http::Connection;
use nacrite_tests::sample::sized;
use nacrite_tests::server::{Server, Setup};

const CONTENT: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// Differs for each number from the first byte on; no byte of it needs an escape in a form.
fn content(number: usize) -> String {
    let mut text = format!("{number:08}.").repeat(CONTENT / 9 + 1);
    text.truncate(CONTENT);
    text
}

/// Bytes of log and state.
fn size(data: &Path) -> u64 {
    ["raft.redb", "state.redb"]
        .iter()
        .map(|name| fs::metadata(data.join(name)).map_or(0, |file| file.len()))
        .sum()
}

/// Publishes from `first` on until the contents have so many bytes; the number of the next config.
fn fill(server: &Server, first: usize, bytes: usize) -> usize {
    let mut connection = Connection::open(server.port(), PATIENCE).expect("the server listens");
    let last = bytes / CONTENT;
    for next in first..last {
        let form = format!("dataId=large-{next}&group=g&content={}", content(next));
        let published = connection
            .ask("POST", "/nacos/v1/cs/configs", &form)
            .expect("a publish is answered");
        assert_eq!(published.text(), "true", "{}", server.log_tail());
    }
    last
}

/// Starts the server; how long until it serves. What was published is there.
fn reopen(setup: &Setup, configs: usize) -> (Server, Duration) {
    let mut server = setup.spawn();
    let took = server.await_ready();
    for number in [0, configs / 2, configs - 1] {
        let target = format!("/nacos/v1/cs/configs?dataId=large-{number}&group=g");
        let read = server.ask("GET", &target, "");
        assert!(read.text() == content(number), "large-{number} is another");
    }
    (server, took)
}

#[test]
fn data_of_some_size_is_opened_again() {
    let sizes: &[usize] = sized(&[20 << 20], &[100 << 20, 1 << 30]);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let setup = Setup::new(&folder.path().join("data"));
    let mut configs = 0;
    for bytes in sizes {
        let server = setup.start();
        configs = fill(&server, configs, *bytes);
        server.kill();
        let (mut server, killed) = reopen(&setup, configs);
        server.terminate();
        assert!(server.await_end(PATIENCE).success());
        let (mut server, ended) = reopen(&setup, configs);
        server.terminate();
        assert!(server.await_end(PATIENCE).success());
        println!(
            "{configs} contents of 1 MiB ({} MiB of log and state) opened in {killed:?} after kill -9, in {ended:?} \
             after an ordered end",
            size(setup.data()) >> 20
        );
    }
}
