//! Ten times more requests than the server can answer, on each API: who is let in is answered soon, who is not is told
//! so in the client's own words, nothing that was acknowledged is lost, memory stays bounded, and when it is over the
//! server is as before. Instances whose beats are refused meanwhile stay.
//!
//! The load is this process's, one thread of it; capacity is measured just before, by a closed loop of as many
//! connections as keep the server busy without making anybody wait: what they wait is what "unloaded" means here.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::flood::{Asks, Flood, Outcome};
use nacrite_tests::http::Connection;
use nacrite_tests::requests::{
    beat, content, grpc_list, grpc_publish, grpc_read_config, grpc_register, ip, list, publish,
    publish_one, read_config, register,
};
use nacrite_tests::sample::sized;
use nacrite_tests::server::{Server, Setup, is_optimised, open_files};
use nacrite_tests::way::Protocol;
use nacrite_tests::wire::{Wire, request};
use tokio::task::LocalSet;
use tokio::time::sleep;

/// What the server lets a request wait for a worker (its default).
const TARGET: Duration = Duration::from_millis(10);
/// More than the server can answer.
const TIMES: f64 = 10.0;
/// Connections of the flood for each of the closed loop.
const CROWD: usize = 16;
/// Connections of the flood, at most and at least.
const MOST: usize = 4_000;
const LEAST: usize = 512;
/// Clients whose latency is measured, and their requests in a second.
const PROBES: usize = 8;
const PROBE_RATE: f64 = 200.0;
const PROBES_FROM: usize = 100_000;
/// Of a load, what does not count: the server measures for some windows before it refuses.
const SETTLES: Duration = Duration::from_secs(1);
/// Connections that publish when nothing is overloaded: writes share their syncs, so the more the faster. But all that
/// shared one come again at once, and without optimisation a wave of 200 waits longer for a worker than is allowed: so
/// fewer than are a crowd to the server.
const PUBLISHERS: usize = 60;
/// Instances whose beats must get through or be excused.
const WATCHED: u64 = 20;
const WATCHED_SERVICE: &str = "overload-watched";
/// What they say of themselves: gone after so long without a beat.
const GONE_AFTER_MS: u64 = 4_000;
/// What the server may grow by (bytes), of which 64 MiB are contents in memory and 64 MiB what its disk is behind.
const GROWS: u64 = 320 << 20;
/// Configs and instances that are written to, so that the data itself does not grow without end.
const NAMES: u64 = 20_000;

/// An API, and what was acknowledged.
struct Api {
    name: &'static str,
    protocol: Protocol,
    /// Connections that measure capacity; none: as many as make half of the wait for a worker that is allowed.
    connections: Option<usize>,
    /// Writes the request; connection and number.
    ask: fn(usize, u64, &mut Vec<u8>),
    /// What must be true of what was acknowledged.
    kept: Kept,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// The last content of each connection's config; they begin at this number.
    Contents(u64),
    /// Every instance.
    Instances,
}

/// A connection has one instance of a service: over gRPC each instance has a service of its own.
const OWN_SERVICES: u64 = 2_000;
const OVER_GRPC_IPS: u64 = 1 << 20;
/// Numbers of the configs that connections publish to.
const OVER_HTTP: u64 = 1_000_000;
const OVER_GRPC: u64 = 2_000_000;

