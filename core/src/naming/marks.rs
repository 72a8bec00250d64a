//! Marks on what is gone. Durable words whose instance or service is gone: after a while the leader proposes to forget
//! them. Addresses that withdrew: a beat of theirs may still be under way, and must not bring them back.
//!
//! (The Go 1.x client sends its first beat beside the registration, and both beats and deregistration from threads of their
//! own. A full beat that is overtaken would register an instance which is then called for half a minute, and nothing there.)

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::{Naming, state::Address};
use crate::{
    log::Command,
    model::{InstanceKey, ServiceKey},
};

/// How long words outlive what they are about (`nacos.naming.clean.expired-metadata.expired-time`).
const EXPIRED: u64 = 60_000;
/// How long a beat may be under way: less than clients wait between two, so that who lives on is back with its next.
const UNDER_WAY: u64 = 1_000;
/// How long until an unanswered proposal is made again (`…expired-metadata.interval`).
const AGAIN: u64 = 5_000;
/// How many a command forgets at most.
const BATCH: usize = 500;

/// What is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Mark {
    /// Operators' words on an instance.
    Instance(ServiceKey, InstanceKey),
    /// Metadata of a service.
    Service(ServiceKey),
    /// An address that withdrew from a service.
    Address(ServiceKey, Address),
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

    /// An address withdrew from a service at `now`, perhaps once more.
    pub(super) fn withdrew(&mut self, service: ServiceKey, address: Address, now: u64) {
        self.put(Mark::Address(service, address), now + UNDER_WAY);
    }

    /// Whether a beat that arrives at `now` may have been sent before its address withdrew from the service.
    pub(super) fn withdrew_lately(
        &self,
        service: &ServiceKey,
        address: &Address,
        now: u64,
    ) -> bool {
        let mark = Mark::Address(service.clone(), address.clone());
        self.deadlines.get(&mark).is_some_and(|at| now < *at)
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

    /// What words are marked.
    #[cfg(test)]
    pub(super) fn words(&self) -> BTreeSet<Mark> {
        assert_eq!(self.deadlines.len(), self.order.len());
        let words = self.deadlines.keys();
        words
            .filter(|mark| !matches!(mark, Mark::Address(..)))
            .cloned()
            .collect()
    }

    /// All words that are marked wait from `now` on.
    pub(super) fn start_again(&mut self, now: u64) {
        for mark in self.deadlines.keys().cloned().collect::<Vec<_>>() {
            if !matches!(mark, Mark::Address(..)) {
                self.put(mark, now + EXPIRED + 1);
            }
        }
    }

    fn put(&mut self, mark: Mark, at: u64) {
        self.clear(&mark);
        self.deadlines.insert(mark.clone(), at);
        self.order.insert((at, mark));
    }

    /// A mark that is due; on words it comes again later, until they are forgotten.
    fn due(&mut self, now: u64) -> Option<Mark> {
        let (_, mark) = self.order.first().filter(|(at, _)| *at <= now)?.clone();
        match mark {
            Mark::Address(..) => self.clear(&mark),
            _ => self.put(mark.clone(), now + AGAIN),
        }
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
                Mark::Address(..) => continue,
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

#[cfg(test)]
mod tests {
    use super::super::trial::{Trial, instance, known};

    fn left() -> Trial {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        trial.deregister("s", 1).unwrap();
        trial
    }

    #[test]
    fn a_beat_overtaken_by_the_deregistration_is_answered_and_registers_nothing() {
        let mut trial = left();
        trial.pass(999);
        assert!(known(&trial.full_beat("s", 1)));
        assert_eq!(trial.health("s", 1), None);
        assert!(!known(&trial.beat("s", 1)), "a light beat is told so");
        trial.pass(1);
        assert!(known(&trial.full_beat("s", 1)));
        assert_eq!(
            trial.health("s", 1),
            Some(true),
            "who lives on comes back with the next beat"
        );
    }

    #[test]
    fn only_beats_of_that_address_and_service_are_held_off() {
        let mut trial = left();
        trial.full_beat("s", 2).unwrap();
        trial.full_beat("t", 1).unwrap();
        assert_eq!(
            (trial.health("s", 2), trial.health("t", 1)),
            (Some(true), Some(true))
        );
    }

    #[test]
    fn a_registration_is_taken_at_once_and_its_beats_with_it() {
        let mut trial = left();
        trial.register("s", instance(1)).unwrap();
        assert!(known(&trial.full_beat("s", 1)));
        assert_eq!(trial.health("s", 1), Some(true));
    }

    #[test]
    fn a_second_departure_counts_anew() {
        let mut trial = left();
        trial.pass(600);
        trial.register("s", instance(1)).unwrap();
        trial.deregister("s", 1).unwrap();
        trial.pass(600);
        trial.full_beat("s", 1).unwrap();
        assert_eq!(trial.health("s", 1), None);
    }

    #[test]
    fn who_went_by_silence_comes_back_with_any_beat() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        trial.pass(30_001);
        assert_eq!(trial.health("s", 1), None);
        trial.full_beat("s", 1).unwrap();
        assert_eq!(trial.health("s", 1), Some(true));
    }

    #[test]
    fn a_second_later_nothing_is_left() {
        let mut trial = left();
        assert_eq!(trial.naming.volatile.marks.len(), 1);
        trial.pass(1_000);
        assert_eq!(trial.naming.volatile.marks.len(), 0);
        trial.pass(60_000);
        assert!(trial.is_blank());
    }
}
