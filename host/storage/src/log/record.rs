//! How entries, and what there is one of, stand in the log's file.

use std::ops::Bound;

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::{Install, LogStart};
use crate::checksum::{crc, open, seal, u64_at};
use crate::disk::Disk;
use crate::file::StoreFile;
use crate::{Compacted, Entry, Error, HardState};

pub(super) const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FORMAT: u64 = 1;
/// Field of the table `meta` that stands there only while a state is being replaced.
pub(super) const INSTALLING: &str = "installing";
/// Checksum, term and kind before the payload.
pub(super) const ENTRY_HEAD: usize = 4 + 8 + 1;

/// Makes the file `name` with an empty log.
pub(crate) fn create(disk: &dyn Disk, name: &str, node_id: u64) -> Result<(), Error> {
    StoreFile::create(disk, name, |txn| {
        txn.open_table(ENTRIES)?;
        let mut meta = txn.open_table(META)?;
        let mut put = |key: &str, body: &[u8]| {
            meta.insert(key, seal(key.as_bytes(), body).as_slice())
                .map(|_| ())
        };
        put("format", &FORMAT.to_le_bytes())?;
        put("node_id", &node_id.to_le_bytes())?;
        put("hard_state", &hard_state_bytes(HardState::default()))?;
        put("conf_state", &[])?;
        put("compacted", &compacted_bytes(Compacted::default()))?;
        Ok(())
    })
}

/// Reads what stands beside the entries, and that these follow each other.
pub(crate) fn read_start(file: &StoreFile, is_new: bool) -> Result<LogStart, Error> {
    let txn = file.db().begin_read().map_err(|e| file.error(e))?;
    let meta = txn.open_table(META).map_err(|e| file.error(e))?;
    let field = |key: &str| -> Result<Vec<u8>, Error> {
        let stored = meta.get(key).map_err(|e| file.error(e))?;
        let stored = stored.ok_or_else(|| file.damage(format!("table meta, {key}: missing")))?;
        let body = open(key.as_bytes(), stored.value());
        let body = body.ok_or_else(|| file.damage(format!("table meta, {key}: wrong checksum")))?;
        Ok(body.to_vec())
    };
    let numbers = |key: &str, count: usize| -> Result<Vec<u64>, Error> {
        let body = field(key)?;
        let numbers: Vec<u64> = (0..count).filter_map(|n| u64_at(&body, n * 8)).collect();
        if numbers.len() == count && body.len() == count * 8 {
            Ok(numbers)
        } else {
            Err(file.damage(format!("table meta, {key}: {} bytes long", body.len())))
        }
    };
    let format = numbers("format", 1)?[0];
    if format != FORMAT {
        return Err(file.damage(format!("format {format}, where {FORMAT} can be read")));
    }
    let hard = numbers("hard_state", 3)?;
    let compacted = numbers("compacted", 2)?;
    let compacted = Compacted {
        index: compacted[0],
        term: compacted[1],
    };

    let table = txn.open_table(ENTRIES).map_err(|e| file.error(e))?;
    let ends = [table.first(), table.last()].map(|end| {
        end.map(|item| item.map(|(index, _)| index.value()))
            .map_err(|e| file.error(e))
    });
    let [first, last] = ends;
    let count = table.len().map_err(|e| file.error(e))?;
    let last_index = match (first?, last?) {
        (Some(first), Some(last)) => {
            if first != compacted.index + 1 || last - first + 1 != count {
                return Err(file.damage(format!(
                    "table log: {count} entries in {first}..={last}, after a start at {}",
                    compacted.index
                )));
            }
            last
        }
        _ => compacted.index,
    };
    Ok(LogStart {
        hard_state: HardState {
            term: hard[0],
            vote: hard[1],
            commit: hard[2],
        },
        conf_state: field("conf_state")?,
        compacted,
        last_index,
        node_id: numbers("node_id", 1)?[0],
        is_new,
    })
}

