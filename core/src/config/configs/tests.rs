use alloc::{format, string::String};

use super::{
    super::{HistoryRow, effective_md5, read_history_key, read_history_time_key},
    *,
};
use crate::{
    model::{ConfigType, ConfigVersion, ContentRef, Md5},
    node::{input::Origin, op::CapacityChange},
};

mod properties;

/// The text itself, as a version of index 1.
pub(crate) fn version(key: &ConfigKey, text: &str) -> ConfigVersion {
    new_version(publish(key, text), None, 1, 1)
}

/// A plain publish of that text.
pub(crate) fn publish(key: &ConfigKey, text: &str) -> Publish {
    let none: Arc<str> = Arc::from("");
    Publish {
        key: key.clone(),
        content: ContentRef {
            index: 0,
            md5: Md5::of(text.as_bytes()),
            bytes: text.len() as u32,
        },
        kind: ConfigType::Text,
        app: none.clone(),
        desc: none.clone(),
        usage: none.clone(),
        effect: none.clone(),
        schema: none.clone(),
        tags: none.clone(),
        encrypted_data_key: none.clone(),
        gray: None,
        cas: None,
        create_only: false,
        user: none.clone(),
        ip: none,
    }
}

/// Configs with the log and the store around them.
pub(crate) struct Log {
    pub(crate) configs: Configs,
    pub(crate) index: u64,
    /// (table, key) → row and content.
    store: BTreeMap<(Table, Vec<u8>), (Row, Option<u64>)>,
}

impl Log {
    pub(crate) fn new(quotas: Option<Quotas>) -> Self {
        Self {
            configs: Configs::new(quotas, 30),
            index: 0,
            store: BTreeMap::new(),
        }
    }

    /// Applies the next entry; its stamp is ten times its index.
    fn apply(&mut self, command: impl FnOnce(u64) -> Command) -> Answered {
        self.index += 1;
        let mut rows = Vec::new();
        let answer = self
            .configs
            .apply(self.index, command(self.index * 10), &mut rows);
        for write in rows {
            match write {
                RowWrite::Put { row, content } => {
                    self.store
                        .insert((row.table, row.key.clone()), (row, content));
                }
                RowWrite::Delete { table, key } => {
                    self.store
                        .remove(&(table, key))
                        .expect("only rows that exist are deleted");
                }
                RowWrite::Cut { index, to, rows } => {
                    let cut: Vec<_> = self
                        .store
                        .range((index, Vec::new())..(index, to))
                        .map(|(k, _)| k.clone())
                        .collect();
                    for key in cut {
                        let (row, _) = self.store.remove(&key).expect("it was just found");
                        self.store
                            .remove(&(rows, row.value))
                            .expect("the index names rows that exist");
                    }
                }
            }
        }
        answer
    }

    pub(crate) fn publish(&mut self, publish: Publish) -> Answered {
        let publish = Box::new(publish);
        let quotas = self.configs.quotas;
        self.apply(|stamp| match quotas {
            None => Command::Publish { publish, stamp },
            Some(quotas) => Command::PublishWithin {
                publish,
                stamp,
                quotas,
            },
        })
    }

    pub(crate) fn remove(&mut self, key: &ConfigKey, gray: Option<&str>) -> Answered {
        let (key, gray) = (key.clone(), gray.map(Arc::from));
        self.apply(|stamp| Command::RemoveConfig {
            key,
            gray,
            user: "u".into(),
            ip: "9.9.9.9".into(),
            stamp,
        })
    }

    fn rows(&self, table: Table) -> Vec<&Row> {
        self.store
            .values()
            .map(|(row, _)| row)
            .filter(|row| row.table == table)
            .collect()
    }

    fn history(&self) -> Vec<HistoryRow> {
        self.rows(Table::History)
            .into_iter()
            .map(|row| HistoryRow::decode(&row.value).expect("a row of this release"))
            .collect()
    }
}

