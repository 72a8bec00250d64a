//! The server: sockets, timers, threads and files around the core.

pub mod http;
pub mod metrics;
