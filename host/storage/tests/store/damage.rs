//! A flipped byte is said, or does no harm; and no damage is taken for an empty or an older store.

use std::sync::Arc;

use nacrite_storage::{Error, LOG_FILE, Options, RowCheck, STATE_FILE, SimDisk, Store, check_disk};

use crate::model::{Driver, LogModel, Seeded, StateModel, open, options};

pub(crate) struct NoCheck;

impl RowCheck for NoCheck {
    fn row(&self, _: u8, _: &[u8], _: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn md5_of(&self, _: u8, _: &[u8]) -> Option<[u8; 16]> {
        None
    }
    fn name(&self, table: u8, key: &[u8]) -> String {
        format!("{table}/{}", key.escape_ascii())
    }
}

/// A store with some content, closed in an orderly way or not, and what it holds.
pub(crate) fn filled(seed: u64, closed: bool) -> (SimDisk, LogModel, StateModel) {
    let disk = SimDisk::new();
    let mut driver = Driver::adopt(open(&disk).unwrap(), seed);
    for _ in 0..60 {
        driver.step().unwrap();
    }
    driver.store.state.sync().unwrap();
    driver.store.log.set_conf_state(b"members").unwrap();
    let (mut log, state) = (driver.log.now().clone(), driver.state.now().clone());
    log.conf = b"members".to_vec();
    let disk = if closed {
        drop(driver);
        disk
    } else {
        disk.copy()
    };
    (disk, log, state)
}

/// Whether the damage was said; if it was not, everything must be there.
fn said(disk: &SimDisk, log: &LogModel, state: &StateModel, context: &str) -> bool {
    let report = check_disk(disk, &NoCheck).unwrap();
    let read =
        open(disk).and_then(|store| Ok((LogModel::read(&store)?, StateModel::read(&store)?)));
    match read {
        Ok((found_log, found_state)) => {
            assert_eq!(&found_log, log, "{context}");
            assert_eq!(&found_state, state, "{context}");
            false
        }
        Err(Error::Damaged { .. }) => {
            assert!(!report.is_sound(), "{context}: the check found nothing");
            true
        }
        Err(error) => panic!("{context}: {error}"),
    }
}

#[test]
fn a_sound_store_is_sound() {
    for closed in [true, false] {
        let (disk, log, state) = filled(1, closed);
        let before = (disk.image(LOG_FILE), disk.image(STATE_FILE));
        let report = check_disk(&disk, &NoCheck).unwrap();
        assert!(report.is_sound(), "{report}");
        assert_eq!(
            before,
            (disk.image(LOG_FILE), disk.image(STATE_FILE)),
            "a check writes nothing"
        );
        assert_eq!(report.entries, log.entries.len() as u64);
        assert_eq!(report.last_index, log.last());
        assert_eq!(report.rows.values().sum::<u64>(), state.rows.len() as u64);
        assert_eq!(report.contents, state.contents.len() as u64);
        assert!(report.contents > 3 && report.entries > 3, "{report}");
    }
}

#[test]
fn a_flipped_byte_is_said_or_harmless() {
    let stores = [filled(5, true), filled(6, false)];
    let mut random = Seeded(99);
    for name in [LOG_FILE, STATE_FILE] {
        let mut damaged = 0;
        for round in 0..50 {
            let (disk, log, state) = &stores[round % 2];
            let image = disk.image(name);
            // Pages that were never written would make the test an easy one.
            let offset = loop {
                let offset = random.below(image.len() as u64) as usize;
                let page = offset & !4095;
                if image[page..page + 4096].iter().any(|byte| *byte != 0) {
                    break offset;
                }
            };
            let mask = 1 << random.below(8);
            let bad = disk.copy();
            bad.flip(name, offset, mask);
            damaged += usize::from(said(
                &bad,
                log,
                state,
                &format!("{name}, {offset}, {mask:#x}"),
            ));
        }
        assert!(
            damaged > 5,
            "{name}: only {damaged} flips met anything in use"
        );
    }
}

#[test]
fn a_flipped_byte_of_the_head_is_said_or_harmless() {
    for (disk, log, state) in [filled(8, true), filled(9, false)] {
        let mut damaged = 0;
        for offset in 0..320 {
            let bad = disk.copy();
            let mask = 1 << (offset % 8);
            bad.flip(LOG_FILE, offset, mask);
            damaged += usize::from(said(&bad, &log, &state, &format!("{offset}, {mask:#x}")));
        }
        assert!(damaged > 100, "{damaged}");
    }
}

#[test]
fn no_bit_of_the_flags_opens_an_older_commit() {
    // Both files, after an even and after an odd number of commits.
    for seed in 20..26 {
        let (disk, log, state) = filled(seed, seed % 2 == 0);
        for name in [LOG_FILE, STATE_FILE] {
            for bit in 0..8 {
                let bad = disk.copy();
                bad.flip(name, 9, 1 << bit);
                assert!(!said(
                    &bad,
                    &log,
                    &state,
                    &format!("{name}, seed {seed}, bit {bit}")
                ));
            }
        }
    }
}

#[test]
fn damage_is_never_taken_for_a_new_store() {
    let (disk, _, _) = filled(2, true);
    let image = disk.image(LOG_FILE);
    let mut no_magic = image.clone();
    no_magic[..9].fill(0);
    for (bytes, word) in [
        (Vec::new(), "empty"),
        (image[..100].to_vec(), "100 bytes"),
        (image[..image.len() / 2].to_vec(), "damaged"),
        (vec![0; image.len()], "redb file"),
        (no_magic, "redb file"),
    ] {
        for name in [LOG_FILE, STATE_FILE] {
            let bad = disk.copy();
            bad.put(name, bytes.clone());
            let error = open(&bad).err().unwrap();
            let text = error.to_string();
            assert!(matches!(error, Error::Damaged { .. }), "{text}");
            assert!(text.starts_with(name) && text.contains(word), "{text}");
            assert!(!check_disk(&bad, &NoCheck).unwrap().is_sound());
        }
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (disk, log, _) = filled(3, true);
    let other = SimDisk::new();
    drop(
        Store::open(
            Arc::new(other.clone()),
            &Options {
                new_node_id: 1,
                ..options()
            },
        )
        .unwrap(),
    );
    let young = SimDisk::new();
    drop(open(&young).unwrap());
    assert!(log.last() > 0);
    for (name, from, word) in [
        (STATE_FILE, &other, "belongs to node 1"),
        (LOG_FILE, &young, "ends at 0"),
        (STATE_FILE, &young, "begins after"),
    ] {
        let bad = disk.copy();
        bad.put(name, from.image(name));
        let text = open(&bad).err().unwrap().to_string();
        assert!(text.contains(word), "{text}");
        assert!(
            check_disk(&bad, &NoCheck)
                .unwrap()
                .to_string()
                .contains(word)
        );
    }
    for (name, there) in [(LOG_FILE, STATE_FILE), (STATE_FILE, LOG_FILE)] {
        let bad = SimDisk::new();
        bad.put(there, disk.image(there));
        let text = open(&bad).err().unwrap().to_string();
        assert_eq!(
            text,
            format!("{name} is damaged: it is missing, while {there} is there")
        );
    }
}

#[test]
fn a_damaged_content_is_not_read() {
    let (disk, _, state) = filled(5, true);
    let index = *state.contents.last().unwrap();
    let bytes = crate::model::content(index);
    assert!(bytes.len() > 8, "choose another seed");
    let image = disk.image(STATE_FILE);
    // Every copy of it, also those that are no longer in use.
    for offset in 0..image.len() - bytes.len() {
        if image[offset..offset + bytes.len()] == *bytes {
            disk.flip(STATE_FILE, offset + 3, 4);
        }
    }
    let unverified = Options {
        verify_data: false,
        ..options()
    };
    let store = Store::open(Arc::new(disk), &unverified).unwrap();
    let text = store.state.reader().content(index).unwrap_err().to_string();
    assert_eq!(
        text,
        format!("state.redb is damaged: table contents, {index}: wrong checksum")
    );
}
