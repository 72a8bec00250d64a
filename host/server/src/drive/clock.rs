//! The two clocks of every input.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nacrite_core::node::input::Now;

/// Reads the operating system's clocks.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Arc<Instant>,
}

impl Clock {
    /// `mono` counts from here.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Arc::new(Instant::now()),
        }
    }

    /// Both clocks, in milliseconds.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
