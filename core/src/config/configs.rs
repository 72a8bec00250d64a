//! The durable half of configs: every version of every config, decided by the commands of the log alone.
//!
//! What a publish wrote before goes to the history, which lives in rows only; the core keeps none of it.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{
    capacity::{Capacities, Quotas},
    gray::MAX_GRAYS,
    row::{ConfigRow, HistoryOp, config_key, history_time_key, read_config_key},
    version::{Entry, new_version, version_of, write_history},
};
use crate::{
    log::{Command, Decode, Row, RowWrite, Table, decode, encode},
    model::{ConfigItem, ConfigKey, ConfigVersion, GrayItem, GrayRule},
    node::{
        Step, Turn,
        input::Now,
        op::{CapacityOf, Op, Publish},
        reply::{Answered, Refusal, Reply},
    },
    view::{CapacityItem, Delta},
};

/// How often the leader has old history forgotten, milliseconds (Nacos: every 10 min).
const CUT_EVERY_MS: u64 = 10 * 60 * 1000;
/// After how long a new leader does it first.
const FIRST_CUT_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// All configs, with quotas and what was used of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configs {
    items: BTreeMap<ConfigKey, Arc<ConfigItem>>,
    capacities: Capacities,
    /// What publishes that this node proposes are bound by; none if they are counted only.
    quotas: Option<Quotas>,
    /// Configs that changed, and whether each had a formal version before.
    changed: BTreeMap<ConfigKey, bool>,
    history_days: u32,
    /// When to cut the history, by the monotonic clock; none unless this node leads.
    next_cut: Option<u64>,
}

/// A config that changed since the last [`Configs::take_changes`].
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigChanged {
    /// Which.
    pub key: ConfigKey,
    /// For readers.
    pub delta: Delta,
    /// Whether it has a formal version; what fuzzy watches and lists mean by a config.
    pub exists: bool,
    /// Whether it got its formal version since.
    pub appeared: bool,
    /// Whether it lost its formal version since.
    pub vanished: bool,
    /// All its versions; none if there is none. What [`super::Watchers::changed`] wants.
    pub item: Option<Arc<ConfigItem>>,
}

impl Configs {
    /// None yet. Publishes that this node proposes are bound by `quotas`, or counted only; history older than
    /// `history_days` is forgotten, 0 keeps all.
    #[must_use]
    pub fn new(quotas: Option<Quotas>, history_days: u32) -> Self {
        Self {
            items: BTreeMap::new(),
            capacities: Capacities::default(),
            quotas,
            changed: BTreeMap::new(),
            history_days,
            next_cut: None,
        }
    }

    /// Proposes [`Op::Publish`], [`Op::RemoveConfig`], [`Op::RemoveRevision`] and [`Op::SetCapacity`]. Nothing is decided
    /// by what this node knows, because it may be behind.
    pub fn request(&mut self, turn: Turn<'_>, op: Op) -> Step {
        let stamp = turn.stamp;
        Step::Propose(match op {
            Op::Publish(mut publish) => {
                if publish
                    .gray
                    .as_ref()
                    .is_some_and(|rule| rule.expr().trim().is_empty())
                {
                    return Err(Refusal::Illegal(
                        "a gray version needs addresses or a tag".into(),
                    ))
                    .into();
                }
                for (field, known) in [
                    (&mut publish.user, &turn.origin.user),
                    (&mut publish.ip, &turn.origin.ip),
                ] {
                    if field.is_empty() {
                        *field = known.clone();
                    }
                }
                match self.quotas {
                    None => Command::Publish { publish, stamp },
                    Some(quotas) => Command::PublishWithin {
                        publish,
                        stamp,
                        quotas,
                    },
                }
            }
            Op::RemoveConfig { key, gray } => Command::RemoveConfig {
                key,
                gray,
                user: turn.origin.user.clone(),
                ip: turn.origin.ip.clone(),
                stamp,
            },
            Op::RemoveRevision { key, revision } => Command::RemoveRevision {
                key,
                revision,
                user: turn.origin.user.clone(),
                ip: turn.origin.ip.clone(),
                stamp,
            },
            Op::SetCapacity { of, change } => Command::SetCapacity { of, change, stamp },
            _ => return Err(Refusal::Illegal("no operation on configs".into())).into(),
        })
    }

