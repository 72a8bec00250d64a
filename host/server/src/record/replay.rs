//! `nacrite replay FILE`: makes what was recorded happen again, in one engine or in two that are compared.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nacrite_core::{
    node::{
        input::{Input, Now},
        output::Output,
    },
    view::Delta,
};

use super::{Frame, Reader};
use crate::engine::{Batch, Core, Engine, EngineLimits};

/// How to replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The recording's file.
    pub file: PathBuf,
    /// `native`, `wasm`, or a module's file.
    pub engine: String,
    /// Another engine whose outputs must be the same.
    pub diff: Option<String>,
    /// Print every output.
    pub outputs: bool,
    /// So many times as fast as it was; as fast as it can if none.
    pub speed: Option<f64>,
    /// Stop before the first input at or after this wall clock, milliseconds since 1970.
    pub until: Option<u64>,
    /// Stop after the batch that changes this: `config:NAMESPACE/GROUP/DATAID` or `service:NAMESPACE/GROUP/NAME`.
    pub until_key: Option<String>,
}

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Batches handled.
    pub batches: u64,
    /// Inputs handled.
    pub inputs: u64,
    /// Outputs that came.
    pub outputs: u64,
    /// Why it ended before the end of the recording.
    pub stopped: Option<String>,
    /// The first difference between two engines.
    pub difference: Option<String>,
}

/// A core by what the command line calls it.
///
/// # Errors
/// Why there is none.
pub fn core_named(name: &str, limits: EngineLimits) -> Result<Core, String> {
    match name {
        "native" => Ok(Core::Native),
        "wasm" => Core::embedded(limits).map_err(|e| e.to_string()),
        file => Core::file(file.as_ref(), limits).map_err(|e| e.to_string()),
    }
}

struct Side {
    name: String,
    engine: Box<dyn Engine>,
}

