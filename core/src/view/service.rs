//! A service as readers see it.

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::{AtomicU64, Ordering};

use super::delta::{InstanceChange, ServiceState};
use crate::model::{Instance, InstanceKey, ServiceKey, ServiceMetadata};

/// A service with its instances, in the order of their keys.
#[derive(Debug)]
pub struct ServiceView {
    /// Which.
    pub key: ServiceKey,
    state: ServiceState,
    instances: Vec<Arc<Instance>>,
    /// Last `lastRefTime` given out. Shared by the revisions of one service, because it must never repeat.
    last_ref: Arc<AtomicU64>,
}

impl ServiceView {
    /// A service nobody has registered with yet.
    #[must_use]
    pub fn new(key: ServiceKey, state: ServiceState) -> Self {
        Self {
            key,
            state,
            instances: Vec::new(),
            last_ref: Arc::new(AtomicU64::new(0)),
        }
    }

    /// This service after a change; what did not change is shared.
    #[must_use]
    pub fn changed(&self, state: ServiceState, changes: &[InstanceChange]) -> Self {
        let mut instances = self.instances.clone();
        for change in changes {
            let key = match change {
                InstanceChange::Put(instance) => &instance.key,
                InstanceChange::Remove(key) => key,
            };
            match (instances.binary_search_by(|i| i.key.cmp(key)), change) {
                (Ok(at), InstanceChange::Put(instance)) => instances[at] = instance.clone(),
                (Err(at), InstanceChange::Put(instance)) => instances.insert(at, instance.clone()),
                (Ok(at), InstanceChange::Remove(_)) => drop(instances.remove(at)),
                (Err(_), InstanceChange::Remove(_)) => {}
            }
        }
        Self {
            key: self.key.clone(),
            state,
            instances,
            last_ref: self.last_ref.clone(),
        }
    }

    /// Whether its instances are ephemeral.
    #[must_use]
    pub fn ephemeral(&self) -> bool {
        self.state.ephemeral
    }

    /// Its metadata; a service made by a registration alone has none.
    #[must_use]
    pub fn metadata(&self) -> Option<&ServiceMetadata> {
        self.state.metadata.as_deref()
    }

    /// Grows with every change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.state.revision
    }

    /// All instances, in the order of their keys.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.iter()
    }

    /// How many instances there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// One instance.
    #[must_use]
    pub fn instance(&self, key: &InstanceKey) -> Option<&Arc<Instance>> {
        self.instances
            .binary_search_by(|i| i.key.cmp(key))
            .ok()
            .map(|at| &self.instances[at])
    }

    /// A `lastRefTime` for an answer built at `wall`: strictly growing per service, also within a millisecond
    /// (clients drop what does not grow).
    #[must_use]
    pub fn next_ref_time(&self, wall: u64) -> u64 {
        let next = |last: u64| wall.max(last + 1);
        let last = self
            .last_ref
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            });
        next(last.unwrap_or_default())
    }
}
