//! What readers and subscribers have not been told yet.
//!
//! Before something changes, what was last told is noted; when the changes are taken, what is the same again is
//! left out. So a steady beat, or a registration undone in the same batch, produces nothing.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::mem;

use serde::{Deserialize, Serialize};

use super::Naming;
use crate::{
    model::{Instance, InstanceKey, ServiceKey},
    view::{Delta, InstanceChange, ServiceState},
};

/// A service that changed since the changes were last taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceChanged {
    /// Which.
    pub key: ServiceKey,
    /// For readers.
    pub delta: Delta,
    /// It was not there before.
    pub appeared: bool,
    /// It is not there any more.
    pub vanished: bool,
    /// How many instances it had before.
    pub instances_before: usize,
    /// How many instances it has now.
    pub instances_left: usize,
}

/// What was last told of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dirty {
    before: Option<ServiceState>,
    count: u32,
    instances: BTreeMap<InstanceKey, Option<Arc<Instance>>>,
}

impl Naming {
    /// Notes a service, and maybe an instance of it, before they change.
    pub(super) fn note(&mut self, key: &ServiceKey, instance: Option<&InstanceKey>) {
        let service = self.volatile.names.get(key).copied();
        if !self.volatile.dirty.contains_key(key) {
            let before = service.map(|id| self.state_of(id));
            let count = service.map_or(0, |id| self.volatile.services[id].distinct);
            self.volatile.dirty.insert(
                key.clone(),
                Dirty {
                    before,
                    count,
                    instances: BTreeMap::new(),
                },
            );
        }
        let Some(instance) = instance else { return };
        let shown = service.and_then(|id| self.shown(id, instance)).cloned();
        let dirty = self.volatile.dirty.get_mut(key);
        let told = &mut dirty.expect("it was put there above").instances;
        told.entry(instance.clone()).or_insert(shown);
    }

    /// All services that really changed since the last call, in the order of their keys.
    pub fn take_changes(&mut self) -> Vec<ServiceChanged> {
        let dirty = mem::take(&mut self.volatile.dirty);
        dirty
            .into_iter()
            .filter_map(|(key, dirty)| self.change_of(key, dirty))
            .collect()
    }

    /// The switches, if they changed since the last call.
    pub fn take_switches(&mut self) -> Option<Delta> {
        mem::take(&mut self.volatile.switches_dirty)
            .then(|| Delta::Switches(self.durable.switches.clone()))
    }

    fn change_of(&mut self, key: ServiceKey, dirty: Dirty) -> Option<ServiceChanged> {
        let instances_before = dirty.count as usize;
        let Some(id) = self.volatile.names.get(&key).copied() else {
            dirty.before?;
            let delta = Delta::Service {
                key: key.clone(),
                state: None,
                instances: Vec::new(),
            };
            return Some(ServiceChanged {
                key,
                delta,
                appeared: false,
                vanished: true,
                instances_before,
                instances_left: 0,
            });
        };
        let instances: Vec<_> = dirty
            .instances
            .into_iter()
            .filter_map(
                |(instance, before)| match (before, self.shown(id, &instance)) {
                    (None, None) => None,
                    (Some(before), Some(now)) if Arc::ptr_eq(&before, now) || before == *now => {
                        None
                    }
                    (_, Some(now)) => Some(InstanceChange::Put(now.clone())),
                    (Some(_), None) => Some(InstanceChange::Remove(instance)),
                },
            )
            .collect();
        let mut state = self.state_of(id);
        let same = dirty.before.as_ref().is_some_and(|before| {
            before.ephemeral == state.ephemeral && before.metadata == state.metadata
        });
        if same && instances.is_empty() {
            return None;
        }
        self.volatile.last_revision += 1;
        state.revision = self.volatile.last_revision;
        let service = &mut self.volatile.services[id];
        service.revision = state.revision;
        Some(ServiceChanged {
            appeared: dirty.before.is_none(),
            vanished: false,
            instances_before,
            instances_left: service.distinct as usize,
            delta: Delta::Service {
                key: key.clone(),
                state: Some(state),
                instances,
            },
            key,
        })
    }

    fn state_of(&self, id: u32) -> ServiceState {
        let service = &self.volatile.services[id];
        ServiceState {
            ephemeral: service.ephemeral,
            metadata: self.durable.services.get(&service.key).cloned(),
            revision: service.revision,
        }
    }
}
