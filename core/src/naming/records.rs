//! Records: what a client publishes of a service comes, is replaced, and goes.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use super::{
    Naming,
    marks::Mark,
    state::{ClientKind, Liveness, Record},
};
use crate::model::{Instance, InstanceKey};

/// How many names of clusters a service remembers to share them.
const SHARED_CLUSTERS: usize = 16;

impl Naming {
    /// Replaces all that a client publishes of a service. Of equal keys the last one counts.
    pub(super) fn publish(&mut self, client: u32, service: u32, instances: Vec<Arc<Instance>>) {
        let now = self.volatile.now;
        self.volatile.clients[client].updated = now.wall;
        let new: BTreeMap<InstanceKey, Arc<Instance>> = instances.into_iter().map(|i| (i.key.clone(), i)).collect();
        let mut old: BTreeMap<InstanceKey, u32> = self
            .published_by(client, service)
            .map(|record| (self.volatile.records[record].published.key.clone(), record))
            .collect();
        // First what comes, then what goes, so that neither client nor service is empty in between.
        for (key, instance) in new {
            match old.remove(&key) {
                Some(record) => self.replace(record, instance),
                None => self.add(client, service, instance),
            }
        }
        for record in old.into_values() {
            self.withdraw(record);
        }
    }

    /// Records of a client and service.
    pub(super) fn published_by(&self, client: u32, service: u32) -> impl Iterator<Item = u32> {
        self.volatile.publications.range((client, service, 0)..=(client, service, u32::MAX)).map(|(_, _, r)| *r)
    }

    fn add(&mut self, client: u32, service: u32, instance: Arc<Instance>) {
        let key = self.volatile.services[service].key.clone();
        self.note(&key, Some(&instance.key));
        let now = self.mono();
        let liveness = match &self.volatile.clients[client].kind {
            ClientKind::Connection { .. } => Liveness::Connection,
            ClientKind::Address(address) if address.ephemeral => Liveness::Beats,
            ClientKind::Address(_) => Liveness::Checked,
        };
        self.volatile.last_order += 1;
        let record = self.volatile.records.insert(Record {
            client,
            service,
            shown: self.overlaid(&key, &instance),
            published: instance,
            order: self.volatile.last_order,
            beat: now,
            armed: 0,
            liveness,
        });
        self.insert_sorted(service, record);
        self.volatile.publications.insert((client, service, record));
        self.volatile.clients[client].records += 1;
        self.review_mark(record);
        self.review_empty(service);
        match liveness {
            Liveness::Connection => {}
            Liveness::Beats => self.arm_beat(record),
            Liveness::Checked => self.begin_checks(record),
        }
    }

    /// The same instance key, published again.
    fn replace(&mut self, record: u32, instance: Arc<Instance>) {
        let service = self.volatile.records[record].service;
        let key = self.volatile.services[service].key.clone();
        self.note(&key, Some(&instance.key));
        let shown = self.overlaid(&key, &instance);
        // It is the newest now, should other clients publish the same key.
        self.remove_sorted(service, record);
        self.volatile.last_order += 1;
        let (now, order) = (self.mono(), self.volatile.last_order);
        let kept = &mut self.volatile.records[record];
        // What is the same stays the same allocation.
        if *kept.published != *instance {
            kept.published = instance;
        }
        kept.shown = if *shown == *kept.published { kept.published.clone() } else { shown };
        (kept.beat, kept.order) = (now, order);
        self.insert_sorted(service, record);
        self.arm_beat(record);
    }

    /// A record goes, with everything that hangs on it.
    pub(super) fn withdraw(&mut self, id: u32) {
        let (client, service) = (self.volatile.records[id].client, self.volatile.records[id].service);
        let key = self.volatile.services[service].key.clone();
        let instance = self.volatile.records[id].published.key.clone();
        self.note(&key, Some(&instance));
        self.end_checks(id);
        self.volatile.arm_record(id, 0);
        self.remove_sorted(service, id);
        self.volatile.publications.remove(&(client, service, id));
        self.volatile.records.remove(id);
        self.left(client);
        if self.durable.operator(&key, &instance).is_some() && self.shown(service, &instance).is_none() {
            self.volatile.marks.set(Mark::Instance(key, instance), self.mono());
        }
        self.review_empty(service);
    }

    /// Sets the health of a record.
    pub(super) fn set_health(&mut self, id: u32, healthy: bool) {
        let record = &self.volatile.records[id];
        if record.published.healthy == healthy {
            return;
        }
        let published = Arc::new(Instance { healthy, ..(*record.published).clone() });
        self.put_published(id, published);
    }

    /// Puts another publication of the same instance key in a record's place.
    pub(super) fn put_published(&mut self, id: u32, published: Arc<Instance>) {
        let key = self.volatile.services[self.volatile.records[id].service].key.clone();
        self.note(&key, Some(&published.key));
        let shown = self.overlaid(&key, &published);
        let record = &mut self.volatile.records[id];
        record.published = published;
        record.shown = shown;
    }

    /// Shares with its neighbours what an instance has in common with them.
    pub(super) fn thrifty(&mut self, service: u32, mut instance: Instance) -> Arc<Instance> {
        let service = &mut self.volatile.services[service];
        match service.clusters.iter().find(|c| **c == instance.key.cluster) {
            Some(cluster) => instance.key.cluster = cluster.clone(),
            None if service.clusters.len() < SHARED_CLUSTERS => service.clusters.push(instance.key.cluster.clone()),
            None => {}
        }
        if service.metadata == instance.metadata {
            instance.metadata = service.metadata.clone();
        } else {
            service.metadata = instance.metadata.clone();
        }
        if instance.instance_id.is_empty() {
            let neighbour = service.records.first().map(|r| &self.volatile.records[*r].published.instance_id);
            if let Some(empty) = neighbour.filter(|id| id.is_empty()) {
                instance.instance_id = empty.clone();
            }
        }
        Arc::new(instance)
    }

    fn insert_sorted(&mut self, service: u32, id: u32) {
        let records = &self.volatile.records;
        let key = &records[id].published.key;
        let service = &mut self.volatile.services[service];
        // It is the newest, so it comes after those with the same key.
        let at = service.records.partition_point(|r| records[*r].published.key <= *key);
        let twin = at > 0 && records[service.records[at - 1]].published.key == *key;
        service.records.insert(at, id);
        service.distinct += u32::from(!twin);
    }

    fn remove_sorted(&mut self, service: u32, id: u32) {
        let records = &self.volatile.records;
        let place = |r: u32| (&records[r].published.key, records[r].order);
        let service = &mut self.volatile.services[service];
        let at = service.records.partition_point(|r| place(*r) < place(id));
        let same = |at: usize| {
            service.records.get(at).is_some_and(|r| records[*r].published.key == records[id].published.key)
        };
        let twin = same(at + 1) || (at > 0 && same(at - 1));
        service.records.remove(at);
        service.distinct -= u32::from(!twin);
        if service.records.capacity() > 64 && service.records.len() * 4 < service.records.capacity() {
            service.records.shrink_to(service.records.len() * 2);
        }
    }
}
