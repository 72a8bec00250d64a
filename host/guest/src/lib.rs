//! The engine module in wasmtime: what `nacrite_wasm::engine` exports, called from a host.
//!
//! [`Code`] is the compiled module, [`Guest`] one instance of it. The module has no imports and no WASI; its memory is
//! limited, and so is the CPU time of each call. Bytes go in and come out: what they mean is the caller's.
//!
//! A crate of its own, because three programs need it and must compile modules with the very same settings: the server,
//! the tests, and the example `precompile`, which makes what the server embeds.

mod code;
mod image;
mod instance;

pub use code::{Code, CodeError, precompile};
pub use image::Image;
pub use instance::{Fault, Guest, Limits, Refused};
