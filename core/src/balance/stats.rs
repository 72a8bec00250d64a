//! What is remembered of each server, and when its circuit counts as open.
//!
//! The numbers are atomics: many threads feed them while others choose, without a lock. Under a race a reader
//! may see one number of a pair before the other; every reader tolerates that.
//! Source of the rules: Ribbon `ServerStats`, `LoadBalancerStats`.

use super::decay::Decay;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use serde::{Deserialize, Serialize};

/// When a server's circuit opens and for how long (Ribbon `niws.loadbalancer.<client>.…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Breaker {
    /// Successive connection failures that open it (`connectionFailureCountThreshold`).
    pub threshold: u32,
    /// Seconds of the first blackout; it doubles with each further failure (`circuitTripTimeoutFactorSeconds`).
    pub factor_s: u32,
    /// Longest blackout in seconds (`circuitTripMaxTimeoutSeconds`).
    pub max_s: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            threshold: 3,
            factor_s: 10,
            max_s: 30,
        }
    }
}

impl Breaker {
    /// Length of the blackout in ms after `run` successive failures. In `exact` mode the product wraps in 32 bits
    /// as in Java and may come out negative, which means "not open"; else it saturates.
    #[must_use]
    pub fn blackout_ms(&self, run: u32, exact: bool) -> i64 {
        if run < self.threshold {
            return 0;
        }
        let doublings = (run - self.threshold).min(16);
        if exact {
            let seconds = (1_i32 << doublings).wrapping_mul(self.factor_s as i32);
            i64::from(seconds.min(self.max_s as i32)) * 1000
        } else {
            let seconds = (1_u64 << doublings) * u64::from(self.factor_s);
            seconds.min(u64::from(self.max_s)) as i64 * 1000
        }
    }
}

/// Zones whose running load is kept; a table with more zones is counted by scanning.
pub(crate) const ZONE_SLOTS: usize = 62;
/// Where the load of servers outside the current list goes.
pub(crate) const NO_SLOT: u32 = ZONE_SLOTS as u32;

/// Sums over all servers, kept so that a choice need not scan for them.
#[derive(Debug)]
pub(crate) struct Loads {
    zones: [AtomicI64; ZONE_SLOTS + 1],
    /// No count of the current list expires before this time; 0 = unknown.
    pub(crate) expiry_ms: AtomicU64,
    /// No circuit is open from this time on.
    pub(crate) trips_end_ms: AtomicU64,
    /// Servers ejected at the last look.
    pub(crate) ejected: AtomicU32,
    /// No ejection lasts beyond this time.
    pub(crate) ejections_end_ms: AtomicU64,
    /// Reports for servers nobody knows.
    pub(crate) unknown: AtomicU64,
}

impl Loads {
    pub(crate) fn new() -> Self {
        Self {
            expiry_ms: AtomicU64::new(0),
            zones: [const { AtomicI64::new(0) }; ZONE_SLOTS + 1],
            trips_end_ms: AtomicU64::new(0),
            ejected: AtomicU32::new(0),
            ejections_end_ms: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }
    }

    /// Nobody is ejected, and no circuit is open where that means something.
    #[inline]
    pub(crate) fn is_quiet(&self, now: u64, breaks: bool) -> bool {
        now >= self.ejections_end_ms.load(Relaxed)
            && (!breaks || now >= self.trips_end_ms.load(Relaxed))
    }

    fn add(&self, slot: u32, by: i64) {
        self.zones[(slot as usize).min(ZONE_SLOTS)].fetch_add(by, Relaxed);
    }

    /// Running requests of the zone in `slot`; may be too high, since idle counts expire only when looked at.
    pub(crate) fn zone(&self, slot: usize) -> i64 {
        self.zones[slot].load(Relaxed)
    }

    /// Running requests of all servers.
    pub(crate) fn total(&self) -> i64 {
        self.zones.iter().map(|zone| zone.load(Relaxed)).sum()
    }

    pub(crate) fn clear(&self) {
        self.expiry_ms.store(0, Relaxed);
        for zone in &self.zones {
            zone.store(0, Relaxed);
        }
    }
}

/// One number of type `f64` behind an atomic.
#[derive(Debug)]
pub(crate) struct Real(AtomicU64);

impl Real {
    pub(crate) fn new(value: f64) -> Self {
        Self(AtomicU64::new(value.to_bits()))
    }

    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    pub(crate) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    fn add(&self, by: f64) {
        // The closure never refuses, so the update cannot fail.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |bits| {
            Some((f64::from_bits(bits) + by).to_bits())
        });
    }
}

/// Counts of the outlier detection.
#[derive(Debug, Default)]
pub(crate) struct OutlierCounts {
    pub(crate) errors_run: AtomicU32,
    pub(crate) gateway_run: AtomicU32,
    pub(crate) successes: AtomicU32,
    pub(crate) requests: AtomicU32,
    pub(crate) times: AtomicU32,
    pub(crate) until_ms: AtomicU64,
}

