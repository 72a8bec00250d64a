//! Both halves of the state as bytes, for engine swaps and for comparing engines: what is restored from them gives
//! the same outputs from then on.

use alloc::vec::Vec;

use super::{
    Naming,
    state::{Address, ClientKind, Durable, Timer, Volatile},
};
use crate::{
    log::{Decode, decode, encode},
    lookup::Lookup,
    model::ServiceKey,
};

impl Naming {
    /// The durable half. Equal states give equal bytes.
    #[must_use]
    pub fn durable_bytes(&self) -> Vec<u8> {
        encode(&self.durable)
    }

    /// Masks what active checks log in with: for a copy that is written down.
    pub fn mask(&mut self) {
        for metadata in self.durable.services.values_mut() {
            alloc::sync::Arc::make_mut(metadata).mask();
        }
    }

    /// The volatile half.
    #[must_use]
    pub fn volatile_bytes(&self) -> Vec<u8> {
        encode(&self.volatile)
    }

    /// The state whose halves these are. Both must be of the same moment.
    ///
    /// # Errors
    /// The bytes are damaged or of a later release.
    pub fn from_bytes(durable: &[u8], volatile: &[u8]) -> Result<Self, Decode> {
        let mut naming = Self {
            durable: decode::<Durable>(durable)?,
            volatile: decode::<Volatile>(volatile)?,
        };
        if !naming.coheres() {
            return Err(Decode::Malformed);
        }
        naming.index();
        naming.share();
        Ok(naming)
    }

    /// Whether all numbers lead to something.
    fn coheres(&self) -> bool {
        let v = &self.volatile;
        let record = |id: &u32| v.records.contains(*id);
        let timer = |timer: &Timer| match timer {
            Timer::Beat(id) | Timer::Probe(id) => v.records.contains(*id),
            Timer::Empty(id) => v.services.contains(*id),
        };
        v.records
            .iter()
            .all(|(_, r)| v.services.contains(r.service) && v.clients.contains(r.client))
            && v.services
                .iter()
                .all(|(_, s)| s.records.ids().all(|id| record(&id)))
            && v.publications
                .iter()
                .all(|(c, s, r)| v.clients.contains(*c) && v.services.contains(*s) && record(r))
            && v.conns.values().all(|client| v.clients.contains(*client))
            && v.timers.iter().all(|(_, t)| timer(t))
            && v.checks.keys().all(record)
            && v.probes.values().all(record)
    }

    /// Entries of the look-ups.
    #[cfg(test)]
    pub(crate) fn look_ups(&self) -> usize {
        self.volatile.names.len() + self.volatile.addresses.len()
    }

    /// Makes the look-ups again, which are not written.
    pub(super) fn index(&mut self) {
        let volatile = &mut self.volatile;
        let mut names: Lookup<ServiceKey, u32> = Lookup::with_seed(volatile.hash_key);
        for (id, service) in volatile.services.iter() {
            names.insert(service.key.clone(), id);
        }
        volatile.names = names;
        for (_, service) in volatile.services.iter_mut() {
            service.records.index(&volatile.records);
        }
        let mut addresses: Lookup<Address, u32> = Lookup::with_seed(volatile.hash_key);
        for (id, client) in volatile.clients.iter() {
            if let ClientKind::Address(address) = &client.kind {
                addresses.insert(address.clone(), id);
            }
        }
        volatile.addresses = addresses;
    }

    /// Gives equal values one allocation again.
    fn share(&mut self) {
        let volatile = &mut self.volatile;
        for (_, record) in volatile.records.iter_mut() {
            if record.shown == record.published {
                record.shown = record.published.clone();
            }
            let key = &volatile.services[record.service].key;
            let durable = self
                .durable
                .instances
                .get_mut(key)
                .and_then(|all| all.get_mut(&record.published.key));
            if let Some(durable) = durable.filter(|i| **i == record.published) {
                *durable = record.published.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use super::super::trial::{Trial, instance};
    use super::*;
    use crate::model::Instance;

    fn two() -> Trial {
        let mut trial = Trial::new();
        trial.connect(1);
        trial.register("s", instance(1)).unwrap();
        trial
            .register(
                "p",
                Instance {
                    ephemeral: false,
                    ..instance(2)
                },
            )
            .unwrap();
        trial
    }

    #[test]
    fn a_copy_shares_equal_values_again() {
        let trial = two();
        let copy = trial.swapped();
        let records = copy.volatile.records.iter();
        let held: Vec<usize> = records
            .map(|(_, r)| Arc::strong_count(&r.published))
            .collect();
        // As published and as shown; a persistent one in durable state too.
        assert_eq!(held, [2, 3]);
    }

    #[test]
    fn damaged_bytes_are_refused_or_cohere() {
        let trial = two();
        let (durable, volatile) = (trial.naming.durable_bytes(), trial.naming.volatile_bytes());
        assert_eq!(Naming::from_bytes(&durable, &[]).err(), Some(Decode::Empty));
        let mut refused = 0;
        for at in 1..volatile.len() {
            for bit in 0..8 {
                let mut damaged = volatile.clone();
                damaged[at] ^= 1 << bit;
                match Naming::from_bytes(&durable, &damaged) {
                    Ok(naming) => drop(naming.clients()),
                    Err(_) => refused += 1,
                }
            }
            assert!(Naming::from_bytes(&durable, &volatile[..at]).is_err());
        }
        assert!(refused > volatile.len());
    }
}
