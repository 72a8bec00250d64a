//! Fuzzy watches.

use super::*;
use crate::node::reply::{Refusal, Reply, Totals};

const ALL: &str = "public>>*>>*";

fn named(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("s{n:03}")).collect()
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

#[test]
fn nothing_to_send_is_finished_at_once() {
    let mut bench = Bench::with(&[1]);
    assert_eq!(bench.watch(1, false, ALL, &[], true, &[]), Ok(Reply::Done));
    assert_eq!(bench.lines(), ["0 #1 Finish 0/0  -> 1"]);
    bench.ack(1, 1);
    bench.to(60_000);
    assert!(bench.lines().is_empty());
    assert_eq!(bench.watch(1, false, ALL, &[], false, &[]), Ok(Reply::Done));
    assert!(bench.lines().is_empty(), "no difference, no message");
}

#[test]
fn batches_of_10_services_leave_one_after_the_other() {
    let mut bench = Bench::with(&[1]);
    let names = named(21);
    bench
        .watch(
            1,
            false,
            ALL,
            &["public@@g@@s000", "public@@g@@gone"],
            true,
            &refs(&names),
        )
        .unwrap();
    let mut batches = Vec::new();
    for push in 1..=4 {
        batches.extend(bench.lines());
        assert_eq!(batches.len(), push);
        bench.ack(1, push as u64);
    }
    assert!(batches[0].starts_with("0 #1 Init 1/3 +public@@g@@s001 +public@@g@@s002 "));
    assert!(batches[1].starts_with("0 #2 Init 2/3 +public@@g@@s011 "));
    assert_eq!(batches[2], "0 #3 Init 3/3 -public@@g@@gone -> 1");
    assert_eq!(batches[3], "0 #4 Finish 3/3  -> 1");
    assert_eq!(bench.push.deadline(), None);
}

#[test]
fn a_difference_is_told_without_an_end() {
    let mut bench = Bench::with(&[1]);
    bench
        .watch(
            1,
            true,
            "public>>g>>a*",
            &["x+g+public"],
            false,
            &["a+1", "b"],
        )
        .unwrap();
    bench.ack(1, 1);
    bench.to(60_000);
    assert_eq!(
        bench.lines(),
        ["0 #1 Diff 1/1 +a%2B1+g+public -x+g+public -> 1"]
    );
}

#[test]
fn configs_go_in_batches_of_20() {
    let mut bench = Bench::with(&[1]);
    let names = named(21);
    bench.watch(1, true, ALL, &[], true, &refs(&names)).unwrap();
    bench.ack(1, 1);
    let lines = bench.lines();
    assert_eq!(lines[0].matches('+').count(), 60);
    assert_eq!(lines[1], "0 #2 Init 2/2 +s020+g+public -> 1");
}

#[test]
fn changes_are_told_to_each_watcher_once() {
    let mut bench = Bench::with(&[1, 2, 3]);
    bench.watch(1, false, ALL, &[], false, &[]).unwrap();
    bench
        .watch(1, false, "public>>*>>or*", &[], false, &[])
        .unwrap();
    bench
        .watch(2, false, "public>>DEFAULT_GROUP>>orders", &[], false, &[])
        .unwrap();
    bench
        .watch(3, false, "public>>*>>bills", &[], false, &[])
        .unwrap();
    bench.watch(3, true, ALL, &[], false, &[]).unwrap();
    bench.changed("orders", None, true, false, 1);
    bench.change("orders");
    assert_eq!(bench.lines(), ["0 #1 +orders -> 1 2"]);
    bench.ack(1, 1);
    bench.changed("orders", None, false, true, 0);
    assert_eq!(
        bench.lines(),
        ["0 #2 -orders -> 1"],
        "2 has not yet answered"
    );
    bench.ack(2, 1);
    assert_eq!(bench.lines(), ["0 #3 -orders -> 2"]);
    bench.config_changed("c", true, &[]);
    bench.ack(3, 4);
    bench.config_changed("c", false, &[]);
    assert_eq!(bench.lines(), ["0 #4 +c -> 3", "0 #5 -c -> 3"]);
    let mut totals = Totals::default();
    bench.push.count_into(&mut totals);
    assert_eq!(totals.fuzzy_watches, 5);
}

#[test]
fn changes_of_services_wait_5_s_and_repeat_after_1_s() {
    let mut bench = Bench::with(&[1]);
    bench.watch(1, false, ALL, &[], false, &[]).unwrap();
    bench.changed("s", None, true, false, 1);
    bench.to(6000);
    bench.fail(1, 2);
    bench.to(7000);
    assert_eq!(
        bench.lines(),
        ["0 #1 +s -> 1", "6000 #2 +s -> 1", "7000 #3 +s -> 1"]
    );
}

#[test]
fn changes_of_configs_wait_3_s_and_repeat_after_2_s_without_end() {
    let mut bench = Bench::with(&[1]);
    bench.watch(1, true, ALL, &[], false, &[]).unwrap();
    bench.config_changed("c", true, &[]);
    bench.to(10_000);
    assert_eq!(
        bench.lines(),
        ["0 #1 +c -> 1", "5000 #2 +c -> 1", "10000 #3 +c -> 1"]
    );
    bench.to(600_000);
    assert!(bench.lines().iter().all(|line| !line.contains("close")));
}

