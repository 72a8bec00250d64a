//! The two threads that write to disk: one appends to the log, one keeps the state store up with what was applied.

use std::sync::{
    Arc,
    mpsc::{Receiver, RecvTimeoutError},
};
use std::time::{Duration, Instant};

use nacrite_core::log::{RowWrite, Table};
use nacrite_storage::{
    Applied, Entry, HardState, Log, LogWrite, RowChange, Scan, State, StateBatch, StateReader,
};
use tokio::sync::watch;

use crate::{contents::Contents, drive::Drive};

/// Work of the log's writer.
pub enum LogJob {
    /// Append, then report the number.
    Append {
        /// The number.
        number: u64,
        /// Entries.
        entries: Vec<Entry>,
        /// Hard state, if it changed.
        hard_state: Option<HardState>,
        /// Whether it must be on disk.
        sync: bool,
    },
    /// Forget entries up to this index.
    Compact(u64),
    /// Write what there is and end.
    End,
}

/// What one applied entry wrote.
pub struct StateJob {
    /// The entry.
    pub applied: Applied,
    /// Its rows.
    pub rows: Vec<RowWrite>,
    /// Its content.
    pub content: Option<Arc<[u8]>>,
}

/// When the state is made durable.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// After this time, whatever it holds.
    pub every: Duration,
    /// Once it holds so many bytes that are not.
    pub bytes: u64,
}

/// Entries of one transaction of the state, at most.
const STATE_BATCH: usize = 4_096;
/// Two transactions of the state begin so far apart: what many write in that time costs one of them. A lone write is
/// stored at once.
const APART: Duration = Duration::from_millis(10);
/// Rows that a cut removes in one transaction.
const CUT_ROWS: usize = 1_000;

/// What one turn of the log's writer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogTurn {
    /// The log is written up to this number, and consensus has to hear it.
    pub persisted: Option<u64>,
    /// It was told to end.
    pub ended: bool,
}

/// The log, and what waits to be appended to it.
pub struct LogWriter {
    log: Log,
    jobs: Receiver<LogJob>,
}

impl LogWriter {
    /// A writer of this log.
    #[must_use]
    pub fn new(log: Log, jobs: Receiver<LogJob>) -> Self {
        Self { log, jobs }
    }

    /// Writes until it is told to end; what was persisted is then driven on.
    ///
    /// # Errors
    /// What the log says; the process must stop then.
    pub fn run(mut self, drive: &Arc<Drive>) -> Result<(), String> {
        while let Ok(first) = self.jobs.recv() {
            let began = Instant::now();
            let turn = self.turn(first)?;
            drive.log_written(began.elapsed());
            if let Some(number) = turn.persisted {
                drive.persisted(number);
            }
            if turn.ended {
                break;
            }
        }
        Ok(())
    }

    /// Writes what waits, if anything does.
    ///
    /// # Errors
    /// What the log says; the log is not to be used after it.
    pub fn turn_waiting(&mut self) -> Result<LogTurn, String> {
        match self.jobs.try_recv() {
            Ok(first) => self.turn(first),
            Err(_) => Ok(LogTurn::default()),
        }
    }

    /// Everything that waits goes into one transaction with one sync.
    fn turn(&mut self, first: LogJob) -> Result<LogTurn, String> {
        let failed = |e: nacrite_storage::Error| e.to_string();
        let mut turn = LogTurn::default();
        let mut write = LogWrite::default();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                LogJob::Append {
                    number,
                    entries,
                    hard_state,
                    sync,
                } => {
                    let replaces = match (write.entries.last(), entries.first()) {
                        (Some(last), Some(first)) => first.index <= last.index,
                        _ => false,
                    };
                    if replaces {
                        self.log
                            .append(&std::mem::take(&mut write))
                            .map_err(failed)?;
                    }
                    write.entries.extend(entries);
                    write.hard_state = hard_state.or(write.hard_state);
                    write.sync |= sync && !nacrite_core::planted!(LogIsNotSynced);
                    turn.persisted = Some(number);
                }
                LogJob::Compact(to) => self.log.compact(to).map_err(failed)?,
                LogJob::End => {
                    turn.ended = true;
                    break;
                }
            }
            next = self.jobs.try_recv().ok();
        }
        if !write.entries.is_empty() || write.hard_state.is_some() {
            self.log.append(&write).map_err(failed)?;
        }
        Ok(turn)
    }
}

/// The state store, and what waits to be applied to it.
pub struct StateWriter {
    state: State,
    reader: StateReader,
    jobs: Receiver<StateJob>,
    contents: Arc<Contents>,
    stored: watch::Sender<u64>,
    rhythm: Rhythm,
}

