//! What is kept of a service and of its clusters, beside their instances.

use alloc::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::instance::Metadata;

/// Metadata of a service; a service made by a registration alone has none, and then neither selector nor protection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceMetadata {
    /// Whether its instances live only as long as their clients.
    pub ephemeral: bool,
    /// Share of healthy instances at or below which all are shown as healthy.
    pub protect_threshold: f32,
    /// Which providers a consumer is shown.
    pub selector: Selector,
    /// Pairs of the operator's.
    pub extend: Metadata,
    /// Clusters that an operator described.
    pub clusters: BTreeMap<Arc<str>, ClusterMetadata>,
}

impl Default for ServiceMetadata {
    fn default() -> Self {
        Self {
            ephemeral: true,
            protect_threshold: 0.0,
            selector: Selector::None,
            extend: Metadata::default(),
            clusters: BTreeMap::new(),
        }
    }
}

/// Which providers a consumer is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selector {
    /// All of them.
    #[default]
    None,
    /// Those whose labels equal the consumer's.
    Label {
        /// `CONSUMER.label.A = PROVIDER.label.A & …`, as it was given.
        expression: Arc<str>,
    },
}

/// Metadata of one cluster of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterMetadata {
    /// Port that checks use unless they use the instance's.
    pub check_port: u16,
    /// Whether checks use the instance's port.
    pub use_instance_port: bool,
    /// How persistent instances are checked.
    pub checker: HealthChecker,
    /// Pairs of the operator's.
    pub extend: Metadata,
}

impl Default for ClusterMetadata {
    fn default() -> Self {
        Self {
            check_port: 80,
            use_instance_port: true,
            checker: HealthChecker::Tcp,
            extend: Metadata::default(),
        }
    }
}

/// How persistent instances of a cluster are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthChecker {
    /// A connection can be made.
    #[default]
    Tcp,
    /// `GET` answers 200.
    Http {
        /// Path of the request.
        path: Arc<str>,
        /// `k:v|k:v`.
        headers: Arc<str>,
        /// Kept and shown, but not looked at (2.x).
        expected_code: u16,
    },
    /// A command succeeds.
    Mysql {
        /// User.
        user: Arc<str>,
        /// Password.
        pwd: Arc<str>,
        /// Command.
        cmd: Arc<str>,
    },
    /// Nobody checks; the health can be set by hand.
    None,
}
