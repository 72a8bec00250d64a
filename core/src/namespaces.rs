//! Namespaces: durable records with a name and a description. What lives in a namespace does not depend on its record
//! (Nacos: deleting a namespace leaves its configs and services); which characters an id may have is the API's.

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
    model::DEFAULT_NAMESPACE,
    node::{
        Step, Turn,
        op::Op,
        reply::{Answered, Refusal, Reply},
    },
    view::{Delta, NamespaceItem},
};

/// All namespaces but the default one, which needs no record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Namespaces {
    limit: u32,
    items: BTreeMap<Arc<str>, NamespaceItem>,
    changed: BTreeSet<Arc<str>>,
}

/// Key of a namespace's row.
#[must_use]
pub fn namespace_key(id: &str) -> Vec<u8> {
    KeyWriter::new().text(id).finish()
}

/// Reads what [`namespace_key`] wrote.
#[must_use]
pub fn read_namespace_key(bytes: &[u8]) -> Option<String> {
    let mut reader = KeyReader::new(bytes);
    let id = reader.text()?;
    reader.is_at_end().then_some(id)
}

/// Reads the value of a namespace's row.
///
/// # Errors
/// See [`Decode`].
pub fn read_namespace(value: &[u8]) -> Result<NamespaceItem, Decode> {
    decode(value)
}

impl Namespaces {
    /// None yet. At `limit` of them no other is proposed; those that were being decided at that moment still come.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            items: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Answers or proposes [`Op::CreateNamespace`], [`Op::UpdateNamespace`] and [`Op::DeleteNamespace`]. An empty id
    /// becomes a random UUID here, before the command is proposed.
    pub fn request(&mut self, turn: Turn<'_>, op: Op, random: &mut dyn FnMut() -> u64) -> Step {
        let stamp = turn.stamp;
        Step::Propose(match op {
            Op::CreateNamespace { id, name, desc } => {
                if *id == *DEFAULT_NAMESPACE {
                    return Err(Refusal::NamespaceExists).into();
                }
                if self.len() >= self.limit as usize {
                    return Err(Refusal::LimitReached("max namespaces".into())).into();
                }
                let id = if id.trim().is_empty() {
                    random_uuid(random)
                } else {
                    id
                };
                Command::CreateNamespace {
                    id,
                    name,
                    desc,
                    stamp,
                }
            }
            Op::UpdateNamespace { id, name, desc } => Command::UpdateNamespace {
                id,
                name,
                desc,
                stamp,
            },
            Op::DeleteNamespace { id } => Command::DeleteNamespace { id },
            _ => return Err(Refusal::Illegal("no operation on namespaces".into())).into(),
        })
    }

    /// Decides a committed command.
    ///
    /// # Errors
    /// [`Refusal::NamespaceExists`]; commands of other modules are refused and change nothing.
    pub fn apply(&mut self, command: Command, rows: &mut Vec<RowWrite>) -> Answered {
        match command {
            Command::CreateNamespace {
                id,
                name,
                desc,
                stamp,
            } => {
                if *id == *DEFAULT_NAMESPACE || self.items.contains_key(&id) {
                    return Err(Refusal::NamespaceExists);
                }
                self.put(
                    id.clone(),
                    NamespaceItem {
                        name,
                        desc,
                        created: stamp,
                    },
                    rows,
                );
                Ok(Reply::Namespace(id))
            }
            Command::UpdateNamespace { id, name, desc, .. } => {
                if let Some(old) = self.items.get(&id) {
                    let created = old.created;
                    self.put(
                        id,
                        NamespaceItem {
                            name,
                            desc,
                            created,
                        },
                        rows,
                    );
                }
                Ok(Reply::Done)
            }
            Command::DeleteNamespace { id } => {
                if self.items.remove(&id).is_some() {
                    if !crate::planted!(NamespaceRowStays) {
                        rows.push(RowWrite::Delete {
                            table: Table::Namespace,
                            key: namespace_key(&id),
                        });
                    }
                    self.changed.insert(id);
                }
                Ok(Reply::Done)
            }
            _ => Err(Refusal::Illegal("no command on namespaces".into())),
        }
    }

    fn put(&mut self, id: Arc<str>, item: NamespaceItem, rows: &mut Vec<RowWrite>) {
        let row = Row {
            table: Table::Namespace,
            key: namespace_key(&id),
            value: encode(&item),
        };
        rows.push(RowWrite::Put { row, content: None });
        self.items.insert(id.clone(), item);
        self.changed.insert(id);
    }

    /// Takes a row of [`Table::Namespace`] back in.
    ///
    /// # Errors
    /// The row is not one of this release or an older one.
    pub fn restore(&mut self, row: &Row) -> Result<(), Decode> {
        let id: Arc<str> = read_namespace_key(&row.key)
            .ok_or(Decode::Malformed)?
            .into();
        self.items.insert(id.clone(), read_namespace(&row.value)?);
        self.changed.insert(id);
        Ok(())
    }

    /// What changed since the last call, by id, each namespace once.
    pub fn take_deltas(&mut self) -> Vec<Delta> {
        core::mem::take(&mut self.changed)
            .into_iter()
            .map(|id| {
                let item = self.items.get(&id).cloned();
                Delta::Namespace { id, item }
            })
            .collect()
    }

