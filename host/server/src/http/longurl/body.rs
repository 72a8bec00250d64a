//! Where the body of a request ends: counts the bytes of both kinds of HTTP/1.1 framing, and keeps none of them.

/// What the next bytes are.
pub(super) enum Tracked {
    /// All of so many bytes belong to the body, and more follows.
    Inside(usize),
    /// The body ends after so many bytes.
    Ended(usize),
    /// This is no framing that hyper would take.
    Odd,
}

/// The place inside a body.
#[derive(Debug)]
pub(super) enum BodyTracker {
    Length(u64),
    Chunked(Chunk),
}

/// The place inside a chunked body (RFC 9112 §7.1).
#[derive(Debug, Clone, Copy)]
pub(super) enum Chunk {
    Size { value: u64, digits: u8 },
    SizeBlank(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    LineStart,
    TrailerLine,
    TrailerLf,
    EndLf,
    Ended,
}

const NEXT_SIZE: Chunk = Chunk::Size {
    value: 0,
    digits: 0,
};

impl BodyTracker {
    pub(super) fn length(length: u64) -> Self {
        BodyTracker::Length(length)
    }

    pub(super) fn chunked() -> Self {
        BodyTracker::Chunked(NEXT_SIZE)
    }

    /// Looks at the next bytes of the connection; `bytes` is not empty.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Tracked {
        match self {
            BodyTracker::Length(left) => {
                let here = bytes.len() as u64;
                if *left <= here {
                    return Tracked::Ended(usize::try_from(*left).unwrap_or(bytes.len()));
                }
                *left -= here;
                Tracked::Inside(bytes.len())
            }
            BodyTracker::Chunked(chunk) => {
                let mut at = 0;
                while at < bytes.len() {
                    if let Chunk::Data(left) = chunk {
                        let here =
                            (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                        at += here;
                        *left -= here as u64;
                        if *left == 0 {
                            *chunk = Chunk::DataCr;
                        }
                        continue;
                    }
                    let Some(next) = chunk.after(bytes[at]) else {
                        return Tracked::Odd;
                    };
                    *chunk = next;
                    at += 1;
                    if matches!(chunk, Chunk::Ended) {
                        return Tracked::Ended(at);
                    }
                }
                Tracked::Inside(at)
            }
        }
    }
}

impl Chunk {
    /// The place after one byte that is not chunk data, or `None` when the byte cannot stand here.
    fn after(self, byte: u8) -> Option<Chunk> {
        Some(match (self, byte) {
            (Chunk::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < 16 =>
            {
                let digit = (byte as char).to_digit(16).map(u64::from)?;
                Chunk::Size {
                    value: value << 4 | digit,
                    digits: digits + 1,
                }
            }
            (Chunk::Size { digits: 0, .. }, _) => return None,
            (Chunk::Size { value, .. } | Chunk::SizeBlank(value), b' ' | b'\t') => {
                Chunk::SizeBlank(value)
            }
            (Chunk::Size { value, .. } | Chunk::SizeBlank(value), b';') => Chunk::Extension(value),
            (
                Chunk::Size { value, .. } | Chunk::SizeBlank(value) | Chunk::Extension(value),
                b'\r',
            ) => Chunk::SizeLf(value),
            (Chunk::Extension(_), b'\n') => return None,
            (Chunk::Extension(value), _) => Chunk::Extension(value),
            (Chunk::SizeLf(0), b'\n') => Chunk::LineStart,
            (Chunk::SizeLf(value), b'\n') => Chunk::Data(value),
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => NEXT_SIZE,
            (Chunk::LineStart, b'\r') => Chunk::EndLf,
            (Chunk::LineStart, b'\n') => return None,
            (Chunk::TrailerLine, b'\r') => Chunk::TrailerLf,
            (Chunk::TrailerLine, b'\n') => return None,
            (Chunk::LineStart | Chunk::TrailerLine, _) => Chunk::TrailerLine,
            (Chunk::TrailerLf, b'\n') => Chunk::LineStart,
            (Chunk::EndLf, b'\n') => Chunk::Ended,
            _ => return None,
        })
    }
}
