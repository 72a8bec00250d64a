//! Rows and contents that the log has brought about, in the file `state.redb`.
//!
//! A row has a table (one byte), a key, a value, and may refer to one content by a log index. The store counts those
//! references and deletes a content that no row refers to any more. What rows mean is no matter of this module.

mod incoming;
mod reader;
mod record;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{ReadOnlyTable, ReadableDatabase, ReadableTable, Table, WriteTransaction};

use crate::Error;
use crate::disk::Disk;
use crate::file::{Check, StoreFile, guarded};
pub(crate) use incoming::INCOMING;
pub use incoming::Incoming;
pub use reader::{Row, Scan, Sizes, StateReader, StateSnapshot};
pub(crate) use record::{
    CONTENTS, REFS, ROWS, place_of, read_content, read_refs, read_row, read_start,
};
use record::{META, applied_bytes, row_bytes, row_key, write_content, write_refs};

/// Name of the file.
pub const STATE_FILE: &str = "state.redb";

/// How many rows one [`RowChange::DeleteRange`] removes at most.
pub const DELETE_RANGE_MAX: usize = 4096;

/// Up to which entry the log has been applied; zeros for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Index of that entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// A change of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Writes a row, in the place of the one that may stand there.
    Put {
        /// Table.
        table: u8,
        /// Key, ordered as bytes.
        key: Vec<u8>,
        /// Value.
        value: Vec<u8>,
        /// Log index of the content that the row refers to.
        content: Option<u64>,
    },
    /// Deletes a row, if it exists.
    Delete {
        /// Table.
        table: u8,
        /// Key.
        key: Vec<u8>,
    },
    /// Deletes the first [`DELETE_RANGE_MAX`] rows of a range.
    DeleteRange {
        /// Table.
        table: u8,
        /// First key.
        from: Vec<u8>,
        /// Key past the last one; empty for the end of the table.
        to: Vec<u8>,
    },
}

/// Rows and contents that one or more applied entries brought about: one transaction.
#[derive(Clone, Debug, Default)]
pub struct StateBatch {
    /// Changes, in order.
    pub rows: Vec<RowChange>,
    /// New contents by log index. One that no row refers to at the end of the batch is not kept.
    pub contents: Vec<(u64, Arc<[u8]>)>,
    /// Up to which entry this brings the state.
    pub applied: Applied,
    /// Whether this and everything before it must be on disk when [`State::apply`] returns.
    pub durable: bool,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many rows each [`RowChange::DeleteRange`] removed, in order. Fewer than [`DELETE_RANGE_MAX`]: none is left.
    pub deleted: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    applied: Applied,
    durable: Applied,
    waiting_bytes: u64,
}

/// The table of contents, as a reader has opened it.
type ContentTable = ReadOnlyTable<u64, &'static [u8]>;

struct Inner {
    /// For reads of single contents, until the next batch is applied: opening it anew costs more than a read. Dropped
    /// before the file.
    contents: RwLock<Option<Arc<ContentTable>>>,
    /// Another one after a state that a peer sent has taken its place.
    file: RwLock<Arc<StoreFile>>,
    progress: Mutex<Progress>,
    disk: Arc<dyn Disk>,
    cache: usize,
    node_id: u64,
}

