//! Acceptance: what a plugin must get through before it is published.

use std::time::{Duration, Instant};

use nacrite_balance_plugin::choose;
use nacrite_balance_plugin::table::{Instance as Row, flags};
use nacrite_core::balance::SplitMix64;

use crate::failure::{Failure, Refused};
use crate::instance::Instance;
use crate::module::Plugin;
use crate::snapshot::Snapshot;

/// One of the built-in scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it is about.
    pub name: &'static str,
    /// Instances of its list.
    instances: u32,
    /// Every this many instances one is out of service; 0 = none.
    down: u32,
    /// Zones that the instances are spread over.
    zones: u32,
}

/// Picks of each scenario.
const PICKS: u32 = 500;
/// Lists of a thousand that are handed over one after the other, more than a plugin's memory has room for by default: who keeps the
/// old ones would be suspended after some hours of a service that changes.
const LISTS: u64 = 64;

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "an empty list",
        instances: 0,
        down: 0,
        zones: 1,
    },
    Scenario {
        name: "one instance",
        instances: 1,
        down: 0,
        zones: 1,
    },
    Scenario {
        name: "three instances, one zone",
        instances: 3,
        down: 0,
        zones: 1,
    },
    Scenario {
        name: "ten instances, three zones, every third down",
        instances: 10,
        down: 3,
        zones: 3,
    },
    Scenario {
        name: "every instance down",
        instances: 5,
        down: 1,
        zones: 2,
    },
    Scenario {
        name: "a thousand instances",
        instances: 1000,
        down: 10,
        zones: 3,
    },
    Scenario {
        name: "the list shrinks again",
        instances: 2,
        down: 0,
        zones: 1,
    },
];

/// What the acceptance of a plugin found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Scenarios that were run.
    pub scenarios: usize,
    /// Time of a pick among ten instances, with the call.
    pub pick_of_10: Duration,
    /// Time of a pick among a thousand.
    pub pick_of_1000: Duration,
    /// Time to take over a list of a thousand.
    pub update_of_1000: Duration,
}

/// Instances as a service has them: labels, weights, requests under way.
fn rows<'a>(scenario: &Scenario, ids: &'a [String]) -> Vec<Row<'a>> {
    const ZONES: [&str; 3] = ["za", "zb", "zc"];
    (0..scenario.instances)
        .zip(ids)
        .map(|(n, id)| {
            let down = scenario.down > 0 && n % scenario.down == 0;
            Row {
                id_hash: u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                weight: f64::from(1 + n % 3),
                zone: ZONES[(n % scenario.zones) as usize],
                cluster: "DEFAULT",
                flags: if down {
                    flags::SERVING & !flags::HEALTHY
                } else {
                    flags::SERVING
                } | flags::COUNTED,
                active: n % 5,
                ewma_us: 1000.0 * (1 + n % 7) as f32,
                metadata: vec![("version", "v1"), ("cpu", "50")],
                ..Row::new(id)
            }
        })
        .collect()
}

fn run(
    instance: &mut Instance,
    scenario: &Scenario,
    ids: &[String],
    epoch: u64,
) -> Result<(), Failure> {
    let mut rand = SplitMix64::new(epoch);
    instance.update(&Snapshot::from_rows(&rows(scenario, ids), epoch))?;
    for n in 0..PICKS {
        let now_ms = 1_000_000 + epoch * 10_000 + u64::from(n);
        let bits = if n % 2 == 0 { choose::KEY } else { 0 };
        let chosen = instance.choose(rand.next_u64(), rand.next_u64(), now_ms, bits)?;
        if let crate::instance::Chosen::Index(index) = chosen {
            instance.start(index, now_ms)?;
            instance.report(index, (n % 5) as i32, u64::from(n) * 10, now_ms)?;
        }
    }
    Ok(())
}

/// Time of a pick: the median of a few runs.
fn time_of_pick(
    instance: &mut Instance,
    rows: &[Row<'_>],
    epoch: u64,
) -> Result<Duration, Failure> {
    const RUNS: usize = 5;
    const CALLS: u32 = 2000;
    instance.update(&Snapshot::from_rows(rows, epoch))?;
    let mut times = [Duration::ZERO; RUNS];
    for time in &mut times {
        let mut rand = SplitMix64::new(epoch);
        let began = Instant::now();
        for n in 0..CALLS {
            instance.choose(
                rand.next_u64(),
                rand.next_u64(),
                2_000_000 + u64::from(n / 100),
                choose::KEY,
            )?;
        }
        *time = began.elapsed() / CALLS;
    }
    times.sort_unstable();
    Ok(times[RUNS / 2])
}

/// Tries a plugin with its configuration: the built-in scenarios within the limits, then how long a pick takes.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(plugin: &Plugin, config: &str) -> Result<Checked, Refused> {
    let ids: Vec<String> = (0..1000)
        .map(|n| format!("10.0.{}.{}:8080", n / 256, n % 256))
        .collect();
    let mut instance = Instance::new(plugin, config)?;
    for (epoch, scenario) in (1..).zip(SCENARIOS) {
        run(&mut instance, scenario, &ids, epoch).map_err(|failure| Refused::Failed {
            during: format!("scenario \"{}\"", scenario.name),
            failure,
        })?;
    }
    let timing = |failure| Refused::Failed {
        during: "timing".to_owned(),
        failure,
    };
    let ten = Scenario {
        name: "",
        instances: 10,
        down: 0,
        zones: 3,
    };
    let thousand = Scenario {
        instances: 1000,
        ..ten
    };
    let (ten, thousand) = (rows(&ten, &ids), rows(&thousand, &ids));
    for list in 1..=LISTS {
        let snapshot = Snapshot::from_rows(&thousand, 100 + list);
        instance
            .update(&snapshot)
            .map_err(|failure| Refused::Failed {
                during: format!("list {list} of a thousand instances"),
                failure,
            })?;
    }
    let pick_of_10 = time_of_pick(&mut instance, &ten, 1001).map_err(timing)?;
    let pick_of_1000 = time_of_pick(&mut instance, &thousand, 1002).map_err(timing)?;
    let snapshot = Snapshot::from_rows(&thousand, 1003);
    let began = Instant::now();
    instance.update(&snapshot).map_err(timing)?;
    Ok(Checked {
        scenarios: SCENARIOS.len(),
        pick_of_10,
        pick_of_1000,
        update_of_1000: began.elapsed(),
    })
}
