//! The rules through the plugin ABI, by the host of plugins.

use std::time::Duration;

use nacrite_core::balance::{Context, Policy};
use nacrite_plugin::{Budget, Engine, Limits, Plugin, PluginRule};

use crate::Failure;
use crate::clock::measure;
use crate::subjects::{NOW_MS, STEP, balancer};

/// The module with the rules, in an engine whose instances have room for long lists.
pub(crate) fn plugin(module: &[u8]) -> Result<Plugin, Failure> {
    let limits = Limits {
        memory: 256 << 20,
        budget: Budget::Cpu {
            pick: Duration::from_secs(1),
            update: Duration::from_secs(10),
        },
        ..Limits::default()
    };
    Ok(Plugin::new(&Engine::new(&limits), "balance", module)?)
}

/// A pick by the host of plugins.
pub(crate) fn pick(plugin: &Plugin, policy: &Policy, count: u32) -> Result<f64, Failure> {
    let rule = PluginRule::new(plugin, &serde_json::to_string(policy)?)?;
    let balancer = balancer(policy.clone(), count)?;
    let (mut rand, mut key) = (1_u64, 0_u64);
    let mut once = || {
        rand = rand.wrapping_add(STEP);
        key ^= rand;
        let context = Context {
            key_hash: Some(key),
            ..Context::default()
        };
        let _pick = std::hint::black_box(rule.choose(&balancer, NOW_MS, rand, &context));
    };
    // The first hands the list over.
    once();
    let time = measure(once);
    match rule.status().last {
        None => Ok(time),
        Some(failure) => Err(failure.to_string().into()),
    }
}
