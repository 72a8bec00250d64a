//! Pushes to gRPC connections: one wave of a number for all recipients of the same bytes, acknowledgements, time-outs
//! and repeats.
//!
//! For each connection and topic at most one push is under way or waits; the newest wins, because a push says only
//! what is to be sent and the host renders it from the newest view. Between two pushes of one config to one connection
//! there is a gap: an acknowledged push rests until it is over. Not here: who the recipients are.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{Due, Push, subscribers::ServiceId, timers::TimerKey};
use crate::{
    model::{ConfigKey, ServiceKey},
    node::{
        input::{AckOutcome, ConnId, Now},
        output::{NameForm, Output, PushBody, RenderClass},
    },
};

/// What a push is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Topic {
    /// The instances of a service. First, and so the least: ranges of a connection's topics start here.
    Service(ServiceId),
    /// A config; and whether the listener spells the default namespace as nothing.
    Config(ConfigKey, bool),
    /// A service came or went.
    FuzzyService(ServiceKey),
    /// A config changed or went.
    FuzzyConfig(ConfigKey),
    /// The dialogue of a fuzzy watch: of configs (or services), by its pattern.
    Sync(bool, Arc<str>),
}

/// One topic of one connection, while there is something to send or to wait for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    phase: Phase,
    /// Transmissions since the last change or success.
    attempt: u32,
    /// When the change came that is under way, monotonic milliseconds.
    changed: u64,
    /// When a further change came while a push was under way.
    dirty: Option<u64>,
    /// Fuzzy topics: whether it exists.
    exists: bool,
    /// No transmission before this: the gap since the last one, monotonic milliseconds.
    free: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// It leaves when the timer fires (or a further change comes).
    Waiting(TimerKey),
    /// It is under way in this wave.
    Sent(u64),
    /// This wave is acknowledged; it is remembered while the gap after it lasts.
    Rested(u64),
}

/// A push that was sent and not yet acknowledged by all, or after which the gap is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wave {
    topic: Topic,
    conns: Vec<ConnId>,
    /// How many of them are awaited.
    open: usize,
    /// When the gap after it is over, if there is one.
    free: Option<u64>,
    timer: TimerKey,
}

/// All that is under way or waits, to gRPC connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Flights {
    pending: BTreeMap<(ConnId, Topic), Pending>,
    waves: BTreeMap<u64, Wave>,
}

impl Flights {
    /// Whether a topic of a connection waits for its time.
    pub(super) fn waits(&self, conn: ConnId, topic: &Topic) -> bool {
        let pending = self.pending.get(&(conn, topic.clone()));
        pending.is_some_and(|p| matches!(p.phase, Phase::Waiting(_)))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.waves.is_empty()
    }
}

/// Recipients by what their bytes depend on: cluster filter, consumer, whether it exists, whether policies are wanted.
type Classes = BTreeMap<(Arc<str>, Arc<str>, bool, bool), Vec<ConnId>>;

impl Push {
    /// Sends a topic to connections, at once to those to which nothing of it is under way and no gap lasts. `exists`
    /// matters to fuzzy topics only.
    pub(super) fn offer(
        &mut self,
        conns: impl IntoIterator<Item = ConnId>,
        topic: &Topic,
        exists: bool,
        changed: u64,
        now: u64,
    ) {
        let mut ready = Vec::new();
        for conn in conns {
            let slot = (conn, topic.clone());
            if let Some(pending) = self.flights.pending.get_mut(&slot) {
                pending.exists = exists;
                match pending.phase {
                    Phase::Sent(_) => {
                        if !crate::planted!(DirtyIsForgotten) {
                            pending.dirty.get_or_insert(changed);
                        }
                        continue;
                    }
                    Phase::Waiting(timer) => {
                        self.timers.cancel(timer);
                        pending.changed = pending.changed.min(changed);
                    }
                    Phase::Rested(_) => pending.changed = changed,
                }
                pending.attempt = 0;
                if pending.free > now {
                    let due = Due::Pending(conn, topic.clone());
                    pending.phase = Phase::Waiting(self.timers.set(pending.free, due));
                    continue;
                }
            } else {
                let pending = Pending {
                    phase: Phase::Sent(0),
                    attempt: 0,
                    changed,
                    dirty: None,
                    exists,
                    free: 0,
                };
                self.flights.pending.insert(slot, pending);
            }
            ready.push(conn);
        }
        self.launch(ready, topic, now);
    }

    /// Lets a topic wait for one connection, unless something of it is under way or waits already.
    pub(super) fn offer_later(&mut self, conn: ConnId, topic: Topic, at: u64) {
        let timers = &mut self.timers;
        self.flights
            .pending
            .entry((conn, topic))
            .or_insert_with_key(|(conn, topic)| Pending {
                phase: Phase::Waiting(timers.set(at, Due::Pending(*conn, topic.clone()))),
                attempt: 0,
                changed: at,
                dirty: None,
                exists: true,
                free: 0,
            });
    }

