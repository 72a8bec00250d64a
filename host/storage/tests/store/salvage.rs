//! What is readable comes out, what is not is listed, and the folder stays as it was.

use std::fs;

use nacrite_storage::{
    Applied, Entry, LOG_FILE, LogWrite, RowChange, RowCheck, STATE_FILE, SimDisk, StateBatch,
    check_disk, salvage_disk,
};

use crate::damage::{NoCheck, filled};
use crate::model::{Seeded, open};

struct Named;

impl RowCheck for Named {
    fn row(&self, _: u8, _: &[u8], value: &[u8]) -> Result<(), String> {
        if value == b"bad" {
            Err("it is bad".to_owned())
        } else {
            Ok(())
        }
    }
    fn md5_of(&self, _: u8, value: &[u8]) -> Option<[u8; 16]> {
        value.try_into().ok()
    }
    fn name(&self, _: u8, key: &[u8]) -> String {
        String::from_utf8_lossy(key).into_owned()
    }
}

/// MD5 of `one`, by md5sum.
const ONE: [u8; 16] = [
    0xf9, 0x7c, 0x5d, 0x29, 0x94, 0x1b, 0xfb, 0x1b, 0x2f, 0xda, 0xb0, 0x87, 0x49, 0x06, 0xab, 0x82,
];

fn small(value: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    let mut store = open(&disk).unwrap();
    let entry = |index| Entry {
        index,
        term: 1,
        kind: 0,
        payload: format!("e{index}").into_bytes(),
    };
    let write = LogWrite {
        entries: vec![entry(1), entry(2)],
        hard_state: None,
        sync: true,
    };
    store.log.append(&write).unwrap();
    let row = RowChange::Put {
        table: 1,
        key: b"public/app.yaml".to_vec(),
        value: value.to_vec(),
        content: Some(1),
    };
    let batch = StateBatch {
        rows: vec![row],
        contents: vec![(1, b"one".as_slice().into())],
        applied: Applied { index: 1, term: 1 },
        durable: true,
    };
    store.state.apply(&batch).unwrap();
    disk
}

#[test]
fn rows_contents_and_waiting_entries_come_out() {
    let disk = small(&ONE);
    assert!(check_disk(&disk, &Named).unwrap().is_sound());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let salvaged = salvage_disk(&disk, &out, &Named).unwrap();
    assert_eq!(
        (salvaged.rows, salvaged.contents, salvaged.entries),
        (1, 1, 1)
    );
    assert_eq!(salvaged.unreadable, []);
    assert_eq!(
        fs::read(out.join("contents/public/app.yaml")).unwrap(),
        b"one"
    );
    assert_eq!(fs::read(out.join("rows/public/app.yaml")).unwrap(), ONE);
    assert_eq!(
        fs::read(out.join("log/00000000000000000002-term-1-kind-0")).unwrap(),
        b"e2"
    );
    assert_eq!(fs::read(out.join("UNREADABLE.txt")).unwrap(), b"");
    assert!(
        salvage_disk(&disk, &out, &Named).is_err(),
        "it writes over nothing"
    );
}

#[test]
fn a_row_that_its_writer_cannot_accept_is_said() {
    let report = check_disk(&small(b"bad"), &Named).unwrap().to_string();
    assert!(
        report.contains("table rows, 1/public/app.yaml: it is bad"),
        "{report}"
    );
    let report = check_disk(&small(&[7; 16]), &Named).unwrap().to_string();
    assert!(report.contains("its content 1 has another md5"), "{report}");
    assert!(report.ends_with("1 problems"), "{report}");
}

#[test]
fn damaged_files_give_up_what_is_readable() {
    let (disk, log, state) = filled(5, true);
    let image = disk.image(STATE_FILE);
    let waiting = log.last() - state.applied.index;
    // The head of both files is gone as far as it is the same everywhere; then a page in the middle as well.
    let headless = disk.copy();
    for name in [LOG_FILE, STATE_FILE] {
        for offset in (0..9).chain(12..24) {
            headless.flip(name, offset, 0x55);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let salvaged = salvage_disk(&headless, &folder.path().join("a"), &NoCheck).unwrap();
    assert_eq!(salvaged.rows, state.rows.len() as u64);
    assert_eq!(salvaged.contents, state.contents.len() as u64);
    assert_eq!(salvaged.entries, waiting);
    assert_eq!(salvaged.unreadable.len(), 4, "{:?}", salvaged.unreadable);

    let index = *state.contents.last().unwrap();
    let bytes = crate::model::content(index);
    let torn = disk.copy();
    for offset in 0..image.len() - bytes.len() {
        if image[offset..offset + bytes.len()] == *bytes {
            torn.flip(STATE_FILE, offset, 1);
        }
    }
    let before = torn.image(STATE_FILE);
    let out = folder.path().join("b");
    let salvaged = salvage_disk(&torn, &out, &NoCheck).unwrap();
    assert_eq!(salvaged.contents, state.contents.len() as u64 - 1);
    let list = fs::read_to_string(out.join("UNREADABLE.txt")).unwrap();
    assert!(
        list.contains(&format!("table contents, {index}: wrong checksum")),
        "{list}"
    );
    assert!(list.contains("content of "), "{list}");
    assert_eq!(before, torn.image(STATE_FILE));
}

#[test]
fn a_missing_or_emptied_file_does_not_hide_the_other() {
    let (disk, _, state) = filled(5, true);
    let folder = tempfile::tempdir().unwrap();
    disk.put(LOG_FILE, Vec::new());
    let salvaged = salvage_disk(&disk, &folder.path().join("a"), &NoCheck).unwrap();
    assert_eq!(salvaged.rows, state.rows.len() as u64);
    assert_eq!(salvaged.entries, 0);
    assert!(
        salvaged
            .unreadable
            .iter()
            .any(|problem| problem.file == LOG_FILE)
    );
}

#[test]
fn what_does_not_come_out_is_listed() {
    let (disk, log, state) = filled(6, false);
    let waiting = log.last() - state.applied.index;
    let folder = tempfile::tempdir().unwrap();
    let mut random = Seeded(17);
    let mut short = 0;
    for round in 0..40 {
        let name = [LOG_FILE, STATE_FILE][round % 2];
        let image = disk.image(name);
        let offset = loop {
            let offset = random.below(image.len() as u64) as usize;
            let page = offset & !4095;
            if image[page..page + 4096].iter().any(|byte| *byte != 0) {
                break offset;
            }
        };
        let bad = disk.copy();
        bad.flip(name, offset, 1 << random.below(8));
        let salvaged =
            salvage_disk(&bad, &folder.path().join(round.to_string()), &NoCheck).unwrap();
        let all = salvaged.rows >= state.rows.len() as u64
            && salvaged.contents >= state.contents.len() as u64
            && salvaged.entries >= waiting;
        short += usize::from(!all);
        assert!(
            all || !salvaged.unreadable.is_empty(),
            "{name}, {offset}: {salvaged:?}"
        );
    }
    assert!(short > 0, "no flip met anything in use");
}
