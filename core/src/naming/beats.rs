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
    pub(super) fn beat(&mut self, service: &ServiceKey, key: &InstanceKey, full: Option<Box<Instance>>) -> Answered {
        let id = self.service_id(service);
        if id.is_some_and(|id| !self.volatile.services[id].ephemeral) {
            return Err(Refusal::OtherKind { service: service.clone(), persistent: true });
        }
        let known = self.beaten(id, key);
        let record = match (known, full) {
            (Some(record), _) => {
                self.take_beat(record);
                record
            }
            (None, Some(full)) => {
                let instance = Instance { ephemeral: true, healthy: true, ..*full };
                let address = Address { ip: instance.key.ip.clone(), port: instance.key.port, ephemeral: true };
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
        let client = self.client_at(&Address { ip: key.ip.clone(), port: key.port, ephemeral: true })?;
        self.published_by(client, service?).next()
    }

    fn take_beat(&mut self, id: u32) {
        let now = self.volatile.now;
        let record = &mut self.volatile.records[id];
        record.beat = now.mono;
        let (client, healthy) = (record.client, record.published.healthy);
        self.volatile.clients[client].updated = now.wall;
        if !healthy {
            self.set_health(id, true);
            self.arm_beat(id);
        }
    }

    fn beat_answer(&self, record: Option<u32>, known: bool) -> Reply {
        let switches = &self.durable.switches;
        let asked = record.map(|id| &self.volatile.records[id].shown.metadata).and_then(|metadata| {
            // Only what is said counts here, not the default of the instance.
            metadata.get(BeatTimes::INTERVAL).map(|_| BeatTimes::of(metadata).interval)
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
        let last = record.beat.max(self.volatile.floor);
        let after = |silence: u64| last.saturating_add(silence).saturating_add(1);
        if record.published.healthy { after(times.timeout.min(times.delete)) } else { after(times.delete) }
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
        let off = |metadata: &Metadata| metadata.get(ENABLE_CLIENT_BEAT).is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let record = &self.volatile.records[id];
        let service = &self.volatile.services[record.service].key;
        !self.durable.switches.health_check_enabled
            || self.durable.services.get(service).is_some_and(|m| off(&m.extend))
            || off(&record.shown.metadata)
    }
}
