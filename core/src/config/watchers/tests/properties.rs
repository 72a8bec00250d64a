//! Watchers against a model, under any sequence of events.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Publish { key: u32, gray: u8, text: u8 },
    Remove { key: u32, gray: u8 },
    Poll { who: u8, keys: Vec<u32>, wait: u64 },
    Listen { conn: u64, keys: Vec<u32> },
    Stop { conn: u64, keys: Vec<u32> },
    Gone { id: u64 },
    Disconnect { conn: u64 },
    Pass { ms: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let keys = || prop::collection::vec(0..4_u32, 1..5);
    prop_oneof![
        5 => (0..4_u32, 0..3_u8, 0..3_u8).prop_map(|(key, gray, text)| Act::Publish { key, gray, text }),
        2 => (0..4_u32, 0..3_u8).prop_map(|(key, gray)| Act::Remove { key, gray }),
        5 => (0..4_u8, keys(), 1..50_u64).prop_map(|(who, keys, wait)| Act::Poll { who, keys, wait }),
        3 => (0..3_u64, keys()).prop_map(|(conn, keys)| Act::Listen { conn, keys }),
        1 => (0..3_u64, keys()).prop_map(|(conn, keys)| Act::Stop { conn, keys }),
        1 => (0..40_u64).prop_map(|id| Act::Gone { id }),
        1 => (0..3_u64).prop_map(|conn| Act::Disconnect { conn }),
        2 => (0..30_u64).prop_map(|ms| Act::Pass { ms }),
    ]
}

/// Address and tag.
const WHO: [(&str, &str); 4] = [
    ("10.0.0.1", ""),
    ("10.0.0.2", ""),
    ("10.0.0.1", "t"),
    ("10.0.0.2", "t"),
];

fn rule(gray: u8) -> Option<GrayRule> {
    match gray {
        0 => None,
        1 => Some(GrayRule::Beta {
            ips: "10.0.0.1".into(),
        }),
        _ => Some(GrayRule::Tag { tag: "t".into() }),
    }
}

/// What a poll or a connection would get of what it watches.
type Holds = Vec<(ConfigKey, Option<Md5>)>;

#[derive(Default)]
struct Model {
    /// By request: who, until when, and what it holds.
    polls: BTreeMap<u64, (usize, u64, Holds)>,
    conns: BTreeMap<u64, BTreeMap<ConfigKey, Option<Md5>>>,
}

impl Model {
    /// Polls of which a config differs now, each with the positions that do.
    fn woken(&mut self, world: &World) -> Answers {
        let differing: BTreeMap<u64, (usize, ConfigKey)> = self
            .polls
            .iter()
            .filter_map(|(id, (who, _, holds))| {
                let (ip, tag) = WHO[*who];
                let at = holds
                    .iter()
                    .position(|(key, md5)| world.md5(key, ip, tag) != *md5)?;
                Some((*id, (at, holds[at].0.clone())))
            })
            .collect();
        self.polls.retain(|id, _| !differing.contains_key(id));
        differing
            .into_iter()
            .map(|(id, (at, key))| (id, woken(at as u32, &key)))
            .collect()
    }

    fn notified(&mut self, world: &World) -> Notified {
        let mut notified = Vec::new();
        for (id, listens) in &mut self.conns {
            for (key, md5) in listens {
                let (ip, tag) = WHO[*id as usize];
                let new = world.md5(key, ip, tag);
                if new != *md5 {
                    *md5 = new;
                    notified.push((ConnId(*id), false));
                }
            }
        }
        notified
    }
}