const APIS: &[Api] = &[
    Api {
        name: "config read",
        protocol: Protocol::Http,
        connections: None,
        ask: |_, _, out| read_config(0, out),
        kept: Kept::Nothing,
    },
    Api {
        name: "publish",
        protocol: Protocol::Http,
        connections: Some(PUBLISHERS),
        ask: |connection, number, out| {
            publish(OVER_HTTP + connection as u64, &content(number), out);
        },
        kept: Kept::Contents(OVER_HTTP),
    },
    Api {
        name: "register",
        protocol: Protocol::Http,
        connections: None,
        ask: |_, number, out| register(number % 100, number % NAMES, out),
        kept: Kept::Instances,
    },
    Api {
        name: "beat",
        protocol: Protocol::Http,
        connections: None,
        ask: |_, number, out| beat(number % 100, number % 1_000, out),
        kept: Kept::Nothing,
    },
    Api {
        name: "list",
        protocol: Protocol::Http,
        connections: None,
        ask: |_, _, out| list(1_000, out),
        kept: Kept::Nothing,
    },
    Api {
        name: "gRPC publish",
        protocol: Protocol::Grpc,
        connections: Some(PUBLISHERS),
        ask: |connection, number, out| {
            grpc_publish(OVER_GRPC + connection as u64, &content(number), out);
        },
        kept: Kept::Contents(OVER_GRPC),
    },
    Api {
        name: "gRPC query",
        protocol: Protocol::Grpc,
        connections: None,
        ask: |_, number, out| match number % 2 {
            0 => grpc_read_config(0, out),
            _ => grpc_list(1_000, out),
        },
        kept: Kept::Nothing,
    },
    Api {
        name: "gRPC register",
        protocol: Protocol::Grpc,
        connections: None,
        ask: |_, number, out| {
            let number = number % OWN_SERVICES;
            grpc_register(OWN_SERVICES + number, OVER_GRPC_IPS | number, out);
        },
        kept: Kept::Instances,
    },
];

/// What is asked of one API, and the last number that was acknowledged to each connection, or all of them.
struct Asked {
    api: &'static Api,
    /// Numbers of its connections begin here.
    first: usize,
    last: RefCell<BTreeMap<usize, u64>>,
    all: RefCell<BTreeSet<u64>>,
}

impl Asked {
    fn of(api: &'static Api, first: usize) -> Self {
        Self {
            api,
            first,
            last: RefCell::default(),
            all: RefCell::default(),
        }
    }
}

impl Asks for Asked {
    fn make(&self, connection: usize, number: u64, out: &mut Vec<u8>) {
        (self.api.ask)(self.first + connection, number, out);
    }

    fn answered(&self, connection: usize, number: u64, status: u16) {
        if status != 200 {
            return;
        }
        match self.api.kept {
            Kept::Nothing => {}
            Kept::Contents(_) => {
                self.last.borrow_mut().insert(connection, number);
            }
            Kept::Instances => {
                self.all.borrow_mut().insert(number % NAMES);
            }
        }
    }
}

/// A content's or a list's text, as a client without hurry gets it.
async fn text(wire: &mut Wire, request: &[u8]) -> String {
    let began = Instant::now();
    loop {
        let taken = wire.take(request).await.expect("the server answers");
        if taken.status == 200 {
            return String::from_utf8(taken.body).expect("answers are text");
        }
        assert_eq!(
            taken.status,
            503,
            "{}",
            String::from_utf8_lossy(&taken.body)
        );
        assert!(began.elapsed() < Duration::from_secs(20), "it stays busy");
    }
}

async fn verify(at: SocketAddr, asked: &Asked) {
    let mut wire = Wire::open(at).await.expect("the server listens");
    match asked.api.kept {
        Kept::Nothing => {}
        Kept::Contents(first) => {
            for (connection, number) in asked.last.take() {
                let mut read = Vec::new();
                read_config(first + connection as u64, &mut read);
                let found = text(&mut wire, &read).await;
                assert_eq!(
                    found,
                    content(number),
                    "connection {connection} saw this acknowledged"
                );
            }
        }
        Kept::Instances => {
            let mut listed = BTreeMap::new();
            for number in asked.all.take() {
                let service = match asked.api.protocol {
                    Protocol::Http => number % 100,
                    Protocol::Grpc => OWN_SERVICES + number % OWN_SERVICES,
                };
                if let Entry::Vacant(entry) = listed.entry(service) {
                    let mut read = Vec::new();
                    list(service, &mut read);
                    entry.insert(addresses(&text(&mut wire, &read).await));
                }
                let shown = match asked.api.protocol {
                    Protocol::Http => ip(number),
                    Protocol::Grpc => ip(OVER_GRPC_IPS | (number % OWN_SERVICES)),
                };
                assert!(
                    listed[&service].contains(&shown),
                    "{shown} was acknowledged and is not listed"
                );
            }
        }
    }
}

