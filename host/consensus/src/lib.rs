//! Raft behind handle / poll / deadline: what the log's members agree on, and in which order.
//!
//! This crate holds no socket, clock, thread or file. It is the only one that sees the engine's types (raft-rs);
//! what a command means is the core's business, where entries are kept is the storage's.
//!
//! # The drive loop
//! 1. Read the hard state, the compaction point and the last index of the log, the applied index and the bytes of
//!    [`Consensus::conf_state`] from the state store, and call [`Consensus::new`]. What was applied but is not durable in the
//!    state store is applied again from the log.
//! 2. Change exactly one thing: [`propose`](Consensus::propose), [`on_persisted`](Consensus::on_persisted),
//!    [`on_message`](Consensus::on_message), [`applied_to`](Consensus::applied_to) or [`tick`](Consensus::tick). Several
//!    proposals may be made before the next step; they then share one [`Effect::Persist`].
//! 3. Call [`poll`](Consensus::poll) until it answers `None`, doing what each effect says, in that order:
//!    * [`Effect::Persist`] goes to the log writer's queue, at once and without waiting. The writer takes everything that
//!      is queued, writes it in the order of the numbers, syncs once if any of it says `must_sync`, and only when the
//!      [`LogReader`](nacrite_storage::LogReader) shows it reports the highest number with `on_persisted`. A write that
//!      does not say `must_sync` may wait for the next one that does, and need not be reported.
//!    * [`Effect::Apply`] goes to the state machine. Its entry is persisted by then. Indexes have no gaps.
//!    * [`Effect::Rejected`] says that a proposal will never be applied.
//!    * [`Effect::Send`] goes to that member; it may get lost, arrive twice or late.
//!    * [`Effect::Role`] says who leads. `is_leader` means that proposals are taken. What was committed before this start
//!      is applied once an entry of that term has been (the leader's own first one has no payload).
//! 4. Report with `applied_to` what the state machine has applied, so that memory is given back.
//! 5. When the time of [`deadline`](Consensus::deadline) comes, call `tick`. A single voter has no deadline.
//! 6. From time to time, when the state store is durable up to some index, ask [`compaction`](Consensus::compaction) up to
//!    where the log may be cut.
//!
//! After a crash the loop starts again with step 1: whatever was not reported with `on_persisted` may be lost, and no
//! effect that depended on it has been given out.
//!
//! # Not here yet
//! Proposing changes of members (those in the log are obeyed), transfer of snapshots (a member behind the compacted log
//! waits for ever), reads by read index.
//!
//! # Faults
//! A host that breaks these rules (a number never given out, a log that lost what it reported) meets a panic, here or in
//! the engine. It must end the process: a member that goes on after one may contradict what it has promised to others.

mod compaction;
mod consensus;
mod effect;
mod overlay;
mod start;
mod wire;

pub use consensus::{Consensus, TICK_MILLIS};
pub use effect::{Effect, MessageError, ProposeError, RejectReason};
pub use start::{Start, StartError};
