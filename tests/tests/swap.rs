//! Engines take over from each other while clients write, wait and stay connected: nobody notices. A module that is not
//! the running core's equal is refused, and nothing changes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::bodies::{instance, named};
use nacrite_tests::engine::{core, module_path};
use nacrite_tests::grpc::Client;
use nacrite_tests::http::Connection;
use nacrite_tests::sample::{is_full, sized};
use nacrite_tests::server::{Server, Setup, open_files};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time that inputs may wait for a change.
const PAUSE: Duration = Duration::from_millis(50);

async fn connected(port: u16, number: usize, instances: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(number);
    let each = instances.div_ceil(number);
    for n in 0..number {
        let client = Client::ready(port).await;
        let list: Vec<_> = (1..=each).map(instance).collect();
        let body = json!({"type": "batchRegisterInstance", "instances": list});
        let service = format!("service-{}", n % 100);
        let answer = client
            .ask("BatchInstanceRequest", &named(&service, body))
            .await;
        assert_eq!(answer.code(), 0, "{}", answer.body);
        let subscribe = named(&service, json!({"subscribe": true, "clusters": ""}));
        let answer = client.ask("SubscribeServiceRequest", &subscribe).await;
        assert_eq!(answer.code(), 0, "{}", answer.body);
        clients.push(client);
    }
    clients
}

fn parked(port: u16, number: usize) -> Vec<Connection> {
    let park = |n: usize| {
        let mut connection = Connection::open(port, PATIENCE).expect("the server listens");
        let form = format!("Listening-Configs=quiet-{n}%02g%02%01");
        let wait = [("Long-Pulling-Timeout", "600000")];
        connection
            .send("POST", "/nacos/v1/cs/configs/listener", &wait, &form)
            .expect("the server reads");
        connection
    };
    (0..number).map(park).collect()
}

/// Publishes and reads back until told to stop; the longest that an answer took.
fn write(port: u16, own: usize, stop: &AtomicBool, writes: &AtomicU64) -> Duration {
    let mut connection = Connection::open(port, PATIENCE).expect("the server listens");
    let mut longest = Duration::ZERO;
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let form = format!("dataId=written-{own}&group=g&content=c{n}");
        let answer = connection
            .ask("POST", "/nacos/v1/cs/configs", &form)
            .expect("no write is lost");
        assert_eq!((answer.status, answer.text().as_str()), (200, "true"));
        longest = longest.max(began.elapsed());
        let target = format!("/nacos/v1/cs/configs?dataId=written-{own}&group=g");
        let read = connection.ask("GET", &target, "").expect("no read is lost");
        assert_eq!(
            read.text(),
            format!("c{n}"),
            "what was acknowledged is read"
        );
        writes.fetch_add(1, Ordering::Relaxed);
    }
    longest
}

