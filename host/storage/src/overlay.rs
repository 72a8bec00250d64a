//! A view of a file to which can be written without changing the file: for checks and for salvage.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::disk::Backend;

const PAGE: u64 = 4096;

/// A file with changed pages kept in memory.
#[derive(Debug)]
pub(crate) struct Overlay {
    base: Backend,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    len: u64,
    /// How much of the base still shows: it shrinks with `len` and never grows.
    base_len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(crate) fn new(base: Backend) -> io::Result<Self> {
        let len = base.len()?;
        Ok(Self {
            base,
            over: Mutex::new(Over {
                len,
                base_len: len,
                pages: BTreeMap::new(),
            }),
        })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the base from `offset`; zeros where it ends.
    fn base_bytes(&self, base_len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let there = base_len.saturating_sub(offset).min(out.len() as u64);
        let there = usize::try_from(there).map_err(io::Error::other)?;
        if there > 0 {
            self.base.read(offset, &mut out[..there])
        } else {
            Ok(())
        }
    }
}

fn within(len: u64, offset: u64, size: usize) -> io::Result<()> {
    if offset
        .checked_add(size as u64)
        .is_some_and(|end| end <= len)
    {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("bytes {offset}..+{size} are past the end at {len}"),
        ))
    }
}

/// Splits `offset..offset + size` at page borders: page, offset in the page, range of the buffer.
fn pieces(offset: u64, size: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0_usize;
    std::iter::from_fn(move || {
        if done == size {
            return None;
        }
        let at = offset + done as u64;
        let inside = usize::try_from(at % PAGE).unwrap_or(0);
        let take = (size - done).min(PAGE as usize - inside);
        let range = done..done + take;
        done += take;
        Some((at / PAGE, inside, range))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        within(over.len, offset, out.len())?;
        self.base_bytes(over.base_len, offset, out)?;
        if !over.pages.is_empty() {
            for (page, inside, range) in pieces(offset, out.len()) {
                if let Some(bytes) = over.pages.get(&page) {
                    let size = range.len();
                    out[range].copy_from_slice(&bytes[inside..inside + size]);
                }
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        if len < over.len {
            over.pages.split_off(&len.div_ceil(PAGE));
            if let Some(page) = over.pages.get_mut(&(len / PAGE)) {
                page[usize::try_from(len % PAGE).unwrap_or(0)..].fill(0);
            }
            over.base_len = over.base_len.min(len);
        }
        over.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        within(over.len, offset, data.len())?;
        for (page, inside, range) in pieces(offset, data.len()) {
            if !over.pages.contains_key(&page) {
                let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
                self.base_bytes(over.base_len, page * PAGE, &mut bytes)?;
                over.pages.insert(page, bytes);
            }
            if let Some(bytes) = over.pages.get_mut(&page) {
                bytes[inside..inside + range.len()].copy_from_slice(&data[range]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn writes_stay_in_the_overlay() {
        let memory = InMemoryBackend::new();
        memory.set_len(10_000).unwrap();
        memory.write(0, &[7; 10_000]).unwrap();
        let base = Backend::new(memory);
        let over = Overlay::new(base.clone()).unwrap();
        over.write(4_000, &[1; 5_000]).unwrap();
        let mut out = vec![0; 10_000];
        over.read(0, &mut out).unwrap();
        let mut want = vec![7; 10_000];
        want[4_000..9_000].fill(1);
        assert_eq!(out, want);
        over.set_len(6_000).unwrap();
        over.set_len(10_000).unwrap();
        over.read(0, &mut out).unwrap();
        want[6_000..].fill(0);
        assert_eq!(out, want);
        assert!(over.read(9_999, &mut [0; 2]).is_err());
        base.read(0, &mut out).unwrap();
        assert_eq!(out, [7; 10_000]);
    }
}
