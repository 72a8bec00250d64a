//! Whatever a node was asked to keep and then to forget leaves nothing behind: neither in the node nor in the view.
//! But for policies: a bounded number of removed ones stays on purpose (`policies`).

use super::*;
use crate::view::{SHARDS, Settled, Shard};

/// How many of each thing come and go.
const EACH: u64 = 200;
/// What numbers that only grow may take more in a snapshot; one thing that is left takes more.
const NUMBERS: usize = 32;

fn named(n: u64) -> ServiceKey {
    ServiceKey::new("public", "g", &format!("service-{n}"))
}

fn config(n: u64) -> ConfigKey {
    ConfigKey::new("public", "g", &format!("config-{n}"))
}

fn published(n: u64) -> Op {
    let mut op = publish("content");
    op.key = config(n);
    Op::Publish(op)
}

/// A view that is fed by a trial.
struct Reader {
    shards: Vec<Shard>,
    settled: Settled,
}

impl Reader {
    fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            settled: Settled::default(),
        }
    }

    fn read(&mut self, trial: &mut Trial) {
        for output in core::mem::take(&mut trial.outputs) {
            if let Output::View(delta) = output {
                match delta.shard() {
                    Some(shard) => self.shards[shard].apply(delta),
                    None => self.settled.apply(delta),
                }
            }
        }
    }

    /// Services, configs and ids; namespaces and capacities.
    fn sizes(&self) -> (usize, usize) {
        let shards = self.shards.iter().map(Shard::len).sum();
        (shards, self.settled.len())
    }
}

/// Lets as many of everything come as there are numbers.
fn come(trial: &mut Trial, round: u64) {
    let done = |answered: Option<Answered>| {
        assert!(matches!(answered, Some(Ok(_))), "{answered:?}");
    };
    for n in 0..EACH {
        let conn = round * EACH + n + 1;
        trial.connect(conn);
        // By HTTP, by connection, several of a connection, for ever.
        done(trial.ask(
            None,
            Op::Register {
                service: named(n),
                instance: instance(1),
            },
        ));
        done(trial.ask(
            Some(conn),
            Op::Register {
                service: named(n),
                instance: instance(2),
            },
        ));
        done(trial.ask(
            Some(conn),
            Op::BatchRegister {
                service: named(EACH + n),
                instances: vec![instance(3), instance(4)],
            },
        ));
        let lasting = Instance {
            ephemeral: false,
            ..instance(5)
        };
        done(trial.ask(
            None,
            Op::Register {
                service: named(2 * EACH + n),
                instance: lasting,
            },
        ));
        done(trial.ask(
            None,
            Op::CreateService {
                service: named(3 * EACH + n),
                metadata: ServiceMetadata::default(),
            },
        ));
        // An operator's word on an instance.
        done(trial.ask(
            None,
            Op::UpdateInstance {
                service: named(n),
                key: instance(1).key,
                weight: Weight::default(),
                enabled: false,
                metadata: Metadata::default(),
                ephemeral: true,
            },
        ));
        done(trial.ask(
            Some(conn),
            Op::Subscribe {
                service: named(n),
                clusters: "".into(),
                app: "".into(),
            },
        ));
        done(trial.ask(
            None,
            Op::SubscribeUdp {
                service: named(n),
                clusters: "".into(),
                ip: format!("10.1.0.{n}").into(),
                port: 5_000,
                agent: "Nacos-Java-Client:v1.4.8".into(),
                app: "".into(),
                names: NameForm::Grouped,
            },
        ));
        done(trial.ask(None, published(n)));
        done(trial.ask(
            Some(conn),
            Op::Listen {
                listen: true,
                keys: vec![(config(n), None, false)],
                tag: "".into(),
            },
        ));
        // Parked: nobody publishes it.
        let poll = Op::Poll {
            keys: vec![(config(EACH + n), None)],
            wait_ms: 30_000,
            tag: "".into(),
        };
        assert_eq!(trial.ask(None, poll), None);
        if n < 10 {
            done(trial.ask(
                None,
                Op::Lock {
                    key: format!("lock-{n}").into(),
                    kind: "NACOS_LOCK".into(),
                    acquire: true,
                    expires_ms: 5_000,
                },
            ));
            let id: Arc<str> = format!("namespace-{n}").into();
            done(trial.ask(
                None,
                Op::CreateNamespace {
                    id: id.clone(),
                    name: id.clone(),
                    desc: id,
                },
            ));
            done(trial.ask(
                Some(conn),
                Op::FuzzyWatch {
                    config: n % 2 == 0,
                    pattern: format!("public>>g>>service-{n}*").into(),
                    watch: true,
                    known: Vec::new(),
                    initializing: true,
                },
            ));
        }
    }
}

