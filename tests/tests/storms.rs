//! Connections that want to hurt, and crowds that come at once: slow heads, huge heads, floods of headers, as many idle
//! connections as the machine lets be open, and every parked poll coming again after a restart. Others are served
//! meanwhile, memory stays bounded, and afterwards everything is as before.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nacrite_tests::requests::{publish_one, read_config};
use nacrite_tests::sample::sized;
use nacrite_tests::server::{Server, Setup, open_files};
use nacrite_tests::wire::{Wire, form};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

/// How long a bystander's read may take beside a storm, on a machine that all of it runs on.
const BYSTANDER: Duration = Duration::from_millis(1_500);
/// Open files beside the connections.
const OTHER_FILES: usize = 300;
const PATIENCE: Duration = Duration::from_secs(120);

/// Held by each test: together they would need more open files than a process may have, and none is measured beside
/// another.
static ALONE: Mutex<()> = Mutex::new(());

fn run(test: impl Future<Output = ()>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(LocalSet::new().run_until(test));
}

fn address(server: &Server) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port()))
}

/// Publishes the config that a bystander reads.
async fn publish_first(at: SocketAddr) {
    let mut wire = Wire::open(at).await.expect("the server listens");
    let mut made = Vec::new();
    publish_one(0, &mut made);
    assert_eq!(wire.ask(&made).await.expect("it is answered"), 200);
}

/// Reads again and again; the longest time it took.
async fn bystander(at: SocketAddr, time: Duration) -> Duration {
    let mut wire = Wire::open(at).await.expect("the server listens");
    let mut read = Vec::new();
    read_config(0, &mut read);
    let end = Instant::now() + time;
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        let began = Instant::now();
        assert_eq!(wire.ask(&read).await.expect("it is answered"), 200);
        longest = longest.max(began.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    longest
}

/// What the other side says until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = async {
        let mut piece = [0; 4_096];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            all.extend_from_slice(&piece[..count]);
        }
    };
    timeout(PATIENCE, read).await.expect("it is closed in time");
    String::from_utf8_lossy(&all).into_owned()
}

/// A head that never ends; how long the server bore it.
async fn trickle(at: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(at).await.expect("the server listens");
    let began = Instant::now();
    let _gone = stream.write_all(b"GET / HTTP/1.1\r\n").await;
    while stream.write_all(b"X-A: b\r\n").await.is_ok() {
        sleep(Duration::from_millis(200)).await;
        assert!(began.elapsed() < PATIENCE, "a head may trickle for ever");
    }
    began.elapsed()
}

/// A head of this kind, again and again on new connections; each must be refused as too large.
async fn refused(at: SocketAddr, head: &str, times: usize) {
    for _ in 0..times {
        let mut stream = TcpStream::connect(at).await.expect("the server listens");
        // It may be answered before all of it is taken.
        let _refused = stream.write_all(head.as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer:.100}"
        );
    }
}

#[test]
fn hostile_heads_leave_others_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let setup = Setup::new(&folder.path().join("data")).with(&["--http-head-timeout-ms=3000"]);
    let server = setup.start();
    let at = address(&server);
    let (slow, many) = sized((500, 50), (5_000, 500));
    assert!(open_files() > slow + OTHER_FILES, "too few open files");
    run(async {
        publish_first(at).await;
        let before = server.resident();
        let slow: Vec<_> = (0..slow)
            .map(|_| tokio::task::spawn_local(trickle(at)))
            .collect();
        let huge = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n",
            "z".repeat(1 << 20)
        );
        let lines: String = (0..20_000).map(|n| format!("X-{n}: y\r\n")).collect();
        let flood = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        let mut most = 0;
        let (longest, ()) = tokio::join!(bystander(at, Duration::from_secs(5)), async {
            for _ in 0..5 {
                tokio::join!(refused(at, &huge, many / 5), refused(at, &flood, many / 5));
                most = most.max(server.resident());
            }
        });
        let mut borne = Duration::ZERO;
        for slow in slow {
            borne = borne.max(slow.await.expect("it was let go"));
        }
        let grown = most.saturating_sub(before) >> 20;
        println!(
            "a read beside it took {longest:?} at most; slow heads were borne for {borne:?}; {grown} MiB more"
        );
        assert!(longest < BYSTANDER, "{longest:?}");
        assert!(borne < Duration::from_secs(30), "{borne:?}");
        assert!(grown < 64, "{grown} MiB");
    });
}

