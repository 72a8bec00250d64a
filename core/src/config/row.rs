//! Rows of configs, of their history and of quotas: keys, values, and their readers, for the node's own restore and
//! for everybody who reads the store (history pages, `check-data`, roll-back).

use alloc::{string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    log::{Decode, KeyReader, KeyWriter, decode, encode},
    model::{ConfigKey, ConfigVersion, GrayRule},
    node::op::CapacityOf,
};

/// A row of [`crate::log::Table::Config`]: one version of a config, formal or gray. Its content is `version.content`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigRow {
    /// The config's id; the same in all its rows.
    pub id: u64,
    /// Whom a gray version is for; none for the formal one.
    pub rule: Option<GrayRule>,
    /// The version.
    pub version: ConfigVersion,
}

impl ConfigRow {
    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a row's value.
    ///
    /// # Errors
    /// See [`Decode`].
    pub fn decode(value: &[u8]) -> Result<Self, Decode> {
        decode(value)
    }
}

/// What happened to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryOp {
    /// It was published for the first time; the row shows what was published.
    Insert,
    /// It was published again; the row shows what stood before.
    Update,
    /// It was removed; the row shows what stood before.
    Delete,
}

impl HistoryOp {
    /// `opType`: `I`, `U` or `D`.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Insert => "I",
            Self::Update => "U",
            Self::Delete => "D",
        }
    }
}

/// A row of [`crate::log::Table::History`]. Its content is `version.content`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// What happened.
    pub op: HistoryOp,
    /// Id of the config.
    pub id: u64,
    /// Whom the gray version is for; none for the formal one.
    pub rule: Option<GrayRule>,
    /// The inserted version; for updates and removals the one before.
    pub version: ConfigVersion,
    /// Who did it.
    pub user: Arc<str>,
    /// From which address.
    pub ip: Arc<str>,
    /// When, wall clock, milliseconds.
    pub stamp: u64,
}

impl HistoryRow {
    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a row's value.
    ///
    /// # Errors
    /// See [`Decode`].
    pub fn decode(value: &[u8]) -> Result<Self, Decode> {
        decode(value)
    }

    /// `publishType`: `formal` or `gray`.
    #[must_use]
    pub fn publish_type(&self) -> &'static str {
        if self.rule.is_some() {
            "gray"
        } else {
            "formal"
        }
    }

    /// `grayName`; none for the formal version.
    #[must_use]
    pub fn gray_name(&self) -> Option<Arc<str>> {
        self.rule.as_ref().map(GrayRule::name)
    }

    /// `extInfo`: JSON text, as Nacos 3.x writes it (the priority of a rule is a string here).
    #[must_use]
    pub fn ext_info(&self) -> String {
        #[derive(Serialize)]
        struct Rule<'a> {
            r#type: &'a str,
            expr: &'a str,
            version: &'a str,
            priority: String,
        }
        #[derive(Serialize)]
        struct Gray<'a> {
            gray_name: Arc<str>,
            gray_rule: &'a str,
        }
        #[derive(Serialize)]
        struct Formal<'a> {
            r#type: &'a str,
        }
        let json = match &self.rule {
            None => serde_json::to_string(&Formal {
                r#type: self.version.kind.name(),
            }),
            Some(rule) => serde_json::to_string(&Rule {
                r#type: rule.kind(),
                expr: rule.expr(),
                version: "1.0.0",
                priority: alloc::format!("{}", rule.priority()),
            })
            .and_then(|text| {
                serde_json::to_string(&Gray {
                    gray_name: rule.name(),
                    gray_rule: &text,
                })
            }),
        };
        json.expect("strings alone can always be written as JSON")
    }
}

/// A row of [`crate::log::Table::Capacity`]: quotas that were set; what is used is counted, not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityRow {
    /// Log index of the first entry that set one.
    pub id: u64,
    /// Configs allowed; 0 for the default, here and below.
    pub quota: u32,
    /// Bytes of one config.
    pub max_size: u32,
    /// Kept and shown only.
    pub max_aggr_count: u32,
    /// Kept and shown only.
    pub max_aggr_size: u32,
    /// When a quota was first set, wall clock, milliseconds.
    pub created: u64,
    /// When it was last set.
    pub modified: u64,
}

impl CapacityRow {
    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads a row's value.
    ///
    /// # Errors
    /// See [`Decode`].
    pub fn decode(value: &[u8]) -> Result<Self, Decode> {
        decode(value)
    }
}

fn of_config(key: &ConfigKey) -> KeyWriter {
    KeyWriter::new()
        .text(&key.namespace)
        .text(&key.group)
        .text(&key.data_id)
}

fn read_of_config(reader: &mut KeyReader<'_>) -> Option<ConfigKey> {
    let mut text = || reader.text().map(Arc::from);
    Some(ConfigKey {
        namespace: text()?,
        group: text()?,
        data_id: text()?,
    })
}

/// Key of a version's row; `gray` is the gray version's name, empty for the formal one.
#[must_use]
pub fn config_key(key: &ConfigKey, gray: &str) -> Vec<u8> {
    of_config(key).text(gray).finish()
}

/// What the keys of all versions of a config start with.
#[must_use]
pub fn config_prefix(key: &ConfigKey) -> Vec<u8> {
    of_config(key).finish()
}

/// Reads what [`config_key`] wrote.
#[must_use]
pub fn read_config_key(bytes: &[u8]) -> Option<(ConfigKey, String)> {
    let mut reader = KeyReader::new(bytes);
    let read = (read_of_config(&mut reader)?, reader.text()?);
    reader.is_at_end().then_some(read)
}

/// Key of a history row; `nid` is the log index of the entry that wrote it.
#[must_use]
pub fn history_key(key: &ConfigKey, nid: u64) -> Vec<u8> {
    of_config(key).number(nid).finish()
}

/// What the keys of a config's history start with; in the order of their entries.
#[must_use]
pub fn history_prefix(key: &ConfigKey) -> Vec<u8> {
    of_config(key).finish()
}

/// Reads what [`history_key`] wrote.
#[must_use]
pub fn read_history_key(bytes: &[u8]) -> Option<(ConfigKey, u64)> {
    let mut reader = KeyReader::new(bytes);
    let read = (read_of_config(&mut reader)?, reader.number()?);
    reader.is_at_end().then_some(read)
}

/// Key of a row of [`crate::log::Table::HistoryTime`]; its value is the bare key of the history row.
#[must_use]
pub fn history_time_key(stamp: u64, nid: u64) -> Vec<u8> {
    KeyWriter::new().number(stamp).number(nid).finish()
}

/// Reads what [`history_time_key`] wrote: stamp and nid.
#[must_use]
pub fn read_history_time_key(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut reader = KeyReader::new(bytes);
    let read = (reader.number()?, reader.number()?);
    reader.is_at_end().then_some(read)
}

/// Key of a quota's row.
#[must_use]
pub fn capacity_key(of: &CapacityOf) -> Vec<u8> {
    let key = KeyWriter::new();
    match of {
        CapacityOf::Namespace(id) => key.byte(0).text(id),
        CapacityOf::Group(group) => key.byte(1).text(group),
    }
    .finish()
}

/// Reads what [`capacity_key`] wrote.
#[must_use]
pub fn read_capacity_key(bytes: &[u8]) -> Option<CapacityOf> {
    let mut reader = KeyReader::new(bytes);
    let (kind, name) = (reader.byte()?, reader.text()?.into());
    let of = match kind {
        0 => CapacityOf::Namespace(name),
        1 => CapacityOf::Group(name),
        _ => return None,
    };
    reader.is_at_end().then_some(of)
}
