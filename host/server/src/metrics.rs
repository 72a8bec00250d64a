//! What the server counts of itself, and the text that Prometheus scrapes.

pub mod http;
mod text;
mod value;

pub use self::value::{Counter, Gauge, Histogram, LATENCY_MICROS, Timer};
