//! The rules that are not recorded anywhere: what their sources promise.

use super::*;

#[test]
fn smooth_turns_keep_their_balance_over_an_update() {
    let mut balancer = over(Policy::of("smooth-wrr"), weighted(&[5.0, 1.0, 1.0]));
    assert_eq!(next(&balancer, 7), [0, 0, 1, 0, 2, 0, 0]);
    assert_eq!(next(&balancer, 3), [0, 0, 1]);
    balancer.update(NOW, weighted(&[5.0, 1.0, 1.0]));
    assert_eq!(next(&balancer, 4), [0, 2, 0, 0]);
}

#[test]
fn smooth_turns_with_a_long_cycle_have_exact_shares() {
    let balancer = over(Policy::of("smooth-wrr"), weighted(&[1000.5, 2001.0, 1.0]));
    assert_eq!(counts(&balancer, 6005), [2001, 4002, 2]);
}

#[test]
fn failures_halve_a_smooth_weight_until_successes_give_it_back() {
    let balancer = over(
        Policy {
            failure_aware: true,
            ..Policy::of("smooth-wrr")
        },
        weighted(&[8.0, 7.0]),
    );
    let mut rng = Xoshiro256::new(1);
    let mut fail = |outcome| {
        let pick = balancer
            .choose(
                NOW,
                &mut rng,
                &Context {
                    tried: &[1],
                    ..Context::default()
                },
            )
            .expect("usable");
        let ticket = balancer.start(pick, NOW).expect("the same list");
        balancer.finish(ticket, NOW, outcome);
    };
    fail(Outcome::ServerError);
    fail(Outcome::ServerError);
    assert!(follows(&counts(&balancer, 9_000), &[2.0, 7.0]));
    (0..3).for_each(|_| fail(Outcome::Success));
    assert!(follows(&counts(&balancer, 12_000), &[5.0, 7.0]));
}

#[test]
fn least_request_prefers_the_idle_and_follows_weights_when_all_are() {
    let balancer = over(Policy::of("least-request"), ids(4));
    assert!(follows(&counts(&balancer, 20_000), &[1.0; 4]));
    start(&balancer, 0, 1);
    // A busy one loses against each other; it is in half of the pairs and wins none.
    assert!(follows(&counts(&balancer, 20_000), &[0.0, 1.0, 1.0, 1.0]));
    let balancer = over(Policy::of("least-request"), weighted(&[1.0, 2.0, 5.0]));
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 2.0, 5.0]));
    start(&balancer, 2, 9);
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 2.0, 0.5]));
    // A list too long to be counted out.
    let weights: Vec<f64> = (0..100).map(|id| f64::from(id % 4 + 1)).collect();
    let balancer = over(Policy::of("least-request"), weighted(&weights));
    assert!(follows(&counts(&balancer, 100_000), &weights));
    (0..50).for_each(|index| start(&balancer, index, 3));
    let shares = counts(&balancer, 100_000);
    let loaded: u64 = shares[..50].iter().sum();
    assert!(
        (15_000..25_000).contains(&loaded),
        "a quarter of half the weight, not {loaded}"
    );
}

#[test]
fn p2c_avoids_the_slow_and_the_failing() {
    let balancer = over(Policy::of("p2c-ewma"), ids(3));
    let serve = |index: usize, report: Report| {
        let id = &balancer.candidates()[index].id;
        balancer.start_id(id, NOW);
        balancer.finish_id(id, NOW, report);
    };
    serve(0, report(Outcome::Success, 900.0));
    assert!(follows(&counts(&balancer, 10_000)[1..], &[1.0, 1.0]));
    assert_eq!(counts(&balancer, 10_000)[0], 0);
    // A failure that came fast must not look fast.
    serve(1, report(Outcome::CircuitFailure, 1.0));
    let shares = counts(&balancer, 9_000);
    assert!(
        shares[2] > shares[0] && shares[0] > 0 && shares[1] == 0,
        "{shares:?}"
    );
    // Estimates decay while others are measured, so it is tried again.
    balancer.finish_id("10.0.0.2:80", NOW + 120_000, report(Outcome::Success, 25.0));
    let later = counts_at(&balancer, NOW + 120_000, 9_000);
    assert!(later[0] > 0 && later[1] > 0, "{later:?}");
}

