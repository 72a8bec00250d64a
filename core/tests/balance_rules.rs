//! What each rule and stage of the safe mode does, and that it is without the recorded defects.

use nacrite_core::balance::policy::{Label, Outlier, SlowStart};
use nacrite_core::balance::replay::chi_square::follows;
use nacrite_core::balance::{
    Balancer, Candidate, Context, Flags, Mode, NoPick, Outcome, Policy, Report, Rng, SplitMix64, Xoshiro256,
};

const NOW: u64 = 1_000_000;

fn ids(count: u32) -> Vec<Candidate> {
    (0..count).map(|id| Candidate::new(format!("10.0.0.{id}:80"))).collect()
}

fn zoned(zones: &[&str]) -> Vec<Candidate> {
    zones.iter().enumerate().map(|(id, zone)| Candidate::new(format!("10.0.0.{id}:80")).in_zone(*zone)).collect()
}

fn weighted(weights: &[f64]) -> Vec<Candidate> {
    ids(weights.len() as u32).into_iter().zip(weights).map(|(one, &weight)| one.with_weight(weight)).collect()
}

fn over(policy: Policy, list: Vec<Candidate>) -> Balancer {
    let mut balancer = Balancer::new(policy).expect("a valid policy");
    balancer.update(NOW, list);
    balancer
}

fn choose(balancer: &Balancer, rng: &mut dyn Rng) -> Result<u32, NoPick> {
    balancer.choose(NOW, rng, &Context::default()).map(|pick| pick.index)
}

/// The next answers, which all must be.
fn next(balancer: &Balancer, count: usize) -> Vec<u32> {
    let mut rng = Xoshiro256::new(1);
    (0..count).map(|_| choose(balancer, &mut rng).expect("a member is usable")).collect()
}

fn counts_at(balancer: &Balancer, now: u64, choices: u32) -> Vec<u64> {
    let mut rng = Xoshiro256::new(11);
    let mut counts = vec![0; balancer.candidates().len()];
    for _ in 0..choices {
        let pick = balancer.choose(now, &mut rng, &Context::default()).expect("a member is usable");
        counts[pick.index as usize] += 1;
    }
    counts
}

fn counts(balancer: &Balancer, choices: u32) -> Vec<u64> {
    counts_at(balancer, NOW, choices)
}

fn start(balancer: &Balancer, index: usize, count: u32) {
    for _ in 0..count {
        assert!(balancer.start_id(&balancer.candidates()[index].id, NOW));
    }
}

fn trip(balancer: &Balancer, index: usize) {
    for _ in 0..3 {
        balancer.note_failure(&balancer.candidates()[index].id, NOW);
    }
}

fn report(outcome: Outcome, ms: f64) -> Report {
    Report { outcome, response_ms: Some(ms), retry_after_ms: None }
}

// === Ribbon without its defects ===

#[test]
fn round_robin_finds_the_one_that_lives_among_many() {
    for mode in [Mode::Safe, Mode::Exact] {
        let balancer = over(Policy::of("round-robin").in_mode(mode), ids(14));
        (0..14).filter(|&index| index != 5).for_each(|index| {
            balancer.set_flag(index, Flags::ALIVE, false);
        });
        let found = (0..8).filter(|_| choose(&balancer, &mut Xoshiro256::new(1)) == Ok(5)).count();
        assert_eq!(found == 8, mode == Mode::Safe, "{mode:?} found it {found} times of 8");
    }
}

#[test]
fn random_uses_the_reachable_only_and_ends() {
    let mut balancer = Balancer::new(Policy::of("random")).expect("a valid policy");
    balancer.update_probed(NOW, ids(4), Some(&[true, false, true, false]));
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 0.0, 1.0, 0.0]));
    balancer.set_flag(0, Flags::ALIVE, false);
    balancer.set_flag(2, Flags::ALIVE, false);
    assert_eq!(choose(&balancer, &mut Xoshiro256::new(1)), Err(NoPick::NoneHealthy));
}

