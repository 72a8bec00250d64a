//! A core with planted faults, as a module: a fault costs its own request and nothing else. What cannot be dropped stops
//! the node with its reason.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::bodies::{instance, named};
use nacrite_tests::engine::{core, module_path, planted};
use nacrite_tests::grpc::Client;
use nacrite_tests::http::Connection;
use nacrite_tests::sample::sized;
use nacrite_tests::server::{Setup, is_optimised, run, said};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);
/// Requests of others in a second, and the connections they come on.
const RATE: u32 = 1_000;
const CONNECTIONS: u32 = 20;
/// By how much the p99 of others may rise: the bound on one recovery.
const BOUND: Duration = Duration::from_secs(1);

/// Registers so many instances over one connection, which keeps them alive.
async fn register(port: u16, instances: usize) -> Client {
    let client = Client::ready(port).await;
    for service in 0..instances / 500 {
        let list: Vec<_> = (1..=500).map(instance).collect();
        let body = json!({"type": "batchRegisterInstance", "instances": list});
        let service = format!("crowd-{service}");
        let answer = client
            .ask("BatchInstanceRequest", &named(&service, body))
            .await;
        assert_eq!(answer.code(), 0, "{}", answer.body);
    }
    client
}

/// Asks at the rate of one of many until told to stop; the times that answers took. Every answer must be good.
fn others(port: u16, own: u32, stop: &AtomicBool) -> Vec<Duration> {
    let mut connection = Connection::open(port, PATIENCE).expect("the server listens");
    let every = Duration::from_secs(1) * CONNECTIONS / RATE;
    let (mut times, mut due) = (Vec::new(), Instant::now());
    for n in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (method, target, form) = match n % 5 {
            0 => {
                let form = format!("dataId=own-{own}&group=g&content=c{n}");
                ("POST", "/nacos/v1/cs/configs".to_owned(), form)
            }
            1 | 2 if n > 5 => {
                let target = format!("/nacos/v1/cs/configs?dataId=own-{own}&group=g");
                ("GET", target, String::new())
            }
            _ => {
                let target = format!(
                    "/nacos/v1/ns/instance?serviceName=s{own}&ip=10.0.0.1&port={}",
                    1 + n % 9
                );
                ("POST", target, String::new())
            }
        };
        let began = Instant::now();
        let answer = connection
            .ask(method, &target, &form)
            .unwrap_or_else(|e| panic!("request {n} of {own}: {method} {target}: {e}"));
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
        times.push(began.elapsed());
        due += every;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    times
}

