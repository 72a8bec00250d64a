//! Queries over a whole view.

use alloc::{string::String, sync::Arc, vec::Vec};

use super::{
    delta::{CapacityItem, NamespaceItem},
    service::ServiceView,
    shard::{SHARDS, Settled, Shard, shard_of_config, shard_of_service},
};
use crate::{
    model::{ConfigItem, ConfigKey, ConfigType, ServiceKey},
    naming::{Labels, Switches},
    node::op::CapacityOf,
};

/// Access to the parts of a view, however they are kept.
pub trait Shards {
    /// Looks at one shard.
    fn read<R>(&self, shard: usize, look: impl FnOnce(&Shard) -> R) -> R;
    /// Looks at what is kept once.
    fn settled<R>(&self, look: impl FnOnce(&Settled) -> R) -> R;
}

/// Which texts are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TextFilter {
    /// All.
    #[default]
    Any,
    /// This one.
    Equal(String),
    /// Those that hold this, ignoring case.
    Holds(String),
    /// Those that fit a pattern in which `*` stands for anything.
    Pattern(String),
}

/// Which services are meant.
#[derive(Clone, Debug, Default)]
pub struct ServiceFilter {
    /// Namespace; none for all.
    pub namespace: Option<Arc<str>>,
    /// Group.
    pub group: TextFilter,
    /// Plain name.
    pub name: TextFilter,
    /// Only services that have instances.
    pub with_instances: bool,
}

/// Which configs are meant.
#[derive(Clone, Debug, Default)]
pub struct ConfigFilter {
    /// Namespace; none for all.
    pub namespace: Option<Arc<str>>,
    /// Group.
    pub group: TextFilter,
    /// Data id.
    pub data_id: TextFilter,
    /// Application; empty for all.
    pub app: String,
    /// Tags of which one must be there; none for all.
    pub tags: Vec<String>,
    /// Types of which it must be one; none for all.
    pub types: Vec<ConfigType>,
}

/// Part of a result.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// How many there are in all.
    pub total: usize,
    /// Those asked for.
    pub items: Vec<T>,
}

/// Every query that an answer is made from.
pub trait Reading {
    /// A service.
    fn service(&self, key: &ServiceKey) -> Option<Arc<ServiceView>>;
    /// Services in the order of their keys, `limit` of them from `offset` on.
    fn services(
        &self,
        filter: &ServiceFilter,
        offset: usize,
        limit: usize,
    ) -> Page<Arc<ServiceView>>;
    /// A config.
    fn config(&self, key: &ConfigKey) -> Option<Arc<ConfigItem>>;
    /// Configs that have a formal version, in the order of their ids (oldest first), `limit` of them from `offset` on.
    fn configs(
        &self,
        filter: &ConfigFilter,
        offset: usize,
        limit: usize,
    ) -> Page<(ConfigKey, Arc<ConfigItem>)>;
    /// The config of an id.
    fn config_of_id(&self, id: u64) -> Option<(ConfigKey, Arc<ConfigItem>)>;
    /// How many configs a namespace has.
    fn config_count(&self, namespace: &str) -> usize;
    /// Namespaces but the default one, by creation.
    fn namespaces(&self) -> Vec<(Arc<str>, NamespaceItem)>;
    /// A namespace but the default one.
    fn namespace(&self, id: &str) -> Option<NamespaceItem>;
    /// Quotas and usage; none if neither was ever there.
    fn capacity(&self, of: &CapacityOf) -> Option<CapacityItem>;
    /// The switches.
    fn switches(&self) -> Arc<Switches>;
    /// Labels of addresses.
    fn labels(&self) -> Arc<Labels>;
}

impl TextFilter {
    /// Whether a text is meant.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Equal(want) => want == text,
            Self::Holds(part) => text.to_lowercase().contains(&part.to_lowercase()),
            Self::Pattern(pattern) => fits_pattern(pattern, text),
        }
    }
}