#[test]
fn availability_and_zone_avoidance_skip_the_dead() {
    for rule in ["availability", "zone-avoidance", "least-active"] {
        let balancer = over(Policy::of(rule), zoned(&["za", "za", "zb"]));
        balancer.set_flag(0, Flags::ALIVE, false);
        trip(&balancer, 1);
        assert_eq!(next(&balancer, 3), [2, 2, 2], "{rule}");
        // The dead one is not used even when every other circuit is open.
        trip(&balancer, 2);
        assert!(next(&balancer, 6).iter().all(|&index| index != 0), "{rule}");
        balancer.set_flag(1, Flags::ALIVE, false);
        balancer.set_flag(2, Flags::READY, false);
        assert_eq!(choose(&balancer, &mut Xoshiro256::new(1)), Err(NoPick::NoneHealthy), "{rule}");
    }
}

#[test]
fn an_idle_zone_is_not_dropped_when_another_is_black() {
    let balancer = over(Policy::default(), zoned(&["za", "za", "zb", "zb", "zc", "zc"]));
    trip(&balancer, 0);
    trip(&balancer, 1);
    assert_eq!(next(&balancer, 4), [2, 3, 4, 5]);
    // Zone zb is over the trigger: it is left out, by any spelling.
    start(&balancer, 2, 3);
    let mut seen = next(&balancer, 8);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [4, 5]);
}

#[test]
fn zones_are_compared_without_letter_case_and_drawn_once() {
    let balancer = over(Policy::default(), zoned(&["ZA", "za", "zb", "zb"]));
    start(&balancer, 0, 5);
    assert_eq!(next(&balancer, 4), [2, 3, 2, 3]);
    // Two zones tie over the trigger: each choice leaves one of them out, never both.
    start(&balancer, 2, 5);
    let shares = counts(&balancer, 4_000);
    assert!(follows(&[shares[0] + shares[1], shares[2] + shares[3]], &[1.0, 1.0]), "{shares:?}");
}

#[test]
fn the_last_zone_with_a_closed_circuit_stays() {
    let balancer = over(Policy::default(), zoned(&["za", "zb"]));
    trip(&balancer, 0);
    start(&balancer, 1, 9);
    assert_eq!(next(&balancer, 3), [1, 1, 1]);
}

#[test]
fn response_time_never_draws_a_zero_weight_and_follows_a_swap_at_once() {
    let mut balancer = over(Policy::of("response-time"), ids(2));
    balancer.note_response("10.0.0.0:80", 10.0);
    balancer.maintain_weights();
    struct Zero;
    impl Rng for Zero {
        fn int(&mut self, _: u32) -> u32 {
            0
        }
        fn unit(&mut self) -> f64 {
            0.0
        }
    }
    assert_eq!(choose(&balancer, &mut Zero), Ok(1));
    // The slow one moves to the second place; the weights move with it.
    balancer.note_response("10.0.0.1:80", 40.0);
    balancer.maintain_weights();
    assert!(follows(&counts(&balancer, 5_000), &[40.0, 10.0]));
    balancer.update(NOW, ids(2).into_iter().rev().collect());
    assert!(follows(&counts(&balancer, 5_000), &[10.0, 40.0]));
}

#[test]
fn weights_are_computed_at_their_interval_only() {
    let balancer = over(Policy::of("ResponseTimeWeightedRule"), ids(2));
    balancer.maintain(NOW);
    balancer.note_response("10.0.0.0:80", 10.0);
    balancer.maintain(NOW + 29_999);
    assert_eq!(balancer.response_weights(), Some(vec![0.0, 0.0]));
    balancer.maintain(NOW + 30_000);
    assert_eq!(balancer.response_weights(), Some(vec![0.0, 10.0]));
}

#[test]
fn the_breaker_saturates() {
    let mut policy = Policy::of("availability");
    policy.circuit.factor_s = 40_000;
    policy.circuit.max_s = 2_000_000_000;
    let balancer = over(policy, ids(2));
    for _ in 0..25 {
        balancer.note_failure("10.0.0.0:80", NOW);
    }
    assert_eq!(next(&balancer, 3), [1, 1, 1]);
}

#[test]
fn a_retry_chooses_by_its_sub_rule() {
    let balancer = over(Policy { sub_rule: "BestAvailableRule".to_string(), ..Policy::of("RetryRule") }, ids(2));
    start(&balancer, 0, 1);
    assert_eq!(next(&balancer, 3), [1, 1, 1]);
}

