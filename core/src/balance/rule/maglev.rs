//! Consistent hashing with a Maglev table (Eisenbud et al. 2016), optionally with bounded load.
//!
//! Each member walks its own permutation of the table and takes the next free entry in its turn; heavier members have more
//! turns. A lookup is one read; a member that cannot be used is stepped over in an order seeded by the key's hash.

use super::hashing::{is_full, of_request, placed, twin};
use crate::balance::hash::xxh64;
use crate::balance::query::{NoPick, Query};
use crate::balance::rng::{Rng, SplitMix64};
use crate::balance::table::{Scope, Table};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

const PROBES: u32 = 64;
const FREE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Maglev {
    entries: Box<[u32]>,
    members: Vec<u32>,
    weight_sum: f64,
}

struct Walk {
    index: u32,
    weight: f64,
    next: u64,
    skip: u64,
    due: f64,
}

impl Maglev {
    pub(crate) fn new(table: &Table, scope: &Scope, size: u32) -> Self {
        let members = placed(table, scope);
        let weight_sum = members
            .iter()
            .map(|&index| table.weights[index as usize])
            .sum();
        Self {
            entries: fill(table, &members, size),
            members,
            weight_sum,
        }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        let size = self.entries.len() as u64;
        if size == 0 {
            return Err(q.none_of(&scope.members));
        }
        let hash = of_request(q, rng);
        let mut order = SplitMix64::new(hash);
        let mut at = hash % size;
        let mut full = None;
        for _ in 0..PROBES {
            let index = self.entries[at as usize];
            if q.usable(index) {
                if !is_full(q, index, self.weight_sum) {
                    return Ok(index);
                }
                full = full.or(Some(index));
            }
            at = order.next_u64() % size;
        }
        // Nearly all are down or full: every member is looked at, beginning where the hash says.
        let count = self.members.len();
        let start = (order.next_u64() % count as u64) as usize;
        for step in 0..count {
            let index = self.members[(start + step) % count];
            if q.usable(index) {
                if !is_full(q, index, self.weight_sum) {
                    return Ok(index);
                }
                full = full.or(Some(index));
            }
        }
        full.or_else(|| twin(q, scope))
            .ok_or_else(|| q.none_of(&scope.members))
    }
}

fn fill(table: &Table, members: &[u32], size: u32) -> Box<[u32]> {
    if members.is_empty() {
        return Box::default();
    }
    let size = u64::from(size);
    let most = members
        .iter()
        .map(|&index| table.weights[index as usize])
        .fold(0.0, f64::max);
    let mut walks: Vec<Walk> = members
        .iter()
        .map(|&index| {
            let id = table.candidates[index as usize].id.as_bytes();
            Walk {
                index,
                weight: table.weights[index as usize] / most,
                next: xxh64(id, 0) % size,
                skip: xxh64(id, 1) % (size - 1) + 1,
                due: 0.0,
            }
        })
        .collect();
    let mut entries = vec![FREE; size as usize];
    let mut free = entries.len();
    loop {
        for walk in &mut walks {
            // A member of half the weight takes every second turn.
            walk.due += walk.weight;
            if walk.due < 1.0 - 1e-9 {
                continue;
            }
            walk.due -= 1.0;
            while entries[walk.next as usize] != FREE {
                walk.next = (walk.next + walk.skip) % size;
            }
            entries[walk.next as usize] = walk.index;
            free -= 1;
            if free == 0 {
                return entries.into_boxed_slice();
            }
        }
    }
}
