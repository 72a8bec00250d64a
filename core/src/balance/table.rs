//! The immutable list that choices are made from: one column for each fact, so that a scan touches little memory.
//!
//! The flags are the only cells that change in place; counts of usable members are kept beside them.

use super::candidate::{Candidate, Flags, usable_weight};
use super::case::lower;
use super::order::by_name;
use super::stats::Stats;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Ribbon's name for the zone of a server that has none.
pub(crate) const UNKNOWN_ZONE: &str = "UNKNOWN";

/// The members of one zone.
#[derive(Debug)]
pub(crate) struct Zone {
    /// Lower-cased name.
    pub(crate) key: String,
    pub(crate) members: Box<[u32]>,
    /// Members that can be served from.
    pub(crate) serving: AtomicU32,
}

/// One member as `Table::new` takes it.
pub(crate) struct Entry {
    pub(crate) candidate: Candidate,
    pub(crate) stats: Arc<Stats>,
    pub(crate) joined_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) epoch: u64,
    pub(crate) candidates: Box<[Candidate]>,
    flags: Box<[AtomicU32]>,
    /// Weights of the safe mode.
    pub(crate) weights: Box<[f64]>,
    pub(crate) stats: Box<[Arc<Stats>]>,
    /// Index into `zones`.
    pub(crate) zone_of: Box<[u32]>,
    /// Whether the zone is written in lower case, as Ribbon's zone map has it.
    pub(crate) zone_as_mapped: Box<[bool]>,
    pub(crate) joined_ms: Box<[u64]>,
    pub(crate) zones: Vec<Zone>,
    /// Members that can be served from: all flags, no host verdict, weight above 0.
    pub(crate) serving: AtomicU32,
    /// Members that are enabled and have weight.
    pub(crate) open: AtomicU32,
    /// Grows when a member becomes usable in place: tables of weights made before are stale.
    pub(crate) revived: AtomicU32,
}

const VERDICTS: u32 = Flags::TRIPPED.bits() | Flags::EJECTED.bits();

fn serves(bits: u32, weight: f64) -> bool {
    bits & (Flags::SERVING.bits() | VERDICTS) == Flags::SERVING.bits() && weight > 0.0
}

fn is_open(bits: u32, weight: f64) -> bool {
    bits & Flags::ENABLED.bits() != 0 && weight > 0.0
}

impl Table {
    pub(crate) fn new(epoch: u64, entries: Vec<Entry>) -> Self {
        fn zone_name(candidate: &Candidate) -> &str {
            candidate.zone.as_deref().unwrap_or(UNKNOWN_ZONE)
        }
        let keys: Vec<String> = entries
            .iter()
            .map(|entry| lower(zone_name(&entry.candidate)))
            .collect();
        let zone_as_mapped = entries
            .iter()
            .zip(&keys)
            .map(|(entry, key)| zone_name(&entry.candidate) == *key)
            .collect();
        // Zones in the order of their names, the members of each in that of the list.
        let key = |at: u32| keys[at as usize].as_str();
        let order = by_name(keys.len() as u32, &key);
        let mut zone_of: Box<[u32]> = keys.iter().map(|_| 0).collect();
        let zones = order.chunk_by(|&a, &b| key(a) == key(b));
        let zones = zones.zip(0..).map(|(members, zone)| {
            for &index in members {
                zone_of[index as usize] = zone;
            }
            Zone {
                key: key(members[0]).to_string(),
                members: members.into(),
                serving: AtomicU32::new(0),
            }
        });
        let zones = zones.collect();
        let mut table = Self {
            epoch,
            flags: entries
                .iter()
                .map(|entry| AtomicU32::new(entry.candidate.flags.bits()))
                .collect(),
            weights: entries
                .iter()
                .map(|entry| usable_weight(entry.candidate.weight))
                .collect(),
            stats: entries
                .iter()
                .map(|entry| Arc::clone(&entry.stats))
                .collect(),
            joined_ms: entries.iter().map(|entry| entry.joined_ms).collect(),
            zone_of,
            zone_as_mapped,
            zones,
            candidates: entries.into_iter().map(|entry| entry.candidate).collect(),
            ..Self::default()
        };
        for index in 0..table.len() {
            let (bits, weight) = (table.bits(index), table.weights[index as usize]);
            *table.open.get_mut() += u32::from(is_open(bits, weight));
            if serves(bits, weight) {
                *table.serving.get_mut() += 1;
                *table.zones[table.zone_of[index as usize] as usize]
                    .serving
                    .get_mut() += 1;
            }
        }
        table
    }

