//! The host over real sockets: limits that hold, bad input that changes nothing, a start and an end in order.
//!
//! What an API means is tested where it stands; here is what needs a process: connections, sizes, times, signals.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::http::{Answer, Connection, ask, quoted};
use nacrite_tests::server::{Server, Setup, nacrite};

const PATIENCE: Duration = Duration::from_secs(30);

fn start(folder: &Path, flags: &[&str]) -> Server {
    Setup::new(&folder.join("data")).with(flags).start()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn connect(port: u16) -> TcpStream {
    let stream =
        TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("the server listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket takes a time-out");
    stream
}

/// Everything until the other side closes or resets.
fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("the connection stays open"),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn serves(server: &Server) {
    let answer = server.ask("GET", "/nacos/v1/ns/service/list?pageNo=1&pageSize=1", "");
    assert_eq!(
        answer.status,
        200,
        "{}\n{}",
        answer.text(),
        server.log_tail()
    );
}

fn publish(server: &Server, data_id: &str, content: &str) -> Answer {
    let form = format!("dataId={data_id}&group=g&content={}", quoted(content));
    server.ask("POST", "/nacos/v1/cs/configs", &form)
}

fn read(server: &Server, data_id: &str) -> Answer {
    let target = format!("/nacos/v1/cs/configs?dataId={data_id}&group=g");
    server.ask("GET", &target, "")
}

#[test]
fn a_whole_config_fits_into_a_url() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    let content = "line of a config\n".repeat(6_400);
    assert!(content.len() > 100 << 10);
    let target = format!(
        "/nacos/v1/cs/configs?dataId=long&group=g&content={}",
        quoted(&content)
    );
    assert_eq!(server.ask("POST", &target, "").text(), "true");
    assert_eq!(read(&server, "long").text(), content);
    let longer = "y".repeat(520 << 10);
    let mut stream = connect(server.port());
    // The server may answer and close before it has taken all of it.
    let _refused = write!(
        stream,
        "POST /nacos/v1/cs/configs?dataId=long&group=g&content={longer} HTTP/1.1\r\nHost: x\r\n\r\n"
    );
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 414"), "{answer:.200}");
    assert_eq!(read(&server, "long").text(), content);
}

#[test]
fn heads_and_bodies_have_limits() {
    let folder = folder();
    let flags = [
        "--http-head-timeout-ms=700",
        "--http-body-timeout-ms=700",
        "--http-max-body=64KiB",
        "--http-max-body-memory=1MiB",
        "--http-max-headers=20",
        "--http-max-head=8KiB",
    ];
    let server = start(folder.path(), &flags);
    let say = |text: &str| {
        let mut stream = connect(server.port());
        let _refused = stream.write_all(text.as_bytes());
        rest(&mut stream)
    };

    // A head that trickles in is cut off, however lively it looks.
    let mut slow = connect(server.port());
    let began = Instant::now();
    slow.write_all(b"GET / HTTP/1.1\r\n")
        .expect("the server listens");
    while slow.write_all(b"X-A: b\r\n").is_ok() {
        thread::sleep(Duration::from_millis(100));
        assert!(began.elapsed() < PATIENCE, "a head may trickle for ever");
    }

    let flood: String = (0..50).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = say(&format!("GET / HTTP/1.1\r\nHost: x\r\n{flood}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:.200}");
    let long = "z".repeat(20 << 10);
    let answer = say(&format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"
    ));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer:.200}");

    let post = "POST /nacos/v1/ns/instance HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let answer = say(&format!("{post}Content-Length: 100000000\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer:.200}");
    let answer = say(&format!("{post}Content-Length: 10\r\n\r\nabc"));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer:.200}");
    let chunk = "q".repeat(0x20000);
    let answer = say(&format!(
        "{post}Transfer-Encoding: chunked\r\n\r\n20000\r\n{chunk}"
    ));
    assert!(
        answer.starts_with("HTTP/1.1 413") || answer.is_empty(),
        "{answer:.200}"
    );

    for noise in [
        "\0\0\0\0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "GET  /  HTTP/9.9\r\n\r\n",
    ] {
        let answer = say(noise);
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400");
        assert!(refused, "{noise:?}: {answer:.200}");
    }
    serves(&server);
}

