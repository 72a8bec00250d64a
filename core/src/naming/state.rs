//! The two halves of what naming knows.
//!
//! Clients, services and records refer to each other by number. A record is one instance published by one client;
//! a persistent instance has a record too, made from its durable row, so that readers, checks and counts know one
//! kind of thing.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::{Switches, changes::Dirty, marks::Marks, order::Order, probes::Check, slab::Slab};
use crate::{
    lookup::Lookup,
    model::{Instance, InstanceKey, Metadata, OperatorMetadata, ServiceKey, ServiceMetadata},
    node::{
        input::{ConnDetails, ConnId, Now},
        output::ProbeTarget,
    },
};

/// What commands change: a function of the log alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Durable {
    pub(super) services: BTreeMap<ServiceKey, Arc<ServiceMetadata>>,
    /// Persistent instances; none of the inner maps is empty. One for each `ip:port` of a service.
    pub(super) instances: BTreeMap<ServiceKey, BTreeMap<InstanceKey, Arc<Instance>>>,
    /// Operators' words; none of the inner maps is empty.
    pub(super) operators: BTreeMap<ServiceKey, BTreeMap<InstanceKey, OperatorMetadata>>,
    pub(super) switches: Arc<Switches>,
    /// The texts that made the switches what they are, as (entry, value) by the part that they set.
    pub(super) switched: BTreeMap<Arc<str>, (Arc<str>, Arc<str>)>,
}

impl Durable {
    /// Whether a service's instances are ephemeral, as far as durable state decides it.
    pub(super) fn ephemeral(&self, service: &ServiceKey) -> Option<bool> {
        match self.services.get(service) {
            Some(metadata) => Some(metadata.ephemeral),
            None => self.instances.contains_key(service).then_some(false),
        }
    }

    pub(super) fn operator(
        &self,
        service: &ServiceKey,
        key: &InstanceKey,
    ) -> Option<&OperatorMetadata> {
        self.operators.get(service)?.get(key)
    }
}

/// What lives as long as the node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Volatile {
    /// Newest time told.
    pub(super) now: Now,
    pub(super) clients: Slab<Client>,
    pub(super) services: Slab<Service>,
    pub(super) records: Slab<Record>,
    /// (client, service, record) of all records.
    pub(super) publications: BTreeSet<(u32, u32, u32)>,
    pub(super) conns: BTreeMap<ConnId, u32>,
    #[serde(skip)]
    pub(super) addresses: Lookup<Address, u32>,
    #[serde(skip)]
    pub(super) names: Lookup<ServiceKey, u32>,
    pub(super) timers: BTreeSet<(u64, Timer)>,
    /// What durable state waits to forget.
    pub(super) marks: Marks,
    pub(super) dirty: BTreeMap<ServiceKey, Dirty>,
    pub(super) switches_dirty: bool,
    /// Of each persistent record, how its probes went.
    pub(super) checks: BTreeMap<u32, Check>,
    /// Probes that run, with the record they are of.
    pub(super) probes: BTreeMap<u64, u32>,
    pub(super) wanted: Vec<(u64, ProbeTarget)>,
    /// Changes of health to propose.
    pub(super) flips: BTreeMap<(ServiceKey, InstanceKey), bool>,
    pub(super) flips_due: Option<u64>,
    /// No beat clock started before this.
    pub(super) floor: u64,
    /// Nobody's silence counts now.
    pub(super) busy: bool,
    pub(super) last_probe: u64,
    pub(super) last_revision: u64,
    pub(super) last_order: u64,
    pub(super) last_id: u64,
    /// State of the generator.
    pub(super) random: u64,
    /// Key of the look-ups' hashes.
    pub(super) hash_key: u64,
    /// Tells this node's instance ids from other nodes'.
    pub(super) worker: u64,
}

/// Things with a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Timer {
    /// A record's client may have been silent for too long.
    Beat(u32),
    /// A service has been empty for long.
    Empty(u32),
    /// A persistent record is to be probed.
    Probe(u32),
}

/// Identity of a client without a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Address {
    pub(super) ip: Arc<str>,
    pub(super) port: u16,
    pub(super) ephemeral: bool,
}

impl Address {
    /// That of a client which lives by beats.
    pub(super) fn of_beats(key: &InstanceKey) -> Self {
        Self {
            ip: key.ip.clone(),
            port: key.port,
            ephemeral: true,
        }
    }
}

/// Whose records they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum ClientKind {
    Connection {
        conn: ConnId,
        details: Box<ConnDetails>,
        since: u64,
    },
    Address(Address),
}

/// A client. One of an address lives as long as it has a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Client {
    pub(super) kind: ClientKind,
    /// When it last did something, wall clock.
    pub(super) updated: u64,
    pub(super) records: u32,
}

/// A service that exists: it has records, or durable metadata, or had one of them a short while ago.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) key: ServiceKey,
    pub(super) ephemeral: bool,
    /// As last told to readers.
    pub(super) revision: u64,
    /// Records in the order of (instance key, registration).
    pub(super) records: Order,
    /// How many different instance keys they have; of records with equal keys the newest is shown.
    pub(super) distinct: u32,
    /// Names of clusters that many instances share; forgotten when the service is empty.
    pub(super) clusters: Vec<Arc<str>>,
    /// Metadata of the newest instance, because the next one's are mostly the same.
    pub(super) metadata: Metadata,
    /// When the timer of its emptiness is set for; 0 if it is not.
    pub(super) armed: u64,
}

/// What keeps a record alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Liveness {
    Connection,
    Beats,
    Checked,
}

/// One instance published by one client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) client: u32,
    pub(super) service: u32,
    /// As published, with its present health.
    pub(super) published: Arc<Instance>,
    /// With operators' words laid over; the same allocation if there are none.
    pub(super) shown: Arc<Instance>,
    /// Grows with registrations.
    pub(super) order: u64,
    /// When it was last heard of, `mono`.
    pub(super) beat: u64,
    /// When its timer is set for; 0 if it is not.
    pub(super) armed: u64,
    pub(super) liveness: Liveness,
}

impl Record {
    pub(super) fn timer(&self, id: u32) -> Option<Timer> {
        match self.liveness {
            Liveness::Connection => None,
            Liveness::Beats => Some(Timer::Beat(id)),
            Liveness::Checked => Some(Timer::Probe(id)),
        }
    }
}

impl Volatile {
    /// Sets a record's timer, or unsets it (0).
    pub(super) fn arm_record(&mut self, id: u32, at: u64) {
        let record = &mut self.records[id];
        let Some(timer) = record.timer(id) else {
            return;
        };
        let old = core::mem::replace(&mut record.armed, at);
        self.set_timer(timer, old, at);
    }

    /// Sets the timer of a service's emptiness, or unsets it (0).
    pub(super) fn arm_service(&mut self, id: u32, at: u64) {
        let old = core::mem::replace(&mut self.services[id].armed, at);
        self.set_timer(Timer::Empty(id), old, at);
    }

    fn set_timer(&mut self, timer: Timer, old: u64, at: u64) {
        if old != 0 && old != at {
            self.timers.remove(&(old, timer));
        }
        if at != 0 {
            self.timers.insert((at, timer));
        }
    }
}
