//! Load balancing: which instance a call goes to.
pub mod candidate;
pub mod hash;
pub mod names;
pub mod policy;
pub mod properties;
pub mod rng;
pub mod stats;
