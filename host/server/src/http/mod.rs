//! HTTP: connections and their limits.

pub mod accept;
pub mod limits;
pub mod longurl;
