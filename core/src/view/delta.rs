//! What the node tells its readers.

use alloc::{sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    model::{ConfigItem, ConfigKey, Instance, InstanceKey, ServiceKey, ServiceMetadata},
    naming::Switches,
    node::op::CapacityOf,
    plugins::PluginItem,
    policies::{PolicyItem, PolicyScope},
};

/// One change for readers. The enum only grows at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Delta {
    /// A service and what changed of its instances since the last delta; at most one a batch and service.
    Service {
        /// Which.
        key: ServiceKey,
        /// Its attributes; none if the service is gone (then its instances are too).
        state: Option<ServiceState>,
        /// Instances that came, changed or went.
        instances: Vec<InstanceChange>,
    },
    /// A config; none if it is gone.
    Config {
        /// Which.
        key: ConfigKey,
        /// All its versions.
        item: Option<Arc<ConfigItem>>,
    },
    /// A namespace; none if it is gone. The default one is never sent.
    Namespace {
        /// Its id.
        id: Arc<str>,
        /// Names.
        item: Option<NamespaceItem>,
    },
    /// Quotas and usage of a namespace or group.
    Capacity {
        /// Whose.
        of: CapacityOf,
        /// What.
        item: CapacityItem,
    },
    /// The switches changed.
    Switches(Arc<Switches>),
    /// A load-balancing policy; none if it is gone.
    Policy {
        /// For what.
        scope: PolicyScope,
        /// Its newest version.
        item: Option<Arc<PolicyItem>>,
    },
    /// A plugin; none if nothing is left of it.
    Plugin {
        /// Its name.
        name: Arc<str>,
        /// Its versions, the oldest first.
        versions: Option<Arc<[PluginItem]>>,
    },
}

/// Attributes of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    /// Whether its instances are ephemeral.
    pub ephemeral: bool,
    /// Its metadata, if it has any.
    pub metadata: Option<Arc<ServiceMetadata>>,
    /// Grows with every change of the service.
    pub revision: u64,
}

/// A change of one instance, as subscribers see it (operators' words are already laid over).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum InstanceChange {
    /// It came or changed.
    Put(Arc<Instance>),
    /// It went.
    Remove(InstanceKey),
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceItem {
    /// Name that people see.
    pub name: Arc<str>,
    /// Description.
    pub desc: Arc<str>,
    /// When it was created, wall clock, milliseconds.
    pub created: u64,
}

/// Quotas and usage; 0 of a quota means the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityItem {
    /// The id that the API shows: log index of its first entry; 0 if no quota was ever set.
    pub id: u64,
    /// Configs allowed.
    pub quota: u32,
    /// Configs there are.
    pub usage: u32,
    /// Bytes of one config.
    pub max_size: u32,
    /// Kept and shown only.
    pub max_aggr_count: u32,
    /// Kept and shown only.
    pub max_aggr_size: u32,
    /// When a quota was first set, wall clock, milliseconds; 0 for never.
    pub created: u64,
    /// When it was last set.
    pub modified: u64,
}
