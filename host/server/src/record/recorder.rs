//! Writes a recording while the server runs, and never makes it wait.
//!
//! The drive appends frames to a bounded buffer; a thread takes what is there a few times a second and writes it. When
//! the buffer is full, the recording has a gap that it marks, and goes on in a new file with a state of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::time::{Duration, Instant};

use nacrite_core::node::{
    Node,
    input::{Input, Now},
};

use super::format::{Encoder, head};
use crate::engine::{Base, Journal};

/// How often the writer looks.
const EVERY: Duration = Duration::from_millis(100);
/// How long after a gap the recording begins again.
const AFTER_GAP: Duration = Duration::from_secs(10);
/// Files of faults that are kept.
const FAULT_FILES: usize = 8;

/// Where and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderSettings {
    /// Folder; made if it is missing.
    pub folder: PathBuf,
    /// Bytes after which a new file begins.
    pub file_bytes: u64,
    /// Time after which a new file begins.
    pub file_age: Duration,
    /// Files that are kept; the oldest goes first.
    pub files: usize,
    /// Bytes that may wait for the writer.
    pub buffer: usize,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    stop: AtomicBool,
    /// The writer has written so much that a new file should begin.
    full: AtomicBool,
    /// Batches that were not recorded.
    missing: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    frames: Vec<u8>,
    /// Whole states, at their place among the frames: written as a new file from there on.
    begins: Option<(usize, Base, Now)>,
}

/// The drive's side.
pub struct Recorder {
    shared: Arc<Shared>,
    encoder: Encoder,
    buffer: usize,
    file_age: Duration,
    began: Instant,
    /// Batches that are missing since the buffer was full; nothing is recorded until a new file begins.
    gap: Option<(u64, Instant)>,
    /// Nothing is recorded before the first state.
    begun: bool,
    writer: Option<std::thread::JoinHandle<()>>,
    folder: PathBuf,
}

impl Recorder {
    /// Starts the writer.
    ///
    /// # Errors
    /// The folder cannot be made, or no thread started.
    pub fn start(settings: &RecorderSettings) -> io::Result<Self> {
        fs::create_dir_all(&settings.folder)?;
        let shared = Arc::new(Shared::default());
        let mut writer = Writer {
            settings: settings.clone(),
            shared: shared.clone(),
            file: None,
            written: 0,
        };
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                // A recording that cannot be written is lost, never the server.
                if let Err(error) = writer.run() {
                    tracing::error!(target: "nacrite", "the recording ends: {error}");
                    writer.shared.stop.store(true, Ordering::Relaxed);
                }
            })?;
        Ok(Self {
            shared,
            encoder: Encoder::default(),
            buffer: settings.buffer,
            file_age: settings.file_age,
            began: Instant::now(),
            gap: None,
            begun: false,
            writer: Some(thread),
            folder: settings.folder.clone(),
        })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a new file should begin, for which the whole state is needed.
    #[must_use]
    pub fn wants_state(&self) -> bool {
        if self.shared.stop.load(Ordering::Relaxed) || self.waiting().begins.is_some() {
            return false;
        }
        match self.gap {
            Some((_, since)) => since.elapsed() >= AFTER_GAP,
            None => {
                !self.begun
                    || self.shared.full.load(Ordering::Relaxed)
                    || self.began.elapsed() >= self.file_age
            }
        }
    }

    /// A new file begins with this state.
    pub fn begin(&mut self, state: Base, now: Now) {
        // The state itself is written by the writer; here only the clocks are set back to it.
        self.encoder.state(&[], now, &mut Vec::new());
        self.shared.full.store(false, Ordering::Relaxed);
        (self.began, self.gap, self.begun) = (Instant::now(), None, true);
        let mut waiting = self.waiting();
        let at = waiting.frames.len();
        waiting.begins = Some((at, state, now));
    }

    /// Inputs that are handed to the engine.
    pub fn batch(&mut self, inputs: &[(Now, Input)]) {
        if !self.begun || self.shared.stop.load(Ordering::Relaxed) {
            return;
        }
        if let Some((missing, _)) = &mut self.gap {
            *missing += 1;
            self.shared.missing.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let masked: Option<Vec<(Now, Input)>> =
            inputs.iter().any(|(_, i)| may_hold_secrets(i)).then(|| {
                let mut copy = inputs.to_vec();
                for (_, input) in &mut copy {
                    input.mask();
                }
                copy
            });
        let mut waiting = self
            .shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.frames.len() >= self.buffer {
            Encoder::gap(1, &mut waiting.frames);
            drop(waiting);
            self.gap = Some((1, Instant::now()));
            self.shared.missing.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(target: "nacrite", "the recording has a gap: its writer is too slow");
            return;
        }
        let inputs = masked.as_deref().unwrap_or(inputs);
        self.encoder.batch(inputs, &mut waiting.frames);
    }

    /// The batch before failed and is undone.
    pub fn fault(&mut self, text: &str) {
        if self.begun && self.gap.is_none() {
            Encoder::fault(text, &mut self.waiting().frames);
        }
    }

    /// Where it is written.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes written, and batches that are missing.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (
            self.shared.bytes.load(Ordering::Relaxed),
            self.shared.missing.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            let _ended = writer.join();
        }
    }
}

