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
/// Rows that a cut removes in one transaction.
const CUT_ROWS: usize = 1_000;

/// Appends to the log until it is told to end: everything that waits goes into one transaction with one sync, and what
/// was persisted is then driven on.
///
/// # Errors
/// What the log says; the process must stop then.
pub fn write_log(mut log: Log, jobs: &Receiver<LogJob>, drive: &Arc<Drive>) -> Result<(), String> {
    let failed = |e: nacrite_storage::Error| e.to_string();
    while let Ok(first) = jobs.recv() {
        let mut write = LogWrite::default();
        let mut reported = None;
        let mut next = Some(first);
        let mut end = false;
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
                        log.append(&std::mem::take(&mut write)).map_err(failed)?;
                    }
                    write.entries.extend(entries);
                    write.hard_state = hard_state.or(write.hard_state);
                    write.sync |= sync;
                    reported = Some(number);
                }
                LogJob::Compact(to) => log.compact(to).map_err(failed)?,
                LogJob::End => {
                    end = true;
                    break;
                }
            }
            next = jobs.try_recv().ok();
        }
        if !write.entries.is_empty() || write.hard_state.is_some() {
            log.append(&write).map_err(failed)?;
        }
        if let Some(number) = reported {
            drive.persisted(number);
        }
        if end {
            break;
        }
    }
    Ok(())
}

/// Keeps the state store up with what was applied, until no more can come; the last batch is durable.
///
/// # Errors
/// What the store says; the process must stop then.
pub fn write_state(
    mut state: State,
    jobs: &Receiver<StateJob>,
    contents: &Contents,
    stored: &watch::Sender<u64>,
    rhythm: Rhythm,
    durable: &dyn Fn(u64),
) -> Result<(), String> {
    let failed = |e: nacrite_storage::Error| e.to_string();
    let reader = state.reader();
    let mut synced = Instant::now();
    let mut open = true;
    while open {
        let mut waiting = Vec::new();
        match jobs.recv_timeout(rhythm.every) {
            Ok(job) => {
                waiting.push(job);
                waiting.extend(jobs.try_iter().take(STATE_BATCH - 1));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
        let mut batch = StateBatch {
            applied: reader.applied(),
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
                        state.apply(&batch).map_err(failed)?;
                        batch = StateBatch {
                            applied: batch.applied,
                            ..StateBatch::default()
                        };
                        cut(&mut state, &reader, batch.applied, index, &to, rows)?;
                    }
                }
            }
        }
        let changed = !batch.rows.is_empty() || batch.applied.index > reader.applied().index;
        let behind =
            reader.durable_applied().index < batch.applied.index || state.waiting_bytes() > 0;
        batch.durable = behind
            && (synced.elapsed() >= rhythm.every || state.waiting_bytes() >= rhythm.bytes || !open);
        if changed || batch.durable {
            state.apply(&batch).map_err(failed)?;
            contents.stored(batch.applied.index);
            stored.send_replace(batch.applied.index);
        }
        if batch.durable {
            synced = Instant::now();
            durable(batch.applied.index);
        }
    }
    Ok(())
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
