//! The node as a whole, by virtual clocks: what its modules cannot show alone.

use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec, vec::Vec};

use super::{
    Damaged, Node, NodeSettings,
    input::{AckOutcome, ConnDetails, ConnId, Input, Now, Origin, RejectReason},
    op::{Op, Publish, Question},
    output::{NameForm, Output, PushBody},
    reply::{Answered, Refusal, Reply},
};
use crate::{
    config::WatchLimits,
    log::{Command, Row, RowWrite, Table},
    model::{
        ConfigKey, ConfigType, ContentRef, Instance, InstanceKey, Md5, Metadata, Selector,
        ServiceKey, ServiceMetadata, Weight,
    },
    push::PushLimits,
    view::{Delta, InstanceChange},
};

mod discriminants;
mod empties;
mod polls;
mod pushes;

fn settings() -> NodeSettings {
    NodeSettings {
        seed: 1,
        quotas: None,
        watch: WatchLimits::default(),
        push: PushLimits::default(),
        retention_days: 30,
        max_locks: 10,
        max_namespaces: 10,
    }
}

/// A node, a log that commits at once, and a state store.
struct Trial {
    node: Node,
    now: Now,
    index: u64,
    id: u64,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// All outputs since they were last taken, but those of log and store.
    outputs: Vec<Output>,
    /// Instances by what the views say: healthy or not.
    health: BTreeMap<(ServiceKey, InstanceKey), bool>,
}

impl Trial {
    fn new() -> Self {
        Self::with(Vec::new())
    }

    /// Started on these rows.
    fn with(rows: Vec<Row>) -> Self {
        let mut trial = Self {
            node: Node::new(&settings()),
            now: Now {
                mono: 1_000_000,
                wall: 1_700_000_000_000,
            },
            index: 0,
            id: 0,
            rows: BTreeMap::new(),
            outputs: Vec::new(),
            health: BTreeMap::new(),
        };
        trial.put(Input::Restore { rows, applied: 0 });
        trial.put(Input::Role {
            leader: true,
            term: 1,
        });
        trial.put(Input::Ready);
        trial
    }

    fn put(&mut self, input: Input) {
        self.batch(vec![input]);
    }

    /// One batch; what it proposes is committed at once.
    fn batch(&mut self, inputs: Vec<Input>) {
        for input in inputs {
            self.node.handle(self.now, input);
        }
        let mut proposed = Vec::new();
        while let Some(output) = self.node.poll() {
            match output {
                Output::Propose {
                    proposal, command, ..
                } => proposed.push((proposal, command)),
                Output::Store { rows, .. } => {
                    for row in rows {
                        match row {
                            RowWrite::Put { row, .. } => {
                                self.rows.insert((row.table, row.key), row.value);
                            }
                            RowWrite::Delete { table, key } => {
                                self.rows.remove(&(table, key));
                            }
                            RowWrite::Cut { .. } => {}
                        }
                    }
                }
                output => {
                    self.see(&output);
                    self.outputs.push(output);
                }
            }
        }
        for (proposal, command) in proposed {
            self.index += 1;
            self.put(Input::Committed {
                index: self.index,
                proposal: Some(proposal),
                command,
            });
        }
    }

    fn see(&mut self, output: &Output) {
        let Output::View(Delta::Service {
            key,
            state,
            instances,
        }) = output
        else {
            return;
        };
        if state.is_none() {
            self.health.retain(|(service, _), _| service != key);
        }
        for change in instances {
            match change {
                InstanceChange::Put(instance) => {
                    let at = (key.clone(), instance.key.clone());
                    self.health.insert(at, instance.healthy);
                }
                InstanceChange::Remove(instance) => {
                    self.health.remove(&(key.clone(), instance.clone()));
                }
            }
        }
    }

    fn origin(conn: Option<u64>) -> Origin {
        Origin {
            conn: conn.map(ConnId),
            ip: "10.1.0.1".into(),
            user: "".into(),
        }
    }

