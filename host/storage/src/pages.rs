//! Comparing the checksum of every page that the last commit of a `redb` file leads to.
//!
//! The library can do that when it opens a file, one page at a time through its cache, twice. Here the pages of a level are
//! read in the order of the file, neighbours at once, into one buffer: the check then takes a fraction of the time. It is
//! a short cut and no judge: whatever is not as expected here is left to the library's own check, which says what is
//! wrong, and mends what can be mended.
//!
//! Offsets and layouts follow redb's `docs/design.md`, file format 3.

use std::io;

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use crate::checksum::u64_at;
use crate::disk::Backend;
use crate::slots::{self, HEADER, PAGE};

/// Bytes that are read at once, unless a single page is larger.
const READ: usize = 256 << 10;
/// Pages so near to each other are read together with what lies between them, bytes.
const GAP: u64 = 16 << 10;
/// Pages of a level that are looked at before their children are: bounds what waits.
const BATCH: usize = 512;
/// No tree is deeper: as in the library.
const DEPTH: usize = 128;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// A table with one value a key, in its definition.
const PLAIN_TABLE: u8 = 3;
/// Table of the library that keeps older commits alive; ours has none.
const SAVEPOINTS: &[u8] = b"persistent_savepoints";
/// Key and value of a table whose entries may be of any length.
const ANY_LENGTH: Widths = Widths {
    key: None,
    value: None,
};

