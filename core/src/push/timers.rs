//! Timers in the order of their deadlines; setting, cancelling and firing cost O(log n).
//!
//! Whoever sets a timer keeps its key and cancels it, so that no timer outlives what it is for.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One timer: its deadline (monotonic milliseconds), and a number that keeps equal deadlines in the order of setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct TimerKey {
    at: u64,
    seq: u64,
}

/// Timers and what each is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Timers<T> {
    set: BTreeMap<TimerKey, T>,
    seq: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            set: BTreeMap::new(),
            seq: 0,
        }
    }
}

impl<T> Timers<T> {
    /// Sets a timer.
    pub(super) fn set(&mut self, at: u64, what: T) -> TimerKey {
        self.seq += 1;
        let key = TimerKey { at, seq: self.seq };
        self.set.insert(key, what);
        key
    }

    /// Forgets a timer; one that has fired is no error.
    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.set.remove(&key);
    }

    /// Takes the earliest timer whose deadline has come.
    pub(super) fn pop(&mut self, now: u64) -> Option<T> {
        let first = self.set.first_entry()?;
        (first.key().at <= now).then(|| first.remove())
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<u64> {
        self.set.first_key_value().map(|(key, _)| key.at)
    }

    /// How many are set.
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_fire_by_deadline_then_by_order_of_setting() {
        let mut timers = Timers::default();
        timers.set(20, 'c');
        timers.set(10, 'a');
        let gone = timers.set(10, 'x');
        timers.set(10, 'b');
        timers.cancel(gone);
        assert_eq!((timers.next(), timers.len()), (Some(10), 3));
        assert_eq!(
            (timers.pop(9), timers.pop(19), timers.pop(19)),
            (None, Some('a'), Some('b'))
        );
        assert_eq!(
            (timers.pop(19), timers.pop(20), timers.next()),
            (None, Some('c'), None)
        );
    }
}