impl Inner {
    fn file(&self) -> Arc<StoreFile> {
        self.file
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The table of contents of now. Whoever opens it holds the lock meanwhile: so one that was opened before a batch does
    /// not come in after it.
    fn contents(&self) -> Result<Arc<ContentTable>, Error> {
        let opened = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = &*opened {
            return Ok(table.clone());
        }
        drop(opened);
        let mut kept = self
            .contents
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = &*kept {
            return Ok(table.clone());
        }
        let file = self.file();
        let txn = file.db().begin_read().map_err(|e| file.error(e))?;
        let table = Arc::new(txn.open_table(CONTENTS).map_err(|e| file.error(e))?);
        *kept = Some(table.clone());
        Ok(table)
    }

    /// What was opened before is old.
    fn forget_contents(&self) {
        *self
            .contents
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn set_progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state, in the hands of its one writer.
pub struct State {
    inner: Arc<Inner>,
}

/// Makes the file `name` without a row.
pub(crate) fn create(disk: &dyn Disk, name: &str, node_id: u64) -> Result<(), Error> {
    StoreFile::create(disk, name, |txn| {
        txn.open_table(ROWS)?;
        txn.open_table(CONTENTS)?;
        txn.open_table(REFS)?;
        record::fill_meta(txn, node_id)
    })
}

impl State {
    /// Opens an existing state; also gives the identity of the node that made it.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        name: &str,
        cache: usize,
        check: Check,
    ) -> Result<(Self, u64), Error> {
        let file = StoreFile::open(disk.as_ref(), name, cache, check)?;
        let (node_id, applied) = guarded(&file.place, || read_start(&file))?;
        let inner = Inner {
            contents: RwLock::default(),
            file: RwLock::new(Arc::new(file)),
            progress: Mutex::new(Progress {
                applied,
                durable: applied,
                waiting_bytes: 0,
            }),
            disk: disk.clone(),
            cache,
            node_id,
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            node_id,
        ))
    }

    /// A reader of this state.
    #[must_use]
    pub fn reader(&self) -> StateReader {
        StateReader {
            inner: self.inner.clone(),
        }
    }

    /// Whether every page was read to open the file: with [`crate::Options::verify_data`] always, else only if the last
    /// commit was not made in a way that spares it, which takes long and is worth a line in the server's log.
    #[must_use]
    pub fn walked(&self) -> bool {
        self.inner.file().walked
    }

    /// Bytes of rows and contents applied since the last durable batch.
    #[must_use]
    pub fn waiting_bytes(&self) -> u64 {
        self.inner.progress().waiting_bytes
    }

    /// Applies a batch in one transaction; readers see all of it or nothing.
    ///
    /// # Errors
    /// [`Error::NoContent`] and [`Error::AppliedBackwards`] leave the state as it was. After [`Error::Io`] every later
    /// call fails: the process must stop and open the files anew.
    pub fn apply(&mut self, batch: &StateBatch) -> Result<Outcome, Error> {
        let mut progress = self.inner.progress();
        if batch.applied.index < progress.applied.index {
            return Err(Error::AppliedBackwards {
                batch: batch.applied.index,
                applied: progress.applied.index,
            });
        }
        let file = &*self.inner.file();
        let txn = file.begin(batch.durable)?;
        let mut outcome = Outcome::default();
        let mut counts = Counts::default();
        {
            let mut rows = txn.open_table(ROWS).map_err(|e| file.error(e))?;
            for change in &batch.rows {
                progress.waiting_bytes +=
                    change_rows(file, &mut rows, change, &mut counts, &mut outcome)?;
            }
        }
        progress.waiting_bytes += settle_contents(file, &txn, &counts, &batch.contents)?;
        txn.open_table(META)
            .map_err(|e| file.error(e))?
            .insert("applied", applied_bytes(batch.applied).as_slice())
            .map_err(|e| file.error(e))?;
        txn.commit().map_err(|e| file.error(e))?;
        self.inner.forget_contents();
        progress.applied = batch.applied;
        if batch.durable {
            progress.durable = batch.applied;
            progress.waiting_bytes = 0;
        }
        self.inner.set_progress(progress);
        Ok(outcome)
    }

    /// Makes everything applied so far durable.
    ///
    /// # Errors
    /// As [`State::apply`].
    pub fn sync(&mut self) -> Result<(), Error> {
        let applied = self.inner.progress().applied;
        self.apply(&StateBatch {
            applied,
            durable: true,
            ..StateBatch::default()
        })?;
        Ok(())
    }
}

/// By how much a batch changes the number of references to each content.
#[derive(Debug, Default)]
struct Counts(BTreeMap<u64, i64>);

impl Counts {
    fn add(&mut self, content: Option<u64>, by: i64) {
        if let Some(index) = content {
            *self.0.entry(index).or_default() += by;
        }
    }
}

fn change_rows(
    file: &StoreFile,
    rows: &mut Table<'_, &'static [u8], &'static [u8]>,
    change: &RowChange,
    counts: &mut Counts,
    outcome: &mut Outcome,
) -> Result<u64, Error> {
    let remove = |rows: &mut Table<'_, &'static [u8], &'static [u8]>,
                  counts: &mut Counts,
                  key: &[u8]|
     -> Result<(), Error> {
        if let Some(old) = rows.remove(key).map_err(|e| file.error(e))? {
            counts.add(read_row(file, key, old.value())?.1, -1);
        }
        Ok(())
    };
    match change {
        RowChange::Put {
            table,
            key,
            value,
            content,
        } => {
            let key = row_key(*table, key);
            let stored = row_bytes(&key, value, *content);
            if let Some(old) = rows
                .insert(key.as_slice(), stored.as_slice())
                .map_err(|e| file.error(e))?
            {
                counts.add(read_row(file, &key, old.value())?.1, -1);
            }
            counts.add(*content, 1);
            Ok((key.len() + stored.len()) as u64)
        }
        RowChange::Delete { table, key } => {
            let key = row_key(*table, key);
            remove(rows, counts, &key)?;
            Ok(key.len() as u64)
        }
        RowChange::DeleteRange { table, from, to } => {
            let scan = Scan::range(*table, from, to).limit(DELETE_RANGE_MAX);
            let keys = scan.keys(file, rows)?;
            for key in &keys {
                remove(rows, counts, key)?;
            }
            outcome.deleted.push(keys.len());
            Ok(keys.iter().map(Vec::len).sum::<usize>() as u64)
        }
    }
}

/// Brings references and contents to what the rows say; gives the bytes of contents written.
fn settle_contents(
    file: &StoreFile,
    txn: &WriteTransaction,
    counts: &Counts,
    new: &[(u64, Arc<[u8]>)],
) -> Result<u64, Error> {
    if counts.0.is_empty() {
        return Ok(0);
    }
    let new: BTreeMap<u64, &Arc<[u8]>> = new.iter().map(|(index, bytes)| (*index, bytes)).collect();
    let mut refs = txn.open_table(REFS).map_err(|e| file.error(e))?;
    let mut contents = txn.open_table(CONTENTS).map_err(|e| file.error(e))?;
    let mut written = 0;
    for (&index, &change) in &counts.0 {
        let old = match refs.get(index).map_err(|e| file.error(e))? {
            Some(stored) => read_refs(file, index, stored.value())?,
            None => 0,
        };
        let now = i64::from(old)
            .checked_add(change)
            .and_then(|now| u32::try_from(now).ok())
            .ok_or_else(|| {
                file.damage(format!(
                    "table refs, {index}: {old} references, changed by {change}"
                ))
            })?;
        if now == 0 {
            refs.remove(index).map_err(|e| file.error(e))?;
            contents.remove(index).map_err(|e| file.error(e))?;
            continue;
        }
        if now != old {
            refs.insert(index, write_refs(index, now))
                .map_err(|e| file.error(e))?;
        }
        if old == 0 {
            let bytes = new.get(&index).ok_or(Error::NoContent { index })?;
            let mut stored = contents
                .insert_reserve(index, 4 + bytes.len())
                .map_err(|e| file.error(e))?;
            write_content(index, bytes, stored.as_mut());
            written += bytes.len() as u64;
        }
    }
    Ok(written)
}
