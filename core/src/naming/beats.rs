//! Beats: HTTP clients stay alive by them, and silence makes their instances unhealthy and then removes them.
//!
//! A beat only stores a time. The timer of a record is set for the earliest moment at which something could be
//! due; when it fires too early it is set again.

use alloc::{boxed::Box, vec};

use super::{
    Naming,
    state::{Address, Liveness},
};
use crate::{
    model::{BeatTimes, Instance, InstanceKey, Metadata, ServiceKey},
    node::{
        input::Now,
        reply::{Answered, Refusal, Reply},
    },
};

/// Metadata key that switches the checks of an instance or service off when it is `true`; the name says the contrary
/// (Nacos `InstanceEnableBeatCheckInterceptor`).
const ENABLE_CLIENT_BEAT: &str = "enableClientBeat";
/// How often a record is looked at again whose checks are switched off.
const GATED: u64 = 5_000;

impl Naming {
    /// A heartbeat over HTTP.
    pub(super) fn beat(
        &mut self,
        service: &ServiceKey,
        key: &InstanceKey,
        full: Option<Box<Instance>>,
    ) -> Answered {
        let id = self.service_id(service);
        if id.is_some_and(|id| !self.volatile.services[id].ephemeral) {
            return Err(Refusal::OtherKind {
                service: service.clone(),
                persistent: true,
            });
        }
        let known = self.beaten(id, key);
        let record = match (known, full) {
            (Some(record), _) => {
                self.take_beat(record);
                record
            }
            (None, Some(full)) => {
                let instance = Instance {
                    ephemeral: true,
                    healthy: true,
                    ..*full
                };
                let address = Address::of_beats(&instance.key);
                if self.overtaken(service, &address) {
                    // As if it had come in time: it was taken, and then its instance went.
                    return Ok(self.beat_answer(None, true));
                }
                self.register_ephemeral(None, address, service, vec![instance])?;
                match self.beaten(self.service_id(service), key) {
                    Some(record) => record,
                    None => return Ok(self.beat_answer(None, false)),
                }
            }
            (None, None) => return Ok(self.beat_answer(None, false)),
        };
        Ok(self.beat_answer(Some(record), true))
    }

    /// The record that a beat is for: that of its `ip:port`, whatever cluster the beat names.
    fn beaten(&self, service: Option<u32>, key: &InstanceKey) -> Option<u32> {
        let client = self.client_at(&Address::of_beats(key))?;
        self.published_by(client, service?).next()
    }

    /// Whether a beat may have been under way when its address withdrew.
    fn overtaken(&self, service: &ServiceKey, address: &Address) -> bool {
        self.volatile
            .marks
            .withdrew_lately(service, address, self.mono())
            && !crate::planted!(LateBeatRegisters)
    }

    fn take_beat(&mut self, id: u32) {
        let now = self.volatile.now;
        let record = &mut self.volatile.records[id];
        record.beat = now.mono;
        let (client, healthy) = (record.client, record.published.healthy);
        self.volatile.clients[client].updated = now.wall;
        if !healthy && !crate::planted!(BeatDoesNotRevive) {
            self.set_health(id, true);
            self.arm_beat(id);
        }
    }

    fn beat_answer(&self, record: Option<u32>, known: bool) -> Reply {
        let switches = &self.durable.switches;
        let asked = record
            .map(|id| &self.volatile.records[id].shown.metadata)
            .and_then(|metadata| {
                // Only what is said counts here, not the default of the instance.
                metadata
                    .get(BeatTimes::INTERVAL)
                    .map(|_| BeatTimes::of(metadata).interval)
            });
        Reply::Beat {
            interval: asked.unwrap_or(switches.client_beat_interval),
            known,
            light: switches.light_beat_enabled,
        }
    }

    /// All beat clocks start again now: a pause was lateness, not silence.
    pub fn beats_start_again(&mut self, now: Now) {
        self.at(now);
        if crate::planted!(PauseCountsAsSilence) {
            return;
        }
        self.volatile.floor = self.mono();
    }

    /// While requests are refused as "busy" nobody's silence counts; when that ends, all clocks start again.
    pub fn overloaded(&mut self, busy: bool, now: Now) {
        self.at(now);
        if self.volatile.busy && !busy {
            self.volatile.floor = self.mono();
        }
        self.volatile.busy = busy;
    }

