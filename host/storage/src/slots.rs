//! Which of the two commit slots in a `redb` file is the last commit: looked at before the file is opened.
//!
//! `redb` keeps two commit slots of 128 bytes and one byte of flags, which no checksum covers; its lowest bit says which
//! slot counts. Every commit that this crate syncs is written in two phases (slot and pages, sync, flag, sync), and with
//! the flag for that set the library trusts the bit without a look at the other slot. So one flipped bit would make it
//! open the commit before the last one, and an acknowledged write would be gone without an error. The slots themselves
//! carry a checksum and a transaction number, from which the truth is recovered here:
//!
//! * the slot that counts is sound and the other one is older or unsound: as it should be;
//! * the other one is sound and newer: either the bit was flipped, or power was cut between the two phases. If every
//!   page under the newer slot verifies, it is taken: for a flipped bit that is the acknowledged commit, and for a cut it
//!   is a complete commit that nobody was told of yet, which is as good as one made just before the cut;
//! * the slot that counts is unsound: the last commit is not readable, and the file is damaged.
//!
//! Offsets follow redb's `docs/design.md`, file format 3.

use crate::checksum::u64_at;
use crate::pages::Root;

/// Bytes at the head of the file that are examined.
pub(crate) const HEADER: usize = 320;
/// Offset of the byte of flags.
pub(crate) const FLAGS: usize = 9;

const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
const SLOTS: [usize; 2] = [64, 192];
const SLOT: usize = 128;
const TRANSACTION: usize = 104;
const SUM: usize = 112;

const SECOND_COUNTS: u8 = 1;
const NOT_CLOSED: u8 = 2;
const TWO_PHASES: u8 = 4;

/// What the head of a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Open it as it is.
    Sound,
    /// Write this byte of flags first: the one that is there has lost a bit that our files always have.
    Mend(u8),
    /// The slot that does not count is newer and sound: with this byte of flags it counts. Take it if all pages verify.
    Newer(u8),
    /// It cannot be opened: why.
    Damaged(&'static str),
}

/// Examines the first [`HEADER`] bytes of a file.
pub(crate) fn examine(head: &[u8; HEADER]) -> Verdict {
    if head[..MAGIC.len()] != MAGIC {
        return Verdict::Damaged("the first 9 bytes are not those of a redb file");
    }
    let flags = head[FLAGS];
    let counting = usize::from(flags & SECOND_COUNTS);
    let Some(counting_id) = transaction(head, counting) else {
        return Verdict::Damaged(if counting == 0 {
            "the commit slot at offset 64 does not match its checksum"
        } else {
            "the commit slot at offset 192 does not match its checksum"
        });
    };
    // Both flags are set so that the library takes the counting slot and nothing else, and measures the file anew.
    let sure = TWO_PHASES | NOT_CLOSED;
    match transaction(head, 1 - counting) {
        Some(other_id) if other_id > counting_id => {
            Verdict::Newer((u8::from(counting == 0) * SECOND_COUNTS) | sure)
        }
        _ if flags & TWO_PHASES == 0 || flags & !(SECOND_COUNTS | sure) != 0 => {
            Verdict::Mend((flags & SECOND_COUNTS) | sure)
        }
        _ => Verdict::Sound,
    }
}

/// Number of the transaction that a commit slot is of, if the slot is sound.
fn transaction(head: &[u8; HEADER], slot: usize) -> Option<u64> {
    let bytes = &head[SLOTS[slot]..SLOTS[slot] + SLOT];
    let sum = twox_hash::XxHash3_128::oneshot(&bytes[..SUM]).to_le_bytes();
    (bytes[SUM..] == sum)
        .then(|| u64_at(bytes, TRANSACTION))
        .flatten()
}

/// Size of a page, in bytes.
pub(crate) const PAGE: u64 = 4096;
/// Size of a region, in bytes: page numbers count within one.
pub(crate) const REGION: u64 = 4 << 30;

/// Roots of the tree of tables and of that of the library's own, if the head is one that needs no mending; none for a tree
/// without a page. `None` for a head that is not like those of our files.
pub(crate) fn roots(head: &[u8; HEADER]) -> Option<Vec<Root>> {
    const VERSION: u8 = 3;
    // Size of a page, pages before those of a region, and pages of a region.
    let geometry = [(12, PAGE), (16, 0), (20, REGION / PAGE)];
    let like_ours = geometry
        .iter()
        .all(|(at, number)| u32_at(head, *at) == *number);
    if examine(head) != Verdict::Sound || !like_ours {
        return None;
    }
    let slot = &head[SLOTS[usize::from(head[FLAGS] & SECOND_COUNTS)]..][..SLOT];
    if slot[0] != VERSION {
        return None;
    }
    [(1, 8), (2, 40)]
        .into_iter()
        .filter(|(there, _)| slot[*there] != 0)
        .map(|(_, at)| Root::read(slot, at))
        .collect()
}

