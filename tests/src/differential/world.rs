//! The surroundings of a node: clock, log, state store, connections, and what is known from its outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use nacrite_core::{
    log::{Command, Row, RowWrite, Table},
    model::{ConfigItem, ConfigKey, Instance, InstanceKey, ServiceKey},
    node::{
        input::{
            AckOutcome, ConnDetails, ConnId, Input, Now, Origin, POLICY_LABEL, ProbeOutcome,
            RejectReason,
        },
        output::Output,
    },
    view::{Delta, InstanceChange},
};

use super::{Rng, Variants};

/// A service as the views tell it.
#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    pub(super) ephemeral: bool,
    pub(super) described: bool,
    pub(super) instances: BTreeMap<InstanceKey, Arc<Instance>>,
}

/// Everything around one node. See [`World::batch`] and [`World::follow`].
#[derive(Debug)]
pub struct World {
    pub(super) rng: Rng,
    now: Now,
    request: u64,
    next_conn: u64,
    pub(super) conns: Vec<ConnId>,
    /// Connections that acknowledge nothing well.
    deaf: BTreeSet<ConnId>,
    log: VecDeque<(u64, Vec<u8>)>,
    old: VecDeque<Vec<u8>>,
    index: u64,
    /// Index of the last entry whose rows were stored.
    stored: u64,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pushes: Vec<(ConnId, u64)>,
    datagrams: Vec<(Arc<str>, u16, u64)>,
    probes: Vec<u64>,
    waiting: BTreeSet<u64>,
    busy: bool,
    deadline: Option<u64>,
    pub(super) services: BTreeMap<ServiceKey, Service>,
    pub(super) configs: BTreeMap<ConfigKey, Arc<ConfigItem>>,
    pub(super) namespaces: BTreeSet<Arc<str>>,
    pub(super) locks: BTreeSet<Arc<str>>,
    /// Clusters that are described as checked by nobody.
    pub(super) unchecked: BTreeSet<(ServiceKey, Arc<str>)>,
    /// Requests answered well, and refused.
    pub answered: (u64, u64),
    /// What went in and came out.
    pub seen: Variants,
}

