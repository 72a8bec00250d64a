//! Keeps recordings of faults: one file each, but not more often than somebody can look at.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nacrite_core::node::input::{Input, Now};

use super::{FaultLog, Journal};
use crate::record::write_fault;

/// Between two files.
const BETWEEN: Duration = Duration::from_secs(60);

/// Writes recordings of faults into a folder.
#[derive(Debug)]
pub struct FaultFolder {
    folder: PathBuf,
    last: Option<Instant>,
}

impl FaultFolder {
    /// Below the data folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, last: None }
    }
}

impl FaultLog for FaultFolder {
    fn fault(&mut self, journal: &Journal, input: &(Now, Input)) -> String {
        let folder = self.folder.display();
        if self.last.is_some_and(|last| last.elapsed() < BETWEEN) {
            return format!("one of the faults of this minute is recorded in {folder}");
        }
        self.last = Some(Instant::now());
        // Written beside: the core goes on meanwhile.
        let (journal, input, into) = (journal.clone(), input.clone(), self.folder.clone());
        let told = format!("it is recorded in {folder}");
        let write = move || {
            if let Err(error) = write_fault(&into, &journal, &input) {
                tracing::error!(target: "nacrite", "the fault could not be recorded: {error}");
            }
        };
        let started = std::thread::Builder::new()
            .name("fault".to_owned())
            .spawn(write);
        started.map_or_else(|e| format!("it could not be recorded: {e}"), |_| told)
    }
}
