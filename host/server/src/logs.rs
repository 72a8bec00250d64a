//! The server's log of itself: `tracing` events become lines on standard error, written by a thread of its own.
//!
//! Whoever logs never waits: lines go into a bounded channel, and when it is full they are dropped and counted. A panic
//! in the writer is reported to the caller, because a server that can no longer say anything is half alive.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::metrics::Counter;
use crate::settings::{Log, LogFormat, LogLevel, Value as _};

/// Lines that are written before the output is flushed once.
const BATCH: usize = 256;
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Sends every event of the process to standard error. `dropped` counts lines that were not written; `on_failure` is
/// called with the reason when the writer ends by a panic, and should end the process.
///
/// # Errors
/// When the writer's thread cannot be started, or logging has been set up before.
pub fn init(
    settings: &Log,
    dropped: Arc<Counter>,
    on_failure: impl FnOnce(String) + Send + 'static,
) -> io::Result<LogGuard> {
    let (lines, guard) = start_writer(io::stderr(), settings.buffer_lines, dropped, on_failure)?;
    let (layer, levels) = layer(settings, lines, io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(io::Error::other)?;
    // The first to be set up, as the line above says.
    let _ = LEVELS.set(levels);
    Ok(guard)
}

fn layer(
    settings: &Log,
    lines: LogLines,
    colours: bool,
) -> (Box<dyn Layer<Registry> + Send + Sync>, Levels) {
    let layer = fmt::layer().with_writer(lines).with_ansi(colours);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Full => Box::new(layer),
        LogFormat::Compact => Box::new(layer.compact()),
    };
    let chosen = Chosen {
        root: settings.level,
        others: BTreeMap::new(),
    };
    let (filter, handle) = reload::Layer::new(chosen.filter());
    let levels = Levels {
        chosen: Mutex::new(chosen),
        filter: handle,
    };
    (Box::new(layer.with_filter(filter)), levels)
}

/// Sets the level of a logger of this process: `root`, or a module (`nacrite::grpc`) or library (`h2`), which stands for
/// all whose names begin so. It holds until the process ends.
///
/// # Errors
/// There is no such level or logger, or nothing is logged; the text says which there are.
pub fn set_level(logger: &str, level: &str) -> Result<(), String> {
    match LEVELS.get() {
        Some(levels) => levels.set(logger, level),
        None => Err("this process logs nothing".to_owned()),
    }
}

/// Those of the process, once [`init`] has set its log up.
static LEVELS: OnceLock<Levels> = OnceLock::new();

/// Libraries below that log. Every frame: at the level `debug` of all others they are not wanted.
const LIBRARIES: [&str; 7] = [
    "h2",
    "hyper",
    "hyper_util",
    "tonic",
    "tower",
    "wasmtime",
    "cranelift_codegen",
];
/// Modules that can have a level of their own at a time.
const MODULES: usize = 64;

/// The levels in force.
struct Levels {
    chosen: Mutex<Chosen>,
    filter: reload::Handle<Targets, Registry>,
}

/// The level of all, and of those that have their own.
#[derive(Clone)]
struct Chosen {
    root: LogLevel,
    others: BTreeMap<String, LogLevel>,
}

impl Levels {
    fn set(&self, logger: &str, level: &str) -> Result<(), String> {
        let level = LogLevel::from_text(&level.to_ascii_lowercase())?;
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = chosen.clone();
        if logger.eq_ignore_ascii_case("root") {
            new.root = level;
        } else if logger.starts_with("nacrite") || LIBRARIES.contains(&logger) {
            new.others.insert(logger.to_owned(), level);
        } else {
            return Err(format!(
                "no logger {logger:?}: there are root, nacrite and its modules, {}",
                LIBRARIES.join(", ")
            ));
        }
        if new.others.len() > MODULES {
            return Err(format!("{MODULES} loggers have a level of their own"));
        }
        self.filter
            .reload(new.filter())
            .map_err(|e| e.to_string())?;
        *chosen = new;
        Ok(())
    }
}