fn key(data_id: &str) -> ConfigKey {
    ConfigKey::new("", "g", data_id)
}

fn beta(ips: &str) -> Option<GrayRule> {
    Some(GrayRule::Beta { ips: ips.into() })
}

fn tag(tag: &str) -> Option<GrayRule> {
    Some(GrayRule::Tag { tag: tag.into() })
}

const PUBLISHED: fn(u64) -> Answered = |revision| Ok(Reply::Published { revision });

#[test]
fn a_publish_keeps_what_was_not_given_and_who_created_it() {
    let mut log = Log::new(None);
    let first = Publish {
        app: "app".into(),
        tags: "a,b".into(),
        desc: "first".into(),
        user: "ann".into(),
        ip: "1.1.1.1".into(),
        ..publish(&key("d"), "one")
    };
    assert_eq!(log.publish(first), PUBLISHED(1));
    let second = Publish {
        user: "bob".into(),
        ip: "2.2.2.2".into(),
        ..publish(&key("d"), "two")
    };
    assert_eq!(log.publish(second), PUBLISHED(2));
    let item = log.configs.get(&key("d")).expect("published");
    let formal = item.formal.as_ref().expect("formal");
    assert_eq!(
        (
            item.id,
            formal.content.index,
            formal.created,
            formal.modified
        ),
        (1, 2, 10, 20)
    );
    assert_eq!(
        (&*formal.app, &*formal.tags, &*formal.desc),
        ("app", "a,b", "")
    );
    assert_eq!(
        (&*formal.create_user, &*formal.create_ip),
        ("ann", "1.1.1.1")
    );
    assert_eq!(formal.content.md5, Md5::of(b"two"));

    assert_eq!(
        log.publish(Publish {
            tags: ",".into(),
            ..publish(&key("d"), "two")
        }),
        PUBLISHED(3)
    );
    assert_eq!(
        &*log
            .configs
            .get(&key("d"))
            .and_then(|i| i.formal.as_ref())
            .expect("formal")
            .tags,
        ""
    );
}

#[test]
fn cas_decides_only_between_versions_that_exist() {
    let mut log = Log::new(None);
    let cas = |md5: &str, text: &str| Publish {
        cas: Some(md5.into()),
        ..publish(&key("d"), text)
    };
    let one = Md5::of(b"one").hex();
    assert_eq!(
        log.publish(cas("nonsense", "one")),
        PUBLISHED(1),
        "absent: a plain insert"
    );
    assert_eq!(
        log.publish(cas("nonsense", "two")),
        Err(Refusal::CasMismatch)
    );
    assert_eq!(
        log.publish(cas(" ", "one")),
        PUBLISHED(3),
        "blank: none given"
    );
    assert_eq!(log.publish(cas(&one, "two")), PUBLISHED(4));
    assert_eq!(log.publish(cas(&one, "three")), Err(Refusal::CasMismatch));
    let gray = Publish {
        gray: beta("1.1.1.1"),
        ..cas(&one, "gray")
    };
    assert_eq!(
        log.publish(gray.clone()),
        PUBLISHED(6),
        "the gray version was absent"
    );
    assert_eq!(log.publish(gray), Err(Refusal::CasMismatch));
    assert_eq!(log.history().len(), 4, "refusals leave no history");
}

#[test]
fn create_only_refuses_what_exists() {
    let mut log = Log::new(None);
    let create = Publish {
        create_only: true,
        ..publish(&key("d"), "one")
    };
    assert_eq!(log.publish(create.clone()), PUBLISHED(1));
    assert_eq!(log.publish(create.clone()), Err(Refusal::ConfigExists));
    assert_eq!(log.remove(&key("d"), None), Ok(Reply::Removed(true)));
    assert_eq!(log.publish(create), PUBLISHED(4));
    assert_eq!(
        log.configs.get(&key("d")).map(|i| i.id),
        Some(4),
        "a new config has a new id"
    );
}