    /// Decides the committed command of entry `index`.
    ///
    /// # Errors
    /// The refusals of a publish; commands of other modules are refused and change nothing.
    pub fn apply(&mut self, index: u64, command: Command, rows: &mut Vec<RowWrite>) -> Answered {
        match command {
            Command::Publish { publish, stamp } => self.publish(index, publish, stamp, None, rows),
            Command::PublishWithin {
                publish,
                stamp,
                quotas,
            } => self.publish(index, publish, stamp, Some(&quotas), rows),
            Command::RemoveConfig {
                key,
                gray,
                user,
                ip,
                stamp,
            } => {
                let by = Entry {
                    index,
                    stamp,
                    user,
                    ip,
                };
                Ok(Reply::Removed(self.remove(&key, gray.as_deref(), by, rows)))
            }
            Command::RemoveRevision {
                key,
                revision,
                user,
                ip,
                stamp,
            } => {
                let formal = self.items.get(&key).and_then(|item| item.formal.as_ref());
                if formal.is_some_and(|v| v.content.index != revision) {
                    return Err(Refusal::CasMismatch);
                }
                let by = Entry {
                    index,
                    stamp,
                    user,
                    ip,
                };
                Ok(Reply::Removed(self.remove(&key, None, by, rows)))
            }
            Command::CutHistory { before } => {
                let to = history_time_key(before, 0);
                rows.push(RowWrite::Cut {
                    index: Table::HistoryTime,
                    to,
                    rows: Table::History,
                });
                Ok(Reply::Done)
            }
            Command::SetCapacity { of, change, stamp } => {
                self.capacities.set(of, change, index, stamp, rows);
                Ok(Reply::Done)
            }
            _ => Err(Refusal::Illegal("no command on configs".into())),
        }
    }

    fn publish(
        &mut self,
        index: u64,
        publish: Box<Publish>,
        stamp: u64,
        quotas: Option<&Quotas>,
        rows: &mut Vec<RowWrite>,
    ) -> Answered {
        let publish = *publish;
        let key = publish.key.clone();
        let gray = publish.gray.as_ref().map(GrayRule::name);
        let item = self.items.get(&key);
        let old = item.and_then(|item| version_of(item, gray.as_deref()));
        self.refuse(&publish, item.map(|i| &**i), old, quotas)?;

        let old = old.cloned();
        let by = Entry {
            index,
            stamp,
            user: publish.user.clone(),
            ip: publish.ip.clone(),
        };
        let rule = publish.gray.clone();
        let version = new_version(publish, old.as_ref(), index, stamp);
        let id = item.map_or(index, |item| item.id);
        let (op, shown) = match old {
            None => (HistoryOp::Insert, version.clone()),
            Some(old) => (HistoryOp::Update, old),
        };
        let row = ConfigRow {
            id,
            rule: rule.clone(),
            version: version.clone(),
        };
        let row = Row {
            table: Table::Config,
            key: config_key(&key, gray.as_deref().unwrap_or_default()),
            value: row.encode(),
        };
        if !crate::planted!(PublishWritesNoRow) {
            rows.push(RowWrite::Put {
                row,
                content: Some(index),
            });
        }
        write_history(&key, op, id, rule.clone(), shown, by, rows);
        self.put(&key, id, rule, version);
        Ok(Reply::Published { revision: index })
    }

    /// Everything that can speak against a publish, in the order in which it is said.
    fn refuse(
        &self,
        publish: &Publish,
        item: Option<&ConfigItem>,
        old: Option<&ConfigVersion>,
        quotas: Option<&Quotas>,
    ) -> Result<(), Refusal> {
        if publish.create_only && old.is_some() {
            return Err(Refusal::ConfigExists);
        }
        let cas = publish.cas.as_deref().filter(|cas| !cas.trim().is_empty());
        if let (Some(cas), Some(old)) = (cas, old)
            && old.content.md5.hex() != cas
            && !crate::planted!(CasIsNotCompared)
        {
            return Err(Refusal::CasMismatch);
        }
        let first = old.is_none();
        let formal = publish.gray.is_none();
        if first && !formal && item.is_some_and(|item| item.grays.len() >= MAX_GRAYS) {
            return Err(Refusal::TooManyGrays);
        }
        let (key, bytes) = (&publish.key, publish.content.bytes);
        let full =
            quotas.and_then(|quotas| self.capacities.refusal(quotas, key, bytes, first && formal));
        full.map_or(Ok(()), Err)
    }

    fn remove(
        &mut self,
        key: &ConfigKey,
        gray: Option<&str>,
        by: Entry,
        rows: &mut Vec<RowWrite>,
    ) -> bool {
        let gray = gray.filter(|name| !name.is_empty());
        let Some(item) = self.items.get(key) else {
            return false;
        };
        let Some(old) = version_of(item, gray).cloned() else {
            return false;
        };
        let id = item.id;
        let rule = item
            .grays
            .iter()
            .find(|g| Some(&*g.name) == gray)
            .map(|g| g.rule.clone());
        rows.push(RowWrite::Delete {
            table: Table::Config,
            key: config_key(key, gray.unwrap_or_default()),
        });
        write_history(key, HistoryOp::Delete, id, rule, old, by, rows);
        self.edit(key, |item| match gray {
            None => item.formal = None,
            Some(name) => item.grays.retain(|g| *g.name != *name),
        });
        true
    }

