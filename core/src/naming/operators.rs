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
    pub(super) fn overlaid(&self, service: &ServiceKey, published: &Arc<Instance>) -> Arc<Instance> {
        let Some(words) = self.durable.operator(service, &published.key) else { return published.clone() };
        let shown = Instance {
            weight: words.weight,
            enabled: words.enabled,
            metadata: published.metadata.merged(&words.extend),
            ..(**published).clone()
        };
        if shown == **published { published.clone() } else { Arc::new(shown) }
    }

    /// The mark on operators' words goes when their instance is there.
    pub(super) fn review_mark(&mut self, record: u32) {
        let record = &self.volatile.records[record];
        let service = &self.volatile.services[record.service].key;
        if self.durable.operator(service, &record.published.key).is_some() {
            let mark = Mark::Instance(service.clone(), record.published.key.clone());
            self.volatile.marks.clear(&mark);
        }
    }

    /// `apply` of `PutOperator`.
    pub(super) fn put_operator(
        &mut self,
        service: &ServiceKey,
        key: InstanceKey,
        words: OperatorMetadata,
        out: &mut Vec<RowWrite>,
    ) -> Answered {
        out.push(rows::operator(service, &key, &words));
        self.set_operator(service, &key, Some(words));
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
            let old = self.durable.operator(service, key).cloned().unwrap_or(OperatorMetadata {
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
    pub(super) fn set_operator(&mut self, service: &ServiceKey, key: &InstanceKey, words: Option<OperatorMetadata>) {
        let id = self.service_id(service);
        if id.is_some() {
            self.note(service, Some(key));
        }
        let there = words.is_some();
        let all = &mut self.durable.operators;
        if let Some(words) = words {
            all.entry(service.clone()).or_default().insert(key.clone(), words);
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
        let from = records.partition_point(|r| self.volatile.records[*r].published.key < *key);
        records[from..].iter().copied().take_while(|r| self.volatile.records[*r].published.key == *key).collect()
    }
}
