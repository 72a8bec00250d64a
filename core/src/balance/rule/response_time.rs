//! Ribbon `WeightedResponseTimeRule` and its deprecated name `ResponseTimeWeightedRule`.
//!
//! The weight of a member is the sum of all mean response times less its own; weights are computed at intervals. A table
//! of another length than the list means round robin (the deprecated class lacks that check in `exact` mode).
//! `safe`: a zero weight is never drawn, and a new list of the same length has its weights computed at once.

use super::round_robin::RoundRobin;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::stats::Real;
use crate::balance::table::{Scope, Table};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const LEAST_TOTAL: f64 = 0.001;
const DRAWS: u32 = 16;

#[derive(Debug)]
pub(crate) struct ResponseTime {
    fallback: RoundRobin,
    /// Cumulative weights; the first `length` count.
    cumulative: Box<[Real]>,
    length: AtomicUsize,
    checks_length: bool,
}

impl ResponseTime {
    pub(crate) fn new(scope: &Scope, checks_length: bool) -> Self {
        Self::holding(RoundRobin::default(), &[], scope, checks_length)
    }

    fn holding(fallback: RoundRobin, weights: &[f64], scope: &Scope, checks_length: bool) -> Self {
        let capacity = weights.len().max(scope.members.len());
        let cells = weights
            .iter()
            .copied()
            .chain(core::iter::repeat(0.0))
            .take(capacity)
            .map(Real::new);
        Self {
            fallback,
            cumulative: cells.collect(),
            length: AtomicUsize::new(weights.len()),
            checks_length,
        }
    }

    pub(crate) fn continued(&self, table: &Table, scope: &Scope, exact: bool) -> Self {
        let next = Self::holding(
            self.fallback.continued(),
            &self.cumulative(),
            scope,
            self.checks_length,
        );
        if !exact && self.length.load(Relaxed) == scope.members.len() {
            next.maintain(table, scope);
        }
        next
    }

    pub(crate) fn cumulative(&self) -> Vec<f64> {
        self.cumulative[..self.length.load(Relaxed)]
            .iter()
            .map(Real::get)
            .collect()
    }

    pub(crate) fn maintain(&self, table: &Table, scope: &Scope) {
        let mean = |index: &u32| table.stats[*index as usize].mean_ms();
        let sum: f64 = scope.members.iter().map(mean).sum();
        let mut total = 0.0;
        for (cell, index) in self.cumulative.iter().zip(&scope.members) {
            total += sum - mean(index);
            cell.set(total);
        }
        self.length.store(scope.members.len(), Relaxed);
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        let count = scope.members.len();
        if count == 0 {
            return Err(NoPick::NoInstances);
        }
        let length = self.length.load(Relaxed);
        let weights = &self.cumulative[..length];
        let total = weights.last().map_or(0.0, Real::get);
        let mismatch = length != count && (self.checks_length || !q.plan.exact);
        if total < LEAST_TOTAL || mismatch {
            return self.fallback.choose(q, scope);
        }
        let draws = if q.plan.exact {
            DRAWS.saturating_mul(count as u32)
        } else {
            DRAWS
        };
        let mut at = 0;
        for _ in 0..draws {
            let mut point = rng.unit() * total;
            if !q.plan.exact {
                // Only members at the head can have a zero weight and yet be hit: by a draw of exactly 0.
                point = point.max(f64::from_bits(1));
            }
            at = weights.partition_point(|cell| cell.get() < point);
            match scope.members.get(at) {
                Some(&index) if q.up(index) => return Ok(index),
                Some(_) => {}
                None if q.plan.exact => return Err(NoPick::GaveUp),
                None => at = count - 1,
            }
        }
        if q.plan.exact {
            return Err(NoPick::NoneHealthy);
        }
        let mut walk = (1..=count).map(|step| scope.members[(at + step) % count]);
        walk.find(|&index| q.usable(index))
            .ok_or_else(|| q.none_of(&scope.members))
    }
}
