//! `apply` of naming's commands: persistent instances, metadata of services and clusters, operators' words, switches.
//!
//! It is total and decides by durable state alone; what is volatile follows.

use alloc::{sync::Arc, vec::Vec};

use super::{Naming, rows, state::Address};
use crate::{
    log::{Command, HealthFlip, RowWrite},
    model::{ClusterMetadata, Instance, InstanceKey, ServiceKey, ServiceMetadata},
    node::reply::{Answered, Refusal, Reply},
};

impl Naming {
    /// Applies a committed command of naming; others are answered as done and change nothing. `rows` takes what to
    /// store.
    pub fn apply(&mut self, index: u64, command: Command, rows: &mut Vec<RowWrite>) -> Answered {
        let _ = index;
        match command {
            Command::CreateService { service, metadata } => self.create_service(&service, metadata, rows),
            Command::UpdateService { service, metadata } => self.update_service(&service, metadata, rows),
            Command::DeleteService { service } => self.delete_service(&service, rows),
            Command::UpdateCluster { service, cluster, metadata, ephemeral } => {
                self.update_cluster(&service, cluster, metadata, ephemeral, rows)
            }
            Command::SetSwitch { entry, value } => {
                self.set_switch(&entry, &value).map_err(Refusal::Illegal)?;
                rows.push(rows::switch(&entry, &value));
                Ok(Reply::Done)
            }
            Command::PutInstance { service, instance } => self.put_instance(&service, instance, rows),
            Command::RemoveInstance { service, key } => self.remove_instance(&service, &key, rows),
            Command::FlipHealth(flips) => self.flip_health(flips, rows),
            Command::PutOperator { service, key, metadata } => self.put_operator(&service, key, metadata, rows),
            Command::PatchOperator { service, keys, patch } => self.patch_operator(&service, keys, &patch, rows),
            Command::ExpireMetadata { instances, services } => self.expire(instances, services, rows),
            _ => Ok(Reply::Done),
        }
    }

    fn create_service(&mut self, key: &ServiceKey, given: ServiceMetadata, out: &mut Vec<RowWrite>) -> Answered {
        if self.durable.ephemeral(key).is_some() {
            return Err(Refusal::ServiceExists);
        }
        let metadata = ServiceMetadata { clusters: Default::default(), ..given };
        self.store_metadata(key, metadata, out)
    }

    fn update_service(&mut self, key: &ServiceKey, given: ServiceMetadata, out: &mut Vec<RowWrite>) -> Answered {
        let ephemeral = self.durable.ephemeral(key).unwrap_or(given.ephemeral);
        let clusters = self.durable.services.get(key).map(|m| m.clusters.clone()).unwrap_or_default();
        self.store_metadata(key, ServiceMetadata { ephemeral, clusters, ..given }, out)
    }

    fn update_cluster(
        &mut self,
        key: &ServiceKey,
        cluster: Arc<str>,
        of_cluster: ClusterMetadata,
        ephemeral: bool,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        let mut metadata = self.durable.services.get(key).map(|m| (**m).clone()).unwrap_or_else(|| ServiceMetadata {
            ephemeral: self.durable.ephemeral(key).unwrap_or(ephemeral),
            ..ServiceMetadata::default()
        });
        metadata.clusters.insert(cluster, of_cluster);
        self.store_metadata(key, metadata, out)
    }

    fn store_metadata(&mut self, key: &ServiceKey, metadata: ServiceMetadata, out: &mut Vec<RowWrite>) -> Answered {
        out.push(rows::service(key, &metadata));
        self.set_metadata(key, metadata);
        Ok(Reply::Done)
    }

    /// Sets a service's metadata; the service exists from here on.
    pub(super) fn set_metadata(&mut self, key: &ServiceKey, metadata: ServiceMetadata) {
        self.note(key, None);
        let id = self.service_made(key, metadata.ephemeral);
        self.durable.services.insert(key.clone(), Arc::new(metadata));
        self.settle_kind(id);
        self.review_empty(id);
    }

    fn delete_service(&mut self, key: &ServiceKey, out: &mut Vec<RowWrite>) -> Answered {
        if self.durable.instances.contains_key(key) {
            return Err(Refusal::ServiceNotEmpty);
        }
        self.remove_metadata(key, out);
        if let Some(id) = self.service_id(key) {
            self.forget_service(id);
        }
        Ok(Reply::Done)
    }

    /// Removes a service's metadata, and the service with it unless it has records.
    fn remove_metadata(&mut self, key: &ServiceKey, out: &mut Vec<RowWrite>) {
        if !self.durable.services.contains_key(key) {
            return;
        }
        self.note(key, None);
        self.durable.services.remove(key);
        out.push(rows::service_gone(key));
        if let Some(id) = self.service_id(key) {
            self.review_empty(id);
            self.forget_service(id);
        }
    }

