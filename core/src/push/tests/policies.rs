//! Pushes of services with load-balancing policies, to connections that ask for them.

use super::*;
use crate::{node::input::POLICY_LABEL, policies::PolicyScope};

/// Connection 1 asks for policies, 2 says that it does not, 3 says nothing; all subscribed and acknowledged.
fn settled() -> Bench {
    let mut bench = Bench::new();
    bench.connect_with(1, &[(POLICY_LABEL, "true")]);
    bench.connect_with(2, &[(POLICY_LABEL, "false")]);
    bench.connect(3);
    for conn in 1..=3 {
        bench.subscribe(conn, "s", "").unwrap();
    }
    bench.to(500);
    assert_eq!(
        bench.lines(),
        ["500 #1 s[] -> 2 3", "500 #2 s[] with policy -> 1"]
    );
    bench.ack(1, 2);
    bench.ack(2, 1);
    bench.ack(3, 1);
    bench.to(1000);
    bench
}

impl Bench {
    fn policy(&mut self, scope: &PolicyScope) {
        self.push.policy_changed(scope, self.clock());
        self.collect();
    }
}

#[test]
fn a_policy_goes_at_once_to_those_who_ask_alone() {
    let mut bench = settled();
    bench.policy(&PolicyScope::Service(service("s")));
    assert_eq!(bench.lines(), ["1000 #3 s[] with policy -> 1"]);
    bench.policy(&PolicyScope::Service(service("other")));
    bench.policy(&PolicyScope::Namespace("other".into()));
    assert!(bench.lines().is_empty(), "nobody subscribes there");
}

#[test]
fn a_policy_of_a_namespace_is_for_every_service_in_it() {
    let mut bench = settled();
    bench.subscribe(1, "t", "A").unwrap();
    bench.to(1500);
    bench.ack(1, 3);
    bench.lines();
    bench.policy(&PolicyScope::Namespace("public".into()));
    assert_eq!(
        bench.lines(),
        [
            "1500 #4 s[] with policy -> 1",
            "1500 #5 t[A] with policy -> 1"
        ]
    );
}

#[test]
fn a_change_while_a_push_is_under_way_leaves_after_its_acknowledgement() {
    let mut bench = settled();
    bench.policy(&PolicyScope::Service(service("s")));
    bench.policy(&PolicyScope::Service(service("s")));
    bench.lines();
    bench.to(1100);
    bench.ack(1, 3);
    assert_eq!(bench.lines(), ["1100 #4 s[] with policy -> 1"]);
}
