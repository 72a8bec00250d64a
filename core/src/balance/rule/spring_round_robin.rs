//! Spring Cloud `RoundRobinLoadBalancer`, also behind its zone preference and hint.
//!
//! The position starts at a number drawn below 1000, is advanced before it is used and kept to 31 bits. A list of one
//! does not advance it.

use crate::balance::query::{NoPick, Query};
use crate::balance::rng::Rng;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Marks a position that was not drawn yet; real ones have 31 bits.
const UNSET: u32 = u32::MAX;
const MASK: u32 = u32::MAX >> 1;
const SEEDS: u32 = 1000;

#[derive(Debug)]
pub(crate) struct Position(AtomicU32);

impl Position {
    pub(crate) fn new(start: Option<u32>) -> Self {
        Self(AtomicU32::new(start.map_or(UNSET, |start| start & MASK)))
    }

    pub(crate) fn continued(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Relaxed)))
    }

    #[inline]
    pub(crate) fn next(&self, rng: &mut (impl Rng + ?Sized)) -> u32 {
        if self.0.load(Relaxed) == UNSET {
            let seed = rng.int(SEEDS);
            // A failure means that another thread seeded it first.
            let _ = self.0.compare_exchange(UNSET, seed, Relaxed, Relaxed);
        }
        let step = |at: u32| at.wrapping_add(1) & MASK;
        let (Ok(before) | Err(before)) = self.0.fetch_update(Relaxed, Relaxed, |at| Some(step(at)));
        step(before)
    }

    /// The next of the members that pass.
    pub(crate) fn among(
        &self,
        q: &Query<'_>,
        members: &[u32],
        passes: impl Fn(u32) -> bool,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        let passing = || {
            members
                .iter()
                .copied()
                .filter(|&index| q.usable_if_safe(index) && passes(index))
        };
        let count = passing().count();
        let rank = match count {
            0 => return Err(q.none_of(members)),
            1 => 0,
            _ => self.next(rng) as usize % count,
        };
        // A flag may have changed between the two passes.
        passing()
            .nth(rank)
            .or_else(|| passing().next())
            .ok_or_else(|| q.none_of(members))
    }

    /// The next of several members; none of fewer than two, of which one does not advance the position.
    #[inline]
    pub(crate) fn next_of_all(
        &self,
        members: &[u32],
        rng: &mut (impl Rng + ?Sized),
    ) -> Option<u32> {
        let count = members.len() as u32;
        if count < 2 {
            return None;
        }
        Some(members[(self.next(rng) % count) as usize])
    }

    /// The next of all members.
    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        members: &[u32],
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        if (q.plan.exact || q.unrestricted())
            && let Some(index) = self.next_of_all(members, rng)
        {
            return Ok(index);
        }
        self.among(q, members, |_| true, rng)
    }
}
