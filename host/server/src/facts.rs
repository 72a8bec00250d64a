//! What answers say of this server and its machine.

use std::{fs, sync::Arc};

use nacrite_core::api::{Compat, ServerFacts};

use crate::settings::{self, Settings};

/// The facts at start.
#[must_use]
pub(crate) fn facts(settings: &Settings) -> ServerFacts {
    let bind = settings.server.bind;
    let ip = if bind.is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        bind.to_string()
    };
    let capacity = &settings.capacity;
    ServerFacts {
        compat: match settings.server.compat {
            settings::Compat::All => Compat::All,
            settings::Compat::Two => Compat::V2,
            settings::Compat::Three => Compat::V3,
        },
        version: env!("CARGO_PKG_VERSION").into(),
        ip: ip.into(),
        port: settings.server.port,
        standalone: true,
        max_content: settings.config.max_content,
        max_plugin: settings.plugins.max_module.bytes(),
        capacity_check: capacity.is_capacity_limit_check,
        quotas: [
            capacity.default_cluster_quota,
            capacity.default_group_quota,
            capacity.default_tenant_quota,
        ],
        max_size: u32::try_from(capacity.default_max_size.bytes()).unwrap_or(u32::MAX),
        retention_days: settings.config.history_retention_days,
        max_poll_keys: settings.poll.max_keys,
        load: 0.0,
        cpu: 0.0,
        mem: 0.0,
    }
}

/// Load of the machine, read from the system; zeros where it does not say.
#[derive(Default)]
pub(crate) struct Machine {
    /// Busy and all ticks of the processors, at the last look.
    ticks: (u64, u64),
}

impl Machine {
    /// The facts with the machine's load as it is now.
    pub(crate) fn look(&mut self, facts: &ServerFacts) -> Arc<ServerFacts> {
        let mut facts = facts.clone();
        facts.load =
            read("/proc/loadavg", |text| text.split(' ').next()?.parse().ok()).unwrap_or_default();
        facts.mem = read("/proc/meminfo", memory_in_use).unwrap_or_default();
        if let Some(ticks) = read("/proc/stat", processor_ticks) {
            let (busy, all) = (
                ticks.0.saturating_sub(self.ticks.0),
                ticks.1.saturating_sub(self.ticks.1),
            );
            self.ticks = ticks;
            facts.cpu = share(busy, all);
        }
        Arc::new(facts)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more than a few digits"
)]
fn share(part: u64, whole: u64) -> f32 {
    if whole == 0 {
        0.0
    } else {
        (part as f64 / whole as f64) as f32
    }
}

fn read<T>(path: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    parse(&fs::read_to_string(path).ok()?)
}

fn memory_in_use(text: &str) -> Option<f32> {
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let (all, free) = (field("MemTotal:")?, field("MemAvailable:")?);
    Some(share(all.saturating_sub(free), all))
}

fn processor_ticks(text: &str) -> Option<(u64, u64)> {
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|f| f.parse().ok())
        .collect();
    let idle = fields.get(3)? + fields.get(4)?;
    let all: u64 = fields.iter().sum();
    Some((all - idle, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_read() {
        assert_eq!(
            processor_ticks("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 …"),
            Some((20, 100))
        );
        assert_eq!(
            memory_in_use("MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable: 25 kB\n"),
            Some(0.75)
        );
        assert_eq!(processor_ticks("nothing"), None);
    }
}