    /// Sets a record's timer for what can be due next; records that need no beats have none.
    pub(super) fn arm_beat(&mut self, id: u32) {
        if self.volatile.records[id].liveness == Liveness::Beats {
            let due = self.beat_due(id);
            self.volatile.arm_record(id, due);
        }
    }

    /// When silence will change something: strictly later than the time-out.
    fn beat_due(&self, id: u32) -> u64 {
        let record = &self.volatile.records[id];
        let times = BeatTimes::of(&record.shown.metadata);
        let mut last = record.beat.max(self.volatile.floor);
        if crate::planted!(ExpiresLate) {
            last += 1_000;
        }
        let after = |silence: u64| last.saturating_add(silence).saturating_add(1);
        if record.published.healthy {
            after(times.timeout.min(times.delete))
        } else {
            after(times.delete)
        }
    }

    /// A record's timer fired.
    pub(super) fn check_beat(&mut self, id: u32) {
        let now = self.mono();
        self.volatile.records[id].armed = 0;
        let metadata = &self.volatile.records[id].shown.metadata;
        let times = BeatTimes::of(metadata);
        if self.volatile.busy {
            // Its clock will start again when the overload ends.
            let again = times.timeout.min(times.delete).clamp(1, GATED);
            self.volatile.arm_record(id, now + again);
        } else if self.beats_unchecked(id) {
            self.volatile.arm_record(id, now + GATED);
        } else if self.beat_due(id) > now {
            self.arm_beat(id);
        } else if now - self.volatile.records[id].beat.max(self.volatile.floor) > times.delete {
            self.withdraw(id);
        } else {
            self.set_health(id, false);
            self.arm_beat(id);
        }
    }

