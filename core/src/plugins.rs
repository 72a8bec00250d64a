//! Load-balancing plugins: WebAssembly modules by name, stored like configs, in versions that are called by the digest
//! of their bytes. What a module does is the host's; whether it may be published the host says beforehand.
//!
//! Every version is one row, which keeps the module's bytes alive; all are kept in memory but for the bytes. Versions
//! are bounded: the oldest that no policy names goes first. A removal is a version too, so that what came before can
//! still be seen, until newer removals push it out.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    log::{Command, Decode, KeyReader, KeyWriter, Row, RowWrite, Table, decode, encode},
    model::{ContentRef, Sha256},
    node::{
        Step, Turn,
        op::Op,
        reply::{Answered, Refusal, Reply},
    },
    policies::{Policies, PolicyPlugin},
    view::Delta,
};

/// Versions that are kept of one plugin, the newest included.
pub const MAX_VERSIONS: usize = 20;
/// Plugins that are published, at most.
pub const MAX_PLUGINS: usize = 500;
/// Removed plugins whose versions are kept, at most.
pub const MAX_REMOVED: usize = 50;
/// Longest name, bytes.
pub const MAX_NAME: usize = 64;

/// The bytes of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginModule {
    /// What policies and clients call it by.
    pub digest: Sha256,
    /// Where the host finds them; `index` is 0 until they are committed.
    pub content: ContentRef,
}

/// A version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginItem {
    /// Log index of the command that made it.
    pub revision: u64,
    /// The module; none for a removal.
    pub module: Option<PluginModule>,
    /// When, wall clock, milliseconds.
    pub modified: u64,
    /// By whom.
    pub user: Arc<str>,
    /// From where.
    pub ip: Arc<str>,
}

/// All plugins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plugins {
    /// Versions by name, the oldest first; none is empty.
    records: BTreeMap<Arc<str>, Vec<PluginItem>>,
    /// Removed ones by the revision of their removal.
    removed: BTreeMap<u64, Arc<str>>,
    changed: BTreeSet<Arc<str>>,
}

/// What is wrong with a name, if anything is.
#[must_use]
pub fn misnamed(name: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let well = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits);
    (!well).then(|| {
        format!("a plugin's name is 1 to {MAX_NAME} letters, digits, dots, dashes and underscores")
    })
}

/// Key of a version's row.
#[must_use]
pub fn plugin_key(name: &str, revision: u64) -> Vec<u8> {
    KeyWriter::new().text(name).number(revision).finish()
}

/// Reads name and revision that [`plugin_key`] wrote.
#[must_use]
pub fn read_plugin_key(bytes: &[u8]) -> Option<(Arc<str>, u64)> {
    let mut reader = KeyReader::new(bytes);
    let (name, revision) = (reader.text()?, reader.number()?);
    reader.is_at_end().then(|| (name.into(), revision))
}

/// Reads the value of a version's row.
///
/// # Errors
/// See [`Decode`].
pub fn read_plugin(value: &[u8]) -> Result<PluginItem, Decode> {
    decode(value)
}

/// The version that a policy means, of those of a plugin by that name (the oldest first).
///
/// # Errors
/// Why there is none, for who sets the policy.
pub fn find<'a>(
    versions: Option<&'a [PluginItem]>,
    wanted: &PolicyPlugin,
) -> Result<&'a PluginModule, String> {
    let name = &wanted.name;
    let newest = versions.and_then(|all| all.last()?.module.as_ref());
    let (Some(newest), Some(versions)) = (newest, versions) else {
        return Err(format!(
            "no plugin {name} is published; `nacrite plugin publish FILE --name {name}` does that"
        ));
    };
    if wanted.digest.is_empty() {
        return Ok(newest);
    }
    let digest = Sha256::parse(&wanted.digest);
    let mut modules = versions.iter().filter_map(|item| item.module.as_ref());
    modules
        .find(|module| Some(module.digest) == digest)
        .ok_or_else(|| {
            format!(
                "plugin {name} has no version {}; its newest is {}",
                wanted.digest, newest.digest
            )
        })
}

impl Plugins {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Proposes [`Op::PutPlugin`] and [`Op::RemovePlugin`]. The module was checked by who made the operation.
    pub fn request(&mut self, turn: Turn<'_>, op: Op, policies: &Policies) -> Step {
        let (name, module) = match op {
            Op::PutPlugin { name, module } => (name, Some(module)),
            Op::RemovePlugin { name } => (name, None),
            _ => return Err(Refusal::Illegal("no operation on plugins".into())).into(),
        };
        if let Err(refusal) = self.refused(&name, module.is_some(), policies) {
            return Err(refusal).into();
        }
        Step::Propose(Command::SetPlugin {
            name,
            module,
            user: turn.origin.user.clone(),
            ip: turn.origin.ip.clone(),
            stamp: turn.stamp,
        })
    }

    /// Why a plugin cannot be published (or removed).
    fn refused(&self, name: &str, publish: bool, policies: &Policies) -> Result<(), Refusal> {
        if let Some(why) = misnamed(name) {
            return Err(Refusal::Illegal(why));
        }
        if !publish {
            return match policies.naming(name).next() {
                Some((scope, _)) => Err(Refusal::Illegal(format!(
                    "the policy of {} names plugin {name}; change it first",
                    scope.describe()
                ))),
                None => Ok(()),
            };
        }
        if self.newest(name).is_none() && self.len() >= MAX_PLUGINS {
            return Err(Refusal::LimitReached("max plugins".into()));
        }
        match self.records.get(name) {
            Some(all) if all.len() >= MAX_VERSIONS && self.oldest(name, policies).is_none() => Err(
                Refusal::LimitReached("max versions of a plugin: policies name all".into()),
            ),
            _ => Ok(()),
        }
    }

