//! The core, linked in.

use nacrite_core::node::{Node, output::Output};

use super::{Batch, Engine, Fault, Image};

/// The core, linked in. Its faults are panics: the drive ends the process with their reason.
pub struct Native(Node);

impl Native {
    /// Runs this node.
    #[must_use]
    pub fn new(node: Node) -> Self {
        Self(node)
    }
}

impl Engine for Native {
    fn batch(&mut self, batch: &mut Batch) -> Result<Vec<Output>, Fault> {
        for (now, input) in batch.take_inputs() {
            self.0.handle(now, input);
        }
        let outputs: Vec<Output> = std::iter::from_fn(|| self.0.poll()).collect();
        batch.answered(&outputs);
        Ok(outputs)
    }

    fn deadline(&mut self) -> Result<Option<u64>, Fault> {
        Ok(self.0.deadline())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        Ok(self.0.snapshot())
    }

    fn image(&mut self, _: Option<Image>) -> Image {
        Image::Node(Box::new(self.0.clone()))
    }
}
