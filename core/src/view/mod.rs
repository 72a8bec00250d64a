//! The read side: what answers every query, list and search, fed by the node's deltas.
//!
//! A view is 64 shards of plain ordered structures whose values are shared. The host keeps each shard behind a lock of
//! its own; tests and the browser keep them bare. Readers take the shared values out and render outside.

mod delta;
mod reading;
mod service;
mod shard;

pub use delta::{CapacityItem, Delta, InstanceChange, NamespaceItem, ServiceState};
pub use reading::{ConfigFilter, Page, Reading, ServiceFilter, Shards, TextFilter};
pub use service::{RenderedHosts, ServiceView};
pub use shard::{SHARDS, Settled, Shard, shard_of_config, shard_of_service};
