//! Every rule of Nacrite: a pure, deterministic core.
//!
//! Nothing here reads a clock, draws a random number, starts a thread, takes a lock or does I/O; time and randomness
//! are arguments, effects are [`node::output::Output`]s. The same inputs give the same outputs, natively and as wasm.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod ai;
pub mod api;
pub mod balance;
pub mod config;
pub mod lock;
pub mod log;
pub mod lookup;
pub mod model;
pub mod namespaces;
pub mod naming;
pub mod node;
pub mod planted;
pub mod policies;
pub mod push;
#[cfg(feature = "sim")]
pub mod sim;
pub mod view;
