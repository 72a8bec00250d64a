//! The server: sockets, timers, threads and files around the core.

pub mod cli;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod settings;
