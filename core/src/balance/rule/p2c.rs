//! Power of two choices with peak EWMA: of two distinct members drawn at random the one with the lower load.
//!
//! Load = estimated latency × (requests under way + 1) / weight. A slow answer raises the estimate at once, fast ones lower it
//! over the decay time. Members to avoid cost up to four fresh pairs, then all are looked at.

use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::Scope;

const PAIRS: u32 = 4;

fn load(q: &Query<'_>, index: u32) -> f64 {
    let ewma = &q.plan.policy.ewma;
    let cost = q.table.stats[index as usize].cost(q.now, ewma.decay_ms, ewma.initial_ms);
    cost * (f64::from(q.active(index)) + 1.0) / q.table.weights[index as usize]
}

pub(crate) fn choose(q: &Query<'_>, scope: &Scope, rng: &mut dyn Rng) -> Result<u32, NoPick> {
    let members = &scope.members;
    let count = scope.len();
    if count == 0 {
        return Err(NoPick::NoInstances);
    }
    if count == 1 {
        return if q.usable(members[0]) {
            Ok(members[0])
        } else {
            Err(q.none_of(members))
        };
    }
    let mut held: Option<u32> = None;
    for _ in 0..PAIRS {
        let first = rng.int(count);
        let mut second = rng.int(count - 1);
        if second >= first {
            second += 1;
        }
        let (a, b) = (members[first as usize], members[second as usize]);
        // One to avoid in a pair: the other waits for an opponent, so that it gains nothing by the neighbour.
        for index in [a, b].into_iter().filter(|&index| q.usable(index)) {
            match held {
                None => held = Some(index),
                Some(first) if first != index => {
                    return Ok(if load(q, index) < load(q, first) {
                        index
                    } else {
                        first
                    });
                }
                Some(_) => {}
            }
        }
    }
    if let Some(index) = held {
        return Ok(index);
    }
    let usable = members.iter().copied().filter(|&index| q.usable(index));
    let least = usable
        .map(|index| (index, load(q, index)))
        .min_by(|(_, a), (_, b)| a.total_cmp(b));
    least
        .map(|(index, _)| index)
        .ok_or_else(|| q.none_of(members))
}
