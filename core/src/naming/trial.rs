//! For tests: naming with a virtual clock, a log that commits at once, a reader fed by its changes, and an audit of
//! everything that must hold between two inputs.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};

use super::{Naming, ServiceChanged, marks::Mark, state::Timer};
use crate::{
    log::{Command, Row, RowWrite, Table},
    model::{
        ClusterMetadata, HealthChecker, Instance, InstanceKey, Metadata, ServiceKey,
        ServiceMetadata, Weight,
    },
    node::{
        Step, Turn,
        input::{ConnDetails, ConnId, Now, Origin},
        op::Op,
        reply::{Answered, Reply},
    },
    view::{Delta, InstanceChange, ServiceState},
};

/// A service as the reader knows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) state: ServiceState,
    pub(super) instances: BTreeMap<InstanceKey, Arc<Instance>>,
}

pub(super) struct Trial {
    pub(super) naming: Naming,
    pub(super) now: Now,
    pub(super) index: u64,
    /// Whether proposals are committed.
    pub(super) leads: bool,
    /// The state store.
    pub(super) rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    pub(super) view: BTreeMap<ServiceKey, Seen>,
    /// All changes so far.
    pub(super) changes: Vec<ServiceChanged>,
    /// All commands applied so far.
    pub(super) commands: Vec<Command>,
}

pub(super) fn service(name: &str) -> ServiceKey {
    ServiceKey::new("public", "g", name)
}

pub(super) fn key(n: u8) -> InstanceKey {
    InstanceKey::new(&format!("10.0.0.{n}"), 80, "")
}

pub(super) fn instance(n: u8) -> Instance {
    Instance {
        key: key(n),
        weight: Weight::default(),
        healthy: true,
        enabled: true,
        ephemeral: true,
        metadata: Metadata::default(),
        instance_id: Arc::from(""),
    }
}

pub(super) fn pairs(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().copied().collect()
}

impl Trial {
    pub(super) fn new() -> Self {
        let now = Now {
            mono: 1_000,
            wall: 1_700_000_000_000,
        };
        let mut naming = Naming::new();
        naming.seed(1);
        naming.at(now);
        Self {
            naming,
            now,
            index: 0,
            leads: true,
            rows: BTreeMap::new(),
            view: BTreeMap::new(),
            changes: Vec::new(),
            commands: Vec::new(),
        }
    }

    pub(super) fn connect(&mut self, conn: u64) {
        let details = ConnDetails {
            id: format!("1_10.9.0.{conn}_1").into(),
            ..ConnDetails::default()
        };
        self.naming.connected(ConnId(conn), &details, self.now);
        self.settle();
    }

    pub(super) fn disconnect(&mut self, conn: u64) {
        self.naming.disconnected(ConnId(conn), self.now);
        self.settle();
    }

    /// A request over HTTP.
    pub(super) fn http(&mut self, op: Op) -> Answered {
        self.request(None, op)
    }

    /// A request on a connection.
    pub(super) fn grpc(&mut self, conn: u64, op: Op) -> Answered {
        self.request(Some(ConnId(conn)), op)
    }

    fn request(&mut self, conn: Option<ConnId>, op: Op) -> Answered {
        let origin = Origin {
            conn,
            ..Origin::default()
        };
        let turn = Turn {
            id: 1,
            origin: &origin,
            now: self.now,
            stamp: self.now.wall,
        };
        let answered = match self.naming.request(turn, op) {
            Step::Done(answered) => answered,
            Step::Propose(command) => self.apply(command),
            Step::Parked => panic!("naming parks nothing"),
        };
        self.settle();
        answered
    }

    pub(super) fn register(&mut self, name: &str, instance: Instance) -> Answered {
        self.http(Op::Register {
            service: service(name),
            instance,
        })
    }

    pub(super) fn beat(&mut self, name: &str, n: u8) -> Answered {
        self.http(Op::Beat {
            service: service(name),
            key: key(n),
            full: None,
        })
    }

    pub(super) fn full_beat(&mut self, name: &str, n: u8) -> Answered {
        self.http(Op::Beat {
            service: service(name),
            key: key(n),
            full: Some(Box::new(instance(n))),
        })
    }

    pub(super) fn deregister(&mut self, name: &str, n: u8) -> Answered {
        self.http(Op::Deregister {
            service: service(name),
            key: key(n),
            ephemeral: true,
        })
    }

    /// Describes the cluster `DEFAULT`.
    pub(super) fn check_by(&mut self, name: &str, checker: HealthChecker) -> Answered {
        let metadata = ClusterMetadata {
            checker,
            ..ClusterMetadata::default()
        };
        self.http(Op::UpdateCluster {
            service: service(name),
            cluster: Arc::from("DEFAULT"),
            metadata,
        })
    }

    pub(super) fn create(&mut self, name: &str, ephemeral: bool) -> Answered {
        let metadata = ServiceMetadata {
            ephemeral,
            ..ServiceMetadata::default()
        };
        self.http(Op::CreateService {
            service: service(name),
            metadata,
        })
    }

