//! gRPC against a real server: what a broken or hostile client does stays its own matter. Every kind of message is in `catalogue`. Not here: many
//! connections at once (`crowd`), beside which no bound on time would hold.

#[path = "grpc/catalogue.rs"]
mod catalogue;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use nacrite_tests::bodies::{instance, named};
use nacrite_tests::grpc::{Answer, Client, PATIENCE, framed};
use nacrite_tests::server::{Server, Setup};
use serde_json::{Value, json};

/// A server with some further arguments; its data goes with the folder.
fn server(more: &[&str]) -> (tempfile::TempDir, Server) {
    // A free port is free until somebody takes it: the tests of this program start their servers in turns.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Setup::new(&folder.path().join("data")).with(more).start();
    (folder, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_ask_clients_what_they_hold_and_to_go() {
    let (_folder, server) = server(&[]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::ready(server.port()).await);
    }
    let ask = |method: &str, target: &str| {
        tokio::task::block_in_place(|| server.ask(method, target, "")).text()
    };
    let held = ask(
        "GET",
        "/nacos/v1/cs/metrics/current?ip=127.0.0.1&dataId=d&group=g&tenant=t",
    );
    let expected = json!({"cacheData:d+g+t": "held", "snapshotData:d+g+t": "held"});
    assert_eq!(serde_json::from_str::<Value>(&held).ok(), Some(expected));
    let asked = "/nacos/v3/admin/cs/metrics/ip?ip=127.0.0.9&dataId=d&groupName=g";
    let none = ask("GET", asked);
    assert_eq!(none, r#"{"code":0,"message":"success","data":{}}"#);

    // One of three is asked to go: the newest.
    let to = "redirectAddress=10.9.9.9:8848";
    let reload = format!("/nacos/v2/core/loader/reloadCurrent?count=2&{to}");
    assert_eq!(ask("GET", &reload), "success");
    let reset = clients[2].push("ConnectResetRequest").await;
    assert_eq!(
        (&reset["serverIp"], &reset["serverPort"]),
        (&"10.9.9.9".into(), &"8848".into())
    );
    let id = reset["connectionId"].as_str().unwrap_or_default();
    let current = ask("GET", "/nacos/v2/core/loader/current");
    assert!(current.contains(id), "it names the connection");
    for client in &mut clients[..2] {
        assert_eq!(client.arrived_of(&["ConnectResetRequest"]), 0);
    }
    // By its id, wherever it likes.
    let one = format!("/nacos/v3/admin/core/loader/reloadClient?connectionId={id}");
    let answer = ask("POST", &one);
    assert_eq!(answer, r#"{"code":0,"message":"success","data":null}"#);
    let reset = clients[2].push("ConnectResetRequest").await;
    assert_eq!(
        (&reset["connectionId"], reset.get("serverIp")),
        (&id.into(), None)
    );
}

#[tokio::test]
async fn what_is_broken_is_one_error_and_the_connection_goes_on() {
    let (_folder, server) = server(&[]);
    let mut client = Client::ready(server.port()).await;
    let unknown = client.ask("NoSuchRequest", &json!({})).await;
    assert_eq!(
        (unknown.code(), unknown.kind.as_str()),
        (302, "ErrorResponse")
    );
    for body in [&b"{\"serviceName\":"[..], b"[1]", b"\xff\xfe", b"null"] {
        let framed = framed("InstanceRequest", body);
        let broken = client.send(framed, &[]).await.expect("an answer");
        assert_eq!(
            (broken.code(), broken.kind.as_str()),
            (502, "ErrorResponse")
        );
    }
    // On the stream: a kind that is none, an answer to nothing, JSON that is none, and the set-up once more.
    client.write("NoSuchRequest", b"{}");
    client.write("NotifySubscriberResponse", b"{\"requestId\":\"999999\"}");
    client.write("NotifySubscriberResponse", b"{");
    client.write("ConnectionSetupRequest", b"{\"labels\":{}}");
    let subscribe = named("s", json!({"subscribe": true, "clusters": ""}));
    client.ask("SubscribeServiceRequest", &subscribe).await;
    let registered = named(
        "s",
        json!({"type": "registerInstance", "instance": instance(1)}),
    );
    assert_eq!(client.ask("InstanceRequest", &registered).await.code(), 0);
    loop {
        let pushed = client.push("NotifySubscriberRequest").await;
        if pushed["serviceInfo"]["hosts"]
            .as_array()
            .is_some_and(|h| h.len() == 1)
        {
            break;
        }
    }
}

#[tokio::test]
async fn a_request_before_the_set_up_waits_for_it_and_not_for_ever() {
    let (_folder, server) = server(&[]);
    let lonely = Client::connect(server.port()).await;
    let asked = Instant::now();
    let refused = lonely.ask("HealthCheckRequest", &json!({})).await;
    assert_eq!(
        (refused.code(), refused.kind.as_str()),
        (301, "ErrorResponse")
    );
    assert!(
        asked.elapsed() >= Duration::from_millis(2_900),
        "{:?}",
        asked.elapsed()
    );

    let mut client = Client::connect(server.port()).await;
    let health = json!({});
    let early = || async { client.ask("HealthCheckRequest", &health).await.code() };
    // 64 may wait; those beyond are told at once, while the others still wait.
    let mut waiting: Vec<_> = (0..80).map(|_| Box::pin(early())).collect();
    let asked = Instant::now();
    let mut refused = 0;
    while refused < 16 {
        let (code, place) = first(&mut waiting).await;
        assert_eq!(code, 301);
        drop(waiting.swap_remove(place));
        refused += 1;
    }
    assert!(
        asked.elapsed() < Duration::from_millis(2_900),
        "{:?}",
        asked.elapsed()
    );
    drop(waiting);
    client.set_up(true).await;
    assert_eq!(client.ask("HealthCheckRequest", &json!({})).await.code(), 0);

    // A client that asks right behind its set-up is served.
    let mut hasty = Client::connect(server.port()).await;
    hasty.set_up(true).await;
    assert_eq!(hasty.ask("HealthCheckRequest", &json!({})).await.code(), 0);
    hasty.push("SetupAckRequest").await;
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over_and_the_connection_goes_on() {
    let (_folder, server) = server(&["--grpc-early-request-timeout-ms", "30000"]);
    let mut client = Client::connect(server.port()).await;
    let (health, asked) = (json!({}), Instant::now());
    // It waits for a set-up that does not come: for 30 s, if its caller did.
    let late = client
        .ask_within("HealthCheckRequest", &health, "200m")
        .await;
    assert_eq!((late.status.as_str(), late.kind.as_str()), ("4", ""));
    assert!(asked.elapsed() >= Duration::from_millis(200));
    client.set_up(true).await;
    let in_time = client
        .ask_within("HealthCheckRequest", &health, "60S")
        .await;
    assert_eq!((in_time.status.as_str(), in_time.code()), ("0", 0));
    // What is no time-out is none.
    let unread = client.ask_within("HealthCheckRequest", &health, "x").await;
    assert_eq!((unread.status.as_str(), unread.code()), ("0", 0));
    client.push("SetupAckRequest").await;
}

#[tokio::test]
async fn another_path_and_an_unknown_compression_are_unimplemented() {
    let (_folder, server) = server(&[]);
    let client = Client::ready(server.port()).await;
    let elsewhere = client.call_path("/Request/other").await.expect("an answer");
    assert_eq!(elsewhere.status, "12");
    let mut compressed = BytesMut::from(&framed("HealthCheckRequest", b"{}")[..]);
    compressed[0] = 1;
    let refused = client.send(compressed.freeze(), &[]).await;
    assert_eq!(refused.expect("an answer").status, "12");
    assert_eq!(client.ask("HealthCheckRequest", &json!({})).await.code(), 0);
    let plain = framed("HealthCheckRequest", b"{}");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain[5..]).expect("memory takes it");
    let zipped = encoder.finish().expect("memory takes it");
    let length = u32::try_from(zipped.len()).expect("it is small");
    let frame = [&[1], &length.to_be_bytes()[..], &zipped].concat();
    let read = client.send_encoded("gzip", frame.clone().into()).await;
    assert_eq!((&*read.kind, read.code()), ("HealthCheckResponse", 0));
    let unread = client.send_encoded("snappy", frame.into()).await;
    assert_eq!(unread.status, "12");
}

/// The first of these to be done, and its place.
async fn first<T>(all: &mut [std::pin::Pin<Box<impl Future<Output = T>>>]) -> (T, usize) {
    std::future::poll_fn(|context| {
        for (place, one) in all.iter_mut().enumerate() {
            if let std::task::Poll::Ready(done) = one.as_mut().poll(context) {
                return std::task::Poll::Ready((done, place));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

#[tokio::test]
async fn a_cut_connection_is_told_to_subscribers_within_a_second() {
    let (_folder, server) = server(&[]);
    let mut watcher = Client::ready(server.port()).await;
    let subscribe = named("cut", json!({"subscribe": true, "clusters": ""}));
    watcher.ask("SubscribeServiceRequest", &subscribe).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let client = Client::ready(server.port()).await;
        let registered = named(
            "cut",
            json!({"type": "registerInstance", "instance": instance(1)}),
        );
        client.ask("InstanceRequest", &registered).await;
        await_hosts(&mut watcher, 1).await;
        let cut = Instant::now();
        drop(client);
        await_hosts(&mut watcher, 0).await;
        times.push(cut.elapsed());
    }
    times.sort_unstable();
    println!("from the cut to the subscriber: {times:?}");
    // The middle one: this may run beside everything else.
    assert!(times[2] <= Duration::from_secs(1), "{times:?}");
}

async fn await_hosts(watcher: &mut Client, hosts: usize) {
    loop {
        let pushed = watcher.push("NotifySubscriberRequest").await;
        if pushed["serviceInfo"]["hosts"].as_array().map(Vec::len) == Some(hosts) {
            return;
        }
    }
}

/// How long a bystander waits for an answer, at most.
async fn bystander_waits(client: &Client, during: Duration) -> Duration {
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < during {
        let asked = Instant::now();
        assert_eq!(client.ask("HealthCheckRequest", &json!({})).await.code(), 0);
        longest = longest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    longest
}

/// Beside a debug server on a busy machine.
const TOLERABLE: Duration = Duration::from_secs(5);

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Connects and writes this after the preface of HTTP/2.
fn raw(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port + 1_000)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream
        .write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes].concat())
        .expect("a write");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_half_a_frame_is_closed_and_nobody_else() {
    let limits = [
        "--grpc-setup-timeout-ms",
        "1000",
        "--grpc-idle-timeout-ms",
        "1000",
    ];
    let (_folder, server) = server(&limits);
    let port = server.port();
    let mut bystander = Client::ready(port).await;

    // 100 bytes are promised, 3 come: of the first frame, and of a client's that was set up before.
    let settings = &frame(4, 0, 0, &[0; 100])[..12];
    let mut halves: Vec<TcpStream> = (0..20).map(|_| raw(port, settings)).collect();
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/BiRequestStream/requestBiStream"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        // Literal, not indexed, not compressed (RFC 7541, 6.2.2).
        headers.push(0);
        for text in [name, value] {
            headers.push(u8::try_from(text.len()).expect("a short text"));
            headers.extend(text.as_bytes());
        }
    }
    let set_up = framed("ConnectionSetupRequest", br#"{"abilityTable":{}}"#);
    let mut wire = frame(4, 0, 0, &[]);
    wire.extend(frame(1, 4, 1, &headers));
    wire.extend(frame(0, 0, 1, &set_up));
    wire.extend(&frame(0, 0, 1, &[0; 100])[..12]);
    halves.push(raw(port, &wire));

    let begun = Instant::now();
    let ends: Vec<(Vec<u8>, Duration)> = tokio::task::spawn_blocking(move || {
        halves
            .iter_mut()
            .map(|half| {
                let mut answer = Vec::new();
                match half.read_to_end(&mut answer) {
                    Ok(_) => {}
                    Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
                    Err(e) => panic!("half a frame is not waited for for ever: {e}"),
                }
                (answer, begun.elapsed())
            })
            .collect()
    })
    .await
    .expect("all are closed");
    let (told, last) = ends.last().expect("there are some");
    let told = String::from_utf8_lossy(told);
    for kind in ["SetupAckRequest", "ClientDetectionRequest"] {
        assert!(told.contains(kind), "the last was a client: {told}");
    }
    assert!(*last >= Duration::from_secs(5), "its answer was waited for");
    assert!(!bystander.is_closed());
    assert_eq!(
        bystander.ask("HealthCheckRequest", &json!({})).await.code(),
        0
    );
    assert!(
        bystander.arrived_of(&["ClientDetectionRequest"]) > 0,
        "it was as silent, but answered"
    );
    println!(
        "half a frame was closed after {:?}, a client's after {last:?}",
        ends[0].1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_do_not_touch_others() {
    let (_folder, server) = server(&["--grpc-write-timeout-ms", "1000"]);
    let port = server.port();
    let bystander = Client::ready(port).await;
    let before = server.resident();

    // Another protocol: closed, not held.
    let mut http1 = TcpStream::connect(("127.0.0.1", port + 1_000)).expect("a connection");
    http1.set_read_timeout(Some(PATIENCE)).expect("an option");
    http1
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("a request");
    let mut answer = Vec::new();
    let ended = http1.read_to_end(&mut answer);
    assert!(
        ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
        "the connection ends"
    );

    // Half a frame, then nothing: 100 bytes of SETTINGS are promised, 3 come.
    let mut halves = Vec::new();
    for _ in 0..50 {
        halves.push(raw(port, &frame(4, 0, 0, &[0; 100])[..12]));
    }
    assert!(bystander_waits(&bystander, Duration::from_millis(300)).await < TOLERABLE);

    // A message of 100 MB: refused by its length, and the connection goes on.
    let large = Client::ready(port).await;
    let mut head = BytesMut::new();
    head.put_u8(0);
    head.put_u32(100 << 20);
    let chunk = Bytes::from(vec![b' '; 1 << 20]);
    let chunks = vec![chunk; 100];
    // The server may reset the call while it is still being written.
    let refused = large
        .send(head.freeze(), &chunks)
        .await
        .map(|a: Answer| a.status);
    assert!(!matches!(refused.as_deref(), Ok("0")), "{refused:?}");
    assert_eq!(large.ask("HealthCheckRequest", &json!({})).await.code(), 0);
    println!("a message of 100 MB: {refused:?}");

    // A flood of calls, and one of calls that are taken back.
    let flood = std::sync::Arc::new(Client::ready(port).await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let flood = flood.clone();
        calls.spawn(async move {
            for _ in 0..50 {
                assert_eq!(flood.ask("HealthCheckRequest", &json!({})).await.code(), 0);
            }
        });
    }
    assert!(bystander_waits(&bystander, Duration::from_millis(500)).await < TOLERABLE);
    calls.join_all().await;
    let resets = Client::ready(port).await;
    for _ in 0..5_000 {
        // The server may end the connection for it.
        if resets.reset_one().await.is_err() {
            break;
        }
    }
    assert!(bystander_waits(&bystander, Duration::from_millis(300)).await < TOLERABLE);

    // A client that does not read what it subscribed to.
    let deaf = stops_reading(port, &bystander).await;
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    while !deaf.is_closed() {
        assert!(begun.elapsed() < PATIENCE, "who does not read is closed");
        longest = longest.max(bystander_waits(&bystander, Duration::from_millis(200)).await);
    }
    assert!(longest < TOLERABLE, "{longest:?}");
    println!(
        "who does not read was closed after {:?}; others waited {longest:?} at most; memory grew by {} KiB",
        begun.elapsed(),
        server.resident().saturating_sub(before) >> 10
    );
    assert!(
        server.resident().saturating_sub(before) < 96 << 20,
        "memory is bounded"
    );
    drop(halves);
}

/// Subscribes to ten services of many instances over a stream that nobody reads.
async fn stops_reading(port: u16, owner: &Client) -> Client {
    let instances: Vec<Value> = (1..=200).map(instance).collect();
    let mut deaf = Client::connect(port).await;
    deaf.set_up(false).await;
    for n in 0..10 {
        let service = format!("large-{n}");
        let batch = json!({"type": "batchRegisterInstance", "instances": instances});
        let registered = owner
            .ask("BatchInstanceRequest", &named(&service, batch))
            .await;
        assert_eq!(registered.code(), 0, "{}", registered.body);
        let subscribe = named(&service, json!({"subscribe": true, "clusters": ""}));
        deaf.ask("SubscribeServiceRequest", &subscribe).await;
    }
    deaf
}
