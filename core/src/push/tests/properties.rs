//! What must hold under any order of changes, subscriptions, acknowledgements, failures and silences.

use alloc::{collections::BTreeMap, vec};

use proptest::{collection::vec, prelude::*};

use super::*;

const SERVICES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Change(usize),
    Vanish(usize),
    Appear(usize),
    Label(usize),
    Config(bool),
    Subscribe(usize, usize, bool),
    Unsubscribe(usize, usize),
    Reconnect(usize),
    Query(u16, usize),
    Watch(usize, bool, bool),
    Unwatch(usize, bool),
    /// Answer the latest push but `.1`, on one of its connections.
    Answer(bool, usize, usize),
    UdpAnswer(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let of = 0..3usize;
    prop_oneof![
        6 => prop_oneof![0..20u64, 0..700u64, 0..7_000u64].prop_map(Step::Wait),
        5 => of.clone().prop_map(Step::Change),
        1 => of.clone().prop_map(Step::Vanish),
        1 => of.clone().prop_map(Step::Appear),
        1 => of.clone().prop_map(Step::Label),
        2 => any::<bool>().prop_map(Step::Config),
        3 => (0..4usize, of.clone(), any::<bool>()).prop_map(|(c, s, f)| Step::Subscribe(c, s, f)),
        1 => (0..4usize, of.clone()).prop_map(|(c, s)| Step::Unsubscribe(c, s)),
        1 => (0..4usize).prop_map(Step::Reconnect),
        3 => (1..4u16, of).prop_map(|(p, s)| Step::Query(p, s)),
        1 => (0..4usize, any::<bool>(), any::<bool>()).prop_map(|(c, k, i)| Step::Watch(c, k, i)),
        1 => (0..4usize, any::<bool>()).prop_map(|(c, k)| Step::Unwatch(c, k)),
        6 => (any::<bool>(), 0..6usize, 0..4usize).prop_map(|(ok, back, c)| Step::Answer(ok, back, c)),
        3 => (0..6usize).prop_map(Step::UdpAnswer),
    ]
}

/// What a push is about, for the bookkeeping of a test.
type Subject = (u64, String);

/// A bench with a book of what was sent.
struct World {
    bench: Bench,
    /// The connection behind each place.
    conns: [u64; 4],
    next: u64,
    /// Outputs that are in the book already.
    seen: usize,
    /// Serial number of the last thing that happened.
    serial: u64,
    changed: BTreeMap<String, u64>,
    sent: BTreeMap<Subject, u64>,
    /// Under way: number, and when it is given up.
    flying: BTreeMap<Subject, (u64, u64)>,
    /// When a config was last sent to a connection.
    notified: BTreeMap<Subject, u64>,
    /// Datagrams to a client since the last change or its subscription.
    datagrams: BTreeMap<(u16, String), u32>,
    subscribed: BTreeMap<Subject, u64>,
}

impl World {
    fn new() -> Self {
        Self {
            bench: Bench::with(&[1, 2, 3, 4]),
            conns: [1, 2, 3, 4],
            next: 5,
            seen: 0,
            serial: 0,
            changed: BTreeMap::new(),
            sent: BTreeMap::new(),
            flying: BTreeMap::new(),
            notified: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            subscribed: BTreeMap::new(),
        }
    }

    fn mark(&mut self, name: &str) {
        self.serial += 1;
        self.changed.insert(name.into(), self.serial);
        self.datagrams.retain(|(_, of), _| of != name);
    }

