//! `kill -9` under load, again and again on the same data: what was acknowledged is there after the next start, with
//! its bytes. A write that was under way may be there or not, but nothing else may.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nacrite_tests::http::{Connection, ask, quoted};
use nacrite_tests::sample::{Random, again, seeds, sized};
use nacrite_tests::server::{Setup, run, said};

/// Threads that publish configs; one more registers persistent instances.
const PUBLISHERS: u64 = 4;
/// Things that each thread writes to.
const EACH: u64 = 8;

/// What is known of one thing.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The last value that was acknowledged.
    acknowledged: Option<String>,
    /// A value that was sent and neither acknowledged nor seen gone.
    under_way: Option<String>,
}

/// What a thread writes to, by number.
type Own = BTreeMap<u64, Known>;

fn value(random: &mut Random) -> String {
    let mark = random.any();
    let length = [20, 300, 5_000][random.below(3) as usize];
    let mut text = format!("{mark:016x}\n");
    text.extend((0..length).map(|n| char::from(b'a' + ((mark >> (n % 48)) % 26) as u8)));
    text
}

fn data_id(thread: u64, n: u64) -> String {
    format!("config-{thread}-{n}")
}

/// Writes until told to stop or the server is gone; how many writes were acknowledged.
fn write(port: u16, thread: u64, own: &mut Own, random: &mut Random, stop: &AtomicBool) -> u64 {
    let mut acknowledged = 0;
    let Ok(mut connection) = Connection::open(port, Duration::from_secs(30)) else {
        return 0;
    };
    while !stop.load(Ordering::Relaxed) {
        let n = random.below(EACH);
        let mut value = value(random);
        let (method, target, form) = if thread < PUBLISHERS {
            let form = format!(
                "dataId={}&group=DEFAULT_GROUP&content={}",
                data_id(thread, n),
                quoted(&value)
            );
            ("POST", "/nacos/v1/cs/configs", form)
        } else {
            value.truncate(16);
            let form = format!(
                "serviceName=persistent&ip=10.0.0.{n}&port=80&ephemeral=false&metadata={}",
                quoted(&format!("version={value}"))
            );
            ("POST", "/nacos/v1/ns/instance", form)
        };
        let known = own.entry(n).or_default();
        known.under_way = Some(value);
        let Ok(answer) = connection.ask(method, target, &form) else {
            // The server is gone; whether it took this one is seen after its next start.
            break;
        };
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
        known.acknowledged = known.under_way.take();
        acknowledged += 1;
    }
    acknowledged
}

/// What the server has of this thread's things.
fn read(port: u16, thread: u64) -> BTreeMap<u64, String> {
    let get = |target: &str| ask(port, "GET", target, "").expect("the server answers");
    if thread < PUBLISHERS {
        let configs = (0..EACH).filter_map(|n| {
            let id = data_id(thread, n);
            let answer = get(&format!(
                "/nacos/v1/cs/configs?dataId={id}&group=DEFAULT_GROUP"
            ));
            assert!(
                answer.status == 200 || answer.status == 404,
                "{id}: {} {}",
                answer.status,
                answer.text()
            );
            (answer.status == 200).then(|| (n, answer.text()))
        });
        return configs.collect();
    }
    let answer = get("/nacos/v1/ns/instance/list?serviceName=persistent");
    let list: serde_json::Value = serde_json::from_slice(&answer.body).expect("a list is JSON");
    let hosts = list["hosts"].as_array().cloned().unwrap_or_default();
    hosts
        .iter()
        .map(|host| {
            let ip = host["ip"].as_str().expect("a host has an address");
            let n = ip.rsplit('.').next().and_then(|n| n.parse().ok());
            let version = host["metadata"]["version"].as_str().unwrap_or_default();
            (n.expect("these addresses are ours"), version.to_owned())
        })
        .collect()
}

/// Compares what is there with what must be; what was under way is settled by it.
fn compare(round: u64, thread: u64, own: &mut Own, there: &BTreeMap<u64, String>) {
    for n in there.keys() {
        assert!(
            own.contains_key(n),
            "round {round}: thread {thread} never wrote {n}"
        );
    }
    for (n, known) in own {
        let found = there.get(n);
        let fits = found == known.acknowledged.as_ref()
            || (known.under_way.is_some() && found == known.under_way.as_ref());
        assert!(
            fits,
            "round {round}: thread {thread}, {n}: {known:?} was written, {found:?} is there"
        );
        *known = Known {
            acknowledged: found.cloned(),
            under_way: None,
        };
    }
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let rounds = sized(30, 200);
    for seed in seeds(1, 1) {
        println!(
            "again: {}",
            again("kill", "acknowledged_writes_survive_kill_9", seed)
        );
        let mut random = Random::new(seed);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let setup = Setup::new(&folder.path().join("data"));
        let mut all: Vec<Own> = vec![Own::new(); PUBLISHERS as usize + 1];
        let mut acknowledged = 0;
        let mut slowest = Duration::ZERO;
        for round in 0..=rounds {
            let mut server = setup.spawn();
            slowest = slowest.max(server.await_ready());
            for (thread, own) in (0..).zip(&mut all) {
                compare(round, thread, own, &read(setup.port(), thread));
            }
            if round == rounds {
                break;
            }
            let stop = AtomicBool::new(false);
            acknowledged += thread::scope(|scope| {
                let workers: Vec<_> = (0..)
                    .zip(&mut all)
                    .map(|(thread, own)| {
                        let mut random = Random::new(random.any());
                        let (stop, port) = (&stop, setup.port());
                        scope.spawn(move || write(port, thread, own, &mut random, stop))
                    })
                    .collect();
                thread::sleep(Duration::from_millis(20 + random.below(300)));
                server.kill();
                stop.store(true, Ordering::Relaxed);
                let ended = workers.into_iter().map(thread::ScopedJoinHandle::join);
                ended.map(|w| w.expect("a writer has failed")).sum::<u64>()
            });
            if round % 5 == 4 {
                let data = setup.data().to_str().expect("a plain name");
                let checked = run(&["check-data", data]);
                assert!(checked.status.success(), "{}", said(&checked));
            }
        }
        println!(
            "{rounds} times killed, {acknowledged} acknowledged writes, slowest start {slowest:?}"
        );
        assert!(acknowledged > rounds, "there was hardly any load");
    }
}
