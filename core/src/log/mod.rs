//! What the replicated log carries and what is stored: commands, rows, and how both are written down.
//!
//! A log entry is a command and, for a publish, a content that the core never sees. Commands and rows have an
//! encoding of their own with a version byte; old decoders are kept, and golden bytes stand in the tests.

mod command;
mod key;
mod row;

pub use command::{Command, Decode, HealthFlip, PatchOf};
pub(crate) use command::{decode, encode};
pub use key::{KeyReader, KeyWriter};
pub use row::{Row, RowWrite, Table};