/// Whether every page is what the page that leads to it says. False is no verdict: see above.
pub(crate) fn sound(file: &Backend) -> io::Result<bool> {
    let len = file.len()?;
    let mut head = [0; HEADER];
    if len < PAGE {
        return Ok(false);
    }
    file.read(0, &mut head)?;
    let Some(roots) = slots::roots(&head) else {
        return Ok(false);
    };
    let mut walk = Walk {
        file,
        len,
        budget: len / PAGE,
        buffer: Vec::new(),
    };
    for root in roots {
        let mut tables = Vec::new();
        let walked = walk.tree(ANY_LENGTH, &root, &mut |page| {
            tables.extend(definitions(page)?);
            Some(())
        })?;
        if !walked {
            return Ok(false);
        }
        for (widths, root) in tables {
            if !walk.tree(widths, &root, &mut |_| Some(()))? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Lengths of keys and values where they are all the same, bytes.
#[derive(Clone, Copy)]
struct Widths {
    key: Option<usize>,
    value: Option<usize>,
}

/// Where a page lies, and its checksum according to who leads to it.
#[derive(Clone, Copy)]
struct Child {
    offset: u64,
    len: u64,
    sum: u128,
}

impl Child {
    /// By a page number as it is stored: index in its region, region, order (the page is so many doublings of the least one).
    fn new(number: u64, sum: u128) -> Self {
        let order = number >> 59;
        let len = PAGE << order;
        let index = number & (0x000F_FFFF >> order);
        let region = (number >> 20) & 0x000F_FFFF;
        Self {
            offset: PAGE + region * slots::REGION + index * len,
            len,
            sum,
        }
    }

    fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// The root of a tree, as slots and definitions name it.
pub(crate) struct Root(Child);

impl Root {
    /// Page number and checksum, from `at` on.
    pub(crate) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self(Child::new(u64_at(bytes, at)?, sum_at(bytes, at + 8)?)))
    }
}

struct Walk<'a> {
    file: &'a Backend,
    len: u64,
    /// How many pages the file can hold that were not visited yet.
    budget: u64,
    buffer: Vec<u8>,
}

impl Walk<'_> {
    /// Visits all pages of a tree; `leaf` is given each leaf, and says with `None` that it is not as expected.
    fn tree(
        &mut self,
        widths: Widths,
        root: &Root,
        leaf: &mut dyn FnMut(&[u8]) -> Option<()>,
    ) -> io::Result<bool> {
        let mut levels = vec![vec![root.0]];
        while let Some(mut level) = levels.pop() {
            let batch = level.split_off(level.len().saturating_sub(BATCH));
            if !level.is_empty() {
                levels.push(level);
            }
            let mut children = Vec::new();
            let mut look = |page: &[u8], sum| {
                let end = match *page.first()? {
                    LEAF => {
                        leaf(page)?;
                        leaf_end(page, widths)?
                    }
                    BRANCH => branch(page, widths, &mut children)?,
                    _ => return None,
                };
                (XxHash3_128::oneshot(page.get(..end)?) == sum).then_some(())
            };
            if !self.pages(&batch, &mut look)? {
                return Ok(false);
            }
            if !children.is_empty() {
                if levels.len() >= DEPTH {
                    return Ok(false);
                }
                children.sort_unstable_by_key(|child: &Child| child.offset);
                levels.push(children);
            }
        }
        Ok(true)
    }

    /// Gives `look` each of these pages, which are in the order of the file, with its checksum.
    fn pages(
        &mut self,
        batch: &[Child],
        look: &mut dyn FnMut(&[u8], u128) -> Option<()>,
    ) -> io::Result<bool> {
        let mut rest = batch;
        while let Some(first) = rest.first() {
            let mut end = first.end();
            let neighbours = rest[1..].iter().take_while(|next| {
                let near = next.offset >= end && next.offset - end <= GAP;
                let fits = next.end() - first.offset <= READ as u64;
                if near && fits {
                    end = next.end();
                }
                near && fits
            });
            let (run, after) = rest.split_at(1 + neighbours.count());
            rest = after;
            let visited = run.len() as u64;
            if end > self.len || visited > self.budget {
                return Ok(false);
            }
            self.budget -= visited;
            let size = usize::try_from(end - first.offset).map_err(io::Error::other)?;
            if self.buffer.len() < size {
                self.buffer.resize(size, 0);
            }
            self.file.read(first.offset, &mut self.buffer[..size])?;
            for page in run {
                // Within `size`, which is a `usize`.
                let from = (page.offset - first.offset) as usize;
                let bytes = &self.buffer[from..from + page.len as usize];
                if look(bytes, page.sum).is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Where what a leaf holds ends.
fn leaf_end(page: &[u8], widths: Widths) -> Option<usize> {
    let pairs = Pairs::of(page, widths)?;
    pairs.value_end(pairs.count.checked_sub(1)?)
}

/// Adds the children of a branch, and says where what it holds ends.
fn branch(page: &[u8], widths: Widths, children: &mut Vec<Child>) -> Option<usize> {
    let keys = count(page).filter(|keys| *keys > 0)?;
    let (sums, numbers) = (8, 8 + 16 * (keys + 1));
    let ends = numbers + 8 * (keys + 1);
    for child in 0..=keys {
        let number = u64_at(page, numbers + 8 * child)?;
        children.push(Child::new(number, sum_at(page, sums + 16 * child)?));
    }
    match widths.key {
        Some(width) => ends.checked_add(width.checked_mul(keys)?),
        None => u32_at(page, ends + 4 * (keys - 1)),
    }
}

/// The tables that a leaf of a tree of tables defines, with their roots; none if one is of a kind that is not ours.
fn definitions(page: &[u8]) -> Option<Vec<(Widths, Root)>> {
    const ROOT_THERE: usize = 9;
    const ROOT: usize = 10;
    const KEY_WIDTH: usize = 42;
    const VALUE_WIDTH: usize = 47;
    let pairs = Pairs::of(page, ANY_LENGTH)?;
    let mut tables = Vec::with_capacity(pairs.count);
    let mut key_from = pairs.keys;
    let mut value_from = pairs.key_end(pairs.count.checked_sub(1)?)?;
    for at in 0..pairs.count {
        let (key_end, value_end) = (pairs.key_end(at)?, pairs.value_end(at)?);
        let name = page.get(key_from..key_end)?;
        let definition = page.get(value_from..value_end)?;
        (key_from, value_from) = (key_end, value_end);
        let width = |at: usize| match definition.get(at)? {
            0 => Some(None),
            _ => Some(Some(u32_at(definition, at + 1)?)),
        };
        let widths = Widths {
            key: width(KEY_WIDTH)?,
            value: width(VALUE_WIDTH)?,
        };
        if *definition.first()? != PLAIN_TABLE {
            return None;
        }
        if *definition.get(ROOT_THERE)? == 0 {
            continue;
        }
        if name == SAVEPOINTS {
            return None;
        }
        tables.push((widths, Root::read(definition, ROOT)?));
    }
    Some(tables)
}

/// The pairs of a leaf.
struct Pairs<'a> {
    page: &'a [u8],
    widths: Widths,
    count: usize,
    /// Where the keys begin.
    keys: usize,
}

impl<'a> Pairs<'a> {
    fn of(page: &'a [u8], widths: Widths) -> Option<Self> {
        let count = count(page)?;
        let ends = usize::from(widths.key.is_none()) + usize::from(widths.value.is_none());
        Some(Self {
            page,
            widths,
            count,
            keys: 4 + 4 * count * ends,
        })
    }

    fn key_end(&self, at: usize) -> Option<usize> {
        match self.widths.key {
            Some(width) => self.keys.checked_add(width.checked_mul(at + 1)?),
            None => u32_at(self.page, 4 + 4 * at),
        }
    }

    fn value_end(&self, at: usize) -> Option<usize> {
        if let Some(width) = self.widths.value {
            let begin = self.key_end(self.count.checked_sub(1)?)?;
            return begin.checked_add(width.checked_mul(at + 1)?);
        }
        let before = match self.widths.key {
            Some(_) => 0,
            None => self.count,
        };
        u32_at(self.page, 4 + 4 * (before + at))
    }
}

/// How many pairs a leaf holds, or keys a branch.
fn count(page: &[u8]) -> Option<usize> {
    let bytes = page.get(2..4)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

fn sum_at(bytes: &[u8], at: usize) -> Option<u128> {
    let bytes = bytes.get(at..at.checked_add(16)?)?;
    Some(u128::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Database, TableDefinition};

    use super::*;
    use crate::file::guarded;
    use crate::sim::Seeded;

    const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
    const CONTENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("contents");
    const REFS: TableDefinition<'_, u64, u64> = TableDefinition::new("refs");
    const NAMED: TableDefinition<'_, &str, u64> = TableDefinition::new("named");
    const EMPTY: TableDefinition<'_, u64, u64> = TableDefinition::new("empty");

    fn holding(image: &[u8]) -> Backend {
        let file = Backend::new(InMemoryBackend::new());
        file.set_len(image.len() as u64).unwrap();
        file.write(0, image).unwrap();
        file
    }

    /// A file with all that ours have: keys and values of one length and of any, trees of several levels, large pages,
    /// pages that earlier commits have left.
    fn filled() -> Vec<u8> {
        let file = Backend::new(InMemoryBackend::new());
        let db = Database::builder()
            .create_with_backend(file.clone())
            .unwrap();
        for round in 0..3 {
            let mut txn = db.begin_write().unwrap();
            txn.set_quick_repair(true);
            let mut rows = txn.open_table(ROWS).unwrap();
            let mut contents = txn.open_table(CONTENTS).unwrap();
            let mut refs = txn.open_table(REFS).unwrap();
            let mut named = txn.open_table(NAMED).unwrap();
            txn.open_table(EMPTY).unwrap();
            for n in 0..2_000_u64 {
                let key = format!("a key of some length {}", n * 7 % 2_000);
                rows.insert(key.as_bytes(), [round; 90].as_slice()).unwrap();
                refs.insert(n, n + u64::from(round)).unwrap();
            }
            for n in 0..40 {
                let size = if n % 10 == 0 { 40_000 } else { 700 };
                contents.insert(n, vec![round; size].as_slice()).unwrap();
                named.insert(format!("{n}").as_str(), n).unwrap();
            }
            drop((rows, contents, refs, named));
            txn.commit().unwrap();
        }
        db.close().unwrap();
        let mut image = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read(0, &mut image).unwrap();
        image
    }

    /// Whether the library opens the file, with its own check or without.
    fn opens(image: &[u8], check: bool) -> bool {
        guarded("f", || {
            Database::builder()
                .set_check_integrity_on_open(check)
                .create_with_backend(holding(image))
                .map_err(|e| crate::Error::of("f", e))
        })
        .is_ok()
    }

    #[test]
    fn what_the_library_refuses_is_never_sound() {
        let image = filled();
        assert!(sound(&holding(&image)).unwrap());
        let pages = image.len() / PAGE as usize;
        let used: Vec<usize> = (1..pages)
            .map(|page| page * PAGE as usize)
            .filter(|from| image[*from..from + PAGE as usize].iter().any(|b| *b != 0))
            .collect();
        let mut random = Seeded::new(7);
        let (mut refused, mut harmless) = (0, 0);
        // Each page once, at any of its bytes, and the head at each.
        let mut places: Vec<usize> = used
            .iter()
            .map(|page| page + (random.next() % PAGE) as usize)
            .collect();
        places.extend(0..HEADER);
        for at in places {
            let mut bad = image.clone();
            bad[at] ^= 1 << (random.next() % 8);
            let used = sound(&holding(&bad)).unwrap() && opens(&bad, false);
            if opens(&bad, true) {
                harmless += usize::from(used);
            } else {
                assert!(!used, "a flip at {at} is not seen");
                refused += 1;
            }
        }
        assert!(refused > 100 && harmless > 20, "{refused}, {harmless}");
    }

    #[test]
    fn what_is_no_tree_is_not_sound() {
        let image = filled();
        for bad in [
            &image[..0],
            &image[..100],
            &image[..image.len() / 2],
            &vec![0; image.len()],
        ] {
            assert!(!sound(&holding(bad)).unwrap());
        }
    }

    #[test]
    fn any_number_is_a_place() {
        // The largest page of the last region: no sum overflows on the way to finding that it is past the end.
        assert!(Child::new(u64::MAX, 0).end() > 1 << 43);
    }
}
