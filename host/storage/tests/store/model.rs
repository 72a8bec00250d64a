//! What the store must hold, kept in plain collections, and a driver that makes random but valid calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nacrite_storage::{
    Applied, Compacted, Entry, Error, HardState, LogReader, LogWrite, Options, RowChange, Scan,
    SimDisk, StateBatch, Store,
};

/// SplitMix64.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogModel {
    pub(crate) compacted: Compacted,
    pub(crate) entries: Vec<Entry>,
    pub(crate) hard: HardState,
    pub(crate) conf: Vec<u8>,
}

impl LogModel {
    pub(crate) fn last(&self) -> u64 {
        self.compacted.index + self.entries.len() as u64
    }

    /// What an opened store holds.
    pub(crate) fn read(store: &Store) -> Result<Self, Error> {
        let log = store.log.handle();
        assert_eq!(log.term(log.first_index() - 1)?, store.start.compacted.term);
        let entries = log.entries(log.first_index(), log.last_index() + 1, u64::MAX)?;
        Ok(Self {
            compacted: store.start.compacted,
            entries,
            hard: store.start.hard_state,
            conf: store.start.conf_state.clone(),
        })
    }
}

type Rows = BTreeMap<(u8, Vec<u8>), (Vec<u8>, Option<u64>)>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateModel {
    pub(crate) rows: Rows,
    pub(crate) contents: BTreeSet<u64>,
    pub(crate) applied: Applied,
}

impl StateModel {
    pub(crate) fn read(store: &Store) -> Result<Self, Error> {
        let snapshot = store.state.reader().snapshot()?;
        let mut rows = Rows::new();
        snapshot.for_each_row(&TABLES, |table, key, value, content| {
            rows.insert((table, key.to_vec()), (value.to_vec(), content));
        })?;
        let mut contents = BTreeSet::new();
        for index in rows.values().filter_map(|(_, content)| *content) {
            let bytes = snapshot
                .content(index)?
                .expect("a content that a row refers to");
            assert_eq!(*bytes, *content(index));
            contents.insert(index);
        }
        assert_eq!(snapshot.sizes()?.contents, contents.len() as u64);
        assert_eq!(snapshot.sizes()?.rows, rows.len() as u64);
        Ok(Self {
            rows,
            contents,
            applied: store.state.reader().applied(),
        })
    }

    /// Applies a batch as the store is meant to.
    pub(crate) fn apply(&mut self, batch: &StateBatch) {
        for change in &batch.rows {
            match change.clone() {
                RowChange::Put {
                    table,
                    key,
                    value,
                    content,
                } => {
                    self.rows.insert((table, key), (value, content));
                }
                RowChange::Delete { table, key } => {
                    self.rows.remove(&(table, key));
                }
                RowChange::DeleteRange { table, from, to } => {
                    self.rows.retain(|(t, key), _| {
                        *t != table || *key < from || (!to.is_empty() && *key >= to)
                    });
                }
            }
        }
        self.contents = self
            .rows
            .values()
            .filter_map(|(_, content)| *content)
            .collect();
        self.applied = batch.applied;
    }

    pub(crate) fn scan(&self, scan_table: u8, prefix: &[u8]) -> Vec<Vec<u8>> {
        let keys = self
            .rows
            .keys()
            .filter(|(t, key)| *t == scan_table && key.starts_with(prefix));
        keys.map(|(_, key)| key.clone()).collect()
    }
}

pub(crate) const TABLES: [u8; 3] = [0, 7, 255];

/// Bytes of the content `index`: a few, or more than a page.
pub(crate) fn content(index: u64) -> Arc<[u8]> {
    let mut random = Seeded(index);
    let size = if random.below(4) == 0 {
        5_000 + random.below(9_000)
    } else {
        random.below(200)
    };
    (0..size).map(|_| random.next() as u8).collect()
}

