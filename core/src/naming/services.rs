//! Services: when they come to be, of which kind they are, and when an empty one goes.

use alloc::{sync::Arc, vec::Vec};

use super::{
    Naming,
    marks::Mark,
    state::{Liveness, Service},
};
use crate::model::{Instance, InstanceKey, Metadata, ServiceKey};

/// How long a service without records and metadata is kept (`nacos.naming.clean.empty-service.expired-time`).
pub(super) const EMPTY_SERVICE: u64 = 60_000;

impl Naming {
    /// The number of a service, if it exists.
    pub(super) fn service_id(&self, key: &ServiceKey) -> Option<u32> {
        self.volatile.names.get(key).copied()
    }

    /// The number of a service, made if it does not exist. Who adds no record calls [`Naming::review_empty`] next.
    pub(super) fn service_made(&mut self, key: &ServiceKey, ephemeral: bool) -> u32 {
        if let Some(id) = self.service_id(key) {
            return id;
        }
        self.note(key, None);
        let id = self.volatile.services.insert(Service {
            key: key.clone(),
            ephemeral,
            revision: 0,
            records: Vec::new(),
            distinct: 0,
            clusters: Vec::new(),
            metadata: Metadata::default(),
            armed: 0,
        });
        self.volatile.names.insert(key.clone(), id);
        id
    }

    /// Sets what follows from a service having records, metadata or neither: its timer, or the mark of its metadata.
    pub(super) fn review_empty(&mut self, id: u32) {
        let service = &mut self.volatile.services[id];
        let key = service.key.clone();
        let empty = service.records.is_empty();
        if empty {
            service.clusters = Vec::new();
            service.metadata = Metadata::default();
        }
        let described = self.durable.services.contains_key(&key);
        let now = self.mono();
        let armed = self.volatile.services[id].armed;
        match (empty && !described, armed) {
            (true, 0) => self.volatile.arm_service(id, now + EMPTY_SERVICE),
            (true, _) => {}
            (false, _) => self.volatile.arm_service(id, 0),
        }
        if empty && described {
            // First the service counts as gone, then its metadata as expired.
            self.volatile.marks.set(Mark::Service(key), now + EMPTY_SERVICE);
        } else {
            self.volatile.marks.clear(&Mark::Service(key));
        }
    }

    /// The timer of an empty service fired.
    pub(super) fn clean_empty(&mut self, id: u32) {
        self.volatile.services[id].armed = 0;
        self.forget_service(id);
    }

    /// Removes a service that has neither records nor metadata; another one is left alone.
    pub(super) fn forget_service(&mut self, id: u32) {
        let service = &self.volatile.services[id];
        if !service.records.is_empty() || self.durable.services.contains_key(&service.key) {
            return;
        }
        let key = service.key.clone();
        self.note(&key, None);
        self.volatile.arm_service(id, 0);
        self.volatile.marks.clear(&Mark::Service(key.clone()));
        self.volatile.names.remove(&key);
        self.volatile.services.remove(id);
    }

    /// Gives a service the kind that durable state wants; ephemeral records that raced a persistent kind go.
    pub(super) fn settle_kind(&mut self, id: u32) {
        let key = self.volatile.services[id].key.clone();
        let Some(ephemeral) = self.durable.ephemeral(&key) else { return };
        if self.volatile.services[id].ephemeral == ephemeral {
            return;
        }
        self.note(&key, None);
        self.volatile.services[id].ephemeral = ephemeral;
        let wrong: Vec<u32> = self.volatile.services[id]
            .records
            .iter()
            .copied()
            .filter(|r| (self.volatile.records[*r].liveness == Liveness::Checked) == ephemeral)
            .collect();
        for record in wrong {
            self.withdraw(record);
        }
    }

    /// The instance of this key as readers see it: of several clients' the newest.
    pub(super) fn shown(&self, id: u32, key: &InstanceKey) -> Option<&Arc<Instance>> {
        let records = &self.volatile.services[id].records;
        let after = records.partition_point(|r| self.volatile.records[*r].published.key <= *key);
        let record = &self.volatile.records[*records[..after].last()?];
        (record.published.key == *key).then_some(&record.shown)
    }
}