#[test]
fn one_connection_too_many_is_told_so() {
    let folder = folder();
    let server = start(folder.path(), &["--http-max-connections=8"]);
    // The one that asked whether it is ready may not be gone yet.
    thread::sleep(Duration::from_millis(300));
    let mut held: Vec<Connection> = (0..8)
        .map(|_| Connection::open(server.port(), PATIENCE).expect("the server listens"))
        .collect();
    for connection in &mut held {
        assert_eq!(
            connection
                .ask("GET", "/", "")
                .expect("a place is left")
                .status,
            200
        );
    }
    let answer = rest(&mut connect(server.port()));
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer:.200}");
    drop(held);
    let began = Instant::now();
    while !ask(server.port(), "GET", "/", "").is_ok_and(|a| a.status == 200) {
        assert!(began.elapsed() < PATIENCE, "places are not given back");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_that_reads_nothing_is_let_go() {
    let folder = folder();
    let server = start(folder.path(), &["--http-write-timeout-ms=500"]);
    let mut deaf = connect(server.port());
    deaf.set_write_timeout(Some(Duration::from_millis(200)))
        .expect("a socket takes a time-out");
    // Requests with answers of many kilobytes each, of which not one is read.
    let began = Instant::now();
    loop {
        match deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") {
            Err(e) if e.kind() != ErrorKind::WouldBlock => break,
            _ => assert!(began.elapsed() < PATIENCE, "it is still held on to"),
        }
    }
    serves(&server);
}

