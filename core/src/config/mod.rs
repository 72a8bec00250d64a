//! Configs: what is published and who waits for it.
//!
//! [`Configs`] is durable: a function of the log, mirrored to rows. [`Watchers`] is volatile: parked polls and the
//! listens of connections. Contents are not here; a version names its content by log index.

mod capacity;
mod configs;
mod gray;
mod row;
mod slots;
mod version;
mod watchers;

pub use capacity::Quotas;
pub use configs::{ConfigChanged, Configs};
pub use gray::{Effective, MAX_GRAYS, effective, effective_md5, effective_tagged};
pub use row::{
    CapacityRow, ConfigRow, HistoryOp, HistoryRow, capacity_key, config_key, config_prefix,
    history_key, history_prefix, history_time_key, read_capacity_key, read_config_key,
    read_history_key, read_history_time_key,
};
pub use watchers::{WAKES_PER_INPUT, WatchLimits, Watchers};
