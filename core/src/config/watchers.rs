//! The volatile half of configs: who waits for a change. Parked long polls (HTTP) and listens (gRPC connections).
//!
//! Whoever watches is told of a change only if what *this* watcher would get changed: its address and tag decide
//! between gray versions and the formal one. Each watched config is kept as it was when its watchers were last told,
//! so nothing is kept per watcher and config but who watches what: for a parked poll 4 bytes and a bit in a word that it
//! mostly shares (see `parked`).
//!
//! After each change of a config the node calls [`Watchers::changed`]; then, once an input, [`Watchers::wake`].

mod names;
mod parked;
mod questions;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use self::{names::Names, parked::PollsByName};
use super::{Configs, gray::effective_md5, slots::Slots};
use crate::{
    log::{Decode, decode, encode},
    model::{ConfigItem, ConfigKey, Md5},
    node::{
        Step, Turn,
        input::{ConnId, Now},
        reply::{Answered, Refusal, Reply},
    },
};

/// How many polls are answered per input at most; the rest follow at once, by the deadline.
pub const WAKES_PER_INPUT: usize = 1024;

/// How much may be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchLimits {
    /// Parked polls.
    pub polls: u32,
    /// Configs of one poll (Nacos: 10 000).
    pub keys_per_poll: u32,
    /// Configs of all parked polls, each counted for each poll.
    pub poll_keys: u64,
    /// How long a poll is parked, milliseconds; longer wishes are cut to this.
    pub poll_wait_ms: u64,
    /// Configs that one connection listens to.
    pub listens_per_connection: u32,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            polls: 100_000,
            keys_per_poll: 10_000,
            poll_keys: 4_000_000,
            poll_wait_ms: 600_000,
            listens_per_connection: 50_000,
        }
    }
}

