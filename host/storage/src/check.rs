//! Looking through both files for damage, without changing them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::Path;

use md5::{Digest, Md5};
use redb::{ReadableDatabase, ReadableTable};

use crate::Error;
use crate::disk::{Disk, Folder};
use crate::file::{StoreFile, guarded};
use crate::log::{LOG_FILE, LogStart, each_entry, read_installing, read_start as read_log_start};
use crate::state::{
    Applied, CONTENTS, REFS, ROWS, STATE_FILE, place_of, read_content, read_refs, read_row,
    read_start,
};
use crate::store::disagreement;
use crate::walk;

/// What the rows mean: told by who wrote them.
pub trait RowCheck {
    /// Whether the row can be decoded; if not, why.
    fn row(&self, table: u8, key: &[u8], value: &[u8]) -> Result<(), String>;
    /// MD5 that the content of this row has according to the row, where rows of this table say so.
    fn md5_of(&self, table: u8, value: &[u8]) -> Option<[u8; 16]>;
    /// How a person would name the row; `/` makes folders where it becomes the name of a file.
    fn name(&self, table: u8, key: &[u8]) -> String;
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which file.
    pub file: String,
    /// What, with table and key, or offset.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries of the log that were read.
    pub entries: u64,
    /// Last entry that compaction removed.
    pub compacted_index: u64,
    /// Last entry of the log.
    pub last_index: u64,
    /// Commit index of the hard state. It is written lazily, so it may be behind what is applied.
    pub commit: u64,
    /// Up to which entry the state has applied the log.
    pub applied: Applied,
    /// Rows that were read, by table.
    pub rows: BTreeMap<u8, u64>,
    /// Contents that were read.
    pub contents: u64,
    /// Their bytes.
    pub content_bytes: u64,
    /// What is wrong; nothing in a sound store.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, error: Error, file: &str) {
        self.problems.push(problem(error, file));
    }

    fn say(&mut self, file: &str, what: String) {
        self.problems.push(Problem {
            file: file.to_owned(),
            what,
        });
    }
}

/// An error as a line of a report.
pub(crate) fn problem(error: Error, file: &str) -> Problem {
    match error {
        Error::Damaged { file, what } => Problem { file, what },
        error => Problem {
            file: file.to_owned(),
            what: error.to_string(),
        },
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "log: {} entries after {}, last {}, commit {}",
            self.entries, self.compacted_index, self.last_index, self.commit
        )?;
        write!(
            f,
            "state: applied {} of term {}, ",
            self.applied.index, self.applied.term
        )?;
        write!(f, "{} rows", self.rows.values().sum::<u64>())?;
        for (at, (table, rows)) in self.rows.iter().enumerate() {
            write!(
                f,
                "{}{rows} in table {table}",
                if at == 0 { " (" } else { ", " }
            )?;
        }
        let close = if self.rows.is_empty() { "" } else { ")" };
        writeln!(
            f,
            "{close}, {} contents of {} bytes",
            self.contents, self.content_bytes
        )?;
        for problem in &self.problems {
            writeln!(f, "damaged: {problem}")?;
        }
        write!(f, "{} problems", self.problems.len())
    }
}

/// Checks the store in a folder. Nothing in the folder is changed.
///
/// # Errors
/// [`Error::InUse`] if a server has it open; what the operating system says otherwise. Damage is no error here.
pub fn check(path: &Path, rows: &dyn RowCheck) -> Result<Report, Error> {
    check_disk(&Folder::open_read(path)?, rows)
}

/// Checks the store on a disk. Nothing on it is changed.
///
/// # Errors
/// What the operating system says. Damage is no error here.
pub fn check_disk(disk: &dyn Disk, rows: &dyn RowCheck) -> Result<Report, Error> {
    let mut report = Report::default();
    let log = check_log(disk, &mut report)?;
    let state = check_state(disk, rows, &mut report)?;
    if let (Some((log, installing)), Some((node, applied))) = (log, state)
        // The next open finishes or undoes an installation; until then the two files need not agree.
        && !installing
        && let Some(what) = disagreement(&log, node, applied)
    {
        report.say(&disk.place(STATE_FILE), what);
    }
    Ok(report)
}

/// The file with every page verified; without that where it fails; nothing where that fails too.
fn open(disk: &dyn Disk, name: &str, report: &mut Report) -> Result<Option<StoreFile>, Error> {
    if !disk.exists(name)? {
        report.say(&disk.place(name), "it is missing".to_owned());
        return Ok(None);
    }
    match StoreFile::open_read(disk, name) {
        Ok(file) => Ok(Some(file)),
        Err(error @ Error::Io(_)) => Err(error),
        Err(error) => {
            report.add(error, name);
            Ok(StoreFile::open_damaged(disk, name).ok())
        }
    }
}

