//! Commands: everything that changes durable state. Each carries what its outcome depends on, the stamp included.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::config::Quotas;
use crate::encoding::encode_after;
use crate::model::{
    ClusterMetadata, ConfigKey, Instance, InstanceKey, Metadata, OperatorMetadata, ServiceKey,
    ServiceMetadata, Weight,
};
use crate::node::op::{CapacityChange, CapacityOf, Publish};
use crate::plugins::PluginModule;
use crate::policies::{PolicyChange, PolicyPlugin};

/// A durable change. Decided in `apply`, whose outcome is the reply. The enum only grows at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Publish a config that no quota binds; its content is that of the entry.
    Publish {
        /// What.
        publish: Box<Publish>,
        /// Leader's stamp, wall clock, milliseconds.
        stamp: u64,
    },
    /// Remove a config or one gray version.
    RemoveConfig {
        /// Which config.
        key: ConfigKey,
        /// Only this gray version.
        gray: Option<Arc<str>>,
        /// Who, for the history.
        user: Arc<str>,
        /// From where, for the history.
        ip: Arc<str>,
        /// Leader's stamp.
        stamp: u64,
    },
    /// Forget history rows.
    CutHistory {
        /// Of before this stamp.
        before: u64,
    },
    /// Set quotas.
    SetCapacity {
        /// Whose.
        of: CapacityOf,
        /// What is given.
        change: CapacityChange,
        /// Leader's stamp.
        stamp: u64,
    },
    /// Create a namespace.
    CreateNamespace {
        /// Its id.
        id: Arc<str>,
        /// Its name.
        name: Arc<str>,
        /// Its description.
        desc: Arc<str>,
        /// Leader's stamp.
        stamp: u64,
    },
    /// Change a namespace.
    UpdateNamespace {
        /// Its id.
        id: Arc<str>,
        /// Its name.
        name: Arc<str>,
        /// Its description.
        desc: Arc<str>,
        /// Leader's stamp.
        stamp: u64,
    },
    /// Delete a namespace.
    DeleteNamespace {
        /// Its id.
        id: Arc<str>,
    },
    /// Create a service with metadata.
    CreateService {
        /// Which.
        service: ServiceKey,
        /// Its metadata.
        metadata: ServiceMetadata,
    },
    /// Replace a service's threshold, selector and pairs.
    UpdateService {
        /// Which.
        service: ServiceKey,
        /// Its metadata.
        metadata: ServiceMetadata,
    },
    /// Remove a service's metadata (and with it a service without persistent instances).
    DeleteService {
        /// Which.
        service: ServiceKey,
    },
    /// Describe a cluster.
    UpdateCluster {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        cluster: Arc<str>,
        /// Its metadata.
        metadata: ClusterMetadata,
        /// Whether the service's instances are ephemeral, if its metadata is made by this.
        ephemeral: bool,
    },
    /// Set a switch.
    SetSwitch {
        /// Name of the entry.
        entry: Arc<str>,
        /// Its value.
        value: Arc<str>,
    },
    /// Register or replace a persistent instance.
    PutInstance {
        /// Of which service.
        service: ServiceKey,
        /// The instance.
        instance: Instance,
    },
    /// Remove a persistent instance.
    RemoveInstance {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        key: InstanceKey,
    },
    /// Change the health of persistent instances.
    FlipHealth(Vec<HealthFlip>),
    /// Replace what operators say of an instance.
    PutOperator {
        /// Of which service.
        service: ServiceKey,
        /// Of which instance.
        key: InstanceKey,
        /// What they say.
        metadata: OperatorMetadata,
    },
    /// Change what operators say of instances, part by part.
    PatchOperator {
        /// Of which service.
        service: ServiceKey,
        /// Of which instances.
        keys: Vec<InstanceKey>,
        /// What to change.
        patch: PatchOf,
    },
    /// Forget operators' words on instances that were gone for long, and metadata of services that were.
    ExpireMetadata {
        /// Instances.
        instances: Vec<(ServiceKey, InstanceKey)>,
        /// Services.
        services: Vec<ServiceKey>,
    },
    /// Take or give back a lock.
    Lock {
        /// Which.
        key: Arc<str>,
        /// Of which type.
        kind: Arc<str>,
        /// Take (or give back).
        acquire: bool,
        /// When it frees itself, on the leader's wall clock, milliseconds.
        until: u64,
        /// Leader's stamp.
        stamp: u64,
    },
    /// Set or remove a load-balancing policy. Those of older releases may name a plugin too, published or not.
    SetPolicy(PolicyChange<Option<Arc<str>>, Option<PolicyPlugin>>),
    /// Publish a config unless a quota is full.
    PublishWithin {
        /// What.
        publish: Box<Publish>,
        /// Leader's stamp, wall clock, milliseconds.
        stamp: u64,
        /// Quotas of what has none of its own, as the leader's settings have them.
        quotas: Quotas,
    },
    /// Remove a config's formal version, if it is of this revision.
    RemoveRevision {
        /// Which config.
        key: ConfigKey,
        /// Log index of its content.
        revision: u64,
        /// Who, for the history.
        user: Arc<str>,
        /// From where, for the history.
        ip: Arc<str>,
        /// Leader's stamp.
        stamp: u64,
    },
    /// Publish a plugin, or remove it; the module's bytes are those of the entry.
    SetPlugin {
        /// Its name.
        name: Arc<str>,
        /// The module, accepted; none removes.
        module: Option<PluginModule>,
        /// Who, for the history.
        user: Arc<str>,
        /// From where, for the history.
        ip: Arc<str>,
        /// Leader's stamp.
        stamp: u64,
    },
    /// Set a load-balancing policy whose rule is a plugin, if that is published.
    SetPluginPolicy(PolicyChange<Arc<str>, PolicyPlugin>),
}

