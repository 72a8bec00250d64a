//! When a plugin that keeps failing is no longer asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;
use crate::limits::Limits;

/// The failures of one plugin in front of one service.
#[derive(Debug, Default)]
pub(crate) struct Record {
    suspended: AtomicBool,
    failures: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    at_ms: VecDeque<u64>,
    last: Option<Failure>,
}

impl Record {
    #[inline]
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.load(Relaxed)
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    pub(crate) fn last(&self) -> Option<Failure> {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last
            .clone()
    }

    /// Counts a failure; true when this one suspends the plugin.
    pub(crate) fn note(&self, failure: &Failure, now_ms: u64, limits: &Limits) -> bool {
        self.failures.fetch_add(1, Relaxed);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.last = Some(failure.clone());
        recent.at_ms.push_back(now_ms);
        let stale = |&at: &u64| now_ms.saturating_sub(at) > limits.window_ms;
        while recent.at_ms.front().is_some_and(stale)
            || recent.at_ms.len() > limits.failures as usize
        {
            recent.at_ms.pop_front();
        }
        recent.at_ms.len() >= limits.failures as usize && !self.suspended.swap(true, Relaxed)
    }

    pub(crate) fn resume(&self) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .at_ms
            .clear();
        self.suspended.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_half_a_minute_suspend() {
        let (record, limits) = (Record::default(), Limits::default());
        let failure = Failure::StackOverflow;
        // One every 10 s is never five in 30 s.
        assert!((0..20).all(|n| !record.note(&failure, n * 10_000, &limits)));
        assert!(!record.is_suspended());
        let suspended: Vec<bool> = (0..6)
            .map(|n| record.note(&failure, 1_000_000 + n, &limits))
            .collect();
        assert_eq!(
            suspended,
            [false, false, false, false, true, false],
            "said once"
        );
        assert!(record.is_suspended() && record.failures() == 26 && record.last() == Some(failure));
        record.resume();
        assert!(!record.is_suspended());
    }
}
