use alloc::{format, vec};

use super::*;

fn service(name: &str) -> PolicyScope {
    PolicyScope::Service(ServiceKey::new("", "g", name))
}

fn set(scope: &PolicyScope, document: Option<&str>, expected: Option<u64>) -> Command {
    Command::SetPolicy(PolicyChange {
        scope: scope.clone(),
        document: document.map(Arc::from),
        plugin: None,
        expected,
        user: "u".into(),
        ip: "1.1.1.1".into(),
        stamp: 7,
    })
}

/// Policies, and the rows as a state store keeps them.
#[derive(Default)]
struct World {
    policies: Policies,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    index: u64,
}

impl World {
    fn apply(&mut self, command: Command) -> Answered {
        self.index += 1;
        let mut rows = Vec::new();
        let answered = self.policies.apply(self.index, command, &mut rows);
        for write in rows {
            match write {
                RowWrite::Put { row, .. } => {
                    self.rows.insert((row.table, row.key), row.value);
                }
                RowWrite::Delete { table, key } => {
                    assert!(self.rows.remove(&(table, key)).is_some(), "a row to delete");
                }
                RowWrite::Cut { .. } => panic!("policies cut nothing"),
            }
        }
        answered
    }

    fn count(&self, table: Table) -> usize {
        self.rows.keys().filter(|(of, _)| *of == table).count()
    }

    /// What a start makes of the rows.
    fn restored(&self) -> Policies {
        let mut restored = Policies::new();
        for ((table, key), value) in &self.rows {
            if table.restored() {
                let row = Row {
                    table: *table,
                    key: key.clone(),
                    value: value.clone(),
                };
                restored.restore(&row).unwrap();
            }
        }
        restored
    }
}

#[test]
fn of_two_writers_who_saw_one_revision_one_wins() {
    let mut world = World::default();
    let scope = service("s");
    let first = world.apply(set(&scope, Some("{}"), Some(0)));
    assert_eq!(first, Ok(Reply::Policy(1)));
    let late = world.apply(set(&scope, Some("{\"rule\":\"random\"}"), Some(0)));
    assert_eq!(late, Err(Refusal::PolicyConflict(1)));
    let second = world.apply(set(&scope, Some("{\"rule\":\"maglev\"}"), Some(1)));
    assert_eq!(second, Ok(Reply::Policy(3)));
    let item = world.policies.get(&scope).unwrap();
    assert_eq!(item.document.as_deref(), Some("{\"rule\":\"maglev\"}"));
    assert_eq!((&*item.user, &*item.ip, item.modified), ("u", "1.1.1.1", 7));
    let removed = world.apply(set(&scope, None, Some(1)));
    assert_eq!(removed, Err(Refusal::PolicyConflict(3)));
    assert_eq!(
        world.apply(set(&scope, None, Some(3))),
        Ok(Reply::Policy(5))
    );
    assert_eq!(world.policies.get(&scope), None);
    let again = world.apply(set(&scope, None, None));
    assert_eq!(again, Ok(Reply::Policy(0)), "there was nothing to remove");
}

#[test]
fn versions_and_removals_are_bounded() {
    let mut world = World::default();
    for _ in 0..MAX_VERSIONS + 5 {
        world
            .apply(set(&service("often"), Some("{}"), None))
            .unwrap();
    }
    assert_eq!(world.count(Table::PolicyVersion), MAX_VERSIONS);
    for n in 0..MAX_REMOVED + 5 {
        let scope = service(&format!("s{n}"));
        world.apply(set(&scope, Some("{}"), None)).unwrap();
        world.apply(set(&scope, None, None)).unwrap();
    }
    assert_eq!(world.policies.len(), 1);
    assert_eq!(world.count(Table::Policy), 1 + MAX_REMOVED);
    assert_eq!(
        world.count(Table::PolicyVersion),
        MAX_VERSIONS + 2 * MAX_REMOVED
    );
    // A removed record that is set again is no longer one of the removed.
    let back = service(&format!("s{}", MAX_REMOVED + 4));
    world.apply(set(&back, Some("{}"), None)).unwrap();
    assert_eq!(world.policies.len(), 2);
    assert_eq!(world.policies.removed.len(), MAX_REMOVED - 1);
}

#[test]
fn a_start_restores_what_is_in_force() {
    let mut world = World::default();
    let all = PolicyScope::of("", "", "");
    world.apply(set(&all, Some("{}"), None)).unwrap();
    world.apply(set(&service("a"), Some("{}"), None)).unwrap();
    world.apply(set(&service("b"), Some("{}"), None)).unwrap();
    world.apply(set(&service("b"), None, None)).unwrap();
    let mut restored = world.restored();
    let deltas = restored.take_deltas();
    assert_eq!(
        deltas.len(),
        3,
        "a removed one is told too, and says nothing"
    );
    let copy = Policies::from_snapshot(&restored.snapshot()).unwrap();
    assert_eq!(copy, restored);
    world.policies.take_deltas();
    assert_eq!(restored, world.policies);
    assert_eq!(restored.newest_stamp(), 7);
}

#[test]
fn what_is_too_much_is_refused_before_it_is_proposed() {
    let origin = crate::node::input::Origin::default();
    let turn = Turn {
        id: 1,
        origin: &origin,
        now: crate::node::input::Now::default(),
        stamp: 9,
    };
    let put = |scope: PolicyScope, length: usize| Op::PutPolicy {
        scope,
        document: " ".repeat(length).into(),
        plugin: None,
        expected: None,
    };
    let (mut world, none) = (World::default(), Plugins::new());
    let long = world
        .policies
        .request(turn, put(service("s"), MAX_DOCUMENT + 1), &none);
    assert!(matches!(long, Step::Done(Err(Refusal::Illegal(_)))));
    for n in 0..MAX_POLICIES {
        world
            .apply(set(&service(&format!("s{n}")), Some("{}"), None))
            .unwrap();
    }
    let new = world.policies.request(turn, put(service("new"), 2), &none);
    assert!(matches!(new, Step::Done(Err(Refusal::LimitReached(_)))));
    let known = world.policies.request(turn, put(service("s1"), 2), &none);
    assert!(matches!(known, Step::Propose(_)));
}

#[test]
fn keys_are_read_back_and_malformed_ones_refused() {
    for scope in [service("s"), PolicyScope::Namespace("n".into())] {
        let key = policy_key(&scope);
        assert_eq!(read_policy_key(&key), Some((scope.clone(), None)));
        let version = version_key(&scope, 258);
        assert_eq!(read_policy_key(&version), Some((scope, Some(258))));
    }
    for bad in [vec![], vec![2, 97, 0], vec![0, 97], vec![0, 97, 0, 1]] {
        assert_eq!(read_policy_key(&bad), None, "{bad:?}");
    }
    let row = Row {
        table: Table::Policy,
        key: version_key(&service("s"), 1),
        value: vec![1],
    };
    assert_eq!(Policies::new().restore(&row), Err(Decode::Malformed));
}