/// Addresses in a list.
fn addresses(list: &str) -> BTreeSet<String> {
    list.split("\"ip\":\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect()
}

/// Beats as a client does, refused or not; the server must never say that it does not know the instance.
async fn keep_beating(at: SocketAddr, n: u64) {
    let mut wire = Wire::open(at).await.expect("the server listens");
    let beat = request(
        "PUT",
        &format!("/v1/ns/instance/beat?serviceName={WATCHED_SERVICE}&ip=10.200.0.{n}&port=80"),
    );
    loop {
        let taken = wire.take(&beat).await.expect("the server answers");
        let body = String::from_utf8_lossy(&taken.body);
        assert!(
            taken.status == 503 || (taken.status == 200 && !body.contains("20404")),
            "instance {n} has expired: {} {body}",
            taken.status
        );
        sleep(Duration::from_millis(1_000)).await;
    }
}

async fn all_watched_are_listed(wire: &mut Wire) {
    let read = request(
        "GET",
        &format!("/v1/ns/instance/list?serviceName={WATCHED_SERVICE}"),
    );
    let listed = addresses(&text(wire, &read).await);
    assert_eq!(listed.len() as u64, WATCHED, "some are gone: {listed:?}");
}

fn prepare(server: &Server) {
    let mut connection =
        Connection::open(server.port(), Duration::from_secs(30)).expect("the server listens");
    for n in 0..WATCHED {
        let metadata = format!(
            "preserved.heart.beat.interval=1000,preserved.heart.beat.timeout=3000,preserved.ip.delete.timeout={GONE_AFTER_MS}"
        );
        let form = format!(
            "serviceName={WATCHED_SERVICE}&ip=10.200.0.{n}&port=80&metadata={}",
            nacrite_tests::http::quoted(&metadata)
        );
        let answer = connection.ask("POST", "/nacos/v1/ns/instance", &form);
        assert_eq!(answer.expect("it is answered").text(), "ok");
    }
}

/// What one API showed.
struct Shown {
    connections: usize,
    unloaded: Seen,
    overloaded: Seen,
    after: Seen,
    /// Memory of the server at most, while it was flooded.
    most: u64,
    /// Ticks that processes other than the server and this one had meanwhile, and all that there were.
    others: (u64, u64),
}

/// Ticks of the machine: had by anybody, had by this process and the server, and all.
fn ticks(server: &Server) -> [u64; 3] {
    let numbers = |text: &str| -> Vec<u64> {
        text.split_whitespace()
            // What is negative is no time.
            .filter_map(|n| Some(n.parse::<i64>().ok()?.unsigned_abs()))
            .collect()
    };
    let of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat
            .rsplit_once(") ")
            .map(|(_, rest)| numbers(rest))
            .unwrap_or_default();
        // The letter of its state is no number: the times stand at 10 and 11.
        rest.get(10..12).map_or(0, |times| times.iter().sum())
    };
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = numbers(stat.lines().next().unwrap_or_default());
    let idle: u64 = all.iter().skip(3).take(2).sum();
    let sum: u64 = all.iter().take(8).sum();
    [sum - idle, of(server.pid()) + of(std::process::id()), sum]
}

/// A load, and what it was like for a few others meanwhile.
struct Seen {
    load: Outcome,
    probe: Outcome,
}

