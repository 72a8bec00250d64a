//! What the simulator drives: a whole member, however it is made.
//!
//! `tests` brings the server's own drive, consensus and writers over a simulated disk; [`Solo`] is a node with a log in
//! memory, which is enough for a browser and for comparing engines.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    sync::Arc,
    vec,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    log::{Row, RowWrite, Table},
    node::{
        Node, NodeSettings,
        input::{Input, Now, Origin},
        op::Op,
        output::Output,
    },
    view::{Delta, Reading, SHARDS, Settled, Shard, Shards},
};

/// Something that reaches a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Arrival {
    /// A request.
    Request {
        /// Its number, never used twice.
        id: u64,
        /// Who asks.
        origin: Origin,
        /// What for.
        op: Op,
        /// Content of a publish.
        content: Option<Vec<u8>>,
    },
    /// The caller of a parked poll went away.
    Gone {
        /// Number of its request.
        id: u64,
    },
    /// Anything else that its host tells a node: connections, acknowledgements, ticks.
    Told(Input),
}

/// Work that a member does beside its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Writes the log as far as it waits, and says so.
    Log,
    /// Brings the state store up by some entries.
    State {
        /// Entries at most.
        most: usize,
        /// Whether it is made durable.
        due: bool,
    },
}

/// A member of a simulated world.
pub trait Member {
    /// What its readers see.
    type View: Reading;

    /// Takes in what arrived together, as its host would: first what is told, then requests, a tick last; and gives what
    /// leaves it. Replies come in any order.
    fn handle(&mut self, now: Now, arrivals: Vec<Arrival>) -> Vec<Output>;

    /// When it wants a tick, on the monotonic clock.
    fn deadline(&mut self) -> Option<u64>;

    /// Does some of its own work; what leaves it then.
    ///
    /// # Errors
    /// What its disk says.
    fn work(&mut self, now: Now, work: Work) -> Result<Vec<Output>, String>;

    /// The power goes, and it starts again from what `seed` leaves of what was not synced.
    ///
    /// # Errors
    /// Why it does not start.
    fn restart(&mut self, now: Now, seed: u64) -> Result<(), String>;

    /// What its readers see now.
    fn view(&self) -> &Self::View;

    /// The content of a log index.
    ///
    /// # Errors
    /// What its disk says.
    fn content(&self, index: u64) -> Result<Option<Vec<u8>>, String>;
}

/// What runs a node: natively, or as wasm.
pub trait Core {
    /// Handles the inputs in order, then drains the node.
    fn batch(&mut self, inputs: Vec<(Now, Input)>) -> Vec<Output>;
    /// When the node wants a tick.
    fn deadline(&mut self) -> Option<u64>;
}

impl Core for Node {
    fn batch(&mut self, inputs: Vec<(Now, Input)>) -> Vec<Output> {
        for (now, input) in inputs {
            self.handle(now, input);
        }
        core::iter::from_fn(|| self.poll()).collect()
    }

    fn deadline(&mut self) -> Option<u64> {
        Node::deadline(self)
    }
}

/// A view without locks.
#[derive(Debug)]
pub struct SoloView {
    shards: Vec<Shard>,
    settled: Settled,
}

impl Default for SoloView {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            settled: Settled::default(),
        }
    }
}

impl SoloView {
    /// Takes over a change.
    pub fn apply(&mut self, delta: Delta) {
        match delta.shard() {
            Some(shard) => self.shards[shard].apply(delta),
            None => self.settled.apply(delta),
        }
    }
}

impl Shards for SoloView {
    fn read<R>(&self, shard: usize, look: impl FnOnce(&Shard) -> R) -> R {
        look(&self.shards[shard])
    }

    fn settled<R>(&self, look: impl FnOnce(&Settled) -> R) -> R {
        look(&self.settled)
    }
}

/// A proposal that is not on disk yet.
#[derive(Debug)]
struct Proposed {
    proposal: u64,
    command: Vec<u8>,
    content: Vec<u8>,
}

