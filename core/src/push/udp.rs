//! Pushes to HTTP clients over UDP: each change is sent at most twice, and whoever no longer asks is forgotten.
//!
//! Not here: the packet, which is [`crate::api::udp`]'s.

use alloc::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Due, Push, agents::takes_pushes, subscribers::ServiceId, timers::TimerKey};
use crate::{
    model::ServiceKey,
    naming::Switches,
    node::{
        Turn,
        input::Now,
        output::{NameForm, Output, RenderClass},
        reply::{Answered, Reply},
    },
};

/// Identity of a UDP subscriber (1.x push client).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct UdpKey {
    pub(super) ip: Arc<str>,
    pub(super) port: u16,
    pub(super) service: ServiceId,
    pub(super) clusters: Arc<str>,
    pub(super) agent: Arc<str>,
}

/// One client's interest in one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct UdpSubscriber {
    pub(super) key: UdpKey,
    pub(super) app: Arc<str>,
    /// Wall clock, milliseconds.
    pub(super) since: u64,
    names: NameForm,
    /// When it is forgotten, unless it asks again before; monotonic milliseconds.
    until: u64,
    idle: TimerKey,
    flight: Flight,
    /// When the change came that is (or was last) sent.
    changed: u64,
}

/// What is under way to a subscriber.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Flight {
    Nothing,
    /// The push that follows a first subscription.
    First(TimerKey),
    Sent {
        push: u64,
        attempt: u8,
        timer: TimerKey,
    },
}

/// All UDP subscribers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct UdpSubscribers {
    ids: BTreeMap<UdpKey, u64>,
    subs: BTreeMap<u64, UdpSubscriber>,
    /// Number of the last; never used twice.
    last: u64,
    /// To whom a number that is not acknowledged was sent.
    flying: BTreeMap<u64, u64>,
}

impl UdpSubscribers {
    pub(super) fn get(&self, id: u64) -> Option<&UdpSubscriber> {
        self.subs.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &UdpSubscriber> {
        self.subs.values()
    }

    /// Those of one address.
    pub(super) fn at<'a>(
        &'a self,
        ip: &'a str,
        port: u16,
    ) -> impl Iterator<Item = &'a UdpSubscriber> {
        let empty: Arc<str> = Arc::from("");
        let from = UdpKey {
            ip: Arc::from(ip),
            port,
            service: 0,
            clusters: empty.clone(),
            agent: empty,
        };
        let ids = self
            .ids
            .range(from..)
            .take_while(move |(key, _)| *key.ip == *ip && key.port == port);
        ids.filter_map(|(_, id)| self.get(*id))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.subs.is_empty() && self.flying.is_empty()
    }
}

