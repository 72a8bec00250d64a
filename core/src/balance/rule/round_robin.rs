//! Ribbon `RoundRobinRule`: the next of the whole list that is up.
//!
//! The first answer is index 1: the counter moves before it is used. A member that is down costs its turn.
//! `exact`: gives up after ten looks. `safe`: looks at every member once before it gives up.

use crate::balance::query::{NoPick, Query};
use crate::balance::table::Scope;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

const LOOKS: u32 = 10;

#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    counter: AtomicU32,
}

impl RoundRobin {
    pub(crate) fn continued(&self) -> Self {
        Self {
            counter: AtomicU32::new(self.counter.load(Relaxed)),
        }
    }

    pub(crate) fn choose(&self, q: &Query<'_>, scope: &Scope) -> Result<u32, NoPick> {
        let count = scope.len();
        if count == 0 {
            return Err(NoPick::NoInstances);
        }
        if scope.reachable().is_empty() {
            return Err(NoPick::NoneHealthy);
        }
        let looks = if q.plan.exact {
            LOOKS
        } else {
            LOOKS.max(count)
        };
        for _ in 0..looks {
            let index = scope.members[self.next(count) as usize];
            if q.up(index) {
                return Ok(index);
            }
        }
        Err(if q.plan.exact {
            NoPick::GaveUp
        } else {
            q.none_of(&scope.members)
        })
    }

    #[inline]
    pub(crate) fn next_of_all(&self, scope: &Scope) -> Option<u32> {
        if scope.reachable().is_empty() {
            return None;
        }
        Some(scope.members[self.next(scope.len()) as usize])
    }

    #[inline]
    fn next(&self, count: u32) -> u32 {
        let step = |at: u32| super::predicate::after(at, count);
        // The closure never refuses, so both arms hold the value before the step.
        let (Ok(before) | Err(before)) = self
            .counter
            .fetch_update(Relaxed, Relaxed, |at| Some(step(at)));
        step(before)
    }
}
