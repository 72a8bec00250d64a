//! Reads of the state, from any thread, while the writer goes on.

use std::ops::Bound;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::record::{CONTENTS, ROWS, read_applied, read_content, read_row, row_key};
use super::{Applied, Inner};
use crate::Error;
use crate::file::StoreFile;

/// A row as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Table.
    pub table: u8,
    /// Key.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
    /// Log index of the content that the row refers to.
    pub content: Option<u64>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of all tables.
    pub rows: u64,
    /// Contents.
    pub contents: u64,
    /// Length of the file, in bytes.
    pub file: u64,
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Which rows of a table to read, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    from: Vec<u8>,
    /// `None`: to the end of the file.
    to: Option<Vec<u8>>,
    reverse: bool,
    skip: usize,
    limit: usize,
}

impl Scan {
    /// Rows whose keys begin with `prefix`.
    #[must_use]
    pub fn prefix(table: u8, prefix: &[u8]) -> Self {
        let from = row_key(table, prefix);
        let to = after_prefix(&from);
        Self {
            from,
            to,
            reverse: false,
            skip: 0,
            limit: usize::MAX,
        }
    }

    /// Rows from the key `from` to before the key `to`; an empty `to` is the end of the table.
    #[must_use]
    pub fn range(table: u8, from: &[u8], to: &[u8]) -> Self {
        let mut scan = Self::prefix(table, b"");
        scan.from = row_key(table, from);
        if !to.is_empty() {
            scan.to = Some(row_key(table, to));
        }
        scan
    }

    /// Last key first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Leaves out the first `rows`, in the order of the scan.
    #[must_use]
    pub fn skip(mut self, rows: usize) -> Self {
        self.skip = rows;
        self
    }

    /// Reads at most so many `rows`.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = rows;
        self
    }

    fn bounds(&self) -> Option<Bounds<'_>> {
        let to = match &self.to {
            Some(to) if *to <= self.from => return None,
            Some(to) => Bound::Excluded(to.as_slice()),
            None => Bound::Unbounded,
        };
        Some((Bound::Included(self.from.as_slice()), to))
    }

    /// Keys, with their table before them.
    pub(super) fn keys(
        &self,
        file: &StoreFile,
        rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut keys = Vec::new();
        self.each(file, rows, |key, _| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        Ok(keys)
    }

    fn each(
        &self,
        file: &StoreFile,
        rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(bounds) = self.bounds() else {
            return Ok(());
        };
        let mut range = rows.range::<&[u8]>(bounds).map_err(|e| file.error(e))?;
        let mut skip = self.skip;
        let mut left = self.limit;
        while left > 0 {
            let item = if self.reverse {
                range.next_back()
            } else {
                range.next()
            };
            let Some(item) = item else { break };
            let (key, value) = item.map_err(|e| file.error(e))?;
            if skip > 0 {
                skip -= 1;
                continue;
            }
            left -= 1;
            each(key.value(), value.value())?;
        }
        Ok(())
    }
}

/// The first key that does not begin with `prefix`; none if there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut after = prefix.to_vec();
    while let Some(last) = after.pop() {
        if last < u8::MAX {
            after.push(last + 1);
            return Some(after);
        }
    }
    None
}

/// Reads of the state. Cheap to clone; the file stays open as long as one lives. Each call reads the newest applied
/// state; calls that must agree with each other go through one [`StateReader::snapshot`].
#[derive(Clone)]
pub struct StateReader {
    pub(super) inner: Arc<Inner>,
}

/// The state as it was at one moment. While it lives, space in the file that later batches free is not used again.
pub struct StateSnapshot {
    txn: ReadTransaction,
    file: Arc<StoreFile>,
}

impl StateReader {
    /// The state of now.
    ///
    /// # Errors
    /// [`Error::Io`] after a failed write.
    pub fn snapshot(&self) -> Result<StateSnapshot, Error> {
        let file = self.inner.file();
        let txn = file.db().begin_read().map_err(|e| file.error(e))?;
        Ok(StateSnapshot { txn, file })
    }

