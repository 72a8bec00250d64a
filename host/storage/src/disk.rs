//! Where the files live: a folder of the operating system, or (see [`crate::sim`]) a simulated disk.
//!
//! A disk knows names and bytes; what stands in the files is no matter of this module.

mod file;

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{BackendError, StorageBackend};

use crate::Error;
use file::FolderFile;
pub use file::Wait;

/// A flat set of named files.
pub trait Disk: Send + Sync {
    /// Whether a file of this name exists.
    fn exists(&self, name: &str) -> io::Result<bool>;
    /// Opens a file for reading and writing; `create` makes an empty one where there is none.
    fn open(&self, name: &str, create: bool) -> io::Result<Backend>;
    /// Opens a file for reading; nothing is ever written through the handle.
    fn open_read(&self, name: &str) -> io::Result<Backend>;
    /// Gives a file, whose bytes are synced, another name. Durable when it returns.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, if it exists.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// How an error names the file.
    fn place(&self, name: &str) -> String;
}

/// An open file, shared by those who hold a clone.
#[derive(Clone)]
pub struct Backend(Arc<dyn StorageBackend>);

impl Backend {
    /// Wraps any backend.
    pub fn new(inner: impl StorageBackend) -> Self {
        Self(Arc::new(inner))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

type Locked<T> = Result<T, BackendError>;

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.0.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.0.query_lock_range(start, end)
    }
}

/// Name of the file whose lock says that a server has the folder open.
const LOCK: &str = "storage.lock";

/// A folder of the operating system, locked against every other server as long as it lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    wait: Wait,
    _lock: Option<File>,
}

impl Folder {
    /// Opens the folder, making it where it does not exist, and takes its lock.
    ///
    /// # Errors
    /// [`Error::InUse`] if a server has it open; what the operating system says otherwise.
    pub fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))?;
        let mut file = take_lock(path, file)?;
        // For the error of the next one who tries; the lock itself is what counts.
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Self {
            path: path.to_owned(),
            wait: file::here,
            _lock: Some(file),
        })
    }

    /// Reads that have to wait for the disk are run by `wait`; by default they just wait.
    #[must_use]
    pub fn waiting_with(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Opens an existing folder for reading only: nothing is made or changed in it.
    ///
    /// # Errors
    /// [`Error::InUse`] if a server has it open; what the operating system says otherwise.
    pub fn open_read(path: &Path) -> Result<Self, Error> {
        fs::read_dir(path)?;
        let lock = match File::open(path.join(LOCK)) {
            Ok(file) => Some(take_lock(path, file)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            path: path.to_owned(),
            wait: file::here,
            _lock: lock,
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        // A rename is durable once the folder itself is synced; other systems have no such call.
        if cfg!(unix) {
            File::open(&self.path)?.sync_all()
        } else {
            Ok(())
        }
    }
}

fn take_lock(path: &Path, mut file: File) -> Result<File, Error> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Where it cannot be read, the error merely does not name the process.
            let _unread = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if !holder.is_empty() && holder.bytes().all(|b| b.is_ascii_digit()) {
                format!(" (process {holder})")
            } else {
                String::new()
            };
            Err(Error::InUse {
                place: path.display().to_string(),
                holder,
            })
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl Disk for Folder {
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path.join(name).try_exists()
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Backend> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(self.path.join(name))?;
        Ok(Backend::new(FolderFile::new(file, self.wait)?))
    }

    fn open_read(&self, name: &str) -> io::Result<Backend> {
        let file = File::open(self.path.join(name))?;
        Ok(Backend::new(FolderFile::new(file, self.wait)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))?;
        self.sync_names()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn place(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}
