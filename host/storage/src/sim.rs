//! A disk that exists in memory only and fails as real ones do: it forgets unsynced writes, tears them at sectors,
//! flips bytes, runs full. Deterministic: the same calls with the same seeds give the same bytes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::disk::{Backend, Disk};

/// What a disk writes as a whole, in bytes.
pub const SECTOR: usize = 512;

/// A simulated disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<DiskState>>,
}

#[derive(Debug, Default)]
struct DiskState {
    names: BTreeMap<String, u64>,
    files: BTreeMap<u64, SimFile>,
    next_file: u64,
    syncs: u64,
    writes: u64,
    syncs_left: Option<u64>,
    writes_left: Option<u64>,
    capacity: Option<u64>,
    unreadable: bool,
    dead: bool,
}

#[derive(Clone, Debug, Default)]
struct SimFile {
    synced: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Clone, Debug)]
enum Unsynced {
    Write { offset: usize, bytes: Vec<u8> },
    Len(usize),
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, and good enough to choose faults.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

impl SimDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often was synced (a rename counts as one) and written so far.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.syncs, state.writes)
    }

    /// Lets `syncs` more syncs succeed; the one after it fails with nothing synced, and every call after that fails.
    pub fn fail_after_syncs(&self, syncs: u64) {
        self.state().syncs_left = Some(syncs);
    }

    /// Lets `writes` more writes and changes of length succeed; the one after it and every call after that fails.
    pub fn fail_after_writes(&self, writes: u64) {
        self.state().writes_left = Some(writes);
    }

    /// The disk is full at so many bytes, over all files; `None`: never.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Whether every read fails.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.state().unreadable = unreadable;
    }

    /// The disk as a power cut leaves it. Everything synced is there; of what was not, the seed decides whether all of
    /// it, none of it, a beginning, single writes or single sectors have reached the disk. This disk stays as it is.
    #[must_use]
    pub fn cut(&self, seed: u64) -> Self {
        let state = self.state();
        let mut random = Seeded::new(seed);
        let mut files = state.files.clone();
        for file in files.values_mut() {
            file.cut(&mut random);
        }
        Self {
            state: Arc::new(Mutex::new(DiskState {
                names: state.names.clone(),
                files,
                next_file: state.next_file,
                ..DiskState::default()
            })),
        }
    }

    /// A second disk with the same bytes, nothing of it unsynced, without faults.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state();
        let mut files = state.files.clone();
        for file in files.values_mut() {
            file.sync();
        }
        Self {
            state: Arc::new(Mutex::new(DiskState {
                names: state.names.clone(),
                files,
                next_file: state.next_file,
                ..DiskState::default()
            })),
        }
    }

    /// Bytes of a file; empty if there is none.
    #[must_use]
    pub fn image(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        let file = state.names.get(name).and_then(|id| state.files.get(id));
        file.map(|file| file.now.clone()).unwrap_or_default()
    }

    /// Puts a file there, synced.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let id = state.create(name);
        state.files.insert(
            id,
            SimFile {
                synced: bytes.clone(),
                now: bytes,
                unsynced: Vec::new(),
            },
        );
    }

    /// Flips the bits of `mask` in one byte; nothing happens past the end.
    pub fn flip(&self, name: &str, offset: usize, mask: u8) {
        let mut state = self.state();
        let Some(id) = state.names.get(name).copied() else {
            return;
        };
        if let Some(file) = state.files.get_mut(&id) {
            for bytes in [&mut file.synced, &mut file.now] {
                if let Some(byte) = bytes.get_mut(offset) {
                    *byte ^= mask;
                }
            }
        }
    }
}

impl DiskState {
    fn create(&mut self, name: &str) -> u64 {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.next_file;
        self.next_file += 1;
        self.names.insert(name.to_owned(), id);
        self.files.insert(id, SimFile::default());
        id
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead {
            Err(io::Error::other("the simulated disk has failed"))
        } else {
            Ok(())
        }
    }

    fn count_write(&mut self) -> io::Result<()> {
        self.alive()?;
        if self.writes_left == Some(0) {
            self.dead = true;
            return self.alive();
        }
        self.writes_left = self.writes_left.map(|left| left - 1);
        self.writes += 1;
        Ok(())
    }

    fn count_sync(&mut self) -> io::Result<()> {
        self.alive()?;
        if self.syncs_left == Some(0) {
            self.dead = true;
            return self.alive();
        }
        self.syncs_left = self.syncs_left.map(|left| left - 1);
        self.syncs += 1;
        Ok(())
    }