/// A change of one persistent instance's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthFlip {
    /// Of which service.
    pub service: ServiceKey,
    /// Of which instance.
    pub key: InstanceKey,
    /// To what.
    pub healthy: bool,
}

/// Which parts of operators' words to change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PatchOf {
    /// New weight.
    pub weight: Option<Weight>,
    /// New flag.
    pub enabled: Option<bool>,
    /// Pairs to lay over.
    pub put: Metadata,
    /// Keys to remove (the values do not count).
    pub remove: Metadata,
}

/// Why bytes are no command or row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decode {
    /// There is nothing.
    Empty,
    /// The version byte is of a later release.
    Version(u8),
    /// The bytes do not fit the version.
    Malformed,
}

impl core::fmt::Display for Decode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => f.write_str("no bytes"),
            Self::Version(v) => write!(f, "version {v} is of a later release"),
            Self::Malformed => f.write_str("malformed"),
        }
    }
}

/// Version byte of what this release writes, commands and rows alike.
pub(crate) const VERSION: u8 = 1;

/// A version byte and what postcard makes of the value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Most need no more.
    let mut bytes = Vec::with_capacity(256);
    bytes.push(VERSION);
    encode_after(bytes, value)
}

/// Reads what [`encode`] wrote, in any release up to this one.
pub(crate) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, Decode> {
    match bytes.split_first() {
        None => Err(Decode::Empty),
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            _ => Err(Decode::Malformed),
        },
        Some((&version, _)) => Err(Decode::Version(version)),
    }
}

impl Command {
    /// The leader's stamp, of a command that has one.
    #[must_use]
    pub fn stamp(&self) -> Option<u64> {
        match self {
            Self::Publish { stamp, .. }
            | Self::PublishWithin { stamp, .. }
            | Self::RemoveConfig { stamp, .. }
            | Self::RemoveRevision { stamp, .. }
            | Self::SetCapacity { stamp, .. }
            | Self::CreateNamespace { stamp, .. }
            | Self::UpdateNamespace { stamp, .. }
            | Self::Lock { stamp, .. }
            | Self::SetPolicy(PolicyChange { stamp, .. })
            | Self::SetPlugin { stamp, .. }
            | Self::SetPluginPolicy(PolicyChange { stamp, .. }) => Some(*stamp),
            _ => None,
        }
    }

    /// The bytes that go into the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a command of this release or an older one.
    ///
    /// # Errors
    /// See [`Decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Decode> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests;
