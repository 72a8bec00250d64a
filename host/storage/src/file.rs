//! Making and opening one `redb` file such that damage is said, and never taken for an empty or older file.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::InMemoryBackend;
use redb::{Database, Durability, StorageBackend, WriteTransaction};

use crate::Error;
use crate::disk::{Backend, Disk};
use crate::overlay::Overlay;
use crate::pages;
use crate::slots::{self, FLAGS, HEADER, Verdict};

/// What is to be done about the checksums of a file's pages before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Compare them.
    Pages,
    /// Nothing: [`pages::sound`] has compared them, a moment ago.
    Done,
    /// Nothing: damage is to be found when the damaged record is read.
    Later,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct StoreFile {
    /// There until the file is dropped.
    db: Option<Database>,
    /// How errors name it.
    pub(crate) place: String,
    /// Whether every page was read to open it: because that was asked for, or because the last commit was made
    /// without what spares it.
    pub(crate) walked: bool,
    backend: Backend,
    /// Known to be damaged: it is read as far as it goes, and never closed.
    damaged: bool,
}

impl Drop for StoreFile {
    fn drop(&mut self) {
        if self.damaged {
            // Closing writes down which pages are in use. In a damaged file that can panic within a panic, which ends
            // the process. There is nothing to write, and whoever reads damaged files does not go on for long.
            std::mem::forget(self.db.take());
        }
    }
}

impl StoreFile {
    fn new(db: Database, place: String, walked: bool, backend: Backend) -> Self {
        Self {
            db: Some(db),
            place,
            walked,
            backend,
            damaged: false,
        }
    }

    /// The open file.
    pub(crate) fn db(&self) -> &Database {
        self.db.as_ref().expect("it is taken by drop only")
    }

    /// Makes a file; `fill` writes its first content, which is durable afterwards.
    ///
    /// It is made in memory and written as a whole: nobody looks at a file before it is complete, so the many syncs of
    /// its making are one.
    pub(crate) fn create(
        disk: &dyn Disk,
        name: &str,
        fill: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        let place = disk.place(name);
        let made = Backend::new(InMemoryBackend::new());
        let db = Database::builder()
            .create_with_backend(made.clone())
            .map_err(|e| Error::of(&place, e))?;
        let txn = begin(&db, &place, true)?;
        fill(&txn).map_err(|e| Error::of(&place, e))?;
        txn.commit().map_err(|e| Error::of(&place, e))?;
        db.close().map_err(|e| Error::of(&place, e))?;
        let mut image = vec![0; usize::try_from(made.len()?).map_err(io::Error::other)?];
        made.read(0, &mut image)?;
        let file = disk.open(name, true)?;
        file.set_len(image.len() as u64)?;
        file.write(0, &image)?;
        Ok(file.sync_data()?)
    }

    /// Opens an existing file, mending its head where that is sure to be right.
    pub(crate) fn open(
        disk: &dyn Disk,
        name: &str,
        cache: usize,
        check: Check,
    ) -> Result<Self, Error> {
        let place = disk.place(name);
        let backend = disk.open(name, false)?;
        // It leaves a head alone under which all pages are sound.
        mend_head(&backend, &place)?;
        let (db, walked) = open_backend(backend.clone(), &place, cache, check)?;
        Ok(Self::new(db, place, walked, backend))
    }

    /// Opens an existing file for reading, every page verified: changes go to memory, the file stays as it is.
    pub(crate) fn open_read(disk: &dyn Disk, name: &str) -> Result<Self, Error> {
        Self::open_overlay(disk, name, Check::Pages)
    }

    /// As [`StoreFile::open_read`] for a file that failed it: what is read may be anything.
    pub(crate) fn open_damaged(disk: &dyn Disk, name: &str) -> Result<Self, Error> {
        let mut file = Self::open_overlay(disk, name, Check::Later)?;
        file.damaged = true;
        Ok(file)
    }

    fn open_overlay(disk: &dyn Disk, name: &str, check: Check) -> Result<Self, Error> {
        let place = disk.place(name);
        let backend = Backend::new(Overlay::new(disk.open_read(name)?)?);
        mend_head(&backend, &place)?;
        let (db, walked) = open_backend(backend.clone(), &place, 16 << 20, check)?;
        Ok(Self::new(db, place, walked, backend))
    }

