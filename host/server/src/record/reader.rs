//! Reads a recording's file.

use std::path::Path;

use nacrite_core::node::input::Now;

use super::format::{Decoder, Frame, FrameError, HEAD, check_head};

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// What is in it.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It does not begin with a whole state.
    #[error("the recording does not begin with a whole state")]
    NoState,
}

/// A file that was opened: its state, then its frames one by one.
#[derive(Debug)]
pub struct Reader {
    bytes: Vec<u8>,
    at: usize,
    decoder: Decoder,
    state: Vec<u8>,
    begins: Now,
}

impl Reader {
    /// Reads the file and its state.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let bytes =
            std::fs::read(path).map_err(|e| ReadError::File(path.display().to_string(), e))?;
        check_head(&bytes)?;
        let mut reader = Self {
            bytes,
            at: HEAD,
            decoder: Decoder::default(),
            state: Vec::new(),
            begins: Now::default(),
        };
        loop {
            match reader.frame()? {
                Some(Frame::State(piece)) => reader.state.extend_from_slice(&piece),
                Some(Frame::Begins(now)) => {
                    reader.begins = now;
                    return Ok(reader);
                }
                _ => return Err(ReadError::NoState),
            }
        }
    }

    /// The state that it begins with.
    #[must_use]
    pub fn state(&self) -> &[u8] {
        &self.state
    }

    /// The clocks at its begin.
    #[must_use]
    pub fn begins(&self) -> Now {
        self.begins
    }

    /// The next frame; none at the end.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let next = self.decoder.next(&self.bytes[self.at..], self.at)?;
        Ok(next.map(|(frame, length)| {
            self.at += length;
            frame
        }))
    }
}