    fn request(&mut self, conn: Option<u64>, op: Op) -> Input {
        self.id += 1;
        Input::Request {
            id: self.id,
            origin: Self::origin(conn),
            op,
        }
    }

    /// A request and its answer; none if it is parked.
    fn ask(&mut self, conn: Option<u64>, op: Op) -> Option<Answered> {
        let request = self.request(conn, op);
        self.put(request);
        self.answer(self.id)
    }

    fn answer(&mut self, of: u64) -> Option<Answered> {
        let at = self
            .outputs
            .iter()
            .position(|output| matches!(output, Output::Reply { id, .. } if *id == of))?;
        match self.outputs.remove(at) {
            Output::Reply { result, .. } => Some(result),
            _ => unreachable!("it was looked for"),
        }
    }

    fn connect(&mut self, conn: u64) {
        let details = ConnDetails {
            id: format!("1_10.9.0.{conn}_1").into(),
            ip: "10.9.0.1".into(),
            ..ConnDetails::default()
        };
        self.put(Input::Connected {
            conn: ConnId(conn),
            details,
        });
    }

    /// Time passes, with a tick whenever the node wants one.
    fn pass(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        while let Some(at) = self.node.deadline().filter(|at| *at <= end) {
            self.jump(at.max(self.now.mono) - self.now.mono);
            self.put(Input::Tick);
        }
        self.jump(end - self.now.mono);
    }

    /// Time passes while the process stands still.
    fn jump(&mut self, ms: u64) {
        self.now.mono += ms;
        self.now.wall += ms;
    }

    fn register(&mut self, n: u8) {
        let op = Op::Register {
            service: service(),
            instance: instance(n),
        };
        assert_eq!(self.ask(None, op), Some(Ok(Reply::Done)));
    }

    fn beat(&mut self, n: u8) -> Option<Answered> {
        let op = Op::Beat {
            service: service(),
            key: instance(n).key,
            full: None,
        };
        self.ask(None, op)
    }

    fn healthy(&self, n: u8) -> Option<bool> {
        self.health.get(&(service(), instance(n).key)).copied()
    }

    fn publish(&mut self, content: &str) -> Input {
        self.request(None, Op::Publish(publish(content)))
    }

    fn datagrams(&mut self) -> Vec<u64> {
        let pushes = self.outputs.iter().filter_map(|output| match output {
            Output::Datagram { push, .. } => Some(*push),
            _ => None,
        });
        let pushes = pushes.collect();
        self.outputs.clear();
        pushes
    }

    fn subscribe_udp(&mut self) {
        let op = Op::SubscribeUdp {
            service: service(),
            clusters: "".into(),
            ip: "10.1.0.9".into(),
            port: 5_000,
            agent: "Nacos-Java-Client:v1.4.8".into(),
            app: "".into(),
            names: NameForm::Grouped,
        };
        let answered = self.ask(None, op);
        assert!(matches!(
            answered,
            Some(Ok(Reply::Subscribed { pushed: true, .. }))
        ));
    }
}

fn service() -> ServiceKey {
    ServiceKey::new("public", "g", "s")
}

fn instance(n: u8) -> Instance {
    Instance {
        key: InstanceKey::new(&format!("10.0.0.{n}"), 80, ""),
        weight: Weight::default(),
        healthy: true,
        enabled: true,
        ephemeral: true,
        metadata: Metadata::default(),
        instance_id: Arc::from(""),
    }
}

fn config() -> ConfigKey {
    ConfigKey::new("public", "g", "c")
}

fn publish(content: &str) -> alloc::boxed::Box<Publish> {
    let blank: Arc<str> = Arc::from("");
    alloc::boxed::Box::new(Publish {
        key: config(),
        content: ContentRef {
            index: 0,
            md5: Md5::of(content.as_bytes()),
            bytes: content.len() as u32,
        },
        kind: ConfigType::Text,
        app: blank.clone(),
        desc: blank.clone(),
        usage: blank.clone(),
        effect: blank.clone(),
        schema: blank.clone(),
        tags: blank.clone(),
        encrypted_data_key: blank.clone(),
        gray: None,
        cas: None,
        create_only: false,
        user: blank.clone(),
        ip: blank,
    })
}

