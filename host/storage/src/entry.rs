//! The words that the log's writer, its reader and the consensus engine share.

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log; the first entry ever is 1.
    pub index: u64,
    /// Term of the leader that proposed it (Raft §5.4).
    pub term: u64,
    /// What kind of entry the consensus engine made it: 0 a command (empty: the leader's first entry of its term),
    /// 1 a change of members, 2 a joint change of members.
    pub kind: u8,
    /// The command with its content, or the change of members; opaque here.
    pub payload: Vec<u8>,
}

/// What a member must remember before it answers (Raft §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// Latest term that this member has seen.
    pub term: u64,
    /// Whom it voted for in that term; 0 for nobody.
    pub vote: u64,
    /// Highest index known to be committed.
    pub commit: u64,
}

/// The last entry that compaction removed (or that the snapshot covers): index and term; zeros for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Index of that entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// Reads of the persisted log, as the consensus engine needs them.
pub trait LogReader: Send + Sync {
    /// Entries `low..high` in order, stopping once `max_bytes` of payload are passed (always at least one).
    /// An index that is compacted or past the end is an error.
    fn entries(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, crate::Error>;
    /// Term of the entry at `index`, also of the compacted point itself.
    fn term(&self, index: u64) -> Result<u64, crate::Error>;
    /// First index that can be read: the compacted one + 1.
    fn first_index(&self) -> u64;
    /// Last persisted index: at least the compacted one.
    fn last_index(&self) -> u64;
}
