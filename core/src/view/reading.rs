//! Queries over a whole view.

use alloc::{collections::BinaryHeap, string::String, sync::Arc, vec::Vec};
use core::{cmp::Reverse, ops::Bound};

use super::{
    delta::{CapacityItem, NamespaceItem},
    service::ServiceView,
    shard::{SHARDS, Settled, Shard, shard_of_config, shard_of_service},
};
use crate::{
    model::{ConfigItem, ConfigKey, ConfigType, ServiceKey},
    naming::{Labels, Switches},
    node::op::CapacityOf,
    plugins::PluginItem,
    policies::{PolicyItem, PolicyScope},
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
    /// Namespaces but the default one, in the order of their ids.
    fn namespaces(&self) -> Vec<(Arc<str>, NamespaceItem)>;
    /// A namespace but the default one.
    fn namespace(&self, id: &str) -> Option<NamespaceItem>;
    /// Quotas and usage; none if neither was ever there.
    fn capacity(&self, of: &CapacityOf) -> Option<CapacityItem>;
    /// The switches.
    fn switches(&self) -> Arc<Switches>;
    /// The policy of exactly this scope.
    fn policy(&self, scope: &PolicyScope) -> Option<Arc<PolicyItem>>;
    /// Policies of a namespace (none for all) in the order of their scopes, namespaces' first.
    fn policies(
        &self,
        namespace: Option<&str>,
        offset: usize,
        limit: usize,
    ) -> Page<(PolicyScope, Arc<PolicyItem>)>;
    /// Versions of a plugin, the oldest first; the last may be its removal.
    fn plugin(&self, name: &str) -> Option<Arc<[PluginItem]>>;
    /// Plugins that are published, in the order of their names.
    fn plugins(&self, offset: usize, limit: usize) -> Page<(Arc<str>, Arc<[PluginItem]>)>;
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

/// The services of a shard that are meant, in the order of their keys, from behind a key on.
fn fitting<'s>(
    shard: &'s Shard,
    filter: &'s ServiceFilter,
    after: Option<&ServiceKey>,
) -> impl Iterator<Item = &'s Arc<ServiceView>> {
    let empty: Arc<str> = Arc::from("");
    let first = ServiceKey {
        namespace: filter.namespace.clone().unwrap_or_else(|| empty.clone()),
        group: match &filter.group {
            TextFilter::Equal(group) if filter.namespace.is_some() => Arc::from(group.as_str()),
            _ => empty.clone(),
        },
        name: empty,
    };
    let from = match after {
        Some(after) => Bound::Excluded(after),
        None => Bound::Included(&first),
    };
    let ends = |s: &ServiceView| {
        filter.namespace.as_ref().is_some_and(|n| {
            *n != s.key.namespace
                || matches!(&filter.group, TextFilter::Equal(g) if *g != *s.key.group)
        })
    };
    shard
        .services
        .range::<ServiceKey, _>((from, Bound::Unbounded))
        .map(|(_, service)| service)
        .take_while(move |s| !ends(s))
        .filter(|s| {
            filter.group.fits(&s.key.group)
                && filter.name.fits(&s.key.name)
                && !(filter.with_instances && s.is_empty())
        })
}

/// A page over all shards: their ordered ranges merged, a few services of each at a time.
fn merged<S: Shards>(
    view: &S,
    filter: &ServiceFilter,
    offset: usize,
    limit: usize,
) -> Vec<Arc<ServiceView>> {
    if limit == 0 {
        return Vec::new();
    }
    let at_once = (offset.saturating_add(limit) / SHARDS).clamp(1, 64) + 1;
    let fetch = |shard: usize, after: Option<&ServiceKey>| -> Vec<Arc<ServiceView>> {
        // The next one is the last of the list, from which it is taken.
        view.read(shard, |s| {
            let mut next: Vec<_> = fitting(s, filter, after).take(at_once).cloned().collect();
            next.reverse();
            next
        })
    };
    let mut lists: Vec<Vec<Arc<ServiceView>>> =
        (0..SHARDS).map(|shard| fetch(shard, None)).collect();
    let mut heads: BinaryHeap<Reverse<(ServiceKey, usize)>> = BinaryHeap::new();
    for (shard, list) in lists.iter().enumerate() {
        heads.extend(list.last().map(|s| Reverse((s.key.clone(), shard))));
    }
    let mut items = Vec::new();
    let mut passed = 0;
    while items.len() < limit {
        let Some(Reverse((_, shard))) = heads.pop() else {
            break;
        };
        let service = lists[shard]
            .pop()
            .expect("a head stands for the last of its list");
        if lists[shard].is_empty() {
            lists[shard] = fetch(shard, Some(&service.key));
        }
        heads.extend(lists[shard].last().map(|s| Reverse((s.key.clone(), shard))));
        if passed < offset {
            passed += 1;
        } else {
            items.push(service);
        }
    }
    items
}