// === Nacos ===

#[test]
fn odd_weights_count_as_documented() {
    let balancer = over(Policy::of("nacos-weighted"), weighted(&[f64::NAN, 3.0, -1.0, 0.0]));
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 3.0, 0.0, 0.0]));
    let balancer = over(Policy::of("nacos-weighted"), weighted(&[f64::INFINITY, 10_000.0]));
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 1.0]));
    let balancer = over(Policy::of("nacos-weighted"), weighted(&[0.0, -1.0]));
    assert_eq!(choose(&balancer, &mut Xoshiro256::new(1)), Err(NoPick::NoWeight));
}

#[test]
fn shares_follow_changes_of_health_in_place() {
    let balancer = over(Policy::of("nacos-weighted"), weighted(&[1.0, 2.0, 4.0]));
    balancer.set_flag(2, Flags::HEALTHY, false);
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 2.0, 0.0]));
    balancer.set_flag(2, Flags::HEALTHY, true);
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 2.0, 4.0]));
}

#[test]
fn the_own_cluster_widens_when_it_has_nobody() {
    let list = || {
        let clusters = ["HZ", "HZ", "SH", "SH"];
        weighted(&[1.0, 3.0, 1.0, 2.0]).into_iter().zip(clusters).map(|(one, cluster)| one.in_cluster(cluster)).collect()
    };
    for rule in ["NacosRule", "NacosLoadBalancer"] {
        let balancer = over(Policy { cluster: Some("HZ".to_string()), ..Policy::of(rule) }, list());
        assert!(follows(&counts(&balancer, 20_000), &[1.0, 3.0, 0.0, 0.0]));
        balancer.set_flag(0, Flags::HEALTHY, false);
        balancer.set_flag(1, Flags::ENABLED, false);
        assert!(follows(&counts(&balancer, 20_000), &[0.0, 0.0, 1.0, 2.0]), "{rule}");
    }
}

// === Modern rules ===

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
    let balancer = over(Policy { failure_aware: true, ..Policy::of("smooth-wrr") }, weighted(&[8.0, 7.0]));
    let mut rng = Xoshiro256::new(1);
    let mut fail = |outcome| {
        let pick = balancer.choose(NOW, &mut rng, &Context { tried: &[1], ..Context::default() }).expect("usable");
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
    assert!((15_000..25_000).contains(&loaded), "a quarter of half the weight, not {loaded}");
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
    assert!(shares[2] > shares[0] && shares[0] > 0 && shares[1] == 0, "{shares:?}");
    // Estimates decay while others are measured, so it is tried again.
    balancer.finish_id("10.0.0.2:80", NOW + 120_000, report(Outcome::Success, 25.0));
    let later = counts_at(&balancer, NOW + 120_000, 9_000);
    assert!(later.iter().all(|&share| share > 0), "{later:?}");
}

#[test]
fn p2c_divides_by_weight() {
    let balancer = over(Policy::of("p2c-ewma"), weighted(&[1.0, 4.0, 0.0]));
    let mut open = Vec::new();
    let mut rng = Xoshiro256::new(2);
    for _ in 0..1_000 {
        let pick = balancer.choose(NOW, &mut rng, &Context::default()).expect("usable");
        open.extend(balancer.start(pick, NOW));
    }
    let active = |id: &str| balancer.stats(id).map_or(0, |stats| stats.active());
    let (light, heavy) = (active("10.0.0.0:80"), active("10.0.0.1:80"));
    assert!(light.abs_diff(200) < 10 && heavy.abs_diff(800) < 10, "{light} and {heavy}");
    assert_eq!(active("10.0.0.2:80"), 0);
}

#[test]
fn bounded_load_spills_to_the_next() {
    for rule in ["ring-hash", "maglev"] {
        let mut policy = Policy::of(rule);
        policy.hashing.bound = Some(1.25);
        let balancer = over(policy, ids(5));
        let context = Context { key: Some("one hot key"), ..Context::default() };
        let mut rng = SplitMix64::new(1);
        let mut open = Vec::new();
        for _ in 0..100 {
            let pick = balancer.choose(NOW, &mut rng, &context).expect("usable");
            open.extend(balancer.start(pick, NOW));
        }
        let most = (0..5).filter_map(|id| balancer.stats(&format!("10.0.0.{id}:80"))).map(|stats| stats.active()).max();
        assert_eq!(most, Some(25), "{rule}");
    }
}

