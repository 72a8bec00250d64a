//! What runs the core.

use nacrite_core::node::{
    Node,
    input::{Input, Now},
    output::Output,
};

/// Something that runs a node: a batch of inputs in, everything it asks for out.
pub trait Engine: Send {
    /// Handles the inputs in order, then drains the node.
    fn batch(&mut self, inputs: Vec<(Now, Input)>, outputs: &mut Vec<Output>);
    /// When the node wants a tick, on the monotonic clock.
    fn deadline(&self) -> Option<u64>;
}

/// The core, linked in.
pub struct Native(Node);

impl Native {
    /// Runs this node.
    #[must_use]
    pub fn new(node: Node) -> Self {
        Self(node)
    }
}

impl Engine for Native {
    fn batch(&mut self, inputs: Vec<(Now, Input)>, outputs: &mut Vec<Output>) {
        for (now, input) in inputs {
            self.0.handle(now, input);
        }
        while let Some(output) = self.0.poll() {
            outputs.push(output);
        }
    }

    fn deadline(&self) -> Option<u64> {
        self.0.deadline()
    }
}