    /// Place of the oldest version that no policy names.
    fn oldest(&self, name: &str, policies: &Policies) -> Option<usize> {
        let named: Vec<Sha256> = policies
            .naming(name)
            .filter_map(|(_, plugin)| Sha256::parse(&plugin.digest))
            .collect();
        let free = |item: &PluginItem| item.module.is_none_or(|m| !named.contains(&m.digest));
        self.records.get(name)?.iter().position(free)
    }

    /// Decides a committed command. Publishing what is the newest version already changes nothing.
    ///
    /// # Errors
    /// As [`Self::request`]; commands of other modules are refused and change nothing.
    pub fn apply(
        &mut self,
        index: u64,
        command: Command,
        policies: &Policies,
        rows: &mut Vec<RowWrite>,
    ) -> Answered {
        let Command::SetPlugin {
            name,
            module,
            user,
            ip,
            stamp,
        } = command
        else {
            return Err(Refusal::Illegal("no command on plugins".into()));
        };
        self.refused(&name, module.is_some(), policies)?;
        let newest = self.newest(&name);
        match (newest, &module) {
            (None, None) => return Ok(Reply::Plugin(0)),
            (Some(item), Some(new)) if item.module.is_some_and(|m| m.digest == new.digest) => {
                return Ok(Reply::Plugin(item.revision));
            }
            _ => {}
        }
        let module = module.map(|module| PluginModule {
            content: ContentRef {
                index,
                ..module.content
            },
            ..module
        });
        let item = PluginItem {
            revision: index,
            module,
            modified: stamp,
            user,
            ip,
        };
        let full = self
            .records
            .get(&name)
            .is_some_and(|all| all.len() >= MAX_VERSIONS);
        if full && let Some(at) = self.oldest(&name, policies) {
            let versions = self.records.get_mut(&name).expect("a full record is there");
            let oldest = versions.remove(at);
            rows.push(delete(&name, oldest.revision));
        }
        self.put(name, item, rows);
        while self.removed.len() > MAX_REMOVED {
            if let Some((_, oldest)) = self.removed.pop_first() {
                let versions = self.records.remove(&oldest).unwrap_or_default();
                rows.extend(versions.iter().map(|item| delete(&oldest, item.revision)));
                self.changed.insert(oldest);
            }
        }
        Ok(Reply::Plugin(index))
    }

    fn put(&mut self, name: Arc<str>, item: PluginItem, rows: &mut Vec<RowWrite>) {
        rows.push(RowWrite::Put {
            row: Row {
                table: Table::Plugin,
                key: plugin_key(&name, item.revision),
                value: encode(&item),
            },
            content: item.module.map(|module| module.content.index),
        });
        self.take(name, item);
    }

    /// The next version of a plugin.
    fn take(&mut self, name: Arc<str>, item: PluginItem) {
        let versions = self.records.entry(name.clone()).or_default();
        if let Some(last) = versions.last()
            && last.module.is_none()
        {
            self.removed.remove(&last.revision);
        }
        if item.module.is_none() {
            self.removed.insert(item.revision, name.clone());
        }
        versions.push(item);
        self.changed.insert(name);
    }

    /// Takes a row of [`Table::Plugin`] back in; rows come in the order of their keys.
    ///
    /// # Errors
    /// The row is not one of this release or an older one.
    pub fn restore(&mut self, row: &Row) -> Result<(), Decode> {
        let (name, revision) = read_plugin_key(&row.key).ok_or(Decode::Malformed)?;
        let item: PluginItem = decode(&row.value)?;
        let last = self.records.get(&name).and_then(|all| all.last());
        if item.revision != revision || last.is_some_and(|last| last.revision >= revision) {
            return Err(Decode::Malformed);
        }
        self.take(name, item);
        Ok(())
    }

    /// What changed since the last call, each plugin once.
    pub fn take_deltas(&mut self) -> Vec<Delta> {
        core::mem::take(&mut self.changed)
            .into_iter()
            .map(|name| {
                let versions = self.records.get(&name).map(|all| Arc::from(all.as_slice()));
                Delta::Plugin { name, versions }
            })
            .collect()
    }

    /// The newest version of a plugin that is published.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<&PluginItem> {
        let newest = self.records.get(name)?.last()?;
        newest.module.is_some().then_some(newest)
    }

    /// Whether what a policy names is there.
    ///
    /// # Errors
    /// [`Refusal::Illegal`] with the reason.
    pub fn check(&self, wanted: &PolicyPlugin) -> Result<(), Refusal> {
        let versions = self.records.get(&wanted.name).map(Vec::as_slice);
        find(versions, wanted).map(drop).map_err(Refusal::Illegal)
    }

    /// How many are published.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len() - self.removed.len()
    }

    /// Whether none is published.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the newest version was made, wall clock, milliseconds.
    #[must_use]
    pub fn newest_stamp(&self) -> u64 {
        let stamps = self.records.values().flatten().map(|item| item.modified);
        stamps.max().unwrap_or_default()
    }

    /// The whole state as bytes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`Self::snapshot`] wrote.
    ///
    /// # Errors
    /// The bytes are not of this release.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, Decode> {
        decode(bytes)
    }
}

fn delete(name: &str, revision: u64) -> RowWrite {
    RowWrite::Delete {
        table: Table::Plugin,
        key: plugin_key(name, revision),
    }
}

#[cfg(test)]
mod tests;