/// Lets it all go, by the ways there are: asked for, by the end of a connection, by silence.
fn go(trial: &mut Trial, round: u64) {
    for n in 0..EACH {
        let gone = trial.ask(
            None,
            Op::Deregister {
                service: named(2 * EACH + n),
                key: instance(5).key,
                ephemeral: false,
            },
        );
        assert!(matches!(gone, Some(Ok(_))), "{gone:?}");
        let gone = trial.ask(
            None,
            Op::DeleteService {
                service: named(3 * EACH + n),
            },
        );
        assert!(matches!(gone, Some(Ok(_))), "{gone:?}");
        let gone = trial.ask(
            None,
            Op::RemoveConfig {
                key: config(n),
                gray: None,
            },
        );
        assert!(matches!(gone, Some(Ok(_))), "{gone:?}");
        if n < 10 {
            let id = format!("namespace-{n}").into();
            let gone = trial.ask(None, Op::DeleteNamespace { id });
            assert!(matches!(gone, Some(Ok(_))), "{gone:?}");
        }
        trial.put(Input::Disconnected {
            conn: ConnId(round * EACH + n + 1),
        });
    }
    // Silence, empty services, words whose instance is gone, locks that nobody gives back.
    trial.pass(600_000);
    // Locks past their time go when somebody asks for one.
    for acquire in [true, false, true, false] {
        let swept = trial.ask(
            None,
            Op::Lock {
                key: "sweep".into(),
                kind: "NACOS_LOCK".into(),
                acquire,
                expires_ms: 5_000,
            },
        );
        assert!(matches!(swept, Some(Ok(_))), "{swept:?}");
    }
}

#[test]
fn what_comes_and_goes_leaves_nothing() {
    let mut trial = Trial::new();
    let mut reader = Reader::new();
    // What a node has once it has been through it: a first namespace or a first number is no leak.
    trial.pass(600_000);
    reader.read(&mut trial);
    let (fresh, fresh_view, fresh_rows) = (trial.node.sizes(), reader.sizes(), trial.rows.len());
    for round in 0..3 {
        come(&mut trial, round);
        reader.read(&mut trial);
        for ((part, size), (_, before)) in trial.node.sizes().into_iter().zip(&fresh) {
            assert!(size > before + NUMBERS, "nothing was kept in {part}");
        }
        assert!(reader.sizes().0 > fresh_view.0 && reader.sizes().1 > fresh_view.1);
        go(&mut trial, round);
        reader.read(&mut trial);
        for ((part, size), (_, before)) in trial.node.sizes().into_iter().zip(&fresh) {
            assert!(
                size <= before + NUMBERS,
                "round {round}: {part} keeps {} bytes of what is gone",
                size - before
            );
        }
        assert_eq!(reader.sizes(), fresh_view, "round {round}");
    }
    assert!(
        trial.node.pending.is_empty() && trial.node.first.is_empty() && trial.node.last.is_empty()
    );
    // What is kept of configs that are gone is their history, until its age.
    let kept = trial
        .rows
        .keys()
        .filter(|(table, _)| !matches!(table, Table::History | Table::HistoryTime));
    assert!(kept.count() <= fresh_rows, "rows of what is gone");
}
