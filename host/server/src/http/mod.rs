//! HTTP: connections and their limits, and from a request to its answer.

pub mod accept;
pub mod cors;
pub mod handler;
pub mod limits;
pub mod longurl;
mod multipart;
