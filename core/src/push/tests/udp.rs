//! Pushes over UDP.

use super::*;
use crate::node::reply::Reply;

const PUSHED: Answered = Ok(Reply::Subscribed {
    pushed: true,
    cache_millis: 10_000,
});

/// One subscriber, whose first push is acknowledged, at 1000.
fn settled() -> Bench {
    let mut bench = Bench::new();
    assert_eq!(bench.query(4000, "s"), PUSHED);
    bench.to(500);
    assert_eq!(bench.lines(), ["500 #1 s -> udp 4000"]);
    bench.udp_ack(4000, 1);
    bench.to(1000);
    bench
}

#[test]
fn agents_that_take_no_pushes_are_not_kept() {
    let mut bench = Bench::new();
    let switches = Switches::default();
    let refused = Ok(Reply::Subscribed {
        pushed: false,
        cache_millis: 10_000,
    });
    assert_eq!(bench.query_with(4000, "s", "curl/8", &switches), refused);
    assert_eq!(bench.query_with(0, "s", JAVA, &switches), refused);
    let off = Switches {
        push_enabled: false,
        ..Switches::default()
    };
    assert_eq!(bench.query_with(4000, "s", JAVA, &off), refused);
    assert!(bench.is_empty());
}

#[test]
fn an_acknowledged_push_is_sent_once() {
    let mut bench = settled();
    bench.change("s");
    bench.to(10_999);
    bench.udp_ack(4000, 2);
    bench.to(30_000);
    assert_eq!(bench.lines(), ["1000 #2 s -> udp 4000"]);
    let state = bench.push.push_state(false);
    assert_eq!(
        (
            state.total,
            state.acknowledged,
            state.failed,
            state.cost_max
        ),
        (2, 2, 0, 9_999)
    );
}

#[test]
fn without_an_answer_for_10_s_it_is_sent_once_more() {
    let mut bench = settled();
    bench.change("s");
    bench.to(20_000);
    bench.query(4000, "s").unwrap();
    bench.to(40_000);
    assert_eq!(
        bench.lines(),
        ["1000 #2 s -> udp 4000", "11000 #3 s -> udp 4000"]
    );
    let state = bench.push.push_state(false);
    assert_eq!((state.total, state.acknowledged, state.failed), (3, 1, 1));
    bench.udp_ack(4000, 3);
    assert_eq!(bench.push.push_state(false).acknowledged, 1, "too late");
}

#[test]
fn an_acknowledgement_counts_from_the_address_that_was_sent_to() {
    let mut bench = settled();
    bench.change("s");
    bench.udp_ack(4001, 2);
    bench.push.udp_ack("10.1.0.2", 4000, 2, bench.clock());
    bench.udp_ack(4000, 1);
    bench.to(11_000);
    assert_eq!(
        bench.lines(),
        ["1000 #2 s -> udp 4000", "11000 #3 s -> udp 4000"]
    );
}

#[test]
fn a_newer_push_takes_the_place_of_one_under_way() {
    let mut bench = settled();
    bench.change("s");
    bench.to(3000);
    bench.change("s");
    bench.udp_ack(4000, 2);
    bench.to(25_000);
    let lines = [
        "1000 #2 s -> udp 4000",
        "3000 #3 s -> udp 4000",
        "13000 #4 s -> udp 4000",
    ];
    assert_eq!(bench.lines(), lines);
}

#[test]
fn a_storm_is_gathered() {
    let mut bench = settled();
    for at in (1000..2000).step_by(50) {
        bench.to(at);
        bench.change("s");
        bench.udp_ack(4000, bench.push.last);
    }
    bench.to(2000);
    bench.udp_ack(4000, 4);
    bench.to(20_000);
    let lines = [
        "1000 #2 s -> udp 4000",
        "1500 #3 s -> udp 4000",
        "2000 #4 s -> udp 4000",
    ];
    assert_eq!(bench.lines(), lines);
}

#[test]
fn whoever_does_not_ask_for_30_s_is_forgotten() {
    let mut bench = settled();
    bench.to(20_000);
    bench.query(4000, "s").unwrap();
    bench.to(50_000);
    bench.change("s");
    bench.udp_ack(4000, 2);
    assert_eq!(
        bench.lines(),
        ["50000 #2 s -> udp 4000"],
        "30 s after the last query"
    );
    bench.to(50_001);
    bench.change("s");
    bench.to(70_000);
    assert!(bench.lines().is_empty());
    assert!(bench.is_empty());
}

#[test]
fn a_push_under_way_ends_with_its_subscriber() {
    let mut bench = settled();
    bench.to(29_000);
    bench.change("s");
    bench.to(60_000);
    assert_eq!(
        bench.lines(),
        ["29000 #2 s -> udp 4000"],
        "no repeat at 39 000"
    );
    assert!(bench.is_empty());
}

#[test]
fn a_late_clock_pushes_to_nobody_whose_time_is_over() {
    let mut bench = settled();
    bench.now = 31_000;
    bench.change("s");
    assert!(bench.lines().is_empty() && bench.is_empty());
}

#[test]
fn asking_again_after_the_time_is_a_new_subscription() {
    let mut bench = settled();
    bench.now = 31_000;
    bench.query(4000, "s").unwrap();
    bench.to(31_500);
    assert_eq!(bench.lines(), ["31500 #2 s -> udp 4000"]);
}

#[test]
fn a_host_that_could_not_listen_forgets_nobody() {
    let mut bench = settled();
    bench.now = 90_000;
    bench.push.excuse_silence(bench.clock());
    bench.push.tick(bench.clock());
    bench.change("s");
    bench.udp_ack(4000, 2);
    assert_eq!(bench.lines(), ["90000 #2 s -> udp 4000"]);
    bench.to(120_001);
    assert!(bench.is_empty());
}

#[test]
fn slower_clients_are_kept_longer() {
    let mut bench = Bench::new();
    let slow = Switches {
        default_push_cache_millis: 60_000,
        ..Switches::default()
    };
    let answer = bench.query_with(4000, "s", JAVA, &slow);
    assert_eq!(
        answer,
        Ok(Reply::Subscribed {
            pushed: true,
            cache_millis: 60_000
        })
    );
    bench.to(60_000);
    assert!(!bench.is_empty());
    bench.to(60_001);
    assert!(bench.is_empty());
}

#[test]
fn agent_and_clusters_are_part_of_who_a_client_is() {
    let mut bench = settled();
    bench
        .query_with(4000, "s", "Nacos-Go-Client:v1.0.1", &Switches::default())
        .unwrap();
    bench.change("s");
    assert_eq!(
        bench.lines(),
        ["1000 #2 s -> udp 4000", "1000 #3 s -> udp 4000"]
    );
    assert_eq!(bench.push.clients().len(), 1);
    bench.changed("s", Some(&labelled()), false, false, 1);
    bench.to(1500);
    assert_eq!(bench.lines()[0], "1500 #4 s by consumer -> udp 4000");
}