    /// Sends a topic to connections that have it pending and whose timers are neither set nor needed.
    pub(super) fn launch(&mut self, conns: Vec<ConnId>, topic: &Topic, now: u64) {
        let mut classes = Classes::new();
        for conn in conns {
            let exists = self
                .flights
                .pending
                .get(&(conn, topic.clone()))
                .is_some_and(|p| p.exists);
            match self.class(conn, topic) {
                Some((clusters, consumer)) => {
                    let policies = matches!(topic, Topic::Service(_))
                        && self.conns.get(&conn).is_some_and(|c| c.policies);
                    classes
                        .entry((clusters, consumer, exists, policies))
                        .or_default()
                        .push(conn);
                }
                None => drop(self.flights.pending.remove(&(conn, topic.clone()))),
            }
        }
        let wait = match topic {
            Topic::Service(_) | Topic::FuzzyService(_) | Topic::Sync(false, _) => {
                self.limits.naming_ack_ms
            }
            Topic::Config(..) | Topic::FuzzyConfig(_) | Topic::Sync(true, _) => {
                self.limits.config_ack_ms
            }
        };
        let gap = match topic {
            Topic::Config(..) => self.limits.config_gap_ms,
            _ => 0,
        };
        for ((clusters, consumer, exists, policies), conns) in classes {
            let body = match self.body(&conns, topic, clusters, consumer, exists) {
                PushBody::Service { key, class } if policies => {
                    PushBody::ServicePolicy { key, class }
                }
                body => body,
            };
            let push = self.number();
            for conn in &conns {
                let pending = self.flights.pending.get_mut(&(*conn, topic.clone()));
                let pending = pending.expect("what is launched is pending");
                pending.phase = Phase::Sent(push);
                pending.attempt += 1;
                pending.dirty = None;
                pending.free = now + gap;
            }
            self.counters.total += conns.len() as u64;
            if let Topic::Service(id) = topic
                && self.services.get(*id).is_some_and(|s| s.empty)
            {
                self.counters.empty += conns.len() as u64;
            }
            let timer = self.timers.set(now + wait, Due::Wave(push));
            let wave = Wave {
                topic: topic.clone(),
                conns: conns.clone(),
                open: conns.len(),
                free: (gap > 0).then_some(now + gap),
                timer,
            };
            self.flights.waves.insert(push, wave);
            self.outputs.push(Output::Push { push, body, conns });
        }
    }

    /// Cluster filter and consumer that a connection's bytes depend on; none if it no longer wants the topic.
    fn class(&self, conn: ConnId, topic: &Topic) -> Option<(Arc<str>, Arc<str>)> {
        let blank = || self.blank.clone();
        match topic {
            Topic::Service(id) => {
                let service = self.services.get(*id)?;
                let clusters = service.conns.get(&conn)?.clusters.clone();
                let labelled = self.labelled.contains(&service.key);
                let consumer = if labelled {
                    self.conns.get(&conn)?.details.ip.clone()
                } else {
                    blank()
                };
                Some((clusters, consumer))
            }
            Topic::Config(..) => Some((blank(), blank())),
            Topic::FuzzyService(key) => {
                let wanted = self
                    .fuzzy
                    .wants(conn, false, &key.namespace, &key.group, &key.name);
                wanted.then(|| (blank(), blank()))
            }
            Topic::FuzzyConfig(key) => {
                let wanted = self
                    .fuzzy
                    .wants(conn, true, &key.namespace, &key.group, &key.data_id);
                wanted.then(|| (blank(), blank()))
            }
            Topic::Sync(config, pattern) => self
                .fuzzy
                .batch(conn, *config, pattern)
                .map(|_| (blank(), blank())),
        }
    }

    fn body(
        &self,
        conns: &[ConnId],
        topic: &Topic,
        clusters: Arc<str>,
        consumer: Arc<str>,
        exists: bool,
    ) -> PushBody {
        match topic {
            Topic::Service(id) => PushBody::Service {
                key: self
                    .services
                    .get(*id)
                    .expect("it has these subscribers")
                    .key
                    .clone(),
                class: RenderClass {
                    clusters,
                    healthy_only: false,
                    names: NameForm::Plain,
                    consumer,
                },
            },
            Topic::Config(key, blank_tenant) => PushBody::Config {
                key: key.clone(),
                blank_tenant: *blank_tenant,
            },
            Topic::FuzzyService(key) => PushBody::FuzzyService {
                key: key.clone(),
                added: exists,
            },
            Topic::FuzzyConfig(key) => PushBody::FuzzyConfig {
                key: key.clone(),
                exists,
            },
            Topic::Sync(config, pattern) => {
                let batch = conns
                    .first()
                    .and_then(|conn| self.fuzzy.batch(*conn, *config, pattern));
                batch.expect("a dialogue that is launched has a batch")
            }
        }
    }

