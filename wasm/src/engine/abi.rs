//! The exports of the module's table, over one [`Engine`] an instance.
#![expect(
    unsafe_code,
    reason = "exporting a name to the host or the linker, and sharing a static in a module without threads"
)]

use core::cell::RefCell;

use nacrite_core::node::{Damaged, SCHEMA, STATE};

use super::Engine;

struct Single(RefCell<Engine>);

// SAFETY: the module is built without threads, and an instance is entered by one host thread at a time.
unsafe impl Sync for Single {}

static ENGINE: Single = Single(RefCell::new(Engine::new()));

/// In the place of the compiler's own.
// A call, as that is: written out at each comparison it would be 15 kB of a module.
#[inline(never)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    // SAFETY: who compares by C's rules has so many bytes at both places.
    let (a, b) = unsafe {
        (
            core::slice::from_raw_parts(a, length),
            core::slice::from_raw_parts(b, length),
        )
    };
    super::memory::compare(a, b) as i32
}

fn pair(address: usize, length: usize) -> u64 {
    (address as u64) << 32 | length as u64
}

fn place(bytes: &[u8]) -> u64 {
    pair(bytes.as_ptr() as usize, bytes.len())
}

#[unsafe(no_mangle)]
extern "C" fn schema() -> u32 {
    SCHEMA
}

#[unsafe(no_mangle)]
extern "C" fn state() -> u32 {
    STATE
}

#[unsafe(no_mangle)]
extern "C" fn live() -> u64 {
    crate::runtime::live() as u64
}

#[unsafe(no_mangle)]
extern "C" fn handled() -> u32 {
    super::handled()
}

#[unsafe(no_mangle)]
extern "C" fn buffer(length: u32) -> u32 {
    let mut engine = ENGINE.0.borrow_mut();
    engine.buffer(length as usize).as_ptr() as u32
}

#[unsafe(no_mangle)]
extern "C" fn init(length: u32) -> u32 {
    u32::from(!ENGINE.0.borrow_mut().init(length as usize))
}

#[unsafe(no_mangle)]
extern "C" fn handle(length: u32) -> u64 {
    place(ENGINE.0.borrow_mut().handle(length as usize))
}

#[unsafe(no_mangle)]
extern "C" fn deadline() -> u64 {
    ENGINE.0.borrow().deadline().unwrap_or(u64::MAX)
}

#[unsafe(no_mangle)]
extern "C" fn snapshot() -> u64 {
    place(ENGINE.0.borrow_mut().snapshot())
}

#[unsafe(no_mangle)]
extern "C" fn snapshot_end() {
    ENGINE.0.borrow_mut().snapshot_end();
}

#[unsafe(no_mangle)]
extern "C" fn restore_piece(length: u32) {
    ENGINE.0.borrow_mut().restore_piece(length as usize);
}

#[unsafe(no_mangle)]
extern "C" fn restore() -> u32 {
    match ENGINE.0.borrow_mut().restore() {
        Ok(()) => 0,
        Err(Damaged::Malformed) => 1,
        Err(Damaged::Schema(_)) => 2,
    }
}

#[unsafe(no_mangle)]
extern "C" fn panic_message() -> u64 {
    let (address, length) = crate::runtime::panic_message();
    pair(address, length)
}
