//! The host that these tests drive members with, and the promises that it checks on the way.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use nacrite_consensus::{Consensus, Effect, ProposeError, Start, StartError};
use nacrite_storage::{Compacted, Entry, Error, HardState, LogReader};

/// A log in memory that holds what has been written to the disk.
#[derive(Default)]
pub(crate) struct MemLog {
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    compacted: Compacted,
    entries: Vec<Entry>,
    /// Most payload bytes that one read has returned.
    largest_read: u64,
}

impl Content {
    fn last(&self) -> u64 {
        self.compacted.index + self.entries.len() as u64
    }

    fn get(&self, index: u64) -> Option<&Entry> {
        self.entries
            .get(usize::try_from(index.checked_sub(self.compacted.index + 1)?).ok()?)
    }

    fn missing(&self, index: u64) -> Error {
        Error::OutOfLog {
            index,
            first: self.compacted.index + 1,
            last: self.last(),
        }
    }
}

impl MemLog {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no reader panics")
    }

    /// Appends, cutting what is replaced.
    pub(crate) fn write(&self, entries: &[Entry]) {
        let mut content = self.content();
        for entry in entries {
            assert!(
                entry.index > content.compacted.index && entry.index <= content.last() + 1,
                "a gap in the log"
            );
            let at = usize::try_from(entry.index - content.compacted.index - 1).expect("small");
            content.entries.truncate(at);
            content.entries.push(entry.clone());
        }
    }

    pub(crate) fn compact(&self, index: u64) {
        let mut content = self.content();
        let Some(term) = content.get(index).map(|entry| entry.term) else {
            return;
        };
        let gone = usize::try_from(index - content.compacted.index).expect("small");
        content.entries.drain(..gone);
        content.compacted = Compacted { index, term };
    }

    pub(crate) fn compacted(&self) -> Compacted {
        self.content().compacted
    }

    pub(crate) fn largest_read(&self) -> u64 {
        self.content().largest_read
    }
}

impl LogReader for MemLog {
    fn entries(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, Error> {
        let mut content = self.content();
        let (mut found, mut size) = (Vec::new(), 0);
        for index in low..high {
            let entry = content.get(index).ok_or_else(|| content.missing(index))?;
            size += entry.payload.len() as u64;
            found.push(entry.clone());
            if size > max_bytes {
                break;
            }
        }
        content.largest_read = content.largest_read.max(size);
        Ok(found)
    }

    fn term(&self, index: u64) -> Result<u64, Error> {
        let content = self.content();
        if index == content.compacted.index {
            return Ok(content.compacted.term);
        }
        content
            .get(index)
            .map(|entry| entry.term)
            .ok_or_else(|| content.missing(index))
    }

    fn first_index(&self) -> u64 {
        self.content().compacted.index + 1
    }

    fn last_index(&self) -> u64 {
        self.content().last()
    }
}

/// SplitMix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

struct Write {
    number: u64,
    entries: Vec<Entry>,
    hard_state: Option<HardState>,
}

/// What is applied at an index, whoever applies it: the first to do so decides.
pub(crate) type Chosen = Rc<RefCell<BTreeMap<u64, (u64, Vec<u8>)>>>;

/// A member with its disk and its state machine.
pub(crate) struct Host {
    pub(crate) id: u64,
    voters: Vec<u64>,
    seed: u64,
    pub(crate) log: Arc<MemLog>,
    pub(crate) hard_state: HardState,
    queued: VecDeque<Write>,
    /// Applied payloads from index 1 on; survives a crash up to `durable`.
    pub(crate) state: Vec<Vec<u8>>,
    pub(crate) durable: u64,
    /// `conf_state` by the index of the change.
    members: BTreeMap<u64, Vec<u8>>,
    pub(crate) consensus: Option<Consensus>,
    chosen: Chosen,
    /// Proposals of this run that are not answered.
    pub(crate) open: BTreeMap<u64, Vec<u8>>,
    /// Proposals that were acknowledged, by index.
    pub(crate) acknowledged: BTreeMap<u64, Vec<u8>>,
    pub(crate) rejected: u64,
    /// Terms that this member has led.
    pub(crate) led: Vec<u64>,
    /// Every effect, as text.
    pub(crate) trace: Vec<String>,
    pub(crate) persists: u64,
}

impl Host {
    pub(crate) fn new(id: u64, voters: &[u64], seed: u64, chosen: Chosen) -> Self {
        Self {
            id,
            voters: voters.to_vec(),
            seed,
            log: Arc::new(MemLog::default()),
            hard_state: HardState::default(),
            queued: VecDeque::new(),
            state: Vec::new(),
            durable: 0,
            members: BTreeMap::new(),
            consensus: None,
            chosen,
            open: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            rejected: 0,
            led: Vec::new(),
            trace: Vec::new(),
            persists: 0,
        }
    }

