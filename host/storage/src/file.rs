//! Making and opening one `redb` file such that damage is said, and never taken for an empty or older file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, Durability, StorageBackend, WriteTransaction};

use crate::Error;
use crate::disk::{Backend, Disk};
use crate::overlay::Overlay;
use crate::slots::{self, FLAGS, HEADER, Verdict};

/// An open file.
#[derive(Debug)]
pub(crate) struct StoreFile {
    pub(crate) db: Database,
    /// How errors name it.
    pub(crate) place: String,
    backend: Backend,
}

impl StoreFile {
    /// Makes a file; `fill` writes its first content, which is durable afterwards.
    pub(crate) fn create(
        disk: &dyn Disk,
        name: &str,
        fill: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        let place = disk.place(name);
        let backend = disk.open(name, true)?;
        let db = Database::builder()
            .create_with_backend(backend)
            .map_err(|e| Error::of(&place, e))?;
        let txn = begin(&db, &place, true)?;
        fill(&txn).map_err(|e| Error::of(&place, e))?;
        txn.commit().map_err(|e| Error::of(&place, e))?;
        db.close().map_err(|e| Error::of(&place, e))
    }

    /// Opens an existing file, mending its head where that is sure to be right.
    ///
    /// With `verify`, the checksum of every page is compared first (about 1 GB/s from a warm cache).
    pub(crate) fn open(
        disk: &dyn Disk,
        name: &str,
        cache: usize,
        verify: bool,
    ) -> Result<Self, Error> {
        let place = disk.place(name);
        let backend = disk.open(name, false)?;
        mend_head(&backend, &place)?;
        let db = open_backend(backend.clone(), &place, cache, verify)?;
        Ok(Self { db, place, backend })
    }

    /// Opens an existing file for reading: changes go to memory, the file stays as it is.
    pub(crate) fn open_read(disk: &dyn Disk, name: &str, verify: bool) -> Result<Self, Error> {
        let place = disk.place(name);
        let backend = Backend::new(Overlay::new(disk.open_read(name)?)?);
        mend_head(&backend, &place)?;
        let db = open_backend(backend.clone(), &place, 16 << 20, verify)?;
        Ok(Self { db, place, backend })
    }

    /// Opens the commit before the last one, for salvage where the last cannot be opened.
    pub(crate) fn open_older(disk: &dyn Disk, name: &str) -> Result<Self, Error> {
        let place = disk.place(name);
        let backend = Backend::new(Overlay::new(disk.open_read(name)?)?);
        let mut flags = [0];
        backend.read(FLAGS as u64, &mut flags)?;
        backend.write(FLAGS as u64, &slots::other(flags[0]))?;
        let db = open_backend(backend.clone(), &place, 16 << 20, false)?;
        Ok(Self { db, place, backend })
    }

    /// Starts a transaction; a `durable` one is synced by its commit, and a later open need not walk the file.
    pub(crate) fn begin(&self, durable: bool) -> Result<WriteTransaction, Error> {
        begin(&self.db, &self.place, durable)
    }

    /// Length of the file, in bytes.
    pub(crate) fn len(&self) -> Result<u64, Error> {
        Ok(self.backend.len()?)
    }

    /// What `redb` said, with this file's name.
    pub(crate) fn error(&self, error: impl Into<redb::Error>) -> Error {
        Error::of(&self.place, error)
    }

    /// A damage of this file.
    pub(crate) fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(&self.place, what)
    }
}

fn begin(db: &Database, place: &str, durable: bool) -> Result<WriteTransaction, Error> {
    let mut txn = db.begin_write().map_err(|e| Error::of(place, e))?;
    txn.set_quick_repair(durable);
    txn.set_durability(if durable {
        Durability::Immediate
    } else {
        Durability::None
    })
    .map_err(|e| Error::of(place, e))?;
    Ok(txn)
}

/// Runs what reads a file that may be damaged: the library asserts some of what it expects of its own files.
pub(crate) fn guarded<T>(place: &str, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(Error::damaged(
            place,
            format!("its pages contradict each other ({said})"),
        ))
    })
}

fn open_backend(
    backend: Backend,
    place: &str,
    cache: usize,
    verify: bool,
) -> Result<Database, Error> {
    guarded(place, || {
        Database::builder()
            .set_cache_size(cache)
            .set_check_integrity_on_open(verify)
            .create_with_backend(backend)
            .map_err(|e| Error::of(place, e))
    })
}

/// Looks at the commit slots before the library does, and writes the byte of flags that is sure to be right.
fn mend_head(backend: &Backend, place: &str) -> Result<(), Error> {
    let len = backend.len()?;
    if len == 0 {
        return Err(Error::damaged(place, "it is empty"));
    }
    if len < HEADER as u64 {
        return Err(Error::damaged(
            place,
            format!("it ends after {len} bytes, within its head"),
        ));
    }
    let mut head = [0; HEADER];
    backend.read(0, &mut head)?;
    match slots::examine(&head) {
        Verdict::Sound => Ok(()),
        Verdict::Damaged(what) => Err(Error::damaged(place, what)),
        Verdict::Mend(flags) => write_flags(backend, flags),
        Verdict::Newer(flags) => {
            let trial = Overlay::new(backend.clone())?;
            trial.write(FLAGS as u64, &[flags])?;
            match open_backend(Backend::new(trial), place, 16 << 20, true) {
                Ok(_) => write_flags(backend, flags),
                // Power was cut between the phases of a commit that nobody was told of.
                Err(Error::Damaged { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }
}

fn write_flags(backend: &Backend, flags: u8) -> Result<(), Error> {
    backend.write(FLAGS as u64, &[flags])?;
    backend.sync_data()?;
    Ok(())
}
