//! A file of a folder. Its reads know whether they would have to wait for the disk: most find what they want in the
//! system's memory, and may be made on a thread that serves others.

use std::fs::File;
use std::io;
use std::ops::Bound;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::Locked;

/// Runs a read that has to wait for the disk, once, before it returns. A host whose threads serve others lets those go
/// first.
pub type Wait = fn(&mut dyn FnMut());

/// Waits on the thread that it is called on.
pub(super) fn here(read: &mut dyn FnMut()) {
    read();
}

/// An open file of a folder.
#[derive(Debug)]
pub(super) struct FolderFile {
    inner: FileBackend,
    /// The same file again, for reads that do not wait.
    file: File,
    wait: Wait,
}

impl FolderFile {
    pub(super) fn new(file: File, wait: Wait) -> io::Result<Self> {
        Ok(Self {
            file: file.try_clone()?,
            inner: FileBackend::new(file).map_err(io::Error::other)?,
            wait,
        })
    }

    /// Reads what the system has in memory; false if that is not all of it, or cannot be known.
    #[cfg(target_os = "linux")]
    fn read_at_hand(&self, offset: u64, out: &mut [u8]) -> bool {
        use rustix::io::{ReadWriteFlags, preadv2};
        let wanted = out.len();
        let read = preadv2(
            &self.file,
            &mut [io::IoSliceMut::new(out)],
            offset,
            ReadWriteFlags::NOWAIT,
        );
        read == Ok(wanted)
    }

    #[cfg(not(target_os = "linux"))]
    fn read_at_hand(&self, _: u64, _: &mut [u8]) -> bool {
        false
    }
}

impl StorageBackend for FolderFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.read_at_hand(offset, out) {
            return Ok(());
        }
        let mut outcome = Ok(());
        (self.wait)(&mut || outcome = self.inner.read(offset, out));
        outcome
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_gives_what_was_written_and_tells_the_end() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &[7; 10_000]).unwrap();
        let file = FolderFile::new(file, here).unwrap();
        let mut out = vec![0; 5_000];
        file.read(5_000, &mut out).unwrap();
        assert_eq!(out, [7; 5_000]);
        assert!(file.read(5_001, &mut out).is_err());
    }

    #[test]
    fn what_is_not_at_hand_is_read_by_who_was_told_to() {
        fn never(_: &mut dyn FnMut()) {}
        let file = tempfile::tempfile().unwrap();
        let file = FolderFile::new(file, never).unwrap();
        // Past the end nothing is at hand, and this one does not even try.
        assert!(file.read(0, &mut [0; 10]).is_ok());
    }
}
