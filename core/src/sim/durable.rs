//! What must survive: every write that goes through the log, in the order of the log.
//!
//! Requests reach a member in some order, and their commands the log in the same. A write counts when it is answered;
//! after a power cut those that were not are there from the first to some last one.

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::fmt;

use super::{air::List, truth::Wrong};
use crate::{
    model::{ConfigKey, InstanceKey, Md5, ServiceKey},
    node::{
        input::Now,
        op::{Op, Publish},
        reply::{Answered, Refusal, Reply},
    },
};

/// A content, which is too long to be shown.
#[derive(Clone, PartialEq)]
pub(super) struct Content(pub(super) Arc<[u8]>);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A version of a config.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Version {
    pub(super) md5: Md5,
    pub(super) content: Content,
}

/// A config: its formal version, and a gray one for some addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Config {
    pub(super) formal: Option<Version>,
    pub(super) beta: Option<(Arc<str>, Version)>,
}

/// Everything durable, as readers see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) configs: BTreeMap<ConfigKey, Config>,
    pub(super) namespaces: BTreeMap<Arc<str>, Arc<str>>,
    pub(super) instances: BTreeMap<ServiceKey, BTreeMap<InstanceKey, Arc<str>>>,
    /// Until when a lock is held, at the earliest and at the latest.
    locks: BTreeMap<Arc<str>, (u64, u64)>,
}

#[derive(Clone, Debug)]
enum Write {
    Publish(Arc<Publish>, Content),
    Remove(ConfigKey, bool),
    /// Create (or update), id, description.
    Namespace(bool, Arc<str>, Arc<str>),
    DeleteNamespace(Arc<str>),
    /// Acquire (or give back), key, hold.
    Lock(bool, Arc<str>, u64),
    Put(ServiceKey, InstanceKey, Arc<str>),
    Take(ServiceKey, InstanceKey),
}

#[derive(Clone, Debug)]
struct Pending {
    id: u64,
    write: Write,
    /// The stamp, at the least and at the most.
    stamp: (u64, u64),
}

/// The account of what is durable.
#[derive(Debug, Default)]
pub(super) struct Durable {
    now: Expected,
    pending: VecDeque<Pending>,
    /// Stamp of the last command: after a restart only its bounds are known.
    stamp: (u64, u64),
    revision: u64,
    /// MD5s of configs for callers, each with when it began to hold; kept by whoever asks for it.
    pub(super) writes: u64,
}

impl Expected {
    /// What an address with a tag gets.
    pub(super) fn md5(&self, key: &ConfigKey, ip: &str) -> Option<Md5> {
        let config = self.configs.get(key)?;
        match &config.beta {
            Some((ips, version)) if ips.split(',').any(|one| one == ip) => Some(version.md5),
            _ => config.formal.as_ref().map(|version| version.md5),
        }
    }

