//! Keys of rows: strings and numbers one after the other, so that the bytes sort as the parts do.
//!
//! A string ends with 0x00; in it 0x00 is written 0x01 0x01 and 0x01 is written 0x01 0x02. A number is eight bytes,
//! the highest first. This encoding is part of what is stored and never changes.

use alloc::{string::String, vec::Vec};

const END: u8 = 0x00;
const ESCAPE: u8 = 0x01;

/// Writes a key part by part.
#[derive(Clone, Debug, Default)]
pub struct KeyWriter(Vec<u8>);

impl KeyWriter {
    /// An empty key.
    #[must_use]
    pub fn new() -> Self {
        // Most need no more.
        Self(Vec::with_capacity(64))
    }

    /// Adds a string.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        // As good as always.
        if text.bytes().all(|byte| byte > ESCAPE) {
            self.0.extend_from_slice(text.as_bytes());
        } else {
            for byte in text.bytes() {
                match byte {
                    0..=ESCAPE => self.0.extend([ESCAPE, byte + 1]),
                    _ => self.0.push(byte),
                }
            }
        }
        self.0.push(END);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Adds one byte.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// The key's bytes; also the prefix of all keys that start with these parts.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a key part by part; each part is none if the bytes are not one.
#[derive(Clone, Debug)]
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    /// Reads this key.
    #[must_use]
    pub fn new(key: &'a [u8]) -> Self {
        Self(key)
    }

    /// Takes a string.
    pub fn text(&mut self) -> Option<String> {
        let length = self.0.iter().position(|b| *b == END)?;
        let (written, rest) = (&self.0[..length], &self.0[length + 1..]);
        let mut bytes = Vec::with_capacity(length);
        let mut written = written.iter();
        while let Some(&byte) = written.next() {
            bytes.push(match byte {
                ESCAPE => match written.next()? {
                    1 => 0,
                    2 => 1,
                    _ => return None,
                },
                byte => byte,
            });
        }
        self.0 = rest;
        String::from_utf8(bytes).ok()
    }

    /// Takes a number.
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// Whether all was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_never_change() {
        let key = KeyWriter::new()
            .text("a\u{0}\u{1}é")
            .number(258)
            .byte(7)
            .text("")
            .finish();
        assert_eq!(
            key,
            b"a\x01\x01\x01\x02\xc3\xa9\x00\x00\x00\x00\x00\x00\x00\x01\x02\x07\x00"
        );
    }

    #[test]
    fn broken_keys_are_refused() {
        for broken in [&b"a"[..], b"\x01\x00", b"\x01\x03\x00", b"\xff\x00"] {
            assert_eq!(KeyReader::new(broken).text(), None, "{broken:?}");
        }
        assert_eq!(KeyReader::new(&[0; 7]).number(), None);
        assert_eq!(KeyReader::new(&[]).byte(), None);
    }

    fn part() -> impl Strategy<Value = String> {
        "[\u{0}-\u{2}a\u{e9}]{0,4}"
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_parts_and_are_read_back(
            a in (part(), part(), any::<u64>()),
            b in (part(), part(), any::<u64>()),
        ) {
            let write = |k: &(String, String, u64)| KeyWriter::new().text(&k.0).text(&k.1).number(k.2).finish();
            let (wa, wb) = (write(&a), write(&b));
            prop_assert_eq!(a.cmp(&b), wa.cmp(&wb));
            let mut reader = KeyReader::new(&wa);
            let read = (reader.text(), reader.text(), reader.number());
            prop_assert!(reader.is_at_end());
            prop_assert_eq!(read, (Some(a.0), Some(a.1), Some(a.2)));
        }
    }
}
