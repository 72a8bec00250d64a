//! With what a member starts, and what makes that impossible.

use nacrite_storage::{Compacted, HardState, LogReader};
use prost_0_11::Message as _;
use raft::eraftpb::ConfState;

/// What a member remembers, read from its log and its state store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// This member; not 0.
    pub id: u64,
    /// Who votes when the log is empty; the same on each of them. Counts only while `conf_state` is `None`.
    pub voters: Vec<u64>,
    /// What [`conf_state`](crate::Consensus::conf_state) said when the state store was at `applied`.
    pub conf_state: Option<Vec<u8>>,
    /// The log's hard state.
    pub hard_state: HardState,
    /// Up to where the log was compacted.
    pub compacted: Compacted,
    /// The log's last index; at least the compacted one.
    pub last_index: u64,
    /// Up to where the state store is durable.
    pub applied: u64,
    /// Seed of the election timeouts: the same seed and inputs give the same effects.
    pub seed: u64,
}

/// Why a member cannot start: all but `Members` mean a damaged data folder.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state store has applied what the log does not have.
    #[error(
        "the data folder is damaged: the state is at index {applied}, but the log ends at {last_index}"
    )]
    AppliedPastLog {
        /// Applied index of the state store.
        applied: u64,
        /// Last index of the log.
        last_index: u64,
    },
    /// The log no longer has what the state store has yet to apply.
    #[error(
        "the data folder is damaged: the state is at index {applied}, but the log begins after {compacted}"
    )]
    CompactedPastApplied {
        /// Applied index of the state store.
        applied: u64,
        /// Index of the compaction point.
        compacted: u64,
    },
    /// The log has lost entries that were committed.
    #[error(
        "the data folder is damaged: index {commit} is committed, but the log ends at {last_index}"
    )]
    CommitPastLog {
        /// Commit index of the hard state.
        commit: u64,
        /// Last index of the log.
        last_index: u64,
    },
    /// The hard state is older than the log's last entry, so a vote may have been forgotten.
    #[error(
        "the data folder is damaged: the log ends in term {last_term}, but the hard state is of term {term}"
    )]
    TermBehindLog {
        /// Term of the hard state.
        term: u64,
        /// Term of the last entry.
        last_term: u64,
    },
    /// The members make no sense: an id of 0, a voter named twice, no voter, or unreadable bytes.
    #[error("members: {0}")]
    Members(String),
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Log(#[from] nacrite_storage::Error),
}

impl Start {
    /// Checks that log, hard state and state store fit together, and raises the commit index to the applied one: a commit
    /// index is written lazily, but what was applied had been committed.
    pub(crate) fn check(self, log: &dyn LogReader) -> Result<(HardState, ConfState), StartError> {
        let members = self.members();
        let Self {
            applied,
            last_index,
            compacted,
            mut hard_state,
            ..
        } = self;
        if applied > last_index {
            return Err(StartError::AppliedPastLog {
                applied,
                last_index,
            });
        }
        if applied < compacted.index {
            return Err(StartError::CompactedPastApplied {
                applied,
                compacted: compacted.index,
            });
        }
        hard_state.commit = hard_state.commit.max(applied);
        if hard_state.commit > last_index {
            return Err(StartError::CommitPastLog {
                commit: hard_state.commit,
                last_index,
            });
        }
        let last_term = if last_index == compacted.index {
            compacted.term
        } else {
            log.term(last_index)?
        };
        if hard_state.term < last_term {
            return Err(StartError::TermBehindLog {
                term: hard_state.term,
                last_term,
            });
        }
        Ok((hard_state, members?))
    }

    fn members(&self) -> Result<ConfState, StartError> {
        let mut members = match &self.conf_state {
            Some(bytes) => ConfState::decode(bytes.as_slice())
                .map_err(|e| StartError::Members(e.to_string()))?,
            None => ConfState {
                voters: self.voters.clone(),
                ..ConfState::default()
            },
        };
        members.voters.sort_unstable();
        if self.id == 0 || members.voters.contains(&0) {
            return Err(StartError::Members("an id of 0".into()));
        }
        if members.voters.is_empty() {
            return Err(StartError::Members("no voter".into()));
        }
        if members.voters.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(StartError::Members("a voter named twice".into()));
        }
        Ok(members)
    }
}
