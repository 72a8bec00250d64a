//! Pushes of services to gRPC connections.

use super::*;
use crate::node::reply::{Refusal, Reply, Totals};

/// Connections 1.. that subscribed at 0 and acknowledged their first push, at 1000.
fn settled(conns: &[u64]) -> Bench {
    let mut bench = Bench::with(conns);
    for conn in conns {
        assert_eq!(bench.subscribe(*conn, "s", ""), Ok(Reply::Done));
    }
    bench.to(500);
    assert_eq!(
        bench.lines().len(),
        1,
        "one wave for the first pushes of one moment"
    );
    conns.iter().for_each(|conn| bench.ack(*conn, 1));
    bench.to(1000);
    bench
}

#[test]
fn a_first_subscription_is_pushed_once_more_to_that_client_alone() {
    let mut bench = Bench::with(&[1, 2]);
    bench.subscribe(1, "s", "").unwrap();
    bench.to(100);
    bench.subscribe(2, "s", "").unwrap();
    bench.subscribe(1, "s", "A").unwrap();
    bench.to(10_000);
    assert_eq!(bench.lines()[..2], ["500 #1 s[A] -> 1", "600 #2 s[] -> 2"]);
}

#[test]
fn a_wave_takes_the_place_of_the_first_push() {
    let mut bench = Bench::with(&[1]);
    bench.subscribe(1, "s", "").unwrap();
    bench.to(100);
    bench.change("s");
    bench.ack(1, 1);
    bench.to(10_000);
    assert_eq!(bench.lines(), ["100 #1 s[] -> 1"]);
}

#[test]
fn a_lone_change_leaves_at_once_and_a_storm_every_window() {
    let mut bench = settled(&[1]);
    for at in (1000..=2300).step_by(100) {
        bench.to(at);
        bench.change("s");
        bench.ack(1, bench.push.last);
    }
    bench.to(2500);
    let waves = [
        "1000 #2 s[] -> 1",
        "1500 #3 s[] -> 1",
        "2000 #4 s[] -> 1",
        "2500 #5 s[] -> 1",
    ];
    assert_eq!(bench.lines(), waves);
    bench.ack(1, 5);
    bench.to(9000);
    bench.change("s");
    assert_eq!(bench.lines(), ["9000 #6 s[] -> 1"]);
}

#[test]
fn windows_are_of_one_service() {
    let mut bench = settled(&[1]);
    bench.subscribe(1, "t", "").unwrap();
    bench.change("s");
    bench.change("t");
    assert_eq!(bench.lines(), ["1000 #2 s[] -> 1", "1000 #3 t[] -> 1"]);
}

#[test]
fn the_last_deregistration_is_pushed_and_counted() {
    let mut bench = settled(&[1]);
    bench.changed("s", None, false, true, 0);
    assert_eq!(bench.lines(), ["1000 #2 s[] -> 1"]);
    let state = bench.push.push_state(true);
    assert_eq!((state.total, state.empty, state.acknowledged), (2, 1, 1));
    assert_eq!(bench.push.push_state(false).total, 0);
}

#[test]
fn no_answer_for_5_s_is_repeated_after_1_s_to_that_client_without_end() {
    let mut bench = settled(&[1, 2]);
    bench.change("s");
    bench.ack(1, 2);
    bench.to(1000 + 3 * 6000);
    let lines = [
        "1000 #2 s[] -> 1 2",
        "7000 #3 s[] -> 2",
        "13000 #4 s[] -> 2",
        "19000 #5 s[] -> 2",
    ];
    assert_eq!(bench.lines(), lines);
    bench.to(600_000);
    assert!(bench.lines().len() > 90);
    assert_eq!(
        bench.push.push_state(false).failed,
        1,
        "a series of failures counts once"
    );
}

#[test]
fn a_refusal_is_repeated_after_1_s() {
    let mut bench = settled(&[1]);
    bench.change("s");
    bench.to(1200);
    bench.fail(1, 2);
    bench.to(3000);
    assert_eq!(bench.lines(), ["1000 #2 s[] -> 1", "2200 #3 s[] -> 1"]);
    bench.ack(1, 3);
    let state = bench.push.push_state(false);
    assert_eq!(
        (state.failed, state.acknowledged),
        (0, 2),
        "repeated with success"
    );
    assert_eq!(
        state.cost_max, 2000,
        "from the change to the acknowledgement"
    );
}

#[test]
fn a_change_while_one_is_under_way_leaves_with_the_acknowledgement() {
    let mut bench = settled(&[1]);
    bench.change("s");
    bench.to(1600);
    bench.change("s");
    bench.to(2200);
    bench.change("s");
    assert_eq!(bench.lines(), ["1000 #2 s[] -> 1"]);
    bench.ack(1, 2);
    bench.ack(1, 3);
    bench.to(60_000);
    assert_eq!(bench.lines(), ["2200 #3 s[] -> 1"]);
}

#[test]
fn a_change_while_one_is_under_way_leaves_with_the_time_out() {
    let mut bench = settled(&[1]);
    bench.change("s");
    bench.to(1600);
    bench.change("s");
    bench.to(6500);
    assert_eq!(bench.lines(), ["1000 #2 s[] -> 1", "6000 #3 s[] -> 1"]);
}

#[test]
fn a_change_takes_the_place_of_a_repeat_that_waits() {
    let mut bench = settled(&[1]);
    bench.change("s");
    bench.fail(1, 2);
    bench.to(1700);
    bench.change("s");
    bench.ack(1, 3);
    bench.to(60_000);
    assert_eq!(bench.lines(), ["1000 #2 s[] -> 1", "1700 #3 s[] -> 1"]);
}

