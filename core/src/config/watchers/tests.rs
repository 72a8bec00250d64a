use alloc::format;

use super::{
    super::configs::tests::{Log, publish},
    *,
};
use crate::{
    model::GrayRule,
    node::{input::Origin, op::Publish, reply::Listener},
};

mod properties;

/// Watchers with the configs they watch, as a node drives them.
struct World {
    log: Log,
    watchers: Watchers,
    mono: u64,
    last_id: u64,
}

type Answers = Vec<(u64, Answered)>;
type Notified = Vec<(ConnId, bool)>;

impl World {
    fn new() -> Self {
        Self::limited(WatchLimits::default())
    }

    fn limited(limits: WatchLimits) -> Self {
        Self {
            log: Log::new(None),
            watchers: Watchers::new(limits),
            mono: 0,
            last_id: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.mono,
            wall: self.mono + 1_000_000,
        }
    }

    fn poll(
        &mut self,
        ip: &str,
        tag: &str,
        keys: &[(ConfigKey, Option<Md5>)],
        wait_ms: u64,
    ) -> Step {
        self.last_id += 1;
        let origin = Origin {
            conn: None,
            ip: ip.into(),
            user: "".into(),
        };
        let turn = Turn {
            id: self.last_id,
            origin: &origin,
            now: self.now(),
            stamp: 0,
        };
        self.watchers
            .poll(turn, keys, wait_ms, &tag.into(), &self.log.configs)
    }

    fn listen(&mut self, conn: u64, listen: bool, keys: &[(ConfigKey, Option<Md5>, bool)]) -> Step {
        self.listen_as(conn, "10.0.0.1", "", listen, keys)
    }

    fn listen_as(
        &mut self,
        conn: u64,
        ip: &str,
        tag: &str,
        listen: bool,
        keys: &[(ConfigKey, Option<Md5>, bool)],
    ) -> Step {
        let origin = Origin {
            conn: Some(ConnId(conn)),
            ip: ip.into(),
            user: "".into(),
        };
        let turn = Turn {
            id: 0,
            origin: &origin,
            now: self.now(),
            stamp: 0,
        };
        self.watchers
            .listen(turn, listen, keys, &tag.into(), &self.log.configs)
    }

    /// Tells the watchers what changed.
    fn settle(&mut self) -> (Answers, Notified) {
        let mut notified = Vec::new();
        for change in self.log.configs.take_changes() {
            notified.extend(self.watchers.changed(&change.key, change.item.as_ref()));
        }
        (self.watchers.wake(), notified)
    }

    fn publish(&mut self, publish: Publish) -> (Answers, Notified) {
        self.log
            .publish(publish)
            .expect("nothing speaks against it");
        self.settle()
    }

    fn remove(&mut self, key: &ConfigKey, gray: Option<&str>) -> (Answers, Notified) {
        self.log
            .remove(key, gray)
            .expect("a removal is never refused");
        self.settle()
    }

    fn md5(&self, key: &ConfigKey, ip: &str, tag: &str) -> Option<Md5> {
        effective_md5(self.log.configs.get(key).map(|item| &**item), ip, tag)
    }

    fn assert_empty(&self) {
        let fresh = Watchers::new(self.watchers.limits);
        assert_eq!(self.watchers, fresh, "nothing is left behind");
    }
}

fn key(n: u32) -> ConfigKey {
    ConfigKey::new("", "g", &format!("d{n}"))
}

fn md5(text: &str) -> Option<Md5> {
    Some(Md5::of(text.as_bytes()))
}

fn woken(position: u32, key: &ConfigKey) -> Answered {
    let key = key.clone();
    Ok(Reply::Woken { position, key })
}

fn changed(positions: &[u32]) -> Answered {
    Ok(Reply::Changed(positions.to_vec()))
}

#[test]
fn a_poll_that_differs_or_does_not_wait_is_answered_at_once() {
    let mut world = World::new();
    world.publish(publish(&key(1), "one"));
    let keys = [
        (key(0), None),
        (key(1), md5("one")),
        (key(1), None),
        (key(2), md5("")),
    ];
    assert_eq!(
        world.poll("", "", &keys, 1000),
        Step::Done(woken(2, &key(1)))
    );
    assert_eq!(world.poll("", "", &keys, 0), Step::Done(changed(&[2, 3])));
    assert_eq!(world.poll("", "", &keys[..2], 0), Step::Done(changed(&[])));
    world.assert_empty();
}

#[test]
fn a_parked_poll_is_told_the_one_config_that_changed() {
    let mut world = World::new();
    world.publish(publish(&key(1), "one"));
    let keys = [(key(0), None), (key(1), md5("one"))];
    assert_eq!(world.poll("", "", &keys, 1000), Step::Parked);
    let of = (
        world.watchers.polls(),
        world.watchers.watched(),
        world.watchers.timers(),
    );
    assert_eq!(of, (1, 2, 1));
    assert_eq!(
        world.publish(publish(&key(1), "one")).0,
        [],
        "the same content again is no change"
    );
    assert_eq!(world.publish(publish(&key(9), "one")).0, []);
    assert_eq!(
        world.publish(publish(&key(1), "two")).0,
        [(1, woken(1, &key(1)))]
    );
    assert_eq!(world.remove(&key(1), None).0, []);
    world.assert_empty();
}