fn sorted(mut answers: Answers) -> Answers {
    answers.sort_by_key(|(id, _)| *id);
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Against a model: a poll is woken if and only if what it would get changed, a connection notified likewise; a
    /// snapshot goes on as the original; nothing is left when all are gone.
    #[test]
    fn whoever_would_get_something_else_is_told_and_nobody_else(acts in prop::collection::vec(act(), 1..80)) {
        let mut world = World::new();
        let mut model = Model::default();
        for act in acts {
            let copy = Watchers::from_snapshot(&world.watchers.snapshot(), &world.log.configs);
            prop_assert_eq!(copy.as_ref(), Ok(&world.watchers));
            if world.mono.is_multiple_of(2) {
                world.watchers = copy.expect("of this release");
            }
            match act {
                Act::Publish { key: n, gray, text } => {
                    let publish = Publish { gray: rule(gray), ..publish(&key(n), &format!("{text}")) };
                    let (answers, notified) = world.publish(publish);
                    prop_assert_eq!(sorted(answers), model.woken(&world));
                    prop_assert_eq!(notified, model.notified(&world));
                }
                Act::Remove { key: n, gray } => {
                    let name = rule(gray).map(|r| r.name());
                    let (answers, notified) = world.remove(&key(n), name.as_deref());
                    prop_assert_eq!(sorted(answers), model.woken(&world));
                    prop_assert_eq!(notified, model.notified(&world));
                }
                Act::Poll { who, keys, wait } => {
                    let who = usize::from(who);
                    let (ip, tag) = WHO[who];
                    let holds: Holds = keys.iter().map(|n| (key(*n), world.md5(&key(*n), ip, tag))).collect();
                    prop_assert_eq!(world.poll(ip, tag, &holds, wait), Step::Parked);
                    model.polls.insert(world.last_id, (who, world.mono + wait, holds));
                }
                Act::Listen { conn, keys } => {
                    let (ip, tag) = WHO[conn as usize];
                    let listens: Vec<_> =
                        keys.iter().map(|n| (key(*n), world.md5(&key(*n), ip, tag), false)).collect();
                    prop_assert_eq!(world.listen_as(conn, ip, tag, true, &listens), Step::Done(changed(&[])));
                    let known = model.conns.entry(conn).or_default();
                    known.extend(listens.into_iter().map(|(key, md5, _)| (key, md5)));
                }
                Act::Stop { conn, keys } => {
                    let listens: Vec<_> = keys.iter().map(|n| (key(*n), None, false)).collect();
                    prop_assert_eq!(world.listen(conn, false, &listens), Step::Done(changed(&[])));
                    if let Some(known) = model.conns.get_mut(&conn) {
                        known.retain(|key, _| !listens.iter().any(|(k, ..)| k == key));
                    }
                }
                Act::Gone { id } => {
                    world.watchers.gone(id);
                    model.polls.remove(&id);
                }
                Act::Disconnect { conn } => {
                    world.watchers.disconnected(ConnId(conn));
                    model.conns.remove(&conn);
                }
                Act::Pass { ms } => {
                    world.mono += ms;
                    let late: Vec<u64> =
                        model.polls.iter().filter(|(_, p)| p.1 <= world.mono).map(|(id, _)| *id).collect();
                    model.polls.retain(|id, _| !late.contains(id));
                    let expected: Answers = late.into_iter().map(|id| (id, changed(&[]))).collect();
                    prop_assert_eq!(sorted(world.watchers.tick(world.now())), expected);
                    prop_assert_eq!(world.watchers.deadline(), model.polls.values().map(|p| p.1).min());
                }
            }
            let mut watched: BTreeSet<&ConfigKey> = model.conns.values().flat_map(BTreeMap::keys).collect();
            watched.extend(model.polls.values().flat_map(|(_, _, holds)| holds.iter().map(|(key, _)| key)));
            prop_assert_eq!(world.watchers.watched(), watched.len());
            prop_assert_eq!(world.watchers.polls(), model.polls.len());
            prop_assert_eq!(world.watchers.listens(), model.conns.values().map(BTreeMap::len).sum::<usize>());
        }
        for conn in 0..3 {
            world.watchers.disconnected(ConnId(conn));
        }
        let left: Vec<u64> = model.polls.keys().copied().collect();
        let answered: Vec<u64> = world.watchers.answer_all().into_iter().map(|(id, _)| id).collect();
        prop_assert_eq!(answered, left);
        world.assert_empty();
    }
}