/// `*` stands for any text, the empty one included.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl<S: Shards> Reading for S {
    fn service(&self, key: &ServiceKey) -> Option<Arc<ServiceView>> {
        self.read(shard_of_service(key), |shard| {
            shard.services.get(key).cloned()
        })
    }

    fn services(
        &self,
        filter: &ServiceFilter,
        offset: usize,
        limit: usize,
    ) -> Page<Arc<ServiceView>> {
        let mut all = Vec::new();
        for shard in 0..SHARDS {
            self.read(shard, |shard| {
                let fitting = shard.services.values().filter(|s| {
                    filter
                        .namespace
                        .as_ref()
                        .is_none_or(|n| *n == s.key.namespace)
                        && filter.group.fits(&s.key.group)
                        && filter.name.fits(&s.key.name)
                        && !(filter.with_instances && s.is_empty())
                });
                all.extend(fitting.cloned());
            });
        }
        all.sort_by(|a, b| a.key.cmp(&b.key));
        Page {
            total: all.len(),
            items: all.into_iter().skip(offset).take(limit).collect(),
        }
    }

    fn config(&self, key: &ConfigKey) -> Option<Arc<ConfigItem>> {
        self.read(shard_of_config(key), |shard| {
            shard.configs.get(key).cloned()
        })
    }

    fn configs(
        &self,
        filter: &ConfigFilter,
        offset: usize,
        limit: usize,
    ) -> Page<(ConfigKey, Arc<ConfigItem>)> {
        let mut all = Vec::new();
        for shard in 0..SHARDS {
            self.read(shard, |shard| {
                let fitting = shard.configs.iter().filter(|(key, item)| {
                    filter
                        .namespace
                        .as_ref()
                        .is_none_or(|n| *n == key.namespace)
                        && filter.group.fits(&key.group)
                        && filter.data_id.fits(&key.data_id)
                        && item.formal.as_ref().is_some_and(|v| {
                            (filter.app.is_empty() || *v.app == *filter.app)
                                && (filter.types.is_empty() || filter.types.contains(&v.kind))
                                && (filter.tags.is_empty()
                                    || v.tags
                                        .split(',')
                                        .any(|t| filter.tags.iter().any(|w| w == t.trim())))
                        })
                });
                all.extend(fitting.map(|(key, item)| (key.clone(), item.clone())));
            });
        }
        all.sort_by_key(|(_, item)| item.id);
        Page {
            total: all.len(),
            items: all.into_iter().skip(offset).take(limit).collect(),
        }
    }

    fn config_of_id(&self, id: u64) -> Option<(ConfigKey, Arc<ConfigItem>)> {
        (0..SHARDS).find_map(|shard| {
            self.read(shard, |shard| {
                shard
                    .configs
                    .iter()
                    .find(|(_, i)| i.id == id)
                    .map(|(k, i)| (k.clone(), i.clone()))
            })
        })
    }

    fn config_count(&self, namespace: &str) -> usize {
        self.capacity(&CapacityOf::Namespace(Arc::from(namespace)))
            .map_or(0, |c| c.usage as usize)
    }

    fn namespaces(&self) -> Vec<(Arc<str>, NamespaceItem)> {
        let mut all: Vec<_> = self.settled(|s| {
            s.namespaces
                .iter()
                .map(|(id, n)| (id.clone(), n.clone()))
                .collect()
        });
        all.sort_by_key(|(_, n)| n.created);
        all
    }

    fn namespace(&self, id: &str) -> Option<NamespaceItem> {
        self.settled(|s| s.namespaces.get(id).cloned())
    }

    fn capacity(&self, of: &CapacityOf) -> Option<CapacityItem> {
        self.settled(|s| s.capacities.get(of).copied())
    }

    fn switches(&self) -> Arc<Switches> {
        self.settled(|s| s.switches.clone())
    }

    fn labels(&self) -> Arc<Labels> {
        self.settled(|s| s.labels.clone())
    }
}