    /// A namespace.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&NamespaceItem> {
        self.items.get(id)
    }

    /// How many there are, the default one not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none but the default one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
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

/// A UUID of version 4.
pub(crate) fn random_uuid(random: &mut dyn FnMut() -> u64) -> Arc<str> {
    let high = random() & !0xf000 | 0x4000;
    let low = random() & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::input::{Now, Origin};

    fn create(id: &str, stamp: u64) -> Command {
        Command::CreateNamespace {
            id: id.into(),
            name: "n".into(),
            desc: "d".into(),
            stamp,
        }
    }

    fn ask(namespaces: &mut Namespaces, id: &str) -> Step {
        let origin = Origin::default();
        let turn = Turn {
            id: 1,
            origin: &origin,
            now: Now::default(),
            stamp: 7,
        };
        let op = Op::CreateNamespace {
            id: id.into(),
            name: "n".into(),
            desc: "d".into(),
        };
        let mut next = 0;
        namespaces.request(turn, op, &mut || {
            next += 1;
            u64::MAX / next
        })
    }

    #[test]
    fn an_id_is_taken_once_and_the_default_one_always() {
        let mut namespaces = Namespaces::new(10);
        let mut rows = Vec::new();
        assert_eq!(
            namespaces.apply(create("a", 5), &mut rows),
            Ok(Reply::Namespace("a".into()))
        );
        assert_eq!(
            namespaces.apply(create("a", 6), &mut rows),
            Err(Refusal::NamespaceExists)
        );
        assert_eq!(
            namespaces.apply(create("public", 6), &mut rows),
            Err(Refusal::NamespaceExists)
        );
        assert_eq!(
            ask(&mut namespaces, "public"),
            Step::Done(Err(Refusal::NamespaceExists))
        );
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn an_empty_id_becomes_a_uuid() {
        let mut namespaces = Namespaces::new(10);
        let Step::Propose(command) = ask(&mut namespaces, " ") else {
            panic!("proposed")
        };
        assert_eq!(
            command,
            create("ffffffff-ffff-4fff-bfff-ffffffffffff", 7),
            "version and variant are fixed"
        );
    }

    #[test]
    fn changing_what_is_not_there_is_no_error_and_writes_nothing() {
        let mut namespaces = Namespaces::new(10);
        let mut rows = Vec::new();
        let update = |id: &str| Command::UpdateNamespace {
            id: id.into(),
            name: "new".into(),
            desc: "".into(),
            stamp: 9,
        };
        assert_eq!(namespaces.apply(update("a"), &mut rows), Ok(Reply::Done));
        let delete = Command::DeleteNamespace { id: "a".into() };
        assert_eq!(namespaces.apply(delete.clone(), &mut rows), Ok(Reply::Done));
        assert_eq!((rows.len(), namespaces.take_deltas()), (0, Vec::new()));
        namespaces.apply(create("a", 5), &mut rows).expect("free");
        namespaces.apply(update("a"), &mut rows).expect("known");
        let item = NamespaceItem {
            name: "new".into(),
            desc: "".into(),
            created: 5,
        };
        assert_eq!(
            namespaces.get("a"),
            Some(&item),
            "when it was created stays"
        );
        assert_eq!(
            namespaces.take_deltas(),
            [Delta::Namespace {
                id: "a".into(),
                item: Some(item)
            }]
        );
        namespaces.apply(delete, &mut rows).expect("known");
        assert_eq!(
            namespaces.take_deltas(),
            [Delta::Namespace {
                id: "a".into(),
                item: None
            }]
        );
        assert_eq!(
            rows.last(),
            Some(&RowWrite::Delete {
                table: Table::Namespace,
                key: b"a\0".to_vec()
            })
        );
    }

    #[test]
    fn no_more_than_the_limit_are_proposed() {
        let mut namespaces = Namespaces::new(1);
        namespaces
            .apply(create("a", 5), &mut Vec::new())
            .expect("free");
        assert_eq!(
            ask(&mut namespaces, "b"),
            Step::Done(Err(Refusal::LimitReached("max namespaces".into())))
        );
    }

    #[test]
    fn rows_and_snapshots_give_the_state_back() {
        let mut namespaces = Namespaces::new(10);
        let mut rows = Vec::new();
        namespaces.apply(create("b", 5), &mut rows).expect("free");
        namespaces.apply(create("a", 6), &mut rows).expect("free");
        let mut restored = Namespaces::new(10);
        for write in &rows {
            let RowWrite::Put { row, content: None } = write else {
                panic!("put")
            };
            restored.restore(row).expect("a row of this release");
        }
        assert_eq!(restored, namespaces);
        assert_eq!(
            Namespaces::from_snapshot(&namespaces.snapshot()),
            Ok(namespaces)
        );
    }

    #[test]
    fn the_rows_bytes_never_change() {
        let mut rows = Vec::new();
        Namespaces::new(10)
            .apply(create("a", 300), &mut rows)
            .expect("free");
        let row = Row {
            table: Table::Namespace,
            key: b"a\0".to_vec(),
            value: b"\x01\x01n\x01d\xac\x02".to_vec(),
        };
        assert_eq!(rows, [RowWrite::Put { row, content: None }]);
    }
}
