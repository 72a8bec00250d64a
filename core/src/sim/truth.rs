//! What must be so: an own, simple account of what members were asked and what they answered.
//!
//! It shares no rule with the core but the constants of the protocol. Ephemeral instances are kept by who published
//! them and when that was last heard of; what needs the log is in [`super::durable`].

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};

use super::{
    air::List,
    durable::{Durable, Expected},
    member::Arrival,
};
use crate::{
    model::{ConfigKey, Instance, InstanceKey, Md5, ServiceKey},
    node::{
        input::{ConnId, Input, Now, Origin},
        op::Op,
        output::Output,
        reply::{Answered, Refusal, Reply},
    },
};

/// Silence after which an instance is unhealthy, and after which it goes (Nacos), milliseconds.
const UNHEALTHY: u64 = 15_000;
const GONE: u64 = 30_000;
/// How long after a deregistration a beat registers nothing, milliseconds.
const LATE_BEAT: u64 = 1_000;

/// Who keeps an instance alive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Conn(ConnId),
    Address(Arc<str>, u16),
}

#[derive(Clone, Debug)]
struct Record {
    key: InstanceKey,
    version: Arc<str>,
    healthy: bool,
    /// When it was last heard of.
    heard: u64,
    order: u64,
}

/// A poll that waits.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    ip: Arc<str>,
    tag: Arc<str>,
    keys: Vec<(ConfigKey, Option<Md5>)>,
    until: u64,
}

/// The account.
#[derive(Debug, Default)]
pub(super) struct Truth {
    records: BTreeMap<(Owner, ServiceKey), Record>,
    /// When who lives by beats withdrew last.
    withdrawn: BTreeMap<(Owner, ServiceKey), u64>,
    order: u64,
    pub(super) conns: BTreeSet<ConnId>,
    polls: BTreeMap<u64, Parked>,
    pub(super) durable: Durable,
    /// No silence counts from before this.
    floor: u64,
    busy: bool,
    /// Lists by service, each with when it began to hold.
    pub(super) lists: BTreeMap<ServiceKey, Vec<(u64, Arc<List>)>>,
}

fn version_of(instance: &Instance) -> Arc<str> {
    instance.metadata.get("v").unwrap_or_default().into()
}

/// What is wrong, in words.
pub(super) type Wrong = (super::Invariant, String);

impl Truth {
    /// The member stood still and knows it.
    pub(super) fn pause_ended(&mut self, now: u64) {
        self.floor = now;
    }

    /// The member lost everything that is not durable.
    pub(super) fn restarted(&mut self, now: u64) {
        self.records.clear();
        self.withdrawn.clear();
        self.conns.clear();
        self.polls.clear();
        self.floor = now;
        self.busy = false;
        self.note_lists(now);
    }

    /// Takes in a step: what arrived, in the order in which it was handled, and what left.
    pub(super) fn follow(
        &mut self,
        now: Now,
        arrivals: &[Arrival],
        outputs: &[Output],
    ) -> Result<(), Wrong> {
        let mut replies: BTreeMap<u64, &Answered> = BTreeMap::new();
        for output in outputs {
            if let Output::Reply { id, result } = output {
                replies.insert(*id, result);
            }
        }
        // The member itself refused: nobody's silence counted in this step.
        let refused = replies.values().any(|r| **r == Err(Refusal::Busy));
        for arrival in arrivals {
            match arrival {
                Arrival::Told(input) => self.told(now, input, refused),
                Arrival::Gone { id } => drop(self.polls.remove(id)),
                Arrival::Request {
                    id,
                    origin,
                    op,
                    content,
                } => {
                    let reply = replies.get(id).copied();
                    let conn = origin.conn;
                    if reply == Some(&Err(Refusal::Unregistered))
                        && conn.is_some_and(|c| self.conns.contains(&c))
                    {
                        return Err((
                            super::Invariant::NothingRefused,
                            format!("{conn:?} is said to be unknown"),
                        ));
                    }
                    if self
                        .durable
                        .asked(*id, now, op, content.as_deref(), reply)?
                    {
                        continue;
                    }
                    self.ephemeral(now, *id, origin, op, reply)?;
                }
            }
        }
        if refused {
            self.floor = now.mono;
        }
        self.durable.answered(&replies)?;
        for (id, reply) in &replies {
            if let Some(poll) = self.polls.remove(id) {
                self.poll_answered(now, &poll, reply)?;
            }
        }
        self.note_lists(now.mono);
        Ok(())
    }