/// Parked polls and listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watchers {
    limits: WatchLimits,
    names: Names,
    polls: Slots<Poll>,
    poll_of_request: BTreeMap<u64, u32>,
    polls_by_name: PollsByName,
    poll_keys: u64,
    /// (time by the monotonic clock, poll).
    timers: BTreeSet<(u64, u32)>,
    /// Polls to be answered, in that order; one that went meanwhile is passed over.
    due: VecDeque<u32>,
    conns: BTreeMap<ConnId, Conn>,
    conns_by_name: BTreeSet<(u32, ConnId)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Poll {
    /// Id of its request.
    id: u64,
    ip: Arc<str>,
    tag: Arc<str>,
    until: u64,
    since: u64,
    /// Watched names, by position in the request.
    names: Box<[u32]>,
    /// The name that changed, once one did.
    changed: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Conn {
    ip: Arc<str>,
    since: u64,
    /// By watched name.
    listens: BTreeMap<u32, Listen>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Listen {
    /// What the client said it has.
    md5: Option<Md5>,
    blank_tenant: bool,
    tag: Arc<str>,
}

impl Watchers {
    /// Nobody yet.
    #[must_use]
    pub fn new(limits: WatchLimits) -> Self {
        Self {
            limits,
            names: Names::default(),
            polls: Slots::default(),
            poll_of_request: BTreeMap::new(),
            polls_by_name: PollsByName::default(),
            poll_keys: 0,
            timers: BTreeSet::new(),
            due: VecDeque::new(),
            conns: BTreeMap::new(),
            conns_by_name: BTreeSet::new(),
        }
    }

    /// A long poll. One that does not want to wait is answered with the positions of all configs that differ from what
    /// the caller would get. One that waits is told the first that differs, at once or when it changes.
    ///
    /// A config that does not exist (or not for this caller) has no MD5.
    pub fn poll(
        &mut self,
        turn: Turn<'_>,
        keys: &[(ConfigKey, Option<Md5>)],
        wait_ms: u64,
        tag: &Arc<str>,
        configs: &Configs,
    ) -> Step {
        if keys.len() > self.limits.keys_per_poll as usize {
            return reached("max keys per poll");
        }
        let ip = &turn.origin.ip;
        let differing = positions(
            keys.iter()
                .map(|(key, md5)| *md5 != self.md5_for(key, ip, tag, configs)),
        );
        if wait_ms == 0 {
            return Ok(Reply::Changed(differing)).into();
        }
        if let Some(&position) = differing.first() {
            let key = keys[position as usize].0.clone();
            return Ok(Reply::Woken { position, key }).into();
        }
        if self.polls.len() >= self.limits.polls as usize {
            return reached("max polls");
        }
        if self.poll_keys + keys.len() as u64 > self.limits.poll_keys {
            return reached("max keys of all polls");
        }
        let names: Box<[u32]> = keys
            .iter()
            .map(|(key, _)| self.names.intern(key, configs))
            .collect();
        let until = turn
            .now
            .mono
            .saturating_add(wait_ms.min(self.limits.poll_wait_ms));
        self.poll_keys += names.len() as u64;
        let poll = Poll {
            id: turn.id,
            ip: ip.clone(),
            tag: tag.clone(),
            until,
            since: turn.now.wall,
            names: Box::default(),
            changed: None,
        };
        let slot = self.polls.insert(poll);
        for name in &names {
            if self.polls_by_name.insert(*name, slot) {
                self.names.watch(*name);
            }
        }
        if let Some(poll) = self.polls.get_mut(slot) {
            poll.names = names;
        }
        self.timers.insert((until, slot));
        self.poll_of_request.insert(turn.id, slot);
        Step::Parked
    }

    /// A batch of listens of a connection, answered with the positions of those that differ from what it would get; or
    /// the end of listens, answered with none.
    pub fn listen(
        &mut self,
        turn: Turn<'_>,
        listen: bool,
        keys: &[(ConfigKey, Option<Md5>, bool)],
        tag: &Arc<str>,
        configs: &Configs,
    ) -> Step {
        let Some(id) = turn.origin.conn else {
            return Err(Refusal::Unregistered).into();
        };
        if !listen {
            for (key, ..) in keys {
                self.stop_listening(id, key);
            }
            return Ok(Reply::Changed(Vec::new())).into();
        }
        if self.would_listen_to(id, keys) > self.limits.listens_per_connection as usize {
            return reached("max listens per connection");
        }
        let ip = &turn.origin.ip;
        let differing = positions(
            keys.iter()
                .map(|(key, md5, _)| *md5 != self.md5_for(key, ip, tag, configs)),
        );
        if keys.is_empty() {
            return Ok(Reply::Changed(differing)).into();
        }
        let conn = self.conns.entry(id).or_insert_with(|| Conn {
            ip: ip.clone(),
            since: turn.now.wall,
            listens: BTreeMap::new(),
        });
        for (key, md5, blank_tenant) in keys {
            let name = self.names.intern(key, configs);
            conn.listens.insert(
                name,
                Listen {
                    md5: *md5,
                    blank_tenant: *blank_tenant,
                    tag: tag.clone(),
                },
            );
            if self.conns_by_name.insert((name, id)) {
                self.names.watch(name);
            }
        }
        Ok(Reply::Changed(differing)).into()
    }

    /// To how many configs a connection would listen with these.
    fn would_listen_to(&self, id: ConnId, keys: &[(ConfigKey, Option<Md5>, bool)]) -> usize {
        let Some(conn) = self.conns.get(&id) else {
            return keys.len();
        };
        let known = |key| {
            self.names
                .find(key)
                .is_some_and(|name| conn.listens.contains_key(&name))
        };
        conn.listens.len() + keys.iter().filter(|(key, ..)| !known(key)).count()
    }

    fn stop_listening(&mut self, id: ConnId, key: &ConfigKey) {
        let Some(name) = self.names.find(key) else {
            return;
        };
        if self.conns_by_name.remove(&(name, id)) {
            self.names.unwatch(name);
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.listens.remove(&name);
                if conn.listens.is_empty() {
                    self.conns.remove(&id);
                }
            }
        }
    }

    /// A connection ended.
    pub fn disconnected(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(&id) else {
            return;
        };
        for name in conn.listens.into_keys() {
            self.conns_by_name.remove(&(name, id));
            self.names.unwatch(name);
        }
    }

    /// MD5 of what a caller would get; of a watched config as its watchers know it.
    fn md5_for(&self, key: &ConfigKey, ip: &str, tag: &str, configs: &Configs) -> Option<Md5> {
        let item = match self.names.find(key).and_then(|name| self.names.get(name)) {
            Some(watched) => watched.item.as_deref(),
            None => configs.get(key).map(|item| &**item),
        };
        effective_md5(item, ip, tag)
    }

    /// A config changed. Polls for which it did become due, see [`Self::wake`]. Gives the connections to notify, in
    /// the order of their ids, and whether each spelt the default namespace as nothing.
    ///
    /// A connection is notified of every change of what it would get, also of one back to what it said it has: it may
    /// have read the change before without having said so.
    pub fn changed(
        &mut self,
        key: &ConfigKey,
        item: Option<&Arc<ConfigItem>>,
    ) -> Vec<(ConnId, bool)> {
        let Some(name) = self.names.find(key) else {
            return Vec::new();
        };
        let Some(watched) = self.names.get_mut(name) else {
            return Vec::new();
        };
        let old = core::mem::replace(&mut watched.item, item.cloned());
        let (old, new) = (old.as_deref(), item.map(|item| &**item));
        if crate::planted!(NewConfigWakesNobody) && old.is_none() {
            return Vec::new();
        }
        // Without gray versions all watchers get the same.
        let all_get_the_same = [old, new]
            .into_iter()
            .flatten()
            .all(|item| item.grays.is_empty());
        if all_get_the_same && effective_md5(old, "", "") == effective_md5(new, "", "") {
            return Vec::new();
        }
        let differs = |ip: &str, tag: &str| {
            all_get_the_same || effective_md5(old, ip, tag) != effective_md5(new, ip, tag)
        };
        for slot in self.polls_by_name.of(name) {
            if let Some(poll) = self.polls.get_mut(slot)
                && poll.changed.is_none()
                && differs(&poll.ip, &poll.tag)
            {
                poll.changed = Some(name);
                self.due.push_back(slot);
            }
        }
        self.conns_by_name
            .range((name, ConnId(0))..=(name, ConnId(u64::MAX)))
            .filter_map(|(_, id)| {
                let conn = self.conns.get(id)?;
                let listen = conn.listens.get(&name)?;
                differs(&conn.ip, &listen.tag).then_some((*id, listen.blank_tenant))
            })
            .collect()
    }

    /// Answers polls that are due, at most [`WAKES_PER_INPUT`]. Called once an input; the deadline sees to the rest.
    pub fn wake(&mut self) -> Vec<(u64, Answered)> {
        let mut answers = Vec::new();
        while answers.len() < WAKES_PER_INPUT
            && let Some(slot) = self.due.pop_front()
        {
            // The place may belong to a later poll by now.
            if self
                .polls
                .get(slot)
                .is_some_and(|poll| poll.changed.is_some())
            {
                answers.extend(self.answer(slot));
            }
        }
        if self.due.is_empty() {
            // The memory of a storm is given back.
            self.due = VecDeque::new();
        }
        answers
    }

    /// Takes a poll out and makes its answer: the config that changed, or none if its time is up.
    fn answer(&mut self, slot: u32) -> Option<(u64, Answered)> {
        let poll = self.polls.get(slot)?;
        let woken = poll.changed.and_then(|changed| {
            let at = poll.names.iter().position(|name| *name == changed)?;
            let key = self.names.get(changed)?.key.clone();
            Some(Reply::Woken {
                position: u32::try_from(at).ok()?,
                key,
            })
        });
        let poll = self.take(slot)?;
        Some((poll.id, Ok(woken.unwrap_or(Reply::Changed(Vec::new())))))
    }

    fn take(&mut self, slot: u32) -> Option<Poll> {
        let poll = self.polls.remove(slot)?;
        for name in &poll.names {
            if self.polls_by_name.remove(*name, slot) && !crate::planted!(PollLeaksItsNames) {
                self.names.unwatch(*name);
            }
        }
        self.poll_keys -= poll.names.len() as u64;
        self.timers.remove(&(poll.until, slot));
        self.poll_of_request.remove(&poll.id);
        Some(poll)
    }

    /// The caller of a parked poll went away; it is not answered.
    pub fn gone(&mut self, id: u64) {
        if let Some(slot) = self.poll_of_request.get(&id) {
            self.take(*slot);
        }
    }

    /// When [`Self::tick`] has something to do, by the monotonic clock, milliseconds; 0 for at once.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.due.is_empty() {
            self.timers.first().map(|(until, _)| *until)
        } else {
            Some(0)
        }
    }

    /// Answers polls that are due, then those whose time is up; at most [`WAKES_PER_INPUT`] in all.
    pub fn tick(&mut self, now: Now) -> Vec<(u64, Answered)> {
        let mut answers = self.wake();
        while answers.len() < WAKES_PER_INPUT
            && let Some(&(until, slot)) = self.timers.first()
            && until <= now.mono
        {
            answers.extend(self.answer(slot));
        }
        answers
    }

    /// Answers every parked poll, in the order of their requests; for a node that stops.
    pub fn answer_all(&mut self) -> Vec<(u64, Answered)> {
        let slots: Vec<u32> = self.poll_of_request.values().copied().collect();
        self.due.clear();
        slots
            .into_iter()
            .filter_map(|slot| self.answer(slot))
            .collect()
    }

    /// The whole state as bytes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`Self::snapshot`] wrote; configs that are as in `configs` are shared with them again.
    ///
    /// # Errors
    /// The bytes are not of this release.
    pub fn from_snapshot(bytes: &[u8], configs: &Configs) -> Result<Self, Decode> {
        let mut watchers: Self = decode(bytes)?;
        watchers.names.share(configs);
        Ok(watchers)
    }
}

fn positions(differ: impl Iterator<Item = bool>) -> Vec<u32> {
    (0_u32..)
        .zip(differ)
        .filter_map(|(at, differs)| differs.then_some(at))
        .collect()
}

fn reached(limit: &str) -> Step {
    Err(Refusal::LimitReached(String::from(limit))).into()
}

#[cfg(test)]
mod tests;
