//! Pushes of configs to gRPC connections.

use super::*;

#[test]
fn a_change_is_sent_at_once_in_the_spelling_of_each_listener() {
    let mut bench = Bench::with(&[1, 2, 3]);
    bench.config_changed("c", true, &[(3, false), (1, true), (2, false), (9, false)]);
    assert_eq!(bench.lines(), ["0 #1 c -> 2 3", "0 #2 c blank -> 1"]);
    [(2, 1), (3, 1), (1, 2)]
        .iter()
        .for_each(|(conn, push)| bench.ack(*conn, *push));
    bench.to(300);
    bench.config_changed("c", false, &[(3, false)]);
    assert_eq!(bench.lines(), ["300 #3 c -> 3"]);
}

#[test]
fn a_change_while_one_is_under_way_leaves_after_it() {
    let mut bench = Bench::with(&[1]);
    (0..5).for_each(|_| bench.config_changed("c", true, &[(1, false)]));
    bench.config_changed("d", true, &[(1, false)]);
    assert_eq!(bench.lines(), ["0 #1 c -> 1", "0 #2 d -> 1"]);
    bench.to(400);
    bench.ack(1, 1);
    bench.ack(1, 2);
    bench.ack(1, 3);
    bench.to(60_000);
    assert_eq!(bench.lines(), ["400 #3 c -> 1"]);
}

#[test]
fn a_change_within_the_gap_leaves_once_when_it_is_over() {
    let mut bench = Bench::with(&[1, 2]);
    bench.config_changed("c", true, &[(1, false), (2, false)]);
    bench.to(10);
    bench.ack(1, 1);
    // Acknowledged or still under way: both wait for the gap, and whatever else comes meanwhile leaves with it.
    bench.to(20);
    bench.config_changed("c", true, &[(1, false), (2, false)]);
    bench.to(30);
    bench.ack(2, 1);
    bench.to(299);
    bench.config_changed("c", false, &[(1, false), (2, false)]);
    // Another config has a gap of its own, and so has another spelling of this one.
    bench.config_changed("d", true, &[(1, false)]);
    bench.config_changed("c", true, &[(1, true)]);
    bench.to(300);
    let lines = [
        "0 #1 c -> 1 2",
        "299 #2 d -> 1",
        "299 #3 c blank -> 1",
        "300 #4 c -> 1 2",
    ];
    assert_eq!(bench.lines(), lines);
    // The next one counts from there.
    bench.ack(1, 4);
    bench.to(599);
    bench.config_changed("c", true, &[(1, false)]);
    bench.to(60_000);
    assert_eq!(bench.lines()[0], "600 #5 c -> 1");
}

#[test]
fn a_refused_push_keeps_its_gap_too() {
    let mut bench = Bench::with(&[1]);
    bench.config_changed("c", true, &[(1, false)]);
    bench.fail(1, 1);
    bench.to(100);
    bench.config_changed("c", true, &[(1, false)]);
    bench.to(300);
    assert_eq!(bench.lines(), ["0 #1 c -> 1", "300 #2 c -> 1"]);
}

#[test]
fn a_gap_outlives_neither_its_time_nor_its_connection() {
    let mut bench = Bench::with(&[1, 2, 3]);
    bench.config_changed("c", true, &[(1, false), (2, false), (3, false)]);
    bench.ack(1, 1);
    bench.disconnect(2);
    bench.disconnect(3);
    assert_eq!(bench.push.deadline(), Some(300));
    bench.to(300);
    assert_eq!(bench.push.deadline(), None);
    bench.config_changed("c", true, &[(1, false)]);
    bench.ack(1, 2);
    bench.disconnect(1);
    bench.to(600);
    assert!(bench.is_empty());
}

#[test]
fn no_answer_for_3_s_is_repeated_2_s_later_for_each_attempt() {
    let mut bench = Bench::with(&[1]);
    bench.config_changed("c", true, &[(1, false)]);
    bench.to(30_000);
    let lines = [
        "0 #1 c -> 1",
        "5000 #2 c -> 1",
        "12000 #3 c -> 1",
        "21000 #4 c -> 1",
    ];
    assert_eq!(bench.lines(), lines);
    bench.ack(1, 4);
    assert_eq!(
        bench.push.deadline(),
        Some(32_000),
        "the time-out of attempt 4 at 24 000, then 8 s"
    );
    bench.to(32_000);
    bench.ack(1, 5);
    assert_eq!(bench.push.deadline(), Some(32_300), "the gap");
    bench.to(32_300);
    assert_eq!(bench.push.deadline(), None);
}

#[test]
fn after_50_attempts_the_connection_is_ended() {
    let mut bench = Bench::with(&[1]);
    bench.config_changed("c", true, &[(1, false)]);
    for attempt in 1..=50 {
        bench.fail(1, attempt);
        bench.to(bench.now + 2_000 * attempt);
    }
    let lines = bench.lines();
    assert_eq!(lines.len(), 51);
    let end = 2_000 * 49 * 50 / 2;
    assert_eq!(
        lines[49..],
        [format!("{end} #50 c -> 1"), format!("{end} close 1")]
    );
    bench.to(10_000_000);
    assert!(bench.lines().is_empty());
    bench.disconnect(1);
    assert!(bench.is_empty());
}

#[test]
fn a_success_starts_the_count_anew() {
    let mut bench = Bench::with(&[1]);
    bench.config_changed("c", true, &[(1, false)]);
    bench.fail(1, 1);
    bench.to(2000);
    bench.fail(1, 2);
    bench.to(6000);
    bench.ack(1, 3);
    bench.config_changed("c", true, &[(1, false)]);
    bench.to(6300);
    bench.fail(1, 4);
    bench.to(8300);
    assert_eq!(bench.lines().last().unwrap(), "8300 #5 c -> 1");
}
