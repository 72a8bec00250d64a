//! Ribbon `BestAvailableRule`: the fewest requests under way, among members whose circuit is closed.
//!
//! `exact`: members that are down are not skipped. All tripped: round robin.

use super::round_robin::RoundRobin;
use crate::balance::policy::Tie;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::Scope;

#[derive(Debug, Default)]
pub(crate) struct BestAvailable {
    fallback: RoundRobin,
}

impl BestAvailable {
    pub(crate) fn continued(&self) -> Self {
        Self {
            fallback: self.fallback.continued(),
        }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        match least(q, &scope.members, q.plan.policy.ribbon.tie, rng) {
            Some(index) => Ok(index),
            None => self.fallback.choose(q, scope),
        }
    }
}

/// The least active member that is not tripped.
pub(crate) fn least(q: &Query<'_>, members: &[u32], tie: Tie, rng: &mut dyn Rng) -> Option<u32> {
    let trips = q.trips_possible();
    let mut best = None;
    // More than any member has.
    let mut fewest = u64::MAX;
    let mut equals = 0;
    for &index in members {
        if !q.usable_if_safe(index) || (trips && q.tripped(index)) {
            continue;
        }
        let active = u64::from(q.active(index));
        if active < fewest {
            (best, fewest, equals) = (Some(index), active, 1);
        } else if active == fewest && tie == Tie::Random {
            equals += 1;
            // The n-th of equals replaces the one held with probability 1/n: all are as likely in the end.
            if rng.int(equals) == 0 {
                best = Some(index);
            }
        }
    }
    best
}
