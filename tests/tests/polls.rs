//! Many parked long polls: what each costs in memory, that a publish wakes those that listen and no others, and that a
//! server which is told to end answers them all.

use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::http::Connection;
use nacrite_tests::sample::sized;
use nacrite_tests::server::{Server, Setup, is_optimised, open_files};

/// What a parked poll may cost: its connection included, and each key that it names (bytes).
const EACH_POLL: u64 = 4 << 10;
const EACH_KEY: u64 = 40;
/// Configs that polls of 20 keys choose from.
const NAMES: usize = 1_000;
/// Open files that this program and the server need beside the polls.
const OTHER_FILES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);

fn listening(names: impl Iterator<Item = usize>) -> String {
    let mut form = "Listening-Configs=".to_owned();
    for n in names {
        // Name, group and the MD5 of what the caller has: nothing.
        form += &format!("application-{n}.yaml%02DEFAULT_GROUP%02%01");
    }
    form
}

fn park(server: &Server, form: &str) -> Connection {
    let mut connection =
        Connection::open(server.port(), PATIENCE).expect("the server takes connections");
    let headers = [("Long-Pulling-Timeout", "600000")];
    connection
        .send("POST", "/nacos/v1/cs/configs/listener", &headers, form)
        .expect("the server reads");
    connection
}

/// Waits until so many polls are parked.
fn await_parked(server: &Server, polls: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let scraped = server.ask("GET", "/metrics", "").text();
        let parked = scraped.lines().find_map(|l| {
            l.strip_prefix("nacrite_http_polls_parked ")?
                .trim()
                .parse()
                .ok()
        });
        if parked == Some(polls as f64) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{parked:?} of {polls} polls are parked\n{}",
            server.log_tail()
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// Parks so many polls of so many keys each; `first` gives the first key of a poll. Wakes those that name `woken`.
fn trial(polls: usize, keys: usize, names: usize) {
    let polls = polls.min(open_files().saturating_sub(OTHER_FILES));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // They come at once, and none may be told to come again later: that is the storms' test.
    let setup = Setup::new(&folder.path().join("data")).with(&[
        "--http-shutdown-timeout-ms",
        "60000",
        "--admission-target-wait-ms",
        "60000",
    ]);
    let mut server = setup.start();
    let first = |poll: usize| poll * keys % names;
    let named = |poll: usize| (0..keys).map(move |k| (first(poll) + k) % names);
    // Names that are watched cost once; what they cost is not a poll's.
    let warm: Vec<_> = (0..names.div_ceil(keys))
        .map(|p| park(&server, &listening(named(p))))
        .collect();
    await_parked(&server, warm.len());
    let before = server.resident();
    let mut parked: Vec<Connection> = (0..polls)
        .map(|poll| park(&server, &listening(named(poll))))
        .collect();
    await_parked(&server, polls + warm.len());
    let each = server.resident().saturating_sub(before) / polls as u64;
    let allowed = EACH_POLL + EACH_KEY * keys as u64;
    println!("{polls} polls of {keys} keys: {each} bytes each, {allowed} allowed");

    let woken = names / 2;
    let form = format!("dataId=application-{woken}.yaml&group=DEFAULT_GROUP&content=new");
    let published = server.ask("POST", "/nacos/v1/cs/configs", &form);
    assert_eq!(published.text(), "true");
    let listens = |poll: usize| named(poll).any(|n| n == woken);
    let told = format!("application-{woken}.yaml%02DEFAULT_GROUP%01");
    for (poll, connection) in parked.iter_mut().enumerate().filter(|(p, _)| listens(*p)) {
        let answer = connection.answer().expect("a woken poll is answered");
        assert_eq!(
            (answer.status, answer.text().trim()),
            (200, &*told),
            "poll {poll}"
        );
    }
    let waiting = (0..polls).filter(|p| !listens(*p)).count();
    let warm_waiting = (0..warm.len()).filter(|p| !listens(*p)).count();
    await_parked(&server, waiting + warm_waiting);
    for (poll, connection) in parked.iter().enumerate().filter(|(p, _)| !listens(*p)) {
        let early = connection.has_answer().expect("the connection stands");
        assert!(
            !early,
            "poll {poll} was answered though nothing of it changed"
        );
    }

    server.terminate();
    for (poll, connection) in parked.iter_mut().enumerate().filter(|(p, _)| !listens(*p)) {
        let answer = connection.answer().expect("the end answers parked polls");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, ""),
            "poll {poll}"
        );
    }
    drop((parked, warm));
    assert!(server.await_end(PATIENCE).success());
    // A debug build has larger futures; the rule is for what users run, and printed for both.
    if is_optimised() {
        assert!(
            each <= allowed,
            "{each} bytes a poll, {allowed} are allowed"
        );
    }
}

#[test]
fn many_polls_of_few_keys() {
    trial(sized(2_000, 20_000), 20, NAMES);
}

#[test]
fn few_polls_of_many_keys() {
    trial(sized(50, 500), 3_000, 6_000);
}
