//! The one source of randomness: a generator for each thread, seeded by the system.

use std::cell::RefCell;

use nacrite_core::balance::Xoshiro256;

thread_local! {
    static GENERATOR: RefCell<Xoshiro256> = RefCell::new(Xoshiro256::new(seed()));
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Without the system's generator the address of a local is what there is; nothing here is a secret.
    if getrandom::fill(&mut bytes).is_err() {
        return std::ptr::from_ref(&bytes).addr() as u64;
    }
    u64::from_ne_bytes(bytes)
}

/// Draws with this thread's generator.
pub(crate) fn with<R>(draw: impl FnOnce(&mut Xoshiro256) -> R) -> R {
    GENERATOR.with_borrow_mut(draw)
}

/// A number below `bound`, which is not 0.
pub(crate) fn below(bound: usize) -> usize {
    usize::try_from(with(Xoshiro256::next_u64) % bound as u64).unwrap_or_default()
}
