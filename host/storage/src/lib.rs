//! Log and state on disk: two `redb` files behind small interfaces; the disk itself can be simulated.
//!
//! This crate knows bytes, keys and indexes, and nothing of what they mean.

mod entry;
mod error;

pub use entry::{Compacted, Entry, HardState, LogReader};
pub use error::Error;
