//! One member as a whole: everything that happens goes in as [`Input`], everything it asks for comes out as [`Output`].
//!
//! Who drives a node (a server's thread, a wasm engine, a simulator, a browser) does this and nothing else:
//!
//! 1. Read both clocks.
//! 2. [`Node::handle`] each input that waits, in order: exactly one change each.
//! 3. [`Node::poll`] until it gives nothing: views of the whole batch come before its replies.
//! 4. Carry out the outputs. Proposals come back as `Committed` or `Rejected`, in the order of the log.
//! 5. Come back with the next input, or with `Tick` when the time of [`Node::deadline`] has come.
//! 6. Never call `handle` between two `poll`s of one drain.
//!
//! What a node knows is of two kinds. *Durable* is a function of the log alone and mirrored row by row to the state
//! store. *Volatile* are clients, connections, subscriptions, polls and timers; it never leaves the node but for engine
//! swaps and recordings.

pub mod input;
mod lateness;
pub mod op;
pub mod output;
mod questions;
pub mod reply;
mod secrets;
mod snapshot;
mod step;

use alloc::{collections::BTreeMap, collections::VecDeque, vec::Vec};

use serde::{Deserialize, Serialize};

use self::{
    input::{Input, Now, Origin, RejectReason},
    lateness::Lateness,
    op::Op,
    output::Output,
    reply::{Answered, Refusal, Reply},
};
pub use self::{
    snapshot::Damaged,
    step::{Step, Turn},
};
use crate::{
    config::{Configs, Quotas, WatchLimits, Watchers},
    lock::Locks,
    log::{Command, Row, RowWrite, Table},
    namespaces::Namespaces,
    naming::Naming,
    plugins::Plugins,
    policies::Policies,
    push::{Push, PushLimits},
    view::Delta,
};

/// Number of the shape of [`Input`] and [`Output`]: recordings and engines of another number are refused.
pub const SCHEMA: u32 = 2;

/// Number of what a node's state holds, grown with it: an engine takes over from one of its own number or an older one,
/// since a newer one's state holds what it does not know.
pub const STATE: u32 = 3;

/// While requests are refused, how often the silence of UDP subscribers is excused, milliseconds: more often than any
/// of them can time out.
const EXCUSE_EVERY_MS: u64 = 5_000;

/// Limits and settings of a node, fixed for its life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeSettings {
    /// Seed of the node's generator; random in production.
    pub seed: u64,
    /// Quotas that bind the publishes which this node proposes; none if they are counted only.
    pub quotas: Option<Quotas>,
    /// Bounds of polls and listens.
    pub watch: WatchLimits,
    /// Bounds and delays of pushes.
    pub push: PushLimits,
    /// Days that history is kept.
    pub retention_days: u32,
    /// Locks that may be held, at most.
    pub max_locks: u32,
    /// Namespaces, at most.
    pub max_namespaces: u32,
}

/// One member. See the module's head for how it is driven. A clone goes on as the original would; large values are shared.
#[derive(Clone, Debug)]
pub struct Node {
    naming: Naming,
    configs: Configs,
    namespaces: Namespaces,
    locks: Locks,
    policies: Policies,
    plugins: Plugins,
    watchers: Watchers,
    push: Push,
    lateness: Lateness,
    /// Requests by the number of their proposal.
    pending: BTreeMap<u64, u64>,
    next_proposal: u64,
    /// Stamp of the last command, so that stamps never go back.
    stamp: u64,
    leader: bool,
    ready: bool,
    /// Whether the host refuses requests as "busy".
    busy: bool,
    /// When silence was last excused while busy, monotonic milliseconds.
    excused: u64,
    random: u64,
    now: Now,
    dirty: bool,
    /// Outputs that need not wait for the end of the batch.
    first: VecDeque<Output>,
    /// Outputs that come after the batch's views.
    last: VecDeque<Output>,
}

