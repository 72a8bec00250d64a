//! Probes of persistent instances: when each is due, and what its outcomes mean for the instance's health.
//!
//! The host probes; a change of health is proposed, and happens when it is applied (Nacos 2.x health checkers).

use alloc::vec::Vec;
use core::mem;

use serde::{Deserialize, Serialize};

use super::{
    CheckParams, Naming,
    state::{Liveness, Record},
};
use crate::{
    log::{Command, HealthFlip},
    model::{ClusterMetadata, HealthChecker},
    node::{
        input::{Now, ProbeOutcome},
        output::ProbeTarget,
    },
};

/// Earliest first probe of a new instance.
const FIRST: u64 = 2_000;
/// After how long an unanswered probe counts as lost.
const LOST: u64 = 30_000;
/// How long changes of health are gathered before they are proposed.
const GATHER: u64 = 100;
/// How long until a change that did not happen is proposed again.
const AGAIN: u64 = 5_000;
/// How many changes a command carries at most.
const BATCH: usize = 500;

/// How the probes of a persistent instance went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Check {
    /// Interval, adapted to how long probes take; milliseconds.
    interval: u64,
    /// Successes in a row.
    ok: u32,
    /// Failures in a row.
    failed: u32,
    /// The probe that runs, and since when.
    running: Option<(u64, u64)>,
    /// When a change was last proposed.
    proposed: Option<u64>,
}

