//! The replicated log: entries, hard state and what belongs to them, in the file `raft.redb`.
//!
//! It keeps what it is told to keep, and knows neither leaders nor what an entry means.

use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::checksum::{crc, open, seal, u64_at};
use crate::disk::Disk;
use crate::file::{StoreFile, guarded};
use crate::{Compacted, Entry, Error, HardState, LogReader};

/// Name of the file.
pub const LOG_FILE: &str = "raft.redb";

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FORMAT: u64 = 1;
/// Field of the table `meta` that stands there only while a state is being replaced.
const INSTALLING: &str = "installing";
/// Checksum, term and kind before the payload.
const ENTRY_HEAD: usize = 4 + 8 + 1;

/// One write of the log: one transaction.
#[derive(Clone, Debug, Default)]
pub struct LogWrite {
    /// Entries in order; whatever stands at or past the first one's index is replaced. May be empty.
    pub entries: Vec<Entry>,
    /// New hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// Whether everything up to and including this write must be on disk when [`Log::append`] returns. Only a write
    /// that does no more than move `commit` may leave it out.
    pub sync: bool,
}

/// What the log held when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStart {
    /// Hard state; the default one in a new log.
    pub hard_state: HardState,
    /// Members as the consensus engine wrote them down; empty in a new log.
    pub conf_state: Vec<u8>,
    /// Last entry that compaction removed.
    pub compacted: Compacted,
    /// Last entry; the compacted index if there is none.
    pub last_index: u64,
    /// Identity of this node, drawn when the files were made.
    pub node_id: u64,
    /// Whether the files were made by this open.
    pub is_new: bool,
}

/// From where the log goes on after a state that a peer sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Install {
    /// The last entry that the state has applied.
    pub compacted: Compacted,
    /// Hard state from then on; its commit is at least `compacted`.
    pub hard_state: HardState,
    /// Members at that entry, as the consensus engine encodes them.
    pub conf_state: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    compacted: Compacted,
    last: u64,
}

struct Inner {
    file: StoreFile,
    bounds: RwLock<Bounds>,
    /// Keeps the folder's lock.
    _disk: Arc<dyn Disk>,
}

/// The log, in the hands of its one writer.
pub struct Log {
    inner: Arc<Inner>,
}

/// Reads of the log for everyone else. Cheap to clone; the file stays open as long as one lives.
#[derive(Clone)]
pub struct LogHandle {
    inner: Arc<Inner>,
}

/// Makes the file `name` with an empty log.
pub(crate) fn create(disk: &dyn Disk, name: &str, node_id: u64) -> Result<(), Error> {
    StoreFile::create(disk, name, |txn| {
        txn.open_table(ENTRIES)?;
        let mut meta = txn.open_table(META)?;
        let mut put = |key: &str, body: &[u8]| {
            meta.insert(key, seal(key.as_bytes(), body).as_slice())
                .map(|_| ())
        };
        put("format", &FORMAT.to_le_bytes())?;
        put("node_id", &node_id.to_le_bytes())?;
        put("hard_state", &hard_state_bytes(HardState::default()))?;
        put("conf_state", &[])?;
        put("compacted", &compacted_bytes(Compacted::default()))?;
        Ok(())
    })
}