/// A node with a log, rows and contents in memory, which keep what a real disk would.
pub struct Solo<C> {
    core: C,
    start: fn(&NodeSettings) -> C,
    settings: NodeSettings,
    view: SoloView,
    /// Contents of requests that are not proposed yet.
    held: BTreeMap<u64, Vec<u8>>,
    proposed: VecDeque<Proposed>,
    /// Committed entries whose rows are not stored yet.
    log: VecDeque<(u64, Vec<u8>)>,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// Rows of the entries after `stored`.
    unsaved: VecDeque<(u64, Vec<RowWrite>)>,
    contents: BTreeMap<u64, Arc<[u8]>>,
    last: u64,
    stored: u64,
}

impl<C: Core> Solo<C> {
    /// A member that starts with nothing.
    #[must_use]
    pub fn new(settings: &NodeSettings, now: Now, start: fn(&NodeSettings) -> C) -> Self {
        let mut solo = Self {
            core: start(settings),
            start,
            settings: settings.clone(),
            view: SoloView::default(),
            held: BTreeMap::new(),
            proposed: VecDeque::new(),
            log: VecDeque::new(),
            rows: BTreeMap::new(),
            unsaved: VecDeque::new(),
            contents: BTreeMap::new(),
            last: 0,
            stored: 0,
        };
        solo.begin(now);
        solo
    }

    /// What runs the node.
    pub fn core(&self) -> &C {
        &self.core
    }

    /// Whether something is proposed that is not on disk yet.
    pub fn proposes(&self) -> bool {
        !self.proposed.is_empty()
    }

    /// The content of a log index.
    pub fn content_of(&self, index: u64) -> Option<Arc<[u8]>> {
        self.contents.get(&index).cloned()
    }