#[test]
fn a_silent_client_is_unhealthy_just_past_15_s_and_gone_just_past_30_s() {
    let mut trial = Trial::new();
    trial.register(1);
    trial.pass(5_000);
    assert!(matches!(
        trial.beat(1),
        Some(Ok(Reply::Beat { known: true, .. }))
    ));
    trial.pass(15_000);
    assert_eq!(trial.healthy(1), Some(true));
    trial.pass(1);
    assert_eq!(trial.healthy(1), Some(false));
    trial.pass(14_999);
    assert_eq!(trial.healthy(1), Some(false));
    trial.pass(1);
    assert_eq!(trial.healthy(1), None);
}

#[test]
fn nobody_is_gone_after_a_stop_of_60_s_whatever_comes_first() {
    for tick_first in [true, false] {
        let mut trial = Trial::new();
        trial.register(1);
        trial.subscribe_udp();
        trial.pass(1_000);
        trial.outputs.clear();
        trial.jump(60_000);
        if tick_first {
            trial.put(Input::Tick);
        } else {
            trial.connect(9);
        }
        trial.pass(15_000);
        assert_eq!(trial.healthy(1), Some(true));
        trial.outputs.clear();
        trial.register(2);
        assert_eq!(trial.datagrams().len(), 1, "the subscriber is still there");
        trial.pass(15_002);
        assert_eq!(trial.healthy(1), None, "silence counts again");
    }
}

#[test]
fn nobody_is_gone_after_an_overload_of_60_s() {
    let mut trial = Trial::new();
    trial.register(1);
    trial.subscribe_udp();
    trial.pass(1_000);
    trial.put(Input::Overloaded(true));
    trial.pass(60_000);
    assert_eq!(trial.healthy(1), Some(true));
    trial.put(Input::Overloaded(false));
    trial.pass(14_000);
    assert_eq!(trial.healthy(1), Some(true));
    trial.outputs.clear();
    trial.register(2);
    assert_eq!(trial.datagrams().len(), 1, "the subscriber is still there");
    trial.pass(1_001);
    assert_eq!(trial.healthy(1), Some(false), "and then silence counts");
}

#[test]
fn what_a_storm_leaves_for_the_next_input_is_no_pause() {
    let mut trial = Trial::new();
    trial.register(1);
    trial.pass(14_000);
    let keys = vec![(config(), None)];
    let polls = (0..1_100).map(|_| {
        let keys = keys.clone();
        let tag = Arc::from("");
        Op::Poll {
            keys,
            wait_ms: 30_000,
            tag,
        }
    });
    let polls: Vec<Input> = polls.map(|op| trial.request(None, op)).collect();
    trial.batch(polls);
    let publish = trial.publish("a");
    trial.put(publish);
    assert_eq!(
        trial.node.deadline(),
        Some(trial.now.mono),
        "some polls are left to wake"
    );
    trial.pass(1_001);
    assert_eq!(
        trial.healthy(1),
        Some(false),
        "its clock did not start again"
    );
    let answered = trial
        .outputs
        .iter()
        .filter(|output| {
            matches!(
                output,
                Output::Reply {
                    result: Ok(Reply::Woken { position: 0, .. }),
                    ..
                }
            )
        })
        .count();
    assert_eq!(answered, 1_100);
}

