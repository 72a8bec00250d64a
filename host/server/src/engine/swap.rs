//! Another engine takes over while clients stay connected.
//!
//! The running one goes on serving. The new one is made of the running one's checkpoint on a thread of its own, handles
//! every batch since and must answer each as it was answered; when hardly anything is left, the rest is handled under
//! the drive's lock and the new one is the engine from the next batch on. Whatever goes wrong before that is a refusal
//! that changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Base, Batch, Core, Engine, journal::Entry};
use crate::drive::Drive;
use crate::record::replay::differ;

/// Batches that may be left when the lock is taken.
const LEFT: usize = 8;
/// How long a new engine may take to catch up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    /// Another change is under way.
    #[error("another engine is about to take over already")]
    UnderWay,
    /// The new engine cannot be made of the running one's state.
    #[error("{0}")]
    Refused(String),
    /// The new engine answers otherwise.
    #[error("it answers otherwise than the running engine: {0}")]
    Differs(String),
    /// The new engine failed while it caught up.
    #[error("it failed at a batch that the running engine has handled: {0}")]
    Failed(String),
    /// The load is more than it can follow.
    #[error("it did not catch up: {0}")]
    Behind(String),
    /// There was no change yet.
    #[error("no engine ran before this one")]
    NoPrevious,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// What ran.
    pub from: String,
    /// What runs.
    pub to: String,
    /// Batches that were compared.
    pub compared: usize,
    /// How long inputs had to wait for the change, at the most.
    pub pause: Duration,
    /// How long it took in all.
    pub took: Duration,
}

/// Gives the journal back however this ends.
struct Shadow<'a>(&'a Arc<Drive>);

impl Drop for Shadow<'_> {
    fn drop(&mut self) {
        // It goes when the lock is no longer held.
        drop(self.0.with_engine(super::Runner::release));
    }
}

/// Makes an engine of this core take over. Blocks until it has, or it is refused.
///
/// # Errors
/// See [`SwapError`].
pub fn swap(drive: &Arc<Drive>, core: Core) -> Result<Swapped, SwapError> {
    let _one = drive
        .swapping()
        .try_lock()
        .map_err(|_| SwapError::UnderWay)?;
    let began = Instant::now();
    let (mut base, old) = drive.with_engine(|runner| (runner.shadow(), runner.core().clone()));
    let mut pause = began.elapsed();
    let _shadow = Shadow(drive);
    if !old.is_contained() {
        // What the new engine would be made of again after a fault: bytes take less than a copy of the node.
        let state = base
            .state()
            .map_err(|e| SwapError::Refused(e.to_string()))?;
        base = Base::Snapshot(state.into());
        drop(drive.with_engine(|runner| runner.rebase(base.clone())));
    }
    // Of the state and not of an image: a module may take over from itself, to have less memory.
    let mut engine = base
        .anew(&core)
        .map_err(|e| SwapError::Refused(e.to_string()))?;
    let mut compared = 0;
    loop {
        let entries = drive.with_engine(|runner| runner.since(compared));
        let entries = entries.map_err(|e| SwapError::Behind(e.to_string()))?;
        if entries.len() <= LEFT {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err(SwapError::Behind(format!(
                "{} batches are left after {PATIENCE:?}",
                entries.len()
            )));
        }
        follow(&mut *engine, &entries, compared).map_err(|e| explain(e, drive, &base, &old))?;
        compared += entries.len();
    }
    let name = core.name().to_owned();
    let locked = Instant::now();
    let taken = drive.with_engine(|runner| {
        let entries = runner.since(compared);
        let entries = entries.map_err(|e| Unlike::Stopped(SwapError::Behind(e.to_string())))?;
        follow(&mut *engine, &entries, compared)?;
        Ok((compared + entries.len(), runner.take_over(core, engine)))
    });
    pause = pause.max(locked.elapsed());
    let (compared, before) = taken.map_err(|e| explain(e, drive, &base, &old))?;
    drop(before);
    let swapped = Swapped {
        from: old.name().to_owned(),
        to: name,
        compared,
        pause,
        took: began.elapsed(),
    };
    tracing::info!(
        target: "nacrite",
        "the core runs as {} instead of {}: {} batches compared, a pause of {:?}, {:?} in all",
        swapped.to, swapped.from, swapped.compared, swapped.pause, swapped.took,
    );
    Ok(swapped)
}

/// Makes the engine before the last change take over again.
///
/// # Errors
/// See [`SwapError`].
pub fn back(drive: &Arc<Drive>) -> Result<Swapped, SwapError> {
    let previous = drive.with_engine(|runner| runner.previous().cloned());
    swap(drive, previous.ok_or(SwapError::NoPrevious)?)
}

/// How a new engine is unlike the running one.
enum Unlike {
    /// At this batch it answers otherwise: so.
    Differs(usize, Vec<nacrite_core::node::output::Output>),
    Stopped(SwapError),
}

fn follow(engine: &mut dyn Engine, entries: &[Entry], first: usize) -> Result<(), Unlike> {
    for (at, entry) in (first..).zip(entries) {
        match entry.again(engine) {
            Ok(None) => {}
            Ok(Some(outputs)) => return Err(Unlike::Differs(at, outputs)),
            Err(fault) => {
                let text = format!("batch {at}: {fault}");
                return Err(Unlike::Stopped(SwapError::Failed(text)));
            }
        }
    }
    Ok(())
}

/// Names the first output that differs: the running core's are made once more, since only their digest was kept.
fn explain(unlike: Unlike, drive: &Arc<Drive>, base: &Base, old: &Core) -> SwapError {
    let (at, theirs) = match unlike {
        Unlike::Differs(at, theirs) => (at, theirs),
        Unlike::Stopped(error) => return error,
    };
    let again = || -> Result<Vec<_>, String> {
        let entries = drive.with_engine(|runner| runner.since(0));
        let entries = entries.map_err(|e| e.to_string())?;
        let mut engine = base.engine(old).map_err(|e| e.to_string())?;
        for entry in &entries[..at] {
            entry.again(&mut *engine).map_err(|e| e.to_string())?;
        }
        let mut batch = Batch::encoded(entries[at].bytes.clone());
        engine.batch(&mut batch).map_err(|e| e.to_string())
    };
    let text = match again() {
        Ok(ours) => differ(&Ok(ours), &Ok(theirs)).unwrap_or_else(|| "in their bytes".to_owned()),
        Err(why) => why,
    };
    SwapError::Differs(format!("batch {at}: {text}"))
}
