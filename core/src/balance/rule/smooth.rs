//! Smooth weighted round robin (nginx): each turn every member gains its weight, the richest is chosen and pays the sum.
//!
//! When the sum of the weights is small the whole cycle is computed at the update and a turn is one step of a counter;
//! otherwise a turn looks at every member. Balances of members that stay are kept over an update.

use super::spring_weighted::gcd;
use crate::balance::order::by_name;
use crate::balance::query::{NoPick, Query};
use crate::balance::table::{Scope, Table};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

const LONGEST_CYCLE: i64 = 4096;
/// Steps times members that one update may spend on a cycle.
const MOST_WORK: i64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Smooth {
    /// By position in the scope.
    weights: Box<[i64]>,
    /// Balance at the start of the cycle, or now when there is none.
    balances: Box<[AtomicI64]>,
    /// Weight in force, lower after failures.
    effective: Box<[AtomicI64]>,
    /// Positions in turn.
    cycle: Box<[u32]>,
    turn: AtomicUsize,
}

/// Whole weights without their common divisor; 0 stays 0. Fractions are counted in thousandths.
fn whole(weights: impl Iterator<Item = f64> + Clone) -> Vec<i64> {
    let scale = if weights.clone().all(|weight| libm::floor(weight) == weight) {
        1.0
    } else {
        1000.0
    };
    let rounded = |weight: f64| {
        if weight > 0.0 {
            (libm::round(weight * scale) as i64).clamp(1, 1 << 40)
        } else {
            0
        }
    };
    let mut whole: Vec<i64> = weights.map(rounded).collect();
    let divisor = whole
        .iter()
        .fold(0, |divisor, &weight| gcd(divisor, weight as u64))
        .max(1) as i64;
    for weight in &mut whole {
        *weight /= divisor;
    }
    whole
}

/// One turn over plain balances: the position that is chosen.
fn step(weights: &[i64], balances: &mut [i64], sum: i64) -> usize {
    let mut best = usize::MAX;
    for (at, (balance, weight)) in balances
        .iter_mut()
        .zip(weights)
        .enumerate()
        .filter(|(_, (_, weight))| **weight > 0)
    {
        *balance += weight;
        if best == usize::MAX {
            best = at;
        }
    }
    for (at, &weight) in weights.iter().enumerate() {
        if weight > 0 && balances[at] > balances[best] {
            best = at;
        }
    }
    balances[best] -= sum;
    best
}

/// The whole cycle from these balances, when it is short and comes back to them.
fn cycle(weights: &[i64], start: &[i64]) -> Option<Vec<u32>> {
    let sum: i64 = weights.iter().sum();
    if sum == 0 || sum > LONGEST_CYCLE || sum.saturating_mul(weights.len() as i64) > MOST_WORK {
        return None;
    }
    if weights.iter().all(|&weight| weight == 1) && start.iter().all(|&balance| balance == 0) {
        return Some((0..weights.len() as u32).collect());
    }
    let mut balances = start.to_vec();
    let turns: Vec<u32> = (0..sum)
        .map(|_| step(weights, &mut balances, sum) as u32)
        .collect();
    (balances == start).then_some(turns)
}

impl Smooth {
    pub(crate) fn new(table: &Table, scope: &Scope, failure_aware: bool) -> Self {
        Self::from(table, scope, failure_aware, None)
    }