impl StateWriter {
    /// A writer of this state, which tells `contents` and `stored` how far it is.
    #[must_use]
    pub fn new(
        state: State,
        jobs: Receiver<StateJob>,
        contents: Arc<Contents>,
        stored: watch::Sender<u64>,
        rhythm: Rhythm,
    ) -> Self {
        Self {
            reader: state.reader(),
            state,
            jobs,
            contents,
            stored,
            rhythm,
        }
    }

    /// Keeps the state store up with what was applied, until no more can come; the last batch is durable.
    ///
    /// # Errors
    /// What the store says; the process must stop then.
    pub fn run(mut self, durable: &dyn Fn(u64)) -> Result<(), String> {
        let mut synced = Instant::now();
        let mut began = None::<Instant>;
        let mut open = true;
        while open {
            let mut waiting = Vec::new();
            match self.jobs.recv_timeout(self.rhythm.every) {
                Ok(job) => {
                    let early = began.map(|at| APART.saturating_sub(at.elapsed()));
                    std::thread::sleep(early.unwrap_or_default());
                    began = Some(Instant::now());
                    waiting.push(job);
                    waiting.extend(self.jobs.try_iter().take(STATE_BATCH - 1));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
            let due = synced.elapsed() >= self.rhythm.every || !open;
            if let Some(index) = self.turn(waiting, due)? {
                synced = Instant::now();
                durable(index);
            }
        }
        Ok(())
    }

    /// Applies up to so many entries that wait, durably if `due`; the index up to which the store is durable now, if it
    /// was made so.
    ///
    /// # Errors
    /// What the store says; the store is not to be used after it.
    pub fn turn_waiting(&mut self, most: usize, due: bool) -> Result<Option<u64>, String> {
        let waiting = self.jobs.try_iter().take(most).collect();
        self.turn(waiting, due)
    }

    fn turn(&mut self, waiting: Vec<StateJob>, due: bool) -> Result<Option<u64>, String> {
        let failed = |e: nacrite_storage::Error| e.to_string();
        let changed = !waiting.is_empty();
        let mut batch = StateBatch {
            applied: self.reader.applied(),
            ..StateBatch::default()
        };
        for job in waiting {
            batch.applied = job.applied;
            batch
                .contents
                .extend(job.content.map(|bytes| (job.applied.index, bytes)));
            for write in job.rows {
                match write {
                    RowWrite::Put { row, content } => batch.rows.push(RowChange::Put {
                        table: row.table as u8,
                        key: row.key,
                        value: row.value,
                        content,
                    }),
                    RowWrite::Delete { table, key } => {
                        batch.rows.push(RowChange::Delete {
                            table: table as u8,
                            key,
                        });
                    }
                    RowWrite::Cut { index, to, rows } => {
                        // A cut that a crash interrupts is done again by the next one: it removes by age.
                        self.state.apply(&batch).map_err(failed)?;
                        batch = StateBatch {
                            applied: batch.applied,
                            ..StateBatch::default()
                        };
                        cut(
                            &mut self.state,
                            &self.reader,
                            batch.applied,
                            index,
                            &to,
                            rows,
                        )?;
                    }
                }
            }
        }
        if nacrite_core::planted!(StateSkipsARow) && !batch.rows.is_empty() {
            batch.rows.remove(0);
        }
        let behind = self.reader.durable_applied().index < batch.applied.index
            || self.state.waiting_bytes() > 0;
        batch.durable = behind && (due || self.state.waiting_bytes() >= self.rhythm.bytes);
        if changed || batch.durable {
            self.state.apply(&batch).map_err(failed)?;
            self.contents.stored(batch.applied.index);
            self.stored.send_replace(batch.applied.index);
        }
        Ok(batch.durable.then_some(batch.applied.index))
    }
}

/// Goes through the table `index` up to the key `to`, and deletes its rows and the rows of `rows` that they name.
fn cut(
    state: &mut State,
    reader: &StateReader,
    applied: Applied,
    index: Table,
    to: &[u8],
    rows: Table,
) -> Result<(), String> {
    loop {
        let found = reader
            .scan(&Scan::range(index as u8, &[], to).limit(CUT_ROWS))
            .map_err(|e| e.to_string())?;
        if found.is_empty() {
            return Ok(());
        }
        let mut batch = StateBatch {
            applied,
            ..StateBatch::default()
        };
        for row in found {
            batch.rows.push(RowChange::Delete {
                table: rows as u8,
                key: row.value,
            });
            batch.rows.push(RowChange::Delete {
                table: index as u8,
                key: row.key,
            });
        }
        state.apply(&batch).map_err(|e| e.to_string())?;
    }
}