    /// A gRPC client answered a push, or the push could not be written. What is not under way on that connection
    /// under that number is left out.
    pub fn ack(&mut self, conn: ConnId, push: u64, outcome: AckOutcome, now: Now) {
        let Some(wave) = self.flights.waves.get(&push) else {
            return;
        };
        let topic = wave.topic.clone();
        let Some(pending) = self.flights.pending.get_mut(&(conn, topic.clone())) else {
            return;
        };
        if pending.phase != Phase::Sent(push) {
            return;
        }
        let (changed, dirty, free) = (pending.changed, pending.dirty, pending.free);
        if free > now.mono && dirty.is_none() && outcome == AckOutcome::Done {
            pending.phase = Phase::Rested(push);
        }
        self.leave(push);
        if outcome == AckOutcome::Failed {
            self.failed(conn, &topic, false, now.mono);
            return;
        }
        self.acknowledged(now.mono.saturating_sub(changed));
        if let Topic::Sync(config, pattern) = &topic {
            self.flights.pending.remove(&(conn, topic.clone()));
            self.fuzzy_batch_done(conn, *config, pattern, now.mono);
        } else if let Some(changed) = dirty {
            let pending = self
                .flights
                .pending
                .get_mut(&(conn, topic.clone()))
                .expect("it was just there");
            pending.attempt = 0;
            pending.changed = changed;
            if free > now.mono {
                let due = Due::Pending(conn, topic);
                pending.phase = Phase::Waiting(self.timers.set(free, due));
            } else {
                self.launch(Vec::from([conn]), &topic, now.mono);
            }
        } else if free <= now.mono {
            self.flights.pending.remove(&(conn, topic));
        }
    }

    /// The gap after a wave is over, or nobody who is still awaited acknowledged it in time.
    pub(super) fn wave_due(&mut self, push: u64, now: u64) {
        let Some(wave) = self.flights.waves.remove(&push) else {
            return;
        };
        let mut at_once = Vec::new();
        for conn in wave.conns {
            let slot = (conn, wave.topic.clone());
            let phase = self.flights.pending.get(&slot).map(|p| p.phase);
            if phase == Some(Phase::Sent(push)) {
                if self.failed(conn, &wave.topic, true, now) {
                    at_once.push(conn);
                }
            } else if phase == Some(Phase::Rested(push)) {
                self.flights.pending.remove(&slot);
            }
        }
        self.launch(at_once, &wave.topic, now);
    }

    /// A transmission failed: the repeat waits (or the connection is ended). Whether it is to leave at once instead,
    /// because it timed out and there is something newer.
    fn failed(&mut self, conn: ConnId, topic: &Topic, timed_out: bool, now: u64) -> bool {
        let slot = (conn, topic.clone());
        let Some(pending) = self.flights.pending.get_mut(&slot) else {
            return false;
        };
        self.counters.failed += u64::from(pending.attempt == 2);
        if timed_out && crate::planted!(TimeOutIsNotRepeated) {
            self.flights.pending.remove(&slot);
            return false;
        }
        if pending.dirty.take().is_some() {
            pending.attempt = 0;
            if timed_out && pending.free <= now {
                return true;
            }
        }
        let tries = pending.attempt.max(1);
        let wait = match topic {
            Topic::Service(_) | Topic::FuzzyService(_) | Topic::Sync(false, _) => {
                self.limits.naming_retry_ms
            }
            Topic::FuzzyConfig(_) => self.limits.config_retry_ms,
            Topic::Config(..) | Topic::Sync(true, _) if tries < self.limits.config_attempts => {
                self.limits.config_retry_ms * u64::from(tries)
            }
            Topic::Config(..) | Topic::Sync(true, _) => {
                self.flights.pending.remove(&slot);
                if let Topic::Sync(config, pattern) = topic {
                    self.fuzzy.forget_sync(conn, *config, pattern);
                }
                let reason = "a config push failed as often as is allowed".into();
                self.outputs.push(Output::Close { conn, reason });
                return false;
            }
        };
        pending.phase = Phase::Waiting(
            self.timers
                .set(now + wait, Due::Pending(conn, topic.clone())),
        );
        false
    }

    /// Forgets what is pending of a topic for a connection.
    pub(super) fn withdraw(&mut self, conn: ConnId, topic: &Topic) {
        if let Some(pending) = self.flights.pending.remove(&(conn, topic.clone())) {
            match pending.phase {
                Phase::Waiting(timer) => self.timers.cancel(timer),
                Phase::Sent(push) => self.leave(push),
                Phase::Rested(_) => {}
            }
        }
    }

    /// Forgets all that is pending for a connection.
    pub(super) fn withdraw_all(&mut self, conn: ConnId) {
        let ends = (conn, Topic::Service(0))..(ConnId(conn.0.saturating_add(1)), Topic::Service(0));
        let slots: Vec<_> = self
            .flights
            .pending
            .range(ends)
            .map(|(slot, _)| slot.clone())
            .collect();
        for (conn, topic) in slots {
            self.withdraw(conn, &topic);
        }
    }

    /// One recipient of a wave is no longer awaited. A wave that is acknowledged by all stays while its gap lasts.
    fn leave(&mut self, push: u64) {
        let Some(wave) = self.flights.waves.get_mut(&push) else {
            return;
        };
        wave.open -= 1;
        if wave.open > 0 {
            return;
        }
        self.timers.cancel(wave.timer);
        if let Some(free) = wave.free {
            wave.timer = self.timers.set(free, Due::Wave(push));
        } else {
            self.flights.waves.remove(&push);
        }
    }
}
