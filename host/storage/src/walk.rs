//! Visiting every record of a table, also of a damaged one: from the front to the first place that cannot be read,
//! then from the back to it.

use std::ops::Bound;

use redb::{Key, ReadableDatabase, TableDefinition, Value};

use crate::Error;
use crate::file::{StoreFile, guarded};

/// A key that can be kept beyond the life of what it was read from.
pub(crate) trait OwnedKey: Clone {
    /// The type of the table's keys.
    type Stored: Key + 'static;
    fn own(stored: <Self::Stored as Value>::SelfType<'_>) -> Self;
    fn lend(&self) -> <Self::Stored as Value>::SelfType<'_>;
}

impl OwnedKey for u64 {
    type Stored = u64;
    fn own(stored: u64) -> Self {
        stored
    }
    fn lend(&self) -> u64 {
        *self
    }
}

impl OwnedKey for Vec<u8> {
    type Stored = &'static [u8];
    fn own(stored: &[u8]) -> Self {
        stored.to_vec()
    }
    fn lend(&self) -> &[u8] {
        self
    }
}

/// Calls `each` with what can be read from `from` on; how many there were, or why some were not reached (those before
/// and after the bad place have been visited all the same).
pub(crate) fn each<K: OwnedKey>(
    file: &StoreFile,
    table: TableDefinition<'_, K::Stored, &'static [u8]>,
    from: Bound<K>,
    each: &mut dyn FnMut(K, &[u8]),
) -> Result<u64, Error> {
    let mut count = 0;
    let mut seen = from;
    let forward = guarded(&file.place, || {
        let txn = file.db().begin_read().map_err(|e| file.error(e))?;
        let table = txn.open_table(table).map_err(|e| file.error(e))?;
        let start = seen.clone();
        let range = (start.as_ref().map(K::lend), Bound::Unbounded);
        for item in table
            .range::<<K::Stored as Value>::SelfType<'_>>(range)
            .map_err(|e| file.error(e))?
        {
            let (key, value) = item.map_err(|e| file.error(e))?;
            let key = K::own(key.value());
            seen = Bound::Excluded(key.clone());
            count += 1;
            each(key, value.value());
        }
        Ok(())
    });
    let Err(error) = forward else {
        return Ok(count);
    };
    // The first error is what is reported; a second one on the way back only ends it.
    let _backward = guarded(&file.place, || {
        let txn = file.db().begin_read().map_err(|e| file.error(e))?;
        let table = txn.open_table(table).map_err(|e| file.error(e))?;
        let range = (seen.as_ref().map(K::lend), Bound::Unbounded);
        for item in table
            .range::<<K::Stored as Value>::SelfType<'_>>(range)
            .map_err(|e| file.error(e))?
            .rev()
        {
            let (key, value) = item.map_err(|e| file.error(e))?;
            each(K::own(key.value()), value.value());
        }
        Ok(())
    });
    Err(error)
}
