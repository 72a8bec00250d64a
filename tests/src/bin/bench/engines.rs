//! The core linked in against the core as wasm, and against a server that records: whole requests; an input of the core
//! alone by the size of its batches; start-up and memory; what it takes to keep and to restore a large state.

use std::path::Path;
use std::time::{Duration, Instant};

use nacrite::engine::{Batch, Core, Engine, EngineLimits, Image};
use nacrite_core::node::{
    Node, NodeSettings,
    input::{Input, Now},
};
use nacrite_tests::differential::World;
use nacrite_tests::server::memory;

use crate::{
    Effort, Failure,
    memory::mib,
    process::Served,
    rows,
    table::{Measured, judged},
};

/// Name of the row.
pub(crate) const NAME: &str = "engines";
/// Sizes of batches of the core alone.
const BATCHES: [usize; 4] = [1, 8, 64, 256];
/// Inputs of the core alone.
const INPUTS: usize = 40_000;
const INSTANCES: u64 = 100_000;

/// Rows of whole requests: what is written, then what is read.
const WRITES: [&str; 3] = ["publish-32", "register", "beat"];
const READS: [&str; 2] = ["config-read-hot", "list-10"];
/// A request on wasm may take so many times the CPU it takes natively, and an input of the core alone.
const WHOLE: f64 = 1.2;
const ALONE: f64 = 2.2;
/// A server that records may answer so many times fewer requests.
const RECORDED: f64 = 1.05;
const STARTS: usize = 20;
const START: Duration = Duration::from_millis(60);

/// Measures everything of this row; lines of text.
pub(crate) async fn measure(program: &Path, effort: Effort) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for row in WRITES.into_iter().chain(READS) {
        lines.push(whole(row, program, effort).await?);
    }
    lines.push(starts(program).await?);
    lines.extend(alone()?);
    lines.push(state()?);
    Ok(lines)
}

/// A row on the three servers.
async fn whole(row: &str, program: &Path, effort: Effort) -> Result<String, Failure> {
    let recording = tempfile::tempdir_in(program.parent().unwrap_or(Path::new(".")))?;
    let folder = recording.path().display().to_string();
    let servers = [
        Served::start(program).await?,
        Served::start_with(program, &["--engine", "wasm"]).await?,
        Served::start_with(program, &["--record", &folder]).await?,
    ];
    let best = rows::compare(row, &servers, effort).await?;
    let [native, wasm, recorded] = &best[..] else {
        return Err("a server was not measured".into());
    };
    let cpu = |measured: &Measured| measured.cpu.unwrap_or(f64::NAN);
    let ratio = cpu(wasm) / cpu(native);
    let slower = native.rate / recorded.rate;
    Ok(format!(
        "engines, {row}: native {:.1} µs of CPU a request, wasm {:.1} ({ratio:.2} ×; target {WHOLE}: {}); p50 {} and {} µs, \
         p99 {} and {} µs; recording {:.1} µs ({:.2} ×), {slower:.2} × fewer answers a second (target {RECORDED}: {})",
        cpu(native),
        cpu(wasm),
        judged(ratio <= WHOLE),
        native.p50,
        wasm.p50,
        native.p99,
        wasm.p99,
        cpu(recorded),
        cpu(recorded) / cpu(native),
        judged(slower <= RECORDED),
    ))
}

/// Starts on empty data, in turns, and the memory of a server that has just started.
async fn starts(program: &Path) -> Result<String, Failure> {
    let (mut times, mut resident) = ([Vec::new(), Vec::new()], [0, 0]);
    for _ in 0..STARTS {
        for (n, engine) in ["native", "wasm"].into_iter().enumerate() {
            let began = Instant::now();
            let served = Served::start_with(program, &["--engine", engine]).await?;
            times[n].push(began.elapsed());
            resident[n] = memory(served.pid())?.1;
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    let [native, wasm] = times.map(|times| times[STARTS / 2]);
    Ok(format!(
        "engines, start-up: native {native:.1?}, wasm {wasm:.1?} (median of {STARTS}; target {START:?}: {}); memory then \
         {:.1} and {:.1} MiB resident",
        judged(wasm <= START),
        mib(resident[0]),
        mib(resident[1]),
    ))
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
            "engines, core alone, batches of {size}: native {native:.2} µs an input, wasm {wasm:.2} ({:.2} ×; target {ALONE}: \
             {}); a batch {:?} and {:?} (median)",
            wasm / native,
            judged(wasm <= ALONE * native),
            best[0].1,
            best[1].1,
        ));
    }
    Ok(lines)
}

/// Checkpoint and restore of a large state.
fn state() -> Result<String, Failure> {
    let mut text = format!("engines, state of {INSTANCES} instances:");
    for core in [Core::Native, Core::embedded(EngineLimits::default())?] {
        let mut engine = core.start(&NodeSettings::default())?;
        fill(&mut *engine)?;
        let began = Instant::now();
        let snapshot = engine.snapshot()?;
        let took = began.elapsed();
        let began = Instant::now();
        let _again = core.restore(&snapshot)?;
        text += &format!(
            " {} a snapshot of {:.1} MiB taken in {took:.1?}, restored in {:.1?};",
            core.name(),
            mib(snapshot.len() as u64),
            began.elapsed()
        );
        let began = Instant::now();
        let image = engine.image(None);
        let first = began.elapsed();
        let size = match &image {
            Image::Node(_) => String::new(),
            Image::Memory(memory) => format!(" of {:.1} MiB", mib(memory.bytes() as u64)),
        };
        let began = Instant::now();
        let image = engine.image(Some(image));
        let next = began.elapsed();
        let began = Instant::now();
        let _again = core.of_image(&image)?;
        text += &format!(
            " an image{size} taken in {first:.1?}, over an older one in {next:.1?}, restored in {:.1?};",
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
