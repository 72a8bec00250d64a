//! Mixed load for a while, with names that come and go: the memory of the server stays what it is once warm.
//!
//! Caches are set small, so that they are full early: they are bounded by their settings, and what is looked for here
//! is what no setting bounds. That each map of the core empties is a test beside the core's node (`empties`).

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nacrite_tests::flood::{Asks, Flood};
use nacrite_tests::grpc::Client;
use nacrite_tests::requests::{
    beat, content, deregister, grpc_list, grpc_listen, grpc_publish, grpc_read_config,
    grpc_register, list, publish, read_config, register, remove_config,
};
use nacrite_tests::sample::sized;
use nacrite_tests::server::{Server, Setup};
use nacrite_tests::way::Protocol;
use nacrite_tests::wire::{Wire, form, request};
use serde_json::json;
use tokio::task::LocalSet;
use tokio::time::sleep;

/// Memory at the end may be so many percent above memory once warm.
const GROWS_PERCENT: u64 = 5;
/// Things live for so many rounds.
const LIFE: u64 = 300;
/// Requests of one round.
const ROUND: u64 = 16;
const SMALL: [&str; 3] = [
    "--cache-content=1MiB",
    "--cache-state=1MiB",
    "--cache-log=1MiB",
];

/// A service for each of so many rounds. Empty ones are kept for a minute, which a sample of one minute never gets
/// past: there names come again, in the full run they are new for ever.
fn service(round: u64) -> u64 {
    round / 4 % sized(500, u64::MAX)
}

/// Over HTTP: what came `LIFE` rounds ago goes.
struct Churn;

impl Asks for Churn {
    fn make(&self, _: usize, number: u64, out: &mut Vec<u8>) {
        let round = LIFE + number / ROUND;
        let old = round - LIFE;
        match number % ROUND {
            0 | 1 => publish(round, &content(number), out),
            2 => remove_config(old, out),
            3 | 4 => register(service(round), round, out),
            5 => deregister(service(old), old, out),
            6 | 7 => beat(service(round - LIFE / 2), round - LIFE / 2, out),
            8..=10 => list(service(round - LIFE / 2), out),
            11 => out.extend(request(
                "POST",
                &format!("/v1/ns/service?serviceName=soak-{}&groupName=g", service(round)),
            )),
            12 => out.extend(request(
                "DELETE",
                &format!("/v1/ns/service?serviceName=soak-{}&groupName=g", service(old)),
            )),
            13 => out.extend(request(
                "GET",
                &format!("/v1/cs/configs?search=blur&dataId=*{round}*&group=&tenant=&pageNo=1&pageSize=10"),
            )),
            _ => read_config(round - LIFE / 2, out),
        }
    }
}

/// Over gRPC, beside it.
struct Queries;

impl Asks for Queries {
    fn make(&self, _: usize, number: u64, out: &mut Vec<u8>) {
        match number % 4 {
            0 => grpc_publish(number % 1_000, &content(number), out),
            1 => grpc_register(number % 50, (1 << 20) | (number % 1_000), out),
            2 => grpc_list(number % 50, out),
            _ => grpc_read_config(number % 1_000, out),
        }
    }
}

/// Connections that come, subscribe, listen, publish, and go.
async fn guests(port: u16) {
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    for n in 0_u64.. {
        let client = Client::ready(port).await;
        let subscribe = json!({
            "namespace": "public", "groupName": "DEFAULT_GROUP", "serviceName": format!("bench-{}", n % 50),
            "subscribe": true, "clusters": "",
        });
        client.ask("SubscribeServiceRequest", &subscribe).await;
        let mut message = Vec::new();
        grpc_listen(n % 1_000, "", &mut message);
        client.call(message.into()).await.expect("it is answered");
        // A poll whose caller goes while it is parked.
        let mut wire = Wire::open(at).await.expect("the server listens");
        let poll = form(
            "POST",
            "/v1/cs/configs/listener",
            "Long-Pulling-Timeout: 30000\r\n",
            &format!("Listening-Configs=nobody-{n}%02g%02%01"),
        );
        wire.send(&poll).await.expect("the server reads");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Memory, second by second.
async fn watch(server: &Server, time: Duration) -> Vec<u64> {
    let end = Instant::now() + time;
    let mut seen = Vec::new();
    while Instant::now() < end {
        sleep(Duration::from_secs(1)).await;
        seen.push(server.resident());
    }
    seen
}

fn mean(seen: &[u64]) -> u64 {
    seen.iter().sum::<u64>() / seen.len() as u64
}

#[test]
fn memory_is_flat_once_warm() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut server = Setup::new(&folder.path().join("data")).with(&SMALL).start();
    let at = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (time, rate) = sized(
        (Duration::from_secs(60), 800.0),
        (Duration::from_secs(600), 2_000.0),
    );
    let (seen, asked, statuses) = runtime.block_on(LocalSet::new().run_until(async {
        let io = "the connections last";
        let mut churn = Flood::open(Protocol::Http, at, 32).await.expect(io);
        let mut queries = Flood::open(Protocol::Grpc, at, 16).await.expect(io);
        let guests = tokio::task::spawn_local(guests(server.port()));
        let (asks, more) = (Rc::new(Churn), Rc::new(Queries));
        let (churned, queried, seen) = tokio::join!(
            churn.at_rate(rate, time, &asks),
            queries.at_rate(rate / 4.0, time, &more),
            watch(&server, time),
        );
        assert!(!guests.is_finished(), "a guest was not served");
        let (churned, queried) = (churned.expect(io), queried.expect(io));
        let mut statuses = churned.others;
        for (status, count) in queried.others {
            *statuses.entry(status).or_default() += count;
        }
        (
            seen,
            churned.admitted.len() + queried.admitted.len(),
            statuses,
        )
    }));
    // What is not there (any more) is 300, 400 or 404; nothing else but an overload is expected.
    assert!(
        statuses.keys().all(|s| [300, 400, 404, 503].contains(s)),
        "{statuses:?}\n{}",
        server.log_tail()
    );
    let mib: Vec<u64> = seen
        .iter()
        .step_by(seen.len().div_ceil(20))
        .map(|b| b >> 20)
        .collect();
    println!("{asked} requests answered with 200, others {statuses:?}; MiB: {mib:?}");
    assert!(
        asked as u64 > time.as_secs() * 100,
        "there was hardly any load"
    );
    let warm = &seen[seen.len() / 2..];
    let quarter = warm.len() / 3;
    let (first, last) = (mean(&warm[..quarter]), mean(&warm[warm.len() - quarter..]));
    assert!(
        last <= first + first * GROWS_PERCENT / 100,
        "{first} bytes once warm, {last} at the end"
    );
    server.terminate();
    assert!(server.await_end(Duration::from_secs(60)).success());
}