    fn from(table: &Table, scope: &Scope, failure_aware: bool, carried: Option<Vec<i64>>) -> Self {
        let weights = whole(
            scope
                .members
                .iter()
                .map(|&index| table.weights[index as usize]),
        );
        let zero = vec![0; weights.len()];
        let carried = carried.unwrap_or_else(|| zero.clone());
        let (balances, cycle) = if failure_aware {
            (carried, Vec::new())
        } else if let Some(turns) = cycle(&weights, &carried) {
            (carried, turns)
        } else if let Some(turns) = cycle(&weights, &zero) {
            (zero, turns)
        } else {
            (carried, Vec::new())
        };
        Self {
            effective: weights
                .iter()
                .map(|&weight| AtomicI64::new(weight))
                .collect(),
            balances: balances.into_iter().map(AtomicI64::new).collect(),
            weights: weights.into_boxed_slice(),
            cycle: cycle.into_boxed_slice(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Balances as they stand after the turns taken so far.
    fn standing(&self) -> Vec<i64> {
        let mut balances: Vec<i64> = self
            .balances
            .iter()
            .map(|balance| balance.load(Relaxed))
            .collect();
        if !self.cycle.is_empty() {
            let turns = self.turn.load(Relaxed) % self.cycle.len();
            for (balance, weight) in balances.iter_mut().zip(&self.weights) {
                *balance += turns as i64 * weight;
            }
            for &at in &self.cycle[..turns] {
                balances[at as usize] -= self.cycle.len() as i64;
            }
        }
        balances
    }

    pub(crate) fn continued(
        &self,
        old: (&Table, &Scope),
        table: &Table,
        scope: &Scope,
        failure_aware: bool,
    ) -> Self {
        let before = |at: u32| {
            let index = old.1.members[at as usize];
            old.0.candidates[index as usize].id.as_str()
        };
        let order = by_name(old.1.len(), &before);
        let standing = self.standing();
        let carry = |index: &u32| {
            let id = table.candidates[*index as usize].id.as_str();
            // The last of those with its id.
            let after = order.partition_point(|&at| before(at) <= id);
            let at = order[..after].last().copied();
            at.filter(|&at| before(at) == id)
                .map_or(0, |at| standing[at as usize])
        };
        let carried = scope.members.iter().map(carry).collect();
        Self::from(table, scope, failure_aware, Some(carried))
    }

    pub(crate) fn choose(&self, q: &Query<'_>, scope: &Scope) -> Result<u32, NoPick> {
        if !self.cycle.is_empty() {
            for _ in 0..self.cycle.len() {
                let turn = self.turn.fetch_add(1, Relaxed) % self.cycle.len();
                let index = scope.members[self.cycle[turn] as usize];
                if q.usable(index) {
                    return Ok(index);
                }
            }
            return Err(q.none_of(&scope.members));
        }
        let mut best: Option<(usize, i64)> = None;
        let mut sum = 0;
        for (at, &index) in scope.members.iter().enumerate() {
            if !q.usable(index) {
                continue;
            }
            let weight = self.effective[at].load(Relaxed);
            let balance = self.balances[at].fetch_add(weight, Relaxed) + weight;
            sum += weight;
            if best.is_none_or(|(_, most)| balance > most) {
                best = Some((at, balance));
            }
        }
        let (at, _) = best.ok_or_else(|| q.none_of(&scope.members))?;
        self.balances[at].fetch_sub(sum, Relaxed);
        Ok(scope.members[at])
    }

    /// Failure-aware: a failure halves the weight in force, a success gives one back.
    pub(crate) fn feedback(&self, scope: &Scope, index: u32, failed: bool) {
        let Some(at) = scope.members.iter().position(|&member| member == index) else {
            return;
        };
        let full = self.weights[at];
        let next = |weight: i64| {
            if failed {
                (weight / 2).max(1)
            } else {
                (weight + 1).min(full)
            }
        };
        // The closure never refuses.
        let _ = self.effective[at].fetch_update(Relaxed, Relaxed, |weight| Some(next(weight)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_one_one_is_spread_as_nginx_spreads_it() {
        let turns = cycle(&[5, 1, 1], &[0, 0, 0]).expect("a short cycle");
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn weights_become_whole() {
        assert_eq!(whole([4.0, 2.0, 0.0].into_iter()), [2, 1, 0]);
        assert_eq!(whole([0.5, 0.25].into_iter()), [2, 1]);
        assert_eq!(whole([1e-9, 0.5].into_iter()), [1, 500]);
        assert!(cycle(&[4096, 1], &[0, 0]).is_none());
        assert!(cycle(&[0, 0], &[0, 0]).is_none());
        assert_eq!(cycle(&[1, 1, 1], &[0, 0, 0]), Some(vec![0, 1, 2]));
    }
}