/// Whether an input is of a kind that carries passwords; a look at the rest would cost each of them.
fn may_hold_secrets(input: &Input) -> bool {
    use nacrite_core::{log::Command, node::op::Op};
    match input {
        Input::Request { op, .. } => matches!(
            op,
            Op::CreateService { .. } | Op::UpdateService { .. } | Op::UpdateCluster { .. }
        ),
        Input::Committed { command, .. } => Command::may_hold_secrets(command),
        Input::Restore { .. } => true,
        _ => false,
    }
}

struct Writer {
    settings: RecorderSettings,
    shared: Arc<Shared>,
    file: Option<File>,
    written: u64,
}

impl Writer {
    fn run(&mut self) -> io::Result<()> {
        loop {
            let ends = self.shared.stop.load(Ordering::Relaxed);
            let mut frames = Vec::new();
            let begins = {
                let mut waiting = self
                    .shared
                    .waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut frames, &mut waiting.frames);
                waiting.begins.take()
            };
            let rest = match begins {
                Some((at, state, now)) => {
                    self.write(&frames[..at])?;
                    self.open(&state, now)?;
                    &frames[at..]
                }
                None => &frames[..],
            };
            self.write(rest)?;
            if self.written >= self.settings.file_bytes {
                self.shared.full.store(true, Ordering::Relaxed);
            }
            if ends {
                return self.file.take().map_or(Ok(()), |file| file.sync_all());
            }
            std::thread::sleep(EVERY);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let (Some(file), false) = (&mut self.file, bytes.is_empty()) {
            file.write_all(bytes)?;
            self.written += bytes.len() as u64;
            self.shared
                .bytes
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn open(&mut self, state: &Base, now: Now) -> io::Result<()> {
        let path = self
            .settings
            .folder
            .join(format!("nacrite-{:013}.rec", now.wall));
        self.file = Some(create(&path)?);
        self.written = 0;
        let mut bytes = head().to_vec();
        Encoder::default().state(&masked(state)?, now, &mut bytes);
        self.write(&bytes)?;
        keep_newest(&self.settings.folder, "nacrite-", self.settings.files)
    }
}

fn create(path: &Path) -> io::Result<File> {
    // What clients named and wrote is nobody else's to read.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// A state without passwords.
fn masked(state: &Base) -> io::Result<Vec<u8>> {
    let state = state.state().map_err(io::Error::other)?;
    let mut node = Node::from_snapshot(&state).map_err(io::Error::other)?;
    node.mask();
    Ok(node.snapshot())
}

/// Deletes the oldest recordings of a kind; their names sort by age.
fn keep_newest(folder: &Path, prefix: &str, most: usize) -> io::Result<()> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            name.starts_with(prefix) && name.ends_with(".rec")
        })
        .collect();
    names.sort();
    for old in &names[..names.len().saturating_sub(most)] {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// Writes a recording that shows a fault: the state before, the batches since, and the input.
///
/// # Errors
/// What the file system says, or a state that cannot be read.
pub fn write_fault(folder: &Path, journal: &Journal, input: &(Now, Input)) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("fault-{:013}.rec", input.0.wall));
    let batches = journal.batches();
    let mut bytes = head().to_vec();
    let mut encoder = Encoder::default();
    let begins = batches.first().and_then(|b| b.first()).unwrap_or(input).0;
    encoder.state(&masked(journal.base())?, begins, &mut bytes);
    let mut file = create(&path)?;
    for mut inputs in batches {
        for (_, input) in &mut inputs {
            input.mask();
        }
        encoder.batch(&inputs, &mut bytes);
        if bytes.len() > 1 << 20 {
            file.write_all(&bytes)?;
            bytes.clear();
        }
    }
    let mut input = input.clone();
    input.1.mask();
    encoder.batch(&[input], &mut bytes);
    file.write_all(&bytes)?;
    keep_newest(folder, "fault-", FAULT_FILES)?;
    Ok(path)
}
