//! What the lock guards: engine and consensus, and the way between them.

use std::sync::{Arc, mpsc::Sender};

use nacrite_consensus::{Consensus, Effect, ProposeError};
use nacrite_core::{
    node::{
        input::{Input, Now, RejectReason},
        output::Output,
        reply::Answered,
    },
    view::Delta,
};
use nacrite_storage::Applied;
use tokio::sync::oneshot;

use super::{
    queues::{Control, Submission},
    waiting::{Request, Waiting},
};
use crate::{
    contents::Contents,
    engine::Runner,
    writers::{LogJob, StateJob},
};

/// Engine, consensus and the ways to the writers.
pub struct Inner {
    engine: Runner,
    consensus: Consensus,
    log: Sender<LogJob>,
    /// None once the drive is closed.
    state: Option<Sender<StateJob>>,
    waiting: Waiting,
    answers: Vec<(oneshot::Sender<Answered>, Answered)>,
    /// Entry that the engine was last given: index, term and content, until its `Store` comes out.
    applying: std::collections::VecDeque<(Applied, Option<Arc<[u8]>>)>,
    applied: u64,
    replayed: Replayed,
    ready: bool,
    progress: Progress,
}

/// What consensus has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Commands proposed.
    pub proposals: u64,
    /// Entries committed.
    pub commits: u64,
    /// Proposals rejected.
    pub rejected: u64,
    /// Whether this node leads.
    pub leading: bool,
    /// In which term.
    pub term: u64,
    /// Index of the last entry applied.
    pub applied: u64,
}

/// Up to where the log must be replayed before clients are served.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// Last index of the log at start.
    pub last: u64,
    /// Index that the restored rows are at.
    pub from: u64,
}

/// A log entry: the length of its command, the command, and the content that goes with it.
fn join(command: &[u8], content: Option<&[u8]>) -> Vec<u8> {
    let content = content.unwrap_or_default();
    let mut payload = Vec::with_capacity(4 + command.len() + content.len());
    payload.extend(
        u32::try_from(command.len())
            .expect("a command has less than 4 GiB")
            .to_le_bytes(),
    );
    payload.extend(command);
    payload.extend(content);
    payload
}

