use alloc::{format, vec};

use super::*;
use crate::{
    model::Md5,
    policies::{PolicyChange, PolicyScope},
};

fn module(bytes: &[u8]) -> PluginModule {
    PluginModule {
        digest: Sha256::of(bytes),
        content: ContentRef {
            index: 0,
            md5: Md5::of(bytes),
            bytes: u32::try_from(bytes.len()).unwrap(),
        },
    }
}

fn set(name: &str, bytes: Option<&[u8]>) -> Command {
    Command::SetPlugin {
        name: name.into(),
        module: bytes.map(module),
        user: "u".into(),
        ip: "1.1.1.1".into(),
        stamp: 7,
    }
}

/// Plugins and policies, and the plugins' rows as a state store keeps them.
#[derive(Default)]
struct World {
    plugins: Plugins,
    policies: Policies,
    rows: BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>,
    index: u64,
}

impl World {
    fn apply(&mut self, command: Command) -> Answered {
        self.index += 1;
        let mut rows = Vec::new();
        let answered = self
            .plugins
            .apply(self.index, command, &self.policies, &mut rows);
        for write in rows {
            match write {
                RowWrite::Put { row, content } => {
                    self.rows.insert(row.key, (row.value, content));
                }
                RowWrite::Delete { table, key } => {
                    assert_eq!(table, Table::Plugin);
                    assert!(self.rows.remove(&key).is_some(), "a row to delete");
                }
                RowWrite::Cut { .. } => panic!("plugins cut nothing"),
            }
        }
        answered
    }

    fn name_in_policy(&mut self, service: &str, name: &str, digest: &str) {
        self.index += 1;
        let command = Command::SetPluginPolicy(PolicyChange {
            scope: PolicyScope::of("", "g", service),
            document: "{}".into(),
            plugin: PolicyPlugin {
                name: name.into(),
                digest: digest.into(),
            },
            expected: None,
            user: "u".into(),
            ip: "i".into(),
            stamp: 7,
        });
        self.policies
            .apply(self.index, command, &mut Vec::new())
            .unwrap();
    }

    /// What a start makes of the rows.
    fn restored(&self) -> Plugins {
        let mut restored = Plugins::new();
        for (key, (value, _)) in &self.rows {
            let row = Row {
                table: Table::Plugin,
                key: key.clone(),
                value: value.clone(),
            };
            restored.restore(&row).unwrap();
        }
        restored
    }
}

#[test]
fn a_version_is_kept_with_its_bytes_and_the_same_one_is_not_kept_twice() {
    let mut world = World::default();
    assert_eq!(world.apply(set("p", Some(b"one"))), Ok(Reply::Plugin(1)));
    assert_eq!(world.apply(set("p", Some(b"one"))), Ok(Reply::Plugin(1)));
    assert_eq!(world.apply(set("p", Some(b"two"))), Ok(Reply::Plugin(3)));
    let contents: Vec<_> = world.rows.values().map(|(_, content)| *content).collect();
    assert_eq!(
        contents,
        [Some(1), Some(3)],
        "each row keeps its bytes alive"
    );
    let newest = world.plugins.newest("p").unwrap();
    let content = newest.module.unwrap().content;
    assert_eq!((newest.revision, content.index, content.bytes), (3, 3, 3));
    assert_eq!(world.apply(set("p", None)), Ok(Reply::Plugin(4)));
    assert_eq!(world.plugins.newest("p"), None);
    assert_eq!(world.apply(set("p", None)), Ok(Reply::Plugin(0)));
    assert!(world.plugins.is_empty());
    // It comes back, whatever its last version was.
    assert_eq!(world.apply(set("p", Some(b"two"))), Ok(Reply::Plugin(6)));
    assert_eq!(world.plugins.len(), 1);
}

#[test]
fn what_a_policy_names_must_be_there() {
    let mut world = World::default();
    world.apply(set("p", Some(b"one"))).unwrap();
    world.apply(set("p", Some(b"two"))).unwrap();
    let named = |name: &str, digest: &str| PolicyPlugin {
        name: name.into(),
        digest: digest.into(),
    };
    let check =
        |world: &World, name: &str, digest: &str| match world.plugins.check(&named(name, digest)) {
            Err(Refusal::Illegal(why)) => why,
            other => format!("{other:?}"),
        };
    let one = Sha256::of(b"one").hex();
    assert_eq!(check(&world, "p", ""), "Ok(())");
    assert_eq!(check(&world, "p", &one), "Ok(())");
    let other = Sha256::of(b"other").hex();
    let why = check(&world, "p", &other);
    assert!(
        why.contains(&format!("plugin p has no version {other}; its newest is")),
        "{why}"
    );
    assert!(check(&world, "q", "").starts_with("no plugin q is published"));
    world.apply(set("p", None)).unwrap();
    assert!(check(&world, "p", &one).starts_with("no plugin p is published"));
}

