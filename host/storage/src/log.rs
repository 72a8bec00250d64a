//! The replicated log: entries, hard state and what belongs to them, in the file `raft.redb`.
//!
//! It keeps what it is told to keep, and knows neither leaders nor what an entry means.

mod record;

use std::sync::{Arc, PoisonError, RwLock};

use redb::ReadableDatabase;

use crate::disk::Disk;
use crate::file::{Check, StoreFile, guarded};
use crate::{Compacted, Entry, Error, HardState, LogReader};
use record::{
    ENTRIES, ENTRY_HEAD, INSTALLING, compacted_bytes, hard_state_bytes, install_bytes, put_meta,
    read_entry, remove_meta, write_entry,
};
pub(crate) use record::{create, each_entry, read_installing, read_start};

/// Name of the file.
pub const LOG_FILE: &str = "raft.redb";

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

impl Log {
    /// Opens an existing log.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        cache: usize,
        check: Check,
        is_new: bool,
    ) -> Result<(Self, LogStart), Error> {
        let file = StoreFile::open(disk.as_ref(), LOG_FILE, cache, check)?;
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

    /// Whether every page was read to open the file: with [`crate::Options::verify_data`] always, else only if the last
    /// commit was not made in a way that spares it, which takes long and is worth a line in the server's log.
    #[must_use]
    pub fn walked(&self) -> bool {
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
        let txn = file.db().begin_read().map_err(|e| file.error(e))?;
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
        Err(file.damage(format!("table log, entry {expected}: missing")))
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
        let txn = file.db().begin_read().map_err(|e| file.error(e))?;
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
        Err(file.damage(format!("table log, entry {index}: missing")))
    }

    fn first_index(&self) -> u64 {
        self.inner.bounds().compacted.index + 1
    }

    fn last_index(&self) -> u64 {
        self.inner.bounds().last
    }
}
