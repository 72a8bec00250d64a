//! A member that joined a moment ago gets its traffic little by little.
//!
//! The rule chooses as always; a young member it chose is turned away with the probability that its weight lacks, and the
//! rule is asked again. That works around every rule and makes the member's share grow as its weight would.

use crate::balance::policy::SlowStart;
use crate::balance::query::{MOST_REFUSED, NoPick, Query};
use crate::balance::rng::{Rng, mix};

/// Share of its weight that a member of this age has.
pub(crate) fn factor(slow: &SlowStart, age_ms: u64) -> f64 {
    if age_ms >= slow.window_ms {
        return 1.0;
    }
    let grown = age_ms.max(1000) as f64 / slow.window_ms as f64;
    // Not `clamp`, whose panic writes floats: 17 kB of a module.
    libm::pow(grown, 1.0 / slow.aggression)
        .max(slow.min_share)
        .min(1.0)
}

/// Asks the rule until a member is let through. `sticky`: the rule gives the same answer until a member is out of its sight, and a
/// key must meet the same verdict each time.
pub(crate) fn choose(
    q: &Query<'_>,
    sticky: bool,
    rng: &mut dyn Rng,
    mut ask: impl FnMut(&Query<'_>, &mut dyn Rng) -> Result<u32, NoPick>,
) -> Result<u32, NoPick> {
    let plan = q.plan;
    let Some(slow) = &plan.policy.slow_start else {
        return ask(q, rng);
    };
    let mut first = None;
    let (mut refused, mut refusals) = ([0; MOST_REFUSED], 0);
    for _ in 0..MOST_REFUSED {
        let mut q = *q;
        q.mask.refused = &refused[..refusals];
        let index = match ask(&q, rng) {
            Ok(index) => index,
            // Only young members are left.
            Err(why) => return first.ok_or(why),
        };
        let joined = q.table.joined_ms[index as usize];
        let share = if joined == 0 {
            1.0
        } else {
            factor(slow, q.now.saturating_sub(joined))
        };
        let point = match q.context.key_hash {
            _ if share >= 1.0 => return Ok(index),
            Some(hash) if sticky => {
                (mix(hash ^ u64::from(index)) >> 11) as f64 / 9_007_199_254_740_992.0
            }
            _ => rng.unit(),
        };
        if point < share {
            return Ok(index);
        }
        first = first.or(Some(index));
        if sticky {
            refused[refusals] = index;
            refusals += 1;
        }
    }
    first.ok_or(NoPick::GaveUp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_grows_with_age() {
        let slow = SlowStart::default();
        assert!((factor(&slow, 0) - 0.1).abs() < 1e-9);
        assert!((factor(&slow, 30_000) - 0.5).abs() < 1e-9);
        assert!((factor(&slow, 60_000) - 1.0).abs() < 1e-9);
        let eager = SlowStart {
            aggression: 2.0,
            ..slow
        };
        assert!((factor(&eager, 15_000) - 0.5).abs() < 1e-9);
    }
}