fn u32_at(head: &[u8; HEADER], at: usize) -> u64 {
    u64::from(u32::from_le_bytes([
        head[at],
        head[at + 1],
        head[at + 2],
        head[at + 3],
    ]))
}

/// Both slots, that of the newer sound commit first, each with the byte of flags with which it counts whatever the file
/// says.
pub(crate) fn newest_first(head: &[u8; HEADER]) -> [(usize, u8); 2] {
    let forced = TWO_PHASES | NOT_CLOSED;
    let mut slots = [(0, forced), (1, SECOND_COUNTS | forced)];
    slots.sort_by_key(|(slot, _)| core::cmp::Reverse(transaction(head, *slot)));
    slots
}

/// How long the head says that the file is, in bytes: no checksum covers it.
pub(crate) fn layout_len(head: &[u8; HEADER]) -> u64 {
    let (region_pages, regions, rest) = (u32_at(head, 20), u32_at(head, 24), u32_at(head, 28));
    (1 + regions.saturating_mul(region_pages).saturating_add(rest)).saturating_mul(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(flags: u8, ids: [u64; 2]) -> [u8; HEADER] {
        let mut head = [0; HEADER];
        head[..9].copy_from_slice(&MAGIC);
        head[FLAGS] = flags;
        for (at, id) in SLOTS.into_iter().zip(ids) {
            head[at] = 3;
            head[at + TRANSACTION..at + TRANSACTION + 8].copy_from_slice(&id.to_le_bytes());
            let sum = twox_hash::XxHash3_128::oneshot(&head[at..at + SUM]).to_le_bytes();
            head[at + SUM..at + SLOT].copy_from_slice(&sum);
        }
        head
    }

    #[test]
    fn the_newer_sound_slot_is_found() {
        assert_eq!(examine(&head(4, [8, 7])), Verdict::Sound);
        assert_eq!(examine(&head(7, [7, 8])), Verdict::Sound);
        assert_eq!(examine(&head(4, [0, 0])), Verdict::Sound);
        assert_eq!(examine(&head(5, [8, 7])), Verdict::Newer(6));
        assert_eq!(examine(&head(4, [7, 8])), Verdict::Newer(7));
        assert_eq!(examine(&head(0, [8, 7])), Verdict::Mend(6));
        assert_eq!(examine(&head(0x45, [7, 8])), Verdict::Mend(7));
    }

    #[test]
    fn salvage_begins_with_the_newer_sound_slot() {
        let first = |head: [u8; HEADER]| newest_first(&head)[0];
        assert_eq!(first(head(7, [8, 7])), (0, 6));
        assert_eq!(first(head(6, [7, 8])), (1, 7));
        let mut bad = head(6, [8, 7]);
        bad[SLOTS[0]] ^= 1;
        assert_eq!(first(bad), (1, 7));
    }

    #[test]
    fn an_unsound_slot_counts_only_where_it_is_the_last() {
        let mut bad = head(4, [8, 7]);
        bad[SLOTS[1] + 9] ^= 1;
        assert_eq!(examine(&bad), Verdict::Sound);
        let mut bad = head(4, [8, 7]);
        bad[SLOTS[0] + 9] ^= 1;
        assert!(matches!(examine(&bad), Verdict::Damaged(_)));
        let mut bad = head(4, [8, 7]);
        bad[3] ^= 1;
        assert!(matches!(examine(&bad), Verdict::Damaged(_)));
    }

    #[test]
    fn a_real_file_is_read_as_its_library_reads_it() {
        use redb::StorageBackend;
        use std::sync::Arc;
        let backend = crate::disk::Backend::new(redb::backends::InMemoryBackend::new());
        let db = redb::Database::builder()
            .create_with_backend(backend.clone())
            .unwrap();
        let db = Arc::new(db);
        let table = redb::TableDefinition::<u64, u64>::new("t");
        let mut seen = Vec::new();
        for n in 0..4 {
            let mut txn = db.begin_write().unwrap();
            txn.set_quick_repair(true);
            txn.open_table(table).unwrap().insert(n, n).unwrap();
            txn.commit().unwrap();
            let mut head = [0; HEADER];
            backend.read(0, &mut head).unwrap();
            assert_eq!(examine(&head), Verdict::Sound);
            seen.push(head[FLAGS] & SECOND_COUNTS);
            head[FLAGS] ^= SECOND_COUNTS;
            assert_eq!(examine(&head), Verdict::Newer(head[FLAGS] ^ SECOND_COUNTS));
        }
        assert!(seen.contains(&0) && seen.contains(&1), "{seen:?}");
    }
}