/// Statistics of one server, shared by every position of the list with its id.
// In this order: what a pick reads of a server lies together, most often in one line of the processor's cache.
#[derive(Debug)]
#[repr(C)]
pub struct Stats {
    active: AtomicU32,
    slot: AtomicU32,
    changed_ms: AtomicU64,
    ewma: Real,
    ewma_ms: AtomicU64,
    failed_ms: AtomicU64,
    failure_run: AtomicU32,
    ended: AtomicU64,
    samples: AtomicU64,
    sum: Real,
    squares: Real,
    least: Real,
    most: Real,
    pub(crate) outlier: OutlierCounts,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            active: AtomicU32::new(0),
            changed_ms: AtomicU64::new(0),
            failure_run: AtomicU32::new(0),
            failed_ms: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            sum: Real::new(0.0),
            squares: Real::new(0.0),
            least: Real::new(f64::INFINITY),
            most: Real::new(0.0),
            ewma: Real::new(-1.0),
            ewma_ms: AtomicU64::new(0),
            slot: AtomicU32::new(NO_SLOT),
            outlier: OutlierCounts::default(),
        }
    }
}

impl Stats {
    /// Requests under way as last counted, whatever their age.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// Successive connection failures.
    #[must_use]
    pub fn failure_run(&self) -> u32 {
        self.failure_run.load(Relaxed)
    }