#[test]
fn appearing_and_vanishing_are_changes() {
    let mut world = World::new();
    assert_eq!(world.poll("", "", &[(key(0), None)], 1000), Step::Parked);
    assert_eq!(
        world.publish(publish(&key(0), "one")).0,
        [(1, woken(0, &key(0)))]
    );
    assert_eq!(
        world.poll("", "", &[(key(0), md5("one"))], 1000),
        Step::Parked
    );
    assert_eq!(world.remove(&key(0), None).0, [(2, woken(0, &key(0)))]);
    world.assert_empty();
}

#[test]
fn time_runs_out_by_the_monotonic_clock() {
    let mut world = World::new();
    assert_eq!(world.poll("", "", &[(key(0), None)], 29_500), Step::Parked);
    assert_eq!(world.poll("", "", &[], u64::MAX), Step::Parked);
    assert_eq!(world.watchers.deadline(), Some(29_500));
    world.mono = 29_499;
    assert_eq!(world.watchers.tick(world.now()), []);
    world.mono = 29_500;
    assert_eq!(world.watchers.tick(world.now()), [(1, changed(&[]))]);
    assert_eq!(
        world.watchers.deadline(),
        Some(600_000),
        "no poll waits for ever"
    );
    world.mono = 600_000;
    assert_eq!(world.watchers.tick(world.now()), [(2, changed(&[]))]);
    assert_eq!(world.watchers.deadline(), None);
    world.assert_empty();
}

#[test]
fn whoever_went_away_is_forgotten() {
    let mut world = World::new();
    assert_eq!(
        world.poll("", "", &[(key(0), None), (key(0), None)], 1000),
        Step::Parked
    );
    world.watchers.gone(7);
    assert_eq!(world.watchers.polls(), 1);
    world.watchers.gone(1);
    world.watchers.gone(1);
    world.assert_empty();
    assert_eq!(world.publish(publish(&key(0), "one")).0, []);
}

#[test]
fn a_storm_is_answered_in_slices() {
    let mut world = World::new();
    for _ in 0..2500 {
        assert_eq!(world.poll("", "", &[(key(0), None)], 1000), Step::Parked);
    }
    let (first, _) = world.publish(publish(&key(0), "one"));
    assert_eq!((first.len(), world.watchers.deadline()), (1024, Some(0)));
    // One goes, and another comes into the first place that is free; neither is answered by mistake.
    world.watchers.gone(2500);
    assert_eq!(
        world.poll("", "", &[(key(0), md5("one"))], 1000),
        Step::Parked
    );
    let second = world.watchers.tick(world.now());
    let third = world.watchers.tick(world.now());
    assert_eq!((second.len(), third.len()), (1024, 2500 - 1 - 2048));
    let mut answered: Vec<u64> = first
        .iter()
        .chain(&second)
        .chain(&third)
        .map(|(id, _)| *id)
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (1..2500).collect::<Vec<u64>>());
    assert_eq!(
        (world.watchers.deadline(), world.watchers.polls()),
        (Some(1000), 1)
    );
}

#[test]
fn time_outs_come_in_slices_too_and_a_stopping_node_answers_all() {
    let mut world = World::new();
    for _ in 0..1500 {
        assert_eq!(world.poll("", "", &[(key(0), None)], 1000), Step::Parked);
    }
    world.mono = 1000;
    assert_eq!(world.watchers.tick(world.now()).len(), 1024);
    assert_eq!(world.watchers.deadline(), Some(1000));
    let rest: Vec<_> = (1025..=1500).map(|id| (id, changed(&[]))).collect();
    assert_eq!(world.watchers.answer_all(), rest);
    world.assert_empty();
}

#[test]
fn a_gray_version_wakes_only_whom_it_is_for() {
    let mut world = World::new();
    world.publish(publish(&key(0), "formal"));
    let holds = [(key(0), md5("formal"))];
    for (ip, tag) in [
        ("10.0.0.1", ""),
        ("10.0.0.2", ""),
        ("10.0.0.1", "t"),
        ("10.0.0.2", "t"),
    ] {
        assert_eq!(world.poll(ip, tag, &holds, 1000), Step::Parked);
    }
    let gray = |rule, text| Publish {
        gray: Some(rule),
        ..publish(&key(0), text)
    };
    let beta = GrayRule::Beta {
        ips: "10.0.0.1".into(),
    };
    assert_eq!(
        world.publish(gray(beta.clone(), "formal")).0,
        [],
        "the same text in another version"
    );
    assert_eq!(
        world.publish(gray(beta, "b")).0,
        [(1, woken(0, &key(0))), (3, woken(0, &key(0)))]
    );
    assert_eq!(
        world
            .publish(gray(GrayRule::Tag { tag: "t".into() }, "t"))
            .0,
        [(4, woken(0, &key(0)))]
    );
    assert_eq!(
        world.poll("10.0.0.1", "t", &[(key(0), md5("b"))], 1000),
        Step::Parked
    );
    assert_eq!(
        world.publish(publish(&key(0), "formal 2")).0,
        [(2, woken(0, &key(0)))]
    );
    assert_eq!(
        world.remove(&key(0), Some("beta")).0,
        [(5, woken(0, &key(0)))]
    );
    world.assert_empty();
}

