//! The bytes of a recording.
//!
//! A file is a head of 16 bytes (`NACRITER`, version of the format, [`SCHEMA`]; numbers little-endian) and frames: length
//! of the body (u32), CRC-32 of kind and body (u32), kind (u8), body. A file that ends within a frame was cut off
//! there; anything else that does not fit is damage.
//!
//! | kind | body |
//! |---|---|
//! | 1 state | a piece of the snapshot, at most 1 MiB |
//! | 2 begins | the snapshot is whole; both clocks (u64 each) that the clocks of batches count from |
//! | 3 batch | postcard: the clocks' distance from the frame before (u64; i64), inputs |
//! | 4 batch with clocks of its own | postcard: `Vec<(Now, Input)>` |
//! | 5 gap | batches that are missing (u64): the writer was too slow. The file ends here |
//! | 6 fault | text: the engine failed at the batch before, which is undone; what of it was not dropped follows |

use nacrite_core::node::{
    SCHEMA,
    input::{Input, Now},
};

/// First bytes of a file.
const MAGIC: &[u8; 8] = b"NACRITER";
/// Version of this format.
const VERSION: u32 = 1;
/// Bytes of the head.
pub const HEAD: usize = 16;
/// Bytes before a frame's body.
const PREFIX: usize = 9;
/// Most bytes of a body: a batch is far smaller.
const MOST: usize = 256 << 20;
/// Most of a snapshot in one frame.
const PIECE: usize = 1 << 20;

/// Why bytes are no recording that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first bytes are others.
    #[error("this is no recording")]
    NoRecording,
    /// It is of another release.
    #[error(
        "the recording is of format {0} and schema {1}; this program reads format {VERSION} and schema {SCHEMA}"
    )]
    Other(u32, u32),
    /// Damage at this byte.
    #[error("the recording is damaged at byte {0}: {1}")]
    Damaged(usize, &'static str),
    /// It ends within a frame that begins at this byte.
    #[error("the recording was cut off at byte {0}")]
    CutOff(usize),
}

/// A frame, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A piece of the state.
    State(Vec<u8>),
    /// The state is whole.
    Begins(Now),
    /// Inputs.
    Batch(Vec<(Now, Input)>),
    /// So many batches are missing.
    Gap(u64),
    /// The batch before is undone.
    Fault(String),
}

/// The head of a file.
#[must_use]
pub fn head() -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..].copy_from_slice(&SCHEMA.to_le_bytes());
    head
}

/// Checks the head of a file.
///
/// # Errors
/// See [`FrameError`].
pub fn check_head(bytes: &[u8]) -> Result<(), FrameError> {
    let head: &[u8; HEAD] = bytes.first_chunk().ok_or(FrameError::NoRecording)?;
    if !head.starts_with(MAGIC) {
        return Err(FrameError::NoRecording);
    }
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (version, schema) = (number(8), number(12));
    if (version, schema) != (VERSION, SCHEMA) {
        return Err(FrameError::Other(version, schema));
    }
    Ok(())
}

/// Writes frames into a buffer.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    last: Now,
}

impl Encoder {
    /// A whole state, and where the clocks stand.
    pub fn state(&mut self, snapshot: &[u8], now: Now, to: &mut Vec<u8>) {
        for piece in snapshot.chunks(PIECE) {
            frame(1, to, |body| body.extend_from_slice(piece));
        }
        frame(2, to, |body| {
            body.extend_from_slice(&now.mono.to_le_bytes());
            body.extend_from_slice(&now.wall.to_le_bytes());
        });
        self.last = now;
    }

    /// A batch.
    pub fn batch(&mut self, inputs: &[(Now, Input)], to: &mut Vec<u8>) {
        let Some((now, _)) = inputs.first() else {
            return;
        };
        if now.mono < self.last.mono || inputs.iter().any(|(other, _)| other != now) {
            frame(4, to, |body| encode(&inputs, body));
            return;
        }
        let distance = (
            now.mono - self.last.mono,
            now.wall.wrapping_sub(self.last.wall).cast_signed(),
        );
        self.last = *now;
        frame(3, to, |body| {
            encode(&distance, body);
            // As a vector of inputs alone is encoded: their number, then each.
            encode(&inputs.len(), body);
            for (_, input) in inputs {
                encode(input, body);
            }
        });
    }

    /// So many batches are missing.
    pub fn gap(batches: u64, to: &mut Vec<u8>) {
        frame(5, to, |body| body.extend_from_slice(&batches.to_le_bytes()));
    }

    /// The batch before is undone.
    pub fn fault(text: &str, to: &mut Vec<u8>) {
        frame(6, to, |body| body.extend_from_slice(text.as_bytes()));
    }
}

fn encode<T: serde::Serialize>(value: &T, body: &mut Vec<u8>) {
    let taken = std::mem::take(body);
    *body =
        postcard::to_extend(value, taken).expect("a vector takes any value that can be serialised");
}