    /// Keys and values of all rows that are stored.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|((_, key), value)| (&**key, &**value))
    }

    /// The stored rows of a table whose keys begin so.
    pub fn rows_of(&self, table: Table, prefix: &[u8]) -> Vec<Row> {
        let from = self.rows.range((table, prefix.to_vec())..);
        from.take_while(|((of, key), _)| *of == table && key.starts_with(prefix))
            .map(|((table, key), value)| Row {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            })
            .collect()
    }

    /// A command that somebody else proposed is committed; what leaves then.
    pub fn commit(&mut self, now: Now, command: Vec<u8>) -> Vec<Output> {
        self.last += 1;
        self.log.push_back((self.last, command.clone()));
        let committed = Input::Committed {
            index: self.last,
            proposal: None,
            command,
        };
        self.run(vec![(now, committed)])
    }

    /// Rows, then the log's end, then readiness.
    fn begin(&mut self, now: Now) {
        let restored = self.rows.iter().filter(|((table, _), _)| table.restored());
        let rows: Vec<Row> = restored
            .map(|((table, key), value)| Row {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        let applied = self.stored;
        let leader = Input::Role {
            leader: true,
            term: 1,
        };
        let replay = core::mem::take(&mut self.log);
        let mut inputs = vec![Input::Restore { rows, applied }, leader];
        inputs.extend(replay.iter().map(|(index, command)| Input::Committed {
            index: *index,
            proposal: None,
            command: command.clone(),
        }));
        self.log = replay;
        inputs.push(Input::Ready);
        let left = self.run(inputs.into_iter().map(|input| (now, input)).collect());
        debug_assert!(left.is_empty(), "nobody is there yet");
    }

    /// A batch; what concerns log, rows and readers is carried out, the rest leaves.
    fn run(&mut self, inputs: Vec<(Now, Input)>) -> Vec<Output> {
        let mut leaving = Vec::new();
        for output in self.core.batch(inputs) {
            match output {
                Output::Propose {
                    proposal,
                    request,
                    command,
                } => self.proposed.push_back(Proposed {
                    proposal,
                    command,
                    content: self.held.remove(&request).unwrap_or_default(),
                }),
                Output::Store { applied, rows } => self.unsaved.push_back((applied, rows)),
                Output::View(delta) => self.view.apply(delta),
                Output::Reply { id, .. } => {
                    self.held.remove(&id);
                    leaving.push(output);
                }
                _ => leaving.push(output),
            }
        }
        leaving
    }

    fn save(&mut self, rows: Vec<RowWrite>) {
        for write in rows {
            match write {
                RowWrite::Put { row, .. } => {
                    drop(self.rows.insert((row.table, row.key), row.value));
                }
                RowWrite::Delete { table, key } => drop(self.rows.remove(&(table, key))),
                RowWrite::Cut { index, to, rows } => {
                    let range = (index, Vec::new())..(index, to);
                    let cut: Vec<_> = self.rows.range(range).map(|(key, _)| key.clone()).collect();
                    for key in cut {
                        if let Some(of) = self.rows.remove(&key) {
                            self.rows.remove(&(rows, of));
                        }
                    }
                }
            }
        }
    }

    /// Entries that are on disk from now on, with the proposals that they were.
    fn append(&mut self, count: usize) -> Vec<(u64, Input)> {
        let entries: Vec<Proposed> = self.proposed.drain(..count).collect();
        let mut committed = Vec::new();
        for Proposed {
            proposal,
            command,
            content,
        } in entries
        {
            self.last += 1;
            self.contents.insert(self.last, content.into());
            self.log.push_back((self.last, command.clone()));
            let input = Input::Committed {
                index: self.last,
                proposal: Some(proposal),
                command,
            };
            committed.push((self.last, input));
        }
        committed
    }
}

impl<C: Core> Member for Solo<C> {
    type View = SoloView;

    fn handle(&mut self, now: Now, arrivals: Vec<Arrival>) -> Vec<Output> {
        let (mut inputs, mut requests, mut tick) = (Vec::new(), Vec::new(), None);
        for arrival in arrivals {
            match arrival {
                Arrival::Told(Input::Tick) => tick = Some((now, Input::Tick)),
                Arrival::Told(input) => inputs.push((now, input)),
                Arrival::Gone { id } => inputs.push((now, Input::Gone { id })),
                Arrival::Request {
                    id,
                    origin,
                    op,
                    content,
                } => {
                    if let Some(content) = content {
                        self.held.insert(id, content);
                    }
                    requests.push((now, Input::Request { id, origin, op }));
                }
            }
        }
        inputs.extend(requests);
        inputs.extend(tick);
        self.run(inputs)
    }

    fn deadline(&mut self) -> Option<u64> {
        self.core.deadline()
    }

    fn work(&mut self, now: Now, work: Work) -> Result<Vec<Output>, String> {
        match work {
            Work::Log => {
                let committed = self.append(self.proposed.len());
                let inputs = committed.into_iter().map(|(_, input)| (now, input));
                Ok(self.run(inputs.collect()))
            }
            Work::State { most, .. } => {
                for _ in 0..most {
                    let Some((applied, rows)) = self.unsaved.pop_front() else {
                        break;
                    };
                    self.save(rows);
                    self.stored = applied;
                    self.log.retain(|(index, _)| *index > applied);
                }
                Ok(Vec::new())
            }
        }
    }

    fn restart(&mut self, now: Now, seed: u64) -> Result<(), String> {
        // Any beginning of what was being written may have reached the disk.
        let kept = seed % (self.proposed.len() as u64 + 1);
        self.append(usize::try_from(kept).unwrap_or_default());
        self.proposed.clear();
        self.held.clear();
        self.unsaved.clear();
        self.view = SoloView::default();
        self.core = (self.start)(&self.settings);
        self.begin(now);
        Ok(())
    }

    fn view(&self) -> &SoloView {
        &self.view
    }

    fn content(&self, index: u64) -> Result<Option<Vec<u8>>, String> {
        Ok(self.contents.get(&index).map(|content| content.to_vec()))
    }
}
