//! The core linked in against the core as wasm: an input by the size of its batches, and what it takes to keep and to
//! restore a large state.

use std::time::{Duration, Instant};

use nacrite::engine::{Batch, Core, Engine, EngineLimits};
use nacrite_core::node::{
    Node, NodeSettings,
    input::{Input, Now},
};
use nacrite_tests::differential::World;

use crate::Failure;

/// Name of the row.
pub(crate) const NAME: &str = "engines";
/// Sizes of batches of the core alone.
const BATCHES: [usize; 4] = [1, 8, 64, 256];
/// Inputs of the core alone.
const INPUTS: usize = 40_000;
const INSTANCES: u64 = 100_000;

/// Measures everything of this row; lines of text.
pub(crate) fn measure() -> Result<String, Failure> {
    let mut lines = vec![String::new()];
    lines.extend(alone()?);
    lines.push(state()?);
    Ok(lines.join("\n  * "))
}

/// A seeded world's inputs, as they would come.
fn inputs(batch: usize) -> Vec<Vec<(Now, Input)>> {
    let mut world = World::new(7);
    let mut node = Node::new(&NodeSettings::default());
    let (mut all, mut done, mut next) = (Vec::new(), 0, world.start());
    while done < INPUTS {
        done += next.len();
        for (now, input) in &next {
            node.handle(*now, input.clone());
        }
        let outputs: Vec<_> = std::iter::from_fn(|| node.poll()).collect();
        world.follow(&outputs, node.deadline());
        all.push(std::mem::replace(&mut next, world.batch(batch)));
    }
    all
}

/// Time of all batches in an engine; each is timed from its values to its outputs.
fn run(core: &Core, batches: &[Vec<(Now, Input)>]) -> Result<(Duration, Duration), Failure> {
    let mut engine = core.start(&NodeSettings::default())?;
    let mut times = Vec::with_capacity(batches.len());
    let mut all = Duration::ZERO;
    for inputs in batches {
        let inputs = inputs.clone();
        let began = Instant::now();
        let outputs = engine.batch(&mut Batch::new(inputs))?;
        let took = began.elapsed();
        drop(outputs);
        all += took;
        times.push(took);
    }
    times.sort_unstable();
    Ok((all, times[times.len() / 2]))
}

fn alone() -> Result<Vec<String>, Failure> {
    let wasm = Core::embedded(EngineLimits::default())?;
    let mut lines = Vec::new();
    for size in BATCHES {
        let batches = inputs(size);
        // The better of three, in turns.
        let mut best = [(Duration::MAX, Duration::MAX); 2];
        for _ in 0..3 {
            for (core, best) in [&Core::Native, &wasm].into_iter().zip(&mut best) {
                *best = run(core, &batches)?.min(*best);
            }
        }
        let each = |all: Duration| all.as_secs_f64() * 1e6 / INPUTS as f64;
        let (native, wasm) = (each(best[0].0), each(best[1].0));
        lines.push(format!(
            "core alone, batches of {size}: native {native:.2} µs an input, wasm {wasm:.2} ({:.2} ×); a batch {:?} and {:?} \
             (median)",
            wasm / native,
            best[0].1,
            best[1].1,
        ));
    }
    Ok(lines)
}

/// Checkpoint and restore of a large state.
fn state() -> Result<String, Failure> {
    let mut text = format!("state of {INSTANCES} instances:");
    for core in [Core::Native, Core::embedded(EngineLimits::default())?] {
        let mut engine = core.start(&NodeSettings::default())?;
        fill(&mut *engine)?;
        let began = Instant::now();
        let snapshot = engine.snapshot()?;
        let took = began.elapsed();
        let began = Instant::now();
        let _again = core.restore(&snapshot)?;
        text += &format!(
            " {} {:.1} MiB taken in {took:?}, restored in {:?};",
            core.name(),
            snapshot.len() as f64 / f64::from(1 << 20),
            began.elapsed()
        );
    }
    Ok(text)
}

fn fill(engine: &mut dyn Engine) -> Result<(), Failure> {
    use nacrite_core::{
        model::{Instance, InstanceKey, Metadata, ServiceKey, Weight},
        node::{input::Origin, op::Op},
    };
    let now = Now { mono: 1, wall: 1 };
    engine.batch(&mut Batch::new(vec![(now, Input::Ready)]))?;
    for first in (0..INSTANCES).step_by(250) {
        let batch = (first..first + 250).map(|n| {
            let host = format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
            let instance = Instance {
                key: InstanceKey::new(&host, 8_080, ""),
                weight: Weight::default(),
                healthy: true,
                enabled: true,
                ephemeral: true,
                metadata: Metadata::from_iter([
                    ("zone", "a".to_owned()),
                    ("version", "1.2.3".to_owned()),
                ]),
                instance_id: "".into(),
            };
            let op = Op::Register {
                service: ServiceKey::new("", "DEFAULT_GROUP", &format!("service-{}", n % 1_000)),
                instance,
            };
            let origin = Origin {
                ip: host.into(),
                ..Origin::default()
            };
            (
                now,
                Input::Request {
                    id: n + 1,
                    origin,
                    op,
                },
            )
        });
        engine.batch(&mut Batch::new(batch.collect()))?;
    }
    Ok(())
}
