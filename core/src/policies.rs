//! Load-balancing policies: a durable record for a service or for all services of a namespace. What a policy means is
//! [`crate::balance`]'s; here it is a checked document with versions.
//!
//! The newest version of each is kept; older ones are rows of the state store, bounded in number for each record. A
//! record that was removed stays as an empty version, so that its removal can be rolled back, until newer removals
//! push it out.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    log::{Command, Decode, KeyReader, KeyWriter, Row, RowWrite, Table, decode, encode},
    model::ServiceKey,
    node::{
        Step, Turn,
        op::Op,
        reply::{Answered, Refusal, Reply},
    },
    plugins::Plugins,
    view::Delta,
};

/// Longest document, bytes.
pub const MAX_DOCUMENT: usize = 16 * 1024;
/// Versions that are kept of one record, the newest included.
pub const MAX_VERSIONS: usize = 50;
/// Records in force, at most.
pub const MAX_POLICIES: usize = 10_000;
/// Removed records whose versions are kept, at most.
pub const MAX_REMOVED: usize = 1_000;

/// What a policy is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyScope {
    /// All services of a namespace that have none of their own.
    Namespace(Arc<str>),
    /// One service.
    Service(ServiceKey),
}

/// The plugin that a policy's rule is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPlugin {
    /// Its name.
    pub name: Arc<str>,
    /// Digest of the version that is meant; empty for the newest.
    pub digest: Arc<str>,
}

/// A change of a policy. Its document and plugin are of types that say whether there may be none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange<D, P> {
    /// For what.
    pub scope: PolicyScope,
    /// The document, JSON, checked; none removes.
    pub document: D,
    /// The plugin that its rule is.
    pub plugin: P,
    /// Only if this is the revision in force (0: none is).
    pub expected: Option<u64>,
    /// Who, for the history.
    pub user: Arc<str>,
    /// From where, for the history.
    pub ip: Arc<str>,
    /// Leader's stamp.
    pub stamp: u64,
}

impl<D, P> PolicyChange<D, P> {
    /// The same with what document and plugin are made into.
    fn map<E, Q>(
        self,
        document: impl FnOnce(D) -> E,
        plugin: impl FnOnce(P) -> Q,
    ) -> PolicyChange<E, Q> {
        PolicyChange {
            scope: self.scope,
            document: document(self.document),
            plugin: plugin(self.plugin),
            expected: self.expected,
            user: self.user,
            ip: self.ip,
            stamp: self.stamp,
        }
    }
}

/// A version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyItem {
    /// Log index of the command that made it.
    pub revision: u64,
    /// The document, JSON; none for a removal.
    pub document: Option<Arc<str>>,
    /// Its plugin, if its rule is one.
    pub plugin: Option<PolicyPlugin>,
    /// When, wall clock, milliseconds.
    pub modified: u64,
    /// By whom.
    pub user: Arc<str>,
    /// From where.
    pub ip: Arc<str>,
}

/// What is kept of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    newest: PolicyItem,
    /// Revisions that are rows, oldest first; the newest is the last.
    versions: Vec<u64>,
}

/// All policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policies {
    records: BTreeMap<PolicyScope, Record>,
    /// Removed ones by the revision of their removal.
    removed: BTreeMap<u64, PolicyScope>,
    changed: BTreeSet<PolicyScope>,
}

fn scope_key(scope: &PolicyScope) -> KeyWriter {
    match scope {
        PolicyScope::Namespace(namespace) => KeyWriter::new().byte(0).text(namespace),
        PolicyScope::Service(service) => KeyWriter::new()
            .byte(1)
            .text(&service.namespace)
            .text(&service.group)
            .text(&service.name),
    }
}

/// Key of a record's row; also what the keys of its versions begin with.
#[must_use]
pub fn policy_key(scope: &PolicyScope) -> Vec<u8> {
    scope_key(scope).finish()
}