impl Naming {
    /// A number below `bound` (0 if that is 0), from the generator in the state (splitmix64).
    pub(super) fn draw(&mut self, bound: u64) -> u64 {
        let state = &mut self.volatile.random;
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).checked_rem(bound).unwrap_or(0)
    }

    /// A persistent record is there; its first probe is spread over time.
    pub(super) fn begin_checks(&mut self, id: u32) {
        let most = u64::from(self.durable.switches.tcp_health_params.max);
        let bound = self.draw(most);
        let interval = FIRST + self.draw(bound);
        let running = self.volatile.checks.get(&id).and_then(|c| c.running);
        if let Some((probe, _)) = running {
            self.volatile.probes.remove(&probe);
        }
        self.volatile.checks.insert(id, Check { interval, ..Check::default() });
        self.volatile.arm_record(id, self.mono() + interval);
    }

    /// A persistent record goes.
    pub(super) fn end_checks(&mut self, id: u32) {
        let Some(check) = self.volatile.checks.remove(&id) else { return };
        if let Some((probe, _)) = check.running {
            self.volatile.probes.remove(&probe);
            self.volatile.wanted.retain(|(p, _)| *p != probe);
        }
        let record = &self.volatile.records[id];
        let flip = (self.volatile.services[record.service].key.clone(), record.published.key.clone());
        self.volatile.flips.remove(&flip);
        if self.volatile.flips.is_empty() {
            self.volatile.flips_due = None;
        }
    }

    /// Probes to start, each with the number that its outcome names.
    pub fn take_probes(&mut self) -> Vec<(u64, ProbeTarget)> {
        mem::take(&mut self.volatile.wanted)
    }

    /// The timer of a persistent record fired.
    pub(super) fn start_probe(&mut self, id: u32) {
        let now = self.mono();
        self.volatile.records[id].armed = 0;
        let record = &self.volatile.records[id];
        let service = &self.volatile.services[record.service].key;
        let checked = self.durable.switches.checks(&service.grouped());
        let target = self.target(record).filter(|_| checked);
        let params = self.params(id);
        let Some(check) = self.volatile.checks.get_mut(&id) else { return };
        if let Some(target) = target {
            match check.running {
                Some((_, since)) if now - since <= LOST => check.adapt(check.interval * 2, params),
                lost => {
                    if let Some((probe, _)) = lost {
                        self.volatile.probes.remove(&probe);
                    }
                    self.volatile.last_probe += 1;
                    let probe = self.volatile.last_probe;
                    check.running = Some((probe, now));
                    self.volatile.probes.insert(probe, id);
                    self.volatile.wanted.push((probe, target));
                }
            }
        }
        let next = now + check.interval.max(1);
        self.volatile.arm_record(id, next);
    }

    /// A probe ended after `took_ms`; one that is not known any more is left alone.
    pub fn probed(&mut self, probe: u64, outcome: &ProbeOutcome, took_ms: u32, now: Now) {
        self.at(now);
        let mono = self.mono();
        let Some(id) = self.volatile.probes.remove(&probe) else { return };
        let params = self.params(id);
        let times = self.durable.switches.check_times;
        let healthy = self.volatile.records[id].published.healthy;
        let Some(check) = self.volatile.checks.get_mut(&id) else { return };
        check.running = None;
        let flip = match outcome {
            ProbeOutcome::Healthy => {
                check.failed = 0;
                check.ok = if healthy { 0 } else { check.ok + 1 };
                check.adapt(u64::from(took_ms), params);
                check.ok >= times
            }
            ProbeOutcome::Soft(_) | ProbeOutcome::TimedOut => {
                check.ok = 0;
                check.failed = if healthy { check.failed + 1 } else { 0 };
                let took = if *outcome == ProbeOutcome::TimedOut { check.interval * 2 } else { u64::from(params.max) };
                check.adapt(took, params);
                check.failed >= times
            }
            ProbeOutcome::Hard(_) => {
                (check.ok, check.failed) = (0, 0);
                check.adapt(u64::from(params.max), params);
                true
            }
        };
        let wanted = *outcome == ProbeOutcome::Healthy;
        if flip && wanted != healthy && check.proposed.is_none_or(|at| mono >= at + AGAIN) {
            check.proposed = Some(mono);
            self.want_flip(id, wanted);
        }
    }

    fn want_flip(&mut self, id: u32, healthy: bool) {
        let record = &self.volatile.records[id];
        let service = &self.volatile.services[record.service].key;
        if !self.durable.switches.checks(&service.grouped()) {
            return;
        }
        self.volatile.flips.insert((service.clone(), record.published.key.clone()), healthy);
        let due = self.volatile.now.mono + GATHER;
        self.volatile.flips_due.get_or_insert(due);
    }

    /// Commands with the changes of health that were gathered, if they are due.
    pub(super) fn take_flips(&mut self) -> Vec<Command> {
        if self.volatile.flips_due.is_none_or(|due| due > self.volatile.now.mono) {
            return Vec::new();
        }
        self.volatile.flips_due = None;
        let flips: Vec<HealthFlip> = mem::take(&mut self.volatile.flips)
            .into_iter()
            .map(|((service, key), healthy)| HealthFlip { service, key, healthy })
            .collect();
        flips.chunks(BATCH).map(|batch| Command::FlipHealth(batch.to_vec())).collect()
    }

    /// The health of a record was changed by the log.
    pub(super) fn flipped(&mut self, id: u32) {
        if let Some(check) = self.volatile.checks.get_mut(&id) {
            (check.ok, check.failed, check.proposed) = (0, 0, None);
        }
    }

    fn cluster_of(&self, record: &Record) -> ClusterMetadata {
        let service = &self.volatile.services[record.service].key;
        let metadata = self.durable.services.get(service);
        metadata.and_then(|m| m.clusters.get(&record.published.key.cluster)).cloned().unwrap_or_default()
    }

    fn target(&self, record: &Record) -> Option<ProbeTarget> {
        debug_assert!(record.liveness == Liveness::Checked, "only persistent records are probed");
        let cluster = self.cluster_of(record);
        let ip = record.published.key.ip.clone();
        let port = if cluster.use_instance_port { record.published.key.port } else { cluster.check_port };
        match cluster.checker {
            HealthChecker::Tcp => Some(ProbeTarget::Tcp { ip, port }),
            HealthChecker::Http { path, headers, .. } => Some(ProbeTarget::Http { ip, port, path, headers }),
            HealthChecker::Mysql { user, pwd, cmd } => Some(ProbeTarget::Mysql { ip, port, user, pwd, cmd }),
            HealthChecker::None => None,
        }
    }

    fn params(&self, id: u32) -> CheckParams {
        let switches = &self.durable.switches;
        match self.cluster_of(&self.volatile.records[id]).checker {
            HealthChecker::Http { .. } => switches.http_health_params,
            HealthChecker::Mysql { .. } => switches.mysql_health_params,
            HealthChecker::Tcp | HealthChecker::None => switches.tcp_health_params,
        }
    }
}

impl Check {
    /// The interval after a probe that took `took` milliseconds.
    fn adapt(&mut self, took: u64, params: CheckParams) {
        let factor = f64::from(params.factor);
        let next = (factor * self.interval as f64 + (1.0 - factor) * took as f64) as u64;
        self.interval = next.min(u64::from(params.max)).max(u64::from(params.min));
    }
}
