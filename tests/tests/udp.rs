//! UDP pushes to real sockets of a client that names its own address, as clients of the 1.x line do.
//!
//! It runs in a network namespace of its own, so that no push leaves the machine.

use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::http::Connection;
use nacrite_tests::server::{Server, Setup};
use serde_json::Value;

/// Set inside the namespace.
const INSIDE: &str = "UDP_TEST_INSIDE";
/// The address that `namespaced.sh` gives the namespace.
const OWN: &str = "10.99.0.1";
const PATIENCE: Duration = Duration::from_secs(30);

/// A packet as it arrived.
struct Packet {
    at: Instant,
    zipped: bool,
    push: Value,
    from: SocketAddr,
}

impl Packet {
    fn hosts(&self) -> usize {
        let list: Value = serde_json::from_str(self.push["data"].as_str().expect("data is a text"))
            .expect("data is JSON");
        list["hosts"].as_array().expect("a list has hosts").len()
    }
}

struct Client {
    socket: UdpSocket,
    acks: bool,
}

impl Client {
    fn new(acks: bool) -> Self {
        let socket = UdpSocket::bind((OWN, 0)).expect("the namespace has this address");
        Self { socket, acks }
    }

    /// Asks for a list, and so for pushes.
    fn poll(&self, server: &Server, service: &str) {
        let port = self.socket.local_addr().expect("it is bound").port();
        let target = format!(
            "/nacos/v1/ns/instance/list?serviceName={service}&clientIP={OWN}&udpPort={port}"
        );
        let mut connection = Connection::open(server.port(), PATIENCE).expect("the server listens");
        let agent = [("User-Agent", "Nacos-Java-Client:v1.4.8")];
        connection
            .send("GET", &target, &agent, "")
            .expect("it is sent");
        assert_eq!(connection.answer().expect("it is answered").status, 200);
    }

    /// Asks for the first time; a new subscriber is pushed the list as it stands.
    fn subscribe(&self, server: &Server, service: &str) {
        self.poll(server, service);
        let welcome = self.next(PATIENCE).expect("a new subscriber is pushed to");
        assert_eq!(welcome.hosts(), 0);
    }

    /// The next packet within this time; acknowledged, if this client does that.
    fn next(&self, within: Duration) -> Option<Packet> {
        let mut buffer = [0; 65_536];
        self.socket
            .set_read_timeout(Some(within.max(Duration::from_millis(1))))
            .expect("a socket takes a time-out");
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        let at = Instant::now();
        let zipped = buffer[..2] == [0x1f, 0x8b];
        let mut text = Vec::new();
        if zipped {
            flate2::read::GzDecoder::new(&buffer[..length])
                .read_to_end(&mut text)
                .expect("what begins like gzip is gzip");
        } else {
            text.extend_from_slice(&buffer[..length]);
        }
        assert_eq!(zipped, text.len() >= 1_024, "compressed from 1024 bytes on");
        let push: Value = serde_json::from_slice(&text).expect("a packet is JSON");
        assert_eq!(push["type"], "dom");
        if self.acks {
            let seen = &push["lastRefTime"];
            let ack = format!(r#"{{"type":"push-ack","lastRefTime":"{seen}","data":""}}"#);
            self.socket
                .send_to(ack.as_bytes(), from)
                .expect("it is sent");
        }
        Some(Packet {
            at,
            zipped,
            push,
            from,
        })
    }

    /// Everything until this long has passed.
    fn all(&self, during: Duration) -> Vec<Packet> {
        let end = Instant::now() + during;
        let mut packets = Vec::new();
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            packets.extend(self.next(left));
        }
        packets
    }
}

fn register(server: &Server, service: &str, n: usize) {
    let target = format!(
        "/nacos/v1/ns/instance?serviceName={service}&ip=10.0.{}.{}&port=80",
        n / 200,
        n % 200 + 1
    );
    assert_eq!(server.ask("POST", &target, "").text(), "ok");
}

