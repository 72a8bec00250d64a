//! Getting out of damaged files what can still be read, as plain files in another folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::check::{Problem, RowCheck, problem};
use crate::disk::{Disk, Folder};
use crate::file::{StoreFile, guarded};
use crate::log::{LOG_FILE, each_entry};
use crate::state::{CONTENTS, ROWS, STATE_FILE, place_of, read_content, read_row, read_start};
use crate::walk;

/// Name of the file that lists what was not readable.
const UNREADABLE: &str = "UNREADABLE.txt";
/// Longest part of a path that is made from a row's name, in bytes; common file systems allow 255.
const LONGEST: usize = 180;

/// What was got out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Rows, under `rows/`: their values.
    pub rows: u64,
    /// Contents, under `contents/`, once for each row that refers to one, and under `contents-without-row/`.
    pub contents: u64,
    /// Log entries that the state has not applied, under `log/`: their payloads.
    pub entries: u64,
    /// What was not readable; also written to `UNREADABLE.txt`.
    pub unreadable: Vec<Problem>,
}

/// Writes every readable row, content and not yet applied log entry of the store in `path` to files under `out`, which
/// must not exist or be empty. Nothing in `path` is changed.
///
/// # Errors
/// [`Error::InUse`] if a server has it open; [`Error::Io`] if `out` cannot be written. Damage is no error here.
pub fn salvage(path: &Path, out: &Path, rows: &dyn RowCheck) -> Result<Salvaged, Error> {
    let disk = Folder::open_read(path)?;
    let inside = |folder: &Path| folder.canonicalize().ok();
    let out = &std::path::absolute(out)?;
    let mut parents = out.ancestors().filter_map(inside);
    if let (Some(from), Some(to)) = (inside(path), parents.next())
        && to.starts_with(&from)
    {
        let what = format!("{} lies in the folder to salvage", out.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what).into());
    }
    salvage_disk(&disk, out, rows)
}

/// As [`salvage`], from any disk.
///
/// # Errors
/// As there.
pub fn salvage_disk(disk: &dyn Disk, out: &Path, rows: &dyn RowCheck) -> Result<Salvaged, Error> {
    fs::create_dir_all(out)?;
    if fs::read_dir(out)?.next().is_some() {
        let what = format!("{} is not empty", out.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what).into());
    }
    let mut work = Work {
        out,
        salvaged: Salvaged::default(),
        failed: None,
    };
    let applied = work.state(disk, rows);
    work.log(disk, applied);
    let mut list = String::new();
    for problem in &work.salvaged.unreadable {
        // Writing to a string cannot fail.
        let _infallible = writeln!(list, "{problem}");
    }
    fs::write(out.join(UNREADABLE), list)?;
    match work.failed {
        Some(error) => Err(error.into()),
        None => Ok(work.salvaged),
    }
}

struct Work<'a> {
    out: &'a Path,
    salvaged: Salvaged,
    /// The first error of writing to `out`.
    failed: Option<io::Error>,
}