    /// Requests that ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    /// Mean response time in ms over the whole life of these statistics; 0 with no sample.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        match self.samples.load(Relaxed) {
            0 => 0.0,
            count => self.sum.get() / count as f64,
        }
    }

    /// Shortest response time in ms; 0 with no sample.
    #[must_use]
    pub fn min_ms(&self) -> f64 {
        if self.samples.load(Relaxed) == 0 {
            0.0
        } else {
            self.least.get()
        }
    }

    /// Longest response time in ms; 0 with no sample.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        self.most.get()
    }

    /// Standard deviation of the response times in ms (of the population).
    #[must_use]
    pub fn deviation_ms(&self) -> f64 {
        let mean = self.mean_ms();
        match self.samples.load(Relaxed) {
            0 => 0.0,
            count => libm::sqrt((self.squares.get() / count as f64 - mean * mean).max(0.0)),
        }
    }

    pub(crate) fn begin(&self, now_ms: u64, loads: &Loads) {
        self.active.fetch_add(1, Relaxed);
        self.changed_ms.store(now_ms, Relaxed);
        loads.add(self.slot.load(Relaxed), 1);
    }

    pub(crate) fn end(&self, now_ms: u64, loads: &Loads) {
        if self
            .active
            .fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1))
            .is_ok()
        {
            loads.add(self.slot.load(Relaxed), -1);
        }
        self.changed_ms.store(now_ms, Relaxed);
        // Informative only: a count lost to a race costs less than another locked step on every request.
        self.ended.store(self.ended.load(Relaxed) + 1, Relaxed);
    }

    /// Notes a response time; negative and non-finite ones count as 0.
    pub(crate) fn observe(&self, ms: f64) {
        let ms = if ms.is_finite() && ms > 0.0 { ms } else { 0.0 };
        self.samples.fetch_add(1, Relaxed);
        self.sum.add(ms);
        self.squares.set(self.squares.get() + ms * ms);
        if ms < self.least.get() {
            self.least.set(ms);
        }
        if ms > self.most.get() {
            self.most.set(ms);
        }
    }

    pub(crate) fn fail(&self, now_ms: u64, breaker: &Breaker, exact: bool, loads: &Loads) {
        let run = self.failure_run.fetch_add(1, Relaxed).saturating_add(1);
        self.failed_ms.store(now_ms, Relaxed);
        let blackout = breaker.blackout_ms(run, exact);
        if blackout > 0 {
            loads
                .trips_end_ms
                .fetch_max(now_ms.saturating_add(blackout as u64), Relaxed);
        }
    }

    pub(crate) fn clear_failures(&self) {
        if self.failure_run.load(Relaxed) != 0 {
            self.failure_run.store(0, Relaxed);
        }
    }

    /// When the blackout of the last failure ends; 0 when the circuit is closed.
    pub(crate) fn trip_end_ms(&self, breaker: &Breaker, exact: bool) -> u64 {
        match breaker.blackout_ms(self.failure_run.load(Relaxed), exact) {
            blackout if blackout > 0 => {
                self.failed_ms.load(Relaxed).saturating_add(blackout as u64)
            }
            _ => 0,
        }
    }

    pub(crate) fn tripped(&self, now_ms: u64, breaker: &Breaker, exact: bool) -> bool {
        self.failure_run.load(Relaxed) >= breaker.threshold
            && now_ms < self.trip_end_ms(breaker, exact)
    }

    /// Requests under way; a count that did not change for longer than the window is dropped (Ribbon
    /// `activeRequestsCount.effectiveWindowSeconds`).
    #[inline]
    pub(crate) fn active_now(&self, now_ms: u64, window_ms: u64, loads: &Loads) -> u32 {
        let count = self.active.load(Relaxed);
        if count == 0 || now_ms.saturating_sub(self.changed_ms.load(Relaxed)) <= window_ms {
            return count;
        }
        if self
            .active
            .compare_exchange(count, 0, Relaxed, Relaxed)
            .is_ok()
        {
            loads.add(self.slot.load(Relaxed), -i64::from(count));
        }
        0
    }

    /// When the count of active requests expires, should nothing change it before.
    pub(crate) fn expires_ms(&self, window_ms: u64) -> Option<u64> {
        let running = self.active.load(Relaxed) > 0;
        running.then(|| self.changed_ms.load(Relaxed).saturating_add(window_ms))
    }

    /// Puts the server's load under a zone (or none) while the sums are made anew.
    pub(crate) fn settle(&self, slot: u32, loads: &Loads) {
        self.slot.store(slot, Relaxed);
        loads.add(slot, i64::from(self.active.load(Relaxed)));
    }

    /// Cost estimate decayed to `now_ms`; `initial_ms` before the first sample.
    pub(crate) fn cost(&self, now_ms: u64, decay: Decay, initial_ms: f64) -> f64 {
        let (stored, age_ms) = self.aged_cost(now_ms, initial_ms);
        stored * decay.after(age_ms)
    }

    /// Cost estimate as it was stored and how long ago that was: two of the same age need not be decayed to be compared.
    #[inline]
    pub(crate) fn aged_cost(&self, now_ms: u64, initial_ms: f64) -> (f64, u64) {
        let (stored, stamp) = (self.ewma.get(), self.ewma_ms.load(Relaxed));
        let stored = if stored < 0.0 { initial_ms } else { stored };
        (stored, now_ms.saturating_sub(stamp))
    }

    /// Whether a response time was ever noted.
    pub(crate) fn is_sampled(&self) -> bool {
        self.samples.load(Relaxed) > 0
    }

    /// Puts another's count of requests, and its cost estimate when there is one, in place of these.
    pub(crate) fn take_over(&self, now_ms: u64, active: u32, cost_ms: f64, loads: &Loads) {
        let before = self.active.swap(active, Relaxed);
        if before != active {
            self.changed_ms.store(now_ms, Relaxed);
            loads.add(
                self.slot.load(Relaxed),
                i64::from(active) - i64::from(before),
            );
        }
        if cost_ms > 0.0 {
            self.ewma.set(cost_ms);
            self.ewma_ms.store(now_ms, Relaxed);
        }
    }

    /// First sight by a cost rule: the initial estimate decays from here on.
    pub(crate) fn seed_cost(&self, now_ms: u64, initial_ms: f64) {
        if self.ewma.get() < 0.0 {
            self.ewma.set(initial_ms);
            self.ewma_ms.store(now_ms, Relaxed);
        }
    }

    /// Peak EWMA: a higher sample is taken at once, a lower one slowly.
    pub(crate) fn feed_cost(&self, now_ms: u64, sample_ms: f64, decay: Decay, initial_ms: f64) {
        let stored = if self.ewma.get() < 0.0 {
            initial_ms
        } else {
            self.ewma.get()
        };
        let keep = decay.after(now_ms.saturating_sub(self.ewma_ms.load(Relaxed)));
        let next = if sample_ms > stored * keep {
            sample_ms
        } else {
            stored * keep + sample_ms * (1.0 - keep)
        };
        self.ewma.set(next);
        self.ewma_ms.fetch_max(now_ms, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_ewma_rises_at_once_and_falls_slowly() {
        let (stats, decay) = (Stats::default(), Decay::new(10_000.0));
        stats.seed_cost(0, 30.0);
        assert!((stats.cost(0, decay, 30.0) - 30.0).abs() < 1e-9);
        stats.feed_cost(0, 200.0, decay, 30.0);
        assert!((stats.cost(0, decay, 30.0) - 200.0).abs() < 1e-9);
        stats.feed_cost(10_000, 10.0, decay, 30.0);
        let e = libm::exp(-1.0);
        assert!((stats.cost(10_000, decay, 30.0) - (200.0 * e + 10.0 * (1.0 - e))).abs() < 1e-9);
        // A clock that steps back neither ages nor renews the estimate.
        let before = stats.cost(10_000, decay, 30.0);
        assert!((stats.cost(5_000, decay, 30.0) - before).abs() < 1e-9);
    }

    #[test]
    fn the_sums_follow_starts_ends_and_expiry() {
        let (stats, loads) = (Stats::default(), Loads::new());
        stats.settle(3, &loads);
        for _ in 0..4 {
            stats.begin(1_000, &loads);
        }
        stats.end(1_000, &loads);
        assert_eq!((loads.zone(3), stats.active()), (3, 3));
        assert_eq!(stats.active_now(601_000, 600_000, &loads), 3);
        assert_eq!(stats.active_now(601_001, 600_000, &loads), 0);
        assert_eq!((loads.zone(3), loads.total()), (0, 0));
        stats.end(700_000, &loads);
        assert_eq!((loads.zone(3), stats.active()), (0, 0));
    }
}