impl Push {
    /// Subscribes a UDP port, or refreshes its subscription. A client of a kind that takes no pushes is answered so
    /// and not kept. `cacheMillis` is the push cache's in either case (Nacos 2.x).
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the operation's own fields"
    )]
    pub fn subscribe_udp(
        &mut self,
        turn: Turn<'_>,
        service: &ServiceKey,
        clusters: &Arc<str>,
        ip: &Arc<str>,
        port: u16,
        agent: &Arc<str>,
        app: &Arc<str>,
        names: NameForm,
        switches: &Switches,
    ) -> Answered {
        let cache_millis = switches.default_push_cache_millis;
        let pushed = port != 0 && takes_pushes(agent, switches);
        if pushed {
            let key = UdpKey {
                ip: ip.clone(),
                port,
                service: self.services.intern(service),
                clusters: clusters.clone(),
                agent: agent.clone(),
            };
            let until = turn.now.mono + self.limits.udp_idle_ms.max(cache_millis) + 1;
            // Whoever is past its time starts anew: it has missed what was sent meanwhile.
            let known = self
                .udp
                .ids
                .get(&key)
                .copied()
                .filter(|id| !self.evict_if_idle(*id, turn.now.mono));
            if let Some(sub) = known.and_then(|id| self.udp.subs.get_mut(&id)) {
                sub.until = until;
                sub.names = names;
                sub.app.clone_from(app);
            } else {
                // The eviction may have freed the service's number.
                let key = UdpKey {
                    service: self.services.intern(service),
                    ..key
                };
                self.keep_udp(key, app.clone(), names, until, turn.now);
            }
        }
        Ok(Reply::Subscribed {
            pushed,
            cache_millis,
        })
    }

    fn keep_udp(&mut self, key: UdpKey, app: Arc<str>, names: NameForm, until: u64, now: Now) {
        self.udp.last += 1;
        let id = self.udp.last;
        self.services
            .get_mut(key.service)
            .expect("it was interned")
            .udp
            .insert(id);
        let first = now.mono + self.limits.delay_ms;
        let sub = UdpSubscriber {
            app,
            since: now.wall,
            names,
            until,
            idle: self.timers.set(until, Due::UdpIdle(id)),
            flight: Flight::First(self.timers.set(first, Due::Udp(id))),
            changed: first,
            key: key.clone(),
        };
        self.udp.ids.insert(key, id);
        self.udp.subs.insert(id, sub);
    }

    /// Silence up to now does not count, because the host could not listen: nobody is forgotten for it.
    pub fn excuse_silence(&mut self, now: Now) {
        let until = now.mono + self.limits.udp_idle_ms + 1;
        self.udp
            .subs
            .values_mut()
            .for_each(|sub| sub.until = sub.until.max(until));
    }

    /// Sends a change to a subscriber, in the place of what is under way to it.
    pub(super) fn change_udp(&mut self, id: u64, changed: u64, now: u64) {
        if !self.evict_if_idle(id, now) {
            if let Some(sub) = self.udp.subs.get_mut(&id) {
                sub.changed = changed;
            }
            self.send_udp(id, 1, now);
        }
    }

    /// The first push is due, or no acknowledgement came in time.
    pub(super) fn udp_due(&mut self, id: u64, now: u64) {
        if self.evict_if_idle(id, now) {
            return;
        }
        let Some(sub) = self.udp.subs.get_mut(&id) else {
            return;
        };
        match sub.flight {
            Flight::Nothing => {}
            // A wave that is about to leave carries it.
            Flight::First(_)
                if self
                    .services
                    .get(sub.key.service)
                    .is_some_and(|s| s.gathering.is_some()) =>
            {
                sub.flight = Flight::Nothing;
            }
            Flight::First(_) => self.send_udp(id, 1, now),
            Flight::Sent { attempt: 1, .. } => self.send_udp(id, 2, now),
            Flight::Sent { push, .. } => {
                sub.flight = Flight::Nothing;
                self.udp.flying.remove(&push);
                self.counters.failed += 1;
            }
        }
    }

    /// A subscriber's time may be over.
    pub(super) fn udp_idle_due(&mut self, id: u64, now: u64) {
        if !self.evict_if_idle(id, now)
            && let Some(sub) = self.udp.subs.get_mut(&id)
        {
            sub.idle = self.timers.set(sub.until, Due::UdpIdle(id));
        }
    }

    /// A UDP acknowledgement; it counts only if it names what is under way to exactly this address.
    pub fn udp_ack(&mut self, ip: &str, port: u16, push: u64, now: Now) {
        let Some(id) = self.udp.flying.get(&push).copied() else {
            return;
        };
        let sub = self
            .udp
            .subs
            .get_mut(&id)
            .expect("what is under way has a subscriber");
        if *sub.key.ip != *ip || sub.key.port != port || crate::planted!(UdpAcksAreIgnored) {
            return;
        }
        if let Flight::Sent { timer, .. } = sub.flight {
            self.timers.cancel(timer);
        }
        sub.flight = Flight::Nothing;
        let cost = now.mono.saturating_sub(sub.changed);
        self.udp.flying.remove(&push);
        self.acknowledged(cost);
    }

    fn send_udp(&mut self, id: u64, attempt: u8, now: u64) {
        self.end_flight(id);
        let push = self.number();
        let sub = self.udp.subs.get_mut(&id).expect("it was looked up");
        let service = self
            .services
            .get(sub.key.service)
            .expect("it has this subscriber");
        sub.flight = Flight::Sent {
            push,
            attempt,
            timer: self.timers.set(now + self.limits.udp_ack_ms, Due::Udp(id)),
        };
        self.udp.flying.insert(push, id);
        self.counters.total += 1;
        self.counters.empty += u64::from(service.empty);
        let labelled = self.labelled.contains(&service.key);
        self.outputs.push(Output::Datagram {
            push,
            ip: sub.key.ip.clone(),
            port: sub.key.port,
            service: service.key.clone(),
            class: RenderClass {
                clusters: sub.key.clusters.clone(),
                healthy_only: false,
                names: sub.names,
                consumer: if labelled {
                    sub.key.ip.clone()
                } else {
                    self.blank.clone()
                },
            },
        });
    }

    fn end_flight(&mut self, id: u64) {
        let Some(sub) = self.udp.subs.get_mut(&id) else {
            return;
        };
        match core::mem::replace(&mut sub.flight, Flight::Nothing) {
            Flight::Nothing => {}
            Flight::First(timer) => self.timers.cancel(timer),
            Flight::Sent { push, timer, .. } => {
                self.timers.cancel(timer);
                self.udp.flying.remove(&push);
            }
        }
    }

    /// Forgets a subscriber that has not asked for too long; whether it did (or there was none).
    fn evict_if_idle(&mut self, id: u64, now: u64) -> bool {
        match self.udp.subs.get(&id) {
            None => return true,
            Some(sub) if now < sub.until => return false,
            Some(_) => self.end_flight(id),
        }
        let sub = self.udp.subs.remove(&id).expect("it was looked up");
        self.timers.cancel(sub.idle);
        self.udp.ids.remove(&sub.key);
        if let Some(service) = self.services.get_mut(sub.key.service) {
            service.udp.remove(&id);
        }
        self.release(sub.key.service);
        true
    }
}
