//! The checksum that every entry, row, content and field of the files carries, so that damage is seen when it is read.

/// CRC-32 over `parts` in order. The key belongs to the parts, so that a value cannot pass for another key's.
pub(crate) fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Body of `stored` (four bytes of checksum, then the body), if the checksum is that of `key` and body.
pub(crate) fn open<'a>(key: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, body) = stored.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*sum) == crc(&[key, body])).then_some(body)
}

/// `body` with its checksum before it.
pub(crate) fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(4 + body.len());
    stored.extend_from_slice(&crc(&[key, body]).to_le_bytes());
    stored.extend_from_slice(body);
    stored
}

/// Eight bytes at `offset`, little endian.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_or_a_foreign_key_is_seen() {
        let stored = seal(b"key", b"body");
        assert_eq!(open(b"key", &stored), Some(&b"body"[..]));
        assert_eq!(open(b"kez", &stored), None);
        for at in 0..stored.len() {
            let mut bad = stored.clone();
            bad[at] ^= 0x10;
            assert_eq!(open(b"key", &bad), None, "byte {at}");
        }
        assert_eq!(open(b"key", &stored[..3]), None);
    }
}