fn check_log(disk: &dyn Disk, report: &mut Report) -> Result<Option<(LogStart, bool)>, Error> {
    let Some(file) = open(disk, LOG_FILE, report)? else {
        return Ok(None);
    };
    let start = match guarded(&file.place, || read_log_start(&file, false)) {
        Ok(start) => start,
        Err(error) => {
            report.add(error, LOG_FILE);
            return Ok(None);
        }
    };
    report.compacted_index = start.compacted.index;
    report.last_index = start.last_index;
    report.commit = start.hard_state.commit;
    if report.commit > start.last_index {
        let what = format!(
            "commit is {}, past the last entry {}",
            report.commit, start.last_index
        );
        report.say(&file.place, what);
    }
    let mut term = start.compacted.term;
    let mut found = Vec::new();
    let walked = each_entry(&file, &mut |index, entry| match entry {
        Ok(entry) => {
            report.entries += 1;
            if entry.term < term {
                found.push(format!(
                    "table log, entry {index}: term {} after {term}",
                    entry.term
                ));
            }
            term = entry.term;
        }
        Err(error) => report.problems.push(problem(error, LOG_FILE)),
    });
    for what in found {
        report.say(&file.place, what);
    }
    if let Err(error) = walked {
        report.add(error, LOG_FILE);
    }
    let installing = guarded(&file.place, || read_installing(&file)).unwrap_or_else(|error| {
        report.add(error, LOG_FILE);
        None
    });
    Ok(Some((start, installing.is_some())))
}

fn check_state(
    disk: &dyn Disk,
    check: &dyn RowCheck,
    report: &mut Report,
) -> Result<Option<(u64, Applied)>, Error> {
    let Some(file) = open(disk, STATE_FILE, report)? else {
        return Ok(None);
    };
    let start = match guarded(&file.place, || read_start(&file)) {
        Ok(start) => {
            report.applied = start.1;
            Some(start)
        }
        Err(error) => {
            report.add(error, STATE_FILE);
            None
        }
    };

    let mut sums: BTreeMap<u64, [u8; 16]> = BTreeMap::new();
    let walked = walk::each(
        &file,
        CONTENTS,
        Bound::Unbounded,
        &mut |index: u64, stored| match read_content(&file, index, stored) {
            Ok(bytes) => {
                report.contents += 1;
                report.content_bytes += bytes.len() as u64;
                sums.insert(index, Md5::digest(bytes).into());
            }
            Err(error) => report.add(error, STATE_FILE),
        },
    );
    if let Err(error) = walked {
        report.add(error, STATE_FILE);
    }

    let mut counted: BTreeMap<u64, u32> = BTreeMap::new();
    let walked = walk::each(
        &file,
        ROWS,
        Bound::Unbounded,
        &mut |key: Vec<u8>, stored| match read_row(&file, &key, stored) {
            Ok((value, content)) => {
                let table = key.first().copied().unwrap_or(0);
                *report.rows.entry(table).or_default() += 1;
                if let Some(index) = content {
                    *counted.entry(index).or_default() += 1;
                }
                if let Err(what) = check_row(check, &sums, &key, value, content) {
                    let what = format!("table rows, {}: {what}", place_of(&key));
                    report.say(&file.place, what);
                }
            }
            Err(error) => report.add(error, STATE_FILE),
        },
    );
    if let Err(error) = walked {
        report.add(error, STATE_FILE);
    }

    match guarded(&file.place, || stored_refs(&file)) {
        Ok(refs) => {
            for index in refs.keys().chain(counted.keys()).chain(sums.keys()) {
                let (stored, rows) = (refs.get(index), counted.get(index));
                if stored != rows {
                    let (stored, rows) = (stored.unwrap_or(&0), rows.unwrap_or(&0));
                    let what =
                        format!("table refs, {index}: {stored} stored, {rows} rows refer to it");
                    if !report.problems.iter().any(|problem| problem.what == what) {
                        report.say(&file.place, what);
                    }
                }
            }
        }
        Err(error) => report.add(error, STATE_FILE),
    }
    Ok(start)
}

/// What is wrong with a row that could be read.
fn check_row(
    check: &dyn RowCheck,
    sums: &BTreeMap<u64, [u8; 16]>,
    key: &[u8],
    value: &[u8],
    content: Option<u64>,
) -> Result<(), String> {
    let (&table, rest) = key.split_first().ok_or("it has no table")?;
    check.row(table, rest, value)?;
    if let Some(index) = content {
        let sum = sums.get(&index);
        let sum = sum.ok_or_else(|| format!("its content {index} is missing or unreadable"))?;
        if check.md5_of(table, value).is_some_and(|said| said != *sum) {
            return Err(format!("its content {index} has another md5"));
        }
    }
    Ok(())
}

fn stored_refs(file: &StoreFile) -> Result<BTreeMap<u64, u32>, Error> {
    let txn = file.db().begin_read().map_err(|e| file.error(e))?;
    let table = txn.open_table(REFS).map_err(|e| file.error(e))?;
    let mut refs = BTreeMap::new();
    for item in table.iter().map_err(|e| file.error(e))? {
        let (index, stored) = item.map_err(|e| file.error(e))?;
        refs.insert(
            index.value(),
            read_refs(file, index.value(), stored.value())?,
        );
    }
    Ok(refs)
}
