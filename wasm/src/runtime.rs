//! What a module needs that has no standard library: an allocator, and what to do on a panic.

use core::{
    fmt::{self, Write as _},
    panic::PanicInfo,
    sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
};

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Where a panic's message is written: a fixed place, because a panic may be about memory.
static MESSAGE: [AtomicU8; 1024] = [const { AtomicU8::new(0) }; 1024];
static LENGTH: AtomicUsize = AtomicUsize::new(0);

#[cfg(feature = "engine")]
/// Address and length of the message of the panic that ended this instance; of length 0 if there was none.
pub(crate) fn panic_message() -> (usize, usize) {
    (MESSAGE.as_ptr() as usize, LENGTH.load(Relaxed))
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

#[panic_handler]
fn panicked(panic: &PanicInfo<'_>) -> ! {
    LENGTH.store(0, Relaxed);
    let _ = write!(Message, "{panic}");
    core::arch::wasm32::unreachable()
}
