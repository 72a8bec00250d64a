//! The server's wasm engine: one node in linear memory, driven in batches through a buffer.
//!
//! # Boundary
//! The module imports nothing and exports its `memory` and the functions below. Numbers are little-endian; a pair
//! `(address, length)` comes back as one `u64`, `address << 32 | length`. An instance is used by one thread at a time.
//!
//! | export | what it does |
//! |---|---|
//! | `schema() -> u32` | [`SCHEMA`](nacrite_core::node::SCHEMA) of the core; another number than the host's is refused by the host |
//! | `state() -> u32` | [`STATE`](nacrite_core::node::STATE) of the core; less than the running engine's is refused by the host |
//! | `buffer(length: u32) -> u32` | address of the request buffer, which holds at least that many bytes now; it stays until the next call of `buffer` |
//! | `init(length: u32) -> u32` | the buffer holds the postcard of `NodeSettings`: starts a new node. 0, or 1 if the bytes are none |
//! | `handle(length: u32) -> u64` | the buffer holds the postcard of a batch, `Vec<(Now, Input)>`: handles it and drains the node. Where the postcard of `Vec<Output>` is, until the next call |
//! | `deadline() -> u64` | [`Node::deadline`](nacrite_core::node::Node::deadline); `u64::MAX` for none |
//! | `snapshot() -> u64` | takes a snapshot: where its bytes are, until `snapshot_end` or a call of another function but `buffer`. A host copies it in pieces |
//! | `snapshot_end()` | frees it |
//! | `restore_piece(length: u32)` | the buffer holds the next piece of a snapshot |
//! | `restore() -> u32` | starts the node that the pieces make. 0; 1 if they are damaged, 2 if they are of another schema; then there is no node |
//! | `live() -> u64` | bytes that are allocated now; the rest of `memory` is free or lost to fragments |
//! | `handled() -> u32` | after a trap in `handle`: how many inputs of the batch were taken in whole before it; all of them if the fault was in the drain |
//! | `panic_message() -> u64` | after a trap: the text of the panic that caused it, at most 1 KiB; empty if it was none |
//!
//! Whatever else is wrong (bytes that are no batch, `handle` without a node, a fault in the core) is a panic, and so a
//! trap: `unreachable` after the message was written. An instance that trapped is used no more but for
//! `panic_message` and `handled`. Memory grows as needed and never shrinks, so the host reads the base address of `memory` anew after
//! each call, and limits its size.

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(any(target_family = "wasm", test))]
mod memory;
#[cfg(feature = "planted-fault")]
mod planted;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nacrite_core::encoding::encode_after;
use nacrite_core::node::{
    Damaged, Node, NodeSettings,
    input::{Input, Now},
    output::Output,
};

/// Inputs of the batch under way that were taken in whole; apart from the engine, which is in use when a fault is told.
static HANDLED: AtomicU32 = AtomicU32::new(0);

/// See `handled` in the module's table.
pub fn handled() -> u32 {
    HANDLED.load(Relaxed)
}

/// A node, and what crosses the boundary to and from it.
#[derive(Debug, Default)]
pub struct Engine {
    node: Option<Node>,
    /// The request buffer. It never shrinks: the largest batch is bounded by the host.
    buffer: Vec<u8>,
    /// The last answer.
    answer: Vec<u8>,
    /// A snapshot on its way out, or in.
    snapshot: Vec<u8>,
}

