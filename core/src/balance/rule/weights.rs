//! Cumulative shares for weighted random choice, as the Nacos client builds them.

use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::Table;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

const DRAWS: u32 = 8;

/// Members with weight and the running sum of their shares.
#[derive(Debug, Default)]
pub(crate) struct WeightTable {
    pub(crate) items: Vec<u32>,
    pub(crate) cumulative: Vec<f64>,
    built_at: u32,
}

impl WeightTable {
    /// From (member, weight) in list order; weights of 0 and below are left out. For the sum, and only for it, an
    /// infinite weight counts 10000 and one that is not a number 1 (Nacos `Chooser.Ref.refresh`).
    pub(crate) fn of(weighted: impl Iterator<Item = (u32, f64)>) -> Self {
        let kept: Vec<(u32, f64)> = weighted
            .filter(|(_, weight)| !matches!(weight.partial_cmp(&0.0), Some(o) if o.is_le()))
            .collect();
        let counted = |weight: f64| match weight {
            weight if weight.is_nan() => 1.0,
            weight if weight.is_infinite() => 10_000.0,
            weight => weight,
        };
        let sum: f64 = kept.iter().map(|(_, weight)| counted(*weight)).sum();
        let mut running = 0.0;
        let mut table = Self::default();
        for (item, weight) in kept {
            running += weight / sum;
            table.items.push(item);
            table.cumulative.push(running);
        }
        table
    }

    /// Of these members with the weights of the safe mode; those that are down now are left out.
    pub(crate) fn serving(table: &Table, members: &[u32]) -> Self {
        let up = crate::balance::candidate::Flags::SERVING.bits();
        let live = members
            .iter()
            .copied()
            .filter(|&index| table.bits(index) & up == up);
        let mut built = Self::of(live.map(|index| (index, table.weights[index as usize])));
        built.built_at = table.revived.load(Relaxed);
        built
    }

    /// True when the shares add up to 1.
    pub(crate) fn is_valid(&self) -> bool {
        self.cumulative
            .last()
            .is_none_or(|last| libm::fabs(last - 1.0) < 0.0001)
    }

    /// The member whose share the point in [0, 1) falls into; an exact hit belongs to the earlier one.
    pub(crate) fn at(&self, point: f64) -> Option<u32> {
        let at = self.cumulative.partition_point(|&sum| sum < point);
        self.items
            .get(at.min(self.items.len().wrapping_sub(1)))
            .copied()
    }

    /// A usable member, as likely as its weight: drawn from the table, or counted out when the table does not help.
    pub(crate) fn draw(
        &self,
        q: &Query<'_>,
        members: &[u32],
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        if self.built_at == q.table.revived.load(Relaxed) {
            for _ in 0..DRAWS {
                match self.at(rng.unit()) {
                    Some(index) if q.usable(index) => return Ok(index),
                    Some(_) => {}
                    None => break,
                }
            }
        }
        roulette(q, members, rng, |index| q.table.weights[index as usize])
    }
}

/// A usable member, as likely as `weight` says, in two passes over all of them.
pub(crate) fn roulette(
    q: &Query<'_>,
    members: &[u32],
    rng: &mut dyn Rng,
    weight: impl Fn(u32) -> f64,
) -> Result<u32, NoPick> {
    let usable = || members.iter().copied().filter(|&index| q.usable(index));
    let total: f64 = usable().map(&weight).sum();
    let mut rest = if total > 0.0 { rng.unit() * total } else { 0.0 };
    let mut last = None;
    for index in usable() {
        last = Some(index);
        rest -= weight(index);
        if rest < 0.0 {
            break;
        }
    }
    last.ok_or_else(|| q.none_of(members))
}
