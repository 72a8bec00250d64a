//! Ribbon's rules without their recorded defects.

use super::*;

#[test]
fn round_robin_finds_the_one_that_lives_among_many() {
    for mode in [Mode::Safe, Mode::Exact] {
        let balancer = over(Policy::of("round-robin").in_mode(mode), ids(14));
        (0..14).filter(|&index| index != 5).for_each(|index| {
            balancer.set_flag(index, Flags::ALIVE, false);
        });
        let found = (0..8)
            .filter(|_| choose(&balancer, &mut Xoshiro256::new(1)) == Ok(5))
            .count();
        assert_eq!(
            found == 8,
            mode == Mode::Safe,
            "{mode:?} found it {found} times of 8"
        );
    }
}

#[test]
fn random_uses_the_reachable_only_and_ends() {
    let mut balancer = Balancer::new(Policy::of("random")).expect("a valid policy");
    balancer.update_probed(NOW, ids(4), Some(&[true, false, true, false]));
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 0.0, 1.0, 0.0]));
    balancer.set_flag(0, Flags::ALIVE, false);
    balancer.set_flag(2, Flags::ALIVE, false);
    assert_eq!(
        choose(&balancer, &mut Xoshiro256::new(1)),
        Err(NoPick::NoneHealthy)
    );
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
        assert_eq!(
            choose(&balancer, &mut Xoshiro256::new(1)),
            Err(NoPick::NoneHealthy),
            "{rule}"
        );
    }
}

#[test]
fn an_idle_zone_is_not_dropped_when_another_is_black() {
    let balancer = over(
        Policy::default(),
        zoned(&["za", "za", "zb", "zb", "zc", "zc"]),
    );
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
    assert!(
        follows(&[shares[0] + shares[1], shares[2] + shares[3]], &[1.0, 1.0]),
        "{shares:?}"
    );
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
    let balancer = over(
        Policy {
            sub_rule: "BestAvailableRule".to_string(),
            ..Policy::of("RetryRule")
        },
        ids(2),
    );
    start(&balancer, 0, 1);
    assert_eq!(next(&balancer, 3), [1, 1, 1]);
}