    /// Enters new outputs into the book; checks what each output alone must obey.
    fn book(&mut self) {
        self.serial += 1;
        for (at, output) in &self.bench.raw[self.seen..] {
            match output {
                Output::Push { push, body, conns } => {
                    let (what, wait) = match body {
                        PushBody::Service { key, .. } | PushBody::ServicePolicy { key, .. } => {
                            (format!("s {}", key.name), 5_000)
                        }
                        PushBody::Config { key, blank_tenant } => {
                            (format!("c {} {blank_tenant}", key.data_id), 3_000)
                        }
                        PushBody::FuzzyService { key, .. } => (format!("fs {}", key.name), 5_000),
                        PushBody::FuzzyConfig { key, .. } => (format!("fc {}", key.data_id), 3_000),
                        PushBody::FuzzySync {
                            config, pattern, ..
                        } => (
                            format!("y {config} {pattern}"),
                            if *config { 3_000 } else { 5_000 },
                        ),
                    };
                    for conn in conns {
                        assert!(
                            self.conns.contains(&conn.0),
                            "sent to a connection that is gone"
                        );
                        let subject = (conn.0, what.clone());
                        let until = self.flying.get(&subject).map_or(0, |(_, until)| *until);
                        assert!(until <= *at, "two pushes of {subject:?} under way at {at}");
                        self.flying.insert(subject.clone(), (*push, at + wait));
                        if matches!(body, PushBody::Config { .. })
                            && let Some(last) = self.notified.insert(subject.clone(), *at)
                        {
                            assert!(at - last >= 300, "{subject:?} after {} ms", at - last);
                        }
                        self.sent.insert(subject, self.serial);
                    }
                }
                Output::Datagram {
                    push,
                    port,
                    service,
                    ..
                } => {
                    assert!(*push < 1 << 53);
                    let sent = self
                        .datagrams
                        .entry((*port, service.name.to_string()))
                        .or_default();
                    *sent += 1;
                    assert!(*sent <= 2, "a change was sent three times to {port}");
                    self.sent.insert(
                        (u64::from(*port) << 32, format!("s {}", service.name)),
                        self.serial,
                    );
                }
                _ => {}
            }
        }
        self.seen = self.bench.raw.len();
    }

    fn pushes(&self) -> Vec<(u64, Vec<ConnId>)> {
        let pushes = self
            .bench
            .raw
            .iter()
            .rev()
            .filter_map(|(_, output)| match output {
                Output::Push { push, conns, .. } => Some((*push, conns.clone())),
                _ => None,
            });
        pushes.take(6).collect()
    }