    fn beats_unchecked(&self, id: u32) -> bool {
        let off = |metadata: &Metadata| {
            metadata
                .get(ENABLE_CLIENT_BEAT)
                .is_some_and(|v| v.eq_ignore_ascii_case("true"))
        };
        let record = &self.volatile.records[id];
        let service = &self.volatile.services[record.service].key;
        !self.durable.switches.health_check_enabled
            || self
                .durable
                .services
                .get(service)
                .is_some_and(|m| off(&m.extend))
            || off(&record.shown.metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::trial::{Trial, instance, interval, key, known, names, pairs, service},
        *,
    };
    use crate::{
        log::Command,
        model::{OperatorMetadata, ServiceMetadata, Weight},
        node::op::Op,
    };

    fn one() -> Trial {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        trial
    }

    fn with(metadata: &[(&str, &str)]) -> Instance {
        Instance {
            metadata: pairs(metadata),
            ..instance(1)
        }
    }

    #[test]
    fn silence_makes_unhealthy_just_after_15_s_and_removes_just_after_30_s() {
        let mut trial = one();
        trial.pass(15_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(1);
        assert_eq!(trial.health("s", 1), Some(false));
        trial.pass(14_999);
        assert_eq!(trial.health("s", 1), Some(false));
        trial.pass(1);
        assert_eq!(trial.health("s", 1), None);
        assert!(trial.naming.clients().is_empty());
        trial.pass(60_000);
        assert!(trial.is_blank());
    }

    #[test]
    fn a_steady_beat_keeps_alive_and_changes_nothing() {
        let mut trial = one();
        let told = trial.changes.len();
        for _ in 0..100 {
            trial.pass(5_000);
            assert!(known(&trial.beat("s", 1)));
        }
        assert_eq!(names(&trial.changes[told..]), [""; 0]);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(15_001);
        assert_eq!(
            trial.health("s", 1),
            Some(false),
            "its clock runs from the last beat"
        );
    }

    #[test]
    fn a_beat_revives() {
        let mut trial = one();
        trial.pass(29_000);
        assert_eq!(trial.health("s", 1), Some(false));
        assert!(known(&trial.beat("s", 1)));
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(15_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(1);
        assert_eq!(trial.health("s", 1), Some(false));
        trial.pass(15_000);
        assert_eq!(trial.health("s", 1), None);
    }

    #[test]
    fn an_unknown_instance_is_registered_by_a_full_beat_only() {
        let mut trial = Trial::new();
        assert!(!known(&trial.beat("s", 1)));
        assert!(
            trial.view.is_empty() && trial.naming.clients().is_empty(),
            "a light beat leaves nothing"
        );
        assert!(known(&trial.full_beat("s", 1)));
        assert_eq!(trial.health("s", 1), Some(true));
        assert!(known(&trial.beat("s", 1)));
        assert!(!known(&trial.beat("s", 2)) && !known(&trial.beat("t", 1)));
    }

    #[test]
    fn a_beat_undoes_neither_published_metadata_nor_operators_words() {
        let mut trial = Trial::new();
        trial.register("s", with(&[("v", "1")])).unwrap();
        let (service, key) = (service("s"), key(1));
        let (weight, metadata) = (Weight::new(7.0).unwrap(), pairs(&[("w", "2")]));
        trial
            .http(Op::UpdateInstance {
                service,
                key,
                weight,
                enabled: false,
                metadata,
                ephemeral: true,
            })
            .unwrap();
        trial.pass(20_000);
        trial.full_beat("s", 1).unwrap();
        let seen = trial.seen("s", 1).unwrap();
        assert_eq!(
            (seen.healthy, seen.enabled, seen.weight.get()),
            (true, false, 7.0)
        );
        assert_eq!(seen.metadata, pairs(&[("v", "1"), ("w", "2")]));
    }

    #[test]
    fn the_interval_is_the_metadata_or_else_the_switch() {
        let mut trial = one();
        assert_eq!(interval(&trial.beat("s", 1)), 5_000);
        trial.switch("clientBeatInterval", "7000").unwrap();
        assert_eq!(interval(&trial.beat("s", 1)), 7_000);
        trial
            .register("s", with(&[(BeatTimes::INTERVAL, "3000")]))
            .unwrap();
        assert_eq!(interval(&trial.beat("s", 1)), 3_000);
        trial.switch("lightBeatEnabled", "false").unwrap();
        assert_eq!(
            trial.beat("s", 1),
            Ok(Reply::Beat {
                interval: 3_000,
                known: true,
                light: false
            })
        );
        assert_eq!(
            trial.beat("s", 2),
            Ok(Reply::Beat {
                interval: 7_000,
                known: false,
                light: false
            })
        );
    }

    #[test]
    fn times_are_the_operators_then_the_published_then_the_default() {
        let mut trial = Trial::new();
        trial
            .register(
                "s",
                with(&[(BeatTimes::TIMEOUT, "6000"), (BeatTimes::DELETE, "8000")]),
            )
            .unwrap();
        let extend = pairs(&[(BeatTimes::TIMEOUT, "10000"), (BeatTimes::DELETE, "12000")]);
        let words = OperatorMetadata {
            enabled: true,
            extend,
            ..OperatorMetadata::default()
        };
        trial
            .apply(Command::PutOperator {
                service: service("s"),
                key: key(1),
                metadata: words,
            })
            .unwrap();
        trial.settle();
        trial.pass(10_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(1);
        assert_eq!(trial.health("s", 1), Some(false));
        trial.pass(2_000);
        assert_eq!(trial.health("s", 1), None);
        trial
            .register(
                "t",
                with(&[(BeatTimes::TIMEOUT, "6 s"), (BeatTimes::DELETE, "x")]),
            )
            .unwrap();
        trial.pass(15_000);
        assert_eq!(trial.health("t", 1), Some(true), "no number is the default");
    }

    #[test]
    fn shorter_times_set_later_count_at_once() {
        let mut trial = one();
        let metadata = Some(pairs(&[
            (BeatTimes::TIMEOUT, "6000"),
            (BeatTimes::DELETE, "7000"),
        ]));
        let patch = Op::PatchInstance {
            service: service("s"),
            key: key(1),
            weight: None,
            enabled: None,
            metadata,
        };
        trial.http(patch).unwrap();
        trial.pass(6_001);
        assert_eq!(trial.health("s", 1), Some(false));
        trial.pass(1_000);
        assert_eq!(trial.health("s", 1), None);
    }

    #[test]
    fn a_removal_before_the_time_out_removes_a_healthy_one() {
        let mut trial = Trial::new();
        trial
            .register("s", with(&[(BeatTimes::DELETE, "6000")]))
            .unwrap();
        trial.pass(6_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(1);
        assert_eq!(trial.health("s", 1), None);
    }

    #[test]
    fn enable_client_beat_switches_the_checks_off() {
        let mut trial = Trial::new();
        trial
            .register("s", with(&[("enableClientBeat", "true")]))
            .unwrap();
        trial.register("t", instance(1)).unwrap();
        let extend = pairs(&[("enableClientBeat", "true")]);
        let metadata = ServiceMetadata {
            extend,
            ..ServiceMetadata::default()
        };
        trial
            .http(Op::UpdateService {
                service: service("t"),
                metadata,
            })
            .unwrap();
        trial
            .register("u", with(&[("enableClientBeat", "false")]))
            .unwrap();
        trial.pass(120_000);
        assert_eq!(
            (
                trial.health("s", 1),
                trial.health("t", 1),
                trial.health("u", 1)
            ),
            (Some(true), Some(true), None)
        );
        trial
            .http(Op::UpdateService {
                service: service("t"),
                metadata: ServiceMetadata::default(),
            })
            .unwrap();
        trial.pass(5_000);
        assert_eq!(trial.health("t", 1), None, "and on again");
    }

    #[test]
    fn the_switch_stops_all_checks_of_beats() {
        let mut trial = one();
        trial.switch("check", "false").unwrap();
        trial.pass(300_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.beat("s", 1).unwrap();
        trial.switch("check", "true").unwrap();
        trial.pass(15_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(5_001);
        assert_eq!(trial.health("s", 1), Some(false));
    }

    #[test]
    fn a_pause_is_lateness_and_not_silence() {
        let mut trial = one();
        trial.pass(10_000);
        // Stopped for 60 s: the node tells it before the tick.
        trial.now.mono += 60_000;
        trial.naming.beats_start_again(trial.now);
        trial.pass(15_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(1);
        assert_eq!(trial.health("s", 1), Some(false));
        trial.pass(15_000);
        assert_eq!(trial.health("s", 1), None);
    }

    #[test]
    fn nobody_expires_in_an_overload_and_one_time_out_after() {
        let mut trial = one();
        trial.pass(10_000);
        trial.naming.overloaded(true, trial.now);
        trial.pass(60_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.naming.overloaded(false, trial.now);
        trial.pass(15_000);
        assert_eq!(trial.health("s", 1), Some(true));
        trial.pass(1);
        assert_eq!(trial.health("s", 1), Some(false));
        trial.pass(15_000);
        assert_eq!(trial.health("s", 1), None);
    }

    #[test]
    fn connections_need_no_beats() {
        let mut trial = Trial::new();
        trial.connect(1);
        trial
            .grpc(
                1,
                Op::Register {
                    service: service("s"),
                    instance: Instance {
                        healthy: false,
                        ..instance(1)
                    },
                },
            )
            .unwrap();
        trial.pass(600_000);
        assert_eq!(
            trial.health("s", 1),
            Some(false),
            "and what they say of their health is final"
        );
        assert!(
            !known(&trial.beat("s", 1)),
            "the client of the address is another one"
        );
        trial.disconnect(1);
        assert_eq!(trial.health("s", 1), None);
    }

    #[test]
    fn a_beat_of_the_other_kind_is_refused() {
        let mut trial = Trial::new();
        trial
            .register(
                "s",
                Instance {
                    ephemeral: false,
                    ..instance(1)
                },
            )
            .unwrap();
        let refused = Err(Refusal::OtherKind {
            service: service("s"),
            persistent: true,
        });
        assert_eq!(
            (trial.beat("s", 1), trial.full_beat("s", 2)),
            (refused.clone(), refused)
        );
    }

    #[test]
    fn a_beat_that_names_another_cluster_is_for_its_address() {
        let mut trial = one();
        trial.pass(20_000);
        let key = InstanceKey::new("10.0.0.1", 80, "other");
        assert!(known(&trial.http(Op::Beat {
            service: service("s"),
            key,
            full: None
        })));
        assert_eq!(trial.health("s", 1), Some(true));
    }
}