    /// Does a write; what must be answered, if that is certain.
    fn write(
        &mut self,
        write: &Write,
        stamp: (u64, u64),
        said: Option<&Answered>,
    ) -> Option<Answered> {
        match write {
            Write::Publish(publish, content) => {
                let config = self.configs.get(&publish.key);
                let old = config.and_then(|c| match publish.gray {
                    None => c.formal.as_ref(),
                    Some(_) => c.beta.as_ref().map(|(_, version)| version),
                });
                let cas = publish.cas.as_deref();
                if let (Some(cas), Some(old)) = (cas, old)
                    && old.md5.hex() != cas
                {
                    return Some(Err(Refusal::CasMismatch));
                }
                let version = Version {
                    md5: publish.content.md5,
                    content: content.clone(),
                };
                let config = self.configs.entry(publish.key.clone()).or_default();
                match &publish.gray {
                    None => config.formal = Some(version),
                    Some(rule) => config.beta = Some((rule.expr().into(), version)),
                }
                // Its revision is not known here.
                None
            }
            Write::Remove(key, beta) => {
                let mut there = false;
                if let Some(config) = self.configs.get_mut(key) {
                    there = match beta {
                        true => config.beta.take().is_some(),
                        false => config.formal.take().is_some(),
                    };
                    if *config == Config::default() {
                        self.configs.remove(key);
                    }
                }
                Some(Ok(Reply::Removed(there)))
            }
            Write::Namespace(true, id, desc) => {
                if self.namespaces.contains_key(id) {
                    return Some(Err(Refusal::NamespaceExists));
                }
                self.namespaces.insert(id.clone(), desc.clone());
                Some(Ok(Reply::Namespace(id.clone())))
            }
            Write::Namespace(false, id, desc) => {
                if let Some(old) = self.namespaces.get_mut(id) {
                    *old = desc.clone();
                }
                Some(Ok(Reply::Done))
            }
            Write::DeleteNamespace(id) => {
                self.namespaces.remove(id);
                Some(Ok(Reply::Done))
            }
            Write::Lock(acquire, key, hold) => {
                let (low, high) = stamp;
                let held = match self.locks.get(key) {
                    Some((until, _)) if high < *until => Some(true),
                    Some((_, until)) if low < *until => None,
                    _ => Some(false),
                };
                // Where the time does not decide it, the answer does.
                let done = held.map(|held| held != *acquire);
                let said = matches!(said, Some(Ok(Reply::Locked(true))));
                if done.unwrap_or(said) {
                    if *acquire {
                        self.locks.insert(key.clone(), (low + hold, high + hold));
                    } else {
                        self.locks.remove(key);
                    }
                }
                done.map(|done| Ok(Reply::Locked(done)))
            }
            Write::Put(service, key, version) => {
                let of = self.instances.entry(service.clone()).or_default();
                of.insert(key.clone(), version.clone());
                Some(Ok(Reply::Done))
            }
            Write::Take(service, key) => {
                if let Some(of) = self.instances.get_mut(service) {
                    of.remove(key);
                    if of.is_empty() {
                        self.instances.remove(service);
                    }
                }
                Some(Ok(Reply::Done))
            }
        }
    }
}

impl Durable {
    /// Whether a request is one that the log decides; if it was answered at once, that is taken in.
    pub(super) fn asked(
        &mut self,
        id: u64,
        now: Now,
        op: &Op,
        content: Option<&[u8]>,
        reply: Option<&Answered>,
    ) -> Result<bool, Wrong> {
        let write = match op {
            Op::Publish(publish) => Write::Publish(
                Arc::new((**publish).clone()),
                Content(content.unwrap_or_default().into()),
            ),
            Op::RemoveConfig { key, gray } => Write::Remove(key.clone(), gray.is_some()),
            Op::CreateNamespace { id, desc, .. } => {
                Write::Namespace(true, id.clone(), desc.clone())
            }
            Op::UpdateNamespace { id, desc, .. } => {
                Write::Namespace(false, id.clone(), desc.clone())
            }
            Op::DeleteNamespace { id } => Write::DeleteNamespace(id.clone()),
            Op::Lock {
                key,
                acquire,
                expires_ms,
                ..
            } => Write::Lock(*acquire, key.clone(), expires_ms.unsigned_abs()),
            Op::Register { service, instance } if !instance.ephemeral => {
                let version = instance.metadata.get("v").unwrap_or_default();
                Write::Put(service.clone(), instance.key.clone(), version.into())
            }
            Op::Deregister {
                service,
                key,
                ephemeral: false,
            } => Write::Take(service.clone(), key.clone()),
            _ => return Ok(false),
        };
        match reply {
            None => {
                let stamp = (self.stamp.0.max(now.wall), self.stamp.1.max(now.wall));
                self.pending.push_back(Pending { id, write, stamp });
            }
            // What was answered without the log found nothing to do.
            Some(Ok(_)) => {
                let before = self.now.clone();
                let found = self.now.write(&write, (now.wall, now.wall), reply);
                if before != self.now {
                    return Err((
                        super::Invariant::AcknowledgedSurvives,
                        format!(
                            "{write:?} was answered {reply:?} before it was written ({found:?})"
                        ),
                    ));
                }
            }
            Some(Err(_)) => {}
        }
        Ok(true)
    }

