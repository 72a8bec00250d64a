//! Random calls give what plain collections give.

use std::sync::Arc;

use nacrite_storage::{
    Applied, Compacted, DELETE_RANGE_MAX, Entry, Error, HardState, Install, LogReader, LogWrite,
    RowChange, SimDisk, StateBatch, Store,
};
use proptest::prelude::*;

use crate::model::{Driver, content, open, options};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_holds_what_the_model_holds(seed: u64) {
        let disk = SimDisk::new();
        let mut driver = Driver::adopt(open(&disk).unwrap(), seed);
        for step in 0..40 {
            driver.step().unwrap();
            if step % 8 == 7 {
                driver.compare();
            }
            if step == 25 {
                // Closed in an orderly way, even what was not synced is there.
                let (log, state) = (driver.log.now().clone(), driver.state.now().clone());
                drop(driver);
                driver = Driver::adopt(open(&disk).unwrap(), seed ^ 1);
                prop_assert_eq!(driver.log.now(), &log);
                prop_assert_eq!(driver.state.now(), &state);
            }
        }
    }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        kind: 0,
        payload: vec![index as u8; 100],
    }
}

fn with_entries(count: u64) -> Store {
    let mut store = open(&SimDisk::new()).unwrap();
    let entries = (1..=count).map(|index| entry(index, 1)).collect();
    store
        .log
        .append(&LogWrite {
            entries,
            hard_state: None,
            sync: true,
        })
        .unwrap();
    store
}

#[test]
fn a_new_store_is_new_once() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    assert!(store.start.is_new);
    assert_eq!(store.start.node_id, 42);
    assert_eq!(
        (
            store.log.handle().first_index(),
            store.log.handle().last_index()
        ),
        (1, 0)
    );
    assert_eq!(store.log.handle().term(0).unwrap(), 0);
    drop(store);
    let mut other = options();
    other.new_node_id = 43;
    let store = Store::open(Arc::new(disk), &other).unwrap();
    assert!(!store.start.is_new);
    assert_eq!(store.start.node_id, 42);
}

#[test]
fn reads_of_the_log_stop_at_their_limits() {
    let mut store = with_entries(10);
    let log = store.log.handle();
    assert_eq!(log.entries(3, 9, 250).unwrap(), [entry(3, 1), entry(4, 1)]);
    assert_eq!(log.entries(3, 9, 0).unwrap(), [entry(3, 1)]);
    assert_eq!(log.entries(3, 3, 0).unwrap(), []);
    assert!(matches!(
        log.entries(3, 12, 0),
        Err(Error::OutOfLog {
            index: 11,
            first: 1,
            last: 10
        })
    ));
    store.log.compact(4).unwrap();
    store.log.compact(2).unwrap();
    assert!(matches!(
        log.entries(4, 6, 0),
        Err(Error::OutOfLog {
            index: 4,
            first: 5,
            last: 10
        })
    ));
    assert!(matches!(log.term(3), Err(Error::OutOfLog { .. })));
    assert_eq!(log.term(4).unwrap(), 1);
    assert!(store.log.compact(11).is_err());
}

