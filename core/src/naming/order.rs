//! The records of a service in the order of their instance keys.
//!
//! Each look at a record's key follows three pointers, and a search looks at many. So the beginning of each key stands here,
//! beside the record's number: most keys differ in it.

use alloc::vec::Vec;
use core::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{slab::Slab, state::Record};
use crate::model::{InstanceKey, KeyHead};

/// Places that are kept when most of them are empty.
const KEPT: usize = 64;

/// Records by (instance key, registration). Their numbers alone are written; [`Order::index`] makes the rest again.
#[derive(Clone, Debug, Default)]
pub(super) struct Order(Vec<Place>);

#[derive(Clone, Copy, Debug)]
struct Place {
    head: KeyHead,
    record: u32,
}

impl Order {
    /// The records' numbers, in their order.
    pub(super) fn ids(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.0.iter().map(|place| place.record)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The records of one instance key, oldest first.
    pub(super) fn of(
        &self,
        records: &Slab<Record>,
        key: &InstanceKey,
    ) -> impl Iterator<Item = u32> {
        let from = self.search(key, |other| records[other].published.key < *key);
        let same = move |record: &u32| records[*record].published.key == *key;
        self.0[from..].iter().map(|p| p.record).take_while(same)
    }

    /// The newest record of an instance key.
    pub(super) fn newest(&self, records: &Slab<Record>, key: &InstanceKey) -> Option<u32> {
        let after = self.search(key, |other| records[other].published.key <= *key);
        self.at(records, after.checked_sub(1)?, key)
    }

    /// Takes a record in, as the newest of its key; whether it is the only one of its key.
    pub(super) fn insert(&mut self, records: &Slab<Record>, record: u32) -> bool {
        let key = &records[record].published.key;
        let after = self.search(key, |other| records[other].published.key <= *key);
        let twin = after > 0 && self.at(records, after - 1, key).is_some();
        let head = key.head();
        self.0.insert(after, Place { head, record });
        !twin
    }

    /// Takes a record out; whether there is no other of its key.
    pub(super) fn remove(&mut self, records: &Slab<Record>, record: u32) -> bool {
        let (key, order) = (&records[record].published.key, records[record].order);
        let at = self.search(key, |other| {
            let other = &records[other];
            (&other.published.key, other.order) < (key, order)
        });
        let twin = |at: usize| self.at(records, at, key).is_some();
        let alone = !(twin(at + 1) || (at > 0 && twin(at - 1)));
        self.0.remove(at);
        if self.0.capacity() > KEPT && self.0.len() * 4 < self.0.capacity() {
            self.0.shrink_to(self.0.len() * 2);
        }
        alone
    }

    /// Makes again what is not written.
    pub(super) fn index(&mut self, records: &Slab<Record>) {
        for place in &mut self.0 {
            place.head = records[place.record].published.key.head();
        }
    }

    /// The record at a place, if it is of this key.
    fn at(&self, records: &Slab<Record>, at: usize, key: &InstanceKey) -> Option<u32> {
        let place = self.0.get(at)?;
        let same = place.head == key.head() && records[place.record].published.key == *key;
        same.then_some(place.record)
    }

    /// How many come before a key: those whose keys begin with less, and of those that begin alike who `comes`.
    fn search(&self, key: &InstanceKey, comes: impl Fn(u32) -> bool) -> usize {
        let head = key.head();
        self.0.partition_point(|place| match place.head.cmp(&head) {
            Ordering::Less => true,
            Ordering::Equal => comes(place.record),
            Ordering::Greater => false,
        })
    }
}

impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.ids())
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ids = Vec::<u32>::deserialize(deserializer)?;
        let head = KeyHead::default();
        let place = |record| Place { head, record };
        Ok(Self(ids.into_iter().map(place).collect()))
    }
}
