//! The servers a balancer has met, with their statistics, whether they are in the list or not.

use super::candidate::Candidate;
use super::stats::{Loads, NO_SLOT, Stats, ZONE_SLOTS};
use super::table::{Entry, Table};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Statistics of a server that left are kept this long.
const FORGET_MS: u64 = 30 * 60 * 1000;
/// A server that comes back after this long counts as new.
const ABSENT_MS: u64 = 60 * 1000;

#[derive(Clone, Debug)]
struct Known {
    stats: Arc<Stats>,
    /// First sight by this balancer in ms; 0 for the first list.
    joined_ms: u64,
    left_ms: Option<u64>,
}

/// Servers by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(BTreeMap<Arc<str>, Known>);

impl Registry {
    pub(crate) fn stats(&self, id: &str) -> Option<&Stats> {
        self.0.get(id).map(|known| &*known.stats)
    }

    /// Finds or makes the statistics of each candidate, and forgets those that left long ago.
    pub(crate) fn admit(
        &mut self,
        initial: bool,
        now: u64,
        candidates: Vec<Candidate>,
    ) -> Vec<Entry> {
        let known = &mut self.0;
        for entry in known.values_mut() {
            entry.left_ms = entry.left_ms.or(Some(now));
        }
        let joined_ms = if initial { 0 } else { now.max(1) };
        let entries = candidates.into_iter().map(|candidate| {
            let entry = match known.get_mut(candidate.id.as_str()) {
                Some(entry) => entry,
                None => {
                    let fresh = Known {
                        stats: Arc::default(),
                        joined_ms,
                        left_ms: None,
                    };
                    known
                        .entry(Arc::from(candidate.id.as_str()))
                        .or_insert(fresh)
                }
            };
            if entry
                .left_ms
                .take()
                .is_some_and(|left| now.saturating_sub(left) > ABSENT_MS)
            {
                entry.joined_ms = joined_ms;
            }
            Entry {
                stats: Arc::clone(&entry.stats),
                joined_ms: entry.joined_ms,
                candidate,
            }
        });
        let entries = entries.collect();
        known.retain(|_, entry| {
            entry
                .left_ms
                .is_none_or(|left| now.saturating_sub(left) <= FORGET_MS)
        });
        entries
    }

    /// Makes the sums over servers anew for the zones of this table.
    pub(crate) fn settle(&self, table: &Table, loads: &Loads) {
        loads.clear();
        for entry in self.0.values().filter(|entry| entry.left_ms.is_some()) {
            entry.stats.settle(NO_SLOT, loads);
        }
        let mut settled: Vec<*const Stats> = Vec::new();
        let duplicates = self
            .0
            .values()
            .filter(|entry| entry.left_ms.is_none())
            .count()
            != table.stats.len();
        for (stats, &zone) in table.stats.iter().zip(&table.zone_of) {
            if duplicates {
                if settled.contains(&Arc::as_ptr(stats)) {
                    continue;
                }
                settled.push(Arc::as_ptr(stats));
            }
            stats.settle(
                if (zone as usize) < ZONE_SLOTS {
                    zone
                } else {
                    NO_SLOT
                },
                loads,
            );
        }
    }
}
