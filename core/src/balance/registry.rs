//! The servers a balancer has met, with their statistics, whether they are in the list or not.

use super::candidate::Candidate;
use super::order::by_name;
use super::stats::{Loads, NO_SLOT, Stats, ZONE_SLOTS};
use super::table::{Entry, Table};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Statistics of a server that left are kept this long.
const FORGET_MS: u64 = 30 * 60 * 1000;
/// A server that comes back after this long counts as new.
const ABSENT_MS: u64 = 60 * 1000;

#[derive(Clone, Debug)]
struct Known {
    id: Arc<str>,
    stats: Arc<Stats>,
    /// First sight by this balancer in ms; 0 for the first list.
    joined_ms: u64,
    left_ms: Option<u64>,
}

impl Known {
    /// It is not in the list of now: none once that is so for long.
    fn without(mut self, now: u64) -> Option<Self> {
        let left = *self.left_ms.get_or_insert(now);
        (now.saturating_sub(left) <= FORGET_MS).then_some(self)
    }

    /// It is in the list of now.
    fn listed(mut self, now: u64, joined_ms: u64) -> Self {
        let left = self.left_ms.take();
        if left.is_some_and(|left| now.saturating_sub(left) > ABSENT_MS) {
            self.joined_ms = joined_ms;
        }
        self
    }
}

/// Servers in the order of their ids.
// Not a tree: lists come whole, and merging two of them is less code and less work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(Vec<Known>);

impl Registry {
    pub(crate) fn stats(&self, id: &str) -> Option<&Stats> {
        let at = self.0.partition_point(|known| &*known.id < id);
        let known = self.0.get(at).filter(|known| &*known.id == id)?;
        Some(&known.stats)
    }

    /// Finds or makes the statistics of each candidate, and forgets those that left long ago.
    pub(crate) fn admit(
        &mut self,
        initial: bool,
        now: u64,
        candidates: Vec<Candidate>,
    ) -> Vec<Entry> {
        let joined_ms = if initial { 0 } else { now.max(1) };
        let id = |at: u32| candidates[at as usize].id.as_str();
        let order = by_name(candidates.len() as u32, &id);
        let mut places = order.clone();
        let mut before = core::mem::take(&mut self.0).into_iter().peekable();
        let known = &mut self.0;
        for same in order.chunk_by(|&a, &b| id(a) == id(b)) {
            let id = id(same[0]);
            while let Some(other) = before.next_if(|other| &*other.id < id) {
                known.extend(other.without(now));
            }
            for &at in same {
                places[at as usize] = known.len() as u32;
            }
            known.push(match before.next_if(|one| &*one.id == id) {
                Some(one) => one.listed(now, joined_ms),
                None => Known {
                    id: id.into(),
                    stats: Arc::default(),
                    joined_ms,
                    left_ms: None,
                },
            });
        }
        for other in before {
            known.extend(other.without(now));
        }
        let entry = |(candidate, place): (Candidate, u32)| {
            let known = &known[place as usize];
            Entry {
                stats: Arc::clone(&known.stats),
                joined_ms: known.joined_ms,
                candidate,
            }
        };
        candidates.into_iter().zip(places).map(entry).collect()
    }

    /// Makes the sums over servers anew for the zones of this table.
    pub(crate) fn settle(&self, table: &Table, loads: &Loads) {
        loads.clear();
        for entry in self.0.iter().filter(|entry| entry.left_ms.is_some()) {
            entry.stats.settle(NO_SLOT, loads);
        }
        let mut settled: Vec<*const Stats> = Vec::new();
        let duplicates = self
            .0
            .iter()
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
