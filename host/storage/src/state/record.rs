//! How rows, contents and reference counts stand in the file.

use redb::{ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};

use super::Applied;
use crate::Error;
use crate::checksum::{crc, open, seal, u64_at};
use crate::file::StoreFile;

/// Rows: table byte and key, to checksum, reference and value.
pub(crate) const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
/// Contents by log index.
pub(crate) const CONTENTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("contents");
/// How many rows refer to a content: the count in the low half, its checksum in the high half.
pub(crate) const REFS: TableDefinition<'static, u64, u64> = TableDefinition::new("refs");
/// What there is one of.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

const FORMAT: u64 = 1;

pub(super) fn fill_meta(txn: &WriteTransaction, node_id: u64) -> Result<(), redb::Error> {
    let mut meta = txn.open_table(META)?;
    meta.insert("format", seal(b"format", &FORMAT.to_le_bytes()).as_slice())?;
    meta.insert(
        "node_id",
        seal(b"node_id", &node_id.to_le_bytes()).as_slice(),
    )?;
    meta.insert("applied", applied_bytes(Applied::default()).as_slice())?;
    Ok(())
}

pub(super) fn applied_bytes(applied: Applied) -> Vec<u8> {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&applied.index.to_le_bytes());
    body[8..].copy_from_slice(&applied.term.to_le_bytes());
    seal(b"applied", &body)
}

/// Node identity and applied index.
pub(crate) fn read_start(file: &StoreFile) -> Result<(u64, Applied), Error> {
    let txn = file.db().begin_read().map_err(|e| file.error(e))?;
    let [format] = numbers(file, &txn, "format")?;
    if format != FORMAT {
        return Err(file.damage(format!("format {format}, where {FORMAT} can be read")));
    }
    let [node_id] = numbers(file, &txn, "node_id")?;
    Ok((node_id, read_applied(file, &txn)?))
}

pub(super) fn read_applied(file: &StoreFile, txn: &ReadTransaction) -> Result<Applied, Error> {
    let [index, term] = numbers(file, txn, "applied")?;
    Ok(Applied { index, term })
}

/// The numbers that make up a field of the table `meta`.
fn numbers<const N: usize>(
    file: &StoreFile,
    txn: &ReadTransaction,
    key: &str,
) -> Result<[u64; N], Error> {
    let meta = txn.open_table(META).map_err(|e| file.error(e))?;
    let stored = meta.get(key).map_err(|e| file.error(e))?;
    let stored = stored.ok_or_else(|| file.damage(format!("table meta, {key}: missing")))?;
    let body = open(key.as_bytes(), stored.value()).filter(|body| body.len() == N * 8);
    let body = body.ok_or_else(|| file.damage(format!("table meta, {key}: wrong checksum")))?;
    // The length was looked at just before.
    Ok(std::array::from_fn(|n| u64_at(body, n * 8).unwrap_or(0)))
}

pub(super) fn row_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(table);
    full.extend_from_slice(key);
    full
}

/// `key` with its table before it.
pub(super) fn row_bytes(key: &[u8], value: &[u8], content: Option<u64>) -> Vec<u8> {
    let mut stored = Vec::with_capacity(4 + 9 + value.len());
    stored.extend_from_slice(&[0; 4]);
    match content {
        Some(index) => {
            stored.push(1);
            stored.extend_from_slice(&index.to_le_bytes());
        }
        None => stored.push(0),
    }
    stored.extend_from_slice(value);
    let sum = crc(&[key, &stored[4..]]);
    stored[..4].copy_from_slice(&sum.to_le_bytes());
    stored
}

/// Value and reference of a row; `key` with its table before it.
pub(crate) fn read_row<'a>(
    file: &StoreFile,
    key: &[u8],
    stored: &'a [u8],
) -> Result<(&'a [u8], Option<u64>), Error> {
    let row = open(key, stored).and_then(|body| match body.split_first()? {
        (0, value) => Some((value, None)),
        (1, rest) => Some((rest.get(8..)?, Some(u64_at(rest, 0)?))),
        _ => None,
    });
    row.ok_or_else(|| file.damage(format!("table rows, {}: wrong checksum", place_of(key))))
}

/// How an error names a row: table, and key with what cannot be printed escaped.
pub(crate) fn place_of(key: &[u8]) -> String {
    match key.split_first() {
        Some((table, key)) => format!("{table}/{}", key.escape_ascii()),
        None => "without a table".to_owned(),
    }
}

pub(super) fn write_content(index: u64, bytes: &[u8], out: &mut [u8]) {
    out[..4].copy_from_slice(&crc(&[&index.to_le_bytes(), bytes]).to_le_bytes());
    out[4..].copy_from_slice(bytes);
}

pub(crate) fn read_content<'a>(
    file: &StoreFile,
    index: u64,
    stored: &'a [u8],
) -> Result<&'a [u8], Error> {
    open(&index.to_le_bytes(), stored)
        .ok_or_else(|| file.damage(format!("table contents, {index}: wrong checksum")))
}

pub(super) fn write_refs(index: u64, count: u32) -> u64 {
    let sum = crc(&[&index.to_le_bytes(), &count.to_le_bytes()]);
    u64::from(sum) << 32 | u64::from(count)
}

pub(crate) fn read_refs(file: &StoreFile, index: u64, stored: u64) -> Result<u32, Error> {
    let count = (stored & u64::from(u32::MAX)) as u32;
    if write_refs(index, count) == stored {
        Ok(count)
    } else {
        Err(file.damage(format!("table refs, {index}: wrong checksum")))
    }
}