#[test]
fn pushes_over_udp() {
    if std::env::var_os(INSIDE).is_none() {
        let own = std::env::current_exe().expect("a program knows where it is");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/namespaced.sh");
        // Without root, a namespace of users gives the right to make one of networks.
        let root = Command::new("id")
            .arg("-u")
            .output()
            .expect("`id` is there");
        let mut command = if root.stdout.starts_with(b"0\n") {
            Command::new(script)
        } else {
            let mut command = Command::new("unshare");
            command.args(["-rn", script]);
            command
        };
        let inside = command
            .arg(own)
            .args(["--nocapture", "pushes_over_udp"])
            .env(INSIDE, "1");
        assert!(inside.status().expect("`unshare` is there").success());
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Setup::new(&folder.path().join("data")).start();
    a_lone_change_leaves_at_once(&server);
    a_storm_is_gathered(&server);
    one_retransmission_and_eviction(&server);
}

fn a_lone_change_leaves_at_once(server: &Server) {
    let client = Client::new(true);
    client.subscribe(server, "lone");
    // The machine may be busy at one moment, not at each of five.
    let quickest = (0..5).map(|n| {
        thread::sleep(Duration::from_millis(700));
        let began = Instant::now();
        register(server, "lone", n);
        let packet = client.next(PATIENCE).expect("a change is pushed");
        assert_eq!(packet.hosts(), n + 1);
        assert!(n > 0 || !packet.zipped, "one instance is small");
        packet.at.saturating_duration_since(began)
    });
    let quickest = quickest.min().expect("there were five");
    assert!(quickest < Duration::from_millis(300), "{quickest:?}");
}

fn a_storm_is_gathered(server: &Server) {
    let client = Client::new(true);
    client.subscribe(server, "storm");
    let began = Instant::now();
    let mut registered = 0;
    while began.elapsed() < Duration::from_secs(3) {
        register(server, "storm", registered);
        registered += 1;
        // As many as fit into a datagram.
        thread::sleep(Duration::from_millis(20));
    }
    let mut packets = client.all(Duration::from_secs(2));
    let took = began.elapsed();
    // The first leaves at once; then one each half second, the last after the end of the storm.
    let most = 2 + took.as_millis() / 500;
    assert!(
        packets.len() as u128 <= most,
        "{} in {took:?}",
        packets.len()
    );
    assert!(
        packets.len() >= 3,
        "a storm is not held back to its end: {}",
        packets.len()
    );
    let last = packets.pop().expect("there are some");
    assert_eq!(last.hosts(), registered, "the last push has everything");
    assert!(last.zipped, "so many instances are large");
    assert_eq!(last.from.ip().to_string(), OWN);
}

fn one_retransmission_and_eviction(server: &Server) {
    let (polite, rude) = (Client::new(true), Client::new(false));
    register(server, "again", 0);
    polite.poll(server, "again");
    rude.poll(server, "again");
    let polled = Instant::now();
    // A new subscriber is pushed the list as it stands.
    assert!(polite.next(PATIENCE).is_some());
    let first = rude.next(PATIENCE).expect("a new subscriber is pushed to");
    let second = rude
        .next(Duration::from_secs(15))
        .expect("it is sent again");
    let after = second.at.saturating_duration_since(first.at);
    assert!((9_500..14_000).contains(&after.as_millis()), "{after:?}");
    assert_eq!(second.hosts(), 1);
    // The instance beats, so that nothing changes but by this test.
    let beat = "/nacos/v1/ns/instance/beat?serviceName=again&ip=10.0.0.1&port=80";
    while polled.elapsed() < Duration::from_secs(42) {
        assert_eq!(server.ask("PUT", beat, "").status, 200);
        polite.poll(server, "again");
        let none = polite.next(Duration::from_secs(2)).is_none();
        assert!(none, "what was acknowledged is not sent again");
    }
    assert!(
        rude.next(Duration::from_millis(1)).is_none(),
        "it is sent twice, not more"
    );
    // The rude one has not asked for longer than any client may be silent.
    register(server, "again", 1);
    assert_eq!(polite.next(PATIENCE).expect("it still polls").hosts(), 2);
    assert!(
        rude.next(Duration::from_secs(2)).is_none(),
        "who is gone is not pushed to"
    );
}