#[test]
fn views_of_a_batch_come_before_all_its_replies_and_pushes() {
    let mut trial = Trial::new();
    trial.connect(1);
    let subscribe = Op::Subscribe {
        service: service(),
        clusters: "".into(),
        app: "".into(),
    };
    trial.ask(Some(1), subscribe);
    trial.pass(1_000);
    // The first push, which a new subscriber gets, is taken: nothing is under way.
    let first = trial.outputs.iter().find_map(|output| match output {
        Output::Push { push, .. } => Some(*push),
        _ => None,
    });
    trial.put(Input::Ack {
        conn: ConnId(1),
        push: first.expect("a new subscriber is pushed to"),
        outcome: AckOutcome::Done,
    });
    trial.outputs.clear();
    let batch = (1..=20).map(|n| {
        let service = service();
        let instance = instance(n);
        trial.request(None, Op::Register { service, instance })
    });
    let batch = batch.collect();
    trial.batch(batch);
    let kinds: String = trial
        .outputs
        .iter()
        .map(|output| match output {
            Output::View(_) => 'v',
            Output::Reply { .. } => 'r',
            Output::Push { .. } => 'p',
            _ => '?',
        })
        .collect();
    assert_eq!(kinds, format!("v{}p", "r".repeat(20)), "one view for all");
}

#[test]
fn requests_of_unknown_and_closed_connections_are_unregistered_and_leave_nothing() {
    let mut trial = Trial::new();
    let register = || Op::Register {
        service: service(),
        instance: instance(1),
    };
    assert_eq!(
        trial.ask(Some(1), register()),
        Some(Err(Refusal::Unregistered))
    );
    trial.connect(1);
    assert_eq!(trial.ask(Some(1), register()), Some(Ok(Reply::Done)));
    assert_eq!(trial.healthy(1), Some(true));
    trial.put(Input::Disconnected { conn: ConnId(1) });
    assert_eq!(trial.healthy(1), None);
    assert_eq!(
        trial.ask(Some(1), register()),
        Some(Err(Refusal::Unregistered))
    );
    assert_eq!(trial.healthy(1), None);
}

#[test]
fn a_rejected_proposal_is_answered_once_by_its_reason() {
    let mut trial = Trial::new();
    for (reason, refusal) in [
        (RejectReason::NotLeader, Refusal::NoLeader),
        (RejectReason::Busy, Refusal::Busy),
    ] {
        let request = trial.publish("a");
        trial.node.handle(trial.now, request);
        let proposal = match trial.node.poll() {
            Some(Output::Propose { proposal, .. }) => proposal,
            other => panic!("{other:?}"),
        };
        trial.put(Input::Rejected { proposal, reason });
        assert_eq!(trial.answer(trial.id), Some(Err(refusal)));
        trial.put(Input::Rejected { proposal, reason });
        assert_eq!(trial.answer(trial.id), None);
    }
}

/// The views of a node that starts on what a trial stored.
fn started_again(trial: &Trial) -> Trial {
    let rows = trial.rows.iter().filter(|((table, _), _)| table.restored());
    // The last first: the order of rows is no promise.
    let rows = rows.rev().map(|((table, key), value)| Row {
        table: *table,
        key: key.clone(),
        value: value.clone(),
    });
    Trial::with(rows.collect())
}

/// What a reader has after these outputs: each delta by what it is about, with numbers that count changes left out.
fn views(outputs: &[Output]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for output in outputs {
        let Output::View(delta) = output else {
            continue;
        };
        let (about, what) = match delta.clone() {
            Delta::Service {
                key,
                state,
                instances,
            } => {
                for change in instances {
                    if let InstanceChange::Put(instance) = change {
                        let about = format!("instance {key} {:?}", instance.key);
                        all.insert(about, format!("{instance:?}"));
                    }
                }
                let state = state.map(|s| (s.ephemeral, s.metadata));
                (format!("service {key}"), format!("{state:?}"))
            }
            Delta::Config { key, item } => (format!("config {key}"), format!("{item:?}")),
            Delta::Namespace { id, item } => (format!("namespace {id}"), format!("{item:?}")),
            Delta::Capacity { of, item } => (format!("capacity {of:?}"), format!("{item:?}")),
            Delta::Policy { scope, item } => (format!("policy {scope:?}"), format!("{item:?}")),
            Delta::Plugin { name, versions } => (format!("plugin {name}"), format!("{versions:?}")),
            Delta::Switches(switches) => (String::from("switches"), format!("{switches:?}")),
        };
        all.insert(about, what);
    }
    all
}

