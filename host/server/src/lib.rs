//! The server: sockets, timers, threads and files around the core.

pub mod admin;
pub mod admission;
pub mod check;
pub mod cli;
pub mod contents;
pub mod drive;
pub mod edges;
pub mod engine;
mod exchange;
mod facts;
pub mod fatal;
pub mod grpc;
pub mod http;
mod labels;
pub mod logs;
pub mod metrics;
pub mod open;
pub mod plans;
pub mod plugins;
pub mod probes;
pub mod record;
pub mod serve;
pub mod settings;
pub mod udp;
pub mod views;
pub mod writers;
