//! Zip archives as exports and imports need them: written without compression, read with it, bounded.
//!
//! Not for archives of 4 GiB, of several volumes or with passwords.

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};

/// Entries of one archive, at most.
pub(super) const MAX_ENTRIES: usize = 10_000;
/// Bytes of all entries of one archive after inflation, at most.
pub(super) const MAX_BYTES: usize = 128 << 20;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// Bytes of a local header, a central one and the end, without what is variable.
const SIZES: [usize; 3] = [30, 46, 22];
/// The name is UTF-8.
const UTF8: u16 = 1 << 11;
/// 1980-01-01: archives of the same configs are the same bytes.
const DATE: u16 = 0x21;

/// The checksum of zip (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut crc = at as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
                bit += 1;
            }
            table[at] = crc;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| {
        crc >> 8 ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize]
    })
}

/// An archive of these entries, each a name and its bytes. They must be below 4 GiB in all.
pub(super) fn write<'a>(entries: impl Iterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    let (mut out, mut central, mut count) = (Vec::new(), Vec::new(), 0_u16);
    let short = |out: &mut Vec<u8>, n: u16| out.extend(n.to_le_bytes());
    let long = |out: &mut Vec<u8>, n: u32| out.extend(n.to_le_bytes());
    let size = |n: usize| u32::try_from(n).expect("archives are below 4 GiB");
    for (name, bytes) in entries {
        let at = size(out.len());
        // What both headers have in common, from the version needed to the length of the extra field.
        let mut shared = Vec::with_capacity(26);
        for n in [20, UTF8, 0, 0, DATE] {
            short(&mut shared, n);
        }
        for n in [crc32(bytes), size(bytes.len()), size(bytes.len())] {
            long(&mut shared, n);
        }
        let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
        short(&mut shared, name.len() as u16);
        short(&mut shared, 0);
        long(&mut out, LOCAL);
        out.extend(&shared);
        out.extend(name);
        out.extend(bytes);
        long(&mut central, CENTRAL);
        short(&mut central, 20);
        central.extend(&shared);
        // Comment, disk, attributes of two kinds, and where it begins.
        central.extend([0; 10]);
        long(&mut central, at);
        central.extend(name);
        count += 1;
    }
    let (at, length) = (size(out.len()), size(central.len()));
    out.extend(central);
    long(&mut out, END);
    for n in [0, 0, count, count] {
        short(&mut out, n);
    }
    long(&mut out, length);
    long(&mut out, at);
    short(&mut out, 0);
    out
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = bytes.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_le_bytes(*pair)))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The files of an archive, each a name and its bytes, in its order; none if it is no archive that is read here, is
/// damaged, or is larger than the bounds.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    // The end is the last thing but a comment of at most 64 KiB.
    let last = bytes.len().checked_sub(SIZES[2])?;
    let end = (last.saturating_sub(usize::from(u16::MAX))..=last)
        .rev()
        .find(|at| long(bytes, *at) == Some(END))?;
    let count = short(bytes, end + 10)?;
    let mut at = long(bytes, end + 16)? as usize;
    if count > MAX_ENTRIES {
        return None;
    }
    let (mut found, mut left) = (Vec::new(), MAX_BYTES);
    for _ in 0..count {
        if long(bytes, at)? != CENTRAL {
            return None;
        }
        let (flags, method, crc) = (
            short(bytes, at + 8)?,
            short(bytes, at + 10)?,
            long(bytes, at + 16)?,
        );
        let (packed, size) = (
            long(bytes, at + 20)? as usize,
            long(bytes, at + 24)? as usize,
        );
        let (name_length, extra, comment) = (
            short(bytes, at + 28)?,
            short(bytes, at + 30)?,
            short(bytes, at + 32)?,
        );
        let local = long(bytes, at + 42)? as usize;
        let name_at = at + SIZES[1];
        let name = core::str::from_utf8(bytes.get(name_at..name_at + name_length)?).ok()?;
        at = name_at + name_length + extra + comment;
        if name.ends_with('/') {
            continue;
        }
        if flags & 1 == 1 || size > left || long(bytes, local)? != LOCAL {
            return None;
        }
        left -= size;
        let from = local + SIZES[0] + short(bytes, local + 26)? + short(bytes, local + 28)?;
        let stored = bytes.get(from..from.checked_add(packed)?)?;
        let content = match method {
            0 => stored.to_vec(),
            8 => miniz_oxide::inflate::decompress_to_vec_with_limit(stored, size).ok()?,
            _ => return None,
        };
        if content.len() != size || crc32(&content) != crc {
            return None;
        }
        found.push((name.to_owned(), content));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `a/b` = "hello hello hello hello", deflated by another writer.
    fn deflated(claimed: u32) -> Vec<u8> {
        let content = b"hello hello hello hello";
        let packed = miniz_oxide::deflate::compress_to_vec(content, 6);
        let mut archive = write([("a/b".into(), &packed[..])].into_iter());
        let central = archive
            .windows(4)
            .position(|w| w == CENTRAL.to_le_bytes())
            .unwrap();
        let end = archive.len() - SIZES[2];
        assert_eq!(long(&archive, end), Some(END));
        archive[central + 10] = 8;
        archive[central + 16..central + 20].copy_from_slice(&crc32(content).to_le_bytes());
        archive[central + 24..central + 28].copy_from_slice(&claimed.to_le_bytes());
        archive
    }

    #[test]
    fn deflated_entries_are_read_up_to_what_they_claim() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let read_back = read(&deflated(23)).expect("it is an archive");
        assert_eq!(
            read_back,
            [("a/b".to_owned(), b"hello hello hello hello".to_vec())]
        );
        // One that says less than it is, and one that says more than is allowed.
        assert_eq!(read(&deflated(5)), None);
        assert_eq!(read(&deflated(u32::MAX)), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            entries in prop::collection::vec(("[a-z/é]{1,8}[a-z]", prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        ) {
            let archive = write(entries.iter().map(|(name, bytes)| (name.clone(), &bytes[..])));
            prop_assert_eq!(read(&archive), Some(entries));
        }

        #[test]
        fn damage_is_refused_without_panic(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let archive = deflated(23);
            let mut damaged = archive.clone();
            damaged[at.index(archive.len())] = byte;
            let _ = read(&damaged);
            let _ = read(&archive[..cut.index(archive.len())]);
        }
    }
}