#[test]
fn gray_versions_live_without_a_formal_one_and_are_at_most_ten() {
    let mut log = Log::new(None);
    let gray = |rule| Publish {
        gray: rule,
        ..publish(&key("d"), "gray")
    };
    for n in 0..9 {
        assert!(log.publish(gray(tag(&format!("t{n}")))).is_ok());
    }
    assert!(log.publish(gray(beta("1.1.1.1"))).is_ok());
    assert_eq!(log.publish(gray(tag("more"))), Err(Refusal::TooManyGrays));
    assert!(
        log.publish(gray(tag("t0"))).is_ok(),
        "one that exists is replaced"
    );
    assert!(log.publish(publish(&key("d"), "formal")).is_ok());
    let item = log.configs.get(&key("d")).expect("published").clone();
    assert_eq!(
        (
            item.id,
            item.grays.len(),
            &*item.grays[0].name,
            &*item.grays[1].name
        ),
        (1, 10, "beta", "tag_t0")
    );

    assert_eq!(log.remove(&key("d"), None), Ok(Reply::Removed(true)));
    assert_eq!(log.remove(&key("d"), None), Ok(Reply::Removed(false)));
    assert_eq!(
        log.configs.get(&key("d")).map(|i| i.grays.len()),
        Some(10),
        "gray versions stay"
    );
    for gray in &item.grays {
        assert_eq!(
            log.remove(&key("d"), Some(&gray.name)),
            Ok(Reply::Removed(true))
        );
    }
    assert_eq!(log.configs.get(&key("d")), None);
    assert_eq!(log.rows(Table::Config).len(), 0);
}

