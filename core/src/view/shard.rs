//! One of the shards, and what is too small to be sharded.

use alloc::{collections::BTreeMap, sync::Arc};

use super::{
    delta::{CapacityItem, Delta, NamespaceItem},
    service::ServiceView,
};
use crate::{
    model::{ConfigItem, ConfigKey, ServiceKey},
    naming::{Labels, Switches},
    node::op::CapacityOf,
    plugins::PluginItem,
    policies::{PolicyItem, PolicyScope},
};

/// How many shards a view has.
pub const SHARDS: usize = 64;

/// Services and configs whose keys fall on one shard.
#[derive(Debug, Default)]
pub struct Shard {
    pub(super) services: BTreeMap<ServiceKey, Arc<ServiceView>>,
    pub(super) configs: BTreeMap<ConfigKey, Arc<ConfigItem>>,
    /// Keys of the configs by their ids, which are the order of lists.
    pub(super) ids: BTreeMap<u64, ConfigKey>,
}

/// What a view has once: namespaces, quotas, switches, labels.
#[derive(Debug, Default)]
pub struct Settled {
    pub(super) namespaces: BTreeMap<Arc<str>, NamespaceItem>,
    pub(super) capacities: BTreeMap<CapacityOf, CapacityItem>,
    pub(super) switches: Arc<Switches>,
    pub(super) policies: BTreeMap<PolicyScope, Arc<PolicyItem>>,
    /// Versions by name, the oldest first.
    pub(super) plugins: BTreeMap<Arc<str>, Arc<[PluginItem]>>,
    /// Labels of addresses, from the config `nacrite.cmdb`; set by the host when that config changes.
    pub labels: Arc<Labels>,
}

/// Which shard a service falls on.
#[must_use]
pub fn shard_of_service(key: &ServiceKey) -> usize {
    shard_of(&[&key.namespace, &key.group, &key.name])
}

/// Which shard a config falls on.
#[must_use]
pub fn shard_of_config(key: &ConfigKey) -> usize {
    shard_of(&[&key.namespace, &key.group, &key.data_id])
}

/// FNV-1a: cheap, and the same everywhere.
fn shard_of(parts: &[&str]) -> usize {
    let hash = parts
        .iter()
        .flat_map(|p| p.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
    (hash >> 32) as usize % SHARDS
}

impl Delta {
    /// The shard it changes; none for what is kept once.
    #[must_use]
    pub fn shard(&self) -> Option<usize> {
        match self {
            Self::Service { key, .. } => Some(shard_of_service(key)),
            Self::Config { key, .. } => Some(shard_of_config(key)),
            _ => None,
        }
    }
}

impl Shard {
    /// Entries of all maps.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.services.len() + self.configs.len() + self.ids.len()
    }

    /// Takes over a change of a service or config of this shard; others are not looked at.
    pub fn apply(&mut self, delta: Delta) {
        match delta {
            Delta::Service {
                key, state: None, ..
            } => drop(self.services.remove(&key)),
            Delta::Service {
                key,
                state: Some(state),
                instances,
            } => {
                match self.services.get_mut(&key) {
                    Some(kept) => match Arc::get_mut(kept) {
                        // Nobody reads it just now, so nothing need be copied.
                        Some(own) => own.change(state, &instances),
                        None => *kept = Arc::new(kept.changed(state, &instances)),
                    },
                    None => {
                        let mut new = ServiceView::new(key.clone(), state.clone());
                        new.change(state, &instances);
                        self.services.insert(key, Arc::new(new));
                    }
                }
            }
            Delta::Config { key, item } => {
                let old = match item {
                    Some(item) => {
                        let id = item.id;
                        match self.configs.insert(key.clone(), item) {
                            // Its key is there; another of the same words would only be more memory.
                            Some(old) if old.id == id => None,
                            old => {
                                self.ids.insert(id, key);
                                old
                            }
                        }
                    }
                    None => self.configs.remove(&key),
                };
                if let Some(old) = old {
                    self.ids.remove(&old.id);
                }
            }
            Delta::Namespace { .. }
            | Delta::Capacity { .. }
            | Delta::Switches(_)
            | Delta::Policy { .. }
            | Delta::Plugin { .. } => {}
        }
    }
}

impl Settled {
    /// Entries of all maps.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.namespaces.len() + self.capacities.len() + self.policies.len() + self.plugins.len()
    }

    /// Takes over a change of what is kept once; others are not looked at.
    pub fn apply(&mut self, delta: Delta) {
        match delta {
            Delta::Namespace {
                id,
                item: Some(item),
            } => drop(self.namespaces.insert(id, item)),
            Delta::Namespace { id, item: None } => drop(self.namespaces.remove(&id)),
            // Neither a quota nor a config is left of it.
            Delta::Capacity { of, item } if item.id == 0 && item.usage == 0 => {
                self.capacities.remove(&of);
            }
            Delta::Capacity { of, item } => drop(self.capacities.insert(of, item)),
            Delta::Switches(switches) => self.switches = switches,
            Delta::Policy {
                scope,
                item: Some(item),
            } => drop(self.policies.insert(scope, item)),
            Delta::Policy { scope, item: None } => drop(self.policies.remove(&scope)),
            Delta::Plugin {
                name,
                versions: Some(versions),
            } => drop(self.plugins.insert(name, versions)),
            Delta::Plugin {
                name,
                versions: None,
            } => drop(self.plugins.remove(&name)),
            Delta::Service { .. } | Delta::Config { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_that_says_nothing_is_not_kept() {
        let of = CapacityOf::Group("g".into());
        let with = |id, usage| Delta::Capacity {
            of: of.clone(),
            item: CapacityItem {
                id,
                usage,
                ..CapacityItem::default()
            },
        };
        let mut settled = Settled::default();
        settled.apply(with(0, 1));
        assert_eq!(settled.capacities.len(), 1);
        settled.apply(with(0, 0));
        assert!(settled.capacities.is_empty());
        settled.apply(with(7, 0));
        assert_eq!(settled.capacities.len(), 1, "a quota without configs stays");
    }
}
