//! The kinds of measured value. Recording is one or two relaxed atomic additions: no lock, no clock, no allocation.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes over a total that is counted elsewhere.
    pub fn set(&self, total: u64) {
        self.0.store(total, Relaxed);
    }

    /// The total so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Sets the value from a size or count.
    pub fn set_count(&self, value: usize) {
        self.set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Bucket bounds for latencies, in microseconds.
pub const LATENCY_MICROS: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 30_000_000,
];

/// Counts by bucket and their sum; values in microseconds, shown in seconds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound and one for what is above the last.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram with ascending `bounds` in microseconds.
    pub fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram {
            bounds,
            buckets,
            sum: AtomicU64::new(0),
        }
    }

    /// Records one value in microseconds.
    pub fn record(&self, micros: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(micros, Relaxed);
    }

    /// Bounds in microseconds (`None`: no bound) with the counts up to them, cumulative as Prometheus wants them.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(&self.buckets).scan(0, |below, (bound, count)| {
            *below += count.load(Relaxed);
            Some((bound, *below))
        })
    }

    /// Sum of the values, in microseconds.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new(LATENCY_MICROS)
    }
}

/// Count, sum and recent maximum of durations in microseconds: the shape of the reference's timers.
#[derive(Debug, Default)]
pub struct Timer {
    count: AtomicU64,
    sum: AtomicU64,
    max: AtomicU64,
    max_before: AtomicU64,
}

impl Timer {
    /// Records one duration in microseconds.
    pub fn record(&self, micros: u64) {
        self.count.fetch_add(1, Relaxed);
        self.sum.fetch_add(micros, Relaxed);
        if self.max.load(Relaxed) < micros {
            self.max.fetch_max(micros, Relaxed);
        }
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Their sum in microseconds.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// The longest of the present and the previous window, in microseconds.
    pub fn max(&self) -> u64 {
        self.max.load(Relaxed).max(self.max_before.load(Relaxed))
    }

    /// Begins a new window for the maximum.
    pub(super) fn rotate(&self) {
        self.max_before.store(self.max.swap(0, Relaxed), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_cumulatively_and_bounds_are_inclusive() {
        let histogram = Histogram::new(&[10, 20]);
        for micros in [1, 10, 11, 20, 21] {
            histogram.record(micros);
        }
        let seen: Vec<_> = histogram.cumulative().collect();
        assert_eq!(seen, [(Some(10), 2), (Some(20), 4), (None, 5)]);
        assert_eq!(histogram.sum(), 63);
    }

    #[test]
    fn a_maximum_lasts_for_two_windows() {
        let timer = Timer::default();
        timer.record(7);
        timer.record(3);
        assert_eq!((timer.count(), timer.sum(), timer.max()), (2, 10, 7));
        timer.rotate();
        timer.record(2);
        assert_eq!(timer.max(), 7);
        timer.rotate();
        assert_eq!(timer.max(), 2);
        timer.rotate();
        assert_eq!(timer.max(), 0);
    }
}