#[test]
fn the_history_shows_the_inserted_and_then_the_previous() {
    let mut log = Log::new(None);
    let by = |user: &str, text| Publish {
        user: user.into(),
        ip: "1.1.1.1".into(),
        ..publish(&key("d"), text)
    };
    log.publish(by("ann", "one")).expect("taken");
    log.publish(by("bob", "two")).expect("taken");
    log.publish(Publish {
        gray: beta("1.1.1.1"),
        ..by("bob", "gray")
    })
    .expect("taken");
    log.remove(&key("d"), Some("beta")).expect("taken");
    log.remove(&key("d"), None).expect("taken");
    let seen: Vec<_> = log
        .history()
        .iter()
        .map(|r| {
            (
                r.op.letter(),
                r.publish_type(),
                r.version.content.index,
                String::from(&*r.user),
                r.stamp,
                r.id,
            )
        })
        .collect();
    let line = |op, kind, index, user: &str, stamp| (op, kind, index, String::from(user), stamp, 1);
    assert_eq!(
        seen,
        [
            line("I", "formal", 1, "ann", 10),
            line("U", "formal", 1, "bob", 20),
            line("I", "gray", 3, "bob", 30),
            line("D", "gray", 3, "u", 40),
            line("D", "formal", 2, "u", 50),
        ]
    );
    // The store keeps the contents that rows refer to.
    let contents: Vec<_> = log
        .store
        .iter()
        .filter(|((t, _), _)| *t == Table::History)
        .map(|(_, (_, content))| *content)
        .collect();
    assert_eq!(contents, [Some(1), Some(1), Some(3), Some(3), Some(2)]);
    let rows = log.history();
    assert_eq!(
        (rows[2].gray_name(), rows[0].gray_name()),
        (Some("beta".into()), None)
    );
    assert_eq!(rows[0].ext_info(), r#"{"type":"text"}"#);
    assert_eq!(
        rows[2].ext_info(),
        r#"{"gray_name":"beta","gray_rule":"{\"type\":\"beta\",\"expr\":\"1.1.1.1\",\"version\":\"1.0.0\",\"priority\":\"2147483647\"}"}"#
    );
}

#[test]
fn the_cut_takes_what_is_older() {
    let mut log = Log::new(None);
    for text in ["one", "two", "three"] {
        log.publish(publish(&key("d"), text)).expect("taken");
    }
    log.apply(|_| Command::CutHistory { before: 30 })
        .expect("a command on configs");
    let left: Vec<_> = log
        .rows(Table::History)
        .iter()
        .map(|r| read_history_key(&r.key))
        .collect();
    assert_eq!(left, [Some((key("d"), 3))]);
    let left: Vec<_> = log
        .rows(Table::HistoryTime)
        .iter()
        .map(|r| read_history_time_key(&r.key))
        .collect();
    assert_eq!(left, [Some((30, 3))]);
}

#[test]
fn the_leader_alone_has_old_history_cut() {
    let mut configs = Configs::new(None, 30);
    let now = |mono| Now {
        mono,
        wall: 40 * DAY_MS,
    };
    assert_eq!(
        (configs.deadline(), configs.tick(now(u64::MAX))),
        (None, Vec::new())
    );
    configs.role(true, now(5));
    assert_eq!(configs.deadline(), Some(60_005));
    assert_eq!(configs.tick(now(60_004)), []);
    assert_eq!(
        configs.tick(now(60_005)),
        [Command::CutHistory {
            before: 10 * DAY_MS
        }]
    );
    assert_eq!(
        (configs.deadline(), configs.tick(now(60_006))),
        (Some(660_005), Vec::new())
    );
    configs.role(false, now(60_007));
    assert_eq!(configs.deadline(), None);
}

#[test]
fn a_request_says_who_asks() {
    let mut configs = Configs::new(None, 30);
    let origin = Origin {
        conn: None,
        ip: "1.1.1.1".into(),
        user: "ann".into(),
    };
    let turn = Turn {
        id: 1,
        origin: &origin,
        now: Now::default(),
        stamp: 7,
    };
    let mut given = publish(&key("d"), "one");
    let Step::Propose(Command::Publish {
        publish: proposed,
        stamp: 7,
    }) = configs.request(turn, Op::Publish(Box::new(given.clone())))
    else {
        panic!("proposed with the stamp")
    };
    assert_eq!((&*proposed.user, &*proposed.ip), ("ann", "1.1.1.1"));
    given.gray = beta(" ");
    assert!(matches!(
        configs.request(turn, Op::Publish(Box::new(given))),
        Step::Done(Err(Refusal::Illegal(_)))
    ));
}

#[test]
fn a_change_is_told_once_a_batch() {
    let mut log = Log::new(None);
    log.publish(publish(&key("b"), "one")).expect("taken");
    log.publish(publish(&key("b"), "two")).expect("taken");
    log.publish(publish(&key("a"), "one")).expect("taken");
    log.remove(&key("a"), None).expect("taken");
    log.publish(Publish {
        gray: tag("t"),
        ..publish(&key("c"), "one")
    })
    .expect("taken");
    let told: Vec<_> = log
        .configs
        .take_changes()
        .into_iter()
        .map(|c| {
            (
                String::from(&*c.key.data_id),
                c.exists,
                c.appeared,
                c.vanished,
                c.item.is_some(),
            )
        })
        .collect();
    let line = |id: &str, exists, appeared, vanished, item| {
        (String::from(id), exists, appeared, vanished, item)
    };
    assert_eq!(
        told,
        [
            line("a", false, false, false, false),
            line("b", true, true, false, true),
            line("c", false, false, false, true)
        ]
    );
    assert_eq!(log.configs.take_changes(), []);
    log.remove(&key("b"), None).expect("taken");
    let told = log.configs.take_changes();
    assert_eq!(
        (told.len(), told[0].vanished, &told[0].item),
        (1, true, &None)
    );
}

const QUOTAS: Quotas = Quotas {
    cluster: 4,
    group: 2,
    namespace: 1,
    max_size: 100,
};

#[test]
fn quotas_bind_the_first_publish_of_a_key() {
    let mut log = Log::new(Some(Quotas {
        max_size: 10,
        ..QUOTAS
    }));
    let there = |id: &str| publish(&ConfigKey::new("ns", "g", id), "x");
    let here = |id: &str| publish(&key(id), "x");
    log.publish(there("a")).expect("the first");
    assert_eq!(log.publish(there("b")), Err(Refusal::NamespaceQuota));
    log.publish(there("a")).expect("it is there already");
    log.publish(here("a")).expect("room");
    log.publish(here("b")).expect("room");
    assert_eq!(log.publish(here("c")), Err(Refusal::GroupQuota));
    log.publish(publish(&ConfigKey::new("", "other", "a"), "x"))
        .expect("room in another group");
    assert_eq!(
        log.publish(publish(&ConfigKey::new("new", "g", "a"), "x")),
        Err(Refusal::ClusterQuota)
    );
    log.remove(&key("a"), None).expect("taken");
    log.publish(here("c")).expect("room again");
    assert_eq!(
        log.publish(publish(&key("c"), "12345678901")),
        Err(Refusal::ContentSize(10))
    );

    let of = CapacityOf::Group("g".into());
    let change = CapacityChange {
        quota: Some(1),
        max_size: Some(3),
        ..CapacityChange::default()
    };
    log.apply(|stamp| Command::SetCapacity {
        of: of.clone(),
        change,
        stamp,
    })
    .expect("taken");
    assert_eq!(
        log.publish(publish(&key("c"), "1234")),
        Err(Refusal::ContentSize(3))
    );
    log.remove(&key("b"), None).expect("taken");
    assert_eq!(log.publish(here("d")), Err(Refusal::GroupQuota));
    let change = CapacityChange {
        quota: Some(0),
        ..CapacityChange::default()
    };
    log.apply(|stamp| Command::SetCapacity {
        of: of.clone(),
        change,
        stamp,
    })
    .expect("taken");
    log.publish(here("d")).expect("0 is the default again");
    let item = *log.configs.capacity(&of).expect("set");
    assert_eq!(
        (item.quota, item.max_size, item.usage, item.id),
        (0, 3, 2, 12)
    );
    assert_eq!((item.created, item.modified), (120, 160));
}

#[test]
fn the_commands_quotas_decide_whatever_the_members_settings_are() {
    let full = Quotas {
        cluster: 0,
        ..QUOTAS
    };
    let proposed = |quotas| {
        let origin = Origin::default();
        let turn = Turn {
            id: 1,
            origin: &origin,
            now: Now::default(),
            stamp: 7,
        };
        let op = Op::Publish(Box::new(publish(&key("d"), "one")));
        match Configs::new(quotas, 30).request(turn, op) {
            Step::Propose(command) => command,
            step => panic!("{step:?}"),
        }
    };
    for settings in [None, Some(QUOTAS), Some(full)] {
        let mut log = Log::new(settings);
        assert_eq!(
            log.apply(|_| proposed(Some(full))),
            Err(Refusal::ClusterQuota)
        );
        assert_eq!(log.apply(|_| proposed(None)), PUBLISHED(2));
    }
}

#[test]
fn nothing_is_refused_unless_quotas_are_enforced() {
    let mut log = Log::new(None);
    log.publish(publish(&key("a"), "x")).expect("counted only");
    assert_eq!(
        log.configs
            .capacity(&CapacityOf::Namespace("public".into()))
            .map(|c| c.usage),
        Some(1)
    );
    let deltas = log.configs.take_capacity_deltas();
    assert_eq!(deltas.len(), 2);
    log.remove(&key("a"), None).expect("taken");
    assert_eq!(
        log.configs.capacities().count(),
        0,
        "an unset quota without usage is forgotten"
    );
    let Some(Delta::Capacity { item, .. }) = log.configs.take_capacity_deltas().pop() else {
        panic!("told")
    };
    assert_eq!(item, CapacityItem::default());
}

#[test]
fn the_rows_bytes_never_change() {
    let mut log = Log::new(None);
    let given = Publish {
        gray: tag("t"),
        app: "a".into(),
        desc: "b".into(),
        usage: "c".into(),
        effect: "d".into(),
        schema: "e".into(),
        tags: "f".into(),
        encrypted_data_key: "g".into(),
        user: "h".into(),
        ip: "i".into(),
        kind: ConfigType::Yaml,
        ..publish(&key("d"), "x")
    };
    log.publish(given).expect("taken");
    let change = CapacityChange {
        quota: Some(300),
        max_aggr_size: Some(1),
        ..CapacityChange::default()
    };
    log.apply(|stamp| Command::SetCapacity {
        of: CapacityOf::Group("g".into()),
        change,
        stamp,
    })
    .expect("taken");
    let written: Vec<String> = log
        .store
        .iter()
        .map(|((table, key), (row, content))| {
            format!(
                "{table:?} {} = {} {content:?}",
                key.escape_ascii(),
                row.value.escape_ascii()
            )
        })
        .collect();
    let md5 = r"\x9d\xd4\xe4a&\x8c\x804\xf5\xc8VN\x15\\g\xa6";
    let version = format!(r"\x01{md5}\x01\x05\x01a\x01b\x01c\x01d\x01e\x01f\x01g\n\n\x01h\x01i");
    assert_eq!(
        written,
        [
            format!(
                r"Config public\x00g\x00d\x00tag_t\x00 = \x01\x01\x01\x01\x01t{version} Some(1)"
            ),
            format!(
                r"History public\x00g\x00d\x00\x00\x00\x00\x00\x00\x00\x00\x01 = \x01\x00\x01\x01\x01\x01t{version}\x01h\x01i\n Some(1)"
            ),
            String::from(
                r"HistoryTime \x00\x00\x00\x00\x00\x00\x00\n\x00\x00\x00\x00\x00\x00\x00\x01 = public\x00g\x00d\x00\x00\x00\x00\x00\x00\x00\x00\x01 None"
            ),
            String::from(r"Capacity \x01g\x00 = \x01\x02\xac\x02\x00\x00\x01\x14\x14 None"),
        ]
    );
}

#[test]
fn a_caller_sees_the_gray_version_published_for_it() {
    let mut log = Log::new(None);
    log.publish(publish(&key("d"), "formal")).expect("taken");
    log.publish(Publish {
        gray: beta("1.1.1.1"),
        ..publish(&key("d"), "gray")
    })
    .expect("taken");
    let item = log.configs.get(&key("d")).map(|i| &**i);
    assert_eq!(effective_md5(item, "1.1.1.1", ""), Some(Md5::of(b"gray")));
    assert_eq!(effective_md5(item, "1.1.1.2", ""), Some(Md5::of(b"formal")));
}

#[test]
fn a_revision_is_removed_only_while_it_is_the_newest() {
    let mut log = Log::new(None);
    let revision = |log: &mut Log, text: &str| match log.publish(publish(&key("d"), text)) {
        Ok(Reply::Published { revision }) => revision,
        other => panic!("{other:?}"),
    };
    let (first, second) = (revision(&mut log, "1"), revision(&mut log, "2"));
    let remove = |log: &mut Log, revision| {
        log.apply(|stamp| Command::RemoveRevision {
            key: key("d"),
            revision,
            user: "u".into(),
            ip: "i".into(),
            stamp,
        })
    };
    assert_eq!(remove(&mut log, first), Err(Refusal::CasMismatch));
    assert_eq!(remove(&mut log, second), Ok(Reply::Removed(true)));
    assert_eq!(remove(&mut log, second), Ok(Reply::Removed(false)));
    assert_eq!(log.history().len(), 3);
}
