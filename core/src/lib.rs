//! Every rule of Nacrite: a pure, deterministic core.
//!
//! Nothing here reads a clock, draws a random number, starts a thread, takes a lock or does I/O; time and randomness
//! are arguments, effects are [`node::output::Output`]s. The same inputs give the same outputs, natively and as wasm.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "node")]
pub mod ai;
#[cfg(feature = "node")]
pub mod api;
pub mod balance;
#[cfg(feature = "node")]
pub mod config;
#[cfg(feature = "node")]
pub mod encoding;
#[cfg(feature = "node")]
pub mod lock;
#[cfg(feature = "node")]
pub mod log;
#[cfg(feature = "node")]
pub mod lookup;
#[cfg(feature = "node")]
pub mod model;
#[cfg(feature = "node")]
pub mod namespaces;
#[cfg(feature = "node")]
pub mod naming;
#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "node")]
pub mod planted;
#[cfg(feature = "node")]
pub mod plugins;
#[cfg(feature = "node")]
pub mod policies;
#[cfg(feature = "node")]
pub mod push;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
#[cfg(feature = "node")]
pub mod view;
