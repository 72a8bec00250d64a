//! The log as the engine sees it: entries on their way to the disk or to the state machine from memory, the rest from
//! the log's reader.
//!
//! It decides nothing: what is persisted and applied is told to it.

use std::collections::VecDeque;
use std::sync::Arc;

use nacrite_storage::LogReader;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::wire;

/// Newest part of the log in memory, over the persisted log.
pub(crate) struct Overlay {
    log: Arc<dyn LogReader>,
    /// Hard state and members at the start: the engine asks once.
    start: RaftState,
    /// The entries `last + 1 - entries.len() ..= last`.
    entries: VecDeque<Entry>,
    /// Last index of the log, written or not. The reader's own is not asked: behind it may lie a tail that is about to be cut.
    last: u64,
}

impl Overlay {
    pub(crate) fn new(
        log: Arc<dyn LogReader>,
        last: u64,
        hard_state: HardState,
        members: ConfState,
    ) -> Self {
        Self {
            log,
            start: RaftState {
                hard_state,
                conf_state: members,
            },
            entries: VecDeque::new(),
            last,
        }
    }

    /// Adds entries on their way to the disk, replacing those at and after the first one's index. True if there were any.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) -> bool {
        let Some(first) = entries.first().map(|entry| entry.index) else {
            return false;
        };
        assert!(
            first <= self.last + 1,
            "the engine appends at {first} to a log that ends at {}",
            self.last
        );
        let cut = first <= self.last;
        if cut {
            let keep = first.saturating_sub(self.first_in_memory());
            self.entries
                .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        }
        self.last = first + entries.len() as u64 - 1;
        self.entries.extend(entries);
        cut
    }

    /// Forgets entries up to `index`, which are persisted and applied.
    pub(crate) fn release(&mut self, index: u64) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.index <= index)
        {
            self.entries.pop_front();
        }
        if self.entries.capacity() > 1024 && self.entries.len() < self.entries.capacity() / 8 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// How many entries are in memory.
    pub(crate) fn held(&self) -> usize {
        self.entries.len()
    }

    /// First index of the persisted log.
    pub(crate) fn first(&self) -> u64 {
        self.log.first_index()
    }

    fn first_in_memory(&self) -> u64 {
        self.last + 1 - self.entries.len() as u64
    }

    fn in_memory(&self, index: u64) -> Option<&Entry> {
        let offset = index.checked_sub(self.first_in_memory())?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// What a failed read means: a compaction since the engine asked is no fault.
    fn failed(&self, low: u64, error: nacrite_storage::Error) -> raft::Error {
        if low < self.log.first_index() {
            return StorageError::Compacted.into();
        }
        StorageError::Other(Box::new(error)).into()
    }
}

// === impl Storage for Overlay ===

impl Storage for Overlay {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.start.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let max_size = max_size.into().unwrap_or(u64::MAX);
        if low < self.log.first_index() {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let split = self.first_in_memory().clamp(low, high);
        let mut found = Vec::new();
        let mut size = 0;
        if low < split {
            for entry in self
                .log
                .entries(low, split, max_size)
                .map_err(|e| self.failed(low, e))?
            {
                size += entry.payload.len() as u64;
                found.push(wire::from_log(entry).map_err(|e| self.failed(low, e))?);
            }
            if (found.len() as u64) < split - low {
                return Ok(found);
            }
        }
        for index in split..high {
            let entry = self
                .in_memory(index)
                .expect("what is not in the reader's part is in memory");
            size = size.saturating_add(entry.data.len() as u64);
            if size > max_size && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if let Some(entry) = self.in_memory(index) {
            return Ok(entry.term);
        }
        if index == 0 {
            return Ok(0);
        }
        if index + 1 < self.log.first_index() {
            return Err(StorageError::Compacted.into());
        }
        if index > self.last {
            return Err(StorageError::Unavailable.into());
        }
        self.log.term(index).map_err(|e| self.failed(index + 1, e))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.log.first_index())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last)
    }

    /// There is no transfer of snapshots yet: a member that needs one waits.
    fn snapshot(&self, _request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}
