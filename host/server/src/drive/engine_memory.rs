//! What is done about the memory of an engine that is a module: requests that need more of it are refused when it is
//! short, and a new instance gives back what is lost to fragments.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use std::time::{Duration, Instant};

use nacrite_core::node::op::Op;

use super::Drive;
use crate::engine::{Memory, swap::swap};

/// Between two new instances.
const BETWEEN: Duration = Duration::from_secs(600);

/// How the memory stands.
#[derive(Debug)]
pub(super) struct Watch {
    short: AtomicBool,
    loose: AtomicBool,
    began: Instant,
    /// Milliseconds from `began` before which no new instance is made.
    not_before: AtomicU64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            short: AtomicBool::new(false),
            loose: AtomicBool::new(false),
            began: Instant::now(),
            not_before: AtomicU64::new(0),
        }
    }
}

impl Watch {
    pub(super) fn look(&self, memory: Option<Memory>) {
        self.short
            .store(memory.is_some_and(|m| m.is_short()), Relaxed);
        self.loose
            .store(memory.is_some_and(|m| m.is_loose()), Relaxed);
    }

    /// Whether a request is refused as "busy". What frees memory, and beats, without which instances would go, are not.
    pub(super) fn refuses(&self, op: &Op) -> bool {
        self.short.load(Relaxed)
            && matches!(
                op,
                Op::Register { .. }
                    | Op::BatchRegister { .. }
                    | Op::CreateService { .. }
                    | Op::UpdateCluster { .. }
                    | Op::SubscribeUdp { .. }
                    | Op::Subscribe { .. }
                    | Op::Publish(_)
                    | Op::Poll { wait_ms: 1.., .. }
                    | Op::Listen { listen: true, .. }
                    | Op::SetCapacity { .. }
                    | Op::CreateNamespace { .. }
                    | Op::Lock { acquire: true, .. }
                    | Op::FuzzyWatch { watch: true, .. }
            )
    }

    /// Whether a new instance is worth its work; true once, and not again for a while.
    pub(super) fn wants_new_instance(&self) -> bool {
        if !self.loose.load(Relaxed) {
            return false;
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = millis(self.began.elapsed());
        let before = self.not_before.load(Relaxed);
        let next = now + millis(BETWEEN);
        now >= before
            && self
                .not_before
                .compare_exchange(before, next, Relaxed, Relaxed)
                .is_ok()
    }
}

/// Has a new instance of the same core take over, on a thread of its own.
pub(super) fn renew(drive: &Arc<Drive>) {
    let drive = drive.clone();
    let work = move || {
        let core = drive.with_engine(|runner| runner.core().clone());
        if let Err(why) = swap(&drive, core) {
            tracing::warn!(target: "nacrite", "the core's memory is not given back: {why}");
        }
    };
    let started = std::thread::Builder::new()
        .name("swap".to_owned())
        .spawn(work);
    if let Err(why) = started {
        tracing::warn!(target: "nacrite", "the core's memory is not given back: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_memory_refuses_what_needs_more_and_a_loose_one_is_renewed_once() {
        let watch = Watch::default();
        let memory = |live: usize, committed: usize| {
            Some(Memory {
                live: live << 20,
                committed: committed << 20,
                most: 1_000 << 20,
            })
        };
        let create = Op::CreateNamespace {
            id: "a".into(),
            name: "a".into(),
            desc: "".into(),
        };
        let delete = Op::DeleteNamespace { id: "a".into() };
        watch.look(memory(800, 900));
        assert!(watch.refuses(&create) && !watch.refuses(&delete));
        assert!(!watch.wants_new_instance());
        watch.look(memory(100, 900));
        assert!(!watch.refuses(&create));
        assert!(watch.wants_new_instance() && !watch.wants_new_instance());
        watch.look(None);
        assert!(!watch.refuses(&create));
    }
}
