//! From a data folder to a drive that serves: opens the files, restores the rows, replays the log, starts the writers.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{self, SyncSender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nacrite_consensus::{Consensus, Start, StartError};
use nacrite_core::{
    log::{Row, Table},
    node::{
        NodeSettings,
        input::{Input, Now},
    },
    view::Delta,
};
use nacrite_storage::{Folder, Options, StateReader, Store};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::watch,
};

use crate::{
    contents::Contents,
    drive::{Clock, Drive, Edges, Inner, QueueLimits, Replayed},
    engine::{Checkpoints, Core, CoreError, Runner},
    fatal,
    views::Views,
    writers::{LogJob, LogWriter, Rhythm, StateJob, StateWriter},
};

/// Bytes of rows that are given to the core in one piece.
const PIECE: usize = 1 << 20;
/// Pieces that may wait for the core, or for the views.
const PIECES_AHEAD: usize = 2;

/// How to open a data folder.
#[derive(Clone, Debug)]
pub struct OpenSettings {
    /// The files.
    pub store: Options,
    /// The node.
    pub node: NodeSettings,
    /// What runs it.
    pub core: Core,
    /// When its state is kept, if its faults can be contained.
    pub checkpoints: Checkpoints,
    /// What may wait for the core.
    pub queues: QueueLimits,
    /// Bytes of contents that are cached.
    pub content_cache: u64,
    /// How often the state is made durable.
    pub sync_every: Duration,
    /// Bytes of state after which it is made durable before that.
    pub sync_bytes: u64,
    /// Bytes that the state store may be behind before writes are refused.
    pub max_behind: usize,
    /// Publishes that may be under way.
    pub max_publishes: usize,
}

/// Why a data folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The files.
    #[error("{0}")]
    Store(#[from] nacrite_storage::Error),
    /// Log and state do not fit.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The core does not run.
    #[error("the engine: {0}")]
    Core(#[from] CoreError),
    /// A thread could not be started.
    #[error("a writer could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// A row is of a table that this release does not know.
    #[error("the state store has a row of table {0}, which this release does not know")]
    Table(u8),
}

/// Files joined with the core, but without the threads that write: who holds this gives the writers their turns.
pub struct Joined {
    /// The core.
    pub drive: Arc<Drive>,
    /// Rows and contents.
    pub store: StateReader,
    /// Whether the files were made by this.
    pub is_new: bool,
    /// What writes the log.
    pub log: LogWriter,
    /// What writes the state.
    pub state: StateWriter,
    jobs: mpsc::Sender<LogJob>,
}

impl Joined {
    /// Restores the rows and joins everything; nothing happens before a writer has its first turn.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn new(
        store: Store,
        settings: &OpenSettings,
        clock: Clock,
        edges: impl FnOnce(&Arc<Drive>) -> Arc<dyn Edges>,
    ) -> Result<Self, OpenError> {
        let Store {
            log, start, state, ..
        } = store;
        let reader = state.reader();
        let applied = reader.applied().index;
        let consensus = Consensus::new(
            Start {
                id: start.node_id,
                voters: vec![start.node_id],
                conf_state: None,
                hard_state: start.hard_state,
                compacted: start.compacted,
                last_index: start.last_index,
                applied,
                seed: settings.node.seed,
            },
            Arc::new(log.handle()),
        )?;
        let (log_jobs, log_queue) = mpsc::channel();
        let (state_jobs, state_queue) = mpsc::channel::<StateJob>();
        let engine = Runner::start(settings.core.clone(), &settings.node, settings.checkpoints)?;
        let replayed = Replayed {
            last: start.last_index,
            from: applied,
        };
        let mut inner = Inner::new(engine, consensus, log_jobs.clone(), state_jobs, replayed);
        let views = Arc::new(Views::default());
        restore(&reader, &mut inner, clock.now(), &views, applied)?;
        let contents = Arc::new(Contents::new(reader.clone(), settings.content_cache));
        let (stored, stored_seen) = watch::channel(applied);
        let drive = Drive::new(
            inner,
            settings.queues,
            views,
            contents.clone(),
            clock,
            stored_seen,
            settings.max_behind,
            settings.max_publishes,
        );
        drive.attach(edges(&drive));
        let rhythm = Rhythm {
            every: settings.sync_every,
            bytes: settings.sync_bytes,
        };
        Ok(Self {
            drive,
            store: reader,
            is_new: start.is_new,
            log: LogWriter::new(log, log_queue),
            state: StateWriter::new(state, state_queue, contents, stored, rhythm),
            jobs: log_jobs,
        })
    }
}