    fn told(&mut self, now: Now, input: &Input, refused: bool) {
        match input {
            Input::Connected { conn, .. } => drop(self.conns.insert(*conn)),
            Input::Disconnected { conn } => {
                self.conns.remove(conn);
                self.records
                    .retain(|(owner, _), _| *owner != Owner::Conn(*conn));
            }
            Input::Overloaded(busy) => {
                if self.busy && !busy {
                    self.floor = now.mono;
                }
                self.busy = *busy;
            }
            Input::Tick if !self.busy && !refused => self.expire(now.mono),
            _ => {}
        }
    }

    fn expire(&mut self, now: u64) {
        let floor = self.floor;
        self.records.retain(|(owner, _), record| {
            let silence = now - record.heard.max(floor);
            if !matches!(owner, Owner::Address(..)) || silence <= UNHEALTHY {
                return true;
            }
            record.healthy = false;
            silence <= GONE
        });
    }

    /// Whether something should have expired longer ago than the slack, in milliseconds.
    pub(super) fn overdue(&self, now: u64, slack: u64) -> Result<(), Wrong> {
        if self.busy {
            return Ok(());
        }
        for ((owner, service), record) in &self.records {
            let silence = now.saturating_sub(record.heard.max(self.floor));
            let limit = if record.healthy { UNHEALTHY } else { GONE } + slack;
            if matches!(owner, Owner::Address(..)) && silence > limit {
                return Err((
                    super::Invariant::ExpiryOnTime,
                    format!("{} of {service} was silent for {silence} ms", record.key.ip),
                ));
            }
        }
        Ok(())
    }

