//! Bytes that nobody meant: one harness, and a table of targets.
//!
//! A target takes any bytes, must neither panic nor take long, and says what became of them. Inputs are made from its
//! seeds and its corpus (`tests/fuzz/corpus/<target>/`) by a seeded mutation; one whose outcome was not seen before is
//! kept and mutated in its turn. Without the compiler's coverage, the outcome is what tells a new path from an old one.
//!
//! What the repository keeps of the inputs that grew is a few of every length; a run that grows finds more of them at once.
//!
//! An input that a target does not stand is written into its corpus, where it stays as a test.

mod member;
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use targets::TARGETS;

use crate::sample::Random;

/// Longest input, bytes.
const LONGEST: usize = 4_096;
/// Longest that one input may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Inputs that are kept and mutated, at most.
const KEPT: usize = 2_000;

/// Something that reads bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder.
    pub name: &'static str,
    /// Reads them; what became of them in a word or two, the same for the same path.
    pub read: fn(&[u8]) -> String,
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that its inputs are made of.
    pub words: &'static [&'static str],
}

/// What a run of a target came to.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Inputs read.
    pub inputs: u64,
    /// Different outcomes.
    pub outcomes: usize,
}

/// Where a target's inputs are.
#[must_use]
pub fn folder(target: &Target) -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.join("fuzz/corpus").join(target.name)
}

/// A target's seeds, and the inputs of its folder in the order of their names.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = (target.seeds)();
    // A target in which nothing was found yet has none.
    let entries = fs::read_dir(folder(target)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| fs::read(path).expect("an input can be read");
    inputs.extend(paths.iter().map(read));
    inputs
}

fn hash_of(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Writes an input into the corpus; its path.
fn keep(target: &Target, kind: &str, input: &[u8]) -> PathBuf {
    let folder = folder(target);
    let path = folder.join(format!("{kind}-{:016x}", hash_of(input)));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input));
    written.unwrap_or_else(|e| eprintln!("{}: {e}", path.display()));
    path
}

/// Reads one input.
///
/// # Panics
/// If the target does, or takes too long; the input is in the corpus then.
fn read(target: &Target, input: &[u8]) -> u64 {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.read)(input)));
    let took = began.elapsed();
    match outcome {
        Ok(outcome) if took < PATIENCE => hash_of(outcome),
        Ok(_) => {
            let path = keep(target, "found", input);
            panic!("{} took {took:?}: {}", target.name, path.display());
        }
        Err(panic) => {
            let path = keep(target, "found", input);
            eprintln!("{} panics: {}", target.name, path.display());
            std::panic::resume_unwind(panic);
        }
    }
}

/// Reads the whole corpus, then mutations of it. `grow` writes inputs with new outcomes into the corpus.
///
/// # Panics
/// If the target does.
#[must_use]
pub fn run(target: &Target, seed: u64, inputs: u64, grow: bool) -> Run {
    let mut kept = corpus(target);
    let mut seen: BTreeSet<u64> = kept.iter().map(|input| read(target, input)).collect();
    let mut random = Random::new(seed ^ hash_of(target.name));
    for _ in 0..inputs {
        let base = random.below(kept.len() as u64) as usize;
        let other = random.below(kept.len() as u64) as usize;
        let input = mutated(&kept[base], &kept[other], target.words, &mut random);
        if seen.insert(read(target, &input)) && kept.len() < KEPT {
            if grow {
                keep(target, "grown", &input);
            }
            kept.push(input);
        }
    }
    Run {
        inputs: inputs + kept.len() as u64,
        outcomes: seen.len(),
    }
}

/// A few small changes of an input.
fn mutated(input: &[u8], other: &[u8], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 + random.below(6) {
        let length = bytes.len() as u64;
        let at = random.below(length + 1) as usize;
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.any() as u8,
            2 if at < bytes.len() => {
                let interesting = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b'%', b'\n', 2, 1];
                bytes[at] = interesting[random.below(12) as usize];
            }
            3 => bytes.insert(at, random.any() as u8),
            4 if at < bytes.len() => {
                let end = at + 1 + random.below((bytes.len() - at) as u64) as usize;
                bytes.drain(at..end.min(at + 16));
            }
            5 => {
                // A piece once more.
                let end = (at + 1 + random.below(24) as usize).min(bytes.len());
                let piece = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, piece);
            }
            6 if !words.is_empty() => {
                let word = words[random.below(words.len() as u64) as usize];
                bytes.splice(at..at, word.bytes());
            }
            7 if !other.is_empty() => {
                let from = random.below(other.len() as u64) as usize;
                let to = (from + 1 + random.below(64) as usize).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            8 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