impl Work<'_> {
    fn unreadable(&mut self, error: Error, file: &str) {
        self.salvaged.unreadable.push(problem(error, file));
    }

    fn open(&mut self, disk: &dyn Disk, name: &str) -> Option<StoreFile> {
        match StoreFile::open_any(disk, name) {
            Ok((file, tried)) => {
                for error in tried {
                    self.unreadable(error, name);
                }
                Some(file)
            }
            Err(error) => {
                self.unreadable(error, &disk.place(name));
                None
            }
        }
    }

    /// Writes a file; whether it could be.
    fn write(&mut self, folder: &str, name: &str, bytes: &[u8]) -> bool {
        match write_new(&self.out.join(folder), name, bytes) {
            Ok(()) => true,
            Err(error) => {
                self.failed.get_or_insert(error);
                false
            }
        }
    }

    /// Rows and contents; up to where the state has applied the log, where that can be read.
    fn state(&mut self, disk: &dyn Disk, rows: &dyn RowCheck) -> u64 {
        let Some(file) = self.open(disk, STATE_FILE) else {
            return 0;
        };
        let applied = match guarded(&file.place, || read_start(&file)) {
            Ok((_, applied)) => applied.index,
            Err(error) => {
                self.unreadable(error, STATE_FILE);
                0
            }
        };
        let mut names: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let walked = walk::each(
            &file,
            ROWS,
            Bound::Unbounded,
            &mut |key: Vec<u8>, stored| match read_row(&file, &key, stored) {
                Ok((value, content)) => {
                    let name = match key.split_first() {
                        Some((&table, rest)) => rows.name(table, rest),
                        None => place_of(&key),
                    };
                    self.salvaged.rows += u64::from(self.write("rows", &name, value));
                    if let Some(index) = content {
                        names.entry(index).or_default().push(name);
                    }
                }
                Err(error) => self.unreadable(error, STATE_FILE),
            },
        );
        if let Err(error) = walked {
            self.unreadable(error, STATE_FILE);
        }
        let walked = walk::each(
            &file,
            CONTENTS,
            Bound::Unbounded,
            &mut |index: u64, stored| {
                let owners = names.remove(&index);
                match read_content(&file, index, stored) {
                    Ok(bytes) => {
                        self.salvaged.contents += 1;
                        for name in owners.iter().flatten() {
                            self.write("contents", name, bytes);
                        }
                        if owners.is_none() {
                            self.write("contents-without-row", &index.to_string(), bytes);
                        }
                    }
                    Err(error) => {
                        for name in owners.iter().flatten() {
                            let what = format!("content of {name}: not readable");
                            self.unreadable(file.damage(what), STATE_FILE);
                        }
                        self.unreadable(error, STATE_FILE);
                    }
                }
            },
        );
        if let Err(error) = walked {
            self.unreadable(error, STATE_FILE);
        }
        for name in names.values().flatten() {
            self.unreadable(
                file.damage(format!("content of {name}: missing")),
                STATE_FILE,
            );
        }
        applied
    }

    /// What was acknowledged and had not reached the state yet.
    fn log(&mut self, disk: &dyn Disk, applied: u64) {
        let Some(file) = self.open(disk, LOG_FILE) else {
            return;
        };
        let walked = each_entry(&file, &mut |index, entry| match entry {
            Ok(entry) if index > applied => {
                let name = format!("{index:020}-term-{}-kind-{}", entry.term, entry.kind);
                self.salvaged.entries += u64::from(self.write("log", &name, &entry.payload));
            }
            Ok(_) => {}
            Err(error) => self.unreadable(error, LOG_FILE),
        });
        if let Err(error) = walked {
            self.unreadable(error, LOG_FILE);
        }
    }
}

/// Writes `bytes` to a new file under `folder`; a number is added to a name that is taken.
fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let parts: Vec<String> = name.split('/').map(safe).collect();
    let mut path: PathBuf = folder.to_owned();
    path.extend(&parts);
    let parent = path.parent().unwrap_or(folder);
    if fs::create_dir_all(parent).is_err() {
        // A row's file has the name that this one's folder would have.
        fs::create_dir_all(folder)?;
        path = folder.join(safe(name));
    }
    for copy in 1_u32.. {
        let mut target = path.clone().into_os_string();
        if copy > 1 {
            target.push(format!("~{copy}"));
        }
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&target)
        {
            Ok(mut file) => return file.write_all(bytes),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A part of a path that no file system takes for anything else.
fn safe(part: &str) -> String {
    let mut safe = String::with_capacity(part.len());
    for (at, byte) in part.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"-_@=+,".contains(&byte) || (byte == b'.' && at > 0);
        if plain {
            safe.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(safe, "%{byte:02X}");
        }
    }
    if safe.is_empty() {
        safe.push('%');
    }
    if safe.len() > LONGEST {
        safe.truncate(LONGEST);
        let _infallible = write!(safe, "~{:08x}", crate::checksum::crc(&[part.as_bytes()]));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        assert_eq!(safe("app.yaml"), "app.yaml");
        assert_eq!(safe(".."), "%2E.");
        assert_eq!(safe(""), "%");
        assert_eq!(safe("a\\b:c\0"), "a%5Cb%3Ac%00");
        assert_ne!(safe(&"a".repeat(300)), safe(&"a".repeat(301)));
        assert!(safe(&"ü".repeat(300)).len() < 255);
    }

    #[test]
    fn two_rows_of_one_name_become_two_files() {
        let out = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("a", "1"),
            ("a", "2"),
            ("a/b", "3"),
            ("c/d", "4"),
            ("../e", "5"),
        ] {
            write_new(out.path(), name, bytes.as_bytes()).unwrap();
        }
        for (name, bytes) in [
            ("a", "1"),
            ("a~2", "2"),
            ("a%2Fb", "3"),
            ("c/d", "4"),
            ("%2E./e", "5"),
        ] {
            assert_eq!(
                fs::read_to_string(out.path().join(name)).unwrap(),
                bytes,
                "{name}"
            );
        }
    }
}