/// Calls `each` with every entry that can be reached; how many there were.
pub(crate) fn each_entry(
    file: &StoreFile,
    each: &mut dyn FnMut(u64, Result<Entry, Error>),
) -> Result<u64, Error> {
    crate::walk::each(
        file,
        ENTRIES,
        Bound::Unbounded,
        &mut |index: u64, stored: &[u8]| {
            each(index, read_entry(file, index, stored));
        },
    )
}

pub(super) fn put_meta(
    file: &StoreFile,
    txn: &redb::WriteTransaction,
    key: &str,
    body: &[u8],
) -> Result<(), Error> {
    txn.open_table(META)
        .map_err(|e| file.error(e))?
        .insert(key, seal(key.as_bytes(), body).as_slice())
        .map_err(|e| file.error(e))?;
    Ok(())
}

pub(super) fn remove_meta(
    file: &StoreFile,
    txn: &redb::WriteTransaction,
    key: &str,
) -> Result<(), Error> {
    txn.open_table(META)
        .map_err(|e| file.error(e))?
        .remove(key)
        .map_err(|e| file.error(e))?;
    Ok(())
}

pub(super) fn install_bytes(install: &Install) -> Vec<u8> {
    let mut bytes = compacted_bytes(install.compacted).to_vec();
    bytes.extend_from_slice(&hard_state_bytes(install.hard_state));
    bytes.extend_from_slice(&install.conf_state);
    bytes
}

/// An installation that was begun and not finished.
pub(crate) fn read_installing(file: &StoreFile) -> Result<Option<Install>, Error> {
    let txn = file.db().begin_read().map_err(|e| file.error(e))?;
    let meta = txn.open_table(META).map_err(|e| file.error(e))?;
    let Some(stored) = meta.get(INSTALLING).map_err(|e| file.error(e))? else {
        return Ok(None);
    };
    let install = open(INSTALLING.as_bytes(), stored.value()).and_then(|body| {
        let number = |n: usize| u64_at(body, n * 8);
        Some(Install {
            compacted: Compacted {
                index: number(0)?,
                term: number(1)?,
            },
            hard_state: HardState {
                term: number(2)?,
                vote: number(3)?,
                commit: number(4)?,
            },
            conf_state: body.get(40..)?.to_vec(),
        })
    });
    let wrong = || file.damage(format!("table meta, {INSTALLING}: wrong checksum"));
    install.map(Some).ok_or_else(wrong)
}

pub(super) fn hard_state_bytes(hard: HardState) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&hard.term.to_le_bytes());
    bytes[8..16].copy_from_slice(&hard.vote.to_le_bytes());
    bytes[16..].copy_from_slice(&hard.commit.to_le_bytes());
    bytes
}

pub(super) fn compacted_bytes(compacted: Compacted) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&compacted.index.to_le_bytes());
    bytes[8..].copy_from_slice(&compacted.term.to_le_bytes());
    bytes
}

pub(super) fn write_entry(entry: &Entry, out: &mut [u8]) {
    out[4..12].copy_from_slice(&entry.term.to_le_bytes());
    out[12] = entry.kind;
    out[ENTRY_HEAD..].copy_from_slice(&entry.payload);
    let sum = crc(&[&entry.index.to_le_bytes(), &out[4..]]);
    out[..4].copy_from_slice(&sum.to_le_bytes());
}

pub(super) fn read_entry(file: &StoreFile, index: u64, stored: &[u8]) -> Result<Entry, Error> {
    let wrong = || file.damage(format!("table log, entry {index}: wrong checksum"));
    let body = open(&index.to_le_bytes(), stored).ok_or_else(wrong)?;
    let term = u64_at(body, 0).ok_or_else(wrong)?;
    let (kind, payload) = body
        .get(8..)
        .and_then(<[u8]>::split_first)
        .ok_or_else(wrong)?;
    Ok(Entry {
        index,
        term,
        kind: *kind,
        payload: payload.to_vec(),
    })
}