#[test]
fn idle_connections_up_to_what_the_machine_allows() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let limit = open_files();
    let number = (limit - OTHER_FILES).min(sized(6_000, 29_000));
    let setup = Setup::new(&folder.path().join("data")).with(&["--http-idle-timeout-ms=10000"]);
    let server = setup.start();
    let at = address(&server);
    run(async {
        publish_first(at).await;
        let before = server.resident();
        let mut held = Vec::with_capacity(number);
        let mut read = Vec::new();
        read_config(0, &mut read);
        let began = Instant::now();
        for n in 0..number {
            let mut wire = Wire::open(at).await.expect("the server listens");
            // Half of them have been served, the others never said anything.
            if n % 2 == 0 {
                assert_eq!(wire.ask(&read).await.expect("it is answered"), 200);
            }
            held.push(wire);
        }
        let each = server.resident().saturating_sub(before) / number as u64;
        let longest = bystander(at, Duration::from_secs(2)).await;
        println!(
            "{number} idle connections of {limit} open files in {:?}: {each} bytes each; a read beside them took {longest:?} at most",
            began.elapsed()
        );
        assert!(longest < BYSTANDER, "{longest:?}");
        assert!(each < 24 << 10, "{each} bytes");
        // Those that stay silent are closed, and their places are given back.
        let began = Instant::now();
        for wire in &mut held {
            let end = timeout(PATIENCE, wire.receive()).await;
            assert!(
                end.expect("it is closed in time").is_err(),
                "nothing was asked"
            );
        }
        println!("all were closed {:?} later", began.elapsed());
        publish_first(at).await;
    });
}

fn poll(number: usize) -> Vec<u8> {
    form(
        "POST",
        "/v1/cs/configs/listener",
        "Long-Pulling-Timeout: 60000\r\n",
        &format!(
            "Listening-Configs=storm-{}%02DEFAULT_GROUP%02%01",
            number % 100
        ),
    )
}

async fn parked(server: &Server) -> usize {
    let mut wire = Wire::open(address(server))
        .await
        .expect("the server listens");
    let scrape = wire.take(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let text = String::from_utf8(scrape.expect("it is answered").body).expect("metrics are text");
    let found = text
        .lines()
        .find_map(|l| l.strip_prefix("nacrite_http_polls_parked "));
    found
        .and_then(|n| n.trim().parse::<f64>().ok())
        .unwrap_or_default() as usize
}

/// Connects and polls until all are there; refused as busy, it comes again a little later, as clients do.
async fn come(at: SocketAddr, number: usize, mut all_here: watch::Receiver<bool>) -> (Wire, u32) {
    let mut wire = Wire::open(at).await.expect("the server listens");
    let mut refused = 0;
    loop {
        wire.send(&poll(number)).await.expect("the server reads");
        // A poll that is parked says nothing; an answer is a refusal.
        tokio::select! {
            _ = all_here.wait_for(|all| *all) => return (wire, refused),
            status = wire.receive() => assert_eq!(status.expect("it is answered"), 503),
        }
        refused += 1;
        sleep(Duration::from_millis(200)).await;
    }
}

async fn all_come(server: &Server, number: usize) -> Vec<Wire> {
    let at = address(server);
    let began = Instant::now();
    let (tell, all_here) = watch::channel(false);
    let coming: Vec<_> = (0..number)
        .map(|n| tokio::task::spawn_local(come(at, n, all_here.clone())))
        .collect();
    while parked(server).await < number {
        assert!(began.elapsed() < PATIENCE, "not all are parked");
        sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    tell.send(true).expect("they wait for it");
    let mut wires = Vec::with_capacity(number);
    let mut refused = 0;
    for one in coming {
        let (wire, times) = one.await.expect("it is parked");
        wires.push(wire);
        refused += times;
    }
    println!(
        "{number} polls parked {took:?} after the first came, {refused} times refused as busy"
    );
    wires
}

#[test]
fn every_poll_comes_again_after_a_restart() {
    let number = sized(5_000, 15_000);
    assert!(open_files() > number + OTHER_FILES, "too few open files");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let setup = Setup::new(&folder.path().join("data"));
    let server = setup.start();
    run(async {
        publish_first(address(&server)).await;
        let wires = all_come(&server, number).await;
        let before = server.resident();
        server.kill();
        drop(wires);
        let server = setup.start();
        let at = address(&server);
        let (longest, mut wires) = tokio::join!(
            bystander_that_comes_again(at, Duration::from_secs(3)),
            all_come(&server, number)
        );
        let after = server.resident();
        println!(
            "a read beside it took {longest:?} at most; {} MiB before, {} MiB after",
            before >> 20,
            after >> 20
        );
        assert!(after < before + before / 2, "what came again costs more");
        // Those that are told are those that listen.
        let mut wire = Wire::open(at).await.expect("the server listens");
        let publish = form(
            "POST",
            "/v1/cs/configs",
            "",
            "dataId=storm-7&group=DEFAULT_GROUP&content=new",
        );
        assert_eq!(wire.ask(&publish).await.expect("it is answered"), 200);
        for wire in wires.iter_mut().skip(7).step_by(100) {
            let status = timeout(PATIENCE, wire.receive()).await;
            assert_eq!(
                status.expect("it is told in time").expect("it is answered"),
                200
            );
        }
        assert_eq!(parked(&server).await, number - number / 100);
    });
}

/// A read may be refused as busy while so many come at once, but it is answered.
async fn bystander_that_comes_again(at: SocketAddr, time: Duration) -> Duration {
    let mut wire = Wire::open(at).await.expect("the server listens");
    let mut read = Vec::new();
    read_config(0, &mut read);
    let end = Instant::now() + time;
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        let began = Instant::now();
        let status = wire.ask(&read).await.expect("it is answered");
        assert!(status == 200 || status == 503, "{status}");
        longest = longest.max(began.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    longest
}