/// Takes apart what [`join`] made. An empty entry changes nothing.
pub(crate) fn split(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    if payload.is_empty() {
        return Some((&[], &[]));
    }
    let (length, rest) = payload.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

impl Inner {
    /// Joins what start-up has opened.
    #[must_use]
    pub fn new(
        engine: Runner,
        consensus: Consensus,
        log: Sender<LogJob>,
        state: Sender<StateJob>,
        replayed: Replayed,
    ) -> Self {
        Self {
            engine,
            consensus,
            log,
            state: Some(state),
            waiting: Waiting::default(),
            answers: Vec::new(),
            applying: std::collections::VecDeque::new(),
            applied: replayed.from,
            replayed,
            ready: false,
            progress: Progress::default(),
        }
    }

    /// Index up to which the core has applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Whether the log is replayed to the end that it had at start, under a leader.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// What consensus has done.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            applied: self.applied,
            ..self.progress
        }
    }

    /// When the engine wants a tick.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.engine.deadline()
    }

    /// Requests that are not answered yet, parked polls among them.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.waiting.len()
    }

    /// Nothing is stored from here on; the state's writer writes what it has and ends.
    pub fn close(&mut self) {
        self.state = None;
    }

    /// What runs the node.
    pub fn engine(&mut self) -> &mut Runner {
        &mut self.engine
    }

    /// A node that must stop does so as one that panics: the drive ends the process with the reason.
    fn run(&mut self, inputs: Vec<(Now, Input)>) -> Vec<Output> {
        self.engine
            .run(inputs)
            .unwrap_or_else(|stopped| panic!("{stopped}"))
    }

    /// Works on a batch until engine and consensus have no more to say.
    pub(super) fn work(
        &mut self,
        now: Now,
        controls: Vec<Control>,
        requests: Vec<Submission>,
        contents: &Contents,
        deltas: &mut Vec<Delta>,
        leaving: &mut Vec<Output>,
    ) {
        let mut inputs = Vec::with_capacity(controls.len() + requests.len() + 1);
        let mut tick = false;
        for control in controls {
            match control {
                // Requests that had arrived when the deadline passed go first.
                Control::Input(Input::Tick) => tick = true,
                Control::Input(input) => inputs.push((now, input)),
                Control::Persisted(number) => self.consensus.on_persisted(number),
                Control::Durable(index) => {
                    if let Some(to) = self.consensus.compaction(index) {
                        // The writer ends only with the process.
                        let _ = self.log.send(LogJob::Compact(to));
                    }
                }
            }
        }
        for Submission {
            id,
            origin,
            op,
            content,
            reply,
        } in requests
        {
            self.waiting.insert(id, Request { reply, content });
            inputs.push((now, Input::Request { id, origin, op }));
        }
        if tick {
            inputs.push((now, Input::Tick));
        }
        loop {
            self.turn_consensus(now, contents, &mut inputs);
            if inputs.is_empty() {
                break;
            }
            for output in self.run(std::mem::take(&mut inputs)) {
                self.take(now, output, &mut inputs, deltas, leaving);
            }
        }
    }

    /// What consensus has to say becomes jobs of the writers and inputs of the engine.
    fn turn_consensus(&mut self, now: Now, contents: &Contents, inputs: &mut Vec<(Now, Input)>) {
        while let Some(effect) = self.consensus.poll() {
            match effect {
                Effect::Persist {
                    number,
                    entries,
                    hard_state,
                    must_sync,
                } => {
                    let _ = self.log.send(LogJob::Append {
                        number,
                        entries,
                        hard_state,
                        sync: must_sync,
                    });
                }
                Effect::Apply {
                    index,
                    term,
                    ticket,
                    payload,
                } => {
                    let (command, content) = split(&payload).expect("an entry is what `join` made");
                    let content = (!content.is_empty()).then(|| Arc::<[u8]>::from(content));
                    if let Some(bytes) = &content {
                        contents.pin(index, bytes.clone());
                    }
                    self.applying.push_back((Applied { index, term }, content));
                    let command = command.to_vec();
                    inputs.push((
                        now,
                        Input::Committed {
                            index,
                            proposal: ticket,
                            command,
                        },
                    ));
                }
                Effect::Role {
                    term, is_leader, ..
                } => {
                    self.progress.leading = is_leader;
                    self.progress.term = term;
                    inputs.push((
                        now,
                        Input::Role {
                            leader: is_leader,
                            term,
                        },
                    ));
                }
                Effect::Rejected { ticket, .. } => {
                    self.progress.rejected += 1;
                    inputs.push((
                        now,
                        Input::Rejected {
                            proposal: ticket,
                            reason: RejectReason::NotLeader,
                        },
                    ));
                }
                // A single voter has nobody to write to.
                Effect::Send { .. } => {}
            }
        }
    }

    fn take(
        &mut self,
        now: Now,
        output: Output,
        inputs: &mut Vec<(Now, Input)>,
        deltas: &mut Vec<Delta>,
        leaving: &mut Vec<Output>,
    ) {
        match output {
            Output::Reply { id, result } => {
                if let Some(reply) = self.waiting.remove(id) {
                    self.answers.push((reply, result));
                }
            }
            Output::Propose {
                proposal,
                request,
                command,
            } => {
                let content = self.waiting.take_content(request);
                match self
                    .consensus
                    .propose(proposal, join(&command, content.as_deref()))
                {
                    Ok(()) => self.progress.proposals += 1,
                    Err(error) => {
                        self.progress.rejected += 1;
                        let reason = match error {
                            ProposeError::NotLeader { .. } => RejectReason::NotLeader,
                            ProposeError::Busy => RejectReason::Busy,
                        };
                        inputs.push((now, Input::Rejected { proposal, reason }));
                    }
                }
            }
            Output::Store { applied, rows } => {
                let (entry, content) = self
                    .applying
                    .pop_front()
                    .expect("every entry is stored once, in order");
                assert_eq!(entry.index, applied, "entries are stored in order");
                self.applied = applied;
                self.progress.commits += 1;
                self.consensus.applied_to(applied);
                if let Some(state) = &self.state {
                    // The writer ends only with the process, or after `close`.
                    let _ = state.send(StateJob {
                        applied: entry,
                        rows,
                        content,
                    });
                }
                if !self.ready && self.progress.leading && applied >= self.replayed.last {
                    self.ready = true;
                    inputs.push((now, Input::Ready));
                }
            }
            Output::View(delta) => deltas.push(delta),
            Output::Push { .. }
            | Output::Datagram { .. }
            | Output::Close { .. }
            | Output::Probe { .. } => {
                leaving.push(output);
            }
        }
    }

    /// Releases the replies of the batch; after its views are published.
    pub(super) fn answer(&mut self) {
        for (reply, result) in self.answers.drain(..) {
            // A caller that went away does not hear it.
            let _ = reply.send(result);
        }
    }

    /// Gives the engine rows of the state store, at start.
    pub fn restore(&mut self, now: Now, input: Input, deltas: &mut Vec<Delta>) {
        let outputs = self.run(vec![(now, input)]);
        deltas.extend(outputs.into_iter().filter_map(|output| match output {
            Output::View(delta) => Some(delta),
            _ => None,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_taken_apart_as_it_was_joined() {
        assert_eq!(
            split(&join(b"cmd", Some(b"content"))),
            Some((&b"cmd"[..], &b"content"[..]))
        );
        assert_eq!(split(&join(b"cmd", None)), Some((&b"cmd"[..], &b""[..])));
        assert_eq!(split(b""), Some((&b""[..], &b""[..])));
        assert_eq!(split(&[9, 0, 0, 0, 1]), None);
        assert_eq!(split(&[1, 2]), None);
    }
}
