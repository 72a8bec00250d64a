//! Damaged data is never silently empty: a server says which file it is and what to do, changes nothing, and offers the
//! ways out that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nacrite::check::CoreRows;
use nacrite_storage::{LOG_FILE, STATE_FILE, check};
use nacrite_tests::server::{Server, Setup, run, said};

/// Code with which a command ends that could not do its work.
const REFUSED: i32 = 2;

const CONTENT: &str = "a content that is worth keeping";

struct Trial {
    _folder: tempfile::TempDir,
    setup: Setup,
}

impl Trial {
    /// A folder with some data, whose server was ended in order.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let setup = Setup::new(&folder.path().join("data"));
        let mut server = setup.start();
        for n in 0..20 {
            let form = format!("dataId=kept-{n}&group=DEFAULT_GROUP&content={CONTENT}+{n}");
            assert_eq!(
                server.ask("POST", "/nacos/v1/cs/configs", &form).text(),
                "true"
            );
        }
        ends_in_order(&mut server);
        Self {
            _folder: folder,
            setup,
        }
    }

    fn data(&self) -> &Path {
        self.setup.data()
    }

    fn path(&self) -> &str {
        self.data().to_str().expect("a plain name")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// Every file of the store, with its bytes: not the lock, nor the operator's token, which no damage touches.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fs::read_dir(self.data())
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be listed").path())
            .filter(|path| {
                let name = path.file_name().expect("files have names");
                name != "admin.token" && path.extension().is_none_or(|e| e != "lock")
            })
            .map(|path| (path.clone(), fs::read(&path).expect("it can be read")))
            .collect()
    }

    /// Files that are other than before, that came, or that went.
    fn changed(&self, before: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
        let after = self.files();
        let names = before.keys().chain(after.keys());
        let mut changed: Vec<String> = names
            .filter(|path| before.get(*path) != after.get(*path))
            .map(|path| path.display().to_string())
            .collect();
        changed.dedup();
        changed
    }

    /// `nacrite serve` refuses, naming this file and the ways out, and changes nothing.
    fn is_refused(&self, file: &str) {
        let before = self.files();
        let output = self.setup.command().output().expect("it can be started");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(REFUSED), "{text}");
        assert!(text.contains(file), "{file} is not named: {text}");
        for way in ["check-data", "--salvage", "--start-empty"] {
            assert!(text.contains(way), "{way} is not offered: {text}");
        }
        // The other file may have been opened and closed, which its header tells; the damaged one is left alone.
        let damaged = self.file(file).display().to_string();
        assert!(!self.changed(&before).contains(&damaged), "{damaged}");
        let before = self.files();
        let checked = run(&["check-data", self.path()]);
        let text = said(&checked);
        assert!(!checked.status.success() && text.contains(file), "{text}");
        assert_eq!(self.changed(&before), [""; 0], "after a check");
    }
}

/// Ends a server as an operator does.
fn ends_in_order(server: &mut Server) {
    server.terminate();
    let status = server.await_end(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{}", server.log_tail());
}

fn read(server: &Server, n: usize) -> String {
    let target = format!("/nacos/v1/cs/configs?dataId=kept-{n}&group=DEFAULT_GROUP");
    server.ask("GET", &target, "").text()
}

#[test]
fn an_ordered_end_leaves_nothing_to_replay() {
    let trial = Trial::new();
    let report = check(trial.data(), &CoreRows).expect("the folder can be read");
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.applied.index, report.last_index, "{report}");
    let server = trial.setup.start();
    assert_eq!(read(&server, 7), format!("{CONTENT} 7"));
}

#[test]
fn a_second_server_is_refused() {
    let trial = Trial::new();
    let server = trial.setup.start();
    let second = Setup::new(trial.data());
    let output = second.command().output().expect("it can be started");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(REFUSED), "{text}");
    assert!(
        text.contains("in use") && text.contains(&server.pid().to_string()),
        "{text}"
    );
    let checked = run(&["check-data", trial.path()]);
    assert!(
        !checked.status.success() && said(&checked).contains("in use"),
        "{}",
        said(&checked)
    );
    assert_eq!(read(&server, 3), format!("{CONTENT} 3"));
}

