//! Operators' words on instances: kept apart from what is published, and laid over it for readers.

use alloc::{sync::Arc, vec::Vec};

use super::{Naming, marks::Mark, rows};
use crate::{
    log::{PatchOf, RowWrite},
    model::{Instance, InstanceKey, Metadata, OperatorMetadata, ServiceKey, Weight},
    node::reply::{Answered, Reply},
};

impl Naming {
    /// An instance with operators' words laid over; the same allocation if that changes nothing.
    pub(super) fn overlaid(
        &self,
        service: &ServiceKey,
        published: &Arc<Instance>,
    ) -> Arc<Instance> {
        let Some(words) = self.durable.operator(service, &published.key) else {
            return published.clone();
        };
        let shown = Instance {
            weight: words.weight,
            enabled: words.enabled,
            metadata: published.metadata.merged(&words.extend),
            ..(**published).clone()
        };
        if shown == **published {
            published.clone()
        } else {
            Arc::new(shown)
        }
    }

    /// The mark on operators' words goes when their instance is there.
    pub(super) fn review_mark(&mut self, record: u32) {
        let record = &self.volatile.records[record];
        let service = &self.volatile.services[record.service].key;
        if self
            .durable
            .operator(service, &record.published.key)
            .is_some()
        {
            let mark = Mark::Instance(service.clone(), record.published.key.clone());
            self.volatile.marks.clear(&mark);
        }
    }

    /// `apply` of `PutOperator`.
    pub(super) fn put_operator(
        &mut self,
        service: &ServiceKey,
        key: &InstanceKey,
        words: OperatorMetadata,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        out.push(rows::operator(service, key, &words));
        self.set_operator(service, key, Some(words));
        Ok(Reply::Done)
    }

    /// `apply` of `PatchOperator`.
    pub(super) fn patch_operator(
        &mut self,
        service: &ServiceKey,
        keys: Vec<InstanceKey>,
        patch: &PatchOf,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        for key in &keys {
            // The defaults replace what is published even if they were not given (Nacos `InstanceMetadata`).
            let old = self
                .durable
                .operator(service, key)
                .cloned()
                .unwrap_or(OperatorMetadata {
                    weight: Weight::default(),
                    enabled: true,
                    extend: Metadata::default(),
                });
            let words = OperatorMetadata {
                weight: patch.weight.unwrap_or(old.weight),
                enabled: patch.enabled.unwrap_or(old.enabled),
                extend: old.extend.merged(&patch.put).without(&patch.remove),
            };
            out.push(rows::operator(service, key, &words));
            self.set_operator(service, key, Some(words));
        }
        Ok(Reply::Updated(keys))
    }

    /// Sets or forgets words and lets everything follow: what is shown, marks, beat times.
    pub(super) fn set_operator(
        &mut self,
        service: &ServiceKey,
        key: &InstanceKey,
        words: Option<OperatorMetadata>,
    ) {
        let id = self.service_id(service);
        if id.is_some() {
            self.note(service, Some(key));
        }
        let there = words.is_some();
        let all = &mut self.durable.operators;
        if let Some(words) = words {
            all.entry(service.clone())
                .or_default()
                .insert(key.clone(), words);
        } else if let Some(of_service) = all.get_mut(service) {
            of_service.remove(key);
            if of_service.is_empty() {
                all.remove(service);
            }
        }
        let records: Vec<u32> = id.map_or_else(Vec::new, |id| self.records_of(id, key));
        let mark = Mark::Instance(service.clone(), key.clone());
        if there && records.is_empty() {
            let now = self.mono();
            self.volatile.marks.set(mark, now);
        } else {
            self.volatile.marks.clear(&mark);
        }
        for record in records {
            let published = self.volatile.records[record].published.clone();
            self.volatile.records[record].shown = self.overlaid(service, &published);
            self.arm_beat(record);
        }
    }