/// The configs of a shard that a filter's namespace and group leave, without going through all others.
fn of_group<'s>(
    shard: &'s Shard,
    filter: &'s ConfigFilter,
) -> impl Iterator<Item = (&'s ConfigKey, &'s Arc<ConfigItem>)> {
    let empty: Arc<str> = Arc::from("");
    let group = match &filter.group {
        TextFilter::Equal(group) if filter.namespace.is_some() => Some(group.as_str()),
        _ => None,
    };
    let first = ConfigKey {
        namespace: filter.namespace.clone().unwrap_or_else(|| empty.clone()),
        group: group.map_or_else(|| empty.clone(), Arc::from),
        data_id: empty,
    };
    shard.configs.range(first..).take_while(move |(key, _)| {
        filter
            .namespace
            .as_ref()
            .is_none_or(|n| *n == key.namespace)
            && group.is_none_or(|g| *g == *key.group)
    })
}

fn fits_config(filter: &ConfigFilter, key: &ConfigKey, item: &ConfigItem) -> bool {
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
        let total = (0..SHARDS)
            .map(|shard| self.read(shard, |shard| fitting(shard, filter, None).count()))
            .sum();
        Page {
            total,
            items: merged(self, filter, offset, limit.min(total)),
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
        let mut ids: Vec<(u64, usize)> = Vec::new();
        for at in 0..SHARDS {
            self.read(at, |shard| {
                let fitting =
                    of_group(shard, filter).filter(|(key, item)| fits_config(filter, key, item));
                ids.extend(fitting.map(|(_, item)| (item.id, at)));
            });
        }
        ids.sort_unstable();
        let item = |(id, at): &(u64, usize)| {
            self.read(*at, |shard| {
                let key = shard.ids.get(id)?;
                Some((key.clone(), shard.configs.get(key)?.clone()))
            })
        };
        Page {
            total: ids.len(),
            items: ids
                .iter()
                .skip(offset)
                .take(limit)
                .filter_map(item)
                .collect(),
        }
    }

    fn config_of_id(&self, id: u64) -> Option<(ConfigKey, Arc<ConfigItem>)> {
        (0..SHARDS).find_map(|shard| {
            self.read(shard, |shard| {
                let key = shard.ids.get(&id)?;
                Some((key.clone(), shard.configs.get(key)?.clone()))
            })
        })
    }

    fn config_count(&self, namespace: &str) -> usize {
        self.capacity(&CapacityOf::Namespace(Arc::from(namespace)))
            .map_or(0, |c| c.usage as usize)
    }

    fn namespaces(&self) -> Vec<(Arc<str>, NamespaceItem)> {
        self.settled(|s| {
            let items = s.namespaces.iter();
            items.map(|(id, n)| (id.clone(), n.clone())).collect()
        })
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

    fn policy(&self, scope: &PolicyScope) -> Option<Arc<PolicyItem>> {
        self.settled(|s| s.policies.get(scope).cloned())
    }

    fn policies(
        &self,
        namespace: Option<&str>,
        offset: usize,
        limit: usize,
    ) -> Page<(PolicyScope, Arc<PolicyItem>)> {
        self.settled(|s| {
            let meant = |scope: &PolicyScope| namespace.is_none_or(|n| n == &**scope.namespace());
            let total = s.policies.keys().filter(|scope| meant(scope)).count();
            let items = s.policies.iter().filter(|(scope, _)| meant(scope));
            let items = items.skip(offset).take(limit);
            Page {
                total,
                items: items.map(|(k, v)| (k.clone(), v.clone())).collect(),
            }
        })
    }

    fn plugin(&self, name: &str) -> Option<Arc<[PluginItem]>> {
        self.settled(|s| s.plugins.get(name).cloned())
    }

    fn plugins(&self, offset: usize, limit: usize) -> Page<(Arc<str>, Arc<[PluginItem]>)> {
        self.settled(|s| {
            let published = |all: &[PluginItem]| all.last().is_some_and(|i| i.module.is_some());
            let mut found = s.plugins.iter().filter(|(_, all)| published(all));
            let total = found.clone().count();
            let items = found.by_ref().skip(offset).take(limit);
            Page {
                total,
                items: items.map(|(k, v)| (k.clone(), v.clone())).collect(),
            }
        })
    }

    fn labels(&self) -> Arc<Labels> {
        self.settled(|s| s.labels.clone())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, format};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{ConfigVersion, ContentRef, Md5},
        view::{Delta, ServiceState},
    };

    struct Bare(Vec<Shard>, Settled);

    impl Shards for Bare {
        fn read<R>(&self, shard: usize, look: impl FnOnce(&Shard) -> R) -> R {
            look(&self.0[shard])
        }

        fn settled<R>(&self, look: impl FnOnce(&Settled) -> R) -> R {
            look(&self.1)
        }
    }

    impl Bare {
        fn new() -> Self {
            Self(
                (0..SHARDS).map(|_| Shard::default()).collect(),
                Settled::default(),
            )
        }

        fn apply(&mut self, delta: Delta) {
            let shard = delta.shard().unwrap();
            self.0[shard].apply(delta);
        }

        fn put_service(&mut self, namespace: &str, group: &str, name: &str) {
            let state = Some(ServiceState {
                ephemeral: true,
                metadata: None,
                revision: 1,
            });
            self.apply(Delta::Service {
                key: ServiceKey::new(namespace, group, name),
                state,
                instances: Vec::new(),
            });
        }

        fn put_config(&mut self, id: u64, data_id: &str) {
            let text: Arc<str> = Arc::from("");
            let version = ConfigVersion {
                content: ContentRef {
                    index: id,
                    md5: Md5::of(b""),
                    bytes: 0,
                },
                kind: ConfigType::Text,
                app: text.clone(),
                desc: text.clone(),
                usage: text.clone(),
                effect: text.clone(),
                schema: text.clone(),
                tags: "a, b".into(),
                encrypted_data_key: text.clone(),
                created: 0,
                modified: 0,
                create_user: text.clone(),
                create_ip: text,
            };
            let item = Arc::new(ConfigItem {
                id,
                formal: Some(version),
                grays: Vec::new(),
            });
            self.apply(Delta::Config {
                key: ConfigKey::new("", "g", data_id),
                item: Some(item),
            });
        }
    }

    #[test]
    fn patterns_have_stars_anywhere() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "axbyc", true),
            ("abc", "abc", true),
            ("ab", "abc", false),
            ("a*a", "a", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(
                TextFilter::Pattern(pattern.into()).fits(text),
                fits,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn configs_are_listed_by_id_and_found_by_it() {
        let mut view = Bare::new();
        for (id, name) in [(9, "a"), (3, "b"), (5, "c")] {
            view.put_config(id, name);
        }
        let page = view.configs(
            &ConfigFilter {
                tags: Vec::from(["b".into()]),
                ..ConfigFilter::default()
            },
            1,
            5,
        );
        assert_eq!(
            (
                page.total,
                page.items.iter().map(|(_, i)| i.id).collect::<Vec<_>>()
            ),
            (3, Vec::from([5, 9]))
        );
        assert_eq!(&*view.config_of_id(3).unwrap().0.data_id, "b");
        // Removed and made again, it has a new id.
        view.apply(Delta::Config {
            key: ConfigKey::new("", "g", "b"),
            item: None,
        });
        assert!(view.config_of_id(3).is_none());
        view.put_config(12, "b");
        view.put_config(13, "b");
        assert!(view.config_of_id(12).is_none() && view.config_of_id(13).is_some());
    }

    proptest! {
        #[test]
        fn pages_are_those_of_one_ordered_set(
            keys in prop::collection::btree_set(("[ab]", "[gh]", "[a-c]{1,6}"), 0..300),
            namespace in prop::option::of("[abc]"),
            group in prop::option::of("[ghi]"),
            offset in 0_usize..200,
            limit in 0_usize..200,
        ) {
            let mut view = Bare::new();
            for (namespace, group, name) in &keys {
                view.put_service(namespace, group, name);
            }
            let want: BTreeSet<_> = keys
                .iter()
                .filter(|(n, g, _)| namespace.as_ref().is_none_or(|w| w == n) && group.as_ref().is_none_or(|w| w == g))
                .cloned()
                .collect();
            let filter = ServiceFilter {
                namespace: namespace.map(Arc::from),
                group: group.map_or(TextFilter::Any, TextFilter::Equal),
                ..ServiceFilter::default()
            };
            let page = view.services(&filter, offset, limit);
            prop_assert_eq!(page.total, want.len());
            let got: Vec<_> = page.items.iter().map(|s| format!("{}", s.key)).collect();
            let want: Vec<_> = want.into_iter().skip(offset).take(limit).map(|(n, g, s)| format!("{n}@@{g}@@{s}")).collect();
            prop_assert_eq!(got, want);
        }
    }
}