fn key(random: &mut Seeded) -> Vec<u8> {
    let mut key = vec![b"ab\xff"[random.below(3) as usize]; random.below(3) as usize];
    key.extend(random.below(12).to_be_bytes().get(7..).unwrap_or_default());
    key
}

/// A valid batch that brings `state` to `applied`.
pub(crate) fn batch(random: &mut Seeded, state: &StateModel, applied: Applied) -> StateBatch {
    let contents: Vec<u64> = state.contents.iter().copied().collect();
    let rows = (0..=random.below(6))
        .map(|_| {
            let table = TABLES[random.below(3) as usize];
            match random.below(10) {
                0..=6 => RowChange::Put {
                    table,
                    key: key(random),
                    value: vec![random.next() as u8; random.below(300) as usize],
                    content: match random.below(4) {
                        0 => None,
                        1 if !contents.is_empty() => {
                            Some(contents[random.below(contents.len() as u64) as usize])
                        }
                        _ => Some(applied.index),
                    },
                },
                7 | 8 => RowChange::Delete {
                    table,
                    key: key(random),
                },
                _ => {
                    let (from, to) = (key(random), key(random));
                    let to = if random.below(4) == 0 { Vec::new() } else { to };
                    RowChange::DeleteRange { table, from, to }
                }
            }
        })
        .collect();
    StateBatch {
        rows,
        contents: vec![(applied.index, content(applied.index))],
        applied,
        durable: random.below(3) == 0,
    }
}

/// Past states of one file, of which a power cut may leave any from `synced` on.
pub(crate) struct Past<M> {
    models: Vec<M>,
    synced: usize,
}

impl<M: Clone + PartialEq> Past<M> {
    pub(crate) fn new(model: M) -> Self {
        Self {
            models: vec![model],
            synced: 0,
        }
    }

    pub(crate) fn now(&self) -> &M {
        self.models.last().expect("it begins with one")
    }

    pub(crate) fn synced(&self) -> &M {
        &self.models[self.synced]
    }

    /// What the next call will make of it, whether that returns or not.
    fn attempt(&mut self, model: M) {
        self.models.push(model);
    }

    fn returned(&mut self, synced: bool) {
        if synced {
            self.synced = self.models.len() - 1;
        }
    }

    pub(crate) fn allows(&self, found: &M) -> bool {
        self.models[self.synced..].contains(found)
    }
}

/// A store with what it must hold.
pub(crate) struct Driver {
    pub(crate) store: Store,
    pub(crate) log: Past<LogModel>,
    pub(crate) state: Past<StateModel>,
    pub(crate) random: Seeded,
}

pub(crate) fn options() -> Options {
    Options {
        new_node_id: 42,
        ..Options::default()
    }
}

pub(crate) fn open(disk: &SimDisk) -> Result<Store, Error> {
    Store::open(Arc::new(disk.clone()), &options())
}

impl Driver {
    /// Takes an opened store for what it is.
    pub(crate) fn adopt(store: Store, seed: u64) -> Self {
        let log = Past::new(LogModel::read(&store).expect("a readable log"));
        let state = Past::new(StateModel::read(&store).expect("a readable state"));
        Self {
            store,
            log,
            state,
            random: Seeded(seed),
        }
    }

    /// One random call that is valid in a server: only synced entries are applied, only durably applied ones compacted.
    pub(crate) fn step(&mut self) -> Result<(), Error> {
        let synced_last = self.log.synced().last().min(self.log.now().last());
        match self.random.below(10) {
            0..=4 => self.append(),
            5 => self.compact(),
            6 if self.random.below(3) == 0 => {
                let conf = vec![self.random.next() as u8; 20];
                self.log.attempt(LogModel {
                    conf: conf.clone(),
                    ..self.log.now().clone()
                });
                self.store.log.set_conf_state(&conf)?;
                self.log.returned(true);
                Ok(())
            }
            _ if self.state.now().applied.index < synced_last => self.apply(),
            _ => self.append(),
        }
    }

