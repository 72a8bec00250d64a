//! Pushes: who subscribes to what, when a push leaves, to whom, and what becomes of it.
//!
//! A push names recipients and what it is about, never bytes: the host renders it from the newest view when it sends
//! it. So a push that waits need not be kept up to date, and at most one waits for each subscriber and service. All
//! of it is volatile; nothing here survives the connections it is about.

mod agents;
mod fuzzy;
mod pattern;
mod questions;
mod subscribers;
mod timers;
mod udp;
mod waves;

#[cfg(test)]
mod tests;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

pub use fuzzy::EachKey;
pub use pattern::Pattern;

use self::{
    fuzzy::Fuzzy,
    subscribers::{Conn, ServiceId, Services, Subscription},
    timers::Timers,
    udp::UdpSubscribers,
    waves::{Flights, Topic},
};
use crate::{
    encoding::encode_after,
    model::{ConfigKey, Selector, ServiceKey, ServiceMetadata},
    node::{
        Turn,
        input::{ConnDetails, ConnId, Now},
        output::Output,
        reply::{Answered, PushState, Refusal, Reply},
    },
    policies::PolicyScope,
};

/// Limits and times of pushes; all times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushLimits {
    /// Distinct fuzzy watch patterns of services, and of configs.
    pub fuzzy_patterns: usize,
    /// Services or configs that one pattern may match.
    pub fuzzy_matches: usize,
    /// Services in one message of a fuzzy watch.
    pub naming_batch: usize,
    /// Configs in one message of a fuzzy watch.
    pub config_batch: usize,
    /// Between two pushes of one service to everybody, and from a first subscription to its push.
    pub delay_ms: u64,
    /// For the acknowledgement of a naming push.
    pub naming_ack_ms: u64,
    /// From a failed naming push to its repeat.
    pub naming_retry_ms: u64,
    /// Between two pushes of one config to one connection; 0 for none. A client that is still busy with the first may
    /// lose the second (the Go client does), and the reference is never this quick.
    pub config_gap_ms: u64,
    /// For the acknowledgement of a config push.
    pub config_ack_ms: u64,
    /// From a failed config push to its repeat, times the number of attempts made.
    pub config_retry_ms: u64,
    /// Config pushes that may fail in a row before the connection is ended.
    pub config_attempts: u32,
    /// For the acknowledgement of a UDP push.
    pub udp_ack_ms: u64,
    /// Silence after which a UDP subscriber is forgotten; longer if `pushCacheMillis` is.
    pub udp_idle_ms: u64,
}

impl Default for PushLimits {
    /// The reference's (Nacos 3.x over gRPC, 2.x over UDP), and a gap that gives every client its time.
    fn default() -> Self {
        Self {
            fuzzy_patterns: 20,
            fuzzy_matches: 500,
            naming_batch: 10,
            config_batch: 20,
            delay_ms: 500,
            naming_ack_ms: 5_000,
            naming_retry_ms: 1_000,
            config_gap_ms: 300,
            config_ack_ms: 3_000,
            config_retry_ms: 2_000,
            config_attempts: 50,
            udp_ack_ms: 10_000,
            udp_idle_ms: 30_000,
        }
    }
}

/// What a timer is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Due {
    /// The window of a service whose changes are gathered ends.
    Window(ServiceId),
    /// The time for acknowledging a wave is over, or the gap after one that is acknowledged.
    Wave(u64),
    /// A first push or a repeat is to leave.
    Pending(ConnId, Topic),
    /// A UDP subscriber's first push is to leave, or its acknowledgement is late.
    Udp(u64),
    /// A UDP subscriber may have been silent for too long.
    UdpIdle(u64),
}

/// Subscriptions and the pushes that they cause.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Push {
    limits: PushLimits,
    /// Number of the last push. Counted from 1, so below 2^53 for as long as anybody runs it: JavaScript
    /// acknowledges UDP pushes by a double.
    last: u64,
    timers: Timers<Due>,
    services: Services,
    conns: BTreeMap<ConnId, Conn>,
    flights: Flights,
    udp: UdpSubscribers,
    fuzzy: Fuzzy,
    /// Services whose selector looks at the consumer, subscribed to or not.
    labelled: BTreeSet<ServiceKey>,
    counters: PushState,
    outputs: Vec<Output>,
    /// One empty text for all that is not set.
    blank: Arc<str>,
}