/// Reads the scope that [`policy_key`] wrote, and the revision behind it if it is the key of a version.
#[must_use]
pub fn read_policy_key(bytes: &[u8]) -> Option<(PolicyScope, Option<u64>)> {
    let mut reader = KeyReader::new(bytes);
    let scope = match reader.byte()? {
        0 => PolicyScope::Namespace(reader.text()?.into()),
        1 => PolicyScope::Service(ServiceKey {
            namespace: reader.text()?.into(),
            group: reader.text()?.into(),
            name: reader.text()?.into(),
        }),
        _ => return None,
    };
    let revision = if reader.is_at_end() {
        None
    } else {
        Some(reader.number()?)
    };
    reader.is_at_end().then_some((scope, revision))
}

fn version_key(scope: &PolicyScope, revision: u64) -> Vec<u8> {
    scope_key(scope).number(revision).finish()
}

/// Reads the value of a version's row.
///
/// # Errors
/// See [`Decode`].
pub fn read_policy_version(value: &[u8]) -> Result<PolicyItem, Decode> {
    decode(value)
}

impl Policies {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Proposes [`Op::PutPolicy`] and [`Op::RemovePolicy`]. The document was checked by who made the operation.
    pub fn request(&mut self, turn: Turn<'_>, op: Op, plugins: &Plugins) -> Step {
        let (scope, document, plugin, expected) = match op {
            Op::PutPolicy {
                scope,
                document,
                plugin,
                expected,
            } => {
                if document.len() > MAX_DOCUMENT {
                    let text = alloc::format!("a policy is at most {MAX_DOCUMENT} bytes");
                    return Err(Refusal::Illegal(text)).into();
                }
                if let Some(plugin) = &plugin
                    && let Err(refusal) = plugins.check(plugin)
                {
                    return Err(refusal).into();
                }
                let new = self.get(&scope).is_none();
                if new && self.len() >= MAX_POLICIES {
                    return Err(Refusal::LimitReached("max policies".into())).into();
                }
                (scope, Some(document), plugin, expected)
            }
            Op::RemovePolicy { scope, expected } => (scope, None, None, expected),
            _ => return Err(Refusal::Illegal("no operation on policies".into())).into(),
        };
        let change = PolicyChange {
            scope,
            document: (),
            plugin: (),
            expected,
            user: turn.origin.user.clone(),
            ip: turn.origin.ip.clone(),
            stamp: turn.stamp,
        };
        Step::Propose(match (document, plugin) {
            (Some(document), Some(plugin)) => {
                Command::SetPluginPolicy(change.map(|()| document, |()| plugin))
            }
            (document, plugin) => Command::SetPolicy(change.map(|()| document, |()| plugin)),
        })
    }

    /// Decides a committed command: `expected` is compared here, so of two writers who saw the same revision one wins.
    ///
    /// # Errors
    /// [`Refusal::PolicyConflict`]; commands of other modules are refused and change nothing.
    pub fn apply(&mut self, index: u64, command: Command, rows: &mut Vec<RowWrite>) -> Answered {
        let change = match command {
            Command::SetPolicy(change) => change,
            // That the plugin is published, the node has seen.
            Command::SetPluginPolicy(change) => change.map(Some, Some),
            _ => return Err(Refusal::Illegal("no command on policies".into())),
        };
        let current = self.get(&change.scope).map_or(0, |item| item.revision);
        if change.expected.is_some_and(|expected| expected != current) {
            return Err(Refusal::PolicyConflict(current));
        }
        if change.document.is_none() && current == 0 {
            return Ok(Reply::Policy(0));
        }
        let item = PolicyItem {
            revision: index,
            document: change.document,
            plugin: change.plugin,
            modified: change.stamp,
            user: change.user,
            ip: change.ip,
        };
        self.put(change.scope, item, rows);
        while self.removed.len() > MAX_REMOVED {
            if let Some((_, oldest)) = self.removed.pop_first() {
                self.forget(&oldest, rows);
            }
        }
        Ok(Reply::Policy(index))
    }