#[test]
fn p2c_divides_by_weight() {
    let balancer = over(Policy::of("p2c-ewma"), weighted(&[1.0, 4.0, 0.0]));
    let mut open = Vec::new();
    let mut rng = Xoshiro256::new(2);
    for _ in 0..1_000 {
        let pick = balancer
            .choose(NOW, &mut rng, &Context::default())
            .expect("usable");
        open.extend(balancer.start(pick, NOW));
    }
    let active = |id: &str| {
        balancer
            .stats(id)
            .map_or(0, nacrite_core::balance::stats::Stats::active)
    };
    let (light, heavy) = (active("10.0.0.0:80"), active("10.0.0.1:80"));
    assert!(
        light.abs_diff(200) < 10 && heavy.abs_diff(800) < 10,
        "{light} and {heavy}"
    );
    assert_eq!(active("10.0.0.2:80"), 0);
}

#[test]
fn bounded_load_spills_to_the_next() {
    for rule in ["ring-hash", "maglev"] {
        let mut policy = Policy::of(rule);
        policy.hashing.bound = Some(1.25);
        let balancer = over(policy, ids(5));
        let context = Context {
            key: Some("one hot key"),
            ..Context::default()
        };
        let mut rng = SplitMix64::new(1);
        let mut open = Vec::new();
        for _ in 0..100 {
            let pick = balancer.choose(NOW, &mut rng, &context).expect("usable");
            open.extend(balancer.start(pick, NOW));
        }
        let most = (0..5)
            .filter_map(|id| balancer.stats(&format!("10.0.0.{id}:80")))
            .map(nacrite_core::balance::stats::Stats::active)
            .max();
        assert_eq!(most, Some(25), "{rule}");
    }
}

#[test]
fn the_same_key_meets_the_same_member_and_no_key_is_spread() {
    for rule in ["ring-hash", "maglev"] {
        let balancer = over(Policy::of(rule), ids(8));
        let context = Context {
            key: Some("tenant-7"),
            ..Context::default()
        };
        let owner = balancer
            .choose(NOW, &mut SplitMix64::new(1), &context)
            .expect("usable")
            .index;
        for seed in 0..20 {
            assert_eq!(
                balancer
                    .choose(NOW, &mut SplitMix64::new(seed), &context)
                    .map(|pick| pick.index),
                Ok(owner)
            );
        }
        assert!(
            counts(&balancer, 8_000).iter().all(|&share| share > 500),
            "{rule}"
        );
        balancer.set_flag(owner, Flags::HEALTHY, false);
        let other = balancer
            .choose(NOW, &mut SplitMix64::new(1), &context)
            .expect("usable")
            .index;
        assert_ne!(other, owner);
        balancer.set_flag(owner, Flags::HEALTHY, true);
        assert_eq!(
            balancer
                .choose(NOW, &mut SplitMix64::new(1), &context)
                .map(|pick| pick.index),
            Ok(owner)
        );
    }
}

#[test]
fn maglev_entries_follow_weights() {
    let balancer = over(Policy::of("maglev"), weighted(&[1.0, 3.0]));
    let shares = counts(&balancer, 40_000);
    assert!(shares[1].abs_diff(30_000) < 400, "{shares:?}");
}

#[test]
fn localities_share_by_weight_and_availability() {
    let mut policy = Policy::of("locality-weighted");
    policy.locality.weights.insert("ZA".to_string(), 3.0);
    let balancer = over(policy, zoned(&["za", "za", "za", "za", "zb", "zb"]));
    let zones = |shares: &[u64]| [shares[..4].iter().sum::<u64>(), shares[4..].iter().sum()];
    assert!(follows(&zones(&counts(&balancer, 20_000)), &[3.0, 1.0]));
    // Overprovisioning covers one of four down, not two.
    balancer.set_flag(0, Flags::HEALTHY, false);
    assert!(follows(&zones(&counts(&balancer, 20_000)), &[3.0, 1.0]));
    balancer.set_flag(1, Flags::HEALTHY, false);
    assert!(follows(
        &zones(&counts(&balancer, 20_000)),
        &[3.0 * 0.7, 1.0]
    ));
}

#[test]
fn zone_aware_routing_stays_near_and_spills_the_rest() {
    let mut policy = Policy {
        zone: Some("za".to_string()),
        ..Policy::of("locality-weighted")
    };
    policy.locality.zone_aware = true;
    policy.locality.caller_share = Some(0.5);
    let balancer = over(
        policy,
        zoned(&["za", "za", "zb", "zb", "zb", "zb", "zb", "zb"]),
    );
    let shares = counts(&balancer, 20_000);
    assert!(
        follows(
            &[shares[0] + shares[1], shares[2..].iter().sum()],
            &[0.5, 0.5]
        ),
        "{shares:?}"
    );
}