#[test]
fn the_same_key_meets_the_same_member_and_no_key_is_spread() {
    for rule in ["ring-hash", "maglev"] {
        let balancer = over(Policy::of(rule), ids(8));
        let context = Context { key: Some("tenant-7"), ..Context::default() };
        let owner = balancer.choose(NOW, &mut SplitMix64::new(1), &context).expect("usable").index;
        for seed in 0..20 {
            assert_eq!(balancer.choose(NOW, &mut SplitMix64::new(seed), &context).map(|pick| pick.index), Ok(owner));
        }
        assert!(counts(&balancer, 8_000).iter().all(|&share| share > 500), "{rule}");
        balancer.set_flag(owner, Flags::HEALTHY, false);
        let other = balancer.choose(NOW, &mut SplitMix64::new(1), &context).expect("usable").index;
        assert_ne!(other, owner);
        balancer.set_flag(owner, Flags::HEALTHY, true);
        assert_eq!(balancer.choose(NOW, &mut SplitMix64::new(1), &context).map(|pick| pick.index), Ok(owner));
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
    assert!(follows(&zones(&counts(&balancer, 20_000)), &[3.0 * 0.7, 1.0]));
}

#[test]
fn zone_aware_routing_stays_near_and_spills_the_rest() {
    let mut policy = Policy { zone: Some("za".to_string()), ..Policy::of("locality-weighted") };
    policy.locality.zone_aware = true;
    policy.locality.caller_share = Some(0.5);
    let balancer = over(policy, zoned(&["za", "za", "zb", "zb", "zb", "zb", "zb", "zb"]));
    let shares = counts(&balancer, 20_000);
    assert!(follows(&[shares[0] + shares[1], shares[2..].iter().sum()], &[0.5, 0.5]), "{shares:?}");
}

// === Stages ===

fn outlier() -> Policy {
    Policy { outlier: Some(Outlier::default()), ..Policy::of("spring-round-robin") }
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
        balancer.finish_id("10.0.0.2:80", NOW + 90_000, report(Outcome::ServerError, 1.0));
    }
    assert!(counts_at(&balancer, NOW + 90_000, 300)[2] > 0);
}

#[test]
fn a_success_ends_a_row_of_errors() {
    let balancer = over(outlier(), ids(4));
    for step in 0..40 {
        let outcome = if step % 5 == 4 { Outcome::Success } else { Outcome::GatewayError };
        balancer.finish_id("10.0.0.1:80", NOW, report(outcome, 1.0));
    }
    assert!(counts(&balancer, 300)[1] > 0);
}

