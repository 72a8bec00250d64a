//! What runs the core: linked in (`native`), or as a WebAssembly module in wasmtime (`wasm`). One answer, byte for byte.
//!
//! The drive knows the [`Runner`] alone: it hands over a batch and gets outputs. The runner keeps what it takes to go on
//! after a fault of a module (a checkpoint and the inputs since), to change the engine while clients stay connected, and
//! to record.

mod batch;
mod core;
#[cfg(feature = "wasm")]
mod embedded;
mod faults;
mod journal;
mod native;
mod runner;
pub mod swap;
#[cfg(feature = "wasm")]
mod wasm;

use std::time::Duration;

use nacrite_core::node::{Node, output::Output};

use crate::settings::Settings;

pub use self::batch::Batch;
pub use self::core::{Core, CoreError};
pub use self::faults::FaultFolder;
pub use self::journal::{Base, Checkpoints, Journal};
pub use self::native::Native;
pub use self::runner::{FaultLog, Faults, Runner, Stopped};

/// Something that runs a node: a batch of inputs in, everything it asks for out.
pub trait Engine: Send {
    /// Handles the inputs in order, then drains the node.
    ///
    /// # Errors
    /// See [`Fault`]: this engine is of no more use.
    fn batch(&mut self, batch: &mut Batch) -> Result<Vec<Output>, Fault>;

    /// When the node wants a tick, on the monotonic clock.
    ///
    /// # Errors
    /// See [`Fault`].
    fn deadline(&mut self) -> Result<Option<u64>, Fault>;

    /// The node's whole state, durable and volatile.
    ///
    /// # Errors
    /// See [`Fault`].
    fn snapshot(&mut self) -> Result<Vec<u8>, Fault>;

    /// A copy of its state, taken in the time of copying (into an older copy, if there is one).
    fn image(&mut self, spare: Option<Image>) -> Image;

    /// Memory of its own; none if the node lives in the process's.
    fn memory(&mut self) -> Option<Memory> {
        None
    }
}

/// A copy of an engine's state: engines of the same core can be made of it, and a snapshot, when there is time for it.
#[derive(Debug)]
pub enum Image {
    /// Of the core that is linked in. Large values are shared with the original.
    Node(Box<Node>),
    /// The memory of a module.
    #[cfg(feature = "wasm")]
    Memory(nacrite_guest::Image),
}

/// Why an engine can no longer be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Fault {
    /// What it said.
    pub reason: String,
    /// Inputs of the batch that were taken in whole before it; none if that is not known.
    pub handled: Option<usize>,
}

/// Linear memory of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that are allocated.
    pub live: usize,
    /// Bytes that the module has; it never gives any back.
    pub committed: usize,
    /// Bytes that it may have.
    pub most: usize,
}

impl Memory {
    /// Whether what needs more of it is refused as "busy": four fifths are taken, and a new instance would not give
    /// enough of that back.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.committed / 4 >= self.most / 5 && !self.is_loose()
    }

    /// Whether less than half of it is in use, so that a new instance is worth its work.
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.committed >= 64 << 20 && self.live < self.committed / 2
    }
}

/// What a module may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Bytes of linear memory.
    pub memory: usize,
    /// CPU time of one batch.
    pub cpu: Duration,
}

impl EngineLimits {
    /// What the settings allow.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            memory: settings.core.max_memory.bytes(),
            cpu: settings.core.cpu_time_ms,
        }
    }
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            cpu: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_at_four_fifths_unless_a_new_instance_helps() {
        let memory = |live: usize, committed: usize| Memory {
            live: live << 20,
            committed: committed << 20,
            most: 1_000 << 20,
        };
        assert!(!memory(700, 799).is_short());
        assert!(memory(700, 800).is_short());
        assert!(!memory(300, 800).is_short() && memory(300, 800).is_loose());
        assert!(
            !memory(1, 63).is_loose(),
            "there is little to be given back"
        );
    }
}
