//! What consensus asks of its host, and how it refuses.

use nacrite_storage::{Entry, HardState};

/// Something that the host has to do; see the drive loop at the head of this crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write to the log, then report `number`.
    Persist {
        /// Position in the order of writes: grows, not always by one.
        number: u64,
        /// Entries without gaps. If the log already has the first one's index, it is cut from there in the same write.
        entries: Vec<Entry>,
        /// The new hard state, if it changed.
        hard_state: Option<HardState>,
        /// False when only the commit index moved: losing that write costs nothing but a longer replay.
        must_sync: bool,
    },
    /// Apply a committed entry.
    Apply {
        /// Its index: that of the effect before, plus one.
        index: u64,
        /// Its term.
        term: u64,
        /// The ticket under which this node proposed it since its start.
        ticket: Option<u64>,
        /// The command. Empty for a leader's first entry and for changes of members: only the index moves.
        payload: Vec<u8>,
    },
    /// Who leads has changed, or the term in which this holds.
    Role {
        /// The leader, if one is known.
        leader: Option<u64>,
        /// The term.
        term: u64,
        /// Whether it is this member.
        is_leader: bool,
    },
    /// A proposal is out: it will never be applied.
    Rejected {
        /// The proposal's ticket.
        ticket: u64,
        /// Why.
        reason: RejectReason,
    },
    /// Send a message to a member. Nobody waits for it: losing it costs time only.
    Send {
        /// The member.
        to: u64,
        /// The message, for `on_message` there.
        bytes: Vec<u8>,
    },
}

/// Why a proposal that had been taken is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// Another leader's entry was committed in its place (Raft §5.3).
    Superseded,
}

/// Why a proposal is not taken; nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Only the leader takes proposals.
    #[error("this member does not lead; the leader is {leader:?}")]
    NotLeader {
        /// Whom to ask instead, if known.
        leader: Option<u64>,
    },
    /// More than 64 MiB of proposals wait for their commit.
    #[error("too much waits to be committed")]
    Busy,
}

/// Why a message is dropped; nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// These bytes are no message.
    #[error("no message: {0}")]
    Malformed(String),
    /// It was sent by, or to, somebody else than it says.
    #[error("message from {from} to {to} came from {sender}")]
    Misdirected {
        /// The sender it names.
        from: u64,
        /// The receiver it names.
        to: u64,
        /// Who delivered it.
        sender: u64,
    },
    /// A kind of message that members do not send each other (yet): forwarded proposals, snapshots.
    #[error("messages of kind {0} are not taken")]
    Kind(i32),
    /// An answer from somebody who is no member.
    #[error("{0} is no member")]
    NoMember(u64),
}
