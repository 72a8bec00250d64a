//! wasmtime as plugins need it, and the clock that ends calls which run too long.
//!
//! A tick makes every guest that runs call back; the callback reads its own thread's CPU clock and lets a guest go on that was
//! merely waiting for the machine. So the pick itself reads no clock.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use wasmtime::{Config, UpdateDeadline};

use crate::failure::Failure;
use crate::limits::{Budget, Limits};

/// Between two ticks while a guest was seen running.
const BUSY: Duration = Duration::from_millis(1);
/// Between two ticks otherwise.
const QUIET: Duration = Duration::from_millis(10);

/// Compiles and runs plugins under one set of limits. A process needs one.
#[derive(Clone, Debug)]
pub struct Engine(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) limits: Limits,
    /// A guest was in a call at the last tick.
    seen_running: AtomicBool,
}

impl Engine {
    /// An engine; with a CPU budget it starts a thread that ends with the last plugin.
    ///
    /// # Panics
    /// wasmtime does not take the settings, or no thread can be started.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let mut config = Config::new();
        config.max_wasm_stack(limits.stack);
        config.wasm_memory64(false);
        config.wasm_backtrace_max_frames(None);
        match limits.budget {
            Budget::Cpu { .. } => config.epoch_interruption(true),
            Budget::Fuel(_) => config.consume_fuel(true),
        };
        let inner = Arc::new(Inner {
            wasmtime: wasmtime::Engine::new(&config).expect("wasmtime takes these settings"),
            limits: *limits,
            seen_running: AtomicBool::new(false),
        });
        if let Budget::Cpu { .. } = limits.budget {
            let engine = Arc::downgrade(&inner);
            std::thread::Builder::new()
                .name("plugin-ticks".to_owned())
                .spawn(move || tick(&engine))
                .expect("a thread can be started");
        }
        Self(inner)
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

fn tick(engine: &Weak<Inner>) {
    loop {
        let Some(inner) = engine.upgrade() else {
            return;
        };
        let running = inner.seen_running.swap(false, Relaxed);
        inner.wasmtime.increment_epoch();
        drop(inner);
        std::thread::sleep(if running { BUSY } else { QUIET });
    }
}

/// What a store carries: the limits of its instance, and the time of the call that is under way.
pub(crate) struct Guard {
    engine: Arc<Inner>,
    /// Grows with each call.
    pub(crate) call: u64,
    pub(crate) budget: Duration,
    pub(crate) name: &'static str,
    /// The call that the last tick met, and the thread's CPU time then.
    met: (u64, Duration),
    /// Instantiated: tables grow no more.
    pub(crate) started: bool,
    pub(crate) broken: Option<Failure>,
}

/// CPU time of the calling thread.
#[expect(
    unsafe_code,
    reason = "the standard library has no clock of a thread's CPU time"
)]
fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a value of ours. The call cannot fail for this clock; a zero would only let the guest go on.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// What ends a call that is out of time.
#[derive(Debug, thiserror::Error)]
#[error("out of time")]
pub(crate) struct OutOfTime;

impl Guard {
    pub(crate) fn new(engine: &Arc<Inner>) -> Self {
        Self {
            engine: Arc::clone(engine),
            call: 0,
            budget: Duration::ZERO,
            name: "instantiation",
            met: (u64::MAX, Duration::ZERO),
            started: false,
            broken: None,
        }
    }

    /// A tick has met this guest in a call.
    pub(crate) fn ticked(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.engine.seen_running.store(true, Relaxed);
        let now = thread_cpu();
        if self.met.0 != self.call {
            self.met = (self.call, now);
        } else if now.saturating_sub(self.met.1) >= self.budget {
            return Err(OutOfTime.into());
        }
        Ok(UpdateDeadline::Continue(1))
    }
}

impl wasmtime::ResourceLimiter for Guard {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.engine.limits.memory;
        let fits = desired <= limit;
        if !fits {
            self.broken = Some(Failure::OutOfMemory(limit));
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let limit = self.engine.limits.table_elements;
        let fits = !self.started && desired <= limit;
        if !fits {
            self.broken = Some(Failure::Table(limit));
        }
        Ok(fits)
    }

    fn tables(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }
}