/// All others for so long, beside `work`; their times, sorted.
fn beside(port: u16, work: impl FnOnce()) -> Vec<Duration> {
    let stop = AtomicBool::new(false);
    let mut times = thread::scope(|scope| {
        let stop = &stop;
        let all: Vec<_> = (0..CONNECTIONS)
            .map(|own| scope.spawn(move || others(port, own, stop)))
            .collect();
        work();
        stop.store(true, Ordering::Relaxed);
        let ended = all
            .into_iter()
            .map(|t| t.join().expect("none of theirs fails"));
        ended.flatten().collect::<Vec<_>>()
    });
    times.sort_unstable();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

fn publish(port: u16, data_id: &str) -> nacrite_tests::http::Answer {
    let form = format!("dataId={data_id}&group=g&content=c");
    let mut connection = Connection::open(port, PATIENCE).expect("the server listens");
    connection
        .ask("POST", "/nacos/v1/cs/configs", &form)
        .expect("it is answered")
}

#[test]
fn a_fault_costs_its_own_request_alone() {
    let (seconds, instances) = (sized(10, 60), sized(5_000, 100_000));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = planted(&folder, &[]).start();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let mut crowd = runtime.block_on(register(server.port(), instances));
    let quiet = beside(server.port(), || thread::sleep(Duration::from_secs(3)));
    let (mut hits, began) = (0, Instant::now());
    let times = beside(server.port(), || {
        while began.elapsed() < Duration::from_secs(seconds) {
            let answer = publish(server.port(), "planted-fault");
            assert_eq!(answer.status, 500, "{}", answer.text());
            assert!(answer.text().contains("planted fault"), "{}", answer.text());
            hits += 1;
            let next = began + Duration::from_secs(hits);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    let (before, during) = (p99(&quiet), p99(&times));
    let status = core(&server, &["status"]);
    println!(
        "{instances} instances, {hits} faults beside {} requests in {seconds} s: p99 {during:?}, {before:?} without\n{status}",
        times.len()
    );
    assert!(hits >= seconds / 2, "there were hardly any faults");
    assert!(
        times.len() as u64 > seconds * u64::from(RATE) / 4,
        "there was hardly any load"
    );
    assert!(
        status.contains(&format!("faults: {hits} inputs dropped")),
        "{status}"
    );
    if is_optimised() {
        assert!(
            during < before + BOUND,
            "{during:?}, {before:?} without faults"
        );
    }
    assert!(!crowd.is_closed(), "a connection was lost");
    assert_eq!(crowd.arrived_of(&["ConnectResetRequest"]), 0);

    // What is recorded shows it.
    let faults = server_faults(&folder);
    let planted = module_path("planted.wasm");
    let replayed = run(&[
        "replay",
        &faults,
        "--engine",
        planted.to_str().expect("a plain path"),
    ]);
    let text = said(&replayed);
    assert!(
        text.contains("failed at batch") && text.contains("planted fault"),
        "{text}"
    );
    let natively = run(&["replay", &faults]);
    assert!(!said(&natively).contains("failed"), "{}", said(&natively));
}

fn server_faults(folder: &tempfile::TempDir) -> String {
    let entries = fs::read_dir(folder.path().join("data/faults")).expect("faults are recorded");
    let first = entries
        .flatten()
        .map(|e| e.path())
        .min()
        .expect("there is one");
    first.to_str().expect("a plain path").to_owned()
}

#[test]
fn an_input_that_never_ends_is_dropped_when_its_cpu_time_is_spent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = planted(&folder, &["--core-cpu-time-ms", "300"]).start();
    assert_eq!(publish(server.port(), "before").text(), "true");
    let began = Instant::now();
    let answer = publish(server.port(), "planted-loop");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("CPU time"), "{}", answer.text());
    println!("dropped after {:?}", began.elapsed());
    assert_eq!(publish(server.port(), "after").text(), "true");
    let read = server.ask("GET", "/nacos/v1/cs/configs?dataId=before&group=g", "");
    assert_eq!(read.text(), "c");
}

#[test]
fn a_fault_in_a_committed_command_stops_the_node() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let setup = planted(&folder, &[]);
    let mut server = setup.start();
    let port = server.port();
    let asked = thread::spawn(move || {
        // It is not answered: the process ends.
        let mut connection = Connection::open(port, PATIENCE).expect("the server listens");
        connection.ask(
            "POST",
            "/nacos/v1/cs/configs",
            "dataId=planted-commit&group=g&content=c",
        )
    });
    let status = server.await_end(PATIENCE);
    assert_eq!(status.code(), Some(70));
    assert!(asked.join().expect("it ends").is_err());
    let log = server.log_tail();
    assert!(
        log.contains("a fault in the committed command at index"),
        "{log}"
    );
    // The same log stops it again: the command is never skipped.
    drop(server);
    let mut again = setup.spawn();
    assert_eq!(again.await_end(PATIENCE).code(), Some(70));
    // A core without the fault serves it.
    let sound = Setup::new(&folder.path().join("data")).start();
    let read = sound.ask(
        "GET",
        "/nacos/v1/cs/configs?dataId=planted-commit&group=g",
        "",
    );
    assert_eq!(read.text(), "c");
}