    pub(super) fn switch(&mut self, entry: &str, value: &str) -> Answered {
        self.http(Op::SetSwitch {
            entry: Arc::from(entry),
            value: Arc::from(value),
        })
    }

    pub(super) fn apply(&mut self, command: Command) -> Answered {
        self.index += 1;
        // As it comes out of the log.
        let decoded = Command::decode(&command.encode());
        self.commands.push(command);
        let command = decoded.expect("a command reads what it writes");
        let mut rows = Vec::new();
        let answered = self.naming.apply(self.index, command, &mut rows);
        for row in rows {
            match row {
                RowWrite::Put {
                    row: Row { table, key, value },
                    ..
                } => drop(self.rows.insert((table, key), value)),
                RowWrite::Delete { table, key } => drop(self.rows.remove(&(table, key))),
                RowWrite::Cut { .. } => panic!("naming cuts nothing"),
            }
        }
        answered
    }

    /// Lets time pass, ticking at each deadline.
    pub(super) fn pass(&mut self, ms: u64) {
        let until = self.now.mono + ms;
        let mut ticks = 0;
        while let Some(due) = self.naming.deadline().filter(|due| *due <= until) {
            self.set_mono(due.max(self.now.mono));
            for command in self.naming.tick(self.now) {
                if self.leads {
                    self.apply(command)
                        .expect("periodic commands are not refused");
                }
            }
            self.settle();
            ticks += 1;
            assert!(ticks < 100_000, "a deadline does not move on");
        }
        self.set_mono(until);
        self.naming.at(self.now);
    }

    fn set_mono(&mut self, mono: u64) {
        self.now.wall += mono - self.now.mono;
        self.now.mono = mono;
    }

    /// Feeds the reader, and audits.
    pub(super) fn settle(&mut self) {
        for change in self.naming.take_changes() {
            self.read(&change);
            self.changes.push(change);
        }
        self.audit();
    }

    fn read(&mut self, change: &ServiceChanged) {
        let Delta::Service {
            key,
            state,
            instances,
        } = &change.delta
        else {
            panic!("a service")
        };
        assert_eq!(
            (*key == change.key, change.appeared && change.vanished),
            (true, false)
        );
        assert_eq!(
            change.appeared,
            !self.view.contains_key(key),
            "{key} appears once"
        );
        assert_eq!(
            change.instances_before,
            self.view.get(key).map_or(0, |s| s.instances.len())
        );
        let Some(state) = state else {
            assert!(
                change.vanished && self.view.remove(key).is_some(),
                "{key} goes once"
            );
            return;
        };
        let fresh = Seen {
            state: ServiceState {
                revision: 0,
                ..state.clone()
            },
            instances: BTreeMap::new(),
        };
        let seen = self.view.entry(key.clone()).or_insert(fresh);
        assert!(state.revision > seen.state.revision, "the revision grows");
        seen.state = state.clone();
        for change in instances {
            match change {
                InstanceChange::Put(instance) => drop(
                    seen.instances
                        .insert(instance.key.clone(), instance.clone()),
                ),
                InstanceChange::Remove(key) => drop(
                    seen.instances
                        .remove(key)
                        .expect("only what was there goes"),
                ),
            }
        }
        assert_eq!(change.instances_left, seen.instances.len());
    }

    /// What the reader sees of an instance.
    pub(super) fn seen(&self, name: &str, n: u8) -> Option<Arc<Instance>> {
        self.view
            .get(&service(name))?
            .instances
            .get(&key(n))
            .cloned()
    }

    /// Whether the reader sees an instance, and how well it is.
    pub(super) fn health(&self, name: &str, n: u8) -> Option<bool> {
        self.seen(name, n).map(|i| i.healthy)
    }

    /// Naming started again from the state store.
    pub(super) fn started_again(&self) -> Self {
        let mut trial = Self {
            index: self.index,
            now: self.now,
            rows: self.rows.clone(),
            ..Self::new()
        };
        trial.naming.at(trial.now);
        for ((table, key), value) in &self.rows {
            let row = Row {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            };
            trial
                .naming
                .restore(&row)
                .expect("rows read what they write");
        }
        trial.naming.restored();
        trial.settle();
        trial
    }

    /// Naming restored from its own bytes.
    pub(super) fn swapped(&self) -> Naming {
        Naming::from_bytes(&self.naming.durable_bytes(), &self.naming.volatile_bytes())
            .expect("bytes of its own")
    }

