//! The read side as the server keeps it: each shard behind a lock of its own.

use std::sync::{Arc, PoisonError, RwLock};

use nacrite_core::{
    naming::Labels,
    view::{Delta, SHARDS, Settled, Shard, Shards},
};

/// All shards.
pub struct Views {
    shards: Vec<RwLock<Shard>>,
    settled: RwLock<Settled>,
}

impl Default for Views {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            settled: RwLock::default(),
        }
    }
}

impl Views {
    /// Takes over a batch of changes.
    pub fn publish(&self, deltas: Vec<Delta>) {
        for delta in deltas {
            match delta.shard() {
                Some(shard) => {
                    self.shards[shard]
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .apply(delta);
                }
                None => self
                    .settled
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .apply(delta),
            }
        }
    }

    /// Replaces the labels of addresses.
    pub fn set_labels(&self, labels: Labels) {
        self.settled
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .labels = Arc::new(labels);
    }
}

impl Shards for Views {
    fn read<R>(&self, shard: usize, look: impl FnOnce(&Shard) -> R) -> R {
        look(
            &self.shards[shard]
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn settled<R>(&self, look: impl FnOnce(&Settled) -> R) -> R {
        look(&self.settled.read().unwrap_or_else(PoisonError::into_inner))
    }
}
