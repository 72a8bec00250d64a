//! Ribbon `PredicateBasedRule`: round robin over the members that pass a test, with one counter whatever passes.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The counter of a predicate rule; its first answer is position 0.
#[derive(Debug, Default)]
pub struct Cyclic {
    counter: AtomicU32,
}

/// `(at + 1) % count` without the division where it can be told without.
#[inline]
pub(crate) fn after(at: u32, count: u32) -> u32 {
    let next = at.wrapping_add(1);
    if next < count {
        next
    } else if next == count {
        0
    } else {
        next % count
    }
}

impl Cyclic {
    pub(crate) fn continued(&self) -> Self {
        Self {
            counter: AtomicU32::new(self.counter.load(Relaxed)),
        }
    }

    /// The next position below `count`. A counter beyond a list that became shorter wraps once and is used then.
    pub(crate) fn next(&self, count: u32) -> u32 {
        loop {
            let step = |at: u32| after(at, count);
            let (Ok(at) | Err(at)) = self
                .counter
                .fetch_update(Relaxed, Relaxed, |at| Some(step(at)));
            if at < count {
                return at;
            }
        }
    }

    /// The next of the members that pass; none when none does.
    pub(crate) fn among(&self, members: &[u32], passes: impl Fn(u32) -> bool) -> Option<u32> {
        let count = members.iter().filter(|&&index| passes(index)).count() as u32;
        if count == 0 {
            return None;
        }
        let rank = self.next(count) as usize;
        let mut passing = members.iter().copied().filter(|&index| passes(index));
        // A flag may have changed between the two passes: then the last member that still passes answers.
        let mut last = None;
        for at in 0..=rank {
            match passing.next() {
                Some(index) if at == rank => return Some(index),
                Some(index) => last = Some(index),
                None => break,
            }
        }
        last
    }
}