    /// Up to where readers see the log applied.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.inner.progress().applied
    }

    /// Up to where a power cut leaves it applied.
    #[must_use]
    pub fn durable_applied(&self) -> Applied {
        self.inner.progress().durable
    }

    /// See [`StateSnapshot::row`].
    ///
    /// # Errors
    /// As there.
    pub fn row(&self, table: u8, key: &[u8]) -> Result<Option<Row>, Error> {
        self.snapshot()?.row(table, key)
    }

    /// See [`StateSnapshot::content`]; cheaper than by a snapshot of its own. It waits for the disk only if the page is
    /// not in memory, and then as [`crate::Folder::waiting_with`] says.
    ///
    /// # Errors
    /// As there.
    pub fn content(&self, index: u64) -> Result<Option<Arc<[u8]>>, Error> {
        let file = self.inner.file();
        let contents = self.inner.contents()?;
        let stored = contents.get(index).map_err(|e| file.error(e))?;
        stored
            .map(|stored| read_content(&file, index, stored.value()).map(Arc::from))
            .transpose()
    }

    /// See [`StateSnapshot::scan`].
    ///
    /// # Errors
    /// As there.
    pub fn scan(&self, scan: &Scan) -> Result<Vec<Row>, Error> {
        self.snapshot()?.scan(scan)
    }

    /// See [`StateSnapshot::count`].
    ///
    /// # Errors
    /// As there.
    pub fn count(&self, table: u8, prefix: &[u8]) -> Result<u64, Error> {
        self.snapshot()?.count(table, prefix)
    }

    /// See [`StateSnapshot::for_each_row`].
    ///
    /// # Errors
    /// As there.
    pub fn for_each_row(
        &self,
        tables: &[u8],
        each: impl FnMut(u8, &[u8], &[u8], Option<u64>),
    ) -> Result<(), Error> {
        self.snapshot()?.for_each_row(tables, each)
    }

    /// See [`StateSnapshot::sizes`].
    ///
    /// # Errors
    /// As there.
    pub fn sizes(&self) -> Result<Sizes, Error> {
        self.snapshot()?.sizes()
    }
}

impl StateSnapshot {
    /// Up to where the log was applied at that moment.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its checksum is wrong.
    pub fn applied(&self) -> Result<Applied, Error> {
        read_applied(&self.file, &self.txn)
    }

    /// One row.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its checksum is wrong.
    pub fn row(&self, table: u8, key: &[u8]) -> Result<Option<Row>, Error> {
        let file = &*self.file;
        let rows = self.txn.open_table(ROWS).map_err(|e| file.error(e))?;
        let full = row_key(table, key);
        let stored = rows.get(full.as_slice()).map_err(|e| file.error(e))?;
        stored
            .map(|stored| to_row(file, &full, stored.value()))
            .transpose()
    }

    /// One content.
    ///
    /// # Errors
    /// [`Error::Damaged`] if its checksum is wrong.
    pub fn content(&self, index: u64) -> Result<Option<Arc<[u8]>>, Error> {
        let file = &*self.file;
        let contents = self.txn.open_table(CONTENTS).map_err(|e| file.error(e))?;
        let stored = contents.get(index).map_err(|e| file.error(e))?;
        stored
            .map(|stored| read_content(file, index, stored.value()).map(Arc::from))
            .transpose()
    }

    /// Rows of a table, in the order of their keys.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the checksum of one is wrong.
    pub fn scan(&self, scan: &Scan) -> Result<Vec<Row>, Error> {
        let file = &*self.file;
        let rows = self.txn.open_table(ROWS).map_err(|e| file.error(e))?;
        let mut found = Vec::new();
        scan.each(file, &rows, |key, stored| {
            found.push(to_row(file, key, stored)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// How many rows have keys that begin with `prefix`; takes time in proportion.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub fn count(&self, table: u8, prefix: &[u8]) -> Result<u64, Error> {
        let file = &*self.file;
        let rows = self.txn.open_table(ROWS).map_err(|e| file.error(e))?;
        let mut count = 0;
        Scan::prefix(table, prefix).each(file, &rows, |_, _| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    /// Calls `each` with table, key, value and reference of every row of `tables`. Contents are not touched.
    ///
    /// # Errors
    /// [`Error::Damaged`] at the first row whose checksum is wrong.
    pub fn for_each_row(
        &self,
        tables: &[u8],
        mut each: impl FnMut(u8, &[u8], &[u8], Option<u64>),
    ) -> Result<(), Error> {
        let file = &*self.file;
        let rows = self.txn.open_table(ROWS).map_err(|e| file.error(e))?;
        for &table in tables {
            Scan::prefix(table, b"").each(file, &rows, |key, stored| {
                let (value, content) = read_row(file, key, stored)?;
                each(table, &key[1..], value, content);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// How much there is.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub fn sizes(&self) -> Result<Sizes, Error> {
        let file = &*self.file;
        let rows = self.txn.open_table(ROWS).map_err(|e| file.error(e))?;
        let contents = self.txn.open_table(CONTENTS).map_err(|e| file.error(e))?;
        Ok(Sizes {
            rows: rows.len().map_err(|e| file.error(e))?,
            contents: contents.len().map_err(|e| file.error(e))?,
            file: file.len()?,
        })
    }
}

fn to_row(file: &StoreFile, key: &[u8], stored: &[u8]) -> Result<Row, Error> {
    let (value, content) = read_row(file, key, stored)?;
    Ok(Row {
        table: key[0],
        key: key[1..].to_vec(),
        value: value.to_vec(),
        content,
    })
}
