//! Which zones Ribbon would use: the numbers of a zone, the zones to avoid, a zone drawn by its size.
//!
//! Shared by the zone avoidance rule, the zone-aware balancer and the zone affinity filter. Zones are walked in
//! name order. Of more than 256 zones only the first 256 can be avoided.

use crate::balance::query::Query;
use crate::balance::rng::Rng;
use crate::balance::stats::ZONE_SLOTS;
use core::sync::atomic::Ordering::Relaxed;

/// Zones that can be told apart in one choice without allocating.
pub(crate) const MOST_ZONES: usize = 256;
const NEAR: f64 = 0.000_001;

/// A set of zones by their position in name order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ZoneSet([u64; MOST_ZONES / 64]);

impl ZoneSet {
    pub(crate) fn insert(&mut self, zone: usize) {
        if zone < MOST_ZONES {
            self.0[zone / 64] |= 1 << (zone % 64);
        }
    }

    pub(crate) fn remove(&mut self, zone: usize) {
        if zone < MOST_ZONES {
            self.0[zone / 64] &= !(1 << (zone % 64));
        }
    }

    /// Zones beyond those that can be told apart are always in.
    pub(crate) fn has(&self, zone: usize) -> bool {
        zone >= MOST_ZONES || self.0[zone / 64] & (1 << (zone % 64)) != 0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, word)| {
            let mut rest = word;
            core::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

/// The numbers of one zone (Ribbon `ZoneSnapshot`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) instances: u32,
    pub(crate) tripped: u32,
    pub(crate) active: u32,
    /// Running requests for each server whose circuit is closed; -1 when every circuit is open.
    pub(crate) load: f64,
}

impl Snapshot {
    /// Of servers given as (requests under way, circuit open).
    pub(crate) fn of(servers: impl Iterator<Item = (u32, bool)>) -> Self {
        let mut snapshot = Self::default();
        let mut running: u64 = 0;
        for (active, tripped) in servers {
            snapshot.instances += 1;
            snapshot.active = snapshot.active.saturating_add(active);
            if tripped {
                snapshot.tripped += 1;
            } else {
                running += u64::from(active);
            }
        }
        let closed = snapshot.instances - snapshot.tripped;
        snapshot.load = match (snapshot.instances, closed) {
            (0, _) => 0.0,
            (_, 0) => -1.0,
            _ => running as f64 / f64::from(closed),
        };
        snapshot
    }

    pub(crate) fn tripped_share(&self) -> f64 {
        f64::from(self.tripped) / f64::from(self.instances.max(1))
    }

    fn of_zone(q: &Query<'_>, zone: usize, trips: bool) -> Self {
        let members = &q.table.zones[zone].members;
        if !trips && q.table.zones.len() <= ZONE_SLOTS {
            // The kept sum is exact once stale counts were swept.
            let active = q.loads.zone(zone).max(0);
            let load = active as f64 / members.len().max(1) as f64;
            return Self {
                instances: members.len() as u32,
                tripped: 0,
                active: active as u32,
                load,
            };
        }
        Self::of(
            members
                .iter()
                .map(|&index| (q.active(index), trips && q.tripped(index))),
        )
    }
}

/// The zones that stay, before one of the worst is taken out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Assessment {
    pub(crate) kept: ZoneSet,
    worst: ZoneSet,
    /// Instances of the worst zones, when one of them must be drawn.
    worst_size: u32,
}

impl Assessment {
    /// Ribbon `ZoneAvoidanceRule.getAvailableZones`. `safe`: only a zone over the trigger can be the worst, and the last
    /// zone with a closed circuit stays.
    pub(crate) fn of(
        zones: impl Iterator<Item = Snapshot>,
        trigger: f64,
        blackout: f64,
        exact: bool,
    ) -> Self {
        let mut result = Self::default();
        let (mut most, mut limited, mut count) = (0.0, false, 0);
        for (zone, snapshot) in zones.take(MOST_ZONES).enumerate() {
            count += 1;
            let Snapshot {
                instances, load, ..
            } = snapshot;
            if instances == 0 || snapshot.tripped_share() >= blackout || load < 0.0 {
                limited = true;
                continue;
            }
            result.kept.insert(zone);
            if !exact && load < trigger {
                continue;
            }
            if libm::fabs(load - most) < NEAR {
                result.worst.insert(zone);
                result.worst_size += instances;
            } else if load > most {
                most = load;
                result.worst = ZoneSet::default();
                result.worst.insert(zone);
                result.worst_size = instances;
            }
        }
        if count == 1 {
            result.kept.insert(0);
            result.worst = ZoneSet::default();
        } else if (most < trigger && !limited) || (!exact && result.kept.len() <= 1) {
            result.worst = ZoneSet::default();
        }
        result
    }

    pub(crate) fn of_query(q: &Query<'_>) -> Self {
        let trips = q.trips_possible();
        sweep(q);
        let ribbon = &q.plan.policy.ribbon;
        let zones = (0..q.table.zones.len()).map(|zone| Snapshot::of_zone(q, zone, trips));
        Self::of(
            zones,
            ribbon.triggering_load,
            ribbon.blackout_share,
            q.plan.exact,
        )
    }

    /// True when a zone must be drawn from several.
    pub(crate) fn draws(&self) -> bool {
        self.worst.len() > 1
    }

    /// The zones that stay when one of the worst is out; draws when there are several.
    pub(crate) fn available(&self, size: impl Fn(usize) -> u32, rng: &mut dyn Rng) -> ZoneSet {
        let mut kept = self.kept;
        let out = if self.draws() {
            draw(&self.worst, self.worst_size, size, rng)
        } else {
            self.worst.iter().next()
        };
        if let Some(zone) = out {
            kept.remove(zone);
        }
        kept
    }
}

/// A zone of the set, as likely as its share of the instances.
fn draw(
    zones: &ZoneSet,
    total: u32,
    size: impl Fn(usize) -> u32,
    rng: &mut dyn Rng,
) -> Option<usize> {
    let point = rng.int(total);
    let mut sum = 0;
    zones.iter().find(|&zone| {
        sum += size(zone);
        sum > point
    })
}

/// Ribbon `randomChooseZone`: one zone is taken without a draw.
pub(crate) fn draw_zone(
    zones: &ZoneSet,
    size: impl Fn(usize) -> u32,
    rng: &mut dyn Rng,
) -> Option<usize> {
    if zones.len() <= 1 {
        return zones.iter().next();
    }
    let total = zones.iter().map(&size).sum();
    draw(zones, total, size, rng)
}

/// Drops counts of active requests that are stale, when some may be: the kept sums hold them until they are looked at.
fn sweep(q: &Query<'_>) {
    if q.now < q.loads.expiry_ms.load(Relaxed) {
        return;
    }
    let window = q.plan.window_ms;
    // What starts after now expires after this.
    let mut next = q.now.saturating_add(window);
    for (index, stats) in (0..).zip(&q.table.stats) {
        if q.active(index) > 0 {
            next = next.min(stats.expires_ms(window).unwrap_or(next));
        }
    }
    q.loads.expiry_ms.store(next.saturating_add(1), Relaxed);
}

/// True when the kept sums show that no zone can reach the trigger and no circuit is open: nothing is to be avoided.
pub(crate) fn nothing_to_avoid(q: &Query<'_>) -> bool {
    let zones = &q.table.zones;
    zones.len() <= ZONE_SLOTS
        && !q.trips_possible()
        && zones.iter().enumerate().all(|(slot, zone)| {
            let load = q.loads.zone(slot) as f64 / zone.members.len().max(1) as f64;
            load < q.plan.policy.ribbon.triggering_load
        })
}
