//! Every metric that is exposed moves, from scrape to scrape, under a scripted mix of requests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
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
const STILL: &[(&str, &str)] = &[
    ("grpc_server_executor", GRPC),
    ("nacrite_config_grpc_listeners", GRPC),
    ("nacrite_grpc_connections", GRPC),
    ("nacrite_grpc_connections_refused_total", GRPC),
    ("nacrite_grpc_early_requests_total", GRPC),
    ("nacrite_naming_grpc_publishers", GRPC),
    ("nacrite_naming_grpc_subscribers", GRPC),
    ("nacrite_http_accept_errors_total", FAULT),
    ("nacrite_http_panics_total", FAULT),
    ("nacrite_engine_dropped_total", FAULT),
    ("nacrite_engine_recoveries_total", FAULT),
    ("nacrite_record_bytes_total", "nothing is recorded here"),
    (
        "nacrite_record_missing_batches_total",
        "nothing is recorded here",
    ),
    ("nacrite_log_lines_dropped_total", FAULT),
    ("nacrite_push_pending", MOMENT),
    ("nacrite_queue_bytes", MOMENT),
    ("nacrite_store_behind_bytes", MOMENT),
    ("nacrite_queue_requests", MOMENT),
    ("nacrite_queue_refused_total", MOMENT),
    ("nacrite_raft_leader", CONSTANT),
    ("nacrite_raft_rejected_total", CONSTANT),
    ("nacrite_raft_term", CONSTANT),
    ("process_files_max_files", CONSTANT),
    ("process_max_fds", CONSTANT),
    ("process_start_time_seconds", CONSTANT),
    ("system_cpu_count", CONSTANT),
];
const GRPC: &str = "nothing here speaks gRPC";
const FAULT: &str = "only a fault of the server or its machine moves it";
const MOMENT: &str = "it moves for less than a scrape takes, or under a load that this mix is not";
const CONSTANT: &str = "the same for the life of a process that is the only voter";
/// These may move by themselves or stay.
const EITHER: &[&str] = &[
    "process_threads",
    "process_virtual_memory_bytes",
    "system_load_average_1m",
];

#[test]
fn every_metric_moves() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let flags = [
        "--http-head-timeout-ms=300",
        "--http-max-connections=16",
        "--push-udp-ack-timeout-ms=300",
        "--cache-content=1MiB",
    ];
    let server = Setup::new(&folder.path().join("data")).with(&flags).start();
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
    // Costs are counted in milliseconds.
    thread::sleep(Duration::from_millis(20));
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

    // Neither of these two pushes is acknowledged; the second is of nothing.
    let other = "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.2&port=80";
    for (method, target) in [("POST", other), ("DELETE", other), ("DELETE", instance)] {
        assert_eq!(server.ask(method, target, "").text(), "ok");
        thread::sleep(Duration::from_millis(600));
        scrape();
    }
    // More content than the cache holds, then the first of it.
    let content = "x".repeat(900 << 10);
    for n in 0..4 {
        let form = format!("dataId=c{n}&group=g&content={content}");
        let published = server.ask("POST", "/nacos/v1/cs/configs", &form);
        assert_eq!(published.text(), "true");
    }
    thread::sleep(Duration::from_millis(500));
    for n in 0..4 {
        let read = format!("/nacos/v1/cs/configs?dataId=c{n}&group=g");
        assert_eq!(server.ask("GET", &read, "").body.len(), content.len());
    }
    // A head that does not end, one that is too large, and too many connections.
    let mut slow = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
    slow.write_all(b"GET / HTTP/1.1\r\n").expect("it is sent");
    let mut large = open();
    let header = "x".repeat(80 << 10);
    let _refused = large.send("GET", "/", &[("X-Large", &header)], "");
    let _refused = large.answer();
    let crowd: Vec<Connection> = (0..40).map(|_| open()).collect();
    thread::sleep(Duration::from_millis(300));
    drop(crowd);
    thread::sleep(Duration::from_millis(700));

    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        scrape();
        thread::sleep(Duration::from_millis(300));
    }

    let all: BTreeSet<String> = before.keys().map(|n| family(n)).collect();
    let listed =
        |name: &str| STILL.iter().any(|(known, _)| *known == name) || EITHER.contains(&name);
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
