//! How requests begin and end: the reports that feed the statistics, the breaker, the cost estimates and the outlier
//! detection of a [`Balancer`].

use super::balancer::{Balancer, Pick};
use super::stage::outlier;
use super::stats::Stats;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer came, and it is no server error.
    Success,
    /// An answer came with a server error (HTTP 500 to 599 other than the next).
    ServerError,
    /// An answer came with a gateway error (HTTP 502, 503, 504).
    GatewayError,
    /// The connection was refused or reset, there was no route, or connecting or reading took too long.
    CircuitFailure,
    /// It failed otherwise, or was cancelled.
    OtherFailure,
}

/// What is reported at the end of a request.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Response time in ms; none = time since `start`.
    pub response_ms: Option<f64>,
    /// What the server asked to wait, in ms (`Retry-After`).
    pub retry_after_ms: Option<f64>,
}

impl From<Outcome> for Report {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            response_ms: None,
            retry_after_ms: None,
        }
    }
}

/// A request under way. Hand it to [`Balancer::finish`] on every path, cancelling included; it stays good over updates.
#[derive(Debug)]
#[must_use = "a request that is never finished stays counted as active"]
pub struct Ticket {
    stats: Arc<Stats>,
    pick: Pick,
    started_ms: u64,
}

impl Balancer {
    /// Counts the start of a request to the chosen member; none when the pick is of another list.
    pub fn start(&self, pick: Pick, now_ms: u64) -> Option<Ticket> {
        self.candidate(pick)?;
        let stats = Arc::clone(&self.table.stats[pick.index as usize]);
        stats.begin(now_ms, &self.loads);
        Some(Ticket {
            stats,
            pick,
            started_ms: now_ms,
        })
    }

    /// Counts the end of a request.
    pub fn finish(&self, ticket: Ticket, now_ms: u64, report: impl Into<Report>) {
        let mut report = report.into();
        let Ticket {
            stats,
            pick,
            started_ms,
        } = ticket;
        report.response_ms = report
            .response_ms
            .or(Some(now_ms.saturating_sub(started_ms) as f64));
        let index = self.candidate(pick).map(|_| pick.index);
        self.ended(&stats, index, now_ms, &report);
    }

    /// Counts the start of a request to a member by its index, for hosts that hold no ticket. False outside the list.
    pub fn begin(&self, index: u32, now_ms: u64) -> bool {
        let stats = self.table.stats.get(index as usize);
        stats
            .inspect(|stats| stats.begin(now_ms, &self.loads))
            .is_some()
    }

    /// Counts the end of a request by the member's index. False outside the list.
    pub fn end(&self, index: u32, now_ms: u64, report: impl Into<Report>) -> bool {
        let stats = self.table.stats.get(index as usize);
        stats
            .inspect(|stats| self.ended(stats, Some(index), now_ms, &report.into()))
            .is_some()
    }

    /// Counts the start of a request to a server by its id, for hosts that hold no ticket. False when nobody knows it.
    pub fn start_id(&self, id: &str, now_ms: u64) -> bool {
        self.with_stats(id, |stats| stats.begin(now_ms, &self.loads))
    }

    /// Counts the end of a request by the server's id. False when nobody knows it.
    pub fn finish_id(&self, id: &str, now_ms: u64, report: impl Into<Report>) -> bool {
        let report = report.into();
        self.with_stats(id, |stats| self.ended(stats, None, now_ms, &report))
    }

    /// Counts a connection failure outside any request (a probe, a recorded trace).
    pub fn note_failure(&self, id: &str, now_ms: u64) -> bool {
        self.with_stats(id, |stats| {
            stats.fail(
                now_ms,
                &self.plan.policy.circuit,
                self.plan.exact,
                &self.loads,
            );
        })
    }

    /// Notes a response time outside any request.
    pub fn note_response(&self, id: &str, response_ms: f64) -> bool {
        self.with_stats(id, |stats| stats.observe(response_ms))
    }

    fn with_stats(&self, id: &str, act: impl FnOnce(&Stats)) -> bool {
        let stats = self.stats(id);
        match stats {
            Some(stats) => act(stats),
            None => {
                self.loads.unknown.fetch_add(1, Relaxed);
            }
        }
        stats.is_some()
    }

    fn ended(&self, stats: &Stats, index: Option<u32>, now: u64, report: &Report) {
        let policy = &self.plan.policy;
        stats.end(now, &self.loads);
        if let Some(ms) = report.response_ms {
            stats.observe(ms);
        }
        if report.outcome == Outcome::CircuitFailure {
            stats.fail(now, &policy.circuit, self.plan.exact, &self.loads);
        } else {
            stats.clear_failures();
        }
        let failed = report.outcome != Outcome::Success;
        if self.reads_cost {
            let own = report.response_ms.unwrap_or(0.0).max(0.0);
            let penalty = if failed {
                report.retry_after_ms.unwrap_or(policy.ewma.penalty_ms)
            } else {
                0.0
            };
            stats.feed_cost(
                now,
                own.max(penalty),
                self.plan.decay,
                policy.ewma.initial_ms,
            );
        }
        if let Some(settings) = &policy.outlier {
            let verdict = match report.outcome {
                Outcome::Success => outlier::Verdict::Success,
                Outcome::ServerError | Outcome::OtherFailure => outlier::Verdict::Error,
                Outcome::GatewayError | Outcome::CircuitFailure => outlier::Verdict::GatewayError,
            };
            outlier::count(settings, &self.table, &self.loads, stats, now, verdict);
        }
        if policy.failure_aware
            && let Some(index) = index
        {
            self.rule.feedback(&self.scope, index, failed);
            let zone = self.table.zone_of[index as usize] as usize;
            if let Some(copy) = self.copies.get(zone) {
                copy.rule.feedback(&copy.scope, index, failed);
            }
        }
    }
}
