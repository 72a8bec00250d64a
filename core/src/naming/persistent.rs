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
            Command::CreateService { service, metadata } => {
                self.create_service(&service, metadata, rows)
            }
            Command::UpdateService { service, metadata } => {
                self.update_service(&service, metadata, rows)
            }
            Command::DeleteService { service } => self.delete_service(&service, rows),
            Command::UpdateCluster {
                service,
                cluster,
                metadata,
                ephemeral,
            } => self.update_cluster(&service, cluster, metadata, ephemeral, rows),
            Command::SetSwitch { entry, value } => {
                self.set_switch(&entry, &value).map_err(Refusal::Illegal)?;
                rows.push(rows::switch(&entry, &value));
                Ok(Reply::Done)
            }
            Command::PutInstance { service, instance } => {
                self.put_instance(&service, instance, rows)
            }
            Command::RemoveInstance { service, key } => self.remove_instance(&service, &key, rows),
            Command::FlipHealth(flips) => self.flip_health(flips, rows),
            Command::PutOperator {
                service,
                key,
                metadata,
            } => self.put_operator(&service, &key, metadata, rows),
            Command::PatchOperator {
                service,
                keys,
                patch,
            } => self.patch_operator(&service, keys, &patch, rows),
            Command::ExpireMetadata {
                instances,
                services,
            } => self.expire(instances, services, rows),
            _ => Ok(Reply::Done),
        }
    }

    fn create_service(
        &mut self,
        key: &ServiceKey,
        given: ServiceMetadata,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        if self.durable.ephemeral(key).is_some() {
            return Err(Refusal::ServiceExists);
        }
        let metadata = ServiceMetadata {
            clusters: Default::default(),
            ..given
        };
        self.store_metadata(key, metadata, out)
    }

    fn update_service(
        &mut self,
        key: &ServiceKey,
        given: ServiceMetadata,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        let ephemeral = self.durable.ephemeral(key).unwrap_or(given.ephemeral);
        let clusters = self
            .durable
            .services
            .get(key)
            .map(|m| m.clusters.clone())
            .unwrap_or_default();
        self.store_metadata(
            key,
            ServiceMetadata {
                ephemeral,
                clusters,
                ..given
            },
            out,
        )
    }

    fn update_cluster(
        &mut self,
        key: &ServiceKey,
        cluster: Arc<str>,
        of_cluster: ClusterMetadata,
        ephemeral: bool,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        let mut metadata = match self.durable.services.get(key) {
            Some(metadata) => (**metadata).clone(),
            None => ServiceMetadata {
                ephemeral: self.durable.ephemeral(key).unwrap_or(ephemeral),
                ..ServiceMetadata::default()
            },
        };
        metadata.clusters.insert(cluster, of_cluster);
        self.store_metadata(key, metadata, out)
    }

    fn store_metadata(
        &mut self,
        key: &ServiceKey,
        metadata: ServiceMetadata,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        out.push(rows::service(key, &metadata));
        self.set_metadata(key, metadata);
        Ok(Reply::Done)
    }

    /// Sets a service's metadata; the service exists from here on.
    pub(super) fn set_metadata(&mut self, key: &ServiceKey, metadata: ServiceMetadata) {
        self.note(key, None);
        let id = self.service_made(key, metadata.ephemeral);
        self.durable
            .services
            .insert(key.clone(), Arc::new(metadata));
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
    pub(super) fn set_switch(
        &mut self,
        entry: &Arc<str>,
        value: &Arc<str>,
    ) -> Result<(), alloc::string::String> {
        let mut switches = (*self.durable.switches).clone();
        switches.set(entry, value)?;
        self.durable.switched.insert(
            rows::switch_part(entry, value),
            (entry.clone(), value.clone()),
        );
        if switches != *self.durable.switches {
            self.durable.switches = Arc::new(switches);
            self.volatile.switches_dirty = true;
        }
        Ok(())
    }

    fn put_instance(
        &mut self,
        service: &ServiceKey,
        instance: Instance,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        if self.durable.ephemeral(service) == Some(true) {
            return Err(Refusal::OtherKind {
                service: service.clone(),
                persistent: false,
            });
        }
        for key in self.persistent_at(service, &instance.key) {
            if key != instance.key {
                out.push(rows::instance_gone(service, &key));
            }
        }
        let instance = Instance {
            ephemeral: false,
            ..instance
        };
        out.push(rows::instance(service, &instance));
        self.put_persistent(service, instance);
        Ok(Reply::Done)
    }

    /// Keys of the persistent instances of an `ip:port`: one at most, in whichever cluster.
    pub(super) fn persistent_at(
        &self,
        service: &ServiceKey,
        key: &InstanceKey,
    ) -> Vec<InstanceKey> {
        let Some(all) = self.durable.instances.get(service) else {
            return Vec::new();
        };
        let from = InstanceKey {
            cluster: Arc::from(""),
            ..key.clone()
        };
        all.range(from..)
            .map(|(k, _)| k)
            .take_while(|k| k.ip == key.ip && k.port == key.port)
            .cloned()
            .collect()
    }

    /// Puts a persistent instance in the place of whatever its `ip:port` published before.
    pub(super) fn put_persistent(&mut self, service: &ServiceKey, instance: Instance) {
        self.note(service, Some(&instance.key));
        let others = self.persistent_at(service, &instance.key);
        let id = self.service_made(service, false);
        let instance = self.thrifty(id, instance);
        let all = self.durable.instances.entry(service.clone()).or_default();
        // What is the same stays the same allocation, which the record shares.
        let same = all.get(&instance.key).filter(|old| ***old == *instance);
        let instance = same.cloned().unwrap_or(instance);
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

    fn remove_instance(
        &mut self,
        service: &ServiceKey,
        key: &InstanceKey,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        for key in self.persistent_at(service, key) {
            out.push(rows::instance_gone(service, &key));
            let Some(all) = self.durable.instances.get_mut(service) else {
                continue;
            };
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
        let client = self.client_at(&Address {
            ip: key.ip.clone(),
            port: key.port,
            ephemeral: false,
        })?;
        self.published_by(client, self.service_id(service)?)
            .find(|r| self.volatile.records[*r].published.key == *key)
    }

    fn flip_health(&mut self, flips: Vec<HealthFlip>, out: &mut Vec<RowWrite>) -> Answered {
        for HealthFlip {
            service,
            key,
            healthy,
        } in flips
        {
            let Some(instance) = self
                .durable
                .instances
                .get_mut(&service)
                .and_then(|all| all.get_mut(&key))
            else {
                continue;
            };
            if instance.healthy == healthy {
                continue;
            }
            let flipped = Arc::new(Instance {
                healthy,
                ..(**instance).clone()
            });
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
            let alive = self
                .durable
                .instances
                .get(&service)
                .is_some_and(|all| all.contains_key(&key));
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

#[cfg(test)]
mod tests {
    use super::{
        super::trial::{Trial, instance, key, known, service},
        *,
    };
    use crate::{model::HealthChecker, node::op::Op};

    fn persistent(n: u8) -> Instance {
        Instance {
            ephemeral: false,
            ..instance(n)
        }
    }

    fn deregister(trial: &mut Trial, n: u8) -> Answered {
        trial.http(Op::Deregister {
            service: service("s"),
            key: key(n),
            ephemeral: false,
        })
    }

    #[test]
    fn a_persistent_instance_never_expires_and_goes_when_it_is_told_to() {
        let mut trial = Trial::new();
        trial.connect(1);
        trial.register("s", persistent(1)).unwrap();
        trial
            .grpc(
                1,
                Op::Register {
                    service: service("s"),
                    instance: persistent(2),
                },
            )
            .unwrap();
        trial.disconnect(1);
        trial.pass(600_000);
        assert_eq!(
            (trial.health("s", 1), trial.health("s", 2)),
            (Some(true), Some(true))
        );
        assert_eq!(
            trial
                .naming
                .clients()
                .iter()
                .map(|c| &**c)
                .collect::<Vec<_>>(),
            ["10.0.0.1:80#false", "10.0.0.2:80#false"]
        );
        for n in [1, 2, 2, 9] {
            assert_eq!(deregister(&mut trial, n), Ok(Reply::Done));
        }
        trial.naming.take_probes();
        trial.pass(60_000);
        assert!(trial.is_blank());
    }

    #[test]
    fn the_same_again_changes_nothing_and_takes_no_room() {
        let mut trial = Trial::new();
        trial.register("s", persistent(1)).unwrap();
        let told = trial.changes.len();
        trial.register("s", persistent(1)).unwrap();
        assert_eq!(trial.changes.len(), told);
    }

    #[test]
    fn its_address_has_one_cluster_a_service() {
        let mut trial = Trial::new();
        trial.register("s", persistent(1)).unwrap();
        let other = InstanceKey::new("10.0.0.1", 80, "other");
        trial
            .register(
                "s",
                Instance {
                    key: other.clone(),
                    ..persistent(1)
                },
            )
            .unwrap();
        assert_eq!(
            trial.view[&service("s")]
                .instances
                .keys()
                .collect::<Vec<_>>(),
            [&other]
        );
        assert_eq!(trial.rows.len(), 1);
        deregister(&mut trial, 1).unwrap();
        assert!(
            trial.rows.is_empty() && trial.view[&service("s")].instances.is_empty(),
            "nor is the cluster compared"
        );
    }

    #[test]
    fn the_durable_kind_wins_over_ephemeral_ones_that_raced_it() {
        let mut trial = Trial::new();
        trial.connect(1);
        trial
            .grpc(
                1,
                Op::Register {
                    service: service("s"),
                    instance: instance(1),
                },
            )
            .unwrap();
        trial.register("s", instance(2)).unwrap();
        // Proposed by another node, which knew of neither.
        trial
            .apply(Command::PutInstance {
                service: service("s"),
                instance: persistent(3),
            })
            .unwrap();
        trial.settle();
        let seen = &trial.view[&service("s")];
        assert_eq!(
            (
                seen.state.ephemeral,
                seen.instances.keys().collect::<Vec<_>>()
            ),
            (false, alloc::vec![&key(3)])
        );
        let refused = Err(Refusal::OtherKind {
            service: service("s"),
            persistent: true,
        });
        assert_eq!(trial.beat("s", 2), refused);
        assert_eq!(
            trial.grpc(
                1,
                Op::Register {
                    service: service("s"),
                    instance: instance(1)
                }
            ),
            refused
        );
    }

    #[test]
    fn metadata_of_the_other_kind_wins_too_but_not_over_persistent_instances() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        let metadata = ServiceMetadata {
            ephemeral: false,
            ..ServiceMetadata::default()
        };
        trial
            .apply(Command::CreateService {
                service: service("s"),
                metadata,
            })
            .unwrap();
        trial.settle();
        assert!(trial.view[&service("s")].instances.is_empty());
        trial.register("t", persistent(1)).unwrap();
        let answered = trial.apply(Command::CreateService {
            service: service("t"),
            metadata: ServiceMetadata::default(),
        });
        assert_eq!(answered, Err(Refusal::ServiceExists));
        trial
            .apply(Command::UpdateService {
                service: service("t"),
                metadata: ServiceMetadata::default(),
            })
            .unwrap();
        trial.settle();
        assert_eq!(trial.health("t", 1), Some(true), "an update keeps the kind");
        trial
            .apply(Command::CreateService {
                service: service("u"),
                metadata: ServiceMetadata::default(),
            })
            .unwrap();
        let answered = trial.apply(Command::PutInstance {
            service: service("u"),
            instance: persistent(1),
        });
        assert_eq!(
            answered,
            Err(Refusal::OtherKind {
                service: service("u"),
                persistent: false
            })
        );
    }

    #[test]
    fn a_beat_for_a_gone_address_of_an_emptied_service_is_unknown() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        trial.deregister("s", 1).unwrap();
        assert!(!known(&trial.beat("s", 1)));
    }

    #[test]
    fn health_is_set_by_hand_only_where_nobody_checks() {
        let mut trial = Trial::new();
        trial.register("s", persistent(1)).unwrap();
        let set = |trial: &mut Trial, n, healthy| {
            trial.http(Op::SetHealth {
                service: service("s"),
                key: key(n),
                healthy,
            })
        };
        assert_eq!(
            set(&mut trial, 1, false),
            Err(Refusal::CheckedByServer),
            "an undescribed cluster is checked"
        );
        trial.check_by("s", HealthChecker::Tcp).unwrap();
        assert_eq!(set(&mut trial, 1, false), Err(Refusal::CheckedByServer));
        trial.check_by("s", HealthChecker::None).unwrap();
        assert_eq!(set(&mut trial, 1, false), Ok(Reply::Done));
        assert_eq!(trial.health("s", 1), Some(false));
        assert_eq!(
            set(&mut trial, 9, false),
            Ok(Reply::Done),
            "an unknown one is no error"
        );
        trial.pass(100_000);
        assert!(trial.naming.take_probes().is_empty());
        assert_eq!(
            trial.health("s", 1),
            Some(false),
            "and nobody changes it back"
        );
    }

    #[test]
    fn an_illegal_switch_is_refused_before_and_in_the_log() {
        let mut trial = Trial::new();
        assert!(matches!(
            trial.switch("pushCacheMillis", "1"),
            Err(Refusal::Illegal(_))
        ));
        assert!(trial.commands.is_empty());
        let illegal = Command::SetSwitch {
            entry: Arc::from("pushCacheMillis"),
            value: Arc::from("1"),
        };
        assert!(matches!(trial.apply(illegal), Err(Refusal::Illegal(_))));
        assert!(trial.rows.is_empty() && trial.naming.take_switches().is_none());
        trial.switch("pushCacheMillis", "20000").unwrap();
        assert_eq!(trial.naming.switches().default_push_cache_millis, 20_000);
        assert!(trial.naming.take_switches().is_some() && trial.naming.take_switches().is_none());
        trial.switch("noSuchEntry", "1").unwrap();
        assert!(trial.naming.take_switches().is_none());
    }
}