/// A few clients of another thread that ask now and then: their latency is the server's, and not that of the thread
/// which makes the load.
fn probe(at: SocketAddr, api: &'static Api, time: Duration) -> thread::JoinHandle<Outcome> {
    thread::spawn(move || {
        // Until the server has found out what it is in for.
        thread::sleep(SETTLES);
        let time = time - SETTLES;
        runtime().block_on(async move {
            let asks = Rc::new(Asked::of(api, PROBES_FROM));
            let mut few = Flood::open(api.protocol, at, PROBES)
                .await
                .expect("the server listens");
            few.at_rate(PROBE_RATE, time, &asks)
                .await
                .expect("the connections last")
        })
    })
}

async fn flood(server: &Server, at: SocketAddr, api: &'static Api) -> Shown {
    let asks = Rc::new(Asked::of(api, 0));
    let io = "the connections last";
    let few = sized(Duration::from_secs(2), Duration::from_secs(6));
    // As many as make half of the wait that is allowed.
    let mut first = Flood::open(api.protocol, at, 8).await.expect(io);
    let rate = first.closed(few / 3, &asks).await.expect(io).rate();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is clamped"
    )]
    let connections = ((rate * TARGET.as_secs_f64() / 2.0) as usize).clamp(16, 200);
    let connections = api.connections.unwrap_or(connections);
    let mut calm = Flood::open(api.protocol, at, connections).await.expect(io);
    let probing = probe(at, api, few);
    let load = calm.closed(few, &asks).await.expect(io);
    let unloaded = Seen {
        load,
        probe: probing.join().expect("the probe is answered"),
    };
    let crowd = (connections * CROWD).clamp(LEAST, MOST);
    let mut over = Flood::open(api.protocol, at, crowd).await.expect(io);
    let time = sized(Duration::from_secs(10), Duration::from_secs(60));
    let probing = probe(at, api, time);
    let most = Cell::new(0);
    let began = ticks(server);
    let watching = async {
        loop {
            most.set(server.resident().max(most.get()));
            sleep(Duration::from_millis(250)).await;
        }
    };
    let rate = unloaded.load.rate() * TIMES;
    let load = tokio::select! {
        load = over.at_rate(rate, time, &asks) => load.expect(io),
        () = watching => unreachable!("it watches until it is dropped"),
    };
    let overloaded = Seen {
        load,
        probe: probing.join().expect("the probe is answered"),
    };
    let ended = ticks(server);
    let [busy, own, all] = [0, 1, 2].map(|n| ended[n] - began[n]);
    sleep(Duration::from_secs(2)).await;
    let probing = probe(at, api, few);
    let load = calm.closed(few, &asks).await.expect(io);
    let after = Seen {
        load,
        probe: probing.join().expect("the probe is answered"),
    };
    verify(at, &asks).await;
    Shown {
        connections: crowd,
        unloaded,
        overloaded,
        after,
        most: most.get(),
        others: (busy.saturating_sub(own), all),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Clients that beat and one that lists, in a thread of their own, until told to stop.
fn watch_instances(at: SocketAddr, stop: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let stop = stop.clone();
    thread::spawn(move || {
        runtime().block_on(LocalSet::new().run_until(async move {
            let beating: Vec<_> = (0..WATCHED)
                .map(|n| tokio::task::spawn_local(keep_beating(at, n)))
                .collect();
            let mut wire = Wire::open(at).await.expect("the server listens");
            while !stop.load(Ordering::Relaxed) {
                all_watched_are_listed(&mut wire).await;
                // A beat that found its instance gone has panicked.
                assert!(
                    beating.iter().all(|b| !b.is_finished()),
                    "an instance has expired"
                );
                sleep(Duration::from_millis(200)).await;
            }
        }));
    })
}

#[test]
fn ten_times_too_much_on_each_api() {
    assert!(
        open_files() > 2 * MOST,
        "the machine allows too few open files"
    );
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let setup = Setup::new(&folder.path().join("data"));
    let mut server = setup.start();
    let at = SocketAddr::from(([127, 0, 0, 1], server.port()));
    prepare(&server);
    let before = server.resident();
    let stop = Arc::new(AtomicBool::new(false));
    let watching = watch_instances(at, &stop);
    runtime().block_on(async {
        let mut first = Wire::open(at).await.expect("the server listens");
        let mut made = Vec::new();
        publish_one(0, &mut made);
        assert_eq!(first.ask(&made).await.expect("it is answered"), 200);
        for n in 0..10 {
            made.clear();
            register(1_000, n, &mut made);
            assert_eq!(first.ask(&made).await.expect("it is answered"), 200);
        }
        for api in APIS {
            let mut shown = flood(&server, at, api).await;
            if let Err(slow) = judge(api, &shown, before, &server) {
                // A machine that is not the server's alone may have been busy with something else.
                println!("again: {slow}");
                shown = flood(&server, at, api).await;
                if let Err(slow) = judge(api, &shown, before, &server) {
                    let (others, all) = shown.others;
                    assert!(others * 8 > all, "the second time, too: {slow}");
                    println!(
                        "NOT JUDGED, other processes had {} % of the machine: {slow}",
                        others * 100 / all
                    );
                }
            }
            assert!(!watching.is_finished(), "an instance is gone");
        }
    });
    stop.store(true, Ordering::Relaxed);
    watching.join().expect("every instance is still there");
    server.terminate();
    assert!(server.await_end(Duration::from_secs(60)).success());
}

/// What must be true whatever the machine does; the error is what a busy machine may do, once.
fn judge(api: &Api, shown: &Shown, before: u64, server: &Server) -> Result<(), String> {
    let Shown {
        connections,
        unloaded,
        overloaded,
        after,
        most,
        others: _,
    } = shown;
    let p99 = |seen: &Seen| seen.probe.quantile(0.99);
    println!(
        "{}: {:.0}/s unloaded, p50 {:?}, p99 {:?}; {connections} connections at {TIMES} times that: {:.0}/s let in, p50 {:?}, \
         p99 {:?}, refused {:?} and {:?}, turned away {}; after it {:.0}/s, p99 {:?}; {} MiB more at most",
        api.name,
        unloaded.load.rate(),
        unloaded.probe.quantile(0.5),
        p99(unloaded),
        overloaded.load.rate(),
        overloaded.probe.quantile(0.5),
        p99(overloaded),
        overloaded.load.others,
        overloaded.probe.others,
        overloaded.load.turned_away,
        after.load.rate(),
        p99(after),
        most.saturating_sub(before) >> 20,
    );
    let (name, log) = (api.name, server.log_tail());
    let refusals = overloaded
        .load
        .others
        .keys()
        .chain(overloaded.probe.others.keys());
    assert!(
        refusals.into_iter().all(|status| *status == 503),
        "{name}: {:?}\n{log}",
        overloaded.load.others
    );
    assert!(
        overloaded.load.turned_away > 0,
        "{name}: there was no overload"
    );
    assert!(
        !overloaded.probe.admitted.is_empty(),
        "{name}: nobody is let in"
    );
    let grown = most.saturating_sub(before);
    assert!(grown < GROWS, "{name}: {grown} bytes more");
    for seen in [unloaded, after] {
        let refused = seen.load.refused() + seen.probe.refused();
        if refused > 0 {
            return Err(format!(
                "{name}: {refused} were refused without an overload"
            ));
        }
    }
    // At least what the server lets requests wait: three threads that are busy on two processors wait for each other as long.
    // Without optimisation far more is under way between two of the server's measurements.
    let usual = p99(unloaded).max(TARGET * if is_optimised() { 1 } else { 5 });
    if p99(overloaded) > 3 * usual {
        return Err(format!(
            "{name}: {:?} is more than three times {usual:?}",
            p99(overloaded)
        ));
    }
    if p99(after) > 2 * usual {
        return Err(format!(
            "{name}: {:?} two seconds after it is more than twice {usual:?}",
            p99(after)
        ));
    }
    Ok(())
}
