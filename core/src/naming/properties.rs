//! Properties of naming as a whole: whatever happens, the reader sees the state, nothing is left behind, and copies
//! behave alike.

use alloc::{boxed::Box, collections::BTreeMap, format, sync::Arc, vec, vec::Vec};

use proptest::{collection::vec as many, prelude::*};

use super::{
    Naming,
    trial::{Trial, instance, key, pairs, service},
};
use crate::{
    log::{Command, RowWrite},
    model::{
        ClusterMetadata, HealthChecker, Instance, InstanceKey, Metadata, ServiceMetadata, Weight,
    },
    node::{
        input::ProbeOutcome,
        op::Op,
        reply::{Answered, Reply},
    },
};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Http(Op),
    Grpc(u64, Op),
    Connect(u64),
    Disconnect(u64),
    Pass(u64),
    /// Probes that were asked for end, this way.
    Probed(ProbeOutcome),
    /// A command that this node did not propose.
    Foreign(Command),
    Overload(bool),
    StartAgain,
}

const SERVICES: [&str; 3] = ["a", "b", "c"];

fn any_key() -> impl Strategy<Value = InstanceKey> {
    // Of the names some begin alike for longer than the head of a key is.
    let ip = prop_oneof![
        3 => (1..5_u8).prop_map(|n| key(n).ip),
        1 => (1..4_u8).prop_map(|n| format!("a-name-of-16-letters-{n}").into()),
    ];
    (ip, prop_oneof![3 => Just(""), 1 => Just("x")])
        .prop_map(|(ip, cluster)| InstanceKey::new(&ip, key(1).port, cluster))
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let texts = [
        vec![],
        vec![("k", "1")],
        vec![("k", "2"), ("l", "1")],
        vec![
            ("preserved.heart.beat.timeout", "6000"),
            ("preserved.ip.delete.timeout", "7000"),
        ],
        vec![("enableClientBeat", "true")],
        vec![("preserved.instance.id.generator", "snowflake")],
    ];
    prop::sample::select(texts.to_vec()).prop_map(|p| pairs(&p))
}

fn any_instance(ephemeral: impl Strategy<Value = bool>) -> impl Strategy<Value = Instance> {
    let weight = prop_oneof![Just(1.0), Just(2.0)].prop_map(|w| Weight::new(w).unwrap());
    (
        any_key(),
        weight,
        any::<bool>(),
        any::<bool>(),
        ephemeral,
        any_metadata(),
    )
        .prop_map(
            |(key, weight, healthy, enabled, ephemeral, metadata)| Instance {
                key,
                weight,
                healthy,
                enabled,
                ephemeral,
                metadata,
                instance_id: Arc::from(""),
            },
        )
}

fn any_op() -> impl Strategy<Value = Op> {
    let s = || prop::sample::select(&SERVICES).prop_map(service);
    let mostly = || prop_oneof![4 => Just(true), 1 => Just(false)];
    let weight = || Just(Weight::new(3.0).unwrap());
    let checker = prop::sample::select(vec![HealthChecker::Tcp, HealthChecker::None]);
    prop_oneof![
        8 => (s(), any_instance(mostly())).prop_map(|(service, instance)| Op::Register { service, instance }),
        3 => (s(), many(any_instance(Just(true)), 0..4))
            .prop_map(|(service, instances)| Op::BatchRegister { service, instances }),
        4 => (s(), any_key(), mostly()).prop_map(|(service, key, ephemeral)| Op::Deregister { service, key, ephemeral }),
        2 => (s(), any_key(), weight(), any::<bool>(), any_metadata(), mostly()).prop_map(
            |(service, key, weight, enabled, metadata, ephemeral)| Op::UpdateInstance {
                service, key, weight, enabled, metadata, ephemeral
            }),
        2 => (s(), any_key(), prop::option::of(any_metadata())).prop_map(|(service, key, metadata)| Op::PatchInstance {
            service, key, weight: None, enabled: None, metadata
        }),
        1 => (s(), any::<bool>(), any::<bool>(), any_metadata()).prop_map(
            |(service, persistent, remove, metadata)| Op::MetadataBatch {
                service, persistent, remove, metadata, instances: None
            }),
        6 => (s(), any_key(), prop::option::of(any_instance(Just(true)))).prop_map(|(service, key, full)| {
            let full = full.map(|full| Box::new(Instance { key: key.clone(), ..full }));
            Op::Beat { service, key, full }
        }),
        1 => (s(), any_key(), any::<bool>()).prop_map(|(service, key, healthy)| Op::SetHealth { service, key, healthy }),
        1 => (s(), any::<bool>()).prop_map(|(service, ephemeral)| Op::CreateService {
            service, metadata: ServiceMetadata { ephemeral, ..ServiceMetadata::default() }
        }),
        1 => (s(), any_metadata()).prop_map(|(service, extend)| Op::UpdateService {
            service, metadata: ServiceMetadata { extend, ..ServiceMetadata::default() }
        }),
        1 => s().prop_map(|service| Op::DeleteService { service }),
        1 => (s(), checker).prop_map(|(service, checker)| Op::UpdateCluster {
            service, cluster: Arc::from("DEFAULT"), metadata: ClusterMetadata { checker, ..ClusterMetadata::default() }
        }),
        1 => any::<bool>().prop_map(|on| Op::SetSwitch {
            entry: Arc::from("check"), value: Arc::from(if on { "true" } else { "false" })
        }),
    ]
}