    fn put(&mut self, key: &ConfigKey, id: u64, rule: Option<GrayRule>, version: ConfigVersion) {
        if !self.items.contains_key(key) {
            self.items.insert(
                key.clone(),
                Arc::new(ConfigItem {
                    id,
                    formal: None,
                    grays: Vec::new(),
                }),
            );
        }
        self.edit(key, |item| match rule {
            None => item.formal = Some(version),
            Some(rule) => {
                let name = rule.name();
                item.grays.retain(|g| g.name != name);
                // Highest priority first, then by name.
                let place = (Reverse(rule.priority()), &*name);
                let at = item
                    .grays
                    .partition_point(|g| (Reverse(g.rule.priority()), &*g.name) < place);
                let gray = GrayItem {
                    name,
                    rule,
                    version,
                };
                item.grays.insert(at, gray);
            }
        });
    }

    /// Changes a config, and what depends on whether it has a formal version or any.
    fn edit(&mut self, key: &ConfigKey, change: impl FnOnce(&mut ConfigItem)) {
        let Some(item) = self.items.get_mut(key) else {
            return;
        };
        let before = item.formal.is_some();
        change(Arc::make_mut(item));
        let after = item.formal.is_some();
        if !after && item.grays.is_empty() {
            self.items.remove(key);
        }
        match (before, after) {
            (false, true) => self.capacities.add(key),
            (true, false) => self.capacities.subtract(key),
            _ => {}
        }
        if !self.changed.contains_key(key) {
            self.changed.insert(key.clone(), before);
        }
    }

    /// Takes a row of [`Table::Config`] or [`Table::Capacity`] back in; in any order.
    ///
    /// # Errors
    /// The row is not one of this release or an older one, or of another table.
    pub fn restore(&mut self, row: &Row) -> Result<(), Decode> {
        match row.table {
            Table::Config => {
                let (key, _) = read_config_key(&row.key).ok_or(Decode::Malformed)?;
                let row = ConfigRow::decode(&row.value)?;
                self.put(&key, row.id, row.rule, row.version);
                Ok(())
            }
            Table::Capacity => self.capacities.restore(row),
            _ => Err(Decode::Malformed),
        }
    }

    /// What changed since the last call: each config once, in the order of keys. One that came and went is told too.
    pub fn take_changes(&mut self) -> Vec<ConfigChanged> {
        core::mem::take(&mut self.changed)
            .into_iter()
            .map(|(key, before)| {
                let item = self.items.get(&key).cloned();
                let exists = item.as_ref().is_some_and(|item| item.formal.is_some());
                ConfigChanged {
                    delta: Delta::Config {
                        key: key.clone(),
                        item: item.clone(),
                    },
                    key,
                    exists,
                    appeared: exists && !before,
                    vanished: before && !exists,
                    item,
                }
            })
            .collect()
    }

    /// Quotas and usage that changed since the last call, each once; one with id 0 and usage 0 is gone.
    pub fn take_capacity_deltas(&mut self) -> Vec<Delta> {
        self.capacities.take_deltas()
    }

    /// Tells whether this node leads; the leader alone proposes what is periodic.
    pub fn role(&mut self, leader: bool, now: Now) {
        self.next_cut =
            (leader && self.history_days > 0).then(|| now.mono.saturating_add(FIRST_CUT_MS));
    }

    /// When [`Self::tick`] has something to do, by the monotonic clock, milliseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.next_cut
    }

    /// Commands that are due.
    pub fn tick(&mut self, now: Now) -> Vec<Command> {
        if self.next_cut.is_none_or(|at| at > now.mono) {
            return Vec::new();
        }
        self.next_cut = Some(now.mono.saturating_add(CUT_EVERY_MS));
        match now
            .wall
            .saturating_sub(u64::from(self.history_days) * DAY_MS)
        {
            0 => Vec::new(),
            before => alloc::vec![Command::CutHistory { before }],
        }
    }

    /// A config.
    #[must_use]
    pub fn get(&self, key: &ConfigKey) -> Option<&Arc<ConfigItem>> {
        self.items.get(key)
    }

    /// All configs, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ConfigKey, &Arc<ConfigItem>)> {
        self.items.iter()
    }

    /// How many configs have a formal version.
    #[must_use]
    pub fn len(&self) -> usize {
        self.capacities.total() as usize
    }

    /// Whether no config has a formal version.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Quotas and usage of a namespace or group; none if neither was ever there.
    #[must_use]
    pub fn capacity(&self, of: &CapacityOf) -> Option<&CapacityItem> {
        self.capacities.item(of)
    }

    /// All quotas and usages.
    pub fn capacities(&self) -> impl Iterator<Item = (&CapacityOf, &CapacityItem)> {
        self.capacities.iter()
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

#[cfg(test)]
pub(super) mod tests;
