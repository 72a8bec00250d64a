//! A state that a peer sends because the log it has left no longer reaches back to ours: filled beside the own one, which
//! it then replaces as a whole.

use std::sync::{Arc, PoisonError};

use super::{Outcome, Progress, STATE_FILE, State, StateBatch, create};
use crate::Error;
use crate::file::{Check, StoreFile};

/// Name of the file while it is being filled.
pub(crate) const INCOMING: &str = "state.redb.incoming";

/// A state being received. Dropped, it leaves a file that the next one, or the next start, removes.
pub struct Incoming {
    pub(super) state: State,
}

impl Incoming {
    /// Adds rows and contents. Every batch names the same applied entry: the one that the sent state stands at.
    ///
    /// # Errors
    /// As [`State::apply`].
    pub fn apply(&mut self, batch: &StateBatch) -> Result<Outcome, Error> {
        self.state.apply(batch)
    }
}

impl State {
    /// Begins to receive another state; one that was begun before is thrown away.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn incoming(&self) -> Result<Incoming, Error> {
        let inner = &self.inner;
        inner.disk.remove(INCOMING)?;
        create(inner.disk.as_ref(), INCOMING, inner.node_id)?;
        let (state, _) = Self::open(&inner.disk, INCOMING, inner.cache, Check::Later)?;
        Ok(Incoming { state })
    }

    /// Puts the received state in the place of this one, durably; readers of this one read the new one from then on,
    /// and snapshots stay as they are.
    ///
    /// The log must know first: [`crate::Log::begin_install`], then this, then [`crate::Log::install`]. Power may be cut
    /// between any two of them; the next open goes back or forward.
    ///
    /// # Errors
    /// After an error the process must stop and open the files anew.
    pub fn replace(&mut self, mut incoming: Incoming) -> Result<(), Error> {
        incoming.state.sync()?;
        let applied = incoming.state.inner.progress().applied;
        drop(incoming);
        let inner = &self.inner;
        inner.disk.rename(INCOMING, STATE_FILE)?;
        let file = StoreFile::open(inner.disk.as_ref(), STATE_FILE, inner.cache, Check::Later)?;
        *inner.file.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(file);
        inner.forget_contents();
        inner.set_progress(Progress {
            applied,
            durable: applied,
            waiting_bytes: 0,
        });
        Ok(())
    }
}