impl World {
    /// Of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            now: Now {
                mono: 1_000,
                wall: 1_700_000_000_000,
            },
            request: 0,
            next_conn: 0,
            conns: Vec::new(),
            deaf: BTreeSet::new(),
            log: VecDeque::new(),
            old: VecDeque::new(),
            index: 0,
            stored: 0,
            rows: BTreeMap::new(),
            pushes: Vec::new(),
            datagrams: Vec::new(),
            probes: Vec::new(),
            waiting: BTreeSet::new(),
            busy: false,
            deadline: None,
            services: BTreeMap::new(),
            configs: BTreeMap::new(),
            namespaces: BTreeSet::new(),
            locks: BTreeSet::new(),
            unchecked: BTreeSet::new(),
            answered: (0, 0),
            seen: Variants::default(),
        }
    }

    /// What a node that starts now is told first: the rows of the state store. Everything volatile is gone.
    pub fn start(&mut self) -> Vec<(Now, Input)> {
        self.conns.clear();
        self.deaf.clear();
        self.pushes.clear();
        self.datagrams.clear();
        self.probes.clear();
        self.waiting.clear();
        self.services.clear();
        self.configs.clear();
        self.namespaces.clear();
        self.log.clear();
        self.busy = false;
        let restored = self.rows.iter().filter(|((table, _), _)| table.restored());
        let rows: Vec<Row> = restored
            .map(|((table, key), value)| Row {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        let applied = self.index;
        let mut batch: Vec<Input> = rows
            .chunks(8)
            .map(|rows| Input::Restore {
                rows: rows.to_vec(),
                applied,
            })
            .collect();
        batch.push(Input::Restore {
            rows: Vec::new(),
            applied,
        });
        batch.push(Input::Role {
            leader: true,
            term: 1,
        });
        batch.push(Input::Ready);
        let batch: Vec<_> = batch.into_iter().map(|input| (self.now, input)).collect();
        self.seen.count(&batch);
        batch
    }

    /// The next inputs.
    pub fn batch(&mut self, size: usize) -> Vec<(Now, Input)> {
        let mut batch = Vec::with_capacity(size);
        while batch.len() < size {
            self.pass();
            let input = self.input(batch.is_empty());
            batch.push((self.now, input));
        }
        self.seen.count(&batch);
        batch
    }

    /// Takes note of what the node said.
    pub fn follow(&mut self, outputs: &[Output], deadline: Option<u64>) {
        self.seen.count(outputs);
        self.deadline = deadline;
        for output in outputs {
            match output {
                Output::Reply { id, result } => {
                    self.waiting.remove(id);
                    match result {
                        Ok(_) => self.answered.0 += 1,
                        Err(_) => self.answered.1 += 1,
                    }
                }
                Output::Close { conn, .. } => {
                    self.deaf.insert(*conn);
                }
                Output::Push { push, conns, .. } => {
                    self.pushes.extend(conns.iter().map(|conn| (*conn, *push)));
                }
                Output::Datagram { push, ip, port, .. } => {
                    self.datagrams.push((ip.clone(), *port, *push));
                }
                Output::Propose {
                    proposal, command, ..
                } => {
                    let decoded = Command::decode(command).expect("the node proposes commands");
                    self.seen.count(&decoded);
                    self.log.push_back((*proposal, command.clone()));
                }
                Output::Store { applied, rows } => {
                    assert_eq!(
                        *applied,
                        self.index_of_store(),
                        "entries are stored in order"
                    );
                    rows.iter().for_each(|row| self.store(row));
                }
                Output::View(delta) => self.view(delta),
                Output::Probe { probe, .. } => self.probes.push(*probe),
            }
        }
    }

    /// The index of the entry whose rows come next; several may be in a batch.
    fn index_of_store(&mut self) -> u64 {
        self.stored += 1;
        self.stored
    }

    fn store(&mut self, write: &RowWrite) {
        match write {
            RowWrite::Put { row, .. } => {
                let key = (row.table, row.key.clone());
                self.rows.insert(key, row.value.clone());
            }
            RowWrite::Delete { table, key } => drop(self.rows.remove(&(*table, key.clone()))),
            RowWrite::Cut { index, to, rows } => {
                let range = (*index, Vec::new())..(*index, to.clone());
                let cut: Vec<_> = self.rows.range(range).map(|(key, _)| key.clone()).collect();
                for key in cut {
                    if let Some(of) = self.rows.remove(&key) {
                        self.rows.remove(&(*rows, of));
                    }
                }
            }
        }
    }

    fn view(&mut self, delta: &Delta) {
        match delta {
            Delta::Service {
                key, state: None, ..
            } => drop(self.services.remove(key)),
            Delta::Service {
                key,
                state: Some(state),
                instances,
            } => {
                let service = self.services.entry(key.clone()).or_default();
                service.ephemeral = state.ephemeral;
                service.described = state.metadata.is_some();
                for change in instances {
                    match change {
                        InstanceChange::Put(instance) => {
                            let key = instance.key.clone();
                            drop(service.instances.insert(key, instance.clone()));
                        }
                        InstanceChange::Remove(key) => drop(service.instances.remove(key)),
                    }
                }
            }
            Delta::Config { key, item } => match item {
                Some(item) => drop(self.configs.insert(key.clone(), item.clone())),
                None => drop(self.configs.remove(key)),
            },
            Delta::Namespace { id, item } => {
                if item.is_some() {
                    self.namespaces.insert(id.clone());
                } else {
                    self.namespaces.remove(id);
                }
            }
            Delta::Capacity { .. }
            | Delta::Switches(_)
            | Delta::Policy { .. }
            | Delta::Plugin { .. } => {}
        }
    }

    /// Time goes on: mostly a little, now and then until the deadline, seldom by a pause; the wall clock jumps.
    fn pass(&mut self) {
        let ms = match self.rng.below(1000) {
            0..700 => self.rng.below(10) as u64,
            700..995 => self.rng.below(60) as u64,
            995..999 => self.rng.below(2_000) as u64,
            _ if self.rng.per_mille(100) => self.rng.below(90_000) as u64,
            _ => 0,
        };
        self.now.mono += ms;
        self.now.wall += ms;
        if self.rng.per_mille(1) {
            let hour = self.rng.below(3_600_000) as u64;
            self.now.wall = self.now.wall + 1_800_000 - hour;
        }
    }

    fn input(&mut self, first: bool) -> Input {
        let due = self.deadline.is_some_and(|at| at <= self.now.mono);
        if due && (first || self.rng.per_mille(300)) {
            return Input::Tick;
        }
        match self.rng.below(1000) {
            0..220 if !self.log.is_empty() => return self.committed(),
            220..400 if !self.pushes.is_empty() => return self.ack(),
            400..440 if !self.datagrams.is_empty() => return self.udp_ack(),
            440..470 if !self.probes.is_empty() => return self.probed(),
            470..480 => return self.connection(),
            480..482 => {
                return Input::Tick;
            }
            482..484 if !self.waiting.is_empty() => {
                let at = self.rng.below(self.waiting.len());
                let id = *self.waiting.iter().nth(at).expect("it is below the length");
                return Input::Gone { id };
            }
            484 if self.rng.per_mille(100) => {
                return Input::Role {
                    leader: self.rng.per_mille(700),
                    term: 2,
                };
            }
            485..490 if self.busy || self.rng.per_mille(20) => {
                self.busy = !self.busy;
                return Input::Overloaded(self.busy);
            }
            _ => {}
        }
        self.request += 1;
        let id = self.request;
        let (conn, op) = self.op();
        self.waiting.insert(id);
        let ip: Arc<str> = Arc::from(format!("10.1.0.{}", self.rng.below(6)));
        let origin = Origin {
            conn,
            ip,
            user: Arc::from(self.rng.text(&["", "ann"])),
        };
        Input::Request { id, origin, op }
    }

    fn committed(&mut self) -> Input {
        // Another member's entry, or an empty one of a new leader.
        if self.rng.per_mille(20) {
            let at = self.rng.below(self.old.len().max(1));
            let command = self.old.get(at).cloned().unwrap_or_default();
            self.index += 1;
            return Input::Committed {
                index: self.index,
                proposal: None,
                command,
            };
        }
        let (proposal, command) = self.log.pop_front().expect("the caller looked");
        if self.rng.per_mille(10) {
            let busy = self.rng.per_mille(500);
            let reason = if busy {
                RejectReason::Busy
            } else {
                RejectReason::NotLeader
            };
            return Input::Rejected { proposal, reason };
        }
        self.old.push_back(command.clone());
        if self.old.len() > 40 {
            self.old.pop_front();
        }
        self.index += 1;
        Input::Committed {
            index: self.index,
            proposal: Some(proposal),
            command,
        }
    }

    fn ack(&mut self) -> Input {
        let at = self.rng.below(self.pushes.len());
        let (conn, push) = self.pushes.swap_remove(at);
        let deaf = self.deaf.contains(&conn);
        let outcome = if deaf || self.rng.per_mille(50) {
            AckOutcome::Failed
        } else {
            AckOutcome::Done
        };
        Input::Ack {
            conn,
            push,
            outcome,
        }
    }

    fn udp_ack(&mut self) -> Input {
        let at = self.rng.below(self.datagrams.len());
        let (ip, port, push) = self.datagrams.swap_remove(at);
        // Now and then from a stranger, or never.
        let port = port + u16::from(self.rng.per_mille(100));
        Input::UdpAck { ip, port, push }
    }

    fn probed(&mut self) -> Input {
        let at = self.rng.below(self.probes.len());
        let probe = self.probes.swap_remove(at);
        let outcome = match self.rng.below(10) {
            0..5 => ProbeOutcome::Healthy,
            5..7 => ProbeOutcome::Soft("503".into()),
            7 => ProbeOutcome::Hard("refused".into()),
            _ => ProbeOutcome::TimedOut,
        };
        Input::Probed {
            probe,
            outcome,
            took_ms: self.rng.below(600) as u32,
        }
    }

    fn connection(&mut self) -> Input {
        let closed = self.conns.iter().position(|c| self.deaf.contains(c));
        if self.conns.len() >= 8 || closed.is_some() && self.rng.per_mille(300) {
            let at = closed.unwrap_or_else(|| self.rng.below(self.conns.len()));
            let conn = self.conns.remove(at);
            return Input::Disconnected { conn };
        }
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        self.conns.push(conn);
        if self.rng.per_mille(200) {
            self.deaf.insert(conn);
        }
        let ip: Arc<str> = Arc::from(format!("10.1.0.{}", self.rng.below(6)));
        let wants = self.rng.text(&["true", "false"]);
        let details = ConnDetails {
            id: Arc::from(format!("{}_{ip}_{}", self.now.wall, conn.0)),
            ip,
            port: 4_000,
            version: Arc::from("Nacos-Java-Client:v3.1.0"),
            app: Arc::from(self.rng.text(&["-", "shop"])),
            labels: vec![
                (Arc::from("AppName"), Arc::from("shop")),
                (Arc::from(POLICY_LABEL), Arc::from(wants)),
            ],
        };
        Input::Connected { conn, details }
    }
}
