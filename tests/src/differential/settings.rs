//! Settings under which limits are reached within a few thousand inputs.

use nacrite_core::{
    config::{Quotas, WatchLimits},
    node::NodeSettings,
    push::PushLimits,
};

/// Of a seed: every second one enforces quotas.
#[must_use]
pub fn settings(seed: u64) -> NodeSettings {
    NodeSettings {
        seed,
        quotas: (seed % 2 == 1).then_some(Quotas {
            cluster: 11,
            group: 5,
            namespace: 5,
            max_size: 2_000,
        }),
        watch: WatchLimits {
            polls: 30,
            keys_per_poll: 6,
            poll_keys: 90,
            poll_wait_ms: 20_000,
            listens_per_connection: 12,
        },
        push: PushLimits {
            fuzzy_patterns: 4,
            fuzzy_matches: 8,
            naming_batch: 2,
            config_batch: 2,
            config_attempts: 3,
            ..PushLimits::default()
        },
        retention_days: 1,
        max_locks: 6,
        max_namespaces: 6,
    }
}