/// What a command of another node may do that this node would not have proposed.
fn any_command() -> impl Strategy<Value = Command> {
    let s = || prop::sample::select(&SERVICES).prop_map(service);
    prop_oneof![
        4 => (s(), any_instance(Just(false))).prop_map(|(service, instance)| Command::PutInstance { service, instance }),
        1 => (s(), any::<bool>()).prop_map(|(service, ephemeral)| Command::CreateService {
            service, metadata: ServiceMetadata { ephemeral, ..ServiceMetadata::default() }
        }),
        1 => s().prop_map(|service| Command::DeleteService { service }),
        1 => (s(), any_key()).prop_map(|(service, key)| Command::RemoveInstance { service, key }),
        1 => (s(), any_key()).prop_map(|(service, key)| Command::ExpireMetadata {
            instances: vec![(service.clone(), key)], services: vec![service]
        }),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let outcome = prop::sample::select(vec![
        ProbeOutcome::Healthy,
        ProbeOutcome::Soft("503".into()),
        ProbeOutcome::Hard("refused".into()),
        ProbeOutcome::TimedOut,
    ]);
    prop_oneof![
        12 => any_op().prop_map(Event::Http),
        10 => (0..3_u64, any_op()).prop_map(|(conn, op)| Event::Grpc(conn, op)),
        3 => (0..3_u64).prop_map(Event::Connect),
        2 => (0..3_u64).prop_map(Event::Disconnect),
        6 => prop_oneof![0..3_000_u64, 0..40_000_u64].prop_map(Event::Pass),
        3 => outcome.prop_map(Event::Probed),
        3 => any_command().prop_map(Event::Foreign),
        1 => any::<bool>().prop_map(Event::Overload),
        1 => Just(Event::StartAgain),
    ]
}

impl Trial {
    /// Lets something happen; the audit follows each step.
    fn happen(&mut self, event: &Event) -> Option<Answered> {
        match event {
            Event::Http(op) => return Some(self.http(op.clone())),
            Event::Grpc(conn, op) => return Some(self.grpc(*conn, op.clone())),
            Event::Connect(conn) => self.connect(*conn),
            Event::Disconnect(conn) => self.disconnect(*conn),
            Event::Pass(ms) => self.pass(*ms),
            Event::Probed(outcome) => {
                for (probe, _) in self.naming.take_probes() {
                    self.naming.probed(probe, outcome, 10, self.now);
                }
                self.settle();
            }
            Event::Foreign(command) => {
                let answered = self.apply(command.clone());
                self.settle();
                return Some(answered);
            }
            Event::Overload(busy) => self.naming.overloaded(*busy, self.now),
            Event::StartAgain => self.naming.beats_start_again(self.now),
        }
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// The audit runs after each step: the reader sees the state, timers and marks are exactly those that are needed,
    /// the store holds the durable state. In the end everybody goes, and nothing is left.
    #[test]
    fn the_reader_sees_the_state_and_nothing_is_left_behind(events in many(any_event(), 0..60)) {
        let mut trial = Trial::new();
        for event in &events {
            trial.happen(event);
        }
        trial.naming.overloaded(false, trial.now);
        for conn in 0..3 {
            trial.disconnect(conn);
        }
        trial.switch("check", "true").unwrap();
        for name in SERVICES {
            let of: Vec<_> = trial.view.get(&service(name)).map_or_else(Vec::new, |s| s.instances.values().cloned().collect());
            for i in of {
                trial.http(Op::Deregister { service: service(name), key: i.key.clone(), ephemeral: i.ephemeral }).unwrap();
            }
        }
        // Probes that were asked for and not fetched are the host's.
        trial.naming.take_probes();
        trial.pass(200_000);
        prop_assert!(trial.is_blank(), "{:?}", trial.naming);
    }

    /// A node restored from the bytes of another in the middle goes on as the other does.
    #[test]
    fn a_copy_goes_on_alike(before in many(any_event(), 0..40), after in many(any_event(), 0..40)) {
        let mut one = Trial::new();
        for event in &before {
            one.happen(event);
        }
        let mut two = Trial { naming: one.swapped(), rows: one.rows.clone(), view: one.view.clone(), now: one.now, ..Trial::new() };
        let told = one.changes.len();
        let applied = one.commands.len();
        for event in &after {
            prop_assert_eq!(one.happen(event), two.happen(event));
            prop_assert_eq!(one.naming.deadline(), two.naming.deadline());
        }
        prop_assert_eq!(&one.changes[told..], &two.changes[..]);
        prop_assert_eq!(&one.commands[applied..], &two.commands[..]);
        prop_assert_eq!(one.naming.take_probes(), two.naming.take_probes());
        prop_assert_eq!(one.naming.durable_bytes(), two.naming.durable_bytes());
        prop_assert_eq!(one.naming.volatile_bytes(), two.naming.volatile_bytes());
    }

    /// Durable state is a function of the log: another node that applies the same commands, whatever else happened to
    /// it, answers them alike and holds the same; and so does one restored from the rows.
    #[test]
    fn durable_state_is_a_function_of_the_log(events in many(any_event(), 0..60)) {
        let mut one = Trial::new();
        for event in &events {
            one.happen(event);
        }
        let mut naming = Naming::new();
        let mut answers = Vec::new();
        for (index, command) in one.commands.iter().enumerate() {
            let mut rows: Vec<RowWrite> = Vec::new();
            answers.push(naming.apply(index as u64 + 1, command.clone(), &mut rows));
        }
        prop_assert_eq!(naming.durable_bytes(), one.naming.durable_bytes());
        let again = one.started_again();
        prop_assert_eq!(again.naming.durable_bytes(), one.naming.durable_bytes());
        // What is persistent and described is seen alike after a start.
        for (key, seen) in &one.view {
            let stays = !seen.state.ephemeral && !seen.instances.is_empty();
            if stays {
                prop_assert_eq!(&again.view[key].instances, &seen.instances);
            }
        }
    }

    /// Health and presence of HTTP clients against a naive model that looks at everybody each time.
    #[test]
    fn silence_is_judged_as_a_naive_model_does(events in many((0..4_u8, 0..2_u8, 0..20_000_u64), 1..60)) {
        let mut trial = Trial::new();
        // By instance: last heard of, healthy.
        let mut naive: BTreeMap<u8, (u64, bool)> = BTreeMap::new();
        for (n, what, pause) in events {
            trial.pass(pause);
            let now = trial.now.mono;
            naive.retain(|_, (last, healthy)| {
                *healthy &= now - *last <= 15_000;
                now - *last <= 30_000
            });
            let known = naive.contains_key(&n);
            if what == 0 {
                trial.register("s", instance(n)).unwrap();
                naive.insert(n, (now, true));
            } else {
                let answered = trial.beat("s", n);
                prop_assert_eq!(answered, Ok(Reply::Beat { interval: 5_000, known, light: true }));
                if known {
                    naive.insert(n, (now, true));
                }
            }
            for n in 0..4 {
                prop_assert_eq!(trial.health("s", n), naive.get(&n).map(|(_, healthy)| *healthy));
            }
        }
    }
}
