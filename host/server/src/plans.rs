//! Carries out what `core::api` plans: the same loop for HTTP and gRPC.

use std::sync::Arc;

use nacrite_core::{
    api::{Plan, RowsQuery},
    log::{Row, Table},
    node::input::Origin,
};
use nacrite_storage::{Scan, StateReader};
use tokio::sync::Semaphore;

use crate::{drive::Drive, logs, plugins};

/// To try a module takes a core for up to seconds; one is tried at a time.
static EXAMINING: Semaphore = Semaphore::const_new(1);

/// Why a plan could not be carried out; nothing was changed by the step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The state store is too far behind; the caller may come again.
    Behind,
    /// The store cannot be read, or a step panicked.
    Broken(String),
}

/// Carries out a plan step by step, for this caller.
///
/// # Errors
/// See [`Failure`].
pub async fn carry_out<A: Send + 'static>(
    drive: &Arc<Drive>,
    store: &StateReader,
    origin: &Origin,
    mut plan: Plan<A>,
) -> Result<A, Failure> {
    loop {
        plan = match plan {
            Plan::Answer(answer) => return Ok(answer),
            Plan::Submit { op, content, then } => {
                let result = drive
                    .submit(origin.clone(), op, content.map(Arc::from))
                    .await;
                then(result, &*drive.views)
            }
            Plan::Rows { query, then } => {
                if !drive.settled().await {
                    return Err(Failure::Behind);
                }
                let store = store.clone();
                let found = blocking(move || read_rows(&store, &query)).await??;
                then(found, &*drive.views)
            }
            Plan::Contents { indexes, then } => {
                let mut contents = Vec::with_capacity(indexes.len());
                for index in indexes {
                    contents.push(drive.contents.get(index).await.map_err(Failure::Broken)?);
                }
                then(contents, &*drive.views)
            }
            Plan::Clients { ids, request, then } => {
                then(drive.ask_clients(ids, request).await, &*drive.views)
            }
            Plan::Examine {
                module,
                config,
                then,
            } => {
                let _turn = EXAMINING.acquire().await;
                let examined = blocking(move || plugins::examine(module, &config)).await?;
                then(examined, &*drive.views)
            }
            Plan::LogLevel {
                logger,
                level,
                then,
            } => then(logs::set_level(&logger, &level), &*drive.views),
            Plan::Long(work) => {
                let views = drive.views.clone();
                blocking(move || work(&*views)).await?
            }
        };
    }
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Failure::Broken(e.to_string()))
}

fn read_rows(store: &StateReader, query: &RowsQuery) -> Result<(usize, Vec<Row>), Failure> {
    let broken = |e: nacrite_storage::Error| Failure::Broken(e.to_string());
    let snapshot = store.snapshot().map_err(broken)?;
    let table = query.table as u8;
    let total = if query.count {
        snapshot.count(table, &query.prefix).map_err(broken)?
    } else {
        0
    };
    let mut scan = Scan::prefix(table, &query.prefix)
        .skip(query.skip)
        .limit(query.limit);
    if query.reverse {
        scan = scan.reverse();
    }
    let rows = snapshot.scan(&scan).map_err(broken)?;
    let rows = rows.into_iter().filter_map(|row| {
        Some(Row {
            table: Table::of(row.table)?,
            key: row.key,
            value: row.value,
        })
    });
    Ok((usize::try_from(total).unwrap_or(usize::MAX), rows.collect()))
}
