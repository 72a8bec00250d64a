//! Power of two choices with peak EWMA: of two distinct members drawn at random the one with the lower load.
//!
//! Load = estimated latency × (requests under way + 1) / weight. A slow answer raises the estimate at once, fast ones lower it
//! over the decay time. Members to avoid cost up to four fresh pairs, then all are looked at.

use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::Scope;

const PAIRS: u32 = 4;

/// Two of these members, of which there are more than one.
#[inline]
fn pair(members: &[u32], rng: &mut (impl Rng + ?Sized)) -> (u32, u32) {
    let count = members.len() as u32;
    let first = rng.int(count);
    let second = rng.int(count - 1);
    let second = second + u32::from(second >= first);
    (members[first as usize], members[second as usize])
}

/// The lighter of a pair when every member is usable; none, and nothing is drawn, where there is no pair.
#[inline]
pub(crate) fn next_of_all(
    q: &Query<'_>,
    scope: &Scope,
    rng: &mut (impl Rng + ?Sized),
) -> Option<u32> {
    (scope.len() > 1).then(|| {
        let (a, b) = pair(&scope.members, rng);
        lighter(q, a, b)
    })
}

/// The load for a weight of 1 as if the estimate were of now, and how old that is.
#[inline]
fn load(q: &Query<'_>, index: u32) -> (f64, u64) {
    let stats = &q.table.stats[index as usize];
    let (cost, age_ms) = stats.aged_cost(q.now, q.plan.policy.ewma.initial_ms);
    let active = stats.active_now(q.now, q.plan.window_ms, q.loads);
    (cost * (f64::from(active) + 1.0), age_ms)
}

/// The one with the lower load, the first of equals. Only by how much one estimate is older than the other matters: most are renewed
/// within the same few ms, and then nothing has to be decayed. Each is multiplied by the other's weight: divisions take longer.
#[inline]
fn lighter(q: &Query<'_>, first: u32, second: u32) -> u32 {
    let weight = |index: u32| q.table.weights[index as usize];
    let ((a, a_age), (b, b_age)) = (load(q, first), load(q, second));
    let (a, b) = (a * weight(second), b * weight(first));
    let older = q.plan.decay.after(a_age.abs_diff(b_age));
    let (a, b) = if a_age > b_age {
        (a * older, b)
    } else {
        (a, b * older)
    };
    if b < a { second } else { first }
}

pub(crate) fn choose(q: &Query<'_>, scope: &Scope, rng: &mut dyn Rng) -> Result<u32, NoPick> {
    if q.open
        && let Some(index) = next_of_all(q, scope, rng)
    {
        return Ok(index);
    }
    let members = &scope.members;
    if members.is_empty() {
        return Err(NoPick::NoInstances);
    }
    if members.len() == 1 {
        return if q.usable(members[0]) {
            Ok(members[0])
        } else {
            Err(q.none_of(members))
        };
    }
    let mut held: Option<u32> = None;
    for _ in 0..PAIRS {
        let (a, b) = pair(members, rng);
        // One to avoid in a pair: the other waits for an opponent, so that it gains nothing by the neighbour.
        for index in [a, b].into_iter().filter(|&index| q.usable(index)) {
            match held {
                None => held = Some(index),
                Some(first) if first != index => {
                    return Ok(lighter(q, first, index));
                }
                Some(_) => {}
            }
        }
    }
    if let Some(index) = held {
        return Ok(index);
    }
    let usable = members.iter().copied().filter(|&index| q.usable(index));
    usable
        .reduce(|best, index| lighter(q, best, index))
        .ok_or_else(|| q.none_of(members))
}
