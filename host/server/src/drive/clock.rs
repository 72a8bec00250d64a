//! The two clocks of every input.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nacrite_core::node::input::Now;

/// Reads the operating system's clocks, unless a test moves them by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System {
        start: Instant,
    },
    ByHand {
        mono: Arc<AtomicU64>,
        wall: Arc<AtomicU64>,
    },
}

impl Clock {
    /// `mono` counts from here.
    #[must_use]
    pub fn start() -> Self {
        Self(Source::System {
            start: Instant::now(),
        })
    }

    /// Both clocks stand where they are put. For tests that repeat themselves.
    #[must_use]
    pub fn by_hand(mono: Arc<AtomicU64>, wall: Arc<AtomicU64>) -> Self {
        Self(Source::ByHand { mono, wall })
    }

    /// Both clocks, in milliseconds.
    #[must_use]
    pub fn now(&self) -> Now {
        match &self.0 {
            Source::System { .. } => {
                let wall = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Now {
                    mono: self.mono(),
                    wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
                }
            }
            Source::ByHand { wall, .. } => Now {
                mono: self.mono(),
                wall: wall.load(Ordering::Relaxed),
            },
        }
    }

    /// The monotonic one alone, in milliseconds.
    #[must_use]
    pub fn mono(&self) -> u64 {
        match &self.0 {
            Source::System { start } => {
                u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
            }
            Source::ByHand { mono, .. } => mono.load(Ordering::Relaxed),
        }
    }
}
