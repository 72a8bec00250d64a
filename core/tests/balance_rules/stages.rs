//! The stages around any rule.

use super::*;

fn outlier() -> Policy {
    Policy {
        outlier: Some(Outlier::default()),
        ..Policy::of("spring-round-robin")
    }
}

#[test]
fn errors_in_a_row_eject_for_a_while_and_longer_each_time() {
    let balancer = over(outlier(), ids(4));
    let errors = |now: u64| {
        for _ in 0..5 {
            balancer.finish_id("10.0.0.1:80", now, report(Outcome::ServerError, 1.0));
        }
    };
    errors(NOW);
    assert_eq!(counts(&balancer, 300)[1], 0);
    assert_eq!(counts_at(&balancer, NOW + 29_999, 300)[1], 0);
    assert!(counts_at(&balancer, NOW + 30_000, 300)[1] > 0);
    errors(NOW + 30_000);
    assert_eq!(counts_at(&balancer, NOW + 89_999, 300)[1], 0);
    assert!(counts_at(&balancer, NOW + 90_000, 300)[1] > 0);
    // No more than the allowed share is out at once.
    errors(NOW + 90_000);
    for _ in 0..5 {
        balancer.finish_id(
            "10.0.0.2:80",
            NOW + 90_000,
            report(Outcome::ServerError, 1.0),
        );
    }
    assert!(counts_at(&balancer, NOW + 90_000, 300)[2] > 0);
}

#[test]
fn a_success_ends_a_row_of_errors() {
    let balancer = over(outlier(), ids(4));
    for step in 0..40 {
        let outcome = if step % 5 == 4 {
            Outcome::Success
        } else {
            Outcome::GatewayError
        };
        balancer.finish_id("10.0.0.1:80", NOW, report(outcome, 1.0));
    }
    assert!(counts(&balancer, 300)[1] > 0);
}

#[test]
fn a_low_success_rate_ejects_at_the_interval() {
    let mut policy = outlier();
    policy
        .outlier
        .as_mut()
        .expect("it is on")
        .consecutive_errors = 0;
    let balancer = over(policy, ids(10));
    balancer.maintain(NOW);
    for id in 0..10 {
        for request in 0..100 {
            let failed = id == 3 && request % 2 == 0;
            let outcome = if failed {
                Outcome::ServerError
            } else {
                Outcome::Success
            };
            balancer.finish_id(&format!("10.0.0.{id}:80"), NOW, report(outcome, 1.0));
        }
    }
    balancer.maintain(NOW + 9_999);
    assert!(counts_at(&balancer, NOW + 9_999, 100)[3] > 0);
    balancer.maintain(NOW + 10_000);
    assert_eq!(counts_at(&balancer, NOW + 10_000, 100)[3], 0);
}

#[test]
fn the_only_member_is_used_even_when_ejected() {
    let balancer = over(outlier(), ids(1));
    for _ in 0..5 {
        balancer.finish_id("10.0.0.0:80", NOW, report(Outcome::CircuitFailure, 1.0));
    }
    assert_eq!(next(&balancer, 2), [0, 0]);
}

#[test]
fn panic_and_protection_ignore_health_at_their_thresholds() {
    let down = |balancer: &Balancer, count: u32| {
        (0..count).for_each(|index| {
            balancer.set_flag(index, Flags::HEALTHY, false);
        });
    };
    let panic = over(
        Policy {
            panic_share: 0.5,
            ..Policy::of("spring-random")
        },
        ids(4),
    );
    down(&panic, 2);
    assert!(
        follows(&counts(&panic, 8_000), &[0.0, 0.0, 1.0, 1.0]),
        "half is not below half"
    );
    down(&panic, 3);
    assert!(follows(&counts(&panic, 8_000), &[1.0; 4]));
    panic.set_flag(0, Flags::ENABLED, false);
    assert_eq!(
        counts(&panic, 1_000)[0],
        0,
        "a disabled member is never used"
    );
    let protect = over(
        Policy {
            protect_threshold: Some(0.5),
            ..Policy::of("spring-random")
        },
        ids(4),
    );
    down(&protect, 1);
    assert_eq!(counts(&protect, 1_000)[0], 0);
    down(&protect, 2);
    assert!(
        follows(&counts(&protect, 8_000), &[1.0; 4]),
        "half is at the threshold"
    );
}

#[test]
fn labels_prefer_or_require() {
    let list = || {
        ids(4)
            .into_iter()
            .enumerate()
            .map(|(id, one)| one.with_label("version", if id < 2 { "2" } else { "1" }))
    };
    let label = |required| Label {
        name: "version".to_string(),
        value: "2".to_string(),
        required,
    };
    let prefer = over(
        Policy {
            label: Some(label(false)),
            ..Policy::of("random")
        },
        list().collect(),
    );
    assert!(follows(&counts(&prefer, 8_000), &[1.0, 1.0, 0.0, 0.0]));
    let context = Context {
        label: Some(("version", "1")),
        ..Context::default()
    };
    let pick = prefer
        .choose(NOW, &mut Xoshiro256::new(1), &context)
        .expect("usable");
    assert!(
        pick.index >= 2,
        "the request's label goes before the policy's"
    );
    let require = over(
        Policy {
            label: Some(label(true)),
            ..Policy::of("random")
        },
        list().collect(),
    );
    for balancer in [&prefer, &require] {
        balancer.set_flag(0, Flags::HEALTHY, false);
        balancer.set_flag(1, Flags::HEALTHY, false);
    }
    assert!(follows(&counts(&prefer, 8_000), &[0.0, 0.0, 1.0, 1.0]));
    assert_eq!(
        choose(&require, &mut Xoshiro256::new(1)),
        Err(NoPick::NoMatch)
    );
}

#[test]
fn a_new_member_starts_slowly_around_any_rule() {
    for rule in ["random", "nacos-weighted", "spring-random", "p2c-ewma"] {
        let mut balancer = over(
            Policy {
                slow_start: Some(SlowStart::default()),
                ..Policy::of(rule)
            },
            ids(3),
        );
        assert!(
            follows(&counts(&balancer, 6_000), &[1.0; 3]),
            "{rule}: the first list is not new"
        );
        balancer.update(NOW, ids(4));
        if rule != "p2c-ewma" {
            assert!(
                follows(&counts(&balancer, 20_000), &[1.0, 1.0, 1.0, 0.1]),
                "{rule}"
            );
            assert!(
                follows(
                    &counts_at(&balancer, NOW + 30_000, 20_000),
                    &[1.0, 1.0, 1.0, 0.5]
                ),
                "{rule}"
            );
        }
        assert!(
            follows(&counts_at(&balancer, NOW + 60_000, 20_000), &[1.0; 4]),
            "{rule}"
        );
    }
    for rule in [
        "ring-hash",
        "maglev",
        "least-active",
        "round-robin",
        "zone-avoidance",
    ] {
        let mut balancer = over(
            Policy {
                slow_start: Some(SlowStart::default()),
                ..Policy::of(rule)
            },
            ids(3),
        );
        let grown = counts(&over(Policy::of(rule), ids(4)), 9_000)[3];
        balancer.update(NOW, ids(4));
        let young = counts(&balancer, 9_000)[3];
        assert!(young * 5 <= grown.max(1), "{rule}: {young} of {grown}");
        // A short absence does not make it new, a long one does.
        balancer.update(NOW + 60_000, ids(3));
        balancer.update(NOW + 119_000, ids(4));
        assert_eq!(
            counts_at(&balancer, NOW + 119_000, 9_000)[3] > young.max(grown / 5),
            grown > 0,
            "{rule}"
        );
    }
}
