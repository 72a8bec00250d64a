//! What it takes to make an engine's state again: a checkpoint, and every batch since with a digest of what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nacrite_core::node::{
    Node, NodeSettings,
    input::{Input, Now},
    output::Output,
};

use super::{Batch, Core, CoreError, Engine, Fault, Image, batch::decode};

/// When a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// After so many bytes of inputs.
    pub bytes: usize,
    /// After this time.
    pub every: Duration,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            every: Duration::from_secs(30),
        }
    }
}

/// A journal that outgrows this many times the bytes between two checkpoints is given up.
const OVERDUE: usize = 4;

/// Where a journal begins.
#[derive(Clone, Debug)]
pub enum Base {
    /// A new node.
    New(Arc<NodeSettings>),
    /// A whole state.
    Snapshot(Arc<[u8]>),
    /// The state of an engine of this core.
    Image(Core, Arc<Image>),
}

impl Base {
    /// An engine of a core in this state, as quickly as can be.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn engine(&self, core: &Core) -> Result<Box<dyn Engine>, CoreError> {
        match self {
            Self::Image(of, image) if of.is(core) => core.of_image(image),
            _ => self.anew(core),
        }
    }

    /// An engine of a core made of the state alone: it has no more memory than that takes.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn anew(&self, core: &Core) -> Result<Box<dyn Engine>, CoreError> {
        match self {
            Self::New(settings) => core.start(settings),
            Self::Snapshot(bytes) => core.restore(bytes),
            Self::Image(..) => core.restore(&self.state()?),
        }
    }

    /// The whole state.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn state(&self) -> Result<Vec<u8>, CoreError> {
        match self {
            Self::New(settings) => Ok(Node::new(settings).snapshot()),
            Self::Snapshot(bytes) => Ok(bytes.to_vec()),
            Self::Image(of, image) => {
                let state = of.of_image(image)?.snapshot();
                state.map_err(|fault| CoreError::Refused(fault.to_string()))
            }
        }
    }
}

/// One batch that was handled.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The inputs, encoded.
    pub bytes: Arc<[u8]>,
    /// Digest of the outputs.
    pub digest: u128,
}

impl Entry {
    /// Handles the batch again; its outputs were given out already. What came of it, if it is not the same.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn again(&self, engine: &mut dyn Engine) -> Result<Option<Vec<Output>>, Fault> {
        let mut batch = Batch::encoded(self.bytes.clone()).digested();
        let outputs = engine.batch(&mut batch)?;
        Ok((batch.digest() != self.digest).then_some(outputs))
    }
}

/// A checkpoint and the batches since.
#[derive(Clone, Debug)]
pub struct Journal {
    base: Base,
    entries: Vec<Entry>,
    bytes: usize,
    began: Instant,
}

impl Journal {
    /// Without batches.
    #[must_use]
    pub fn new(base: Base) -> Self {
        Self {
            base,
            entries: Vec::new(),
            bytes: 0,
            began: Instant::now(),
        }
    }

    /// Where it begins.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// It begins with the same state in another form. The one before is given back.
    #[must_use]
    pub fn rebase(&mut self, base: Base) -> Base {
        std::mem::replace(&mut self.base, base)
    }

    /// The image that it began with, if nobody else reads it: the next may be written over it.
    #[must_use]
    pub fn into_image(self) -> Option<Image> {
        match self.base {
            Base::Image(_, image) => Arc::into_inner(image),
            Base::New(_) | Base::Snapshot(_) => None,
        }
    }

    /// The batches since.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The inputs of each batch since.
    #[must_use]
    pub fn batches(&self) -> Vec<Vec<(Now, Input)>> {
        let entries = self.entries.iter();
        entries.map(|entry| decode(&entry.bytes)).collect()
    }

    /// One more was handled.
    pub fn push(&mut self, batch: &mut Batch) {
        let bytes = batch.bytes();
        self.bytes += bytes.len();
        self.entries.push(Entry {
            bytes,
            digest: batch.digest(),
        });
    }

    /// Whether it is time for a checkpoint.
    #[must_use]
    pub fn is_due(&self, when: Checkpoints) -> bool {
        !self.entries.is_empty() && (self.bytes >= when.bytes || self.began.elapsed() >= when.every)
    }

    /// Whether it has grown past what can be waited for.
    #[must_use]
    pub fn is_overdue(&self, when: Checkpoints) -> bool {
        self.bytes >= when.bytes.saturating_mul(OVERDUE)
    }

    /// The state at its end, made again.
    ///
    /// # Errors
    /// Why it cannot be: a second run must do what the first did.
    pub fn replay(&self, core: &Core) -> Result<Box<dyn Engine>, String> {
        let mut engine = self.base.engine(core).map_err(|e| e.to_string())?;
        for (at, entry) in self.entries.iter().enumerate() {
            match entry.again(&mut *engine) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    return Err(format!(
                        "batch {at} after the checkpoint came out otherwise"
                    ));
                }
                Err(fault) => return Err(format!("batch {at} after the checkpoint: {fault}")),
            }
        }
        Ok(engine)
    }
}
