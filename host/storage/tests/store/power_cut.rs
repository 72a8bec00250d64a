//! Power is cut at every sync, and whatever was acknowledged is there afterwards.

use nacrite_storage::sim::SimDisk;
use nacrite_storage::{Entry, LogWrite};

use crate::model::{Driver, LogModel, StateModel, open};

const STEPS: u64 = 24;

/// Runs until the disk fails; whether it did.
fn run(driver: &mut Driver) -> bool {
    (0..STEPS).any(|_| driver.step().is_err())
}

/// Opens what a cut left and compares it with what it may be.
fn survive(disk: &SimDisk, before: Option<&Driver>, seed: u64, context: &str) -> Driver {
    let store = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let (log, state) = (
        LogModel::read(&store).unwrap(),
        StateModel::read(&store).unwrap(),
    );
    match before {
        Some(before) => {
            assert!(
                before.log.allows(&log),
                "{context}: the log lost or invented something"
            );
            assert!(
                before.state.allows(&state),
                "{context}: the state lost or invented something"
            );
        }
        None => {
            assert_eq!(log, LogModel::default(), "{context}");
            assert_eq!(state, StateModel::default(), "{context}");
        }
    }
    Driver::adopt(store, seed)
}

#[test]
fn what_was_acknowledged_survives_a_cut_at_every_sync() {
    for seed in 0..4 {
        cut_at_every_sync(seed);
    }
}

fn cut_at_every_sync(seed: u64) {
    let mut boundary = 0;
    loop {
        let disk = SimDisk::new();
        disk.fail_after_syncs(boundary);
        let mut driver = open(&disk).ok().map(|store| Driver::adopt(store, seed));
        let failed = driver.as_mut().is_none_or(run);
        for cut in 0..6 {
            let context = format!("seed {seed}, after {boundary} syncs, cut {cut}");
            let after = disk.cut(boundary * 64 + cut);
            let mut again = survive(&after, driver.as_ref(), cut, &context);
            // The next life ends the same way, so that what the last one left unfinished is met again.
            let (syncs, _) = after.counts();
            after.fail_after_syncs((boundary + cut + syncs) % 9);
            run(&mut again);
            survive(
                &after.cut(cut),
                Some(&again),
                cut,
                &format!("{context}, second life"),
            );
        }
        if !failed {
            break;
        }
        boundary += 1;
    }
    assert!(boundary > 30, "seed {seed}: only {boundary} boundaries");
}

#[test]
fn what_was_acknowledged_survives_a_cut_between_writes() {
    for seed in 0..40 {
        let disk = SimDisk::new();
        disk.fail_after_writes(10 + seed * 7);
        let mut driver = open(&disk).ok().map(|store| Driver::adopt(store, seed));
        let failed = driver.as_mut().is_none_or(run);
        assert!(failed || seed > 20, "seed {seed}: too few writes");
        for cut in 0..4 {
            let context = format!("seed {seed}, cut {cut}");
            survive(&disk.cut(seed * 4 + cut), driver.as_ref(), seed, &context);
        }
    }
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let disk = SimDisk::new();
    let mut driver = Driver::adopt(open(&disk).unwrap(), 3);
    for _ in 0..10 {
        driver.step().unwrap();
    }
    let used = disk.image("raft.redb").len() + disk.image("state.redb").len();
    disk.set_capacity(Some(used as u64));
    let index = driver.log.now().last() + 1;
    let (term, payload) = (driver.log.now().hard.term, vec![1; 8 << 20]);
    let entries = vec![Entry {
        index,
        term,
        kind: 0,
        payload,
    }];
    let write = LogWrite {
        entries,
        hard_state: None,
        sync: true,
    };
    assert!(driver.store.log.append(&write).is_err());
    let synced = driver.log.synced().clone();
    for seed in 0..6 {
        let after = disk.cut(seed);
        let store = open(&after).unwrap();
        let log = LogModel::read(&store).unwrap();
        assert!(log.entries.len() >= synced.entries.len());
        assert!(driver.log.allows(&log));
    }
}

#[test]
fn a_disk_that_cannot_be_read_is_an_error() {
    let disk = SimDisk::new();
    drop(open(&disk).unwrap());
    disk.set_unreadable(true);
    assert!(matches!(open(&disk), Err(nacrite_storage::Error::Io(_))));
    disk.set_unreadable(false);
    open(&disk).unwrap();
}

/// Each sync is a wait for the disk, one after another, before the first client is answered.
#[test]
fn a_new_store_costs_few_syncs() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    // Two files written, two names given, two files marked as open.
    assert_eq!(disk.counts().0, 6);
    drop(store);
    let before = disk.counts().0;
    let _store = open(&disk).unwrap();
    // Two files marked as open: a check writes nothing.
    assert_eq!(disk.counts().0 - before, 2);
}
