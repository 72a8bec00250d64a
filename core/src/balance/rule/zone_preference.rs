//! Spring Cloud's zone preference: members of the own zone when there are any, otherwise all; then its round robin.
//!
//! The zone is the metadata value `zone`, or the member's zone; letter case does not count.

use super::spring_round_robin::Position;
use crate::balance::candidate::Candidate;
use crate::balance::case::lower;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::{Scope, Table};
use alloc::vec::Vec;

#[derive(Debug)]
pub(crate) struct ZonePreference {
    near: Vec<u32>,
    position: Position,
}

fn in_zone(candidate: &Candidate, own: &str) -> bool {
    let zone = candidate.metadata.get("zone").or(candidate.zone.as_ref());
    zone.is_some_and(|zone| lower(zone) == lower(own))
}

impl ZonePreference {
    pub(crate) fn new(table: &Table, scope: &Scope, own: Option<&str>, position: Position) -> Self {
        let near =
            |index: &u32| own.is_some_and(|own| in_zone(&table.candidates[*index as usize], own));
        Self {
            near: scope.members.iter().copied().filter(near).collect(),
            position,
        }
    }

    pub(crate) fn continued(&self, table: &Table, scope: &Scope, own: Option<&str>) -> Self {
        Self::new(table, scope, own, self.position.continued())
    }

    /// The members that are kept.
    pub(crate) fn kept<'a>(&'a self, q: &Query<'_>, scope: &'a Scope) -> &'a [u32] {
        let near = self.near.iter().any(|&index| q.usable_if_safe(index));
        if near { &self.near } else { &scope.members }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        self.position.choose(q, self.kept(q, scope), rng)
    }
}