    fn answered(&mut self, conn: u64, push: u64) {
        self.flying
            .retain(|(of, _), (number, _)| (*of, *number) != (conn, push));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Wait(ms) => self.bench.to(self.bench.now + ms),
            Step::Change(s) => {
                self.mark(SERVICES[s]);
                self.bench.change(SERVICES[s]);
            }
            Step::Vanish(s) => {
                self.mark(SERVICES[s]);
                self.bench.changed(SERVICES[s], None, false, true, 0);
            }
            Step::Appear(s) => {
                self.mark(SERVICES[s]);
                self.bench.changed(SERVICES[s], None, true, false, 1);
            }
            Step::Label(s) => {
                self.mark(SERVICES[s]);
                self.bench
                    .changed(SERVICES[s], Some(&labelled()), false, false, 1);
            }
            Step::Config(exists) => {
                let listeners: Vec<_> = self
                    .conns
                    .iter()
                    .map(|conn| (*conn, conn % 2 == 0))
                    .collect();
                self.bench.config_changed("c", exists, &listeners);
            }
            Step::Subscribe(c, s, filtered) => {
                let conn = self.conns[c];
                self.serial += 1;
                self.subscribed
                    .entry((conn, format!("s {}", SERVICES[s])))
                    .or_insert(self.serial);
                self.bench
                    .subscribe(conn, SERVICES[s], if filtered { "A" } else { "" })
                    .unwrap();
            }
            Step::Unsubscribe(c, s) => {
                let subject = (self.conns[c], format!("s {}", SERVICES[s]));
                self.subscribed.remove(&subject);
                self.flying.remove(&subject);
                self.bench.unsubscribe(subject.0, SERVICES[s]).unwrap();
            }
            Step::Reconnect(c) => {
                let old = core::mem::replace(&mut self.conns[c], self.next);
                self.next += 1;
                self.subscribed.retain(|(conn, _), _| *conn != old);
                self.flying.retain(|(conn, _), _| *conn != old);
                self.bench.disconnect(old);
                self.bench.connect(self.conns[c]);
            }
            Step::Query(port, s) => {
                let known = self
                    .bench
                    .push
                    .subscriptions_of(&format!("10.1.0.1:{port}#true"));
                if known.is_none_or(|all| all.iter().all(|sub| *sub.service.name != *SERVICES[s])) {
                    self.datagrams.remove(&(port, SERVICES[s].to_string()));
                }
                self.bench.query(port, SERVICES[s]).unwrap();
            }
            Step::Watch(c, configs, initializing) => {
                let (conn, pattern) = (self.conns[c], "public>>*>>*");
                // A new dialogue takes the place of the old one.
                self.flying
                    .remove(&(conn, format!("y {configs} {pattern}")));
                self.bench
                    .watch(conn, configs, pattern, &["x"], initializing, &SERVICES)
                    .unwrap();
            }
            Step::Unwatch(c, configs) => {
                let (conn, pattern) = (self.conns[c], "public>>*>>*");
                self.flying
                    .remove(&(conn, format!("y {configs} {pattern}")));
                self.bench.unwatch(conn, configs, pattern).unwrap();
            }
            Step::Answer(ok, back, c) => {
                let Some((push, conns)) = self.pushes().get(back).cloned() else {
                    return;
                };
                let conn = conns[c % conns.len()].0;
                self.answered(conn, push);
                if ok {
                    self.bench.ack(conn, push);
                } else {
                    self.bench.fail(conn, push);
                }
            }
            Step::UdpAnswer(back) => {
                let of = self
                    .bench
                    .raw
                    .iter()
                    .rev()
                    .filter_map(|(_, output)| match output {
                        Output::Datagram { push, port, .. } => Some((*port, *push)),
                        _ => None,
                    });
                let found = of.take(6).nth(back);
                if let Some((port, push)) = found {
                    self.bench.udp_ack(port, push);
                }
            }
        }
        self.book();
    }

    /// Whoever is left answers each push until nothing is under way; UDP clients fall silent.
    fn quiesce(&mut self) {
        for _ in 0..500 {
            for (push, conns) in self.pushes() {
                for conn in conns {
                    self.answered(conn.0, push);
                    self.bench.ack(conn.0, push);
                }
            }
            self.book();
            let Some(next) = self.bench.push.deadline() else {
                return;
            };
            self.bench.to(next);
            self.book();
        }
        panic!("it never comes to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No update is lost, no change is sent three times over UDP, at most one push of a topic is under way to a
    /// connection, one config is sent to it once in a gap at most, and nothing is left of anybody who went.
    #[test]
    fn whatever_happens(steps in vec(step(), 0..120)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        // UDP subscribers that are there now are pushed to before they are forgotten, if they live for another window.
        let udp = world.bench.push.udp.iter().map(|sub| {
            (u64::from(sub.key.port), world.bench.push.services.get(sub.key.service).unwrap().key.name.to_string())
        });
        let udp: Vec<_> = udp.collect();
        SERVICES.iter().for_each(|name| {
            world.mark(name);
            world.bench.change(name);
            world.book();
        });
        let now = world.bench.now;
        world.bench.to(now + 500);
        world.book();
        for (port, name) in udp {
            let alive = world.bench.push.subscriptions_of(&format!("10.1.0.1:{port}#true"));
            if alive.is_some_and(|all| all.iter().any(|sub| *sub.service.name == *name)) {
                let sent = world.sent.get(&(port << 32, format!("s {name}"))).copied();
                prop_assert!(sent > world.changed.get(&name).copied(), "{port} lost a change of {name}");
            }
        }
        world.step(&Step::Config(true));
        let changed = world.serial - 1;
        world.quiesce();
        for conn in world.conns {
            let sent = world.sent.get(&(conn, format!("c c {}", conn % 2 == 0))).copied();
            prop_assert!(sent > Some(changed), "{conn} lost a change of a config");
        }
        for ((conn, what), since) in &world.subscribed {
            let changed = world.changed[&what[2..]].max(*since);
            let sent = world.sent.get(&(*conn, what.clone())).copied();
            prop_assert!(sent > Some(changed), "{conn} lost a change of {what}");
        }
        for conn in world.conns {
            world.bench.disconnect(conn);
        }
        let now = world.bench.now;
        world.bench.to(now + PushLimits::default().config_gap_ms);
        prop_assert!(world.bench.is_empty());
    }

    /// While acknowledgements come at once, a service is pushed at most once a window to each client and class, and
    /// each change has left when its window is over.
    #[test]
    fn changes_are_gathered(waits in vec(prop_oneof![0..30u64, 0..600u64, 0..2000u64], 1..60)) {
        let mut bench = Bench::with(&[1, 2]);
        bench.subscribe(1, "s", "").unwrap();
        bench.subscribe(2, "s", "A").unwrap();
        bench.query(4000, "s").unwrap();
        let mut changes = Vec::new();
        let answer = |bench: &mut Bench, seen: &mut usize| {
            for at in *seen..bench.raw.len() {
                match bench.raw[at].1.clone() {
                    Output::Push { push, conns, .. } => conns.iter().for_each(|conn| bench.ack(conn.0, push)),
                    Output::Datagram { push, port, .. } => bench.udp_ack(port, push),
                    _ => {}
                }
            }
            *seen = bench.raw.len();
        };
        let mut seen = 0;
        bench.to(500);
        answer(&mut bench, &mut seen);
        bench.to(1000);
        bench.raw.clear();
        seen = 0;
        let mut now = 1000;
        for wait in waits {
            let until = now + wait;
            while let Some(due) = bench.push.deadline().filter(|due| *due <= until) {
                bench.to(due);
                answer(&mut bench, &mut seen);
            }
            now = until;
            bench.to(now);
            if now % 20_000 < 600 {
                bench.query(4000, "s").unwrap();
            }
            bench.push.excuse_silence(bench.clock());
            bench.change("s");
            changes.push(now);
            answer(&mut bench, &mut seen);
        }
        bench.to(now + 500);
        answer(&mut bench, &mut seen);
        let mut times: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (at, output) in &bench.raw {
            match output {
                Output::Push { conns, .. } => conns.iter().for_each(|c| times.entry(c.0).or_default().push(*at)),
                _ => times.entry(0).or_default().push(*at),
            }
        }
        prop_assert_eq!(times.len(), 3);
        for sent in times.values() {
            prop_assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{:?}", sent);
            for change in &changes {
                prop_assert!(sent.iter().any(|at| at >= change && *at <= change + 500), "{} of {:?}", change, sent);
            }
        }
    }

    /// A restored state behaves as the one it was taken from.
    #[test]
    fn a_snapshot_goes_on_as_the_original(before in vec(step(), 0..60), after in vec(step(), 0..60)) {
        let mut world = World::new();
        before.iter().for_each(|step| world.step(step));
        let bytes = world.bench.push.snapshot();
        let restored = Push::from_snapshot(&bytes).unwrap();
        prop_assert_eq!(restored.snapshot(), bytes);
        let mut twin = World {
            bench: Bench { push: restored, now: world.bench.now, lines: Vec::new(), raw: world.bench.raw.clone() },
            conns: world.conns,
            next: world.next,
            seen: world.seen,
            serial: world.serial,
            changed: world.changed.clone(),
            sent: world.sent.clone(),
            flying: world.flying.clone(),
            notified: world.notified.clone(),
            datagrams: world.datagrams.clone(),
            subscribed: world.subscribed.clone(),
        };
        after.iter().for_each(|step| world.step(step));
        after.iter().for_each(|step| twin.step(step));
        prop_assert_eq!(&world.bench.raw, &twin.bench.raw);
        prop_assert_eq!(world.bench.push.deadline(), twin.bench.push.deadline());
        prop_assert_eq!(world.bench.push.push_state(false), twin.bench.push.push_state(false));
    }
}
