//! Ribbon `ZoneAwareLoadBalancer`: draws a zone before the rule runs, when zones are to be avoided.
//!
//! Each zone has its own copy of the rule. When that gives no answer, or nothing is to be avoided, the main rule
//! answers over the whole list.

use super::zones::{Assessment, draw_zone, nothing_to_avoid};
use crate::balance::query::Query;
use crate::balance::rng::Rng;

/// The zone whose copy of the rule is asked; none when the main rule is.
pub(crate) fn zone(q: &Query<'_>, rng: &mut dyn Rng) -> Option<usize> {
    if !q.plan.policy.ribbon.zone_aware || q.table.zones.len() <= 1 || nothing_to_avoid(q) {
        return None;
    }
    let size = |zone: usize| q.table.zones[zone].members.len() as u32;
    let available = Assessment::of_query(q).available(size, rng);
    if available.len() >= q.table.zones.len() {
        return None;
    }
    draw_zone(&available, size, rng)
}