#[test]
fn a_node_that_starts_on_the_rows_tells_the_same_views() {
    let mut trial = Trial::new();
    let persistent = Instance {
        ephemeral: false,
        ..instance(7)
    };
    let metadata = ServiceMetadata {
        ephemeral: false,
        protect_threshold: 0.5,
        selector: Selector::Label {
            expression: "CONSUMER.label.zone = PROVIDER.label.zone".into(),
        },
        ..ServiceMetadata::default()
    };
    let ops = [
        Op::CreateService {
            service: service(),
            metadata,
        },
        Op::Register {
            service: service(),
            instance: persistent.clone(),
        },
        Op::UpdateInstance {
            service: service(),
            key: persistent.key.clone(),
            weight: Weight::new(7.0).unwrap(),
            enabled: true,
            metadata: Metadata::default(),
            ephemeral: false,
        },
        Op::Publish(publish("a")),
        Op::CreateNamespace {
            id: "n".into(),
            name: "n".into(),
            desc: "d".into(),
        },
        Op::SetSwitch {
            entry: "clientBeatInterval".into(),
            value: "4000".into(),
        },
        Op::Lock {
            key: "l".into(),
            kind: "t".into(),
            acquire: true,
            expires_ms: 1_000_000,
        },
    ];
    for op in ops {
        assert!(matches!(trial.ask(None, op), Some(Ok(_))));
    }
    let mut again = started_again(&trial);
    assert_eq!(views(&again.outputs), views(&trial.outputs));
    let lock = Op::Lock {
        key: "l".into(),
        kind: "t".into(),
        acquire: true,
        expires_ms: 1_000,
    };
    assert_eq!(again.ask(None, lock), Some(Ok(Reply::Locked(false))));
    // The restored selector looks at the consumer: its address is in the class of the push.
    again.connect(1);
    let subscribe = Op::Subscribe {
        service: service(),
        clusters: "".into(),
        app: "".into(),
    };
    again.ask(Some(1), subscribe);
    again.pass(500);
    let consumer = again.outputs.iter().find_map(|output| match output {
        Output::Push {
            body: PushBody::Service { class, .. },
            ..
        } => Some(class.consumer.clone()),
        _ => None,
    });
    assert_eq!(consumer.as_deref(), Some("10.9.0.1"));
}

#[test]
fn stamps_go_on_after_a_start_though_the_wall_clock_went_back() {
    let mut trial = Trial::new();
    trial.jump(5_000_000);
    let publish = trial.publish("a");
    trial.put(publish);
    let mut again = started_again(&trial);
    let before = trial.now.wall;
    assert!(again.now.wall < before);
    let request = again.publish("b");
    again.node.handle(again.now, request);
    let command = match again.node.poll() {
        Some(Output::Propose { command, .. }) => Command::decode(&command).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(command.stamp(), Some(before));
}

#[test]
fn a_snapshot_goes_on_as_the_original_and_says_when_it_is_none() {
    let mut trial = Trial::new();
    trial.connect(1);
    trial.register(1);
    trial.subscribe_udp();
    let publish = trial.publish("a");
    // In the middle of a batch, with a proposal that is not committed.
    trial.node.handle(trial.now, publish);
    let bytes = trial.node.snapshot();
    let mut copy = Node::from_snapshot(&bytes).unwrap();
    assert_eq!(copy.snapshot(), bytes);
    for _ in 0..3_000 {
        trial.jump(17);
        for node in [&mut trial.node, &mut copy] {
            node.handle(trial.now, Input::Tick);
        }
        let (theirs, ours) = (trial.node.poll(), copy.poll());
        assert_eq!(theirs, ours);
    }
    assert_eq!(copy.snapshot(), trial.node.snapshot());
    let mut other = bytes.clone();
    other[0] += 1;
    assert_eq!(
        Node::from_snapshot(&other).err(),
        Some(Damaged::Schema(super::SCHEMA + 1))
    );
    for cut in [0, 3, 4, bytes.len() - 1] {
        assert!(Node::from_snapshot(&bytes[..cut]).is_err());
    }
}
