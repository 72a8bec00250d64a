//! What a module needs that has no standard library: an allocator, and what to do on a panic.

#![expect(unsafe_code, reason = "an allocator, in a module without threads")]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[cfg(feature = "engine")]
pub(crate) use message::panic_message;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Bytes that are allocated.
static LIVE: AtomicUsize = AtomicUsize::new(0);

#[cfg(feature = "engine")]
/// Bytes that are allocated now.
pub(crate) fn live() -> usize {
    LIVE.load(Relaxed)
}

/// The allocator, with a count of what it has given out: a host that knows it can tell memory in use from memory that
/// only cannot be given back.
struct Counted;

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.store(LIVE.load(Relaxed) + layout.size(), Relaxed);
        unsafe { dlmalloc::GlobalDlmalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.store(LIVE.load(Relaxed) + layout.size(), Relaxed);
        unsafe { dlmalloc::GlobalDlmalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        LIVE.store(LIVE.load(Relaxed) - layout.size(), Relaxed);
        unsafe { dlmalloc::GlobalDlmalloc.dealloc(address, layout) }
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.store(LIVE.load(Relaxed) + size - layout.size(), Relaxed);
        unsafe { dlmalloc::GlobalDlmalloc.realloc(address, layout, size) }
    }
}

/// What a host may ask for after a trap; only the engine's does.
#[cfg(feature = "engine")]
mod message {
    use core::{
        fmt::{self, Write as _},
        panic::PanicInfo,
        sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    };

    /// Where a panic's message is written: a fixed place, because a panic may be about memory.
    static MESSAGE: [AtomicU8; 1024] = [const { AtomicU8::new(0) }; 1024];
    static LENGTH: AtomicUsize = AtomicUsize::new(0);

    /// Address and length of the message of the panic that ended this instance; of length 0 if there was none.
    pub(crate) fn panic_message() -> (usize, usize) {
        (MESSAGE.as_ptr() as usize, LENGTH.load(Relaxed))
    }

    pub(super) fn keep(panic: &PanicInfo<'_>) {
        LENGTH.store(0, Relaxed);
        let _ = write!(Message, "{panic}");
    }

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
}

#[panic_handler]
fn panicked(panic: &PanicInfo<'_>) -> ! {
    #[cfg(feature = "engine")]
    message::keep(panic);
    // A message that nobody reads is not written. With it go the texts, places and numbers of all checks: 3 kB of a module.
    #[cfg(not(feature = "engine"))]
    let _ = panic;
    core::arch::wasm32::unreachable()
}
