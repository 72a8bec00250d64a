//! Values as bytes: postcard's encoding, into a vector.

use alloc::vec::Vec;

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// Puts a value behind these bytes.
///
/// # Panics
/// The value cannot be serialised at all, which no type of this crate is.
#[must_use]
pub fn encode_after<T: Serialize + ?Sized>(bytes: Vec<u8>, value: &T) -> Vec<u8> {
    postcard::serialize_with_flavor(value, Growing(bytes))
        .expect("a vector takes any value that can be serialised")
}

/// A vector that grows. Most of what it is given are numbers and short names: to copy so few bytes is a call, which costs
/// more than the copying, and in a module many times as much.
struct Growing(Vec<u8>);

impl Flavor for Growing {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline(never)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        const FEW: usize = 32;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.len() > FEW {
            self.0.extend_from_slice(bytes);
            return Ok(());
        }
        // Room for all that few can be, asked for once; what is not filled goes again.
        let at = self.0.len();
        self.0.extend_from_slice(&[0; FEW]);
        let (words, rest) = bytes.as_chunks::<8>();
        let mut place = &mut self.0[at..];
        for word in words {
            let (this, behind) = place.split_at_mut(8);
            this.copy_from_slice(word);
            place = behind;
        }
        for (place, byte) in place.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.0.truncate(at + bytes.len());
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn it_is_what_postcard_writes() {
        for length in 0..100 {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let value = (length as u64 * 1_000_003, text, -(length as i64));
            let encoded = encode_after(Vec::from([7]), &value);
            assert_eq!(encoded[0], 7);
            assert_eq!(encoded[1..], postcard::to_allocvec(&value).unwrap());
        }
    }
}