    /// Everything that must hold between two inputs.
    pub(super) fn audit(&self) {
        let (durable, volatile) = (&self.naming.durable, &self.naming.volatile);
        // The reader sees what the state says.
        assert_eq!(self.view.len(), volatile.services.len());
        assert_eq!(volatile.names.len(), volatile.services.len());
        let mut timers = BTreeSet::new();
        let (mut records, mut persistent) = (0, 0);
        for (id, of) in volatile.services.iter() {
            assert_eq!(volatile.names.get(&of.key), Some(&id));
            let seen = &self.view[&of.key];
            assert_eq!(seen.state.ephemeral, of.ephemeral);
            assert_eq!(seen.state.revision, of.revision);
            assert_eq!(seen.state.metadata.as_ref(), durable.services.get(&of.key));
            let mut shown = BTreeMap::new();
            let mut last = None;
            for record in of.records.ids() {
                let record = &volatile.records[record];
                let place = (record.published.key.clone(), record.order);
                assert!(last.as_ref() < Some(&place), "records are sorted");
                assert_eq!(record.service, id);
                last = Some(place);
                shown.insert(record.published.key.clone(), record.shown.clone());
                let overlaid = self.naming.overlaid(&of.key, &record.published);
                assert_eq!(record.shown, overlaid, "operators' words are laid over");
                let plain = durable.operator(&of.key, &record.published.key).is_none();
                assert!(
                    !plain || Arc::ptr_eq(&record.shown, &record.published),
                    "one allocation"
                );
                assert_eq!(record.published.ephemeral, of.ephemeral, "of one kind");
            }
            assert_eq!(seen.instances, shown);
            assert_eq!(of.distinct as usize, shown.len());
            records += of.records.len();
            if of.armed != 0 {
                timers.insert((of.armed, Timer::Empty(id)));
            }
            let described = durable.services.contains_key(&of.key);
            assert_eq!(
                of.armed != 0,
                of.records.is_empty() && !described,
                "{} goes when it is empty",
                of.key
            );
        }
        assert_eq!(
            (volatile.records.len(), volatile.publications.len()),
            (records, records)
        );
        for (id, record) in volatile.records.iter() {
            assert!(
                volatile
                    .publications
                    .contains(&(record.client, record.service, id))
            );
            let timer = record.timer(id);
            assert_eq!(
                record.armed != 0,
                timer.is_some(),
                "what needs a timer has one"
            );
            timers.extend(timer.map(|timer| (record.armed, timer)));
            if volatile.checks.contains_key(&id) {
                persistent += 1;
                let service = &volatile.services[record.service].key;
                let durable = &durable.instances[service][&record.published.key];
                assert!(Arc::ptr_eq(durable, &record.published), "one allocation");
            }
        }
        assert_eq!(volatile.timers, timers, "no timer is left behind");
        assert_eq!(volatile.checks.len(), persistent);
        assert_eq!(
            durable.instances.values().map(BTreeMap::len).sum::<usize>(),
            persistent
        );
        assert!(
            volatile
                .probes
                .values()
                .all(|record| volatile.checks.contains_key(record))
        );
        assert_eq!(volatile.flips.is_empty(), volatile.flips_due.is_none());
        let counted: u32 = volatile.clients.iter().map(|(_, c)| c.records).sum();
        assert_eq!(counted as usize, records);
        let connections = volatile.conns.len();
        assert_eq!(
            volatile.clients.len(),
            connections + volatile.addresses.len()
        );
        // Words and metadata are marked exactly while nothing is there that they are about.
        let mut marks = BTreeSet::new();
        for (service, words) in &durable.operators {
            assert!(!words.is_empty(), "no map is left empty");
            let seen = self.view.get(service);
            let gone = words
                .keys()
                .filter(|key| seen.is_none_or(|s| !s.instances.contains_key(*key)));
            marks.extend(gone.map(|key| Mark::Instance(service.clone(), key.clone())));
        }
        let empty = durable
            .services
            .keys()
            .filter(|s| self.view[*s].instances.is_empty());
        marks.extend(empty.map(|service| Mark::Service(service.clone())));
        assert_eq!(volatile.marks.words(), marks);
        // The state store holds the durable state.
        let rows: BTreeMap<_, _> = self
            .naming
            .rows()
            .into_iter()
            .map(|row| ((row.table, row.key), row.value))
            .collect();
        assert_eq!(rows, self.rows);
    }

    /// Nothing is left of anybody.
    pub(super) fn is_blank(&self) -> bool {
        let (durable, volatile) = (&self.naming.durable, &self.naming.volatile);
        volatile.records.len() + volatile.services.len() + volatile.clients.len() == 0
            && volatile.timers.is_empty()
            && volatile.publications.is_empty()
            && volatile.conns.is_empty()
            && volatile.addresses.is_empty()
            && volatile.names.is_empty()
            && volatile.marks.len() == 0
            && volatile.checks.is_empty()
            && volatile.probes.is_empty()
            && volatile.wanted.is_empty()
            && volatile.flips.is_empty()
            && self.naming.deadline().is_none()
            && durable.services.is_empty()
            && durable.instances.is_empty()
            && durable.operators.is_empty()
    }
}

pub(super) fn interval(answered: &Answered) -> u64 {
    match answered {
        Ok(Reply::Beat {
            interval,
            known: true,
            ..
        }) => *interval,
        other => panic!("not a beat that was taken: {other:?}"),
    }
}

pub(super) fn known(answered: &Answered) -> bool {
    match answered {
        Ok(Reply::Beat { known, .. }) => *known,
        other => panic!("not a beat: {other:?}"),
    }
}

/// For messages of failed assertions.
pub(super) fn names(changes: &[ServiceChanged]) -> Vec<String> {
    changes.iter().map(|c| String::from(&*c.key.name)).collect()
}