impl Node {
    /// A node that knows nothing yet.
    #[must_use]
    pub fn new(settings: &NodeSettings) -> Self {
        Self {
            naming: {
                let mut naming = Naming::new();
                naming.seed(settings.seed);
                naming
            },
            configs: Configs::new(settings.quotas, settings.retention_days),
            namespaces: Namespaces::new(settings.max_namespaces),
            locks: Locks::new(settings.max_locks),
            policies: Policies::new(),
            plugins: Plugins::new(),
            watchers: Watchers::new(settings.watch),
            push: Push::new(settings.push.clone()),
            lateness: Lateness::default(),
            pending: BTreeMap::new(),
            next_proposal: 1,
            stamp: 0,
            leader: false,
            ready: false,
            busy: false,
            excused: 0,
            random: settings.seed,
            now: Now::default(),
            dirty: false,
            first: VecDeque::new(),
            last: VecDeque::new(),
        }
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        debug_assert!(now.mono >= self.now.mono, "the monotonic clock went back");
        if self.lateness.is_pause(now.mono, self.deadline()) {
            self.naming.beats_start_again(now);
            self.push.excuse_silence(now);
        }
        self.now = now;
        self.naming.at(now);
        self.dirty = true;
        match input {
            Input::Request { id, origin, op } => self.request(id, &origin, op),
            Input::Connected { conn, details } => {
                self.naming.connected(conn, &details, now);
                self.push.connected(conn, &details, now);
            }
            Input::Disconnected { conn } => {
                self.naming.disconnected(conn, now);
                self.push.disconnected(conn);
                self.watchers.disconnected(conn);
            }
            Input::Ack {
                conn,
                push,
                outcome,
            } => self.push.ack(conn, push, outcome, now),
            Input::UdpAck { ip, port, push } => self.push.udp_ack(&ip, port, push, now),
            Input::Committed {
                index,
                proposal,
                command,
            } => self.committed(index, proposal, &command),
            Input::Rejected { proposal, reason } => {
                let refusal = match reason {
                    RejectReason::NotLeader => Refusal::NoLeader,
                    RejectReason::Busy => Refusal::Busy,
                };
                self.finish(proposal, Err(refusal));
            }
            Input::Role { leader, .. } => {
                self.leader = leader;
                self.configs.role(leader, now);
            }
            Input::Restore { rows, .. } => rows.iter().for_each(|row| self.restore(row)),
            Input::Ready => {
                self.ready = true;
                self.stamp = self.stamp.max(self.newest_stamp());
                self.naming.restored();
            }
            Input::Tick => self.tick(),
            Input::Probed {
                probe,
                outcome,
                took_ms,
            } => {
                self.naming.probed(probe, &outcome, took_ms, now);
            }
            Input::Overloaded(busy) => {
                self.naming.overloaded(busy, now);
                if self.busy && !busy {
                    self.push.excuse_silence(now);
                }
                self.busy = busy;
            }
            Input::Gone { id } => self.watchers.gone(id),
        }
    }

    /// The next output; none once all of the batch are out.
    pub fn poll(&mut self) -> Option<Output> {
        if self.dirty {
            self.dirty = false;
            self.settle();
        }
        self.first.pop_front().or_else(|| self.last.pop_front())
    }