impl Engine {
    /// Without a node.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            node: None,
            buffer: Vec::new(),
            answer: Vec::new(),
            snapshot: Vec::new(),
        }
    }

    /// The request buffer, of at least `length` bytes.
    pub fn buffer(&mut self, length: usize) -> &mut [u8] {
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        &mut self.buffer
    }

    /// Starts a node with the settings in the buffer; false if there are none.
    pub fn init(&mut self, length: usize) -> bool {
        let settings = postcard::from_bytes::<NodeSettings>(self.request(length));
        self.node = settings.ok().map(|settings| Node::new(&settings));
        self.node.is_some()
    }

    /// Handles the batch in the buffer; the outputs.
    ///
    /// # Panics
    /// The bytes are no batch, or there is no node.
    pub fn handle(&mut self, length: usize) -> &[u8] {
        let batch: Vec<(Now, Input)> =
            postcard::from_bytes(self.request(length)).expect("the host sends a whole batch");
        let node = self.node.as_mut().expect("the host starts a node first");
        HANDLED.store(0, Relaxed);
        for (now, input) in batch {
            #[cfg(feature = "planted-fault")]
            planted::before(&input);
            node.handle(now, input);
            HANDLED.store(HANDLED.load(Relaxed) + 1, Relaxed);
        }
        let outputs = core::iter::from_fn(|| node.poll());
        #[cfg(feature = "planted-fault")]
        let outputs = outputs.map(planted::differently);
        let outputs: Vec<Output> = outputs.collect();
        let mut answer = core::mem::take(&mut self.answer);
        answer.clear();
        self.answer = encode_after(answer, &outputs);
        &self.answer
    }

    /// When the node wants a `Tick`.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.node.as_ref().and_then(Node::deadline)
    }

    /// Takes a snapshot.
    ///
    /// # Panics
    /// There is no node.
    pub fn snapshot(&mut self) -> &[u8] {
        let node = self.node.as_ref().expect("the host starts a node first");
        self.snapshot = node.snapshot();
        &self.snapshot
    }

    /// Frees a snapshot.
    pub fn snapshot_end(&mut self) {
        self.snapshot = Vec::new();
    }

    /// Takes in the next piece of a snapshot, from the buffer.
    ///
    /// # Panics
    /// The buffer is shorter.
    pub fn restore_piece(&mut self, length: usize) {
        self.snapshot.extend_from_slice(&self.buffer[..length]);
    }

    /// Starts the node that the pieces make.
    ///
    /// # Errors
    /// See [`Damaged`]; then there is no node.
    pub fn restore(&mut self) -> Result<(), Damaged> {
        let pieces = core::mem::take(&mut self.snapshot);
        #[cfg(feature = "planted-fault")]
        planted::before_restore(&pieces);
        self.node = None;
        self.node = Some(Node::from_snapshot(&pieces)?);
        Ok(())
    }

    fn request(&self, length: usize) -> &[u8] {
        &self.buffer[..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(engine: &mut Engine, bytes: &[u8]) -> usize {
        engine.buffer(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    fn started() -> Engine {
        let mut engine = Engine::new();
        let settings = postcard::to_allocvec(&NodeSettings::default()).unwrap();
        let length = write(&mut engine, &settings);
        assert!(engine.init(length));
        engine
    }

    fn ready(engine: &mut Engine) -> Vec<u8> {
        let batch = alloc::vec![(Now { mono: 5, wall: 5 }, Input::Ready)];
        let length = write(engine, &postcard::to_allocvec(&batch).unwrap());
        engine.handle(length).to_vec()
    }

    #[test]
    fn a_node_moves_to_another_engine_in_pieces() {
        let mut engine = started();
        assert_eq!(ready(&mut engine), [0], "no outputs");
        let snapshot = engine.snapshot().to_vec();
        let mut other = Engine::new();
        for piece in snapshot.chunks(7) {
            let length = write(&mut other, piece);
            other.restore_piece(length);
        }
        assert_eq!(other.restore(), Ok(()));
        assert_eq!(other.snapshot(), snapshot);
    }

    #[test]
    fn what_is_damaged_is_refused_and_leaves_no_node() {
        let mut engine = started();
        let length = write(&mut engine, &[0xff; 3]);
        assert!(!engine.init(length));
        let mut engine = started();
        let mut snapshot = engine.snapshot().to_vec();
        engine.snapshot_end();
        snapshot[0] += 1;
        let length = write(&mut engine, &snapshot);
        engine.restore_piece(length);
        assert!(matches!(engine.restore(), Err(Damaged::Schema(_))));
        assert_eq!(
            (engine.restore(), engine.deadline()),
            (Err(Damaged::Malformed), None)
        );
    }
}