fn frame(kind: u8, to: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0; PREFIX - 1]);
    to.push(kind);
    fill(to);
    let length = u32::try_from(to.len() - start - PREFIX).expect("a frame has less than 4 GiB");
    let sum = crc32fast::hash(&to[start + PREFIX - 1..]);
    to[start..start + 4].copy_from_slice(&length.to_le_bytes());
    to[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Reads frames.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    last: Now,
}

impl Decoder {
    /// The frame at the beginning of `bytes`, which begin at byte `at` of the file, and its length; none at the end.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn next(&mut self, bytes: &[u8], at: usize) -> Result<Option<(Frame, usize)>, FrameError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let prefix: &[u8; PREFIX] = bytes.first_chunk().ok_or(FrameError::CutOff(at))?;
        let number =
            |i: usize| u32::from_le_bytes([prefix[i], prefix[i + 1], prefix[i + 2], prefix[i + 3]]);
        let (length, sum, kind) = (number(0) as usize, number(4), prefix[8]);
        if length > MOST {
            return Err(FrameError::Damaged(at, "a frame's length"));
        }
        let whole = bytes
            .get(8..PREFIX + length)
            .ok_or(FrameError::CutOff(at))?;
        if crc32fast::hash(whole) != sum {
            return Err(FrameError::Damaged(at, "a frame's checksum"));
        }
        let frame = self
            .body(kind, &whole[1..])
            .ok_or(FrameError::Damaged(at, "a frame's body"))?;
        Ok(Some((frame, PREFIX + length)))
    }

    fn body(&mut self, kind: u8, body: &[u8]) -> Option<Frame> {
        let number = |at: usize| Some(u64::from_le_bytes(*body.get(at..)?.first_chunk()?));
        Some(match kind {
            1 => Frame::State(body.to_vec()),
            2 => {
                self.last = Now {
                    mono: number(0)?,
                    wall: number(8)?,
                };
                Frame::Begins(self.last)
            }
            3 => {
                let ((mono, wall), rest) = postcard::take_from_bytes::<(u64, i64)>(body).ok()?;
                let inputs: Vec<Input> = postcard::from_bytes(rest).ok()?;
                self.last = Now {
                    mono: self.last.mono.checked_add(mono)?,
                    wall: self.last.wall.wrapping_add(wall.cast_unsigned()),
                };
                Frame::Batch(inputs.into_iter().map(|input| (self.last, input)).collect())
            }
            4 => Frame::Batch(postcard::from_bytes(body).ok()?),
            5 => Frame::Gap(number(0)?),
            6 => Frame::Fault(String::from_utf8_lossy(body).into_owned()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        mono: 1_000,
        wall: 1_700_000_000_000,
    };

    fn file() -> Vec<u8> {
        let mut bytes = head().to_vec();
        let mut encoder = Encoder::default();
        encoder.state(&vec![7; PIECE + 1], NOW, &mut bytes);
        let later = Now {
            mono: 1_005,
            wall: NOW.wall - 40,
        };
        encoder.batch(&[(later, Input::Tick), (later, Input::Ready)], &mut bytes);
        encoder.batch(&[(later, Input::Tick), (NOW, Input::Tick)], &mut bytes);
        Encoder::fault("it fell", &mut bytes);
        Encoder::gap(9, &mut bytes);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        check_head(bytes)?;
        let (mut decoder, mut at, mut frames) = (Decoder::default(), HEAD, Vec::new());
        while let Some((frame, length)) = decoder.next(&bytes[at..], at)? {
            frames.push(frame);
            at += length;
        }
        Ok(frames)
    }

    #[test]
    fn what_is_written_is_read() {
        let later = Now {
            mono: 1_005,
            wall: NOW.wall - 40,
        };
        assert_eq!(
            read(&file()).unwrap(),
            [
                Frame::State(vec![7; PIECE]),
                Frame::State(vec![7]),
                Frame::Begins(NOW),
                Frame::Batch(vec![(later, Input::Tick), (later, Input::Ready)]),
                Frame::Batch(vec![(later, Input::Tick), (NOW, Input::Tick)]),
                Frame::Fault("it fell".into()),
                Frame::Gap(9),
            ]
        );
    }

    #[test]
    fn every_flipped_byte_is_noticed_and_every_cut_is_told() {
        let whole = file();
        for at in (0..whole.len()).filter(|at| *at < 40 || *at > PIECE) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(read(&damaged).is_err(), "byte {at}");
        }
        for end in PIECE + 40..whole.len() {
            let complete = read(&whole[..end]);
            assert!(
                matches!(complete, Err(FrameError::CutOff(_))) || complete.is_ok(),
                "{end}: {complete:?}"
            );
        }
        assert_eq!(read(b"NACRITE"), Err(FrameError::NoRecording));
    }
}
