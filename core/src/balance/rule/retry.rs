//! Ribbon `RetryRule`: asks a sub-rule again while its answer is none or dead.
//!
//! The original spins until its window is over. A choice here never waits: it asks a bounded number of times, and a
//! host that wants to wait calls again within [`effective_window_ms`], after a change of the list or a back-off.

use super::Rule;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::Scope;

/// The window a configured value stands for: 500 ms for 0 and less.
#[must_use]
pub const fn effective_window_ms(configured: i64) -> u64 {
    if configured > 0 {
        configured as u64
    } else {
        500
    }
}

pub(crate) fn choose(
    inner: &Rule,
    q: &Query<'_>,
    scope: &Scope,
    rng: &mut dyn Rng,
) -> Result<u32, NoPick> {
    let tries = match q.plan.policy.retry.tries {
        0 => 16 + scope.len() / 8,
        tries => tries,
    };
    let mut last = NoPick::GaveUp;
    for _ in 0..tries {
        match inner.choose(q, scope, rng) {
            Ok(index) if q.up(index) => return Ok(index),
            Ok(_) => last = NoPick::NoneHealthy,
            // No further try changes an empty list.
            Err(NoPick::NoInstances) => return Err(NoPick::NoInstances),
            Err(why) => last = why,
        }
    }
    Err(last)
}
