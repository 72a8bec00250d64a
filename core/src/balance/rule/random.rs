//! Ribbon `RandomRule`, and Spring's, which differ in what they do about members that are down.
//!
//! `exact`: the index is drawn over all members and used on the reachable ones; one beyond them is no answer, a
//! dead one costs another draw (cut after 16 draws a member, where Java spins for ever).
//! `safe`: drawn over the reachable ones; after 16 dead draws the next living one is taken.

use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::Scope;

const DRAWS: u32 = 16;

pub(crate) fn choose(q: &Query<'_>, scope: &Scope, rng: &mut dyn Rng) -> Result<u32, NoPick> {
    let reachable = scope.reachable();
    if scope.len() == 0 {
        return Err(NoPick::NoInstances);
    }
    if reachable.is_empty() {
        return Err(NoPick::NoneHealthy);
    }
    if q.plan.exact {
        exact(q, scope, reachable, rng)
    } else {
        among(q, reachable, rng)
    }
}

fn exact(
    q: &Query<'_>,
    scope: &Scope,
    reachable: &[u32],
    rng: &mut dyn Rng,
) -> Result<u32, NoPick> {
    for _ in 0..DRAWS.saturating_mul(scope.len()) {
        let Some(&index) = reachable.get(rng.int(scope.len()) as usize) else {
            return Err(NoPick::GaveUp);
        };
        if q.up(index) {
            return Ok(index);
        }
    }
    Err(NoPick::NoneHealthy)
}

#[inline]
pub(crate) fn next_of_all(members: &[u32], rng: &mut (impl Rng + ?Sized)) -> Option<u32> {
    if members.is_empty() {
        return None;
    }
    members.get(rng.int(members.len() as u32) as usize).copied()
}

/// A usable one of these members, drawn evenly.
pub(crate) fn among(q: &Query<'_>, members: &[u32], rng: &mut dyn Rng) -> Result<u32, NoPick> {
    let count = members.len();
    if count == 0 {
        return Err(NoPick::NoInstances);
    }
    let mut at = 0;
    for _ in 0..DRAWS {
        at = rng.int(count as u32) as usize;
        if q.usable(members[at]) {
            return Ok(members[at]);
        }
    }
    let walk = (1..=count).map(|step| members[(at + step) % count]);
    walk.into_iter()
        .find(|&index| q.usable(index))
        .ok_or_else(|| q.none_of(members))
}
