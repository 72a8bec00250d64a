//! What each rule and stage of the safe mode does, and that it is without the recorded defects.

mod modern;
mod nacos;
mod ribbon;
mod stages;

use nacrite_core::balance::policy::{Label, Outlier, SlowStart};
use nacrite_core::balance::replay::chi_square::follows;
use nacrite_core::balance::{
    Balancer, Candidate, Context, Flags, Mode, NoPick, Outcome, Policy, Report, Rng, SplitMix64,
    Xoshiro256,
};

const NOW: u64 = 1_000_000;

fn ids(count: u32) -> Vec<Candidate> {
    (0..count)
        .map(|id| Candidate::new(format!("10.0.0.{id}:80")))
        .collect()
}

fn zoned(zones: &[&str]) -> Vec<Candidate> {
    zones
        .iter()
        .enumerate()
        .map(|(id, zone)| Candidate::new(format!("10.0.0.{id}:80")).in_zone(*zone))
        .collect()
}

fn weighted(weights: &[f64]) -> Vec<Candidate> {
    ids(weights.len() as u32)
        .into_iter()
        .zip(weights)
        .map(|(one, &weight)| one.with_weight(weight))
        .collect()
}

fn over(policy: Policy, list: Vec<Candidate>) -> Balancer {
    let mut balancer = Balancer::new(policy).expect("a valid policy");
    balancer.update(NOW, list);
    balancer
}

fn choose(balancer: &Balancer, rng: &mut dyn Rng) -> Result<u32, NoPick> {
    balancer
        .choose(NOW, rng, &Context::default())
        .map(|pick| pick.index)
}

/// The next answers, which all must be.
fn next(balancer: &Balancer, count: usize) -> Vec<u32> {
    let mut rng = Xoshiro256::new(1);
    (0..count)
        .map(|_| choose(balancer, &mut rng).expect("a member is usable"))
        .collect()
}

fn counts_at(balancer: &Balancer, now: u64, choices: u32) -> Vec<u64> {
    let mut rng = Xoshiro256::new(11);
    let mut counts = vec![0; balancer.candidates().len()];
    for _ in 0..choices {
        let pick = balancer
            .choose(now, &mut rng, &Context::default())
            .expect("a member is usable");
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
    Report {
        outcome,
        response_ms: Some(ms),
        retry_after_ms: None,
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
    let pick = balancer
        .choose(NOW, &mut Xoshiro256::new(1), &Context::default())
        .expect("usable");
    let ticket = balancer.start(pick, NOW).expect("the same list");
    let next = balancer
        .with_policy(NOW, Policy::of("least-active"))
        .expect("a valid policy");
    next.finish(ticket, NOW + 5, Outcome::Success);
    assert_eq!(choose(&next, &mut Xoshiro256::new(1)), Ok(1));
    assert!(
        balancer
            .with_policy(NOW, Policy::of("least-activ"))
            .is_err()
    );
}
