//! The wasm engine as the server drives it, over the module that `cargo xtask wasm` leaves.

use std::sync::OnceLock;

use nacrite_core::{
    node::{
        NodeSettings,
        input::{Input, Now},
        output::Output,
    },
    sim::Core,
};
use nacrite_guest::{Code, Fault, Limits, Refused};
use nacrite_tests::engine::module;

fn code() -> &'static Code {
    static CODE: OnceLock<Code> = OnceLock::new();
    CODE.get_or_init(|| Code::compile(&module("engine.wasm")).expect("the module is valid"))
}

/// An instance of the engine module.
pub(crate) struct Guest(nacrite_guest::Guest);

impl Guest {
    /// With a new node.
    pub(crate) fn started(settings: &NodeSettings) -> Self {
        let settings = postcard::to_allocvec(settings).expect("it is serialised");
        let guest = nacrite_guest::Guest::started(code(), Limits::default(), &settings);
        Self(guest.expect("it starts"))
    }

    /// With the node of a snapshot.
    pub(crate) fn restored(snapshot: &[u8]) -> Result<Self, Refused> {
        nacrite_guest::Guest::restored(code(), Limits::default(), snapshot).map(Self)
    }

    /// With the memory of this one.
    pub(crate) fn copied(&self) -> Self {
        let image = self.0.image(None);
        let guest = nacrite_guest::Guest::of_image(code(), Limits::default(), &image);
        Self(guest.expect("it is an image of the same code"))
    }

    /// A batch in, its outputs out.
    pub(crate) fn handle(&mut self, batch: &[u8]) -> Result<Vec<u8>, Fault> {
        self.0.handle(batch, <[u8]>::to_vec)
    }

    /// When the node wants a tick.
    pub(crate) fn deadline(&mut self) -> Option<u64> {
        self.0.deadline().expect("it answers")
    }

    /// The node's whole state.
    pub(crate) fn snapshot(&mut self) -> Vec<u8> {
        self.0.snapshot().expect("it answers")
    }

    /// Bytes of linear memory, and those of them in use.
    pub(crate) fn memory(&mut self) -> (usize, usize) {
        (self.0.committed(), self.0.live().expect("it answers"))
    }
}

impl Core for Guest {
    fn batch(&mut self, inputs: Vec<(Now, Input)>) -> Vec<Output> {
        let batch = postcard::to_allocvec(&inputs).expect("a batch is serialised");
        let answer = self.handle(&batch).expect("the module does not trap");
        postcard::from_bytes(&answer).expect("an engine answers with outputs")
    }

    fn deadline(&mut self) -> Option<u64> {
        Self::deadline(self)
    }
}