    /// Opens for reading whatever can be opened: for salvage. Also says what had to be done for it.
    pub(crate) fn open_any(disk: &dyn Disk, name: &str) -> Result<(Self, Vec<Error>), Error> {
        let mut tried = match Self::open_read(disk, name) {
            Ok(file) => return Ok((file, Vec::new())),
            Err(error @ Error::Io(_)) => return Err(error),
            Err(error) => vec![error],
        };
        if let Ok(file) = Self::open_damaged(disk, name) {
            return Ok((file, tried));
        }
        let place = disk.place(name);
        let mut head = [0; HEADER];
        let file = disk.open_read(name)?;
        if file.len()? >= HEADER as u64 {
            file.read(0, &mut head)?;
        }
        drop(file);
        for (slot, flags) in slots::newest_first(&head) {
            let backend = Backend::new(Overlay::new(disk.open_read(name)?)?);
            let opened = rebuild_head(&backend, flags)
                .and_then(|()| open_backend(backend.clone(), &place, 16 << 20, Check::Later));
            match opened {
                Ok((db, walked)) => {
                    let what = format!(
                        "what follows was read with a rebuilt head and commit slot {slot}, and may be older"
                    );
                    tried.push(Error::damaged(&place, what));
                    let mut file = Self::new(db, place, walked, backend);
                    file.damaged = true;
                    return Ok((file, tried));
                }
                Err(error) => tried.push(error),
            }
        }
        Err(tried.swap_remove(0))
    }

    /// Starts a transaction; a `durable` one is synced by its commit, and a later open need not walk the file.
    pub(crate) fn begin(&self, durable: bool) -> Result<WriteTransaction, Error> {
        begin(self.db(), &self.place, durable)
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
    pub(crate) fn damage(&self, what: impl Into<String>) -> Error {
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
    check: Check,
) -> Result<(Database, bool), Error> {
    // What the quick check does not understand, the library's own judges.
    let unsure = check == Check::Pages && !pages::sound(&backend)?;
    let walked = Arc::new(AtomicBool::new(check != Check::Later));
    let told = walked.clone();
    let db = guarded(place, || {
        Database::builder()
            .set_cache_size(cache)
            .set_check_integrity_on_open(unsure)
            .set_repair_callback(move |_| told.store(true, Ordering::Relaxed))
            .create_with_backend(backend)
            .map_err(|e| Error::of(place, e))
    })?;
    Ok((db, walked.load(Ordering::Relaxed)))
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
            match open_backend(Backend::new(trial), place, 16 << 20, Check::Pages) {
                Ok(_) => write_flags(backend, flags),
                // Power was cut between the phases of a commit that nobody was told of.
                Err(Error::Damaged { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }
}

/// Writes the part of the head that is the same in all our files, from a new file; the length follows the head.
fn rebuild_head(backend: &Backend, flags: u8) -> Result<(), Error> {
    const GEOMETRY: std::ops::Range<usize> = 12..24;
    let fresh = Backend::new(InMemoryBackend::new());
    let db = Database::builder().create_with_backend(fresh.clone());
    drop(db.map_err(|e| Error::of("a new file in memory", e))?);
    let mut model = [0; HEADER];
    fresh.read(0, &mut model)?;
    let mut head = [0; HEADER];
    let len = backend.len()?;
    if len < HEADER as u64 {
        return Err(Error::damaged("the file", "it ends within its head"));
    }
    backend.read(0, &mut head)?;
    head[..FLAGS].copy_from_slice(&model[..FLAGS]);
    head[FLAGS] = flags;
    head[GEOMETRY].copy_from_slice(&model[GEOMETRY]);
    backend.write(0, &head)?;
    // A file that was cut short: its pages stay where they were, and what is gone reads as zeros.
    backend.set_len(
        len.next_multiple_of(slots::PAGE)
            .max(slots::layout_len(&head).min(1 << 40)),
    )?;
    Ok(())
}

fn write_flags(backend: &Backend, flags: u8) -> Result<(), Error> {
    backend.write(FLAGS as u64, &[flags])?;
    backend.sync_data()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;
    use redb::TableDefinition;

    const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("t");

    fn filled() -> (SimDisk, StoreFile) {
        let disk = SimDisk::new();
        StoreFile::create(&disk, "f", |txn| {
            txn.open_table(TABLE)?;
            Ok(())
        })
        .unwrap();
        let file = StoreFile::open(&disk, "f", 1 << 20, Check::Later).unwrap();
        let txn = file.begin(true).unwrap();
        for key in 0..100 {
            let mut table = txn.open_table(TABLE).unwrap();
            table.insert(key, [1; 500].as_slice()).unwrap();
        }
        txn.commit().unwrap();
        (disk, file)
    }

    #[test]
    fn an_unclean_stop_needs_no_walk_through_the_file() {
        let (disk, file) = filled();
        let open = |seed, check| StoreFile::open(&disk.cut(seed), "f", 1 << 20, check).unwrap();
        assert!(!open(1, Check::Later).walked);
        // Nor one with commits after the last durable one.
        let txn = file.begin(false).unwrap();
        let big = [1; 5_000];
        txn.open_table(TABLE)
            .unwrap()
            .insert(200, big.as_slice())
            .unwrap();
        txn.commit().unwrap();
        for seed in 0..6 {
            assert!(!open(seed, Check::Later).walked);
        }
        assert!(open(1, Check::Pages).walked);
    }

    #[test]
    fn a_panic_over_damaged_pages_is_a_damage() {
        let error = guarded::<()>("f", || panic!("page {}", 7)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "f is damaged: its pages contradict each other (page 7)"
        );
    }
}
