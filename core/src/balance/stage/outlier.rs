//! Outlier ejection: members that answer with errors, or worse than their peers, get no traffic for a while.
//!
//! Errors in a row eject at once; rates are compared at intervals. At most a share of the members is ejected, but one may always
//! be. Each ejection of a member is longer than the one before; a healthy interval takes one back. Source: Envoy's
//! outlier detection.

use crate::balance::policy::Outlier;
use crate::balance::stats::{Loads, Stats};
use crate::balance::table::Table;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

/// How one request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    Error,
    GatewayError,
}

/// Counts the end of a request; ejects the member when its errors in a row are enough.
pub(crate) fn count(
    settings: &Outlier,
    table: &Table,
    loads: &Loads,
    stats: &Stats,
    now: u64,
    verdict: Verdict,
) {
    let counts = &stats.outlier;
    counts.requests.fetch_add(1, Relaxed);
    if verdict == Verdict::Success {
        counts.successes.fetch_add(1, Relaxed);
        counts.errors_run.store(0, Relaxed);
        counts.gateway_run.store(0, Relaxed);
        return;
    }
    let errors = counts.errors_run.fetch_add(1, Relaxed) + 1;
    let gateway = match verdict {
        Verdict::GatewayError => counts.gateway_run.fetch_add(1, Relaxed) + 1,
        _ => {
            counts.gateway_run.store(0, Relaxed);
            0
        }
    };
    let enough = |run: u32, limit: u32| limit > 0 && run >= limit;
    if enough(errors, settings.consecutive_errors) || enough(gateway, settings.consecutive_gateway)
    {
        counts.errors_run.store(0, Relaxed);
        counts.gateway_run.store(0, Relaxed);
        eject(settings, table, loads, stats, now);
    }
}

fn is_ejected(stats: &Stats, now: u64) -> bool {
    now < stats.outlier.until_ms.load(Relaxed)
}

fn ejected(table: &Table, now: u64) -> u32 {
    table
        .stats
        .iter()
        .filter(|stats| is_ejected(stats, now))
        .count() as u32
}

fn eject(settings: &Outlier, table: &Table, loads: &Loads, stats: &Stats, now: u64) {
    let out = ejected(table, now);
    let most = (f64::from(table.len()) * settings.max_share).max(1.0) as u32;
    if is_ejected(stats, now) || out >= most {
        return;
    }
    let times = stats.outlier.times.fetch_add(1, Relaxed) + 1;
    let length = settings
        .base_ms
        .saturating_mul(u64::from(times))
        .min(settings.max_ms);
    let until = now.saturating_add(length);
    stats.outlier.until_ms.store(until, Relaxed);
    loads.ejections_end_ms.fetch_max(until, Relaxed);
    loads.ejected.store(out + 1, Relaxed);
}

/// The look at the rates that is due every interval.
pub(crate) fn maintain(settings: &Outlier, table: &Table, loads: &Loads, now: u64) {
    // Positions that share statistics count once: the first takes the numbers, the others see none.
    let taken: Vec<(&Stats, f64, u32)> = table
        .stats
        .iter()
        .map(|stats| {
            let requests = stats.outlier.requests.swap(0, Relaxed);
            let successes = stats.outlier.successes.swap(0, Relaxed);
            (
                &**stats,
                f64::from(successes) / f64::from(requests.max(1)),
                requests,
            )
        })
        .collect();
    for stats in &table.stats {
        if !is_ejected(stats, now) {
            // The closure refuses at 0: nothing to take back.
            let _ = stats
                .outlier
                .times
                .fetch_update(Relaxed, Relaxed, |times| times.checked_sub(1));
        }
    }
    let judged = || {
        taken
            .iter()
            .filter(|(_, _, requests)| *requests >= settings.min_requests.max(1))
    };
    let count = judged().count();
    if count as u32 >= settings.min_hosts.max(1) {
        let mean = judged().map(|(_, rate, _)| rate).sum::<f64>() / count as f64;
        let variance = judged()
            .map(|(_, rate, _)| (rate - mean) * (rate - mean))
            .sum::<f64>()
            / count as f64;
        let floor = mean - settings.success_rate_factor * libm::sqrt(variance);
        for (stats, rate, _) in judged() {
            let below = settings.success_rate_factor > 0.0 && *rate < floor;
            let failing = settings
                .failure_share
                .is_some_and(|share| 1.0 - rate >= share);
            if below || failing {
                eject(settings, table, loads, stats, now);
            }
        }
    }
    loads.ejected.store(ejected(table, now), Relaxed);
}
