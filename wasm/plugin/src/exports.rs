//! The names the host calls, for a rule's type. The functions pass numbers to [`Guest`](crate::Guest); they are all that is unsafe.

/// Makes a plugin of a [`Rule`](crate::Rule): its exports, an allocator and what happens on a panic. Once in a `cdylib` crate,
/// which is `no_std` for wasm; nothing natively.
#[macro_export]
macro_rules! export {
    ($rule:ty) => {
        $crate::exports!($rule);

        #[cfg(target_family = "wasm")]
        const _: () = {
            #[global_allocator]
            static ALLOCATOR: $crate::runtime::Allocator = $crate::runtime::ALLOCATOR;

            #[panic_handler]
            fn panicked(panic: &core::panic::PanicInfo<'_>) -> ! {
                $crate::runtime::panicked(panic)
            }
        };
    };
}

/// The exports alone, for a module that has an allocator and a panic handler of its own.
#[macro_export]
macro_rules! exports {
    ($rule:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            static GUEST: $crate::runtime::Single<$rule> = $crate::runtime::Single::new();

            #[unsafe(no_mangle)]
            extern "C" fn lb_abi() -> i32 {
                $crate::ABI
            }

            #[unsafe(no_mangle)]
            extern "C" fn lb_alloc(length: u32) -> u32 {
                GUEST.enter(|guest| guest.alloc(length as usize)) as u32
            }

            #[unsafe(no_mangle)]
            extern "C" fn lb_init(at: u32, length: u32) -> i32 {
                GUEST.enter(|guest| guest.init(at as usize, length as usize))
            }

            #[unsafe(no_mangle)]
            extern "C" fn lb_error() -> u64 {
                GUEST.said()
            }

            #[unsafe(no_mangle)]
            extern "C" fn lb_update(at: u32, count: u32, epoch: u64) -> i32 {
                GUEST.enter(|guest| guest.update(at as usize, count, epoch))
            }

            #[unsafe(no_mangle)]
            extern "C" fn lb_choose(key_hash: u64, rand: u64, now_ms: u64, flags: u32) -> i32 {
                GUEST.enter(|guest| guest.choose(key_hash, rand, now_ms, flags))
            }

            #[unsafe(no_mangle)]
            extern "C" fn lb_start(index: u32, now_ms: u64) {
                GUEST.enter(|guest| guest.start(index, now_ms));
            }

            #[unsafe(no_mangle)]
            extern "C" fn lb_report(index: u32, outcome: i32, latency_us: u64, now_ms: u64) {
                GUEST.enter(|guest| guest.report(index, outcome, latency_us, now_ms));
            }

            #[unsafe(no_mangle)]
            extern "C" fn lb_draws(at: u32, length: u32) -> i32 {
                GUEST.enter(|guest| guest.script(at as usize, length as usize))
            }
        };
    };
}