#[test]
fn what_is_too_much_at_once_is_refused_and_then_it_serves_again() {
    let folder = folder();
    let flags = [
        "--store-max-behind=16MiB",
        "--queue-max-bytes=16MiB",
        "--http-max-body-memory=48MiB",
    ];
    let server = start(folder.path(), &flags);
    let instance = "/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80";
    assert_eq!(server.ask("POST", instance, "").text(), "ok");
    let content = "x".repeat(8 << 20);
    // A slow disk leaves them in the queue or the store behind; before a fast one they are too many on their way. If not
    // at once, then in one of a few waves.
    let wave = || -> Vec<Answer> {
        thread::scope(|scope| {
            let asked: Vec<_> = (0..12)
                .map(|n| {
                    scope.spawn({
                        let server = &server;
                        let form = format!("dataId=c{n}&group=g&content={content}");
                        move || server.ask("POST", "/nacos/v1/cs/configs", &form)
                    })
                })
                .collect();
            let joined = asked.into_iter().map(|a| a.join().expect("it is answered"));
            joined.collect()
        })
    };
    let overloaded = |answers: &Vec<Answer>| answers.iter().any(|a| a.status != 200);
    let answers = (0..10).map(|_| wave()).find(overloaded).unwrap_or_default();
    let refused: Vec<&Answer> = answers.iter().filter(|a| a.status != 200).collect();
    assert!(!refused.is_empty(), "96 MiB at once are more than may wait");
    assert!(
        refused.len() < answers.len(),
        "some are taken: {}",
        refused[0].text()
    );
    for answer in refused {
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    let began = Instant::now();
    while publish(&server, "after", "small").status != 200 {
        assert!(began.elapsed() < PATIENCE, "it stays busy");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(read(&server, "after").text(), "small");
    let list = "/nacos/v1/ns/instance/list?serviceName=s";
    let list = server.ask("GET", list, "").text();
    assert!(list.contains("10.0.0.1"), "{list}");
}

#[test]
fn pages_of_listed_origins_may_read_and_write() {
    let folder = folder();
    let say = |server: &Server, what: &str, headers: &str| {
        let mut stream = connect(server.port());
        let request = format!("{what} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .expect("the server listens");
        let answer = rest(&mut stream);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let lines = head.lines().filter(|line| !line.starts_with("date:"));
        (
            lines.map(str::to_owned).collect::<Vec<_>>(),
            body.to_owned(),
        )
    };
    let poses = |head: &[String]| {
        let ours = head.iter();
        let ours =
            ours.filter(|line| line.starts_with("access-control") || line.starts_with("vary"));
        ours.cloned().collect::<Vec<_>>()
    };
    let read = "GET /nacos/v1/cs/configs?dataId=page&group=g";
    let asks = "OPTIONS /nacos/v1/cs/configs";
    let page = "Origin: https://a.example\r\n";
    let asking = format!("{page}Access-Control-Request-Method: POST\r\n");

    let server = start(folder.path(), &[]);
    assert_eq!(publish(&server, "page", "of a page").text(), "true");
    let plain = say(&server, read, "");
    assert!(plain.0[0].starts_with("HTTP/1.1 200") && poses(&plain.0).is_empty());
    assert_eq!(say(&server, read, page), plain);
    assert!(poses(&say(&server, asks, &asking).0).is_empty());
    drop(server);

    let flag = "--http-cors-origins=https://a.example,http://localhost:3000";
    let server = start(folder.path(), &[flag]);
    let (head, body) = say(&server, read, page);
    assert_eq!(body, plain.1);
    assert_eq!(
        poses(&head),
        [
            "vary: origin",
            "access-control-allow-origin: https://a.example",
            "access-control-expose-headers: *",
        ]
    );
    let (head, _) = say(&server, asks, &asking);
    assert!(head[0].starts_with("HTTP/1.1 204"), "{head:?}");
    assert!(
        poses(&head).contains(&"access-control-allow-origin: https://a.example".to_owned()),
        "{head:?}"
    );
    let (head, body) = say(&server, read, "Origin: https://b.example\r\n");
    assert_eq!(
        (poses(&head), body),
        (vec!["vary: origin".to_owned()], plain.1)
    );
}

#[test]
fn it_listens_on_ipv6() {
    struct Killed(std::process::Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _gone = (self.0.kill(), self.0.wait());
        }
    }
    let folder = folder();
    let port = Setup::new(folder.path()).port().to_string();
    let data = folder.path().join("data");
    let data = data.to_str().expect("temporary folders have plain names");
    let mut command = nacrite(&["serve", "--data", data, "--bind", "::1", "--port", &port]);
    let _server = Killed(command.spawn().expect("the binary can be started"));
    let at = (Ipv6Addr::LOCALHOST, port.parse().expect("it was a number"));
    let began = Instant::now();
    loop {
        if let Ok(mut stream) = TcpStream::connect(at) {
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("a socket takes a time-out");
            let path = "/nacos/v1/ns/service/list?pageNo=1&pageSize=1";
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n"
            )
            .expect("it listens");
            if rest(&mut stream).starts_with("HTTP/1.1 200") {
                return;
            }
        }
        assert!(began.elapsed() < PATIENCE, "no answer over IPv6");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_end_answers_parked_polls() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    let mut parked: Vec<Connection> = (0..5)
        .map(|n| {
            let mut poll = Connection::open(server.port(), PATIENCE).expect("the server listens");
            let form = format!(
                "Listening-Configs={}",
                quoted(&format!("d{n}\u{2}g\u{2}\u{1}"))
            );
            let hold = [("Long-Pulling-Timeout", "29000")];
            poll.send("POST", "/nacos/v1/cs/configs/listener", &hold, &form)
                .expect("it is sent");
            poll
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    for poll in &parked {
        assert!(
            !poll.has_answer().expect("it is open"),
            "nothing has changed yet"
        );
    }
    let began = Instant::now();
    server.terminate();
    for poll in &mut parked {
        let answer = poll.answer().expect("a poll is answered at the end");
        assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    }
    assert_eq!(server.await_end(PATIENCE).code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}

/// Requests that are refused: method, target, form, status, and a part of the answer, as recorded from the reference.
const BAD: &[(&str, &str, &str, u16, &str)] = &[
    (
        "POST",
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1",
        "",
        400,
        "'port' is required",
    ),
    (
        "POST",
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=70000",
        "",
        400,
        "'port' is illegal",
    ),
    (
        "POST",
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=abc",
        "",
        400,
        "'port' is illegal",
    ),
    (
        "POST",
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80&weight=20000",
        "",
        400,
        "weights range from",
    ),
    (
        "POST",
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80&weight=abc",
        "",
        400,
        "abc",
    ),
    (
        "POST",
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80&clusterName=a_b",
        "",
        400,
        "'clusterName'",
    ),
    (
        "POST",
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80&metadata=%7Bbad",
        "",
        500,
        "metadata format",
    ),
    (
        "POST",
        "/v1/ns/instance?serviceName=a%20b&ip=1.1.1.1&port=80",
        "",
        400,
        "'serviceName' is illegal",
    ),
    (
        "GET",
        "/v1/cs/configs?dataId=none&group=g",
        "",
        404,
        "config data not exist",
    ),
    (
        "POST",
        "/v1/cs/configs",
        "dataId=d&group=g&content=",
        400,
        "",
    ),
    ("POST", "/v1/cs/configs", "dataId=d&group=g", 500, "content"),
    (
        "POST",
        "/v1/cs/configs",
        "dataId=a/b&group=g&content=c",
        400,
        "'dataId' is illegal",
    ),
    (
        "POST",
        "/v1/cs/configs",
        "dataId=%ff%fe&group=g&content=c",
        400,
        "'dataId' is illegal",
    ),
    (
        "POST",
        "/v1/cs/configs/listener",
        "Listening-Configs=no%01",
        500,
        "",
    ),
    ("POST", "/v1/ns/nothing", "", 501, "no such api"),
    ("GET", "/v1/nothing", "", 404, "Not Found"),
    ("PATCH", "/v1/cs/configs", "", 405, ""),
];

#[test]
fn bad_input_is_refused_as_recorded_and_changes_nothing() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    let mut wrong = Vec::new();
    let mut check = |method: &str, target: &str, form: &str, status: u16, part: &str| {
        let answer = server.ask(method, &format!("/nacos{target}"), form);
        let text = answer.text();
        if answer.status != status || !text.contains(part) {
            wrong.push(format!(
                "{method} {target} {form:.40}: {} {text:.200}",
                answer.status
            ));
        }
    };
    for (method, target, form, status, part) in BAD {
        check(method, target, form, *status, part);
    }
    let long = "a".repeat(65);
    let target = format!("/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80&namespaceId={long}");
    check("POST", &target, "", 400, "should not exceed 64");
    let form = format!("dataId=d&group=g&content={}", "c".repeat((10 << 20) + 1));
    check("POST", "/v1/cs/configs", &form, 400, "");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let list = "/nacos/v1/ns/service/list?pageNo=1&pageSize=10";
    assert_eq!(
        server.ask("GET", list, "").text(),
        r#"{"count":0,"doms":[]}"#
    );
    let search = "/nacos/v1/cs/configs?search=blur&dataId=*&group=*&pageNo=1&pageSize=10";
    let configs = server.ask("GET", search, "").text();
    assert!(configs.contains(r#""totalCount":0"#), "{configs}");
}

/// The UDP port that a process has open, from what the system says of its sockets.
fn udp_port(pid: u32) -> u16 {
    let inode = |to: &str| Some(to.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    let inodes: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the server runs")
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|to| inode(to.to_str()?))
        .collect();
    let table = |name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let all = ["udp", "udp6"].map(table).join("\n");
    let mut ports = all.lines().rev().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = fields.get(1)?.rsplit(':').next()?;
        inodes
            .contains(*fields.get(9)?)
            .then(|| u16::from_str_radix(port, 16).ok())?
    });
    ports.next().expect("the server has a UDP socket")
}

#[test]
fn noise_on_the_udp_port_is_dropped() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    let to = ("127.0.0.1", udp_port(server.pid()));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let ack = br#"{"type":"push-ack","lastRefTime":"123456","data":""}"#;
    for round in 0..2_000 {
        let bytes: Vec<u8> = if round % 2 == 0 {
            (0..next() % 1_500).map(|_| next() as u8).collect()
        } else {
            // An acknowledgement with a few bytes changed, or cut short.
            let mut bytes = ack.to_vec();
            for _ in 0..next() % 4 {
                let at = next() as usize % bytes.len();
                bytes[at] = next() as u8;
            }
            bytes.truncate(next() as usize % (ack.len() + 1));
            bytes
        };
        socket.send_to(&bytes, to).expect("loopback takes it");
    }
    socket
        .send_to(&[b'{'; 60_000], to)
        .expect("loopback takes it");
    serves(&server);
    socket.set_nonblocking(true).expect("a socket can be asked");
    assert!(
        socket.recv_from(&mut [0; 64]).is_err(),
        "noise is not answered"
    );
}
