//! An instance's memory between two calls: what it takes to make the instance again, in the time of a copy.
//!
//! Between two calls an instance of this module is its linear memory and nothing else: its stack is empty, and its one
//! global, the stack pointer, is where it was at the start.

/// What is copied, or left out if it is all zeros, at once.
const PIECE: usize = 64 << 10;

/// A copy of an instance's memory. It fits instances of the same [`crate::Code`] alone.
pub struct Image {
    size: usize,
    pieces: Vec<Option<Box<[u8]>>>,
    /// Where the instance's request buffer is.
    pub(crate) buffer_at: (usize, usize),
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} of {} bytes)", self.bytes(), self.size)
    }
}

fn is_zero(piece: &[u8]) -> bool {
    piece.iter().all(|byte| *byte == 0)
}

impl Image {
    /// Copies a memory, into an older copy if there is one: fresh pages cost more than the copying.
    pub(crate) fn of(memory: &[u8], buffer_at: (usize, usize), spare: Option<Self>) -> Self {
        let mut pieces = spare.map(|spare| spare.pieces).unwrap_or_default();
        pieces.resize_with(memory.len().div_ceil(PIECE), || None);
        for (piece, kept) in memory.chunks(PIECE).zip(&mut pieces) {
            match kept {
                _ if is_zero(piece) => *kept = None,
                Some(kept) if kept.len() == piece.len() => kept.copy_from_slice(piece),
                _ => *kept = Some(piece.into()),
            }
        }
        Self {
            size: memory.len(),
            pieces,
            buffer_at,
        }
    }

    /// Makes a memory of this size what was copied; it may hold anything.
    pub(crate) fn restore(&self, memory: &mut [u8]) {
        for (piece, kept) in memory.chunks_mut(PIECE).zip(&self.pieces) {
            match kept {
                Some(kept) => piece.copy_from_slice(kept),
                None if is_zero(piece) => {}
                None => piece.fill(0),
            }
        }
    }

    /// Bytes of the memory that was copied.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes that the copy takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pieces.iter().flatten().map(|piece| piece.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_is_what_it_was_and_zeros_take_nothing() {
        let mut memory = vec![0; 3 * PIECE];
        memory[1] = 7;
        memory[2 * PIECE + 5] = 9;
        let image = Image::of(&memory, (1, 2), None);
        assert_eq!((image.size(), image.bytes()), (3 * PIECE, 2 * PIECE));
        let mut other = vec![3; 3 * PIECE];
        image.restore(&mut other);
        assert_eq!(other, memory);
        // An older copy is written over, whatever it was of.
        memory[1] = 0;
        memory.extend([1; PIECE]);
        let again = Image::of(&memory, (3, 4), Some(image));
        assert_eq!((again.size(), again.bytes()), (4 * PIECE, 2 * PIECE));
        let mut other = vec![3; 4 * PIECE];
        again.restore(&mut other);
        assert_eq!((other, again.buffer_at), (memory, (3, 4)));
    }
}
