//! Small WebAssembly modules around the core, one a feature: `engine` is the server's wasm engine,
//! `balance` the balancing rules as a plugin.
//!
//! Nothing here has rules of its own: it moves bytes between a host and `nacrite-core`. Natively only what the modules
//! do is compiled, for its tests; what they export exists for wasm alone.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

#[cfg(feature = "balance")]
pub mod balance;
#[cfg(feature = "engine")]
pub mod engine;

#[cfg(target_family = "wasm")]
mod runtime;