    fn put(&mut self, scope: PolicyScope, item: PolicyItem, rows: &mut Vec<RowWrite>) {
        let value = encode(&item);
        let row = |table, key, value| RowWrite::Put {
            row: Row { table, key, value },
            content: None,
        };
        let revision = item.revision;
        if item.document.is_none() {
            self.removed.insert(revision, scope.clone());
        }
        let record = self.records.entry(scope.clone()).or_insert_with(|| Record {
            newest: item.clone(),
            versions: Vec::new(),
        });
        if record.newest.document.is_none() && record.newest.revision != revision {
            self.removed.remove(&record.newest.revision);
        }
        record.newest = item;
        record.versions.push(revision);
        while record.versions.len() > MAX_VERSIONS {
            let oldest = record.versions.remove(0);
            rows.push(RowWrite::Delete {
                table: Table::PolicyVersion,
                key: version_key(&scope, oldest),
            });
        }
        rows.push(row(
            Table::PolicyVersion,
            version_key(&scope, revision),
            value,
        ));
        rows.push(row(Table::Policy, policy_key(&scope), encode(record)));
        self.changed.insert(scope);
    }

    /// Forgets a removed record with all its versions.
    fn forget(&mut self, scope: &PolicyScope, rows: &mut Vec<RowWrite>) {
        let Some(record) = self.records.remove(scope) else {
            return;
        };
        let versions = record
            .versions
            .into_iter()
            .map(|revision| RowWrite::Delete {
                table: Table::PolicyVersion,
                key: version_key(scope, revision),
            });
        rows.extend(versions);
        rows.push(RowWrite::Delete {
            table: Table::Policy,
            key: policy_key(scope),
        });
    }

    /// Takes a row of [`Table::Policy`] back in.
    ///
    /// # Errors
    /// The row is not one of this release or an older one.
    pub fn restore(&mut self, row: &Row) -> Result<(), Decode> {
        let Some((scope, None)) = read_policy_key(&row.key) else {
            return Err(Decode::Malformed);
        };
        let record: Record = decode(&row.value)?;
        if record.newest.document.is_none() {
            self.removed.insert(record.newest.revision, scope.clone());
        }
        self.records.insert(scope.clone(), record);
        self.changed.insert(scope);
        Ok(())
    }

    /// What changed since the last call, each record once.
    pub fn take_deltas(&mut self) -> Vec<Delta> {
        core::mem::take(&mut self.changed)
            .into_iter()
            .map(|scope| {
                let item = self.get(&scope).cloned().map(Arc::new);
                Delta::Policy { scope, item }
            })
            .collect()
    }

    /// The policy in force for exactly this scope.
    #[must_use]
    pub fn get(&self, scope: &PolicyScope) -> Option<&PolicyItem> {
        let newest = &self.records.get(scope)?.newest;
        newest.document.is_some().then_some(newest)
    }

    /// The policies in force whose rule is this plugin.
    pub fn naming(&self, plugin: &str) -> impl Iterator<Item = (&PolicyScope, &PolicyPlugin)> {
        let named = self.records.iter().filter_map(|(scope, record)| {
            let in_force = record.newest.document.is_some();
            Some((scope, record.newest.plugin.as_ref().filter(|_| in_force)?))
        });
        named.filter(move |(_, of)| &*of.name == plugin)
    }

    /// How many are in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len() - self.removed.len()
    }

    /// Whether none is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the newest version was made, wall clock, milliseconds.
    #[must_use]
    pub fn newest_stamp(&self) -> u64 {
        let stamps = self.records.values().map(|record| record.newest.modified);
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

impl PolicyScope {
    /// The scope of a service, or of a namespace if the name is blank.
    #[must_use]
    pub fn of(namespace: &str, group: &str, service: &str) -> Self {
        if service.trim().is_empty() {
            Self::Namespace(ServiceKey::new(namespace, group, "").namespace)
        } else {
            Self::Service(ServiceKey::new(namespace, group, service))
        }
    }

    /// The namespace it is in.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        match self {
            Self::Namespace(namespace) => namespace,
            Self::Service(service) => &service.namespace,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Namespace(namespace) => alloc::format!("namespace {namespace}"),
            Self::Service(service) => {
                alloc::format!(
                    "service {} of namespace {}",
                    service.grouped(),
                    service.namespace
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