    /// Sets a switch from its text.
    pub(super) fn set_switch(&mut self, entry: &Arc<str>, value: &Arc<str>) -> Result<(), alloc::string::String> {
        let mut switches = (*self.durable.switches).clone();
        switches.set(entry, value)?;
        self.durable.switched.insert(rows::switch_part(entry, value), (entry.clone(), value.clone()));
        if switches != *self.durable.switches {
            self.durable.switches = Arc::new(switches);
            self.volatile.switches_dirty = true;
        }
        Ok(())
    }

    fn put_instance(&mut self, service: &ServiceKey, instance: Instance, out: &mut Vec<RowWrite>) -> Answered {
        if self.durable.ephemeral(service) == Some(true) {
            return Err(Refusal::OtherKind { service: service.clone(), persistent: false });
        }
        for key in self.persistent_at(service, &instance.key) {
            if key != instance.key {
                out.push(rows::instance_gone(service, &key));
            }
        }
        let instance = Instance { ephemeral: false, ..instance };
        out.push(rows::instance(service, &instance));
        self.put_persistent(service, instance);
        Ok(Reply::Done)
    }

    /// Keys of the persistent instances of an `ip:port`: one at most, in whichever cluster.
    pub(super) fn persistent_at(&self, service: &ServiceKey, key: &InstanceKey) -> Vec<InstanceKey> {
        let Some(all) = self.durable.instances.get(service) else { return Vec::new() };
        let from = InstanceKey { cluster: Arc::from(""), ..key.clone() };
        all.range(from..).map(|(k, _)| k).take_while(|k| k.ip == key.ip && k.port == key.port).cloned().collect()
    }

    /// Puts a persistent instance in the place of whatever its `ip:port` published before.
    pub(super) fn put_persistent(&mut self, service: &ServiceKey, instance: Instance) {
        self.note(service, Some(&instance.key));
        let others = self.persistent_at(service, &instance.key);
        let id = self.service_made(service, false);
        let instance = self.thrifty(id, instance);
        let all = self.durable.instances.entry(service.clone()).or_default();
        for key in others {
            all.remove(&key);
        }
        all.insert(instance.key.clone(), instance.clone());
        let client = self.client_made(Address {
            ip: instance.key.ip.clone(),
            port: instance.key.port,
            ephemeral: false,
        });
        // First the record, then the kind: what raced it goes, and the service is never empty in between.
        self.publish(client, id, alloc::vec![instance]);
        self.settle_kind(id);
    }

    fn remove_instance(&mut self, service: &ServiceKey, key: &InstanceKey, out: &mut Vec<RowWrite>) -> Answered {
        for key in self.persistent_at(service, key) {
            out.push(rows::instance_gone(service, &key));
            let Some(all) = self.durable.instances.get_mut(service) else { continue };
            all.remove(&key);
            if all.is_empty() {
                self.durable.instances.remove(service);
            }
            if let Some(record) = self.persistent_record(service, &key) {
                self.withdraw(record);
            }
        }
        Ok(Reply::Done)
    }

    /// The record of a persistent instance.
    pub(super) fn persistent_record(&self, service: &ServiceKey, key: &InstanceKey) -> Option<u32> {
        let client = self.client_at(&Address { ip: key.ip.clone(), port: key.port, ephemeral: false })?;
        self.published_by(client, self.service_id(service)?).find(|r| self.volatile.records[*r].published.key == *key)
    }

    fn flip_health(&mut self, flips: Vec<HealthFlip>, out: &mut Vec<RowWrite>) -> Answered {
        for HealthFlip { service, key, healthy } in flips {
            let Some(instance) = self.durable.instances.get_mut(&service).and_then(|all| all.get_mut(&key)) else {
                continue;
            };
            if instance.healthy == healthy {
                continue;
            }
            let flipped = Arc::new(Instance { healthy, ..(**instance).clone() });
            *instance = flipped.clone();
            out.push(rows::instance(&service, &flipped));
            if let Some(record) = self.persistent_record(&service, &key) {
                self.put_published(record, flipped);
                self.flipped(record);
            }
        }
        Ok(Reply::Done)
    }

    fn expire(
        &mut self,
        instances: Vec<(ServiceKey, InstanceKey)>,
        services: Vec<ServiceKey>,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        for (service, key) in instances {
            let alive = self.durable.instances.get(&service).is_some_and(|all| all.contains_key(&key));
            if !alive && self.durable.operator(&service, &key).is_some() {
                out.push(rows::operator_gone(&service, &key));
                self.set_operator(&service, &key, None);
            }
        }
        for service in services {
            if !self.durable.instances.contains_key(&service) {
                self.remove_metadata(&service, out);
            }
        }
        Ok(Reply::Done)
    }
}
