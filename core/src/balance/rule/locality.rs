//! Locality by weight and availability, or as much as fits in the own zone; a rule of each zone's own chooses inside it.
//!
//! Localities are the zones. A zone short of healthy members loses traffic once it is below what overprovisioning covers
//! (Envoy: locality weighted, zone aware routing).

use crate::balance::case::lower;
use crate::balance::policy::Policy;
use crate::balance::query::Query;
use crate::balance::rng::Rng;
use core::sync::atomic::Ordering::Relaxed;

/// The weight of a zone by its lower-cased name.
pub(crate) fn weight(policy: &Policy, key: &str) -> f64 {
    let mut named = policy.locality.weights.iter();
    named
        .find(|(name, _)| lower(name) == key)
        .map_or(1.0, |(_, weight)| *weight)
}

/// The zone whose rule is asked, by the weights of zones in the table's order; none when no zone has a healthy member.
pub(crate) fn zone(
    q: &Query<'_>,
    weight: impl Fn(usize) -> f64,
    rng: &mut dyn Rng,
) -> Option<usize> {
    let policy = &q.plan.policy;
    if policy.locality.zone_aware
        && q.table.len() >= policy.locality.min_members
        && let Some(own) = policy.zone.as_deref().and_then(|own| position(q, own))
    {
        return near(q, own, rng);
    }
    let over = f64::from(policy.locality.overprovisioning) / 100.0;
    let weigh = |zone: usize| {
        let entry = &q.table.zones[zone];
        let healthy = f64::from(entry.serving.load(Relaxed)) / entry.members.len().max(1) as f64;
        weight(zone) * (over * healthy).min(1.0)
    };
    by_weight(q.table.zones.len(), weigh, rng)
}

fn position(q: &Query<'_>, own: &str) -> Option<usize> {
    q.table
        .zones
        .iter()
        .position(|zone| zone.key.eq_ignore_ascii_case(own))
}

/// Own zone up to its share of the members, the rest by the members of the others.
fn near(q: &Query<'_>, own: usize, rng: &mut dyn Rng) -> Option<usize> {
    let serving = |zone: usize| f64::from(q.table.zones[zone].serving.load(Relaxed));
    let zones = q.table.zones.len();
    let total: f64 = (0..zones).map(serving).sum();
    let callers = q
        .plan
        .policy
        .locality
        .caller_share
        .unwrap_or(1.0 / zones as f64);
    let kept = if callers > 0.0 {
        (serving(own) / total.max(1.0) / callers).min(1.0)
    } else {
        1.0
    };
    if serving(own) > 0.0 && rng.unit() < kept {
        return Some(own);
    }
    by_weight(
        zones,
        |zone| if zone == own { 0.0 } else { serving(zone) },
        rng,
    )
}

fn by_weight(zones: usize, weigh: impl Fn(usize) -> f64, rng: &mut dyn Rng) -> Option<usize> {
    let total: f64 = (0..zones).map(&weigh).sum();
    if total <= 0.0 {
        return None;
    }
    let mut rest = rng.unit() * total;
    let mut last = None;
    for zone in (0..zones).filter(|&zone| weigh(zone) > 0.0) {
        last = Some(zone);
        rest -= weigh(zone);
        if rest < 0.0 {
            break;
        }
    }
    last
}
