//! What a wasm module needs that has no standard library: the one guest, an allocator, and what to do on a panic.

use crate::guest::Guest;
use crate::rule::Rule;
use core::cell::RefCell;
use core::fmt::{self, Write as _};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

/// The allocator that plugins use.
pub use dlmalloc::GlobalDlmalloc as Allocator;

/// One of them.
pub const ALLOCATOR: Allocator = Allocator;

/// The guest of a module.
#[derive(Debug)]
pub struct Single<R>(RefCell<Guest<R>>);

#[expect(unsafe_code, reason = "sharing a static in a module without threads")]
// SAFETY: the module is built without threads, and an instance is entered by one host thread at a time.
unsafe impl<R> Sync for Single<R> {}

impl<R: Rule> Single<R> {
    /// Without a rule.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a static needs a const function"
    )]
    pub const fn new() -> Self {
        Self(RefCell::new(Guest::new()))
    }

    /// Calls the guest.
    #[inline]
    pub fn enter<T>(&self, call: impl FnOnce(&mut Guest<R>) -> T) -> T {
        call(&mut self.0.borrow_mut())
    }

    /// Address and length, packed, of why the last call did not succeed; after a trap, of the panic's message.
    pub fn said(&self) -> u64 {
        let (at, length) = match LENGTH.load(Relaxed) {
            0 => self.0.try_borrow().map_or((0, 0), |guest| {
                let said = guest.said();
                (said.as_ptr() as usize, said.len())
            }),
            length => (MESSAGE.as_ptr() as usize, length),
        };
        (at as u64) << 32 | length as u64
    }
}

/// Where a panic's message is written: a fixed place, because a panic may be about memory.
static MESSAGE: [AtomicU8; 512] = [const { AtomicU8::new(0) }; 512];
static LENGTH: AtomicUsize = AtomicUsize::new(0);

struct Message;

impl fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let at = LENGTH.load(Relaxed);
        let fits = text.len().min(MESSAGE.len() - at);
        for (to, byte) in MESSAGE[at..].iter().zip(&text.as_bytes()[..fits]) {
            to.store(*byte, Relaxed);
        }
        LENGTH.store(at + fits, Relaxed);
        Ok(())
    }
}

/// Keeps the message for `lb_error` and traps.
pub fn panicked(panic: &PanicInfo<'_>) -> ! {
    LENGTH.store(0, Relaxed);
    let _ = write!(Message, "{panic}");
    core::arch::wasm32::unreachable()
}