#[test]
fn a_batch_that_fails_is_repeated_and_one_of_configs_ends_the_connection_at_last() {
    let mut bench = Bench::with(&[1]);
    bench.watch(1, false, ALL, &[], true, &["s"]).unwrap();
    bench.to(6000);
    assert_eq!(
        bench.lines(),
        [
            "0 #1 Init 1/1 +public@@g@@s -> 1",
            "6000 #2 Init 1/1 +public@@g@@s -> 1"
        ]
    );
    let mut bench = Bench::with(&[1]);
    bench.watch(1, true, ALL, &[], true, &["c"]).unwrap();
    bench.to(50 * 3_000 + 2_000 * 49 * 50 / 2);
    let lines = bench.lines();
    assert_eq!(
        (lines.len(), lines[1].as_str()),
        (51, "5000 #2 Init 1/1 +c+g+public -> 1")
    );
    assert!(lines[50].ends_with("close 1"));
}

#[test]
fn a_newer_word_takes_an_older_one_out_of_waiting_batches() {
    let mut bench = Bench::with(&[1]);
    let names = named(12);
    bench
        .watch(1, false, ALL, &[], true, &refs(&names))
        .unwrap();
    bench.push.service_changed(
        &ServiceKey::new("", "g", "s011"),
        None,
        false,
        true,
        0,
        bench.clock(),
    );
    bench.ack(1, 1);
    let lines = bench.lines();
    assert_eq!(
        lines[1..],
        ["0 #2 -s011 -> 1", "0 #3 Init 2/2 +public@@g@@s010 -> 1"]
    );
}

#[test]
fn a_new_request_starts_the_dialogue_anew() {
    let mut bench = Bench::with(&[1]);
    let names = named(12);
    bench
        .watch(1, false, ALL, &[], true, &refs(&names))
        .unwrap();
    let known: Vec<_> = names
        .iter()
        .take(11)
        .map(|name| format!("public@@g@@{name}"))
        .collect();
    bench
        .watch(1, false, ALL, &refs(&known), true, &refs(&names))
        .unwrap();
    bench.ack(1, 1);
    bench.ack(1, 2);
    let lines = bench.lines();
    assert_eq!(
        lines[1..],
        [
            "0 #2 Init 1/1 +public@@g@@s011 -> 1",
            "0 #3 Finish 1/1  -> 1"
        ]
    );
}

#[test]
fn twenty_patterns_of_each_kind_and_no_more() {
    let mut bench = Bench::with(&[1, 2]);
    for n in 0..20 {
        bench
            .watch(1, false, &format!("public>>*>>s{n}"), &[], false, &[])
            .unwrap();
    }
    assert_eq!(
        bench.watch(1, false, ALL, &[], true, &["s"]),
        Err(Refusal::TooManyPatterns)
    );
    assert_eq!(
        bench.watch(2, false, "public>>*>>s3", &[], false, &[]),
        Ok(Reply::Done)
    );
    assert_eq!(bench.watch(1, true, ALL, &[], false, &[]), Ok(Reply::Done));
    bench.unwatch(1, false, "public>>*>>s0").unwrap();
    assert_eq!(bench.watch(2, false, ALL, &[], false, &[]), Ok(Reply::Done));
    assert!(bench.lines().is_empty());
}

#[test]
fn a_watch_of_too_much_stands_but_is_told_of_no_removals() {
    let mut bench = Bench::with(&[1]);
    let names = named(501);
    let known = ["public@@g@@gone"];
    let answer = bench.watch(1, false, ALL, &known, false, &refs(&names[..500]));
    assert_eq!(answer, Ok(Reply::Done));
    bench.lines();
    let answer = bench.watch(1, false, ALL, &known, false, &refs(&names));
    assert_eq!(answer, Err(Refusal::TooManyMatches));
    let mut all = String::new();
    for push in 2..=51 {
        bench.lines().iter().for_each(|line| all.push_str(line));
        bench.ack(1, push);
    }
    assert_eq!(
        (
            all.matches("+public").count(),
            all.matches("-public").count()
        ),
        (500, 0)
    );
    assert_eq!(bench.push.deadline(), None);
    bench.changed("s", None, true, false, 1);
    assert_eq!(bench.lines(), ["0 #52 +s -> 1"]);
}

#[test]
fn whoever_stops_watching_is_told_nothing_more() {
    let mut bench = Bench::with(&[1]);
    bench.watch(1, false, ALL, &[], true, &["s"]).unwrap();
    bench.changed("t", None, true, false, 1);
    bench.lines();
    bench.unwatch(1, false, ALL).unwrap();
    bench.ack(1, 1);
    bench.changed("s", None, false, true, 0);
    bench.to(60_000);
    assert!(bench.lines().is_empty());
    bench.disconnect(1);
    assert!(bench.is_empty());
    assert_eq!(
        bench.watch(1, false, "nonsense", &[], true, &[]),
        Err(Refusal::Unregistered)
    );
    bench.connect(2);
    assert!(matches!(
        bench.watch(2, false, "nonsense", &[], true, &[]),
        Err(Refusal::Illegal(_))
    ));
}
