//! The columns of a member that change between updates, as a host shows them to a plugin, and as a plugin takes a host's over.

use super::balancer::Balancer;
use super::candidate::Flags;

/// What changes of a member without an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// Its flags, with the verdicts of this balancer's breaker and outlier detection.
    pub flags: Flags,
    /// Requests under way.
    pub active: u32,
    /// Peak moving average of its response times in ms, decayed to now; 0 with no sample.
    pub cost_ms: f64,
    /// Connection failures in a row.
    pub failure_run: u32,
}

impl Balancer {
    /// The live columns of a member; none outside the list.
    #[must_use]
    pub fn live(&self, index: u32, now_ms: u64) -> Option<Live> {
        let stats = self.table.stats.get(index as usize)?;
        let (policy, plan) = (&self.plan.policy, &self.plan);
        let tripped = plan.breaks && stats.tripped(now_ms, &policy.circuit, plan.exact);
        let ejected = now_ms
            < stats
                .outlier
                .until_ms
                .load(core::sync::atomic::Ordering::Relaxed);
        let verdict = |flags: Flags, flag, on| if on { flags.with(flag, true) } else { flags };
        let flags = Flags::from_bits(self.table.bits(index));
        Some(Live {
            flags: verdict(
                verdict(flags, Flags::TRIPPED, tripped),
                Flags::EJECTED,
                ejected,
            ),
            active: stats.active_now(now_ms, plan.window_ms, &self.loads),
            cost_ms: if stats.is_sampled() {
                stats.cost(now_ms, plan.decay, policy.ewma.initial_ms)
            } else {
                0.0
            },
            failure_run: stats.failure_run(),
        })
    }

    /// The flags of a member as they were given or set in place, without any verdict; none outside the list.
    #[must_use]
    pub fn flags(&self, index: u32) -> Option<Flags> {
        (index < self.table.len()).then(|| Flags::from_bits(self.table.bits(index)))
    }

    /// When a member joined by this balancer's clock in ms; 0 = with the first list, or outside the list.
    #[must_use]
    pub fn joined_ms(&self, index: u32) -> u64 {
        self.table
            .joined_ms
            .get(index as usize)
            .copied()
            .unwrap_or(0)
    }

    /// Takes counts over that somebody else keeps, in place of this balancer's own. A cost of 0 or less leaves the estimate as
    /// it is. False outside the list.
    pub fn take_over(
        &self,
        index: u32,
        now_ms: u64,
        active: u32,
        cost_ms: f64,
        failure_run: u32,
    ) -> bool {
        let Some(stats) = self.table.stats.get(index as usize) else {
            return false;
        };
        stats.take_over(now_ms, active, cost_ms, &self.loads);
        let before = stats.failure_run();
        if failure_run < before {
            stats.clear_failures();
        }
        for _ in stats.failure_run()..failure_run.min(stats.failure_run().saturating_add(32)) {
            stats.fail(
                now_ms,
                &self.plan.policy.circuit,
                self.plan.exact,
                &self.loads,
            );
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Candidate, Outcome, Policy, Report};
    use alloc::vec;

    #[test]
    fn one_balancer_follows_another_by_its_live_columns() {
        let policy = Policy {
            breaker: crate::balance::policy::Switch::On,
            ..Policy::of("p2c-ewma")
        };
        let list = || vec![Candidate::new("a"), Candidate::new("b")];
        let mut first = Balancer::new(policy.clone()).unwrap();
        let mut second = Balancer::new(policy).unwrap();
        first.update(1, list());
        second.update(1, list());
        for _ in 0..3 {
            first.start_id("a", 10);
            first.note_failure("b", 10);
        }
        first.finish_id(
            "a",
            20,
            Report {
                outcome: Outcome::Success,
                response_ms: Some(80.0),
                retry_after_ms: None,
            },
        );
        for index in 0..2 {
            let live = first.live(index, 20).unwrap();
            assert!(second.take_over(index, 20, live.active, live.cost_ms, live.failure_run));
        }
        let (a, b) = (second.live(0, 20).unwrap(), second.live(1, 20).unwrap());
        assert_eq!((a.active, b.failure_run), (2, 3));
        assert!(b.flags.has(Flags::TRIPPED) && !a.flags.has(Flags::TRIPPED));
        assert!((second.stats("a").unwrap().cost(20, second.plan.decay, 30.0) - 80.0).abs() < 1e-6);
        assert_eq!(
            (first.live(2, 20), second.take_over(2, 20, 0, 0.0, 0)),
            (None, false)
        );
    }
}
