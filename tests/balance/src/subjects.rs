//! What is measured in this process: the rules natively, and tower's balancer.

use std::convert::Infallible;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{Ready, ready};
use futures_util::task::noop_waker;
use nacrite_core::balance::{
    Balancer, Candidate, Context, Outcome, Policy, Report, SplitMix64, Xoshiro256,
};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwmaDiscover};

use crate::Failure;
use crate::clock::measure;

/// The clock of all picks: far enough from the start for every interval to be over.
pub(crate) const NOW_MS: u64 = 1_000_000;
/// Hash of a key, for the rules that have use for one; it moves with every pick.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Instances as a service has them: three zones, five weights.
pub(crate) fn candidates(count: u32) -> Vec<Candidate> {
    (0..count)
        .map(|n| {
            Candidate::new(format!(
                "10.{}.{}.{}:8080",
                n >> 16,
                (n >> 8) & 255,
                n & 255
            ))
            .in_zone(["za", "zb", "zc"][n as usize % 3])
            .in_cluster("DEFAULT")
            .with_weight(f64::from(1 + n % 5))
        })
        .collect()
}

/// A balancer with a list, and a response time of each of its members.
pub(crate) fn balancer(policy: Policy, count: u32) -> Result<Balancer, Failure> {
    let mut balancer = Balancer::new(policy)?;
    balancer.update(1, candidates(count));
    for index in 0..count {
        balancer.begin(index, 2);
        let report = Report {
            outcome: Outcome::Success,
            response_ms: Some(f64::from(10 + index % 50)),
            retry_after_ms: None,
        };
        balancer.end(index, 3, report);
    }
    balancer.maintain_weights();
    Ok(balancer)
}

/// A pick, natively.
pub(crate) fn native(policy: Policy, count: u32) -> Result<f64, Failure> {
    let balancer = balancer(policy, count)?;
    let mut random = Xoshiro256::new(1);
    let mut key = 0_u64;
    balancer
        .choose(NOW_MS, &mut random, &Context::default())
        .map_err(|why| why.to_string())?;
    Ok(measure(|| {
        key = key.wrapping_add(STEP);
        let context = Context {
            key_hash: Some(key),
            ..Context::default()
        };
        let _pick = std::hint::black_box(balancer.choose(NOW_MS, &mut random, &context));
    }))
}

/// The start and the end of a request, natively.
pub(crate) fn feedback(policy: Policy, count: u32) -> Result<f64, Failure> {
    let balancer = balancer(policy, count)?;
    let mut random = Xoshiro256::new(1);
    let pick = balancer
        .choose(NOW_MS, &mut random, &Context::default())
        .map_err(|why| why.to_string())?;
    Ok(measure(|| {
        if let Some(ticket) = balancer.start(pick, NOW_MS) {
            balancer.finish(ticket, NOW_MS + 5, Outcome::Success);
        }
    }))
}

/// A whole call natively: choice, start, end, and the clock that tower reads too.
pub(crate) fn call(rule: &str, count: u32) -> Result<f64, Failure> {
    let balancer = balancer(Policy::of(rule), count)?;
    let mut random = Xoshiro256::new(1);
    let began = Instant::now();
    let now = || NOW_MS + began.elapsed().as_millis() as u64;
    let mut failed = false;
    let time = measure(|| {
        let at = now();
        let pick = balancer.choose(at, &mut random, &Context::default());
        match pick.ok().and_then(|pick| balancer.start(pick, at)) {
            Some(ticket) => balancer.finish(ticket, now(), Outcome::Success),
            None => failed = true,
        }
    });
    if failed {
        Err(format!("{rule} chose nobody").into())
    } else {
        Ok(time)
    }
}

/// A pick by zone avoidance while one of the three zones is over its load.
pub(crate) fn zone_to_avoid(count: u32) -> Result<f64, Failure> {
    let balancer = balancer(Policy::of("zone-avoidance"), count)?;
    for index in (0..count).step_by(3) {
        balancer.begin(index, NOW_MS);
    }
    let mut random = Xoshiro256::new(1);
    Ok(measure(|| {
        let _pick = std::hint::black_box(balancer.choose(NOW_MS, &mut random, &Context::default()));
    }))
}

/// Answers at once.
#[derive(Clone)]
struct Nothing;

impl Service<()> for Nothing {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

/// A pick by tower's balancer: `poll_ready`, which draws two and compares their peak EWMA. What it draws again after the call
/// that follows is part of the next.
pub(crate) fn tower(count: u32) -> Result<f64, Failure> {
    let services = ServiceList::new::<()>(vec![Nothing; count as usize]);
    let measured = PeakEwmaDiscover::new::<()>(
        services,
        Duration::from_millis(30),
        Duration::from_secs(10),
        CompleteOnResponse::default(),
    );
    let mut balance: Balance<_, ()> = Balance::new(measured);
    let waker = noop_waker();
    let mut task = TaskContext::from_waker(&waker);
    let mut failed = false;
    let time = measure(|| {
        failed |= !matches!(balance.poll_ready(&mut task), Poll::Ready(Ok(())));
        // Without its call the same one stays picked.
        drop(balance.call(()));
    });
    if failed {
        Err("tower's balancer was not ready".into())
    } else {
        Ok(time)
    }
}

/// Between the random bits of two picks of a transcript.
const RAND_STEP: u64 = 0xd134_2543_de82_ef95;

/// A transcript for the hosts of `wasm/examples`: a list, and so many picks with the sum of the answers that the rule gives
/// natively, which are to be the same.
pub(crate) fn transcript(policy: &Policy, count: u32, picks: u64) -> Result<String, Failure> {
    let mut balancer = Balancer::new(policy.clone())?;
    balancer.update(1, candidates(count));
    let (mut rand, mut sum) = (1_u64, 0_u64);
    for n in 0..picks {
        let pick = balancer.choose(0, &mut SplitMix64::new(rand), &Context::default());
        let answer = pick.map_or(1, |pick| u64::from(pick.index) + 2);
        sum = sum.wrapping_add((n % 1000 + 1).wrapping_mul(answer));
        rand = rand.wrapping_add(RAND_STEP);
    }
    let mut text = format!("init {}\nlist 1 {count}\n", serde_json::to_string(policy)?);
    for (index, one) in (0..).zip(balancer.candidates()) {
        let hash = nacrite_core::balance::hash::xxh64(one.id.as_bytes(), 0);
        let zone = one.zone.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "r {} {hash} {} {} {zone} {} {}\n",
            one.id,
            one.weight,
            balancer.joined_ms(index),
            one.cluster,
            one.flags.bits()
        ));
    }
    text.push_str(&format!("many {picks} 1 0 {sum}\n"));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_of_their_length_and_ids_differ() {
        let list = candidates(10_000);
        let ids: std::collections::BTreeSet<&str> =
            list.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn every_rule_can_be_measured() {
        for (name, _) in nacrite_core::balance::names::NAMES.iter().take(22) {
            let balancer = balancer(Policy::of(name), 10).expect("a policy");
            let pick = balancer.choose(NOW_MS, &mut SplitMix64::new(1), &Context::default());
            assert!(pick.is_ok(), "{name}: {pick:?}");
        }
    }
}
