//! Services: when they come to be, of which kind they are, and when an empty one goes.

use alloc::{sync::Arc, vec::Vec};

use super::{
    Naming,
    marks::Mark,
    order::Order,
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
            records: Order::default(),
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
            self.volatile
                .marks
                .set(Mark::Service(key), now + EMPTY_SERVICE);
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
        let Some(ephemeral) = self.durable.ephemeral(&key) else {
            return;
        };
        if self.volatile.services[id].ephemeral == ephemeral {
            return;
        }
        self.note(&key, None);
        self.volatile.services[id].ephemeral = ephemeral;
        let wrong: Vec<u32> = self.volatile.services[id]
            .records
            .ids()
            .filter(|r| (self.volatile.records[*r].liveness == Liveness::Checked) == ephemeral)
            .collect();
        for record in wrong {
            self.withdraw(record);
        }
    }

    /// The instance of this key as readers see it: of several clients' the newest.
    pub(super) fn shown(&self, id: u32, key: &InstanceKey) -> Option<&Arc<Instance>> {
        self.newest(id, key)
            .map(|record| &self.volatile.records[record].shown)
    }

    /// The newest record of an instance key.
    pub(super) fn newest(&self, id: u32, key: &InstanceKey) -> Option<u32> {
        self.volatile.services[id]
            .records
            .newest(&self.volatile.records, key)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{sync::Arc, vec::Vec};

    use super::super::trial::{Trial, instance, key, pairs, service};
    use crate::{
        model::{ClusterMetadata, Instance, Selector, ServiceMetadata},
        node::{
            op::Op,
            reply::{Refusal, Reply},
        },
    };

    fn delete(trial: &mut Trial, name: &str) -> crate::node::reply::Answered {
        trial.http(Op::DeleteService {
            service: service(name),
        })
    }

    #[test]
    fn an_empty_service_goes_after_60_s() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        trial.deregister("s", 1).unwrap();
        trial.pass(59_999);
        assert!(trial.view.contains_key(&service("s")));
        trial.register("s", instance(1)).unwrap();
        trial.deregister("s", 1).unwrap();
        trial.pass(59_999);
        assert!(
            trial.view.contains_key(&service("s")),
            "a registration in between counts"
        );
        trial.pass(1);
        assert!(trial.is_blank());
        let (appeared, vanished): (Vec<bool>, Vec<bool>) = trial
            .changes
            .iter()
            .map(|c| (c.appeared, c.vanished))
            .unzip();
        assert_eq!(appeared.iter().filter(|a| **a).count(), 1);
        assert_eq!(vanished.iter().filter(|v| **v).count(), 1);
    }

    #[test]
    fn a_change_says_how_many_instances_there_were_and_are() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        trial.register("s", instance(2)).unwrap();
        trial.deregister("s", 1).unwrap();
        trial.deregister("s", 2).unwrap();
        let counts: Vec<_> = trial
            .changes
            .iter()
            .map(|c| (c.instances_before, c.instances_left))
            .collect();
        assert_eq!(counts, [(0, 1), (1, 2), (2, 1), (1, 0)]);
    }

    #[test]
    fn what_is_undone_before_it_was_told_is_not_told() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        let told = trial.changes.len();
        let origin = crate::node::input::Origin::default();
        let turn = crate::node::Turn {
            id: 1,
            origin: &origin,
            now: trial.now,
            stamp: 0,
        };
        for name in ["s", "t"] {
            for op in [
                Op::Register {
                    service: service(name),
                    instance: instance(2),
                },
                Op::Deregister {
                    service: service(name),
                    key: key(2),
                    ephemeral: true,
                },
            ] {
                let _ = trial.naming.request(turn, op);
            }
        }
        trial.settle();
        let new: Vec<_> = trial.changes[told..]
            .iter()
            .map(|c| (&*c.key.name, c.instances_left))
            .collect();
        assert_eq!(
            new,
            [("t", 0)],
            "a new service is told even if it is empty again"
        );
    }

    #[test]
    fn metadata_of_an_empty_service_expires_after_120_s_and_the_service_with_it() {
        let mut trial = Trial::new();
        trial.create("s", false).unwrap();
        trial.pass(120_000);
        assert!(trial.view.contains_key(&service("s")));
        trial.pass(1);
        assert!(trial.is_blank() && trial.rows.is_empty());
    }

    #[test]
    fn metadata_outlives_a_short_emptiness() {
        let mut trial = Trial::new();
        trial.create("s", true).unwrap();
        for _ in 0..3 {
            trial.register("s", instance(1)).unwrap();
            trial.deregister("s", 1).unwrap();
            trial.pass(119_000);
        }
        trial.register("s", instance(1)).unwrap();
        assert!(trial.view[&service("s")].state.metadata.is_some());
    }

    #[test]
    fn a_service_is_created_once_and_deleted_when_it_is_empty() {
        let mut trial = Trial::new();
        assert_eq!(delete(&mut trial, "s"), Err(Refusal::ServiceNotFound));
        trial.create("s", true).unwrap();
        assert_eq!(trial.create("s", true), Err(Refusal::ServiceExists));
        trial.register("s", instance(1)).unwrap();
        assert_eq!(delete(&mut trial, "s"), Err(Refusal::ServiceNotEmpty));
        trial.deregister("s", 1).unwrap();
        assert_eq!(delete(&mut trial, "s"), Ok(Reply::Done));
        trial.pass(1_000);
        assert!(trial.is_blank());
        trial.register("t", instance(1)).unwrap();
        assert_eq!(
            trial.create("t", true),
            Err(Refusal::ServiceExists),
            "a registration creates it too"
        );
        trial.deregister("t", 1).unwrap();
        assert_eq!(
            delete(&mut trial, "t"),
            Ok(Reply::Done),
            "without metadata as well"
        );
        trial.pass(1_000);
        assert!(trial.is_blank());
    }

    #[test]
    fn an_update_keeps_clusters_and_kind_and_a_cluster_keeps_the_rest() {
        let mut trial = Trial::new();
        let update = |threshold| Op::UpdateService {
            service: service("s"),
            metadata: ServiceMetadata {
                ephemeral: true,
                protect_threshold: threshold,
                selector: Selector::Label {
                    expression: Arc::from("x"),
                },
                extend: pairs(&[("k", "v")]),
                ..ServiceMetadata::default()
            },
        };
        let cluster = |name: &str| Op::UpdateCluster {
            service: service("s"),
            cluster: Arc::from(name),
            metadata: ClusterMetadata {
                check_port: 81,
                ..ClusterMetadata::default()
            },
        };
        assert_eq!(trial.http(update(0.5)), Err(Refusal::ServiceNotFound));
        assert_eq!(trial.http(cluster("a")), Err(Refusal::ServiceNotFound));
        trial.create("s", false).unwrap();
        trial.http(cluster("a")).unwrap();
        trial.http(update(0.5)).unwrap();
        trial.http(cluster("b")).unwrap();
        let metadata = trial.view[&service("s")].state.metadata.clone().unwrap();
        assert_eq!(
            (metadata.ephemeral, metadata.protect_threshold),
            (false, 0.5)
        );
        assert_eq!(
            metadata.clusters.keys().map(|k| &**k).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(metadata.extend.get("k"), Some("v"));
    }

    #[test]
    fn the_first_kind_holds_until_the_service_is_gone() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        let persistent = Instance {
            ephemeral: false,
            ..instance(2)
        };
        let refused = Err(Refusal::OtherKind {
            service: service("s"),
            persistent: false,
        });
        assert_eq!(trial.register("s", persistent.clone()), refused);
        trial.deregister("s", 1).unwrap();
        assert_eq!(trial.register("s", persistent.clone()), refused);
        trial.pass(60_000);
        trial.register("s", persistent).unwrap();
        let refused = Err(Refusal::OtherKind {
            service: service("s"),
            persistent: true,
        });
        assert_eq!(trial.register("s", instance(1)), refused);
        trial.connect(1);
        for instances in [alloc::vec![], alloc::vec![instance(1)]] {
            assert_eq!(
                trial.grpc(
                    1,
                    Op::BatchRegister {
                        service: service("s"),
                        instances
                    }
                ),
                refused
            );
        }
    }
}
