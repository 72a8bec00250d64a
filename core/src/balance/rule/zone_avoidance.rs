//! Ribbon `ZoneAvoidanceRule`: leaves out the worst zone and members that are not available, then takes turns.
//!
//! Chain of filters, the first with a survivor wins: zone and availability, availability alone, everyone.
//! `exact`: the zone to avoid is drawn anew for every server tested, as the original does. `safe`: once for a choice,
//! zone names are compared without letter case, and members that are down are not available.

use super::predicate::Cyclic;
use super::zones::{Assessment, ZoneSet, nothing_to_avoid};
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use crate::balance::table::Scope;
use alloc::vec;
use alloc::vec::Vec;

/// Members for which the survivors of the drawn test are remembered on the stack.
const ON_STACK: usize = 16_384;

#[derive(Debug, Default)]
pub(crate) struct ZoneAvoidance {
    turns: Cyclic,
}

impl ZoneAvoidance {
    pub(crate) fn continued(&self) -> Self {
        Self {
            turns: self.turns.continued(),
        }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        let members = &scope.members;
        if members.is_empty() {
            return Err(NoPick::NoInstances);
        }
        let avoids = q.plan.policy.ribbon.zone_avoidance && q.table.zones.len() > 1;
        let everyone = q.plan.limit == u32::MAX && (q.plan.exact || q.unrestricted());
        if everyone && !q.trips_possible() && (!avoids || nothing_to_avoid(q)) {
            return Ok(members[self.turns.next(scope.len()) as usize]);
        }
        let trips = q.trips_possible();
        let limited = q.plan.limit != u32::MAX;
        let fits =
            |index: u32| q.usable_if_safe(index) && (!(trips || limited) || q.available(index));
        let in_zone = if avoids {
            self.by_zone(q, scope, rng, &fits)
        } else {
            None
        };
        in_zone
            .or_else(|| self.turns.among(members, fits))
            .or_else(|| self.turns.among(members, |index| q.usable_if_safe(index)))
            .ok_or_else(|| q.none_of(members))
    }

    fn by_zone(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
        fits: &impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let assessment = Assessment::of_query(q);
        let size = |zone: usize| q.table.zones[zone].members.len() as u32;
        let zone_of = |index: u32| q.table.zone_of[index as usize] as usize;
        if q.plan.exact && assessment.draws() {
            let mut test = |index: u32| {
                // A zone written with capitals is not in the zone map and passes without a look.
                !q.table.zone_as_mapped[index as usize]
                    || assessment.available(size, rng).has(zone_of(index))
            };
            return self.remembered(scope, &mut |index| test(index) && fits(index));
        }
        let kept: ZoneSet = assessment.available(size, rng);
        if !q.plan.exact && q.plan.limit == u32::MAX && !q.trips_possible() && q.unrestricted() {
            return self.among_zones(q, scope, &kept);
        }
        let spared = |index: u32| q.plan.exact && !q.table.zone_as_mapped[index as usize];
        self.turns.among(&scope.members, |index| {
            (kept.has(zone_of(index)) || spared(index)) && fits(index)
        })
    }

    /// The next of the members of these zones, all of which can be served from.
    fn among_zones(&self, q: &Query<'_>, scope: &Scope, kept: &ZoneSet) -> Option<u32> {
        let zone_of = |index: u32| q.table.zone_of[index as usize] as usize;
        let whole = scope.len() == q.table.len();
        let count = if whole {
            let sizes = q
                .table
                .zones
                .iter()
                .map(|zone| zone.members.len() as u32)
                .enumerate();
            sizes
                .filter(|(zone, _)| kept.has(*zone))
                .map(|(_, size)| size)
                .sum()
        } else {
            scope
                .members
                .iter()
                .filter(|&&index| kept.has(zone_of(index)))
                .count() as u32
        };
        if count == 0 {
            return None;
        }
        let rank = self.turns.next(count) as usize;
        scope
            .members
            .iter()
            .copied()
            .filter(|&index| kept.has(zone_of(index)))
            .nth(rank)
    }

    /// As [`Cyclic::among`] for a test that must run exactly once for each member.
    fn remembered(&self, scope: &Scope, test: &mut dyn FnMut(u32) -> bool) -> Option<u32> {
        let mut stack = [0_u64; ON_STACK / 64];
        let mut heap: Vec<u64>;
        let marks: &mut [u64] = if scope.members.len() <= ON_STACK {
            &mut stack
        } else {
            heap = vec![0; scope.members.len().div_ceil(64)];
            &mut heap
        };
        let mut count = 0;
        for (at, &index) in scope.members.iter().enumerate() {
            if test(index) {
                marks[at / 64] |= 1 << (at % 64);
                count += 1;
            }
        }
        if count == 0 {
            return None;
        }
        let rank = self.turns.next(count) as usize;
        let marked = scope
            .members
            .iter()
            .enumerate()
            .filter(|(at, _)| marks[at / 64] & (1 << (at % 64)) != 0);
        marked.map(|(_, &index)| index).nth(rank)
    }
}
