//! The engine's words in those of the log and the network, and back.

use nacrite_storage::{Entry, HardState};
use prost_0_11::Message as _;
use raft::eraftpb::{self, ConfChange, ConfChangeV2, EntryType, Message, MessageType};

use crate::MessageError;

/// An entry for the log. Its `context` is not kept: nothing here sets it.
pub(crate) fn to_log(entry: &eraftpb::Entry) -> Entry {
    let kind = match entry.get_entry_type() {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    };
    Entry {
        index: entry.index,
        term: entry.term,
        kind,
        payload: entry.data.clone(),
    }
}

/// An entry from the log; an unknown kind is the error.
pub(crate) fn from_log(entry: Entry) -> Result<eraftpb::Entry, nacrite_storage::Error> {
    let kind = match entry.kind {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        other => {
            return Err(nacrite_storage::Error::Damaged {
                file: "log".into(),
                what: format!("entry {} is of the unknown kind {other}", entry.index),
            });
        }
    };
    Ok(eraftpb::Entry {
        entry_type: kind as i32,
        term: entry.term,
        index: entry.index,
        data: entry.payload,
        ..eraftpb::Entry::default()
    })
}

/// The engine's hard state.
pub(crate) fn from_hard_state(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState {
        term: state.term,
        vote: state.vote,
        commit: state.commit,
    }
}

/// The log's hard state.
pub(crate) fn to_hard_state(state: &eraftpb::HardState) -> HardState {
    HardState {
        term: state.term,
        vote: state.vote,
        commit: state.commit,
    }
}

/// The change of members in a committed entry; `None` for a command. Bytes that are no change change nothing, on every
/// member alike.
pub(crate) fn change_of_members(entry: &eraftpb::Entry) -> Option<ConfChangeV2> {
    match entry.get_entry_type() {
        EntryType::EntryNormal => None,
        EntryType::EntryConfChange => ConfChange::decode(entry.data.as_slice())
            .ok()
            .map(raft_change),
        EntryType::EntryConfChangeV2 => ConfChangeV2::decode(entry.data.as_slice()).ok(),
    }
}

fn raft_change(change: ConfChange) -> ConfChangeV2 {
    let single = eraftpb::ConfChangeSingle {
        change_type: change.change_type,
        node_id: change.node_id,
    };
    ConfChangeV2 {
        changes: vec![single],
        context: change.context,
        ..ConfChangeV2::default()
    }
}

/// A message as bytes.
pub(crate) fn encode(message: &Message) -> Vec<u8> {
    message.encode_to_vec()
}

/// Bytes from `sender` as a message for `me`, if it is of a kind that members send each other.
///
/// Forwarded proposals are refused because a leader change loses them silently; snapshots because there is no transfer for
/// them yet.
pub(crate) fn decode(me: u64, sender: u64, bytes: &[u8]) -> Result<Message, MessageError> {
    let message = Message::decode(bytes).map_err(|e| MessageError::Malformed(e.to_string()))?;
    if message.from != sender || message.to != me {
        return Err(MessageError::Misdirected {
            from: message.from,
            to: message.to,
            sender,
        });
    }
    if message
        .entries
        .iter()
        .any(|entry| EntryType::from_i32(entry.entry_type).is_none())
    {
        return Err(MessageError::Malformed("an entry of unknown kind".into()));
    }
    match MessageType::from_i32(message.msg_type) {
        Some(
            MessageType::MsgAppend
            | MessageType::MsgAppendResponse
            | MessageType::MsgRequestVote
            | MessageType::MsgRequestVoteResponse
            | MessageType::MsgRequestPreVote
            | MessageType::MsgRequestPreVoteResponse
            | MessageType::MsgHeartbeat
            | MessageType::MsgHeartbeatResponse,
        ) => Ok(message),
        _ => Err(MessageError::Kind(message.msg_type)),
    }
}
