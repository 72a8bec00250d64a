//! Rows of the state store: what durable state is mirrored to and restored from.
//!
//! Each module that owns durable state writes its rows through [`RowWrite`] and reads them back in `Restore`.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Tables of the state store, by number. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Table {
    /// Versions of configs by (key, gray name or nothing).
    Config = 1,
    /// History of configs by (key, log index). Not restored into the core.
    History = 2,
    /// History rows by (stamp, log index): what the cut-off goes through. Not restored into the core.
    HistoryTime = 3,
    /// Namespaces by id.
    Namespace = 4,
    /// Quotas by whose.
    Capacity = 5,
    /// Metadata of services by key.
    Service = 6,
    /// Persistent instances by (service, instance).
    Instance = 7,
    /// Operators' words by (service, instance).
    Operator = 8,
    /// Switches by entry.
    Switch = 9,
    /// Locks by (type, key).
    Lock = 10,
    /// Load-balancing policies by scope, each with its newest version.
    Policy = 11,
    /// Versions of policies by (scope, log index). Not restored into the core.
    PolicyVersion = 12,
    /// Versions of plugins by (name, log index).
    Plugin = 13,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 13] = [
        Self::Config,
        Self::History,
        Self::HistoryTime,
        Self::Namespace,
        Self::Capacity,
        Self::Service,
        Self::Instance,
        Self::Operator,
        Self::Switch,
        Self::Lock,
        Self::Policy,
        Self::PolicyVersion,
        Self::Plugin,
    ];

    /// The table of that number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u8 == number)
    }

    /// Whether its rows are given to a node at start.
    #[must_use]
    pub fn restored(self) -> bool {
        !matches!(
            self,
            Self::History | Self::HistoryTime | Self::PolicyVersion
        )
    }
}

/// A row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Of which table.
    pub table: Table,
    /// Ordered bytes.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// Version byte and value.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// A change of the state store. A row keeps alive the contents that it refers to; the store counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowWrite {
    /// Insert or replace.
    Put {
        /// The row.
        row: Row,
        /// Log index of the content that it refers to.
        content: Option<u64>,
    },
    /// Remove.
    Delete {
        /// From which table.
        table: Table,
        /// Which row.
        #[serde(with = "serde_bytes")]
        key: Vec<u8>,
    },
    /// Go through `index` from its start up to `to` (not included), and delete its rows and the rows of `rows` whose
    /// keys are their values.
    Cut {
        /// Table gone through.
        index: Table,
        /// End of the range.
        #[serde(with = "serde_bytes")]
        to: Vec<u8>,
        /// Table whose rows are named.
        rows: Table,
    },
}
