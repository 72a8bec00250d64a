//! A state that a peer sends replaces the own one as a whole, whenever power is cut.

use nacrite_storage::{
    Applied, Compacted, Entry, Error, HardState, Install, LogReader, LogWrite, SimDisk, StateBatch,
    Store, check_disk,
};

use crate::damage::NoCheck;
use crate::model::{LogModel, Seeded, StateModel, batch, open};

const AT: Applied = Applied { index: 90, term: 7 };

fn install() -> Install {
    Install {
        compacted: Compacted {
            index: AT.index,
            term: AT.term,
        },
        hard_state: HardState {
            term: 8,
            vote: 0,
            commit: AT.index,
        },
        conf_state: b"members".to_vec(),
    }
}

/// A store with a few entries, of which one is applied.
fn old() -> SimDisk {
    let disk = SimDisk::new();
    let mut store = open(&disk).unwrap();
    let entries = (1..=9).map(|index| Entry {
        index,
        term: 1,
        kind: 0,
        payload: vec![1; 900],
    });
    let write = LogWrite {
        entries: entries.collect(),
        hard_state: None,
        sync: true,
    };
    store.log.append(&write).unwrap();
    let applied = Applied { index: 4, term: 1 };
    let mut first = batch(&mut Seeded(1), &StateModel::default(), applied);
    first.durable = true;
    store.state.apply(&first).unwrap();
    drop(store);
    disk
}

fn sent() -> (Vec<StateBatch>, StateModel) {
    let mut model = StateModel::default();
    let mut random = Seeded(5);
    let batches = (0..4).map(|_| {
        let batch = batch(&mut random, &model, AT);
        model.apply(&batch);
        batch
    });
    (batches.collect(), model)
}

fn receive(store: &mut Store) -> Result<(), Error> {
    let mut incoming = store.state.incoming()?;
    for batch in &sent().0 {
        incoming.apply(batch)?;
    }
    store.log.begin_install(&install())?;
    store.state.replace(incoming)?;
    store.log.install(&install())
}

fn read(store: &Store) -> (LogModel, StateModel) {
    (
        LogModel::read(store).unwrap(),
        StateModel::read(store).unwrap(),
    )
}

#[test]
fn readers_follow_and_snapshots_stay() {
    let disk = old();
    let mut store = open(&disk).unwrap();
    let reader = store.state.reader();
    let before = reader.snapshot().unwrap();
    receive(&mut store).unwrap();
    assert_eq!(before.applied().unwrap(), Applied { index: 4, term: 1 });
    assert_eq!(reader.snapshot().unwrap().applied().unwrap(), AT);
    assert_eq!((reader.applied(), reader.durable_applied()), (AT, AT));
    assert_eq!(StateModel::read(&store).unwrap(), sent().1);
    let log = store.log.handle();
    assert_eq!((log.first_index(), log.last_index()), (91, 90));
    assert_eq!(log.term(90).unwrap(), 7);
    drop((before, reader, log, store));
    let store = open(&disk).unwrap();
    let (log, state) = read(&store);
    assert_eq!(
        (log.hard, log.conf),
        (install().hard_state, install().conf_state)
    );
    assert_eq!(state, sent().1);
}

#[test]
fn a_cut_leaves_the_old_or_the_new_state_with_its_log() {
    let old = old();
    let before = read(&open(&old.copy()).unwrap());
    let after = (
        LogModel {
            compacted: install().compacted,
            entries: Vec::new(),
            hard: install().hard_state,
            conf: install().conf_state,
        },
        sent().1,
    );
    let (mut went_back, mut went_on) = (0, 0);
    for boundary in 0.. {
        let disk = old.copy();
        let mut store = open(&disk).unwrap();
        disk.fail_after_syncs(boundary);
        let done = receive(&mut store).is_ok();
        for seed in 0..6 {
            let left = disk.cut(boundary * 8 + seed);
            let report = check_disk(&left, &NoCheck).unwrap();
            assert!(report.is_sound(), "{boundary} syncs, cut {seed}: {report}");
            let found = read(&open(&left).unwrap_or_else(|e| panic!("{boundary}, {seed}: {e}")));
            // What the next start made of it stays.
            assert_eq!(read(&open(&left.cut(seed)).unwrap()), found);
            if found == before {
                went_back += 1;
                assert!(!done);
            } else {
                assert_eq!(found, after, "{boundary} syncs, cut {seed}");
                went_on += 1;
            }
        }
        if done {
            break;
        }
    }
    assert!(went_back > 20 && went_on > 6, "{went_back} {went_on}");
}
