//! gRPC for 2.x and 3.x clients: bytes and connections. What a request means is `core::api::grpc`'s.
//!
//! A client's unary calls and its stream share one transport and are joined by it; a transport that ends is told to the
//! core at once. What goes out is encoded once a wave and shared by all its recipients.

mod accept;
mod connection;
mod connections;
mod liveness;
mod service;

pub use accept::{GrpcLimits, bind, request_types, serve};
pub use connections::Connections;
