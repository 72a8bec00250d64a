//! What happened in a run: a hash always, words when asked for.

use alloc::{collections::VecDeque, format, string::String, vec::Vec};
use core::fmt::Debug;

use serde::Serialize;

/// Lines that are kept.
const LINES: usize = 200;
/// Characters of one.
const WIDTH: usize = 700;

/// The trace of a run.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    steps: u64,
    /// None unless words are wanted.
    lines: Option<VecDeque<String>>,
}

impl Trace {
    pub(super) fn new(words: bool) -> Self {
        Self {
            // FNV-1a's offset basis; its prime is below.
            hash: 0xcbf2_9ce4_8422_2325,
            steps: 0,
            lines: words.then(VecDeque::new),
        }
    }

    /// Takes in a step.
    pub(super) fn note<T: Serialize + Debug>(&mut self, at: u64, what: &str, of: &T) {
        self.steps += 1;
        let bytes = postcard::to_allocvec(&(at, what, of));
        for byte in bytes.expect("a vector takes any value that can be serialised") {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES {
                lines.pop_front();
            }
            let mut line = format!("{at:>8} {what}: {of:?}");
            // Contents are long, and their beginnings tell them apart.
            if let Some((cut, _)) = line.char_indices().nth(WIDTH) {
                line.truncate(cut);
            }
            lines.push_back(line);
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().flatten().cloned().collect()
    }
}
