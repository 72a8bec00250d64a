//! Every metric that is exposed moves, from scrape to scrape, under a scripted mix of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::http::{Connection, quoted};
use nacrite_tests::server::{Server, Setup};

const PATIENCE: Duration = Duration::from_secs(30);

fn samples(server: &Server) -> BTreeMap<String, String> {
    let answer = server.ask("GET", "/metrics", "");
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    let pairs = lines.filter_map(|l| l.rsplit_once(' '));
    pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// Name of a sample without its labels.
fn family(sample: &str) -> String {
    sample.split('{').next().unwrap_or_default().to_owned()
}

/// Names that this mix of requests does not move, with the reason.
const STILL: &[(&str, &str)] = &[];

#[test]
fn every_metric_moves() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Setup::new(&folder.path().join("data")).start();
    let open = || Connection::open(server.port(), PATIENCE).expect("the server listens");
    let before = samples(&server);
    let mut moved: BTreeSet<String> = BTreeSet::new();
    let mut scrape = || {
        for (name, value) in samples(&server) {
            if before.get(&name) != Some(&value) {
                moved.insert(family(&name));
            }
        }
    };

    let mut poll = open();
    let form = format!("Listening-Configs={}", quoted("d\u{2}g\u{2}\u{1}"));
    let hold = [("Long-Pulling-Timeout", "29000")];
    poll.send("POST", "/nacos/v1/cs/configs/listener", &hold, &form)
        .expect("it is sent");

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let udp = socket.local_addr().expect("it is bound").port();
    let list = format!("/nacos/v1/ns/instance/list?serviceName=s&clientIP=127.0.0.1&udpPort={udp}");
    let mut client = open();
    let agent = [("User-Agent", "Nacos-Java-Client:v1.4.8")];
    client.send("GET", &list, &agent, "").expect("it is sent");
    client.answer().expect("it is answered");
    let instance = "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80";
    assert_eq!(server.ask("POST", instance, "").text(), "ok");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket takes a time-out");
    let mut buffer = [0; 65_536];
    let (length, from) = socket.recv_from(&mut buffer).expect("a push comes");
    let push: serde_json::Value =
        serde_json::from_slice(&buffer[..length]).expect("a small push is plain");
    let seen = &push["lastRefTime"];
    let ack = format!(r#"{{"type":"push-ack","lastRefTime":"{seen}","data":""}}"#);
    socket
        .send_to(ack.as_bytes(), from)
        .expect("loopback takes it");
    scrape();

    let publish = "dataId=d&group=g&content=one";
    let published = server.ask("POST", "/nacos/v1/cs/configs", publish);
    assert_eq!(published.text(), "true");
    poll.answer().expect("the poll wakes");
    let read = "/nacos/v1/cs/configs?dataId=d&group=g";
    assert_eq!(server.ask("GET", read, "").text(), "one");
    let search = "/nacos/v1/cs/configs?search=blur&dataId=*&group=*&pageNo=1&pageSize=10";
    assert_eq!(server.ask("GET", search, "").status, 200);
    let bad = server.ask(
        "POST",
        "/nacos/v1/cs/configs",
        "dataId=a/b&group=g&content=c",
    );
    assert_eq!(bad.status, 400);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        scrape();
        thread::sleep(Duration::from_millis(300));
    }

    let all: BTreeSet<String> = before.keys().map(|n| family(n)).collect();
    let listed = |name: &str| STILL.iter().any(|(known, _)| *known == name);
    let still: Vec<&String> = all.difference(&moved).filter(|n| !listed(n)).collect();
    assert!(still.is_empty(), "these never moved: {still:#?}");
    let stale = STILL
        .iter()
        .filter(|(n, _)| moved.contains(*n) || !all.contains(*n));
    let stale: Vec<_> = stale.collect();
    assert!(
        stale.is_empty(),
        "these move or are gone, and are listed: {stale:?}"
    );
}