/// The pause that a change reports.
fn pause(told: &str) -> Duration {
    let micros = told
        .split("a pause of ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    Duration::from_micros(micros.unwrap_or_else(|| panic!("no change: {told}")))
}

#[test]
fn engines_take_over_under_load_and_nobody_notices() {
    let (writers, polls, connections, instances, swaps) =
        sized((8, 500, 200, 5_000, 4), (64, 20_000, 5_000, 100_000, 20));
    let files = open_files();
    // As many as the machine's limit leaves.
    let polls = polls.min(files.saturating_sub(connections + writers + 300));
    assert!(polls >= 500, "{files} open files are too few");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Setup::new(&folder.path().join("data")).start();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let mut clients = runtime.block_on(connected(server.port(), connections, instances));
    let mut polling = parked(server.port(), polls);
    let (stop, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut pauses = Vec::new();
    let longest = thread::scope(|scope| {
        let (stop, writes, port) = (&stop, &writes, server.port());
        let all: Vec<_> = (0..writers)
            .map(|own| scope.spawn(move || write(port, own, stop, writes)))
            .collect();
        for n in 0..swaps {
            thread::sleep(Duration::from_millis(500));
            let told = core(&server, &["swap", ["wasm", "native"][n % 2]]);
            println!("{}", told.trim());
            pauses.push(pause(&told));
        }
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let ended = all.into_iter().map(|t| t.join().expect("no request fails"));
        ended.max().unwrap_or_default()
    });
    let worst = pauses.iter().max().copied().unwrap_or_default();
    println!(
        "{swaps} changes of the engine beside {writers} writers ({} writes), {polls} polls, {connections} connections, \
         {instances} instances: the longest pause {worst:?}, the longest write {longest:?}",
        writes.load(Ordering::Relaxed)
    );
    assert!(
        writes.load(Ordering::Relaxed) > 100,
        "there was hardly any load"
    );
    for (n, client) in clients.iter_mut().enumerate() {
        assert!(!client.is_closed(), "connection {n} was lost");
    }
    for (n, poll) in polling.iter().enumerate() {
        let early = poll.has_answer().expect("the connection stands");
        assert!(!early, "poll {n} was answered though nothing of it changed");
    }
    // What waited through all changes is still waited for.
    let form = "dataId=quiet-0&group=g&content=new";
    assert_eq!(
        server.ask("POST", "/nacos/v1/cs/configs", form).text(),
        "true"
    );
    let woken = polling[0].answer().expect("a woken poll is answered");
    assert!(woken.text().contains("quiet-0"), "{}", woken.text());
    let instances_now = listed(&server);
    assert!(instances_now > 0, "the instances are there");
    if is_full() {
        assert!(worst <= PAUSE, "a pause of {worst:?}");
    }
}

fn listed(server: &Server) -> usize {
    let answer = server.ask(
        "GET",
        "/nacos/v1/ns/instance/list?serviceName=service-0",
        "",
    );
    let list: serde_json::Value = serde_json::from_slice(&answer.body).expect("a list is JSON");
    list["hosts"].as_array().map_or(0, Vec::len)
}

/// A module that exports memory, and numbers of schema and state.
fn numbers(schema: u8, state: u8) -> Vec<u8> {
    let section = |kind: u8, body: Vec<u8>| {
        let length = u8::try_from(body.len()).expect("a small section");
        [vec![kind, length], body].concat()
    };
    let name = |text: &str, what: [u8; 2]| {
        let length = u8::try_from(text.len()).expect("a short name");
        [&[length], text.as_bytes(), &what].concat()
    };
    let exports = [
        vec![3],
        name("memory", [2, 0]),
        name("schema", [0, 0]),
        name("state", [0, 1]),
    ];
    [
        b"\0asm\x01\0\0\0".to_vec(),
        // One type: a function that gives an i32.
        section(1, vec![1, 0x60, 0, 1, 0x7f]),
        section(3, vec![2, 0, 0]),
        section(5, vec![1, 0, 1]),
        section(7, exports.concat()),
        section(
            10,
            vec![2, 4, 0, 0x41, schema, 0x0b, 4, 0, 0x41, state, 0x0b],
        ),
    ]
    .concat()
}

#[test]
fn what_is_not_the_running_cores_equal_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // So often that the state is new at each change, and seldom enough that the journal holds what follows.
    let setup = Setup::new(&folder.path().join("data")).with(&["--engine", "wasm"]);
    let server = setup.start();
    let publish = |data_id: &str| {
        let form = format!("dataId={data_id}&group=g&content=c");
        let answer = server.ask("POST", "/nacos/v1/cs/configs", &form);
        assert_eq!(answer.text(), "true", "the server serves on");
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("the folder takes files");
        path.display().to_string()
    };
    let planted = module_path("planted.wasm").display().to_string();
    publish("before");
    let small = |number: u32| u8::try_from(number).expect("a small number");
    let (schema, state) = (
        small(nacrite_core::node::SCHEMA),
        small(nacrite_core::node::STATE),
    );
    for (module, why) in [
        (write("text.wasm", b"no module"), "cannot be compiled"),
        (write("other.wasm", &numbers(63, state)), "of schema 63"),
        (
            write("old.wasm", &numbers(schema, 0)),
            "state is of version 0, older",
        ),
        (write("poor.wasm", &numbers(schema, state)), "is no engine"),
    ] {
        let told = core(&server, &["swap", &module]);
        assert!(
            told.contains("refused") && told.contains(why),
            "{module}: {told}"
        );
        publish("after");
    }
    let told = core(&server, &["swap", "back"]);
    assert!(told.contains("no engine ran before"), "{told}");

    // It takes over, and back.
    pause(&core(&server, &["swap", &planted]));
    assert!(core(&server, &["status"]).contains("planted.wasm"));
    pause(&core(&server, &["swap", "back"]));
    assert!(core(&server, &["status"]).contains("engine: wasm"));

    // It answers one request otherwise.
    let gone = server.ask("DELETE", "/nacos/v1/cs/configs?dataId=none&group=g", "");
    assert_eq!(gone.status, 200);
    let told = core(&server, &["swap", &planted]);
    assert!(
        told.contains("answers otherwise")
            && told.contains("Removed(false)")
            && told.contains("Removed(true)"),
        "{told}"
    );
    publish("after");

    // It fails in restore: from native, the state itself is what it is made of.
    pause(&core(&server, &["swap", "native"]));
    publish("planted-restore");
    let told = core(&server, &["swap", &planted]);
    assert!(told.contains("planted fault in restore"), "{told}");
    pause(&core(&server, &["swap", "wasm"]));
    publish("after");
    let stranger = Connection::open(server.port(), PATIENCE)
        .expect("the server listens")
        .ask("POST", "/nacrite/v1/core/swap?engine=native", "");
    assert_eq!(
        stranger.expect("it is answered").status,
        401,
        "a token is asked for"
    );
}
