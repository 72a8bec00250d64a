//! gRPC for 2.x and 3.x clients: bytes and connections. What a request means is `core::api::grpc`'s.
//!
//! A client's unary calls and its stream share one transport and are joined by it; a transport that ends is told to the
//! core at once. A push is encoded and framed once a wave; all its recipients share the bytes.

mod accept;
mod connection;
mod connections;
mod liveness;
mod messages;
mod service;
mod task;

pub use accept::{GrpcLimits, bind, request_types, serve};
pub use connections::Connections;