#[test]
fn entries_that_do_not_follow_are_refused() {
    let mut store = with_entries(5);
    store.log.compact(2).unwrap();
    for (entries, expected) in [
        (vec![entry(7, 1)], 6),
        (vec![entry(2, 1)], 3),
        (vec![entry(6, 1), entry(8, 1)], 7),
    ] {
        match store.log.append(&LogWrite {
            entries,
            hard_state: None,
            sync: true,
        }) {
            Err(Error::NotContiguous { expected: said, .. }) => assert_eq!(said, expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.log.handle().last_index(), 5);
}

#[test]
fn an_installed_log_begins_after_its_snapshot() {
    let mut store = with_entries(5);
    let at = Compacted { index: 90, term: 7 };
    let hard_state = HardState {
        term: 7,
        vote: 0,
        commit: 90,
    };
    let install = Install {
        compacted: at,
        hard_state,
        conf_state: b"conf".to_vec(),
    };
    store.log.install(&install).unwrap();
    let log = store.log.handle();
    assert_eq!(
        (log.first_index(), log.last_index(), log.term(90).unwrap()),
        (91, 90, 7)
    );
    store
        .log
        .append(&LogWrite {
            entries: vec![entry(91, 7)],
            hard_state: None,
            sync: true,
        })
        .unwrap();
    assert_eq!(log.entries(91, 92, 0).unwrap(), [entry(91, 7)]);
}

fn put(key: u64, content: Option<u64>) -> RowChange {
    RowChange::Put {
        table: 1,
        key: key.to_be_bytes().to_vec(),
        value: Vec::new(),
        content,
    }
}

fn apply(store: &mut Store, index: u64, rows: Vec<RowChange>) -> Result<Vec<usize>, Error> {
    let batch = StateBatch {
        rows,
        contents: vec![(index, content(index))],
        applied: Applied { index, term: 1 },
        durable: false,
    };
    store.state.apply(&batch).map(|outcome| outcome.deleted)
}

#[test]
fn a_content_lives_as_long_as_a_row_refers_to_it() {
    let mut store = with_entries(1);
    let reader = store.state.reader();
    apply(&mut store, 1, vec![put(1, Some(1)), put(2, Some(1))]).unwrap();
    apply(&mut store, 2, vec![put(1, Some(2))]).unwrap();
    assert!(reader.content(1).unwrap().is_some() && reader.content(2).unwrap().is_some());
    // Within one batch, the last reference may move.
    apply(&mut store, 3, vec![put(2, None), put(3, Some(1))]).unwrap();
    assert_eq!(reader.content(1).unwrap().unwrap(), content(1));
    assert!(reader.content(3).unwrap().is_none(), "nothing refers to it");
    let before = reader.snapshot().unwrap();
    let all = RowChange::DeleteRange {
        table: 1,
        from: Vec::new(),
        to: Vec::new(),
    };
    assert_eq!(apply(&mut store, 4, vec![all]).unwrap(), [3]);
    assert_eq!(reader.sizes().unwrap().contents, 0);
    assert_eq!(
        before.content(1).unwrap().unwrap(),
        content(1),
        "a snapshot does not move"
    );
    assert_eq!(before.count(1, b"").unwrap(), 3);
}

#[test]
fn a_wrong_batch_changes_nothing() {
    let mut store = with_entries(1);
    apply(&mut store, 5, vec![put(1, Some(5))]).unwrap();
    let missing = apply(&mut store, 6, vec![put(1, None), put(2, Some(4))]);
    assert!(matches!(missing, Err(Error::NoContent { index: 4 })));
    assert!(matches!(
        apply(&mut store, 4, vec![put(1, None)]),
        Err(Error::AppliedBackwards {
            batch: 4,
            applied: 5
        })
    ));
    let reader = store.state.reader();
    assert_eq!(
        reader
            .row(1, &1_u64.to_be_bytes())
            .unwrap()
            .unwrap()
            .content,
        Some(5)
    );
    assert_eq!(reader.applied().index, 5);
    assert_eq!(reader.durable_applied().index, 0);
    assert!(store.state.waiting_bytes() > 0);
    store.state.sync().unwrap();
    assert_eq!(reader.durable_applied(), reader.applied());
    assert_eq!(store.state.waiting_bytes(), 0);
}

#[test]
fn one_range_deletes_a_bounded_number_of_rows() {
    let mut store = with_entries(1);
    let rows = (0..DELETE_RANGE_MAX as u64 + 10)
        .map(|key| put(key, None))
        .collect();
    apply(&mut store, 1, rows).unwrap();
    let cut = || RowChange::DeleteRange {
        table: 1,
        from: 3_u64.to_be_bytes().to_vec(),
        to: (DELETE_RANGE_MAX as u64 + 8).to_be_bytes().to_vec(),
    };
    assert_eq!(
        apply(&mut store, 2, vec![cut()]).unwrap(),
        [DELETE_RANGE_MAX]
    );
    assert_eq!(apply(&mut store, 3, vec![cut(), cut()]).unwrap(), [5, 0]);
    let reader = store.state.reader();
    assert_eq!(reader.count(1, b"").unwrap(), 5);
}
