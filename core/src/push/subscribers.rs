//! Who subscribes to what: services by number as long as anybody subscribes to them, and connections.
//!
//! Not here: when anything is sent.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::timers::TimerKey;
use crate::{
    model::ServiceKey,
    node::input::{ConnDetails, ConnId},
};

/// Number of a service that has subscribers; used again once it is free.
pub(super) type ServiceId = u32;

/// A gRPC connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Conn {
    pub(super) details: ConnDetails,
    /// Wall clock, milliseconds.
    pub(super) since: u64,
    /// What it subscribes to.
    pub(super) services: BTreeSet<ServiceId>,
    /// Whether it asked for load-balancing policies with the services.
    pub(super) policies: bool,
}

/// A service that somebody subscribes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Subscribed {
    pub(super) key: ServiceKey,
    pub(super) conns: BTreeMap<ConnId, Subscription>,
    /// UDP subscribers, by number.
    pub(super) udp: BTreeSet<u64>,
    /// When the last wave left, monotonic milliseconds.
    pub(super) last_wave: Option<u64>,
    /// A wave that waits for its window: when the first change of it came, and its timer.
    pub(super) gathering: Option<(u64, TimerKey)>,
    /// Whether it had no instance at its last change.
    pub(super) empty: bool,
}

/// What a connection asked for when it subscribed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Subscription {
    pub(super) clusters: Arc<str>,
    pub(super) app: Arc<str>,
    /// Wall clock, milliseconds.
    pub(super) since: u64,
}

/// Services that have subscribers, each under a small number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Services {
    ids: BTreeMap<ServiceKey, ServiceId>,
    slots: Vec<Option<Subscribed>>,
    free: Vec<ServiceId>,
}

impl Services {
    /// The number of a service, if anybody subscribes to it.
    pub(super) fn find(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.ids.get(key).copied()
    }

    /// The number of a service, which gets one if it has none.
    pub(super) fn intern(&mut self, key: &ServiceKey) -> ServiceId {
        if let Some(id) = self.find(key) {
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            ServiceId::try_from(self.slots.len() - 1).expect("memory ends before 2^32 services")
        });
        self.ids.insert(key.clone(), id);
        self.slots[id as usize] = Some(Subscribed {
            key: key.clone(),
            conns: BTreeMap::new(),
            udp: BTreeSet::new(),
            last_wave: None,
            gathering: None,
            empty: false,
        });
        id
    }

    pub(super) fn get(&self, id: ServiceId) -> Option<&Subscribed> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ServiceId) -> Option<&mut Subscribed> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// Forgets a service without subscribers; returns what was kept of it.
    pub(super) fn release(&mut self, id: ServiceId) -> Option<Subscribed> {
        let slot = self.slots.get_mut(id as usize)?;
        let unused = slot.take_if(|s| s.conns.is_empty() && s.udp.is_empty())?;
        self.ids.remove(&unused.key);
        if self.ids.is_empty() {
            *self = Self::default();
        } else {
            self.free.push(id);
        }
        Some(unused)
    }

    /// The numbers of a namespace's services.
    pub(super) fn of_namespace(&self, namespace: &Arc<str>) -> impl Iterator<Item = ServiceId> {
        let first = ServiceKey {
            namespace: namespace.clone(),
            group: "".into(),
            name: "".into(),
        };
        let from = self.ids.range(first..);
        from.take_while(move |(key, _)| key.namespace == *namespace)
            .map(|(_, id)| *id)
    }

    /// All of them, in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Subscribed> {
        self.ids.values().filter_map(|id| self.get(*id))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_free_again_when_nobody_subscribes() {
        let mut services = Services::default();
        let key = |name| ServiceKey::new("", "", name);
        let (a, b) = (services.intern(&key("a")), services.intern(&key("b")));
        assert_ne!(a, b);
        assert_eq!(services.intern(&key("a")), a);
        services.get_mut(a).unwrap().udp.insert(1);
        assert!(services.release(a).is_none(), "somebody subscribes");
        assert!(services.release(b).is_some());
        assert_eq!(services.find(&key("b")), None);
        assert_eq!(services.intern(&key("c")), b);
        assert_eq!(
            services.iter().map(|s| &*s.key.name).collect::<Vec<_>>(),
            ["a", "c"]
        );
    }
}
