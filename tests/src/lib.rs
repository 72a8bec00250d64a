//! What the tests share: a real server process, a client for it, one member on a simulated disk, the size of a run.
//! The tests themselves are in `tests/`, one program a stage of `cargo xtask test`; what must hold is said there.

pub mod bodies;
pub mod built;
pub mod differential;
pub mod engine;
pub mod flood;
pub mod fuzz;
pub mod grpc;
pub mod http;
pub mod member;
pub mod requests;
pub mod sample;
pub mod server;
pub mod simulated;
pub mod way;
pub mod wire;