impl Log {
    /// Opens an existing log.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        cache: usize,
        verify: bool,
        is_new: bool,
    ) -> Result<(Self, LogStart), Error> {
        let file = StoreFile::open(disk.as_ref(), LOG_FILE, cache, verify)?;
        let start = guarded(&file.place, || read_start(&file, is_new))?;
        let bounds = RwLock::new(Bounds {
            compacted: start.compacted,
            last: start.last_index,
        });
        Ok((
            Self {
                inner: Arc::new(Inner {
                    file,
                    bounds,
                    _disk: disk.clone(),
                }),
            },
            start,
        ))
    }

    /// A reader of this log.
    #[must_use]
    pub fn handle(&self) -> LogHandle {
        LogHandle {
            inner: self.inner.clone(),
        }
    }

    /// Writes entries and hard state in one transaction.
    ///
    /// # Errors
    /// [`Error::NotContiguous`] leaves the log as it was. After [`Error::Io`] what was written is unknown, and every
    /// later call fails: the process must stop and open the files anew.
    pub fn append(&mut self, write: &LogWrite) -> Result<(), Error> {
        let mut bounds = self.inner.bounds();
        if let Some(first) = write.entries.first() {
            let lowest = bounds.compacted.index + 1;
            if first.index < lowest || first.index > bounds.last + 1 {
                let expected = if first.index < lowest {
                    lowest
                } else {
                    bounds.last + 1
                };
                return Err(Error::NotContiguous {
                    found: first.index,
                    expected,
                });
            }
            for (entry, expected) in write.entries.iter().zip(first.index..) {
                if entry.index != expected {
                    return Err(Error::NotContiguous {
                        found: entry.index,
                        expected,
                    });
                }
            }
        }
        let file = &self.inner.file;
        let txn = file.begin(write.sync)?;
        if let Some(first) = write.entries.first() {
            let mut table = txn.open_table(ENTRIES).map_err(|e| file.error(e))?;
            if first.index <= bounds.last {
                table
                    .retain_in(first.index.., |_, _| false)
                    .map_err(|e| file.error(e))?;
            }
            for entry in &write.entries {
                let size = ENTRY_HEAD + entry.payload.len();
                let mut stored = table
                    .insert_reserve(entry.index, size)
                    .map_err(|e| file.error(e))?;
                write_entry(entry, stored.as_mut());
                bounds.last = entry.index;
            }
        }
        if let Some(hard_state) = write.hard_state {
            put_meta(file, &txn, "hard_state", &hard_state_bytes(hard_state))?;
        }
        txn.commit().map_err(|e| file.error(e))?;
        self.inner.set_bounds(bounds);
        Ok(())
    }

    /// Removes the entries up to and including `to_index`, whose term stays known. Not synced: a power cut brings them
    /// back, which does no harm. Nothing happens where they are gone already.
    ///
    /// # Errors
    /// [`Error::OutOfLog`] if `to_index` is past the last entry; as [`Log::append`] otherwise.
    pub fn compact(&mut self, to_index: u64) -> Result<(), Error> {
        let mut bounds = self.inner.bounds();
        if to_index <= bounds.compacted.index {
            return Ok(());
        }
        let term = self.handle().term(to_index)?;
        let compacted = Compacted {
            index: to_index,
            term,
        };
        let file = &self.inner.file;
        let txn = file.begin(false)?;
        txn.open_table(ENTRIES)
            .map_err(|e| file.error(e))?
            .retain_in(..=to_index, |_, _| false)
            .map_err(|e| file.error(e))?;
        put_meta(file, &txn, "compacted", &compacted_bytes(compacted))?;
        txn.commit().map_err(|e| file.error(e))?;
        bounds.compacted = compacted;
        self.inner.set_bounds(bounds);
        Ok(())
    }

    /// Writes down that a state at `install.compacted` is about to replace the own one. Synced.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn begin_install(&mut self, install: &Install) -> Result<(), Error> {
        let file = &self.inner.file;
        let txn = file.begin(true)?;
        put_meta(file, &txn, INSTALLING, &install_bytes(install))?;
        txn.commit().map_err(|e| file.error(e))
    }

    /// Forgets every entry and begins after `install.compacted`, once the state stands there. Synced.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn install(&mut self, install: &Install) -> Result<(), Error> {
        let file = &self.inner.file;
        let compacted = install.compacted;
        let txn = file.begin(true)?;
        txn.open_table(ENTRIES)
            .map_err(|e| file.error(e))?
            .retain(|_, _| false)
            .map_err(|e| file.error(e))?;
        put_meta(file, &txn, "compacted", &compacted_bytes(compacted))?;
        put_meta(
            file,
            &txn,
            "hard_state",
            &hard_state_bytes(install.hard_state),
        )?;
        put_meta(file, &txn, "conf_state", &install.conf_state)?;
        remove_meta(file, &txn, INSTALLING)?;
        txn.commit().map_err(|e| file.error(e))?;
        self.inner.set_bounds(Bounds {
            compacted,
            last: compacted.index,
        });
        Ok(())
    }

    /// An installation that was begun and not finished.
    pub(crate) fn installing(&self) -> Result<Option<Install>, Error> {
        read_installing(&self.inner.file)
    }

    /// Goes back to before an installation.
    pub(crate) fn forget_install(&mut self) -> Result<(), Error> {
        let file = &self.inner.file;
        let txn = file.begin(true)?;
        remove_meta(file, &txn, INSTALLING)?;
        txn.commit().map_err(|e| file.error(e))
    }

    /// What the log holds now, as an open would find it.
    pub(crate) fn start(&self, is_new: bool) -> Result<LogStart, Error> {
        read_start(&self.inner.file, is_new)
    }

    /// Writes down the members, as the consensus engine encodes them. Synced, with all that was written before.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn set_conf_state(&mut self, conf_state: &[u8]) -> Result<(), Error> {
        let file = &self.inner.file;
        let txn = file.begin(true)?;
        put_meta(file, &txn, "conf_state", conf_state)?;
        txn.commit().map_err(|e| file.error(e))
    }

    pub(crate) fn walked(&self) -> bool {
        self.inner.file.walked
    }

    /// Length of the file, in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn file_len(&self) -> Result<u64, Error> {
        self.inner.file.len()
    }
}

