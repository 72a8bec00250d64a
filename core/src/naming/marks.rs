//! Marks on durable words whose instance or service is gone: after a while the leader proposes to forget them.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::Naming;
use crate::{
    log::Command,
    model::{InstanceKey, ServiceKey},
};

/// How long words outlive what they are about (`nacos.naming.clean.expired-metadata.expired-time`).
const EXPIRED: u64 = 60_000;
/// How long until an unanswered proposal is made again (`…expired-metadata.interval`).
const AGAIN: u64 = 5_000;
/// How many a command forgets at most.
const BATCH: usize = 500;

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Mark {
    /// Operators' words on an instance.
    Instance(ServiceKey, InstanceKey),
    /// Metadata of a service.
    Service(ServiceKey),
}

/// Marks with their deadlines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Marks {
    deadlines: BTreeMap<Mark, u64>,
    order: BTreeSet<(u64, Mark)>,
}

impl Marks {
    /// Marks what is gone since `since`, unless it is marked already.
    pub(super) fn set(&mut self, mark: Mark, since: u64) {
        if !self.deadlines.contains_key(&mark) {
            self.put(mark, since + EXPIRED + 1);
        }
    }

    pub(super) fn clear(&mut self, mark: &Mark) {
        if let Some(at) = self.deadlines.remove(mark) {
            self.order.remove(&(at, mark.clone()));
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// What is marked.
    #[cfg(test)]
    pub(super) fn marked(&self) -> BTreeSet<Mark> {
        assert_eq!(self.deadlines.len(), self.order.len());
        self.deadlines.keys().cloned().collect()
    }

    /// All marks count from `now`.
    pub(super) fn start_again(&mut self, now: u64) {
        for mark in self.deadlines.keys().cloned().collect::<Vec<_>>() {
            self.put(mark, now + EXPIRED + 1);
        }
    }

    fn put(&mut self, mark: Mark, at: u64) {
        self.clear(&mark);
        self.deadlines.insert(mark.clone(), at);
        self.order.insert((at, mark));
    }

    /// A mark that is due; it comes again later, until what it is on is forgotten.
    fn due(&mut self, now: u64) -> Option<Mark> {
        let (_, mark) = self.order.first().filter(|(at, _)| *at <= now)?.clone();
        self.put(mark.clone(), now + AGAIN);
        Some(mark)
    }
}

impl Naming {
    /// Commands that forget what is marked for long enough.
    pub(super) fn take_expired(&mut self) -> Vec<Command> {
        let now = self.mono();
        let mut commands = Vec::new();
        let (mut instances, mut services) = (Vec::new(), Vec::new());
        while let Some(mark) = self.volatile.marks.due(now) {
            match mark {
                Mark::Instance(service, key) => instances.push((service, key)),
                Mark::Service(service) => services.push(service),
            }
            if instances.len() + services.len() == BATCH {
                commands.push(Command::ExpireMetadata {
                    instances: core::mem::take(&mut instances),
                    services: core::mem::take(&mut services),
                });
            }
        }
        if !(instances.is_empty() && services.is_empty()) {
            commands.push(Command::ExpireMetadata {
                instances,
                services,
            });
        }
        commands
    }
}
