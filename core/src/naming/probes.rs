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
/// Shortest interval, whatever the switches say.
const LEAST: u64 = 100;
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
        self.volatile.checks.insert(
            id,
            Check {
                interval,
                ..Check::default()
            },
        );
        self.volatile.arm_record(id, self.mono() + interval);
    }

    /// A persistent record goes.
    pub(super) fn end_checks(&mut self, id: u32) {
        let Some(check) = self.volatile.checks.remove(&id) else {
            return;
        };
        if let Some((probe, _)) = check.running {
            self.volatile.probes.remove(&probe);
            self.volatile.wanted.retain(|(p, _)| *p != probe);
        }
        let record = &self.volatile.records[id];
        let flip = (
            self.volatile.services[record.service].key.clone(),
            record.published.key.clone(),
        );
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
        let Some(check) = self.volatile.checks.get_mut(&id) else {
            return;
        };
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
        let next = now + check.interval.max(LEAST);
        self.volatile.arm_record(id, next);
    }

    /// A probe ended after `took_ms`; one that is not known any more is left alone.
    pub fn probed(&mut self, probe: u64, outcome: &ProbeOutcome, took_ms: u32, now: Now) {
        self.at(now);
        let mono = self.mono();
        let Some(id) = self.volatile.probes.remove(&probe) else {
            return;
        };
        let params = self.params(id);
        let times = self.durable.switches.check_times;
        let healthy = self.volatile.records[id].published.healthy;
        let Some(check) = self.volatile.checks.get_mut(&id) else {
            return;
        };
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
                let took = if *outcome == ProbeOutcome::TimedOut {
                    check.interval * 2
                } else {
                    u64::from(params.max)
                };
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
        self.volatile
            .flips
            .insert((service.clone(), record.published.key.clone()), healthy);
        let due = self.volatile.now.mono + GATHER;
        self.volatile.flips_due.get_or_insert(due);
    }

    /// Commands with the changes of health that were gathered, if they are due.
    pub(super) fn take_flips(&mut self) -> Vec<Command> {
        if self
            .volatile
            .flips_due
            .is_none_or(|due| due > self.volatile.now.mono)
        {
            return Vec::new();
        }
        self.volatile.flips_due = None;
        let flips: Vec<HealthFlip> = mem::take(&mut self.volatile.flips)
            .into_iter()
            .map(|((service, key), healthy)| HealthFlip {
                service,
                key,
                healthy,
            })
            .collect();
        flips
            .chunks(BATCH)
            .map(|batch| Command::FlipHealth(batch.to_vec()))
            .collect()
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
        metadata
            .and_then(|m| m.clusters.get(&record.published.key.cluster))
            .cloned()
            .unwrap_or_default()
    }

    fn target(&self, record: &Record) -> Option<ProbeTarget> {
        debug_assert!(
            record.liveness == Liveness::Checked,
            "only persistent records are probed"
        );
        let cluster = self.cluster_of(record);
        let ip = record.published.key.ip.clone();
        let port = if cluster.use_instance_port {
            record.published.key.port
        } else {
            cluster.check_port
        };
        match cluster.checker {
            HealthChecker::Tcp => Some(ProbeTarget::Tcp { ip, port }),
            HealthChecker::Http { path, headers, .. } => Some(ProbeTarget::Http {
                ip,
                port,
                path,
                headers,
            }),
            HealthChecker::Mysql { user, pwd, cmd } => Some(ProbeTarget::Mysql {
                ip,
                port,
                user,
                pwd,
                cmd,
            }),
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

#[cfg(test)]
mod tests {
    use alloc::{sync::Arc, vec::Vec};

    use super::{
        super::trial::{Trial, instance, key, service},
        *,
    };
    use crate::{model::Instance, node::op::Op};

    fn persistent(n: u8) -> Instance {
        Instance {
            ephemeral: false,
            ..instance(n)
        }
    }

    fn one() -> Trial {
        let mut trial = Trial::new();
        trial.register("s", persistent(1)).unwrap();
        trial
    }

    fn soft() -> ProbeOutcome {
        ProbeOutcome::Soft("503".into())
    }

    /// Waits for a probe, which comes within 20 s.
    fn next(trial: &mut Trial) -> (u64, ProbeTarget) {
        for _ in 0..2_000 {
            if let Some(probe) = trial.naming.take_probes().pop() {
                return probe;
            }
            trial.pass(10);
        }
        panic!("no probe");
    }

    /// The next probe ends so; then what it changed is proposed and applied.
    fn ends(trial: &mut Trial, outcome: &ProbeOutcome) {
        let (probe, _) = next(trial);
        trial.naming.probed(probe, outcome, 20, trial.now);
        trial.settle();
        trial.pass(GATHER);
    }

    fn flips(trial: &Trial) -> usize {
        trial
            .commands
            .iter()
            .filter(|c| matches!(c, Command::FlipHealth(_)))
            .count()
    }

    #[test]
    fn three_soft_failures_in_a_row_flip_and_three_successes_flip_back() {
        let mut trial = one();
        for outcome in [
            soft(),
            soft(),
            ProbeOutcome::Healthy,
            soft(),
            ProbeOutcome::TimedOut,
        ] {
            ends(&mut trial, &outcome);
            assert_eq!(trial.health("s", 1), Some(true));
        }
        ends(&mut trial, &soft());
        assert_eq!((trial.health("s", 1), flips(&trial)), (Some(false), 1));
        for outcome in [
            ProbeOutcome::Healthy,
            ProbeOutcome::Healthy,
            soft(),
            ProbeOutcome::Healthy,
            ProbeOutcome::Healthy,
        ] {
            ends(&mut trial, &outcome);
            assert_eq!(trial.health("s", 1), Some(false));
        }
        ends(&mut trial, &ProbeOutcome::Healthy);
        assert_eq!((trial.health("s", 1), flips(&trial)), (Some(true), 2));
    }

    #[test]
    fn a_hard_failure_flips_at_once() {
        let mut trial = one();
        ends(&mut trial, &ProbeOutcome::Hard("refused".into()));
        assert_eq!(trial.health("s", 1), Some(false));
        assert_eq!(trial.rows.len(), 1);
        assert_eq!(
            trial.started_again().health("s", 1),
            Some(false),
            "and that is durable"
        );
    }

    #[test]
    fn the_number_of_times_is_a_switch() {
        let mut trial = one();
        trial.switch("healthCheckTimes", "1").unwrap();
        ends(&mut trial, &soft());
        assert_eq!(trial.health("s", 1), Some(false));
    }

    #[test]
    fn flips_of_many_are_one_command() {
        let mut trial = Trial::new();
        for n in 1..=20 {
            trial.register("s", persistent(n)).unwrap();
        }
        let mut probes = Vec::new();
        while probes.len() < 20 {
            trial.pass(10);
            probes.extend(
                trial
                    .naming
                    .take_probes()
                    .into_iter()
                    .map(|(probe, _)| probe),
            );
        }
        for probe in probes {
            trial
                .naming
                .probed(probe, &ProbeOutcome::Hard("refused".into()), 1, trial.now);
        }
        trial.pass(GATHER);
        assert_eq!(flips(&trial), 1);
        assert!((1..=20).all(|n| trial.health("s", n) == Some(false)));
    }

    #[test]
    fn a_flip_that_was_not_committed_is_proposed_again() {
        let mut trial = one();
        trial.leads = false;
        ends(&mut trial, &ProbeOutcome::Hard("refused".into()));
        assert_eq!(trial.health("s", 1), Some(true));
        trial.leads = true;
        trial.pass(AGAIN);
        ends(&mut trial, &ProbeOutcome::Hard("refused".into()));
        assert_eq!(trial.health("s", 1), Some(false));
    }

    #[test]
    fn first_probes_are_spread_and_come_between_2_and_7_s() {
        let mut trial = Trial::new();
        let start = trial.now.mono;
        for n in 1..=200 {
            trial.register("s", persistent(n)).unwrap();
        }
        let mut firsts = Vec::new();
        while firsts.len() < 200 {
            trial.pass(1);
            for _ in trial.naming.take_probes() {
                firsts.push(trial.now.mono - start);
            }
        }
        assert!(firsts.iter().all(|at| (2_000..7_000).contains(at)));
        firsts.dedup();
        assert!(firsts.len() > 100, "{firsts:?}");
    }

    #[test]
    fn the_interval_adapts_within_its_bounds() {
        let tcp = super::super::Switches::default().tcp_health_params;
        let mut check = Check {
            interval: 4_000,
            ..Check::default()
        };
        check.adapt(100, tcp);
        assert_eq!(check.interval, 3_025, "0.75 · 4000 + 0.25 · 100");
        for _ in 0..50 {
            check.adapt(1, tcp);
        }
        assert_eq!(check.interval, 1_000);
        for _ in 0..50 {
            check.adapt(check.interval * 2, tcp);
        }
        assert_eq!(check.interval, 5_000);
    }

    #[test]
    fn a_probe_that_runs_is_not_doubled_and_a_lost_one_is_replaced() {
        let mut trial = one();
        let (first, _) = next(&mut trial);
        trial.pass(LOST - 5_000);
        assert!(trial.naming.take_probes().is_empty());
        trial.pass(15_000);
        let (second, _) = trial.naming.take_probes().pop().expect("it is given up");
        assert!(second > first);
        trial
            .naming
            .probed(first, &ProbeOutcome::Hard("late".into()), 1, trial.now);
        trial.pass(GATHER);
        assert_eq!(
            trial.health("s", 1),
            Some(true),
            "a late outcome counts for nothing"
        );
    }

    #[test]
    fn an_outcome_after_the_instance_went_counts_for_nothing() {
        let mut trial = one();
        let (probe, _) = next(&mut trial);
        trial
            .http(Op::Deregister {
                service: service("s"),
                key: key(1),
                ephemeral: false,
            })
            .unwrap();
        trial.register("s", persistent(2)).unwrap();
        trial
            .naming
            .probed(probe, &ProbeOutcome::Hard("refused".into()), 1, trial.now);
        trial.pass(GATHER);
        assert_eq!(
            (trial.health("s", 1), trial.health("s", 2), flips(&trial)),
            (None, Some(true), 0)
        );
    }

    #[test]
    fn the_cluster_says_what_is_probed() {
        let mut trial = one();
        let ip: Arc<str> = Arc::from("10.0.0.1");
        assert_eq!(
            next(&mut trial).1,
            ProbeTarget::Tcp {
                ip: ip.clone(),
                port: 80
            }
        );
        let describe = |trial: &mut Trial, checker, use_instance_port| {
            let metadata = ClusterMetadata {
                check_port: 81,
                use_instance_port,
                checker,
                ..ClusterMetadata::default()
            };
            trial
                .http(Op::UpdateCluster {
                    service: service("s"),
                    cluster: Arc::from("DEFAULT"),
                    metadata,
                })
                .unwrap();
            trial.pass(LOST);
            next(trial).1
        };
        let (path, headers): (Arc<str>, Arc<str>) = (Arc::from("/up"), Arc::from("a:b"));
        let http = HealthChecker::Http {
            path: path.clone(),
            headers: headers.clone(),
            expected_code: 200,
        };
        assert_eq!(
            describe(&mut trial, http, false),
            ProbeTarget::Http {
                ip: ip.clone(),
                port: 81,
                path,
                headers
            }
        );
        let (user, pwd, cmd): (Arc<str>, Arc<str>, Arc<str>) =
            (Arc::from("u"), Arc::from("p"), Arc::from("c"));
        let mysql = HealthChecker::Mysql {
            user: user.clone(),
            pwd: pwd.clone(),
            cmd: cmd.clone(),
        };
        assert_eq!(
            describe(&mut trial, mysql, true),
            ProbeTarget::Mysql {
                ip,
                port: 80,
                user,
                pwd,
                cmd
            }
        );
    }

    #[test]
    fn the_switch_stops_probes_and_flips() {
        let mut trial = one();
        let (probe, _) = next(&mut trial);
        trial.switch("check", "false").unwrap();
        trial
            .naming
            .probed(probe, &ProbeOutcome::Hard("refused".into()), 1, trial.now);
        trial.pass(60_000);
        assert!(trial.naming.take_probes().is_empty());
        assert_eq!(trial.health("s", 1), Some(true));
        trial.switch("check", "true").unwrap();
        next(&mut trial);
    }
}
