//! Services, instances, their clients and their health; and which of them a consumer is shown.
//!
//! [`Naming`] owns both halves of the state: `Durable`, a function of the log alone, and `Volatile`, which lives
//! as long as the node. It knows nothing of subscribers and renders nothing: whoever pushes or shows asks
//! [`Naming::take_changes`] after each batch.
//!
//! How it is driven: [`Naming::at`] first, with every input's time; then one mutation (`request`, `apply`,
//! `connected`, `disconnected`, `probed`, `tick`, …); then `take_changes`, `take_probes` and `deadline`.

mod beats;
mod changes;
mod clients;
mod ids;
mod labels;
mod marks;
mod operators;
mod order;
mod persistent;
mod probes;
mod questions;
mod records;
mod requests;
mod rows;
pub mod select;
mod services;
mod slab;
mod snapshot;
mod state;
mod switches;

pub use changes::ServiceChanged;
pub use labels::Labels;
pub use requests::check_instance;
pub use switches::{CheckParams, Switches};

use alloc::{sync::Arc, vec::Vec};

use state::{Durable, Timer, Volatile};

use crate::{log::Command, node::input::Now};

/// Everything that a node knows of services.
#[derive(Clone, Debug)]
pub struct Naming {
    durable: Durable,
    volatile: Volatile,
}

impl Naming {
    /// Knows nothing yet; see [`Naming::seed`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            durable: Durable::default(),
            volatile: Volatile::default(),
        }
    }

    /// Seeds what must differ between nodes: the generator that spreads first probes, instance ids, hashes.
    pub fn seed(&mut self, seed: u64) {
        self.volatile.random = seed;
        self.volatile.worker = self.draw(1 << 10);
        self.volatile.hash_key = self.draw(u64::MAX);
        self.index();
    }

    /// Tells the time; to be called with each input before anything else, because [`Naming::apply`] is told none.
    pub fn at(&mut self, now: Now) {
        self.volatile.now = Now {
            mono: self.volatile.now.mono.max(now.mono),
            wall: now.wall,
        };
    }

    /// The switches.
    #[must_use]
    pub fn switches(&self) -> &Arc<Switches> {
        &self.durable.switches
    }

    /// When [`Naming::tick`] has something to do next, in `mono` milliseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let timer = self.volatile.timers.first().map(|(at, _)| *at);
        [
            timer,
            self.volatile.marks.deadline(),
            self.volatile.flips_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due, and says what to propose if this node leads (else the commands are dropped, and come again).
    #[must_use]
    pub fn tick(&mut self, now: Now) -> Vec<Command> {
        self.at(now);
        let mono = self.mono();
        while let Some(&(at, timer)) = self.volatile.timers.first().filter(|(at, _)| *at <= mono) {
            self.volatile.timers.remove(&(at, timer));
            match timer {
                Timer::Beat(record) => self.check_beat(record),
                Timer::Empty(service) => self.clean_empty(service),
                Timer::Probe(record) => self.start_probe(record),
            }
        }
        let mut commands = self.take_flips();
        commands.extend(self.take_expired());
        commands
    }

    fn mono(&self) -> u64 {
        self.volatile.now.mono
    }
}

impl Default for Naming {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod trial;