    fn append(&mut self) -> Result<(), Error> {
        let mut model = self.log.now().clone();
        let mut write = LogWrite {
            sync: true,
            ..LogWrite::default()
        };
        let random = &mut self.random;
        if random.below(5) == 0 {
            write.sync = random.below(2) == 0;
            model.hard.commit = model.last();
            write.hard_state = Some(model.hard);
        } else {
            let lowest = self.state.now().applied.index.max(model.compacted.index) + 1;
            let next = model.last() + 1;
            let first = if random.below(4) == 0 {
                lowest + random.below(next - lowest + 1)
            } else {
                next
            };
            if first < next {
                model.hard.term += 1;
                model.hard.commit = model.hard.commit.min(first - 1);
                model
                    .entries
                    .truncate((first - 1 - model.compacted.index) as usize);
                write.hard_state = Some(model.hard);
            }
            for index in first..=first + random.below(5) {
                let size = if random.below(8) == 0 { 6_000 } else { 60 };
                let payload = vec![random.next() as u8; random.below(size) as usize];
                let kind = random.below(3) as u8;
                write.entries.push(Entry {
                    index,
                    term: model.hard.term,
                    kind,
                    payload,
                });
            }
            model.entries.extend(write.entries.iter().cloned());
        }
        self.log.attempt(model);
        self.store.log.append(&write)?;
        self.log.returned(write.sync);
        Ok(())
    }

    fn compact(&mut self) -> Result<(), Error> {
        let mut model = self.log.now().clone();
        let durable = self.store.state.reader().durable_applied().index;
        assert_eq!(durable, self.state.synced().applied.index);
        if durable > model.compacted.index {
            let count = durable - model.compacted.index;
            let gone = model
                .entries
                .drain(..count as usize)
                .next_back()
                .expect("count is positive");
            model.compacted = Compacted {
                index: durable,
                term: gone.term,
            };
        }
        self.log.attempt(model);
        self.store.log.compact(durable)?;
        self.log.returned(false);
        Ok(())
    }

    fn apply(&mut self) -> Result<(), Error> {
        let mut model = self.state.now().clone();
        let index = model.applied.index + 1;
        let term = self.store.log.handle().term(index)?;
        let batch = batch(&mut self.random, &model, Applied { index, term });
        model.apply(&batch);
        self.state.attempt(model);
        self.store.state.apply(&batch)?;
        self.state.returned(batch.durable);
        Ok(())
    }

    /// What can be read is what it must be.
    pub(crate) fn compare(&self) {
        let log = self.store.log.handle();
        let model = self.log.now();
        assert_eq!(
            (log.first_index(), log.last_index()),
            (model.compacted.index + 1, model.last())
        );
        let all = log
            .entries(log.first_index(), log.last_index() + 1, u64::MAX)
            .unwrap();
        assert_eq!(all, model.entries);
        assert_eq!(
            log.term(model.compacted.index).unwrap(),
            model.compacted.term
        );
        let state = StateModel::read(&self.store).unwrap();
        assert_eq!(&state, self.state.now());
        let reader = self.store.state.reader();
        for table in TABLES {
            for prefix in [&b""[..], b"a", b"\xff", b"\xff\xff"] {
                let mut keys = state.scan(table, prefix);
                assert_eq!(reader.count(table, prefix).unwrap(), keys.len() as u64);
                let scan = Scan::prefix(table, prefix).skip(1).limit(3);
                let found = |scan: &Scan| -> Vec<Vec<u8>> {
                    reader
                        .scan(scan)
                        .unwrap()
                        .into_iter()
                        .map(|row| row.key)
                        .collect()
                };
                let page = |keys: &[Vec<u8>]| -> Vec<Vec<u8>> {
                    keys.iter().skip(1).take(3).cloned().collect()
                };
                assert_eq!(found(&scan), page(&keys));
                keys.reverse();
                assert_eq!(found(&scan.reverse()), page(&keys));
            }
        }
    }
}
