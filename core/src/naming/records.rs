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

/// Instances in the order of their keys; of equal keys the last.
fn by_key(instances: Vec<Arc<Instance>>) -> Vec<Arc<Instance>> {
    let mut sorted: BTreeMap<InstanceKey, Arc<Instance>> = BTreeMap::new();
    sorted.extend(instances.into_iter().map(|i| (i.key.clone(), i)));
    sorted.into_values().collect()
}

impl Naming {
    /// Replaces all that a client publishes of a service. Of equal keys the last one counts.
    pub(super) fn publish(&mut self, client: u32, service: u32, instances: Vec<Arc<Instance>>) {
        let now = self.volatile.now;
        self.volatile.clients[client].updated = now.wall;
        let new = match instances.len() {
            // Mostly there is one.
            1 => instances,
            _ => by_key(instances),
        };
        // Extended, not collected, which would sort first.
        let mut old: BTreeMap<InstanceKey, u32> = BTreeMap::new();
        // Over HTTP most publish one service, once: then there is nothing to look for.
        if self.volatile.clients[client].records > 0 {
            old.extend(
                self.published_by(client, service)
                    .map(|record| (self.volatile.records[record].published.key.clone(), record)),
            );
        }
        // First what comes, then what goes, so that neither client nor service is empty in between.
        for instance in new {
            match old.remove(&instance.key) {
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
        self.volatile
            .publications
            .range((client, service, 0)..=(client, service, u32::MAX))
            .map(|(_, _, r)| *r)
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
        if self.volatile.services[service].records.len() == 1 {
            self.review_empty(service);
        }
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
        let behind = self.newest(service, &instance.key) != Some(record);
        if behind {
            self.remove_sorted(service, record);
        }
        self.volatile.last_order += 1;
        let (now, order) = (self.mono(), self.volatile.last_order);
        let kept = &mut self.volatile.records[record];
        // What is the same stays the same allocation.
        if *kept.published != *instance {
            kept.published = instance;
        }
        kept.shown = if *shown == *kept.published {
            kept.published.clone()
        } else {
            shown
        };
        (kept.beat, kept.order) = (now, order);
        if behind {
            self.insert_sorted(service, record);
        }
        self.arm_beat(record);
    }

    /// A record goes, with everything that hangs on it.
    pub(super) fn withdraw(&mut self, id: u32) {
        let (client, service) = (
            self.volatile.records[id].client,
            self.volatile.records[id].service,
        );
        let key = self.volatile.services[service].key.clone();
        let instance = self.volatile.records[id].published.key.clone();
        self.note(&key, Some(&instance));
        self.end_checks(id);
        self.volatile.arm_record(id, 0);
        self.remove_sorted(service, id);
        self.volatile.publications.remove(&(client, service, id));
        self.volatile.records.remove(id);
        self.left(client);
        if self.durable.operator(&key, &instance).is_some()
            && self.shown(service, &instance).is_none()
        {
            self.volatile
                .marks
                .set(Mark::Instance(key, instance), self.mono());
        }
        if self.volatile.services[service].records.is_empty() {
            self.review_empty(service);
        }
    }

    /// Sets the health of a record.
    pub(super) fn set_health(&mut self, id: u32, healthy: bool) {
        let record = &self.volatile.records[id];
        if record.published.healthy == healthy {
            return;
        }
        let published = Arc::new(Instance {
            healthy,
            ..(*record.published).clone()
        });
        self.put_published(id, published);
    }

    /// Puts another publication of the same instance key in a record's place.
    pub(super) fn put_published(&mut self, id: u32, published: Arc<Instance>) {
        let key = self.volatile.services[self.volatile.records[id].service]
            .key
            .clone();
        self.note(&key, Some(&published.key));
        let shown = self.overlaid(&key, &published);
        let record = &mut self.volatile.records[id];
        record.published = published;
        record.shown = shown;
    }

    /// Shares with its neighbours what an instance has in common with them.
    pub(super) fn thrifty(&mut self, service: u32, mut instance: Instance) -> Arc<Instance> {
        let service = &mut self.volatile.services[service];
        match service
            .clusters
            .iter()
            .find(|c| **c == instance.key.cluster)
        {
            Some(cluster) => instance.key.cluster = cluster.clone(),
            None if service.clusters.len() < SHARED_CLUSTERS => {
                service.clusters.push(instance.key.cluster.clone());
            }
            None => {}
        }
        if service.metadata == instance.metadata {
            instance.metadata = service.metadata.clone();
        } else {
            service.metadata = instance.metadata.clone();
        }
        if instance.instance_id.is_empty() {
            let neighbour = service
                .records
                .ids()
                .next()
                .map(|r| &self.volatile.records[r].published.instance_id);
            if let Some(empty) = neighbour.filter(|id| id.is_empty()) {
                instance.instance_id = empty.clone();
            }
        }
        Arc::new(instance)
    }

    fn insert_sorted(&mut self, service: u32, id: u32) {
        let service = &mut self.volatile.services[service];
        let alone = service.records.insert(&self.volatile.records, id);
        service.distinct += u32::from(alone);
    }

    fn remove_sorted(&mut self, service: u32, id: u32) {
        let service = &mut self.volatile.services[service];
        let alone = service.records.remove(&self.volatile.records, id);
        service.distinct -= u32::from(alone);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::trial::{Trial, instance, key, pairs, service},
        *,
    };
    use crate::{
        model::{BeatTimes, Weight},
        node::{op::Op, reply::Refusal},
    };

    fn on(trial: &mut Trial, conn: u64, instance: Instance) {
        trial
            .grpc(
                conn,
                Op::Register {
                    service: service("s"),
                    instance,
                },
            )
            .unwrap();
    }

    fn seen(trial: &Trial) -> Vec<InstanceKey> {
        trial
            .view
            .get(&service("s"))
            .map_or_else(Vec::new, |s| s.instances.keys().cloned().collect())
    }

    #[test]
    fn a_client_has_one_record_a_service_unless_it_publishes_a_batch() {
        let mut trial = Trial::new();
        trial.connect(1);
        on(&mut trial, 1, instance(1));
        on(&mut trial, 1, instance(2));
        assert_eq!(seen(&trial), [key(2)]);
        let batch = |ns: &[u8]| Op::BatchRegister {
            service: service("s"),
            instances: ns.iter().map(|n| instance(*n)).collect(),
        };
        trial.grpc(1, batch(&[3, 2, 4])).unwrap();
        assert_eq!(seen(&trial), [key(2), key(3), key(4)]);
        trial.grpc(1, batch(&[4, 5])).unwrap();
        assert_eq!(seen(&trial), [key(4), key(5)]);
        trial.grpc(1, batch(&[])).unwrap();
        assert_eq!(seen(&trial), []);
        trial.grpc(1, batch(&[6])).unwrap();
        trial
            .grpc(
                1,
                Op::Deregister {
                    service: service("s"),
                    key: key(9),
                    ephemeral: true,
                },
            )
            .unwrap();
        assert_eq!(
            seen(&trial),
            [],
            "what the connection publishes goes, whatever key it names"
        );
    }

    #[test]
    fn an_address_that_changes_its_cluster_replaces_itself() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        let other = InstanceKey::new("10.0.0.1", 80, "other");
        trial
            .register(
                "s",
                Instance {
                    key: other.clone(),
                    ..instance(1)
                },
            )
            .unwrap();
        assert_eq!(seen(&trial), [other]);
        trial.deregister("s", 1).unwrap();
        assert_eq!(seen(&trial), []);
    }

    #[test]
    fn of_two_clients_with_one_key_the_newest_is_shown_and_the_other_comes_back() {
        let mut trial = Trial::new();
        let weight = |trial: &Trial| trial.seen("s", 1).unwrap().weight.get();
        for conn in 1..=2 {
            trial.connect(conn);
            on(
                &mut trial,
                conn,
                Instance {
                    weight: Weight::new(conn as f64).unwrap(),
                    ..instance(1)
                },
            );
        }
        assert_eq!(
            (
                weight(&trial),
                trial.naming.publishers_of(&service("s")).len()
            ),
            (2.0, 2)
        );
        on(
            &mut trial,
            1,
            Instance {
                weight: Weight::new(3.0).unwrap(),
                ..instance(1)
            },
        );
        assert_eq!(weight(&trial), 3.0, "who publishes again is the newest");
        trial.disconnect(1);
        assert_eq!(weight(&trial), 2.0);
        trial.disconnect(2);
        assert_eq!(seen(&trial), []);
    }

    #[test]
    fn a_redo_of_the_same_on_a_new_connection_is_not_undone_by_the_end_of_the_old_one() {
        let mut trial = Trial::new();
        for conn in 1..=2 {
            trial.connect(conn);
            on(&mut trial, conn, instance(1));
        }
        let told = trial.changes.len();
        trial.disconnect(1);
        assert_eq!(
            (seen(&trial).len(), trial.changes.len()),
            (1, told),
            "and nobody is told anything"
        );
    }

    #[test]
    fn an_unknown_connection_is_unregistered_and_leaves_nothing() {
        let mut trial = Trial::new();
        let (service, key) = (service("s"), key(1));
        for ephemeral in [true, false] {
            let register = Op::Register {
                service: service.clone(),
                instance: Instance {
                    ephemeral,
                    ..instance(1)
                },
            };
            assert_eq!(trial.grpc(7, register), Err(Refusal::Unregistered));
            let deregister = Op::Deregister {
                service: service.clone(),
                key: key.clone(),
                ephemeral,
            };
            assert_eq!(trial.grpc(7, deregister), Err(Refusal::Unregistered));
        }
        for instances in [alloc::vec![], alloc::vec![instance(1)]] {
            let batch = Op::BatchRegister {
                service: service.clone(),
                instances,
            };
            assert_eq!(trial.grpc(7, batch), Err(Refusal::Unregistered));
        }
        assert!(trial.is_blank());
    }

    #[test]
    fn an_end_of_connection_takes_all_its_services() {
        let mut trial = Trial::new();
        trial.connect(1);
        trial.connect(2);
        for name in ["a", "b", "c"] {
            trial
                .grpc(
                    1,
                    Op::Register {
                        service: service(name),
                        instance: instance(1),
                    },
                )
                .unwrap();
        }
        trial
            .grpc(
                2,
                Op::Register {
                    service: service("b"),
                    instance: instance(2),
                },
            )
            .unwrap();
        trial.disconnect(1);
        let left = trial
            .view
            .iter()
            .map(|(key, s)| (&*key.name, s.instances.len()))
            .collect::<Vec<_>>();
        assert_eq!(left, [("a", 0), ("b", 1), ("c", 0)]);
        trial.disconnect(2);
        trial.pass(60_000);
        assert!(trial.is_blank());
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_leaves_nothing() {
        let mut trial = Trial::new();
        let late = Instance {
            metadata: pairs(&[(BeatTimes::INTERVAL, "20000")]),
            ..instance(1)
        };
        let odd = Instance {
            key: InstanceKey::new("10.0.0.1", 80, "a_b"),
            ..instance(1)
        };
        for bad in [late, odd] {
            assert!(matches!(
                trial.register("s", bad.clone()),
                Err(Refusal::Illegal(_))
            ));
            assert!(matches!(
                trial.register(
                    "s",
                    Instance {
                        ephemeral: false,
                        ..bad
                    }
                ),
                Err(Refusal::Illegal(_))
            ));
        }
        trial.connect(1);
        let persistent = Op::BatchRegister {
            service: service("s"),
            instances: alloc::vec![Instance {
                ephemeral: false,
                ..instance(1)
            }],
        };
        assert!(matches!(
            trial.grpc(1, persistent),
            Err(Refusal::Illegal(_))
        ));
        trial.disconnect(1);
        assert!(trial.is_blank());
    }

    #[test]
    fn neighbours_share_what_is_equal() {
        let mut trial = Trial::new();
        for n in 1..=2 {
            trial
                .register(
                    "s",
                    Instance {
                        metadata: pairs(&[("k", "v")]),
                        ..instance(n)
                    },
                )
                .unwrap();
        }
        let (a, b) = (trial.seen("s", 1).unwrap(), trial.seen("s", 2).unwrap());
        assert!(
            Arc::ptr_eq(&a.key.cluster, &b.key.cluster)
                && Arc::ptr_eq(&a.instance_id, &b.instance_id)
        );
    }
}
