//! Real folders: one server at a time, and what is written is there afterwards.

use std::fs;

use nacrite_storage::{
    Entry, Error, LOG_FILE, LogReader, LogWrite, STATE_FILE, Store, check, salvage,
};

use crate::damage::NoCheck;
use crate::model::{Driver, options};

#[test]
fn a_folder_has_one_server_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/data");
    let mut store = Store::open_folder(&path, &options()).unwrap();
    let entries = vec![Entry {
        index: 1,
        term: 1,
        kind: 0,
        payload: b"one".to_vec(),
    }];
    store
        .log
        .append(&LogWrite {
            entries,
            hard_state: None,
            sync: true,
        })
        .unwrap();

    let text = Store::open_folder(&path, &options())
        .err()
        .unwrap()
        .to_string();
    let holder = format!(
        "{} is in use by another server (process {})",
        path.display(),
        std::process::id()
    );
    assert!(text.starts_with(&holder), "{text}");
    assert!(matches!(check(&path, &NoCheck), Err(Error::InUse { .. })));
    let out = folder.path().join("out");
    assert!(matches!(
        salvage(&path, &out, &NoCheck),
        Err(Error::InUse { .. })
    ));

    // A reader keeps the folder as the store does.
    let log = store.log.handle();
    drop(store);
    assert!(Store::open_folder(&path, &options()).is_err());
    drop(log);
    let store = Store::open_folder(&path, &options()).unwrap();
    assert_eq!(
        store.log.handle().entries(1, 2, 0).unwrap()[0].payload,
        b"one"
    );
}

#[test]
fn a_real_folder_holds_what_the_model_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut driver = Driver::adopt(Store::open_folder(folder.path(), &options()).unwrap(), 11);
    for _ in 0..30 {
        driver.step().unwrap();
    }
    driver.compare();
    let (log, state) = (driver.log.now().clone(), driver.state.now().clone());
    drop(driver);
    let before = [LOG_FILE, STATE_FILE].map(|name| fs::read(folder.path().join(name)).unwrap());
    let report = check(folder.path(), &NoCheck).unwrap();
    assert!(report.is_sound(), "{report}");
    let inside = folder.path().join("out");
    assert!(matches!(
        salvage(folder.path(), &inside, &NoCheck),
        Err(Error::Io(_))
    ));
    assert!(!inside.exists());
    let after = [LOG_FILE, STATE_FILE].map(|name| fs::read(folder.path().join(name)).unwrap());
    assert!(before == after);
    let driver = Driver::adopt(Store::open_folder(folder.path(), &options()).unwrap(), 0);
    assert_eq!((driver.log.now(), driver.state.now()), (&log, &state));
}

#[test]
fn an_interrupted_creation_is_completed_and_a_missing_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(Store::open_folder(path, &options()).unwrap());
    fs::rename(path.join(STATE_FILE), path.join("state.redb.new")).unwrap();
    assert!(Store::open_folder(path, &options()).unwrap().start.is_new);
    fs::remove_file(path.join(STATE_FILE)).unwrap();
    let text = Store::open_folder(path, &options())
        .err()
        .unwrap()
        .to_string();
    assert!(
        text.contains("it is missing, while raft.redb is there"),
        "{text}"
    );
    assert!(check(&path.join("nowhere"), &NoCheck).is_err());
}