    pub(crate) fn len(&self) -> u32 {
        self.candidates.len() as u32
    }

    pub(crate) fn bits(&self, index: u32) -> u32 {
        self.flags[index as usize].load(Relaxed)
    }

    /// True when nothing keeps any member from being served.
    pub(crate) fn all_serve(&self) -> bool {
        self.serving.load(Relaxed) == self.len()
    }

    /// Sets or clears flags of a member in place.
    pub(crate) fn set_flag(&self, index: u32, flag: Flags, on: bool) {
        let cell = &self.flags[index as usize];
        let before = if on {
            cell.fetch_or(flag.bits(), Relaxed)
        } else {
            cell.fetch_and(!flag.bits(), Relaxed)
        };
        let after = Flags::from_bits(before).with(flag, on).bits();
        let weight = self.weights[index as usize];
        let zone = &self.zones[self.zone_of[index as usize] as usize].serving;
        match (serves(before, weight), serves(after, weight)) {
            (false, true) => {
                self.serving.fetch_add(1, Relaxed);
                zone.fetch_add(1, Relaxed);
                self.revived.fetch_add(1, Relaxed);
            }
            (true, false) => {
                self.serving.fetch_sub(1, Relaxed);
                zone.fetch_sub(1, Relaxed);
            }
            _ => {}
        }
        match (is_open(before, weight), is_open(after, weight)) {
            (false, true) => {
                self.open.fetch_add(1, Relaxed);
            }
            (true, false) => {
                self.open.fetch_sub(1, Relaxed);
            }
            _ => {}
        }
    }
}

/// The part of the table that one rule works on, in list order.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// Indices into the table.
    pub(crate) members: Box<[u32]>,
    /// Those of them that answered the last probe, when there are probes.
    reachable: Option<Box<[u32]>>,
}

impl Scope {
    pub(crate) fn new(members: Box<[u32]>, reachable: Option<&[bool]>) -> Self {
        let reachable = reachable.map(|up| {
            members
                .iter()
                .copied()
                .filter(|&index| up.get(index as usize).copied().unwrap_or(false))
                .collect()
        });
        Self { members, reachable }
    }

    pub(crate) fn len(&self) -> u32 {
        self.members.len() as u32
    }

    pub(crate) fn reachable(&self) -> &[u32] {
        self.reachable.as_deref().unwrap_or(&self.members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn counts_follow_the_flags() {
        let entry = |candidate| Entry {
            candidate,
            stats: Arc::default(),
            joined_ms: 0,
        };
        let table = Table::new(
            1,
            vec![
                entry(Candidate::new("a").in_zone("ZA")),
                entry(Candidate::new("b").in_zone("za").with_weight(0.0)),
                entry(Candidate::new("c").with_flag(Flags::HEALTHY, false)),
            ],
        );
        let counts = |table: &Table| (table.serving.load(Relaxed), table.open.load(Relaxed));
        assert_eq!(counts(&table), (1, 2));
        assert_eq!(
            table
                .zones
                .iter()
                .map(|zone| zone.key.as_str())
                .collect::<Vec<_>>(),
            ["unknown", "za"]
        );
        assert_eq!(&*table.zone_as_mapped, [false, true, false]);
        table.set_flag(2, Flags::HEALTHY, true);
        table.set_flag(2, Flags::HEALTHY, true);
        assert_eq!((counts(&table), table.revived.load(Relaxed)), ((2, 2), 1));
        table.set_flag(0, Flags::ENABLED, false);
        table.set_flag(0, Flags::EJECTED, true);
        assert_eq!(counts(&table), (1, 1));
        assert_eq!(table.zones[1].serving.load(Relaxed), 0);
    }
}