    /// Takes in answers of the log.
    pub(super) fn answered(&mut self, replies: &BTreeMap<u64, &Answered>) -> Result<(), Wrong> {
        while let Some(first) = self.pending.front() {
            let Some(reply) = replies.get(&first.id).copied() else {
                break;
            };
            let Pending { write, stamp, .. } = self.pending.pop_front().expect("there is a front");
            self.writes += 1;
            if !matches!(
                write,
                Write::DeleteNamespace(_) | Write::Put(..) | Write::Take(..)
            ) {
                self.stamp = (self.stamp.0.max(stamp.0), self.stamp.1.max(stamp.1));
            }
            let expected = self.now.write(&write, stamp, Some(reply));
            if let (None, Ok(Reply::Published { revision })) = (&expected, reply) {
                if *revision <= self.revision {
                    return Err((
                        super::Invariant::OrderOfTheLog,
                        format!("revision {revision} comes after {}", self.revision),
                    ));
                }
                self.revision = *revision;
            }
            let published = matches!(
                (&write, reply),
                (Write::Publish(..), Ok(Reply::Published { .. }))
            );
            let fits = match &expected {
                Some(expected) => expected == reply,
                None => published || matches!(reply, Ok(Reply::Locked(_))),
            };
            if !fits {
                return Err((
                    super::Invariant::OutcomesAreRight,
                    format!("{write:?} was answered {reply:?} and not {expected:?}"),
                ));
            }
        }
        if let Some(late) = self.pending.iter().find(|p| replies.contains_key(&p.id)) {
            return Err((
                super::Invariant::OrderOfTheLog,
                format!(
                    "{:?} is answered before what was asked before it",
                    late.write
                ),
            ));
        }
        Ok(())
    }

    /// What an address with a tag gets.
    pub(super) fn md5(&self, key: &ConfigKey, ip: &str, _tag: &str) -> Option<Md5> {
        self.now.md5(key, ip)
    }

    pub(super) fn now(&self) -> &Expected {
        &self.now
    }

    /// How many writes wait for the log.
    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// What can be there after a power cut: each beginning of what was not answered.
    pub(super) fn survivors(&self) -> impl Iterator<Item = Expected> + '_ {
        let mut state = self.now.clone();
        let first = core::iter::once(state.clone());
        first.chain(self.pending.iter().map(move |pending| {
            state.write(&pending.write, pending.stamp, None);
            state.clone()
        }))
    }

    /// This is what was there after a power cut.
    pub(super) fn restarted(&mut self, found: Expected) {
        let locks = core::mem::take(&mut self.now.locks);
        self.now = Expected { locks, ..found };
        for pending in self.pending.drain(..) {
            self.stamp.1 = self.stamp.1.max(pending.stamp.1);
            // A lock that was being taken or given back at that moment may be held or not.
            if let Write::Lock(_, key, _) = pending.write {
                self.now.locks.insert(key, (0, u64::MAX));
            }
        }
        self.stamp.0 = 0;
    }

    pub(super) fn list(&self, service: &ServiceKey) -> List {
        let of = self.now.instances.get(service).into_iter().flatten();
        of.map(|(key, version)| (key.clone(), (true, version.clone())))
            .collect()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = ServiceKey> + '_ {
        self.now.instances.keys().cloned()
    }

    /// The text of what differs.
    pub(super) fn word(of: &Expected) -> String {
        format!(
            "configs {:?}, namespaces {:?}, instances {:?}",
            of.configs.keys().map(|k| &*k.data_id).collect::<Vec<_>>(),
            of.namespaces,
            of.instances
        )
    }
}