#[test]
fn a_low_success_rate_ejects_at_the_interval() {
    let mut policy = outlier();
    policy.outlier.as_mut().expect("it is on").consecutive_errors = 0;
    let balancer = over(policy, ids(10));
    balancer.maintain(NOW);
    for id in 0..10 {
        for request in 0..100 {
            let failed = id == 3 && request % 2 == 0;
            let outcome = if failed { Outcome::ServerError } else { Outcome::Success };
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
    let panic = over(Policy { panic_share: 0.5, ..Policy::of("spring-random") }, ids(4));
    down(&panic, 2);
    assert!(follows(&counts(&panic, 8_000), &[0.0, 0.0, 1.0, 1.0]), "half is not below half");
    down(&panic, 3);
    assert!(follows(&counts(&panic, 8_000), &[1.0; 4]));
    panic.set_flag(0, Flags::ENABLED, false);
    assert_eq!(counts(&panic, 1_000)[0], 0, "a disabled member is never used");
    let protect = over(Policy { protect_threshold: Some(0.5), ..Policy::of("spring-random") }, ids(4));
    down(&protect, 1);
    assert_eq!(counts(&protect, 1_000)[0], 0);
    down(&protect, 2);
    assert!(follows(&counts(&protect, 8_000), &[1.0; 4]), "half is at the threshold");
}

#[test]
fn labels_prefer_or_require() {
    let list = || ids(4).into_iter().enumerate().map(|(id, one)| one.with_label("version", if id < 2 { "2" } else { "1" }));
    let label = |required| Label { name: "version".to_string(), value: "2".to_string(), required };
    let prefer = over(Policy { label: Some(label(false)), ..Policy::of("random") }, list().collect());
    assert!(follows(&counts(&prefer, 8_000), &[1.0, 1.0, 0.0, 0.0]));
    let context = Context { label: Some(("version", "1")), ..Context::default() };
    let pick = prefer.choose(NOW, &mut Xoshiro256::new(1), &context).expect("usable");
    assert!(pick.index >= 2, "the request's label goes before the policy's");
    let require = over(Policy { label: Some(label(true)), ..Policy::of("random") }, list().collect());
    for balancer in [&prefer, &require] {
        balancer.set_flag(0, Flags::HEALTHY, false);
        balancer.set_flag(1, Flags::HEALTHY, false);
    }
    assert!(follows(&counts(&prefer, 8_000), &[0.0, 0.0, 1.0, 1.0]));
    assert_eq!(choose(&require, &mut Xoshiro256::new(1)), Err(NoPick::NoMatch));
}

#[test]
fn a_new_member_starts_slowly_around_any_rule() {
    for rule in ["random", "nacos-weighted", "spring-random", "p2c-ewma"] {
        let mut balancer = over(Policy { slow_start: Some(SlowStart::default()), ..Policy::of(rule) }, ids(3));
        assert!(follows(&counts(&balancer, 6_000), &[1.0; 3]), "{rule}: the first list is not new");
        balancer.update(NOW, ids(4));
        if rule != "p2c-ewma" {
            assert!(follows(&counts(&balancer, 20_000), &[1.0, 1.0, 1.0, 0.1]), "{rule}");
            assert!(follows(&counts_at(&balancer, NOW + 30_000, 20_000), &[1.0, 1.0, 1.0, 0.5]), "{rule}");
        }
        assert!(follows(&counts_at(&balancer, NOW + 60_000, 20_000), &[1.0; 4]), "{rule}");
    }
    for rule in ["ring-hash", "maglev", "least-active", "round-robin", "zone-avoidance"] {
        let mut balancer = over(Policy { slow_start: Some(SlowStart::default()), ..Policy::of(rule) }, ids(3));
        let grown = counts(&over(Policy::of(rule), ids(4)), 9_000)[3];
        balancer.update(NOW, ids(4));
        let young = counts(&balancer, 9_000)[3];
        assert!(young * 5 <= grown.max(1), "{rule}: {young} of {grown}");
        // A short absence does not make it new, a long one does.
        balancer.update(NOW + 60_000, ids(3));
        balancer.update(NOW + 119_000, ids(4));
        assert_eq!(counts_at(&balancer, NOW + 119_000, 9_000)[3] > young.max(grown / 5), grown > 0, "{rule}");
    }
}

#[test]
fn statistics_of_those_that_left_are_forgotten_in_time() {
    let mut balancer = over(Policy::default(), ids(2));
    balancer.note_response("10.0.0.1:80", 7.0);
    balancer.update(NOW, ids(1));
    balancer.update(NOW + 1_800_000, ids(1));
    assert!(balancer.stats("10.0.0.1:80").is_some());
    balancer.update(NOW + 1_800_001, ids(1));
    assert!(balancer.stats("10.0.0.1:80").is_none());
    assert!(!balancer.start_id("10.0.0.1:80", NOW));
    assert_eq!(balancer.unknown_reports(), 1);
}

#[test]
fn a_policy_changes_beside_running_requests() {
    let balancer = over(Policy::of("round-robin"), ids(3));
    start(&balancer, 0, 2);
    let pick = balancer.choose(NOW, &mut Xoshiro256::new(1), &Context::default()).expect("usable");
    let ticket = balancer.start(pick, NOW).expect("the same list");
    let next = balancer.with_policy(NOW, Policy::of("least-active")).expect("a valid policy");
    next.finish(ticket, NOW + 5, Outcome::Success);
    assert_eq!(choose(&next, &mut Xoshiro256::new(1)), Ok(1));
    assert!(balancer.with_policy(NOW, Policy::of("least-activ")).is_err());
}
