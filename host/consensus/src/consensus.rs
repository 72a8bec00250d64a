//! One member: the engine behind handle / poll / deadline.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use nacrite_storage::LogReader;
use prost_0_11::Message as _;
use raft::eraftpb::{ConfChangeV2, ConfState, Entry, Message};
use raft::{Config, RawNode, Ready, StateRole};

use crate::compaction::LogSize;
use crate::overlay::Overlay;
use crate::{Effect, MessageError, ProposeError, RejectReason, Start, StartError, wire};

/// Milliseconds between two ticks of the engine.
pub const TICK_MILLIS: u64 = 50;
/// A leader sends heartbeats every so many ticks.
const HEARTBEAT_TICKS: usize = 2;
/// A member that hears no leader for this many ticks, or up to twice as many, stands for election: 500-1000 ms, because a
/// busy disk was seen to sync in up to 190 ms.
const ELECTION_TICKS: usize = 10;
/// Payload bytes in one message, unless a single entry is larger.
const MESSAGE_BYTES: u64 = 1 << 20;
/// Messages with entries on their way to one member.
const MESSAGES_IN_FLIGHT: usize = 256;
/// Payload bytes that may wait for their commit.
const UNCOMMITTED_BYTES: u64 = 64 << 20;
/// Payload bytes of committed entries that are taken out of the log at once, unless a single entry is larger.
const APPLY_BYTES: u64 = 1 << 20;

/// A member of the group that agrees on the log. See the drive loop at the head of this crate.
pub struct Consensus {
    raw: RawNode<Overlay>,
    seed: u64,
    /// Who belongs to the group as of the last `Apply` given out; voters and learners in ascending order.
    members: ConfState,
    queue: VecDeque<Queued>,
    /// Tickets of own proposals that are not decided, by term and index: an index may be proposed again in a later term.
    tickets: BTreeMap<(u64, u64), u64>,
    writes: Writes,
    /// Last `Apply` given out.
    given: u64,
    /// Last index that the host has applied.
    applied: u64,
    role: (Option<u64>, u64, bool),
    next_tick: u64,
    size: LogSize,
}

/// What waits for `poll`.
enum Queued {
    Effect(Effect),
    /// An `Apply`, and the change of members that takes place when it is given out.
    Apply(Effect, Option<ConfChangeV2>),
}

/// Writes on their way to the disk.
#[derive(Default)]
struct Writes {
    /// Number and first index of those with entries that are not reported yet.
    pending: VecDeque<(u64, u64)>,
    /// Last number given out.
    issued: u64,
    /// Last number given out with `must_sync`.
    issued_sync: u64,
    /// Last number given out whose entries replace others. Nothing counts as persisted before it does: what an earlier
    /// write has put on the disk may be taken from it by this one.
    replacing: u64,
    /// Last number reported and counted.
    persisted: u64,
    /// Messages that may go once their number is persisted.
    held: VecDeque<(u64, Vec<Message>)>,
}