    pub(crate) fn start(&mut self) -> Result<(), StartError> {
        let start = Start {
            id: self.id,
            voters: self.voters.clone(),
            conf_state: self
                .members
                .range(..=self.durable)
                .next_back()
                .map(|(_, bytes)| bytes.clone()),
            hard_state: self.hard_state,
            compacted: self.log.compacted(),
            last_index: self.log.last_index(),
            applied: self.durable,
            seed: self.seed,
        };
        self.consensus = Some(Consensus::new(start, self.log.clone())?);
        Ok(())
    }

    pub(crate) fn running(&mut self) -> &mut Consensus {
        self.consensus.as_mut().expect("the member runs")
    }

    pub(crate) fn propose(&mut self, ticket: u64, payload: Vec<u8>) -> Result<(), ProposeError> {
        self.running().propose(ticket, payload.clone())?;
        self.open.insert(ticket, payload);
        Ok(())
    }

    /// Takes one effect, checks what it promises and does it, but for the sending.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        let effect = self.running().poll()?;
        self.trace.push(format!("{} {effect:?}", self.id));
        match &effect {
            Effect::Persist {
                number,
                entries,
                hard_state,
                must_sync,
            } => {
                self.persists += 1;
                assert!(
                    self.queued
                        .back()
                        .is_none_or(|write| write.number < *number),
                    "numbers grow"
                );
                assert!(*must_sync || entries.is_empty(), "entries are synced");
                assert!(
                    hard_state.is_some() || !entries.is_empty(),
                    "an empty write"
                );
                self.queued.push_back(Write {
                    number: *number,
                    entries: entries.clone(),
                    hard_state: *hard_state,
                });
            }
            Effect::Apply {
                index,
                term,
                ticket,
                payload,
            } => {
                assert_eq!(*index, self.state.len() as u64 + 1, "applied without gaps");
                let mut chosen = self.chosen.borrow_mut();
                let decided = chosen.entry(*index).or_insert((*term, payload.clone()));
                assert_eq!(
                    *decided,
                    (*term, payload.clone()),
                    "one entry at index {index}"
                );
                self.state.push(payload.clone());
                if let Some(ticket) = ticket {
                    let proposed = self
                        .open
                        .remove(ticket)
                        .expect("a ticket of this run, answered once");
                    assert_eq!(proposed, *payload);
                    assert_eq!(
                        self.log
                            .term(*index)
                            .expect("applied entries are on the disk"),
                        *term
                    );
                    self.acknowledged.insert(*index, proposed);
                }
                let members = self.consensus.as_ref().expect("runs").conf_state();
                if self.members.values().next_back() != Some(&members) {
                    self.members.insert(*index, members);
                }
            }
            Effect::Rejected { ticket, .. } => {
                self.open
                    .remove(ticket)
                    .expect("a ticket of this run, answered once");
                self.rejected += 1;
            }
            Effect::Role {
                term, is_leader, ..
            } => {
                if *is_leader {
                    self.led.push(*term);
                }
            }
            Effect::Send { .. } => {}
        }
        Some(effect)
    }

    /// Polls until nothing is left; what is to be sent.
    pub(crate) fn drain(&mut self) -> Vec<(u64, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(effect) = self.poll() {
            if let Effect::Send { to, bytes } = effect {
                sent.push((to, bytes));
            }
        }
        sent
    }

    fn write(&mut self, count: usize) -> Option<u64> {
        let mut last = None;
        for write in self.queued.drain(..count.min(self.queued.len())) {
            self.log.write(&write.entries);
            self.hard_state = write.hard_state.unwrap_or(self.hard_state);
            last = Some(write.number);
        }
        last
    }

    /// The writer writes and syncs the first writes that wait, and reports the last of them.
    pub(crate) fn sync(&mut self, count: usize) {
        if let Some(number) = self.write(count) {
            self.running().on_persisted(number);
        }
    }

    pub(crate) fn applied(&mut self) {
        let index = self.state.len() as u64;
        self.running().applied_to(index);
    }

    /// The state store is made durable.
    pub(crate) fn make_durable(&mut self) {
        self.durable = self.state.len() as u64;
    }

    /// The process ends; this many of the writes that wait had reached the disk without having been reported.
    pub(crate) fn crash(&mut self, written: usize) {
        self.consensus = None;
        self.write(written);
        self.queued.clear();
        self.open.clear();
        self.state
            .truncate(usize::try_from(self.durable).expect("small"));
        self.members.split_off(&(self.durable + 1));
    }

    /// Runs until nothing is left to do, alone.
    pub(crate) fn settle(&mut self) {
        loop {
            let sent = self.drain();
            assert!(sent.is_empty(), "a single voter talks to nobody");
            if self.queued.is_empty() {
                break;
            }
            self.sync(usize::MAX);
        }
        self.applied();
    }
}