impl Push {
    /// Without any subscriber.
    #[must_use]
    pub fn new(limits: PushLimits) -> Self {
        Self {
            limits,
            last: 0,
            timers: Timers::default(),
            services: Services::default(),
            conns: BTreeMap::new(),
            flights: Flights::default(),
            udp: UdpSubscribers::default(),
            fuzzy: Fuzzy::default(),
            labelled: BTreeSet::new(),
            counters: PushState::default(),
            outputs: Vec::new(),
            blank: Arc::from(""),
        }
    }

    /// Everything, as bytes for [`Push::from_snapshot`] of the same build.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        encode_after(Vec::new(), self)
    }

    /// What [`Push::snapshot`] wrote; from here on it behaves as the original.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }

    /// A connection is set up.
    pub fn connected(&mut self, conn: ConnId, details: &ConnDetails, now: Now) {
        let new = Conn {
            details: details.clone(),
            since: now.wall,
            services: BTreeSet::new(),
            policies: details.wants_policies(),
        };
        self.conns.entry(conn).or_insert(new);
    }

    /// A connection ended: nothing of it is left.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.withdraw_all(conn);
        self.fuzzy.forget(conn);
        let Some(gone) = self.conns.remove(&conn) else {
            return;
        };
        for id in gone.services {
            if let Some(service) = self.services.get_mut(id) {
                service.conns.remove(&conn);
            }
            self.release(id);
        }
    }

    /// Subscribes the connection; the answer carries the list. A new pair of connection and service is pushed to once
    /// more when a window has passed, which heals an answer that was lost. Another cluster filter replaces the last.
    ///
    /// # Errors
    /// `Unregistered`.
    pub fn subscribe(
        &mut self,
        turn: Turn<'_>,
        service: &ServiceKey,
        clusters: &Arc<str>,
        app: &Arc<str>,
    ) -> Answered {
        let conn = turn.origin.conn.ok_or(Refusal::Unregistered)?;
        let known = self.conns.get_mut(&conn).ok_or(Refusal::Unregistered)?;
        let own = &known.details.app;
        let app = if own.is_empty() || &**own == "-" {
            app
        } else {
            own
        };
        let kept = |text: &Arc<str>| {
            if text.is_empty() {
                self.blank.clone()
            } else {
                text.clone()
            }
        };
        let subscription = Subscription {
            clusters: kept(clusters),
            app: kept(app),
            since: turn.now.wall,
        };
        let id = self.services.intern(service);
        known.services.insert(id);
        let subscribed = self.services.get_mut(id).expect("it was interned");
        if let Some(old) = subscribed.conns.insert(conn, subscription) {
            // Since when stays; all else is replaced.
            if let Some(new) = subscribed.conns.get_mut(&conn) {
                new.since = old.since;
            }
        } else {
            self.offer_later(
                conn,
                Topic::Service(id),
                turn.now.mono + self.limits.delay_ms,
            );
        }
        Ok(Reply::Done)
    }

    /// Ends the connection's subscription; one that does not exist is no error.
    ///
    /// # Errors
    /// `Unregistered`.
    pub fn unsubscribe(&mut self, turn: Turn<'_>, service: &ServiceKey) -> Answered {
        let conn = turn.origin.conn.ok_or(Refusal::Unregistered)?;
        let known = self.conns.get_mut(&conn).ok_or(Refusal::Unregistered)?;
        if let Some(id) = self.services.find(service)
            && known.services.remove(&id)
        {
            if let Some(subscribed) = self.services.get_mut(id) {
                subscribed.conns.remove(&conn);
            }
            self.withdraw(conn, &Topic::Service(id));
            self.release(id);
        }
        Ok(Reply::Done)
    }

    /// What subscribers see of a service changed: an instance, its health, or the metadata. A lone change leaves at
    /// once; further ones are gathered until the window since the last wave has passed, the last deregistration like
    /// any other. `metadata` is what the service has after the change; `appeared` and `vanished` say that it exists
    /// only since, or no longer; `instances_left` is how many instances it has.
    pub fn service_changed(
        &mut self,
        key: &ServiceKey,
        metadata: Option<&ServiceMetadata>,
        appeared: bool,
        vanished: bool,
        instances_left: usize,
        now: Now,
    ) {
        if metadata.is_some_and(|m| matches!(m.selector, Selector::Label { .. })) {
            self.labelled.insert(key.clone());
        } else {
            self.labelled.remove(key);
        }
        if appeared != vanished {
            self.fuzzy_service(key, appeared, now.mono);
        }
        let Some(id) = self.services.find(key) else {
            return;
        };
        let service = self
            .services
            .get_mut(id)
            .expect("each number has its service");
        service.empty = instances_left == 0;
        if service.empty && crate::planted!(EmptyIsNotPushed) {
            return;
        }
        if service.gathering.is_some() {
            return;
        }
        match service.last_wave.map(|last| last + self.limits.delay_ms) {
            Some(open) if open > now.mono => {
                service.gathering = Some((now.mono, self.timers.set(open, Due::Window(id))));
            }
            _ => self.wave(id, now.mono, now.mono),
        }
    }

    /// A load-balancing policy came, changed or went: connections that ask for policies get the services it is for.
    pub fn policy_changed(&mut self, scope: &PolicyScope, now: Now) {
        let ids: Vec<ServiceId> = match scope {
            PolicyScope::Service(key) => self.services.find(key).into_iter().collect(),
            PolicyScope::Namespace(namespace) => self.services.of_namespace(namespace).collect(),
        };
        for id in ids {
            let Some(service) = self.services.get(id) else {
                continue;
            };
            let asks = |conn: &ConnId| self.conns.get(conn).is_some_and(|c| c.policies);
            let conns: Vec<ConnId> = service.conns.keys().copied().filter(asks).collect();
            self.offer(conns, &Topic::Service(id), true, now.mono, now.mono);
        }
    }

    /// A config changed (`exists`) or went. A lone change leaves at once; further ones wait until the gap since the last
    /// push of it to that connection is over, and then leave as one. `listeners` are the connections that listen to it,
    /// each with whether it spelt the default namespace as nothing. That a config is new is told as any change (the
    /// protocol has no word for it here).
    pub fn config_changed(
        &mut self,
        key: &ConfigKey,
        exists: bool,
        _appeared: bool,
        listeners: Vec<(ConnId, bool)>,
        now: Now,
    ) {
        let mut by_form: BTreeMap<bool, BTreeSet<ConnId>> = BTreeMap::new();
        for (conn, blank_tenant) in listeners {
            if self.conns.contains_key(&conn) {
                by_form.entry(blank_tenant).or_default().insert(conn);
            }
        }
        for (blank_tenant, conns) in by_form {
            self.offer(
                conns,
                &Topic::Config(key.clone(), blank_tenant),
                exists,
                now.mono,
                now.mono,
            );
        }
        self.fuzzy_config(key, exists, now.mono);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now) {
        let now = now.mono;
        // What is due together leaves together: the first pushes of a reconnect storm are few waves, not many.
        let mut ready: BTreeMap<Topic, Vec<ConnId>> = BTreeMap::new();
        while let Some(due) = self.timers.pop(now) {
            match due {
                Due::Window(id) => {
                    let service = self.services.get_mut(id);
                    if let Some((changed, _)) = service.and_then(|s| s.gathering.take()) {
                        self.wave(id, changed, now);
                    }
                }
                Due::Wave(push) => self.wave_due(push, now),
                Due::Pending(conn, topic) => ready.entry(topic).or_default().push(conn),
                Due::Udp(id) => self.udp_due(id, now),
                Due::UdpIdle(id) => self.udp_idle_due(id, now),
            }
        }
        for (topic, mut conns) in ready {
            // A wave of the same moment may have carried it already.
            conns.retain(|conn| self.flights.waits(*conn, &topic));
            self.launch(conns, &topic, now);
        }
    }

    /// When [`Push::tick`] is wanted next, monotonic milliseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.timers.next()
    }

    /// What the host must do since the last call: `Push`, `Datagram` and `Close` only.
    #[must_use]
    pub fn take_outputs(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.outputs)
    }

    /// Sends a service to all its subscribers; `changed` is when the first change came that this carries.
    fn wave(&mut self, id: ServiceId, changed: u64, now: u64) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        service.last_wave = Some(now);
        let conns: Vec<ConnId> = service.conns.keys().copied().collect();
        let udp: Vec<u64> = service.udp.iter().copied().collect();
        self.offer(conns, &Topic::Service(id), true, changed, now);
        for sub in udp {
            self.change_udp(sub, changed, now);
        }
    }

    /// Forgets a service if nobody subscribes to it any more.
    fn release(&mut self, id: ServiceId) {
        if let Some((_, timer)) = self.services.release(id).and_then(|s| s.gathering) {
            self.timers.cancel(timer);
        }
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn acknowledged(&mut self, cost: u64) {
        self.counters.acknowledged += 1;
        self.counters.cost_sum += cost;
        self.counters.cost_max = self.counters.cost_max.max(cost);
    }
}