/// Replays; lines go to `print`.
///
/// # Errors
/// What keeps it from being replayed.
pub fn replay(asked: &Replay, print: &mut dyn FnMut(&str)) -> Result<Replayed, String> {
    let mut reader = Reader::open(&asked.file).map_err(|e| e.to_string())?;
    let mut sides = Vec::new();
    for name in std::iter::once(&asked.engine).chain(&asked.diff) {
        let core = core_named(name, EngineLimits::default())?;
        let engine = core
            .restore(reader.state())
            .map_err(|e| format!("{name}: {e}"))?;
        sides.push(Side {
            name: name.clone(),
            engine,
        });
    }
    let (began, first) = (Instant::now(), reader.begins());
    let mut done = Replayed::default();
    let mut next = reader.frame().map_err(|e| e.to_string())?;
    while let Some(frame) = next {
        // Known before the batch is handled: whether it was undone.
        let following = reader.frame();
        let inputs = match frame {
            Frame::Batch(inputs) => inputs,
            Frame::Gap(missing) => {
                done.stopped = Some(format!("at least {missing} batches are missing here"));
                break;
            }
            Frame::Fault(text) => {
                print(&format!(
                    "the engine failed at the batch before, which was undone: {text}"
                ));
                next = following.map_err(|e| e.to_string())?;
                continue;
            }
            Frame::State(_) | Frame::Begins(_) => return Err("a second state".to_owned()),
        };
        if let Some((now, _)) = inputs.first() {
            if asked.until.is_some_and(|until| now.wall >= until) {
                done.stopped = Some(format!("at {}", now.wall));
                break;
            }
            wait(asked.speed, first, *now, began);
        }
        let undone = matches!(following, Ok(Some(Frame::Fault(_))));
        if !undone && !step(asked, &mut sides, inputs, &mut done, print)? {
            break;
        }
        match following {
            Ok(frame) => next = frame,
            // What a crash has cut off is no damage: everything before it was replayed.
            Err(error @ super::FrameError::CutOff(_)) => {
                done.stopped = Some(error.to_string());
                break;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    if done.difference.is_none() {
        done.difference = states_differ(&mut sides)?;
    }
    Ok(done)
}

fn wait(speed: Option<f64>, first: Now, now: Now, began: Instant) {
    let Some(speed) = speed.filter(|speed| *speed > 0.0) else {
        return;
    };
    let since = Duration::from_millis(now.mono.saturating_sub(first.mono));
    let due = began + since.div_f64(speed);
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// One batch on every side; whether to go on.
fn step(
    asked: &Replay,
    sides: &mut [Side],
    inputs: Vec<(Now, Input)>,
    done: &mut Replayed,
    print: &mut dyn FnMut(&str),
) -> Result<bool, String> {
    let at = done.batches;
    done.batches += 1;
    done.inputs += inputs.len() as u64;
    let mut outcomes: Vec<Result<Vec<Output>, String>> = Vec::new();
    let last = sides.len() - 1;
    let mut inputs = Some(inputs);
    for (n, side) in sides.iter_mut().enumerate() {
        let given = if n == last {
            inputs.take()
        } else {
            inputs.clone()
        };
        let mut batch = Batch::new(given.unwrap_or_default());
        outcomes.push(side.engine.batch(&mut batch).map_err(|f| f.to_string()));
    }
    if let [one, other] = &outcomes[..]
        && let Some(difference) = differ(one, other)
    {
        let names = format!("{} and {}", sides[0].name, sides[1].name);
        done.difference = Some(format!("batch {at}: {names}: {difference}"));
        return Ok(false);
    }
    let outputs = match &outcomes[0] {
        Ok(outputs) => outputs,
        Err(fault) => {
            done.stopped = Some(format!("{} failed at batch {at}: {fault}", sides[0].name));
            return Ok(false);
        }
    };
    done.outputs += outputs.len() as u64;
    if asked.outputs {
        for output in outputs {
            print(&format!("{at} {output:?}"));
        }
    }
    if let Some(key) = &asked.until_key
        && let Some(delta) = outputs.iter().find_map(|o| changes(o, key))
    {
        done.stopped = Some(format!("batch {at} changes it: {delta:?}"));
        return Ok(false);
    }
    Ok(true)
}

/// The first difference between what two engines made of a batch.
pub(crate) fn differ(
    one: &Result<Vec<Output>, String>,
    other: &Result<Vec<Output>, String>,
) -> Option<String> {
    let (one, other) = match (one, other) {
        (Ok(one), Ok(other)) => (one, other),
        (one, other) if one == other => return None,
        (one, other) => {
            let said = |side: &Result<Vec<Output>, String>| match side {
                Ok(outputs) => format!("{} outputs", outputs.len()),
                Err(fault) => format!("failed: {fault}"),
            };
            return Some(format!("{} against {}", said(one), said(other)));
        }
    };
    let at = one.iter().zip(other).position(|(a, b)| a != b);
    let at = at.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))?;
    let mut text = format!("output {at}: ");
    for (n, side) in [one, other].into_iter().enumerate() {
        let between = if n == 0 { "" } else { " against " };
        match side.get(at) {
            Some(output) => write!(text, "{between}{output:?}"),
            None => write!(text, "{between}none"),
        }
        .expect("a string takes any text");
    }
    Some(text)
}

fn states_differ(sides: &mut [Side]) -> Result<Option<String>, String> {
    let mut states = Vec::new();
    for side in sides.iter_mut() {
        match side.engine.snapshot() {
            Ok(state) => states.push(state),
            // An engine that has failed has none.
            Err(_) => return Ok(None),
        }
    }
    let equal = states.windows(2).all(|pair| pair[0] == pair[1]);
    Ok((!equal).then(|| "the states at the end differ".to_owned()))
}

fn changes<'a>(output: &'a Output, wanted: &str) -> Option<&'a Delta> {
    let Output::View(delta) = output else {
        return None;
    };
    let key = match delta {
        Delta::Config { key, .. } => {
            format!("config:{}/{}/{}", key.namespace, key.group, key.data_id)
        }
        Delta::Service { key, .. } => {
            format!("service:{}/{}/{}", key.namespace, key.group, key.name)
        }
        _ => return None,
    };
    (key == wanted).then_some(delta)
}
