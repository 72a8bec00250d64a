//! What ring and Maglev share: the key's hash, the members that count, the bound on a member's load.

use crate::balance::hash::xxh64;
use crate::balance::order::by_name;
use crate::balance::query::Query;
use crate::balance::rng::Rng;
use crate::balance::table::{Scope, Table};
use alloc::vec::Vec;

/// The hash a request is placed by; drawn when it has no key.
pub(crate) fn of_request(q: &Query<'_>, rng: &mut dyn Rng) -> u64 {
    match (q.context.key_hash, q.context.key) {
        (Some(hash), _) => hash,
        (None, Some(key)) => xxh64(key.as_bytes(), 0),
        (None, None) => (u64::from(rng.int(u32::MAX)) << 32) | u64::from(rng.int(u32::MAX)),
    }
}

/// Members with weight, each id once, in the order of their ids: the order of the list must not matter.
pub(crate) fn placed(table: &Table, scope: &Scope) -> Vec<u32> {
    let id = |index: u32| table.candidates[index as usize].id.as_str();
    let member = |at: u32| scope.members[at as usize];
    let mut members: Vec<u32> = by_name(scope.len(), &|at| id(member(at)))
        .into_iter()
        .map(member)
        .filter(|&index| table.weights[index as usize] > 0.0)
        .collect();
    members.dedup_by(|b, a| id(*a) == id(*b));
    members
}

/// True when one more request would take the member over its bounded share.
pub(crate) fn is_full(q: &Query<'_>, index: u32, weight_sum: f64) -> bool {
    let Some(bound) = q.plan.policy.hashing.bound else {
        return false;
    };
    let running = q.loads.total().max(0) as f64;
    let share = q.table.weights[index as usize] / weight_sum;
    f64::from(q.active(index)) + 1.0 > libm::ceil(bound * (running + 1.0) * share)
}

/// A usable member that has no place because another position with its id has it.
pub(crate) fn twin(q: &Query<'_>, scope: &Scope) -> Option<u32> {
    scope.members.iter().copied().find(|&index| q.usable(index))
}
