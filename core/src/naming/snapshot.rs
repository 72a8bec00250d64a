//! Both halves of the state as bytes, for engine swaps and for comparing engines: what is restored from them gives
//! the same outputs from then on.

use alloc::vec::Vec;

use super::{
    Naming,
    state::{Address, ClientKind, Durable, Volatile},
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
        naming.index();
        naming.share();
        Ok(naming)
    }

    /// Makes the look-ups again, which are not written.
    pub(super) fn index(&mut self) {
        let volatile = &mut self.volatile;
        let mut names: Lookup<ServiceKey, u32> = Lookup::with_seed(volatile.hash_key);
        for (id, service) in volatile.services.iter() {
            names.insert(service.key.clone(), id);
        }
        volatile.names = names;
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