#[test]
fn a_plugin_that_a_policy_names_is_not_removed() {
    let mut world = World::default();
    world.apply(set("p", Some(b"one"))).unwrap();
    world.name_in_policy("s", "p", "");
    let refused = world.apply(set("p", None));
    let Err(Refusal::Illegal(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        why.contains("service g@@s of namespace public names plugin p"),
        "{why}"
    );
    assert!(world.plugins.newest("p").is_some());
    world.apply(set("q", Some(b"one"))).unwrap();
    assert_eq!(world.apply(set("q", None)), Ok(Reply::Plugin(5)));
}

#[test]
fn versions_are_bounded_and_those_that_policies_name_stay() {
    let mut world = World::default();
    let bytes = |n: usize| [u8::try_from(n).unwrap()];
    world.apply(set("p", Some(&bytes(0)))).unwrap();
    world.name_in_policy("s", "p", &Sha256::of(&bytes(0)).hex());
    for n in 1..MAX_VERSIONS + 5 {
        world.apply(set("p", Some(&bytes(n)))).unwrap();
    }
    assert_eq!(world.rows.len(), MAX_VERSIONS);
    let named = PolicyPlugin {
        name: "p".into(),
        digest: Sha256::of(&bytes(0)).hex().into(),
    };
    assert_eq!(world.plugins.check(&named), Ok(()));
    // All are named: there is no room for another.
    for n in 0..MAX_VERSIONS + 5 {
        let digest = Sha256::of(&bytes(n)).hex();
        world.name_in_policy(&format!("s{n}"), "p", &digest);
    }
    let full = world.apply(set("p", Some(&bytes(200))));
    assert!(matches!(full, Err(Refusal::LimitReached(_))), "{full:?}");
    assert_eq!(world.restored().len(), 1);
}

#[test]
fn plugins_and_removals_are_bounded() {
    let mut world = World::default();
    for n in 0..MAX_REMOVED + 5 {
        let name = format!("p{n}");
        world.apply(set(&name, Some(b"one"))).unwrap();
        world.apply(set(&name, None)).unwrap();
    }
    assert_eq!(
        (world.plugins.len(), world.rows.len()),
        (0, 2 * MAX_REMOVED)
    );
    for n in 0..MAX_PLUGINS {
        world.apply(set(&format!("q{n}"), Some(b"one"))).unwrap();
    }
    let full = world.apply(set("more", Some(b"one")));
    assert!(matches!(full, Err(Refusal::LimitReached(_))), "{full:?}");
    world.apply(set("q1", Some(b"two"))).unwrap();
    assert_eq!(world.plugins.removed.len(), MAX_REMOVED);
}

#[test]
fn a_start_restores_every_version() {
    let mut world = World::default();
    world.apply(set("a", Some(b"one"))).unwrap();
    world.apply(set("b", Some(b"one"))).unwrap();
    world.apply(set("a", Some(b"two"))).unwrap();
    world.apply(set("b", None)).unwrap();
    let mut restored = world.restored();
    let deltas = restored.take_deltas();
    assert_eq!(deltas, world.plugins.take_deltas());
    assert_eq!(restored, world.plugins);
    assert_eq!(restored.newest_stamp(), 7);
    let copy = Plugins::from_snapshot(&restored.snapshot()).unwrap();
    assert_eq!(copy, restored);
}

#[test]
fn names_and_keys_are_held_to_their_form() {
    for good in ["a", "A-1_b.c", &"n".repeat(MAX_NAME)] {
        assert_eq!(misnamed(good), None, "{good}");
    }
    for bad in ["", "a b", "a/b", "ä", &"n".repeat(MAX_NAME + 1)] {
        assert!(misnamed(bad).is_some(), "{bad}");
        let mut world = World::default();
        let refused = world.apply(set(bad, Some(b"one")));
        assert!(matches!(refused, Err(Refusal::Illegal(_))), "{bad}");
    }
    let key = plugin_key("p", 258);
    assert_eq!(read_plugin_key(&key), Some(("p".into(), 258)));
    for bad in [vec![], vec![112, 0], [&key[..], &[0]].concat()] {
        assert_eq!(read_plugin_key(&bad), None, "{bad:?}");
    }
    let row = Row {
        table: Table::Plugin,
        key,
        value: vec![1],
    };
    assert_eq!(Plugins::new().restore(&row), Err(Decode::Malformed));
}
