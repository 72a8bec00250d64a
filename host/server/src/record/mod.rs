//! Recordings: every input of the core with its clocks, so that what happened can be made to happen again.
//!
//! A recording is a folder of files; each begins with the core's whole state and can be replayed alone. Contents of
//! configs are not in it, only their MD5, length and log index; nor are passwords (`nacrite_core::node` masks them).

pub mod format;
mod reader;
mod recorder;
pub mod replay;

pub use self::format::{Frame, FrameError};
pub use self::reader::{ReadError, Reader};
pub use self::recorder::{Recorder, RecorderSettings, write_fault};
