//! Weighted random of the Nacos client (`Balancer.RandomByWeight`).
//!
//! `exact`: healthy members at the time of the update, and weights that are infinite or not a number are an error.
//! `safe`: usable members, such weights count 10000 and 1.

use super::weights::WeightTable;
use crate::balance::candidate::Flags;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::{Scope, Table};

#[derive(Debug)]
pub(crate) struct NacosWeighted {
    weights: WeightTable,
}

/// The table of the original over the healthy ones of these members.
pub(super) fn recorded(table: &Table, members: &[u32]) -> WeightTable {
    let healthy = members
        .iter()
        .filter(|&&index| table.bits(index) & Flags::HEALTHY.bits() != 0);
    WeightTable::of(healthy.map(|&index| (index, table.candidates[index as usize].weight)))
}

/// A draw from such a table with the errors of the original.
pub(super) fn draw_recorded(
    weights: &WeightTable,
    members: &[u32],
    rng: &mut dyn Rng,
) -> Result<u32, NoPick> {
    if members.is_empty() {
        return Err(NoPick::NoInstances);
    }
    if !weights.is_valid() {
        return Err(NoPick::BadWeights);
    }
    if weights.items.is_empty() {
        return Err(NoPick::NoWeight);
    }
    weights.at(rng.unit()).ok_or(NoPick::NoWeight)
}

impl NacosWeighted {
    pub(crate) fn new(table: &Table, scope: &Scope, exact: bool) -> Self {
        let members = &scope.members;
        Self {
            weights: if exact {
                recorded(table, members)
            } else {
                WeightTable::serving(table, members)
            },
        }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        if q.plan.exact {
            draw_recorded(&self.weights, &scope.members, rng)
        } else {
            self.weights.draw(q, &scope.members, rng)
        }
    }
}

/// `selectInstances` of the Nacos client: health as asked, enabled, weight above 0.
#[must_use]
pub fn selected(flags: Flags, weight: f64, healthy: bool) -> bool {
    flags.has(Flags::HEALTHY) == healthy && flags.has(Flags::ENABLED) && weight > 0.0
}
