//! Configs under any sequence of commands.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Publish {
        key: u8,
        gray: u8,
        text: u8,
        cas: Option<u8>,
        create_only: bool,
    },
    Remove {
        key: u8,
        gray: u8,
    },
    Quota {
        of: u8,
        quota: u32,
    },
    Cut {
        back: u64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let gray = || prop_oneof![3 => Just(0_u8), 2 => 1..4_u8];
    prop_oneof![
        6 => (0..6_u8, gray(), 0..3_u8, prop::option::of(0..3_u8), prop::bool::weighted(0.1))
            .prop_map(|(key, gray, text, cas, create_only)| Act::Publish { key, gray, text, cas, create_only }),
        3 => (0..6_u8, gray()).prop_map(|(key, gray)| Act::Remove { key, gray }),
        1 => (0..4_u8, 0..3_u32).prop_map(|(of, quota)| Act::Quota { of, quota }),
        1 => (0..100_u64).prop_map(|back| Act::Cut { back }),
    ]
}

fn key_of(n: u8) -> ConfigKey {
    ConfigKey::new(
        if n < 4 { "" } else { "ns" },
        if n.is_multiple_of(2) { "g" } else { "h" },
        &format!("d{}", n / 2),
    )
}

fn rule_of(n: u8) -> Option<GrayRule> {
    match n {
        0 => None,
        1 => beta("1.1.1.1"),
        n => tag(&format!("t{n}")),
    }
}

fn text_of(n: u8) -> String {
    format!("text {n}")
}

fn run(log: &mut Log, act: &Act) -> Answered {
    match *act {
        Act::Publish {
            key,
            gray,
            text,
            cas,
            create_only,
        } => log.publish(Publish {
            gray: rule_of(gray),
            cas: cas.map(|n| Md5::of(text_of(n).as_bytes()).hex().into()),
            create_only,
            ..publish(&key_of(key), &text_of(text))
        }),
        Act::Remove { key, gray } => {
            log.remove(&key_of(key), rule_of(gray).map(|r| r.name()).as_deref())
        }
        Act::Quota { of, quota } => {
            let name = ["public", "ns", "g", "h"][usize::from(of)].into();
            let of = if of < 2 {
                CapacityOf::Namespace(name)
            } else {
                CapacityOf::Group(name)
            };
            let change = CapacityChange {
                quota: Some(quota),
                ..CapacityChange::default()
            };
            log.apply(|stamp| Command::SetCapacity { of, change, stamp })
        }
        Act::Cut { back } => log.apply(|stamp| Command::CutHistory {
            before: stamp.saturating_sub(back),
        }),
    }
}

/// Usage, counted anew.
fn recount(configs: &Configs) -> BTreeMap<CapacityOf, u32> {
    let mut usage = BTreeMap::new();
    for (key, _) in configs.iter().filter(|(_, item)| item.formal.is_some()) {
        *usage
            .entry(CapacityOf::Namespace(key.namespace.clone()))
            .or_default() += 1;
        if &*key.namespace == "public" {
            *usage
                .entry(CapacityOf::Group(key.group.clone()))
                .or_default() += 1;
        }
    }
    usage
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Usage equals a recount and never exceeds a default quota that binds; a refused command changes nothing; a state
    /// restored from the rows, in any order, or from a snapshot is the same and answers the same from then on.
    #[test]
    fn usage_rows_and_snapshots_agree_with_the_state(
        acts in prop::collection::vec(act(), 1..60),
        cut in 0..60_usize,
        enforced: bool,
    ) {
        let quotas = enforced.then_some(QUOTAS);
        let mut log = Log::new(quotas);
        let (before, after) = acts.split_at(cut.min(acts.len()));
        for act in before {
            let items = log.configs.items.clone();
            let refused = run(&mut log, act).is_err();
            prop_assert!(!refused || items == log.configs.items);
            let usage: BTreeMap<_, _> =
                log.configs.capacities().filter(|(_, c)| c.usage > 0).map(|(of, c)| (of.clone(), c.usage)).collect();
            prop_assert_eq!(usage, recount(&log.configs));
            let formal = log.configs.iter().filter(|(_, item)| item.formal.is_some()).count();
            prop_assert_eq!(log.configs.len(), formal);
            prop_assert!(!enforced || formal <= 4);
        }
        // Every content that is referred to by a version is kept alive by its row.
        for row in log.rows(Table::Config) {
            let version = ConfigRow::decode(&row.value).expect("a row of this release").version;
            prop_assert_eq!(log.store[&(row.table, row.key.clone())].1, Some(version.content.index));
        }
        let mut restored = Configs::new(quotas, 30);
        for (row, _) in log.store.values().rev().filter(|(row, _)| row.table.restored()) {
            restored.restore(row).expect("a row of this release");
        }
        restored.take_changes();
        restored.take_capacity_deltas();
        let from_bytes = Configs::from_snapshot(&log.configs.snapshot()).expect("of this release");
        prop_assert_eq!(&from_bytes, &log.configs);
        log.configs.take_changes();
        log.configs.take_capacity_deltas();
        prop_assert_eq!(&restored, &log.configs);

        let mut other = Log { configs: restored, index: log.index, store: log.store.clone() };
        for act in after {
            prop_assert_eq!(run(&mut other, act), run(&mut log, act));
            prop_assert_eq!(other.configs.take_changes(), log.configs.take_changes());
        }
        prop_assert_eq!(&other.store, &log.store);
    }

    /// What readers are told adds up to the state.
    #[test]
    fn deltas_add_up_to_the_state(acts in prop::collection::vec((act(), any::<bool>()), 1..60)) {
        let mut log = Log::new(Some(QUOTAS));
        let mut seen: BTreeMap<ConfigKey, Arc<ConfigItem>> = BTreeMap::new();
        let mut exists: BTreeMap<ConfigKey, bool> = BTreeMap::new();
        for (act, take) in acts {
            let _ = run(&mut log, &act);
            if !take {
                continue;
            }
            for change in log.configs.take_changes() {
                let before = exists.insert(change.key.clone(), change.exists).unwrap_or(false);
                prop_assert_eq!((change.appeared, change.vanished), (!before && change.exists, before && !change.exists));
                match change.item {
                    Some(item) => drop(seen.insert(change.key, item)),
                    None => drop(seen.remove(&change.key)),
                }
            }
            prop_assert_eq!(&seen, &log.configs.items);
        }
    }
}