    fn ephemeral(
        &mut self,
        now: Now,
        id: u64,
        origin: &Origin,
        op: &Op,
        reply: Option<&Answered>,
    ) -> Result<(), Wrong> {
        let (ip, conn) = (&origin.ip, origin.conn);
        let owner = |key: &InstanceKey| match conn {
            Some(conn) => Owner::Conn(conn),
            None => Owner::Address(key.ip.clone(), key.port),
        };
        match (op, reply) {
            (Op::Register { service, instance }, Some(Ok(_))) => {
                self.put(owner(&instance.key), service, instance, now.mono);
            }
            (Op::BatchRegister { service, instances }, Some(Ok(_))) => {
                // Clients here publish one instance a service, or none.
                match instances.first() {
                    Some(instance) => self.put(owner(&instance.key), service, instance, now.mono),
                    None => {
                        let slot = Owner::Conn(conn.unwrap_or(ConnId(0)));
                        self.records.remove(&(slot, service.clone()));
                    }
                }
            }
            (Op::Deregister { service, key, .. }, Some(Ok(_))) => {
                let slot = (owner(key), service.clone());
                if self.records.remove(&slot).is_some() && conn.is_none() {
                    self.withdrawn.insert(slot, now.mono);
                }
            }
            (Op::Beat { service, key, full }, Some(Ok(Reply::Beat { known, .. }))) => {
                let slot = (owner(key), service.clone());
                let expected = self.records.contains_key(&slot) || full.is_some();
                if *known != expected {
                    return Err((
                        super::Invariant::BeatsAreKnown,
                        format!("a beat of {key:?} was answered with known = {known}"),
                    ));
                }
                let late = self.withdrew_lately(&slot, now.mono);
                match (self.records.get_mut(&slot), full) {
                    (Some(record), _) => {
                        record.heard = now.mono;
                        record.healthy = true;
                    }
                    (None, Some(_)) if late => {}
                    (None, Some(full)) => self.put(slot.0, service, full, now.mono),
                    (None, None) => {}
                }
            }
            (Op::Poll { keys, wait_ms, tag }, None) => {
                let poll = Parked {
                    ip: ip.clone(),
                    tag: tag.clone(),
                    keys: keys.clone(),
                    until: now.mono + wait_ms,
                };
                self.polls.insert(id, poll);
            }
            (Op::Poll { keys, tag, .. }, Some(Ok(Reply::Woken { position, key }))) => {
                let held = keys.get(*position as usize);
                if held.is_none_or(|(k, md5)| k != key || *md5 == self.durable.md5(key, ip, tag)) {
                    return Err((
                        super::Invariant::PollsWakeForAChange,
                        format!("a new poll is told that {key:?} differs, and it does not"),
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn withdrew_lately(&self, slot: &(Owner, ServiceKey), now: u64) -> bool {
        self.withdrawn
            .get(slot)
            .is_some_and(|at| now < at + LATE_BEAT)
    }

    fn put(&mut self, owner: Owner, service: &ServiceKey, instance: &Instance, heard: u64) {
        self.order += 1;
        let record = Record {
            key: instance.key.clone(),
            version: version_of(instance),
            healthy: true,
            heard,
            order: self.order,
        };
        self.records.insert((owner, service.clone()), record);
    }

    fn poll_answered(&self, now: Now, poll: &Parked, reply: &Answered) -> Result<(), Wrong> {
        let wrong = |text: String| Err((super::Invariant::PollsWakeForAChange, text));
        match reply {
            Ok(Reply::Woken { position, key }) => {
                let Some((k, held)) = poll.keys.get(*position as usize) else {
                    return wrong(format!("a poll is woken by position {position}"));
                };
                if k != key || *held == self.durable.md5(key, &poll.ip, &poll.tag) {
                    return wrong(format!("a poll is woken by {key:?}, which did not change"));
                }
            }
            Ok(Reply::Changed(positions)) if positions.is_empty() => {
                if now.mono < poll.until {
                    return wrong(format!("a poll ends {} ms early", poll.until - now.mono));
                }
            }
            other => return wrong(format!("a poll is answered with {other:?}")),
        }
        Ok(())
    }

    /// No poll waits whose config differs, or whose time is long over.
    pub(super) fn polls(&self, now: u64, slack: u64) -> Result<(), Wrong> {
        for (id, poll) in &self.polls {
            let differs = |(key, held): &&(ConfigKey, Option<Md5>)| {
                *held != self.durable.md5(key, &poll.ip, &poll.tag)
            };
            if let Some((key, _)) = poll.keys.iter().find(differs) {
                return Err((
                    super::Invariant::NoWakeIsLost,
                    format!("poll {id} waits, although {key:?} differs"),
                ));
            }
            if now > poll.until + slack {
                return Err((
                    super::Invariant::NoWakeIsLost,
                    format!("poll {id} should have ended {} ms ago", now - poll.until),
                ));
            }
        }
        Ok(())
    }

    /// The list of a service, cluster filter applied; of equal keys the newest registration is shown.
    fn list(&self, service: &ServiceKey) -> List {
        let mut newest: BTreeMap<&InstanceKey, &Record> = BTreeMap::new();
        for ((_, of), record) in &self.records {
            if of == service {
                let slot = newest.entry(&record.key).or_insert(record);
                if slot.order < record.order {
                    *slot = record;
                }
            }
        }
        let mut list: List = newest
            .into_iter()
            .map(|(key, r)| (key.clone(), (r.healthy, r.version.clone())))
            .collect();
        list.extend(self.durable.list(service));
        list
    }

    /// Keeps the lists that changed.
    fn note_lists(&mut self, now: u64) {
        let mut services: BTreeSet<ServiceKey> = self.lists.keys().cloned().collect();
        services.extend(self.records.keys().map(|(_, service)| service.clone()));
        services.extend(self.durable.services());
        for service in services {
            let list = self.list(&service);
            let history = self.lists.entry(service).or_default();
            if history.last().is_none_or(|(_, last)| **last != list) {
                history.push((now, Arc::new(list)));
            }
        }
    }

    /// The list of a service that holds now.
    pub(super) fn current(&self, service: &ServiceKey) -> Option<&Arc<List>> {
        self.lists.get(service)?.last().map(|(_, list)| list)
    }

    /// How often a service's list changed so far.
    pub(super) fn changes(&self, service: &ServiceKey) -> u64 {
        self.lists.get(service).map_or(0, |l| l.len() as u64)
    }

    /// What a member must be like after a restart.
    pub(super) fn survivors(&self) -> impl Iterator<Item = Expected> + '_ {
        self.durable.survivors()
    }
}