#[test]
fn limits_refuse_and_leave_nothing() {
    let mut world = World::limited(WatchLimits {
        polls: 1,
        keys_per_poll: 2,
        poll_keys: 3,
        poll_wait_ms: 1000,
        listens_per_connection: 2,
    });
    let refused = |step: &Step| matches!(step, Step::Done(Err(Refusal::LimitReached(_))));
    let keys = [(key(0), None), (key(1), None), (key(2), None)];
    assert!(refused(&world.poll("", "", &keys, 1000)));
    let listens = keys.clone().map(|(key, md5)| (key, md5, false));
    assert!(refused(&world.listen(1, true, &listens)));
    world.assert_empty();
    assert_eq!(world.poll("", "", &keys[..2], 1000), Step::Parked);
    assert!(refused(&world.poll("", "", &keys[..1], 1000)));
    assert_eq!(
        world.poll("", "", &keys[..1], 0),
        Step::Done(changed(&[])),
        "asking is always allowed"
    );
    assert_eq!(
        world.listen(1, true, &listens[..2]),
        Step::Done(changed(&[]))
    );
    assert_eq!(
        world.listen(1, true, &listens[..2]),
        Step::Done(changed(&[])),
        "again"
    );
    assert!(refused(&world.listen(1, true, &listens[1..])));
    assert_eq!(world.watchers.listens(), 2);
}

#[test]
fn connections_are_notified_of_every_change_of_what_they_would_get() {
    let mut world = World::new();
    world.publish(publish(&key(0), "a"));
    let listens = [(key(0), md5("a"), true), (key(1), md5("x"), false)];
    assert_eq!(world.listen(7, true, &listens), Step::Done(changed(&[1])));
    assert_eq!(
        world.listen_as(8, "10.0.0.2", "", true, &listens[..1]),
        Step::Done(changed(&[]))
    );
    assert_eq!(
        world.publish(publish(&key(0), "b")).1,
        [(ConnId(7), true), (ConnId(8), true)]
    );
    assert_eq!(
        world.publish(publish(&key(0), "a")).1,
        [(ConnId(7), true), (ConnId(8), true)],
        "and back"
    );
    assert_eq!(world.publish(publish(&key(0), "a")).1, []);
    let beta = Publish {
        gray: Some(GrayRule::Beta {
            ips: "10.0.0.2".into(),
        }),
        ..publish(&key(0), "g")
    };
    assert_eq!(world.publish(beta).1, [(ConnId(8), true)]);
    assert_eq!(world.publish(publish(&key(1), "x")).1, [(ConnId(7), false)]);

    assert_eq!(
        world.listen(7, false, &listens[..1]),
        Step::Done(changed(&[]))
    );
    assert_eq!(world.publish(publish(&key(0), "c")).1, []);
    world.watchers.disconnected(ConnId(7));
    world.watchers.disconnected(ConnId(7));
    assert_eq!((world.watchers.listens(), world.watchers.watched()), (1, 1));
    world.listen(8, false, &listens);
    world.assert_empty();
}

#[test]
fn a_listen_without_a_connection_is_refused() {
    let mut world = World::new();
    let origin = Origin::default();
    let turn = Turn {
        id: 1,
        origin: &origin,
        now: world.now(),
        stamp: 0,
    };
    let step = world.watchers.listen(
        turn,
        true,
        &[(key(0), None, false)],
        &"".into(),
        &world.log.configs,
    );
    assert_eq!(step, Step::Done(Err(Refusal::Unregistered)));
    world.assert_empty();
}

#[test]
fn questions_name_polls_and_connections() {
    let mut world = World::new();
    world.publish(publish(&key(0), "a"));
    world.mono = 5;
    world.poll("10.0.0.1", "", &[(key(0), md5("a"))], 1000);
    world.listen(
        7,
        true,
        &[
            (key(0), md5("old"), false),
            (ConfigKey::new("ns", "g", "d"), None, false),
        ],
    );
    let id_of = |conn: ConnId| (conn == ConnId(7)).then(|| "c7".into());
    let listeners = world.watchers.listeners_of(&key(0), id_of);
    let line = |held: &str, connection: &str| Listener {
        ip: "10.0.0.1".into(),
        md5: md5(held),
        connection: connection.into(),
        since: 1_000_005,
    };
    assert_eq!(listeners, [line("a", ""), line("old", "c7")]);
    assert_eq!(world.watchers.listeners_of(&key(1), id_of), []);
    let all = world.watchers.listened_by("10.0.0.1", None);
    assert_eq!(
        all,
        [(ConfigKey::new("ns", "g", "d"), None), (key(0), md5("old"))]
    );
    assert_eq!(
        world.watchers.listened_by("10.0.0.1", Some("public")),
        [(key(0), md5("old"))]
    );
    assert_eq!(world.watchers.listened_by("10.0.0.9", None), []);
}