/// An open data folder and what works on it.
pub struct Opened {
    /// The core.
    pub drive: Arc<Drive>,
    /// Rows and contents.
    pub store: StateReader,
    /// Whether the folder was made by this.
    pub is_new: bool,
    log: mpsc::Sender<LogJob>,
    log_writer: JoinHandle<()>,
    state_writer: JoinHandle<()>,
}

impl Opened {
    /// Opens a folder (made if it is not there) and starts to work on it. Blocks while rows are restored; the log is
    /// replayed after that, and the drive says when it is ready.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn folder(
        path: &Path,
        settings: &OpenSettings,
        clock: Clock,
        edges: impl FnOnce(&Arc<Drive>) -> Arc<dyn Edges>,
    ) -> Result<Self, OpenError> {
        let folder = Folder::open(path)?.waiting_with(aside);
        Self::store(
            Store::open(Arc::new(folder), &settings.store)?,
            settings,
            clock,
            edges,
        )
    }

    /// As [`Opened::folder`], with files that are open already.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn store(
        store: Store,
        settings: &OpenSettings,
        clock: Clock,
        edges: impl FnOnce(&Arc<Drive>) -> Arc<dyn Edges>,
    ) -> Result<Self, OpenError> {
        let Joined {
            drive,
            store,
            is_new,
            log,
            state,
            jobs,
        } = Joined::new(store, settings, clock, edges)?;
        let driven = drive.clone();
        let log_writer = fatal::thread("log-writer", move || log.run(&driven))?;
        let driven = Arc::downgrade(&drive);
        let state_writer = fatal::thread("state-writer", move || {
            state.run(&|index| {
                if let Some(drive) = driven.upgrade() {
                    drive.durable(index);
                }
            })
        })?;
        // Consensus has things to say from the start; the first input lets it.
        drive.control(Input::Tick);
        Ok(Self {
            drive,
            store,
            is_new,
            log: jobs,
            log_writer,
            state_writer,
        })
    }

    /// Ends the writers: everything acknowledged is on disk already; this makes the state store durable too, so that
    /// the next start replays nothing.
    pub fn close(self) {
        let _ = self.log.send(LogJob::End);
        let _ = self.log_writer.join();
        // The state's writer ends when the drive has closed its queue.
        self.drive.inspect(Inner::close);
        let _ = self.state_writer.join();
    }
}

/// Runs a read that has to wait for the disk; what the thread has to do besides goes to another one meanwhile.
fn aside(read: &mut dyn FnMut()) {
    let serves = |at: Handle| at.runtime_flavor() == RuntimeFlavor::MultiThread;
    if Handle::try_current().is_ok_and(serves) {
        tokio::task::block_in_place(read);
    } else {
        read();
    }
}

/// Gives the core all rows but histories. They are read on a thread beside it, and what readers will see is put together
/// on another.
fn restore(
    reader: &StateReader,
    inner: &mut Inner,
    now: Now,
    views: &Views,
    applied: u64,
) -> Result<(), OpenError> {
    thread::scope(|beside| {
        let (found, pieces) = mpsc::sync_channel(PIECES_AHEAD);
        let (changed, changes) = mpsc::sync_channel::<Vec<Delta>>(PIECES_AHEAD);
        let reading = beside.spawn(move || read_pieces(reader, &found));
        beside.spawn(move || changes.iter().for_each(|deltas| views.publish(deltas)));
        for rows in pieces {
            let mut deltas = Vec::new();
            inner.restore(now, Input::Restore { rows, applied }, &mut deltas);
            if changed.send(deltas).is_err() {
                // Its thread has panicked, which the end of the scope passes on.
                break;
            }
        }
        reading
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Reads all rows but histories, piece by piece; at least one piece, and fewer only if nobody takes them.
fn read_pieces(reader: &StateReader, found: &SyncSender<Vec<Row>>) -> Result<(), OpenError> {
    let tables: Vec<u8> = Table::ALL
        .into_iter()
        .filter(|t| t.restored())
        .map(|t| t as u8)
        .collect();
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut unknown = None;
    reader.for_each_row(&tables, |table, key, value, _| {
        let Some(table) = Table::of(table) else {
            unknown = Some(table);
            return;
        };
        bytes += key.len() + value.len();
        rows.push(Row {
            table,
            key: key.to_vec(),
            value: value.to_vec(),
        });
        if bytes >= PIECE {
            bytes = 0;
            let _ = found.send(std::mem::take(&mut rows));
        }
    })?;
    let _ = found.send(rows);
    unknown.map_or(Ok(()), |table| Err(OpenError::Table(table)))
}
