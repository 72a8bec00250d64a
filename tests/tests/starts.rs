//! Fresh starts while every core is busy: all of them serve, and what is published can be read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nacrite_tests::sample::sized;
use nacrite_tests::server::Setup;

/// Keeps all cores busy until told to stop.
fn burn(stop: &AtomicBool) {
    let mut number = 1_u64;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..10_000 {
            number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
        }
    }
}

/// Ends the burning also when an assertion fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn start(number: u32) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let setup = Setup::new(&folder.path().join("data"));
    let mut server = setup.spawn();
    let took = server.await_ready();
    let form = format!("dataId=fresh&group=DEFAULT_GROUP&content=start-{number}");
    let published = server.ask("POST", "/nacos/v1/cs/configs", &form);
    assert_eq!(
        (published.status, published.text().as_str()),
        (200, "true"),
        "start {number}\n{}",
        server.log_tail()
    );
    let read = server.ask(
        "GET",
        "/nacos/v1/cs/configs?dataId=fresh&group=DEFAULT_GROUP",
        "",
    );
    assert_eq!(
        (read.status, read.text()),
        (200, format!("start-{number}")),
        "{}",
        server.log_tail()
    );
    took
}

#[test]
fn every_start_under_load_serves() {
    let starts = sized(30, 200);
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let stop = AtomicBool::new(false);
    let mut took: Vec<Duration> = thread::scope(|scope| {
        let _stops = Stops(&stop);
        for _ in 0..cores {
            scope.spawn(|| burn(&stop));
        }
        (0..starts).map(start).collect()
    });
    took.sort();
    println!(
        "{starts} starts beside {cores} busy threads, time to readiness: median {:?}, longest {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
}
