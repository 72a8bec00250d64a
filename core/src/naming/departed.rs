//! Addresses that withdrew a moment ago: a beat of theirs may still be under way, and must not bring them back.
//!
//! The Go 1.x client sends its first beat beside the registration and stops its beats after the deregistration, each on a
//! thread of its own. A full beat that is overtaken by the deregistration would register the instance again, which would
//! then be called for half a minute although nothing is there.

use alloc::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::state::Address;
use crate::model::ServiceKey;

/// How long a beat may be under way, milliseconds: less than clients wait between two, so that one who lives on is back
/// with its next.
const UNDER_WAY: u64 = 1_000;

type Place = (ServiceKey, Address);

/// Who withdrew from which service within the last second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Departed {
    until: BTreeMap<Place, u64>,
    /// In the order in which they are forgotten; an entry that does not say what `until` says is of a departure before.
    order: VecDeque<(u64, Place)>,
}

impl Departed {
    /// An address withdrew at `now`.
    pub(super) fn add(&mut self, service: ServiceKey, address: Address, now: u64) {
        let (at, place) = (now + UNDER_WAY, (service, address));
        self.until.insert(place.clone(), at);
        self.order.push_back((at, place));
    }

    /// Whether a beat that arrives at `now` may have been sent before its address withdrew.
    pub(super) fn has(&self, service: &ServiceKey, address: &Address, now: u64) -> bool {
        // Asked only for beats of what is unknown, so the key may be made.
        !self.until.is_empty()
            && self
                .until
                .get(&(service.clone(), address.clone()))
                .is_some_and(|at| now < *at)
    }

    /// Forgets whose time is over.
    pub(super) fn forget(&mut self, now: u64) {
        while let Some((at, place)) = self.order.pop_front_if(|(at, _)| *at <= now) {
            if self.until.get(&place) == Some(&at) {
                self.until.remove(&place);
            }
        }
    }

    /// When there is something to forget.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.order.front().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
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
        assert_eq!(trial.naming.volatile.departed.len(), 1);
        trial.pass(1_000);
        assert_eq!(trial.naming.volatile.departed.len(), 0);
        trial.pass(60_000);
        assert!(trial.is_blank());
    }
}
