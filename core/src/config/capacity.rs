//! Quotas: what is allowed, what is used, and when that is a refusal.
//!
//! Every namespace's formal versions are counted. The default namespace's are counted by group too, and it is the
//! group's quota that binds them (as in Nacos, where no tenant means that the group counts); elsewhere it is the
//! namespace's. A quota set for the default namespace itself binds as well.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::row::{CapacityRow, capacity_key, read_capacity_key};
use crate::{
    log::{Decode, Row, RowWrite, Table},
    model::{ConfigKey, DEFAULT_NAMESPACE},
    node::{
        op::{CapacityChange, CapacityOf},
        reply::Refusal,
    },
    view::{CapacityItem, Delta},
};

/// Quotas of whatever has none of its own. They decide in `apply`, so they travel with the command that they bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Configs of the whole server (`defaultClusterQuota`).
    pub cluster: u32,
    /// Configs of a group of the default namespace (`defaultGroupQuota`).
    pub group: u32,
    /// Configs of a namespace (`defaultTenantQuota`).
    pub namespace: u32,
    /// Bytes of one config (`defaultMaxSize`).
    pub max_size: u32,
}

/// Quotas and usage of namespaces and groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Capacities {
    items: BTreeMap<CapacityOf, CapacityItem>,
    /// Formal versions in all.
    total: u32,
    changed: BTreeSet<CapacityOf>,
}

/// By whose quota a config is bound: usage, its quota, its size, refusal when the quota is full.
struct Bound {
    usage: u32,
    quota: u32,
    max_size: u32,
    full: Refusal,
}

impl Capacities {
    /// Formal versions in all.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn item(&self, of: &CapacityOf) -> Option<&CapacityItem> {
        self.items.get(of)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&CapacityOf, &CapacityItem)> {
        self.items.iter()
    }

    /// Whose usage a config counts in.
    fn counted_in(key: &ConfigKey) -> impl Iterator<Item = CapacityOf> {
        let group =
            (*key.namespace == *DEFAULT_NAMESPACE).then(|| CapacityOf::Group(key.group.clone()));
        core::iter::once(CapacityOf::Namespace(key.namespace.clone())).chain(group)
    }

    /// A formal version appeared.
    pub(super) fn add(&mut self, key: &ConfigKey) {
        self.total += 1;
        for of in Self::counted_in(key) {
            self.items.entry(of.clone()).or_default().usage += 1;
            self.changed.insert(of);
        }
    }

    /// A formal version vanished.
    pub(super) fn subtract(&mut self, key: &ConfigKey) {
        self.total -= 1;
        for of in Self::counted_in(key) {
            if let Some(item) = self.items.get_mut(&of) {
                item.usage -= 1;
                if item.usage == 0 && item.id == 0 {
                    self.items.remove(&of);
                }
            }
            self.changed.insert(of);
        }
    }

    /// Why a version of that many bytes may not be published, if so; `first` for one that will be counted.
    pub(super) fn refusal(
        &self,
        quotas: &Quotas,
        key: &ConfigKey,
        bytes: u32,
        first: bool,
    ) -> Option<Refusal> {
        if first && self.total >= quotas.cluster {
            return Some(Refusal::ClusterQuota);
        }
        let bounds = self.bounds(quotas, key);
        if first && let Some(full) = bounds.iter().find(|b| b.usage >= b.quota) {
            return Some(full.full.clone());
        }
        let max_size = bounds.iter().map(|b| b.max_size).min()?;
        (bytes > max_size).then_some(Refusal::ContentSize(max_size))
    }

    fn bounds(&self, quotas: &Quotas, key: &ConfigKey) -> Vec<Bound> {
        let default_namespace = *key.namespace == *DEFAULT_NAMESPACE;
        let given = |value: u32, default: u32| if value == 0 { default } else { value };
        Self::counted_in(key)
            .map(|of| {
                let item = self.items.get(&of).copied().unwrap_or_default();
                let (default_quota, default_size, full) = match of {
                    CapacityOf::Group(_) => (quotas.group, quotas.max_size, Refusal::GroupQuota),
                    // Without a quota of its own it is bound by its groups alone.
                    CapacityOf::Namespace(_) if default_namespace => {
                        (u32::MAX, u32::MAX, Refusal::NamespaceQuota)
                    }
                    CapacityOf::Namespace(_) => {
                        (quotas.namespace, quotas.max_size, Refusal::NamespaceQuota)
                    }
                };
                Bound {
                    usage: item.usage,
                    quota: given(item.quota, default_quota),
                    max_size: given(item.max_size, default_size),
                    full,
                }
            })
            .collect()
    }

    /// Sets quotas.
    pub(super) fn set(
        &mut self,
        of: CapacityOf,
        change: CapacityChange,
        index: u64,
        stamp: u64,
        rows: &mut Vec<RowWrite>,
    ) {
        let item = self.items.entry(of.clone()).or_default();
        if item.id == 0 {
            item.id = index;
            item.created = stamp;
        }
        item.modified = stamp;
        for (field, given) in [
            (&mut item.quota, change.quota),
            (&mut item.max_size, change.max_size),
            (&mut item.max_aggr_count, change.max_aggr_count),
            (&mut item.max_aggr_size, change.max_aggr_size),
        ] {
            *field = given.unwrap_or(*field);
        }
        let row = CapacityRow {
            id: item.id,
            quota: item.quota,
            max_size: item.max_size,
            max_aggr_count: item.max_aggr_count,
            max_aggr_size: item.max_aggr_size,
            created: item.created,
            modified: item.modified,
        };
        let row = Row {
            table: Table::Capacity,
            key: capacity_key(&of),
            value: row.encode(),
        };
        rows.push(RowWrite::Put { row, content: None });
        self.changed.insert(of);
    }

    pub(super) fn restore(&mut self, row: &Row) -> Result<(), Decode> {
        let of = read_capacity_key(&row.key).ok_or(Decode::Malformed)?;
        let row = CapacityRow::decode(&row.value)?;
        let usage = self.items.get(&of).map_or(0, |item| item.usage);
        let item = CapacityItem {
            id: row.id,
            quota: row.quota,
            usage,
            max_size: row.max_size,
            max_aggr_count: row.max_aggr_count,
            max_aggr_size: row.max_aggr_size,
            created: row.created,
            modified: row.modified,
        };
        self.items.insert(of.clone(), item);
        self.changed.insert(of);
        Ok(())
    }

    pub(super) fn take_deltas(&mut self) -> Vec<Delta> {
        core::mem::take(&mut self.changed)
            .into_iter()
            .map(|of| {
                let item = self.items.get(&of).copied().unwrap_or_default();
                Delta::Capacity { of, item }
            })
            .collect()
    }
}