impl Consensus {
    /// A member as its log and state store remember it.
    pub fn new(start: Start, log: Arc<dyn LogReader>) -> Result<Self, StartError> {
        let (id, applied, last_index, seed) =
            (start.id, start.applied, start.last_index, start.seed);
        let (hard_state, members) = start.check(&*log)?;
        let config = Config {
            id,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: MESSAGE_BYTES,
            max_inflight_msgs: MESSAGES_IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: UNCOMMITTED_BYTES,
            max_committed_size_per_ready: APPLY_BYTES,
            ..Config::default()
        };
        let overlay = Overlay::new(
            log,
            last_index,
            wire::from_hard_state(hard_state),
            members.clone(),
        );
        // The engine says in its panics what is wrong; its chatter is not kept.
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, overlay, &logger)
            .map_err(|e| StartError::Members(e.to_string()))?;
        let mut consensus = Self {
            raw,
            seed,
            members,
            queue: VecDeque::new(),
            tickets: BTreeMap::new(),
            writes: Writes::default(),
            given: applied,
            applied,
            role: (None, hard_state.term, false),
            next_tick: 0,
            size: LogSize::default(),
        };
        consensus.set_election_timeout();
        consensus.campaign_if_alone();
        Ok(consensus)
    }

    /// Proposes a command; its `Apply` or `Rejected` carries the ticket. After a loss of leadership that takes until the
    /// next leader has committed something; a crash answers none.
    pub fn propose(&mut self, ticket: u64, payload: Vec<u8>) -> Result<(), ProposeError> {
        if self.raw.raft.state != StateRole::Leader {
            return Err(ProposeError::NotLeader {
                leader: self.leader(),
            });
        }
        // A leader drops a proposal for its size only: leadership is never transferred, and it is a member itself.
        self.raw
            .propose(Vec::new(), payload)
            .map_err(|_| ProposeError::Busy)?;
        let index = self.raw.raft.raft_log.last_index();
        self.tickets.insert((self.raw.raft.term, index), ticket);
        Ok(())
    }

    /// All writes up to this number are on the disk, synced, and the log's reader shows them. A number seen before changes
    /// nothing.
    ///
    /// # Panics
    /// If no `Persist` has had so high a number.
    pub fn on_persisted(&mut self, number: u64) {
        assert!(
            number <= self.writes.issued,
            "write {number} reported, but only {} given out",
            self.writes.issued
        );
        if number <= self.writes.persisted || number < self.writes.replacing {
            return;
        }
        self.writes.persisted = number;
        while self
            .writes
            .pending
            .front()
            .is_some_and(|write| write.0 <= number)
        {
            self.writes.pending.pop_front();
        }
        self.raw.on_persist_ready(number);
        while self
            .writes
            .held
            .front()
            .is_some_and(|held| held.0 <= number)
        {
            let (_, messages) = self.writes.held.pop_front().expect("just seen");
            self.send(messages);
        }
        self.release();
        self.set_election_timeout();
    }

    /// The state machine has applied everything up to this index, in memory at least.
    ///
    /// # Panics
    /// If no `Apply` has had so high an index.
    pub fn applied_to(&mut self, index: u64) {
        assert!(
            index <= self.given,
            "index {index} applied, but only {} given out",
            self.given
        );
        self.applied = self.applied.max(index);
        self.release();
    }

    /// Takes a message that `from` has sent with [`Effect::Send`].
    pub fn on_message(&mut self, from: u64, bytes: &[u8]) -> Result<(), MessageError> {
        let message = wire::decode(self.raw.raft.id, from, bytes)?;
        let stepped = self.raw.step(message);
        self.set_election_timeout();
        match stepped {
            Err(raft::Error::StepPeerNotFound) => Err(MessageError::NoMember(from)),
            // The engine refuses nothing else of these kinds that the sender or the host could act upon.
            _ => Ok(()),
        }
    }

    /// Time has passed; milliseconds of a clock that never goes back. However late it is, it counts as one tick: a pause of
    /// this member is no silence of the others.
    pub fn tick(&mut self, now_ms: u64) {
        if self.deadline().is_none_or(|deadline| now_ms < deadline) {
            return;
        }
        let late = now_ms - self.next_tick >= TICK_MILLIS;
        self.next_tick = if late { now_ms } else { self.next_tick } + TICK_MILLIS;
        self.raw.tick();
        self.set_election_timeout();
    }

    /// When `tick` has something to do, in milliseconds of its clock; 0 before the first one. `None` for a single voter.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        (!self.alone() || !self.members.learners.is_empty()).then_some(self.next_tick)
    }

    /// The next effect.
    pub fn poll(&mut self) -> Option<Effect> {
        loop {
            match self.queue.pop_front() {
                Some(Queued::Effect(effect)) => return Some(effect),
                Some(Queued::Apply(effect, change)) => {
                    if let Effect::Apply { index, .. } = effect {
                        self.give(index, change.as_ref());
                    }
                    return Some(effect);
                }
                None if self.raw.has_ready() => self.take_ready(),
                None => return None,
            }
        }
    }

    /// Up to which index the log is to be compacted, given that the state store is durable up to `durable_applied`: once the
    /// log holds 20,000 entries or 64 MiB it is cut down to 10,000 entries, or 32 MiB if those are fewer.
    #[must_use]
    pub fn compaction(&self, durable_applied: u64) -> Option<u64> {
        self.size
            .cut(self.raw.store().first(), durable_applied.min(self.given))
    }

    /// The members as of the last `Apply` given out, to be stored with its index and handed to the next [`Start`].
    #[must_use]
    pub fn conf_state(&self) -> Vec<u8> {
        self.members.encode_to_vec()
    }

    /// Whether this member leads, so takes proposals.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// The leader of the present term, if known.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        Some(self.raw.raft.leader_id).filter(|id| *id != raft::INVALID_ID)
    }

    /// How many entries are in memory because they are not persisted, or not applied as far as `applied_to` knows.
    #[must_use]
    pub fn entries_held(&self) -> usize {
        self.raw.store().held()
    }

    /// Turns what the engine has ready into effects: messages, entries to apply, entries to write.
    fn take_ready(&mut self) {
        let mut ready = self.raw.ready();
        self.note_role();
        let messages = ready.take_messages();
        self.send(messages);
        for entry in ready.take_committed_entries() {
            self.queue_apply(entry);
        }
        self.queue_write(&mut ready);
        let messages = ready.take_persisted_messages();
        if self.writes.persisted >= self.writes.issued_sync {
            self.send(messages);
        } else if !messages.is_empty() {
            self.writes
                .held
                .push_back((self.writes.issued_sync, messages));
        }
        self.raw.advance_append_async(ready);
    }

    fn note_role(&mut self) {
        let role = (self.leader(), self.raw.raft.term, self.is_leader());
        if role != self.role {
            self.role = role;
            let (leader, term, is_leader) = role;
            self.queue.push_back(Queued::Effect(Effect::Role {
                leader,
                term,
                is_leader,
            }));
        }
    }

    fn queue_apply(&mut self, entry: Entry) {
        let mut ticket = None;
        // Once an entry of a term is committed, no entry of an earlier term that is not committed can ever be, at whatever
        // index (Raft §5.4.3); so everything before this one is decided.
        while let Some(first) = self.tickets.first_entry()
            && *first.key() <= (entry.term, entry.index)
        {
            let ((term, index), proposed) = first.remove_entry();
            if (term, index) == (entry.term, entry.index) {
                ticket = Some(proposed);
            } else {
                let rejected = Effect::Rejected {
                    ticket: proposed,
                    reason: RejectReason::Superseded,
                };
                self.queue.push_back(Queued::Effect(rejected));
            }
        }
        let command = entry.get_entry_type() == raft::eraftpb::EntryType::EntryNormal;
        let change = wire::change_of_members(&entry);
        let Entry {
            index, term, data, ..
        } = entry;
        let payload = if command { data } else { Vec::new() };
        self.queue.push_back(Queued::Apply(
            Effect::Apply {
                index,
                term,
                ticket,
                payload,
            },
            change,
        ));
    }

    fn queue_write(&mut self, ready: &mut Ready) {
        let (number, must_sync) = (ready.number(), ready.must_sync());
        let hard_state = ready.hs().map(wire::to_hard_state);
        let entries = ready.take_entries();
        if entries.is_empty() && hard_state.is_none() {
            return;
        }
        let first = self.raw.store().first();
        for entry in &entries {
            self.size.append(entry.index, entry.data.len(), first);
        }
        let written = entries.iter().map(wire::to_log).collect();
        if let Some(entry) = entries.first() {
            self.writes.pending.push_back((number, entry.index));
        }
        self.writes.issued = number;
        if must_sync {
            self.writes.issued_sync = number;
        }
        if self.raw.mut_store().append(entries) {
            self.writes.replacing = number;
        }
        self.queue.push_back(Queued::Effect(Effect::Persist {
            number,
            entries: written,
            hard_state,
            must_sync,
        }));
    }

    /// An `Apply` is given out: from here on it counts as applied for the engine, and its change of members holds.
    fn give(&mut self, index: u64, change: Option<&ConfChangeV2>) {
        self.given = index;
        if let Some(change) = change {
            // A change that the engine refuses is refused by every member alike, and changes nothing.
            if let Ok(members) = self.raw.apply_conf_change(change) {
                self.members = members;
                self.members.voters.sort_unstable();
                self.members.learners.sort_unstable();
            }
        }
        self.raw.advance_apply_to(index);
        self.campaign_if_alone();
        self.set_election_timeout();
    }

    fn alone(&self) -> bool {
        self.members.voters == [self.raw.raft.id] && self.members.voters_outgoing.is_empty()
    }

    /// A single voter needs nobody's consent and no time-out. It waits until everything known to be committed has been
    /// given out: the engine would read all of it at once to look for changes of members.
    fn campaign_if_alone(&mut self) {
        let log = &self.raw.raft.raft_log;
        let caught_up = log.applied == log.committed && log.persisted == log.last_index();
        if self.alone() && caught_up && self.raw.raft.state == StateRole::Follower {
            self.raw
                .campaign()
                .expect("an election of one cannot be refused");
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let effect = Effect::Send {
                to: message.to,
                bytes: wire::encode(&message),
            };
            self.queue.push_back(Queued::Effect(effect));
        }
    }

    /// Forgets entries that are both on the disk to stay and applied.
    fn release(&mut self) {
        let persisted = self.raw.raft.raft_log.persisted;
        let pending = self
            .writes
            .pending
            .iter()
            .map(|write| write.1 - 1)
            .min()
            .unwrap_or(u64::MAX);
        let index = persisted.min(pending).min(self.applied);
        self.raw.mut_store().release(index);
    }

    /// The engine draws election time-outs from the thread's randomness; this puts a drawn one in its place, so that a run
    /// is a function of its seed and inputs. To be called whenever the engine may have changed role or term.
    fn set_election_timeout(&mut self) {
        let raft = &mut self.raw.raft;
        let mut drawn = self.seed;
        for part in [raft.id, raft.term, raft.state as u64] {
            drawn = mix(drawn ^ part);
        }
        let spread = drawn % ELECTION_TICKS as u64;
        raft.set_randomized_election_timeout(
            ELECTION_TICKS + usize::try_from(spread).expect("less than the ticks"),
        );
    }
}

/// One step of SplitMix64.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
