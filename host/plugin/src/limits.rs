//! What a plugin may take.

use std::time::Duration;

/// How the time of a call is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// CPU time of the calling thread, looked at every few ms: a call may run up to three ticks (3 ms; 12 ms after a quiet
    /// time) longer than this.
    Cpu {
        /// For `lb_choose`, `lb_start`, `lb_report`.
        pick: Duration,
        /// For `lb_init`, `lb_update` and instantiation.
        update: Duration,
    },
    /// Instructions a call, the same on every machine: for tests. Slower than CPU time by a third.
    Fuel(u64),
}

/// Limits of the plugins of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a module.
    pub module: usize,
    /// Bytes of linear memory of an instance.
    pub memory: usize,
    /// Elements of all function tables together; they cannot grow later.
    pub table_elements: usize,
    /// Bytes of stack of a call.
    pub stack: usize,
    /// Time of a call.
    pub budget: Budget,
    /// Failures within [`window_ms`](Self::window_ms) that suspend a plugin.
    pub failures: u32,
    /// See [`failures`](Self::failures); in ms.
    pub window_ms: u64,
}

impl Limits {
    /// The largest module that a configuration may allow.
    pub const MOST_MODULE: usize = 4 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            module: 1 << 20,
            memory: 4 << 20,
            table_elements: 10_000,
            stack: 256 << 10,
            budget: Budget::Cpu {
                pick: Duration::from_millis(2),
                update: Duration::from_millis(50),
            },
            failures: 5,
            window_ms: 30_000,
        }
    }
}