impl Inner {
    fn bounds(&self) -> Bounds {
        *self.bounds.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.write().unwrap_or_else(PoisonError::into_inner) = bounds;
    }
}

impl LogReader for LogHandle {
    fn entries(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, Error> {
        let bounds = self.inner.bounds();
        let (first, last) = (bounds.compacted.index + 1, bounds.last);
        if low >= high {
            return Ok(Vec::new());
        }
        for index in [low, high - 1] {
            if index < first || index > last {
                return Err(Error::OutOfLog { index, first, last });
            }
        }
        let file = &self.inner.file;
        let txn = file.db.begin_read().map_err(|e| file.error(e))?;
        let table = txn.open_table(ENTRIES).map_err(|e| file.error(e))?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut expected = low;
        for item in table.range(low..high).map_err(|e| file.error(e))? {
            let (index, stored) = item.map_err(|e| file.error(e))?;
            if index.value() != expected {
                break;
            }
            let entry = read_entry(file, expected, stored.value())?;
            expected += 1;
            bytes += entry.payload.len() as u64;
            if bytes > max_bytes && !entries.is_empty() {
                return Ok(entries);
            }
            entries.push(entry);
        }
        if expected == high {
            return Ok(entries);
        }
        // Either the writer was at work since the bounds were read, or the entry is gone from the file.
        let now = self.inner.bounds();
        let (first, last) = (now.compacted.index + 1, now.last);
        if expected < first || expected > last {
            return Err(Error::OutOfLog {
                index: expected,
                first,
                last,
            });
        }
        Err(file.damaged(format!("table log, entry {expected}: missing")))
    }

    fn term(&self, index: u64) -> Result<u64, Error> {
        let bounds = self.inner.bounds();
        if index == bounds.compacted.index {
            return Ok(bounds.compacted.term);
        }
        let (first, last) = (bounds.compacted.index + 1, bounds.last);
        if index < first || index > last {
            return Err(Error::OutOfLog { index, first, last });
        }
        let file = &self.inner.file;
        let txn = file.db.begin_read().map_err(|e| file.error(e))?;
        let table = txn.open_table(ENTRIES).map_err(|e| file.error(e))?;
        if let Some(stored) = table.get(index).map_err(|e| file.error(e))? {
            return Ok(read_entry(file, index, stored.value())?.term);
        }
        let now = self.inner.bounds();
        if index == now.compacted.index {
            return Ok(now.compacted.term);
        }
        let (first, last) = (now.compacted.index + 1, now.last);
        if index < first || index > last {
            return Err(Error::OutOfLog { index, first, last });
        }
        Err(file.damaged(format!("table log, entry {index}: missing")))
    }

    fn first_index(&self) -> u64 {
        self.inner.bounds().compacted.index + 1
    }

    fn last_index(&self) -> u64 {
        self.inner.bounds().last
    }
}

/// Reads what stands beside the entries, and that these follow each other.
pub(crate) fn read_start(file: &StoreFile, is_new: bool) -> Result<LogStart, Error> {
    let txn = file.db.begin_read().map_err(|e| file.error(e))?;
    let meta = txn.open_table(META).map_err(|e| file.error(e))?;
    let field = |key: &str| -> Result<Vec<u8>, Error> {
        let stored = meta.get(key).map_err(|e| file.error(e))?;
        let stored = stored.ok_or_else(|| file.damaged(format!("table meta, {key}: missing")))?;
        let body = open(key.as_bytes(), stored.value());
        let body =
            body.ok_or_else(|| file.damaged(format!("table meta, {key}: wrong checksum")))?;
        Ok(body.to_vec())
    };
    let numbers = |key: &str, count: usize| -> Result<Vec<u64>, Error> {
        let body = field(key)?;
        let numbers: Vec<u64> = (0..count).filter_map(|n| u64_at(&body, n * 8)).collect();
        if numbers.len() == count && body.len() == count * 8 {
            Ok(numbers)
        } else {
            Err(file.damaged(format!("table meta, {key}: {} bytes long", body.len())))
        }
    };
    let format = numbers("format", 1)?[0];
    if format != FORMAT {
        return Err(file.damaged(format!("format {format}, where {FORMAT} can be read")));
    }
    let hard = numbers("hard_state", 3)?;
    let compacted = numbers("compacted", 2)?;
    let compacted = Compacted {
        index: compacted[0],
        term: compacted[1],
    };

    let table = txn.open_table(ENTRIES).map_err(|e| file.error(e))?;
    let ends = [table.first(), table.last()].map(|end| {
        end.map(|item| item.map(|(index, _)| index.value()))
            .map_err(|e| file.error(e))
    });
    let [first, last] = ends;
    let count = table.len().map_err(|e| file.error(e))?;
    let last_index = match (first?, last?) {
        (Some(first), Some(last)) => {
            if first != compacted.index + 1 || last - first + 1 != count {
                return Err(file.damaged(format!(
                    "table log: {count} entries in {first}..={last}, after a start at {}",
                    compacted.index
                )));
            }
            last
        }
        _ => compacted.index,
    };
    Ok(LogStart {
        hard_state: HardState {
            term: hard[0],
            vote: hard[1],
            commit: hard[2],
        },
        conf_state: field("conf_state")?,
        compacted,
        last_index,
        node_id: numbers("node_id", 1)?[0],
        is_new,
    })
}

/// Calls `each` with every entry that can be reached; how many there were.
pub(crate) fn each_entry(
    file: &StoreFile,
    each: &mut dyn FnMut(u64, Result<Entry, Error>),
) -> Result<u64, Error> {
    crate::walk::each(
        file,
        ENTRIES,
        Bound::Unbounded,
        &mut |index: u64, stored: &[u8]| {
            each(index, read_entry(file, index, stored));
        },
    )
}

fn put_meta(
    file: &StoreFile,
    txn: &redb::WriteTransaction,
    key: &str,
    body: &[u8],
) -> Result<(), Error> {
    txn.open_table(META)
        .map_err(|e| file.error(e))?
        .insert(key, seal(key.as_bytes(), body).as_slice())
        .map_err(|e| file.error(e))?;
    Ok(())
}

fn remove_meta(file: &StoreFile, txn: &redb::WriteTransaction, key: &str) -> Result<(), Error> {
    txn.open_table(META)
        .map_err(|e| file.error(e))?
        .remove(key)
        .map_err(|e| file.error(e))?;
    Ok(())
}

fn install_bytes(install: &Install) -> Vec<u8> {
    let mut bytes = compacted_bytes(install.compacted).to_vec();
    bytes.extend_from_slice(&hard_state_bytes(install.hard_state));
    bytes.extend_from_slice(&install.conf_state);
    bytes
}

/// An installation that was begun and not finished.
pub(crate) fn read_installing(file: &StoreFile) -> Result<Option<Install>, Error> {
    let txn = file.db.begin_read().map_err(|e| file.error(e))?;
    let meta = txn.open_table(META).map_err(|e| file.error(e))?;
    let Some(stored) = meta.get(INSTALLING).map_err(|e| file.error(e))? else {
        return Ok(None);
    };
    let install = open(INSTALLING.as_bytes(), stored.value()).and_then(|body| {
        let number = |n: usize| u64_at(body, n * 8);
        Some(Install {
            compacted: Compacted {
                index: number(0)?,
                term: number(1)?,
            },
            hard_state: HardState {
                term: number(2)?,
                vote: number(3)?,
                commit: number(4)?,
            },
            conf_state: body.get(40..)?.to_vec(),
        })
    });
    let wrong = || file.damaged(format!("table meta, {INSTALLING}: wrong checksum"));
    install.map(Some).ok_or_else(wrong)
}

fn hard_state_bytes(hard: HardState) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&hard.term.to_le_bytes());
    bytes[8..16].copy_from_slice(&hard.vote.to_le_bytes());
    bytes[16..].copy_from_slice(&hard.commit.to_le_bytes());
    bytes
}

fn compacted_bytes(compacted: Compacted) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&compacted.index.to_le_bytes());
    bytes[8..].copy_from_slice(&compacted.term.to_le_bytes());
    bytes
}

fn write_entry(entry: &Entry, out: &mut [u8]) {
    out[4..12].copy_from_slice(&entry.term.to_le_bytes());
    out[12] = entry.kind;
    out[ENTRY_HEAD..].copy_from_slice(&entry.payload);
    let sum = crc(&[&entry.index.to_le_bytes(), &out[4..]]);
    out[..4].copy_from_slice(&sum.to_le_bytes());
}

fn read_entry(file: &StoreFile, index: u64, stored: &[u8]) -> Result<Entry, Error> {
    let wrong = || file.damaged(format!("table log, entry {index}: wrong checksum"));
    let body = open(&index.to_le_bytes(), stored).ok_or_else(wrong)?;
    let term = u64_at(body, 0).ok_or_else(wrong)?;
    let (kind, payload) = body
        .get(8..)
        .and_then(<[u8]>::split_first)
        .ok_or_else(wrong)?;
    Ok(Entry {
        index,
        term,
        kind: *kind,
        payload: payload.to_vec(),
    })
}