    /// Records of one instance key, oldest first.
    pub(super) fn records_of(&self, service: u32, key: &InstanceKey) -> Vec<u32> {
        let records = &self.volatile.services[service].records;
        records.of(&self.volatile.records, key).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::{
        super::trial::{Trial, instance, key, pairs, service},
        *,
    };
    use crate::{
        log::Command,
        node::{op::Op, reply::Refusal},
    };

    fn update(trial: &mut Trial, n: u8, weight: f64, enabled: bool) -> Answered {
        let (service, key) = (service("s"), key(n));
        let (weight, metadata) = (Weight::new(weight).unwrap(), pairs(&[("by", "operator")]));
        trial.http(Op::UpdateInstance {
            service,
            key,
            weight,
            enabled,
            metadata,
            ephemeral: true,
        })
    }

    fn patch(
        trial: &mut Trial,
        n: u8,
        weight: Option<f64>,
        metadata: Option<Metadata>,
    ) -> Answered {
        let weight = weight.and_then(Weight::new);
        trial.http(Op::PatchInstance {
            service: service("s"),
            key: key(n),
            weight,
            enabled: None,
            metadata,
        })
    }

    fn batch(trial: &mut Trial, remove: bool, instances: Option<Vec<InstanceKey>>) -> Answered {
        let metadata = pairs(&[("k", "v")]);
        trial.http(Op::MetadataBatch {
            service: service("s"),
            persistent: false,
            remove,
            metadata,
            instances,
        })
    }

    fn published(n: u8) -> Instance {
        Instance {
            weight: Weight::new(5.0).unwrap(),
            enabled: false,
            metadata: pairs(&[("by", "itself"), ("zone", "a")]),
            ..instance(n)
        }
    }

    #[test]
    fn words_are_laid_over_and_a_second_registration_does_not_undo_them() {
        let mut trial = Trial::new();
        assert_eq!(
            update(&mut trial, 1, 2.0, true),
            Err(Refusal::ServiceNotFound)
        );
        trial.register("s", published(1)).unwrap();
        update(&mut trial, 1, 2.0, true).unwrap();
        for _ in 0..2 {
            let seen = trial.seen("s", 1).unwrap();
            assert_eq!((seen.weight.get(), seen.enabled), (2.0, true));
            assert_eq!(seen.metadata, pairs(&[("by", "operator"), ("zone", "a")]));
            trial.register("s", published(1)).unwrap();
        }
    }

    #[test]
    fn a_patch_of_metadata_alone_replaces_weight_and_flag_by_their_defaults() {
        let mut trial = Trial::new();
        trial.register("s", published(1)).unwrap();
        patch(&mut trial, 1, None, Some(pairs(&[("a", "1")]))).unwrap();
        let seen = trial.seen("s", 1).unwrap();
        assert_eq!(
            (seen.weight.get(), seen.enabled, seen.metadata.get("a")),
            (1.0, true, Some("1"))
        );
        patch(&mut trial, 1, Some(3.0), None).unwrap();
        let seen = trial.seen("s", 1).unwrap();
        assert_eq!(
            (seen.weight.get(), seen.metadata.get("a")),
            (3.0, Some("1")),
            "only what is given changes"
        );
        assert_eq!(
            patch(&mut trial, 2, None, None),
            Err(Refusal::InstanceNotFound)
        );
    }

    #[test]
    fn a_batch_puts_and_removes_operators_pairs_of_those_named_that_exist() {
        let mut trial = Trial::new();
        assert_eq!(
            batch(&mut trial, false, None),
            Ok(Reply::Updated(Vec::new()))
        );
        for n in 1..=3 {
            trial
                .register(
                    "s",
                    Instance {
                        metadata: pairs(&[("k", "own")]),
                        ..instance(n)
                    },
                )
                .unwrap();
        }
        assert_eq!(
            batch(&mut trial, false, Some(alloc::vec![key(2), key(9)])),
            Ok(Reply::Updated(alloc::vec![key(2)]))
        );
        let k = |trial: &Trial, n| trial.seen("s", n).unwrap().metadata.get("k").unwrap() == "v";
        assert_eq!(
            [k(&trial, 1), k(&trial, 2), k(&trial, 3)],
            [false, true, false]
        );
        assert_eq!(
            batch(&mut trial, false, None),
            Ok(Reply::Updated(alloc::vec![key(1), key(2), key(3)]))
        );
        assert!(k(&trial, 1) && k(&trial, 3));
        batch(&mut trial, true, None).unwrap();
        assert!(
            !k(&trial, 1) && !k(&trial, 2),
            "what is published comes through again"
        );
    }

    #[test]
    fn words_survive_a_restart_shorter_than_60_s() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        update(&mut trial, 1, 2.0, false).unwrap();
        trial.deregister("s", 1).unwrap();
        trial.pass(60_000);
        trial.register("s", instance(1)).unwrap();
        assert_eq!(trial.seen("s", 1).unwrap().weight.get(), 2.0);
        trial.deregister("s", 1).unwrap();
        trial.pass(60_001);
        assert!(trial.naming.durable.operators.is_empty());
        trial.register("s", instance(1)).unwrap();
        assert_eq!(trial.seen("s", 1).unwrap().weight.get(), 1.0);
    }

    #[test]
    fn words_expire_too_if_the_instance_was_silent_or_its_connection_ended_or_it_never_was() {
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
        for n in 1..=3 {
            update(&mut trial, n, 2.0, true).unwrap();
        }
        trial.disconnect(1);
        let left = |trial: &Trial| {
            trial
                .naming
                .durable
                .operators
                .get(&service("s"))
                .map_or(0, BTreeMap::len)
        };
        trial.pass(60_000);
        assert_eq!(left(&trial), 3);
        trial.pass(1);
        assert_eq!(left(&trial), 1, "the silent one is gone for 30 s only");
        trial.pass(30_001);
        assert_eq!(left(&trial), 0);
        trial.pass(60_000);
        assert!(trial.is_blank());
    }

    #[test]
    fn an_expiry_that_was_not_committed_is_proposed_again() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        update(&mut trial, 1, 2.0, true).unwrap();
        trial.deregister("s", 1).unwrap();
        trial.leads = false;
        trial.pass(70_000);
        assert!(!trial.naming.durable.operators.is_empty());
        trial.leads = true;
        trial.pass(5_000);
        assert!(trial.naming.durable.operators.is_empty());
    }

    #[test]
    fn an_expiry_spares_persistent_instances_that_came_meanwhile() {
        let mut trial = Trial::new();
        trial
            .register(
                "s",
                Instance {
                    ephemeral: false,
                    ..instance(1)
                },
            )
            .unwrap();
        update(&mut trial, 1, 2.0, true).unwrap();
        let expire = Command::ExpireMetadata {
            instances: alloc::vec![(service("s"), key(1))],
            services: alloc::vec![service("s")],
        };
        trial.apply(expire).unwrap();
        trial.settle();
        assert_eq!(trial.seen("s", 1).unwrap().weight.get(), 2.0);
    }
}