impl Chosen {
    fn filter(&self) -> Targets {
        let mut targets = Targets::new().with_default(filter_of(self.root));
        if self.root == LogLevel::Debug {
            targets = targets.with_targets(LIBRARIES.map(|library| (library, LevelFilter::INFO)));
        }
        let others = self.others.iter();
        targets.with_targets(others.map(|(name, level)| (name.clone(), filter_of(*level))))
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

/// Where lines are put: cheap to clone, never waits.
#[derive(Clone, Debug)]
pub struct LogLines {
    sender: SyncSender<Message>,
    dropped: Arc<Counter>,
}

impl Write for LogLines {
    /// Takes one whole line: `tracing` writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLines;

    fn make_writer(&'a self) -> LogLines {
        self.clone()
    }
}

/// Writes the last lines when dropped: keep it until the process ends.
#[derive(Debug)]
pub struct LogGuard {
    sender: SyncSender<Message>,
}

impl LogGuard {
    /// Waits, for a second at most, until everything logged so far is written. Says whether it is.
    pub fn flush(&self) -> bool {
        let (done, written) = sync_channel(1);
        let deadline = Instant::now() + LAST_LINES;
        let mut message = Message::Flush(done);
        loop {
            match self.sender.try_send(message) {
                Ok(()) => {
                    return written
                        .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                        .is_ok();
                }
                Err(TrySendError::Full(back)) if Instant::now() < deadline => message = back,
                Err(_) => return false,
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Starts the thread that writes lines to `out`.
fn start_writer(
    mut out: impl Write + Send + 'static,
    buffer_lines: usize,
    dropped: Arc<Counter>,
    on_failure: impl FnOnce(String) + Send + 'static,
) -> io::Result<(LogLines, LogGuard)> {
    let (sender, receiver) = sync_channel(buffer_lines);
    let counted = dropped.clone();
    let told = counted.get();
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                write_lines(&receiver, &mut out, &counted, told);
            }));
            drop(receiver);
            if let Err(panic) = outcome {
                on_failure(format!(
                    "the log writer panicked: {}",
                    panic_text(panic.as_ref())
                ));
            }
        })?;
    let lines = LogLines {
        sender: sender.clone(),
        dropped,
    };
    Ok((lines, LogGuard { sender }))
}

/// `told` is how many dropped lines need no more mention.
fn write_lines(
    receiver: &Receiver<Message>,
    out: &mut impl Write,
    dropped: &Counter,
    mut told: u64,
) {
    while let Ok(first) = receiver.recv() {
        let mut flushed = Vec::new();
        for message in std::iter::once(first)
            .chain(receiver.try_iter())
            .take(BATCH)
        {
            match message {
                // Nobody is left to tell that standard error is closed: the counter does.
                Message::Line(line) if out.write_all(&line).is_err() => dropped.inc(),
                Message::Line(_) => {}
                Message::Flush(done) => flushed.push(done),
            }
        }
        let now = dropped.get();
        if now > told {
            let _ = writeln!(
                out,
                "{} log lines were dropped, {now} since the start",
                now - told
            );
            told = now;
        }
        let _ = out.flush();
        for done in flushed {
            let _ = done.try_send(());
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn never(reason: String) {
        std::panic::panic_any(reason);
    }

    /// What is written while `events` happen, and how many lines were dropped.
    fn written(level: LogLevel, format: LogFormat, events: impl FnOnce(&Levels)) -> (String, u64) {
        let sink = Sink::default();
        let dropped = Arc::new(Counter::default());
        let (lines, guard) = start_writer(sink.clone(), 64, dropped.clone(), never).unwrap();
        let settings = Log {
            level,
            format,
            buffer_lines: 64,
        };
        let (layer, levels) = layer(&settings, lines, false);
        tracing::subscriber::with_default(Registry::default().with(layer), || events(&levels));
        assert!(guard.flush());
        (sink.text(), dropped.get())
    }

    #[test]
    fn events_become_lines_of_the_chosen_level_and_format() {
        for format in [LogFormat::Full, LogFormat::Compact] {
            let (text, dropped) = written(LogLevel::Debug, format, |_| {
                tracing::info!(port = 8848, "listening");
                tracing::debug!("second");
                tracing::trace!("unseen");
                tracing::debug!(target: "h2", "unseen");
            });
            assert!(
                text.contains("listening")
                    && text.contains("port=8848")
                    && !text.contains("unseen"),
                "{text}"
            );
            assert!(text.find("listening") < text.find("second"));
            assert_eq!((text.lines().count(), dropped), (2, 0));
        }
    }

    #[test]
    fn levels_can_be_set_later_for_all_and_for_some() {
        let (text, _) = written(LogLevel::Info, LogFormat::Compact, |levels| {
            tracing::debug!("unseen");
            levels.set("nacrite::drive", "DEBUG").unwrap();
            tracing::debug!(target: "nacrite::drive", "first");
            tracing::debug!(target: "nacrite::grpc", "unseen");
            levels.set("ROOT", "off").unwrap();
            tracing::error!("unseen");
            tracing::debug!(target: "nacrite::drive", "second");
            for (logger, level, why) in [
                ("naming", "info", "there are root, nacrite"),
                ("root", "loud", "is none of off | error"),
            ] {
                let refused = levels.set(logger, level).unwrap_err();
                assert!(refused.contains(why), "{refused}");
            }
            for n in 1..MODULES {
                levels.set(&format!("nacrite::{n}"), "info").unwrap();
            }
            assert!(
                levels.set("nacrite::more", "info").is_err(),
                "there are so many at most"
            );
        });
        assert!(!text.contains("unseen"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    /// Waits in its first write until told to go on.
    struct Stalled(Receiver<()>, Sink);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_writer_costs_lines_and_not_time() {
        let (go_on, stalled) = mpsc::channel();
        let sink = Sink::default();
        let dropped = Arc::new(Counter::default());
        let (mut lines, guard) =
            start_writer(Stalled(stalled, sink.clone()), 4, dropped.clone(), never).unwrap();
        for n in 0..100 {
            lines.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        // Four wait; one or none is being written.
        let lost = dropped.get();
        assert!((95..=96).contains(&lost), "{lost}");
        drop(go_on);
        assert!(guard.flush());
        assert!(
            sink.text()
                .contains(&format!("{lost} log lines were dropped")),
            "{}",
            sink.text()
        );
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("out of ink");
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_of_the_writer_is_reported() {
        let (told, reason) = mpsc::channel();
        let dropped = Arc::new(Counter::default());
        let (mut lines, guard) = start_writer(Broken, 4, dropped.clone(), move |reason| {
            told.send(reason).unwrap();
        })
        .unwrap();
        lines.write_all(b"x\n").unwrap();
        assert_eq!(
            reason.recv().unwrap(),
            "the log writer panicked: out of ink"
        );
        assert!(!guard.flush());
        lines.write_all(b"y\n").unwrap();
        assert_eq!(dropped.get(), 1);
    }
}