#[test]
fn repeat_and_wave_of_one_moment_are_one_push() {
    let mut bench = settled(&[1]);
    bench.change("s");
    bench.fail(1, 2);
    bench.now = 1100;
    bench.change("s");
    // Both the repeat (2000) and the window (1500) are past when the late tick comes.
    bench.now = 2500;
    bench.push.tick(bench.clock());
    bench.collect();
    assert_eq!(bench.lines(), ["1000 #2 s[] -> 1", "2500 #3 s[] -> 1"]);
}

#[test]
fn only_the_push_under_way_can_be_acknowledged() {
    let mut bench = settled(&[1, 2]);
    bench.change("s");
    let before = bench.push.push_state(false);
    bench.ack(1, 1);
    bench.ack(3, 2);
    bench.ack(1, 99);
    bench.fail(2, 3);
    assert_eq!(bench.push.push_state(false), before);
    bench.ack(1, 2);
    bench.ack(1, 2);
    assert_eq!(
        bench.push.push_state(false).acknowledged,
        before.acknowledged + 1
    );
}

#[test]
fn one_wave_has_one_number_and_one_timer_for_each_class() {
    let conns: Vec<u64> = (1..=1000).collect();
    let mut bench = settled(&conns);
    bench.subscribe(7, "s", "A").unwrap();
    bench.change("s");
    let waves: Vec<_> = bench.raw.iter().filter(|(at, _)| *at == 1000).collect();
    assert_eq!(waves.len(), 2);
    assert!(matches!(&waves[0].1, Output::Push { conns, .. } if conns.len() == 999));
    assert_eq!(bench.push.timers.len(), 2);
    let mut totals = Totals::default();
    bench.push.count_into(&mut totals);
    assert_eq!(
        (totals.subscriptions, totals.connections, totals.timers),
        (1000, 1000, 2)
    );
}

#[test]
fn a_label_selector_makes_classes_of_consumers() {
    let mut bench = settled(&[1, 2]);
    bench.changed("s", Some(&labelled()), false, false, 1);
    assert_eq!(
        bench.lines(),
        [
            "1000 #2 s[] for 10.0.0.1 -> 1",
            "1000 #3 s[] for 10.0.0.2 -> 2"
        ]
    );
    bench.ack(1, 2);
    bench.ack(2, 3);
    bench.to(2000);
    bench.changed("s", Some(&ServiceMetadata::default()), false, false, 1);
    assert_eq!(bench.lines(), ["2000 #4 s[] -> 1 2"]);
}

#[test]
fn whoever_is_gone_gets_nothing_and_leaves_nothing() {
    let mut bench = settled(&[1, 2]);
    bench.change("s");
    bench.to(1100);
    bench.change("s");
    bench.unsubscribe(1, "s").unwrap();
    bench.disconnect(2);
    assert_eq!(bench.unsubscribe(1, "never"), Ok(Reply::Done));
    bench.lines();
    bench.to(60_000);
    assert!(bench.lines().is_empty());
    bench.disconnect(1);
    assert!(bench.is_empty());
}

#[test]
fn an_unknown_connection_subscribes_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.subscribe(1, "s", ""), Err(Refusal::Unregistered));
    assert_eq!(bench.unsubscribe(1, "s"), Err(Refusal::Unregistered));
    assert_eq!(
        bench.watch(1, false, "public>>*>>*", &[], true, &[]),
        Err(Refusal::Unregistered)
    );
    assert!(bench.is_empty());
}

#[test]
fn questions_are_answered_by_service_and_by_client() {
    let mut bench = Bench::with(&[1, 2]);
    bench.subscribe(1, "orders", "A").unwrap();
    bench.subscribe(2, "orders", "").unwrap();
    bench.subscribe(1, "bills", "").unwrap();
    bench.query(4000, "orders").unwrap();
    let names = |found: Vec<crate::node::reply::Subscriber>| -> Vec<String> {
        found
            .iter()
            .map(|s| format!("{} {}", s.service.name, s.client))
            .collect()
    };
    let all = [
        "bills conn-1",
        "orders conn-1",
        "orders conn-2",
        "orders 10.1.0.1:4000#true",
    ];
    assert_eq!(names(bench.push.subscribers("public", "", "", false)), all);
    assert_eq!(
        names(bench.push.subscribers("public", "DEFAULT", "order", false)),
        all[1..]
    );
    assert!(
        bench
            .push
            .subscribers("public", "DEFAULT", "orders", true)
            .is_empty()
    );
    assert_eq!(
        names(
            bench
                .push
                .subscribers("public", "DEFAULT_GROUP", "orders", true)
        ),
        all[1..]
    );
    assert!(bench.push.subscribers("other", "", "", false).is_empty());
    assert_eq!(
        names(bench.push.subscribers_of(&service("bills"))),
        all[..1]
    );
    assert_eq!(
        names(bench.push.subscriptions_of("conn-1").unwrap()),
        all[..2]
    );
    assert_eq!(
        names(bench.push.subscriptions_of("10.1.0.1:4000#true").unwrap()),
        all[3..]
    );
    for unknown in [
        "conn-3",
        "10.1.0.1:400#true",
        "10.1.0.1:4000#false",
        "10.1.0.1:4000",
        "",
    ] {
        assert_eq!(bench.push.subscriptions_of(unknown), None, "{unknown}");
    }
    assert_eq!(bench.push.clients(), [arc("10.1.0.1:4000#true")]);
    let connections = bench.push.connections();
    assert_eq!(
        (connections.len(), &*connections[1].id, connections[1].since),
        (2, "conn-2", 1_000_000)
    );
    let first = &bench.push.subscribers_of(&service("orders"))[0];
    assert_eq!(
        (&*first.ip, first.port, &*first.clusters, &*first.app),
        ("10.0.0.1", 0, "A", "app")
    );
}
