//! `NacosRule` and `NacosLoadBalancer` of Spring Cloud Alibaba: members of the own cluster first, then weighted random.
//!
//! Cluster names are compared with letter case. `exact`: a cluster that has members but none to choose gives no answer.
//! `safe`: it widens to all.

use super::nacos_weighted::{draw_recorded, recorded};
use super::weights::WeightTable;
use crate::balance::candidate::Flags;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::{Scope, Table};
use alloc::vec::Vec;

#[derive(Debug)]
pub(crate) struct NacosCluster {
    near: Vec<u32>,
    near_weights: WeightTable,
    all_weights: WeightTable,
}

impl NacosCluster {
    /// `healthy_first`: unhealthy members do not make the own cluster count as present (`NacosRule`).
    pub(crate) fn new(
        table: &Table,
        scope: &Scope,
        own: Option<&str>,
        exact: bool,
        healthy_first: bool,
    ) -> Self {
        let own = own.map(str::trim).filter(|own| !own.is_empty());
        let counts = |index: u32| !healthy_first || table.bits(index) & Flags::HEALTHY.bits() != 0;
        let same = |index: u32| own == Some(table.candidates[index as usize].cluster.as_str());
        let near: Vec<u32> = scope
            .members
            .iter()
            .copied()
            .filter(|&index| same(index) && (!exact || counts(index)))
            .collect();
        let build = |members: &[u32]| {
            if exact {
                recorded(table, members)
            } else {
                WeightTable::serving(table, members)
            }
        };
        Self {
            near_weights: build(&near),
            all_weights: build(&scope.members),
            near,
        }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        if q.plan.exact {
            return if self.near.is_empty() {
                draw_recorded(&self.all_weights, &scope.members, rng)
            } else {
                draw_recorded(&self.near_weights, &self.near, rng)
            };
        }
        if !self.near.is_empty()
            && let Ok(index) = self.near_weights.draw(q, &self.near, rng)
        {
            return Ok(index);
        }
        self.all_weights.draw(q, &scope.members, rng)
    }
}