    fn file(&mut self, id: u64) -> io::Result<&mut SimFile> {
        self.files
            .get_mut(&id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl SimFile {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.reach(&mut self.synced, |_| true);
        }
    }

    fn cut(&mut self, random: &mut Seeded) {
        let how = random.next() % 6;
        let changes = std::mem::take(&mut self.unsynced);
        let count = changes.len() as u64;
        let stop = if count == 0 { 0 } else { random.next() % count };
        for (at, change) in (0..).zip(changes) {
            match how {
                0 => {}
                1 => change.reach(&mut self.synced, |_| true),
                // A beginning, the last write of it torn.
                2 if at < stop => change.reach(&mut self.synced, |_| true),
                2 if at == stop => change.reach(&mut self.synced, |_| random.coin()),
                2 => {}
                3 => {
                    let kept = random.coin();
                    change.reach(&mut self.synced, |_| kept);
                }
                // Everything but one write: the one that a wrong order of syncs would miss.
                4 => change.reach(&mut self.synced, |_| at != stop),
                _ => change.reach(&mut self.synced, |_| random.coin()),
            }
        }
        self.now.clone_from(&self.synced);
    }
}

impl Unsynced {
    /// Brings those sectors of the change to the disk that `kept` says.
    fn reach(self, disk: &mut Vec<u8>, mut kept: impl FnMut(usize) -> bool) {
        match self {
            Self::Len(len) => {
                if kept(0) {
                    disk.resize(len, 0);
                }
            }
            Self::Write { offset, bytes } => {
                let mut at = offset;
                let end = offset + bytes.len();
                while at < end {
                    let sector = at / SECTOR;
                    let stop = end.min((sector + 1) * SECTOR);
                    // Past the end that reached the disk, a write is lost with the length.
                    if kept(sector) && stop <= disk.len() {
                        disk[at..stop].copy_from_slice(&bytes[at - offset..stop - offset]);
                    }
                    at = stop;
                }
            }
        }
    }
}

impl Disk for SimDisk {
    fn exists(&self, name: &str) -> io::Result<bool> {
        let state = self.state();
        state.alive()?;
        Ok(state.names.contains_key(name))
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Backend> {
        let mut state = self.state();
        state.alive()?;
        let id = match state.names.get(name) {
            Some(id) => *id,
            None if create => state.create(name),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        drop(state);
        Ok(Backend::new(SimHandle {
            disk: self.clone(),
            id,
        }))
    }

    fn open_read(&self, name: &str) -> io::Result<Backend> {
        self.open(name, false)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.count_sync()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        if let Some(old) = state.names.insert(to.to_owned(), id) {
            state.files.remove(&old);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.alive()?;
        if let Some(id) = state.names.remove(name) {
            state.files.remove(&id);
        }
        Ok(())
    }

    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}

#[derive(Debug)]
struct SimHandle {
    disk: SimDisk,
    id: u64,
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl StorageBackend for SimHandle {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.alive()?;
        Ok(state.file(self.id)?.now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.alive()?;
        if state.unreadable {
            return Err(io::Error::other("the simulated disk cannot be read"));
        }
        let offset = position(offset)?;
        let bytes = state.file(self.id)?.now.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let others: u64 = state
            .files
            .iter()
            .filter(|(id, _)| **id != self.id)
            .map(|(_, file)| file.now.len() as u64)
            .sum();
        let grows = len > state.file(self.id)?.now.len() as u64;
        if grows
            && state
                .capacity
                .is_some_and(|capacity| others + len > capacity)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.count_write()?;
        let len = position(len)?;
        let file = state.file(self.id)?;
        file.now.resize(len, 0);
        file.unsynced.push(Unsynced::Len(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.count_sync()?;
        state.file(self.id)?.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.count_write()?;
        let offset = position(offset)?;
        let file = state.file(self.id)?;
        let place = file.now.get_mut(offset..offset + data.len());
        place
            .ok_or(io::ErrorKind::UnexpectedEof)?
            .copy_from_slice(data);
        file.unsynced.push(Unsynced::Write {
            offset,
            bytes: data.to_vec(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_what_was_synced_and_tears_the_rest_at_sectors() {
        let disk = SimDisk::new();
        let file = disk.open("f", true).unwrap();
        file.set_len(4 * SECTOR as u64).unwrap();
        file.write(0, &[1; 4 * SECTOR]).unwrap();
        file.sync_data().unwrap();
        file.write(100, &[2; 3 * SECTOR]).unwrap();
        let (mut lost, mut kept, mut torn) = (0, 0, 0);
        for seed in 0..64 {
            let image = disk.cut(seed).image("f");
            assert_eq!(image, disk.cut(seed).image("f"));
            assert_eq!(image[..100], [1; 100]);
            assert_eq!(image[100 + 3 * SECTOR..], [1; SECTOR - 100]);
            match image.iter().filter(|byte| **byte == 2).count() {
                0 => lost += 1,
                all if all == 3 * SECTOR => kept += 1,
                _ => torn += 1,
            }
        }
        assert!(lost > 5 && kept > 5 && torn > 5, "{lost} {kept} {torn}");
    }

    #[test]
    fn faults_come_when_told() {
        let disk = SimDisk::new();
        let file = disk.open("f", true).unwrap();
        disk.set_capacity(Some(1_000));
        assert_eq!(
            file.set_len(1_001).unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        file.set_len(1_000).unwrap();
        disk.fail_after_syncs(1);
        file.sync_data().unwrap();
        file.write(0, &[1]).unwrap();
        assert!(file.sync_data().is_err());
        assert!(file.read(0, &mut [0]).is_err());
        let again = disk.cut(0).open("f", false).unwrap();
        again.read(0, &mut [0]).unwrap();
        disk.flip("f", 5, 0x80);
        assert_eq!(disk.image("f")[5], 0x80);
    }
}