#[test]
fn a_flipped_byte_is_refused() {
    for name in [LOG_FILE, STATE_FILE] {
        let trial = Trial::new();
        let mut bytes = fs::read(trial.file(name)).expect("it can be read");
        // In the middle of something that is stored, not in a page that is free.
        let needle = CONTENT.as_bytes();
        let at = bytes.windows(needle.len()).rposition(|w| w == needle);
        let places: Vec<usize> = (0..bytes.len() - needle.len())
            .filter(|p| bytes[*p..].starts_with(needle))
            .collect();
        assert!(at.is_some(), "{name} holds no content");
        for place in places {
            bytes[place] ^= 0x20;
        }
        fs::write(trial.file(name), &bytes).expect("it can be written");
        trial.is_refused(name);
    }
}

#[test]
fn a_truncated_file_is_refused() {
    for name in [LOG_FILE, STATE_FILE] {
        let trial = Trial::new();
        let bytes = fs::read(trial.file(name)).expect("it can be read");
        for length in [bytes.len() / 2, 100, 0] {
            fs::write(trial.file(name), &bytes[..length]).expect("it can be written");
            trial.is_refused(name);
        }
    }
}

#[test]
fn a_missing_file_is_refused() {
    for name in [LOG_FILE, STATE_FILE] {
        let trial = Trial::new();
        fs::remove_file(trial.file(name)).expect("it was there");
        trial.is_refused(name);
    }
}

#[test]
fn what_is_readable_can_be_saved() {
    let trial = Trial::new();
    fs::remove_file(trial.file(LOG_FILE)).expect("it was there");
    let out = trial.data().with_extension("saved");
    let saved = run(&[
        "check-data",
        trial.path(),
        "--salvage",
        out.to_str().expect("a plain name"),
    ]);
    let text = said(&saved);
    assert!(text.contains("written to"), "{text}");
    let mut found = Vec::new();
    let mut folders = vec![out];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it was written") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(fs::read(&path).expect("it can be read"));
            }
        }
    }
    for n in 0..20 {
        let wanted = format!("{CONTENT} {n}").into_bytes();
        assert!(found.contains(&wanted), "kept-{n} was not saved: {text}");
    }
}

#[test]
fn starting_empty_sets_the_damaged_files_aside() {
    let trial = Trial::new();
    let state = fs::read(trial.file(STATE_FILE)).expect("it can be read");
    fs::write(trial.file(STATE_FILE), &state[..state.len() / 2]).expect("it can be written");
    trial.is_refused(STATE_FILE);
    let before = trial.files();
    let empty = trial.setup.clone().with(&["--start-empty"]);
    let mut server = empty.start();
    assert!(
        read(&server, 1).contains("not exist"),
        "{}",
        read(&server, 1)
    );
    let form = "dataId=kept-1&group=DEFAULT_GROUP&content=anew";
    assert_eq!(
        server.ask("POST", "/nacos/v1/cs/configs", form).text(),
        "true"
    );
    ends_in_order(&mut server);
    let after = trial.files();
    for (path, bytes) in before {
        let name = path
            .file_name()
            .expect("files have names")
            .to_string_lossy();
        let aside = after.iter().any(|(other, kept)| {
            let other = other
                .file_name()
                .expect("files have names")
                .to_string_lossy();
            other.starts_with(&format!("{name}.aside-")) && (name != STATE_FILE || *kept == bytes)
        });
        assert!(aside, "{name} is not set aside");
    }
    // What stands there now is sound: it is used, even by one who is told to begin anew if it is not.
    for setup in [&trial.setup, &empty] {
        let mut server = setup.start();
        assert_eq!(read(&server, 1), "anew");
        ends_in_order(&mut server);
    }
    assert_eq!(trial.files().len(), 4);
}