    /// When the node wants a `Tick`, on the monotonic clock in milliseconds; none if nothing waits for a time.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if !self.ready {
            return None;
        }
        let deadlines = [
            self.naming.deadline(),
            self.watchers.deadline(),
            self.push.deadline(),
            self.configs.deadline(),
        ];
        // Nothing is wanted earlier than the time it is, so that what a batch has left for the next is not lateness.
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.max(self.now.mono))
    }

    fn request(&mut self, id: u64, origin: &Origin, op: Op) {
        if origin
            .conn
            .is_some_and(|conn| !self.push.is_connected(conn))
        {
            return self.reply(id, Err(Refusal::Unregistered));
        }
        let stamp = self.stamp.max(self.now.wall);
        let turn = Turn {
            id,
            origin,
            now: self.now,
            stamp,
        };
        let step = match op {
            Op::Register { .. }
            | Op::BatchRegister { .. }
            | Op::Deregister { .. }
            | Op::UpdateInstance { .. }
            | Op::PatchInstance { .. }
            | Op::MetadataBatch { .. }
            | Op::Beat { .. }
            | Op::SetHealth { .. }
            | Op::CreateService { .. }
            | Op::UpdateService { .. }
            | Op::DeleteService { .. }
            | Op::UpdateCluster { .. }
            | Op::SetSwitch { .. } => self.naming.request(turn, op),
            Op::SubscribeUdp {
                service,
                clusters,
                ip,
                port,
                agent,
                app,
                names,
            } => self
                .push
                .subscribe_udp(
                    turn,
                    &service,
                    &clusters,
                    &ip,
                    port,
                    &agent,
                    &app,
                    names,
                    self.naming.switches(),
                )
                .into(),
            Op::Subscribe {
                service,
                clusters,
                app,
            } => self.push.subscribe(turn, &service, &clusters, &app).into(),
            Op::Unsubscribe { service } => self.push.unsubscribe(turn, &service).into(),
            Op::Publish(_)
            | Op::RemoveConfig { .. }
            | Op::RemoveRevision { .. }
            | Op::SetCapacity { .. } => self.configs.request(turn, op),
            Op::Poll { keys, wait_ms, tag } => {
                self.watchers
                    .poll(turn, &keys, wait_ms, &tag, &self.configs)
            }
            Op::Listen { listen, keys, tag } => {
                self.watchers
                    .listen(turn, listen, &keys, &tag, &self.configs)
            }
            Op::CreateNamespace { .. }
            | Op::UpdateNamespace { .. }
            | Op::DeleteNamespace { .. } => {
                let random = &mut self.random;
                self.namespaces.request(turn, op, &mut || draw(random))
            }
            Op::Lock { .. } => self.locks.request(turn, op),
            Op::PutPolicy { .. } | Op::RemovePolicy { .. } => {
                self.policies.request(turn, op, &self.plugins)
            }
            Op::PutPlugin { .. } | Op::RemovePlugin { .. } => {
                self.plugins.request(turn, op, &self.policies)
            }
            Op::FuzzyWatch {
                config,
                pattern,
                watch,
                known,
                initializing,
            } => {
                let (naming, configs) = (&self.naming, &self.configs);
                let each = |take: &mut dyn FnMut(&str, &str, &str)| {
                    if config {
                        let formal = configs.iter().filter(|(_, item)| item.formal.is_some());
                        formal.for_each(|(k, _)| take(&k.namespace, &k.group, &k.data_id));
                    } else {
                        naming
                            .service_keys()
                            .iter()
                            .for_each(|k| take(&k.namespace, &k.group, &k.name));
                    }
                };
                self.push
                    .fuzzy_watch(turn, config, &pattern, watch, &known, initializing, &each)
                    .into()
            }
            Op::Ask(question) => self.ask(question).into(),
        };
        match step {
            Step::Done(answered) => self.reply(id, answered),
            Step::Propose(command) => self.propose(Some(id), &command),
            Step::Parked => {}
        }
    }

    fn reply(&mut self, id: u64, result: Answered) {
        self.last.push_back(Output::Reply { id, result });
    }

    fn propose(&mut self, request: Option<u64>, command: &Command) {
        let proposal = self.next_proposal;
        self.next_proposal += 1;
        match request {
            Some(id) if crate::planted!(AnsweredWhenProposed) => self.reply(id, Ok(Reply::Done)),
            Some(id) => drop(self.pending.insert(proposal, id)),
            None => {}
        }
        let request = request.unwrap_or_default();
        self.first.push_back(Output::Propose {
            proposal,
            request,
            command: command.encode(),
        });
    }

    fn finish(&mut self, proposal: u64, result: Answered) {
        if let Some(id) = self.pending.remove(&proposal) {
            self.reply(id, result);
        }
    }

    /// Applies a command. What it does depends on durable state alone; a command that cannot be read stops the node,
    /// because a node that skipped it would differ from the others for ever.
    fn committed(&mut self, index: u64, proposal: Option<u64>, command: &[u8]) {
        let mut rows: Vec<RowWrite> = Vec::new();
        let mut outcome = Ok(Reply::Done);
        if !command.is_empty() {
            let command = match Command::decode(command) {
                Ok(command) => command,
                Err(error) => panic!("the command at index {index} cannot be read: {error}"),
            };
            if let Some(stamp) = command.stamp() {
                self.stamp = self.stamp.max(stamp);
            }
            outcome = self.apply(index, command, &mut rows);
        }
        self.first.push_back(Output::Store {
            applied: index,
            rows,
        });
        if let Some(proposal) = proposal {
            self.finish(proposal, outcome);
        }
    }

    fn apply(&mut self, index: u64, command: Command, rows: &mut Vec<RowWrite>) -> Answered {
        match command {
            Command::Publish { .. }
            | Command::PublishWithin { .. }
            | Command::RemoveConfig { .. }
            | Command::RemoveRevision { .. }
            | Command::CutHistory { .. }
            | Command::SetCapacity { .. } => self.configs.apply(index, command, rows),
            Command::CreateNamespace { .. }
            | Command::UpdateNamespace { .. }
            | Command::DeleteNamespace { .. } => self.namespaces.apply(command, rows),
            Command::Lock { .. } => self.locks.apply(command, rows),
            Command::SetPolicy(_) => self.policies.apply(index, command, rows),
            Command::SetPluginPolicy(ref change) => {
                self.plugins.check(&change.plugin)?;
                self.policies.apply(index, command, rows)
            }
            Command::SetPlugin { .. } => self.plugins.apply(index, command, &self.policies, rows),
            Command::CreateService { .. }
            | Command::UpdateService { .. }
            | Command::DeleteService { .. }
            | Command::UpdateCluster { .. }
            | Command::SetSwitch { .. }
            | Command::PutInstance { .. }
            | Command::RemoveInstance { .. }
            | Command::FlipHealth(_)
            | Command::PutOperator { .. }
            | Command::PatchOperator { .. }
            | Command::ExpireMetadata { .. } => self.naming.apply(index, command, rows),
        }
    }

    /// Takes over a row at start. A row that cannot be read stops the node: it is damage, and never emptiness.
    fn restore(&mut self, row: &Row) {
        let restored = match row.table {
            Table::Config | Table::Capacity => self.configs.restore(row),
            Table::Namespace => self.namespaces.restore(row),
            Table::Service | Table::Instance | Table::Operator | Table::Switch => {
                self.naming.restore(row)
            }
            Table::Lock => self.locks.restore(row),
            Table::Policy => self.policies.restore(row),
            Table::Plugin => self.plugins.restore(row),
            Table::History | Table::HistoryTime | Table::PolicyVersion => Ok(()),
        };
        if let Err(error) = restored {
            panic!("a row of table {:?} cannot be read: {error}", row.table);
        }
    }

    /// The newest stamp that durable state shows, so that stamps go on from there after a start.
    fn newest_stamp(&self) -> u64 {
        let versions = self.configs.iter().flat_map(|(_, item)| {
            let grays = item.grays.iter().map(|gray| &gray.version);
            item.formal.iter().chain(grays)
        });
        let modified = versions.map(|version| version.modified);
        let quotas = self.configs.capacities().map(|(_, item)| item.modified);
        let newest = modified.chain(quotas).max().unwrap_or_default();
        newest
            .max(self.policies.newest_stamp())
            .max(self.plugins.newest_stamp())
    }

    fn tick(&mut self) {
        let now = self.now;
        if self.busy && now.mono >= self.excused.saturating_add(EXCUSE_EVERY_MS) {
            self.excused = now.mono;
            self.push.excuse_silence(now);
        }
        for (id, answered) in self.watchers.tick(now) {
            self.reply(id, answered);
        }
        let mut commands = self.naming.tick(now);
        if self.leader {
            commands.extend(self.configs.tick(now));
            for command in commands {
                self.propose(None, &command);
            }
        }
    }

    /// What the batch changed becomes views, pushes and wake-ups.
    fn settle(&mut self) {
        let now = self.now;
        for change in self.naming.take_changes() {
            let metadata = match &change.delta {
                Delta::Service {
                    state: Some(state), ..
                } => state.metadata.clone(),
                _ => None,
            };
            self.push.service_changed(
                &change.key,
                metadata.as_deref(),
                change.appeared,
                change.vanished,
                change.instances_left,
                now,
            );
            self.first.push_back(Output::View(change.delta));
        }
        for change in self.configs.take_changes() {
            let listeners = self.watchers.changed(&change.key, change.item.as_ref());
            self.push
                .config_changed(&change.key, change.exists, change.appeared, listeners, now);
            self.first.push_back(Output::View(change.delta));
        }
        self.first.extend(
            self.configs
                .take_capacity_deltas()
                .into_iter()
                .map(Output::View),
        );
        self.first
            .extend(self.namespaces.take_deltas().into_iter().map(Output::View));
        for delta in self.plugins.take_deltas() {
            if let Delta::Plugin { name, .. } = &delta {
                // Policies that name no version follow the newest.
                let follow = self
                    .policies
                    .naming(name)
                    .filter(|(_, p)| p.digest.is_empty());
                follow.for_each(|(scope, _)| self.push.policy_changed(scope, now));
            }
            self.first.push_back(Output::View(delta));
        }
        for delta in self.policies.take_deltas() {
            if let Delta::Policy { scope, .. } = &delta {
                self.push.policy_changed(scope, now);
            }
            self.first.push_back(Output::View(delta));
        }
        self.first
            .extend(self.naming.take_switches().into_iter().map(Output::View));
        for (id, answered) in self.watchers.wake() {
            self.reply(id, answered);
        }
        // After the batch's changes: what is due carries them, and nothing is sent twice for them.
        self.push.tick(now);
        self.last.extend(self.push.take_outputs());
        self.last.extend(
            self.naming
                .take_probes()
                .into_iter()
                .map(|(probe, target)| Output::Probe { probe, target }),
        );
    }
}

/// The next number of a generator whose state is one word (SplitMix64).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
