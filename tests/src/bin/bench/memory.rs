//! Memory: empty, for an instance after it was registered, and after every service was listed.

use std::{path::Path, rc::Rc, time::Duration};

use tokio::time::sleep;

use crate::{
    Failure,
    load::{Make, once_each},
    process::{Served, memory},
    rows::{list, register},
};

/// Name of the row.
pub(crate) const NAME: &str = "memory";
const SERVICES: u64 = 1_000;
const INSTANCES: u64 = 100 * SERVICES;

/// Registers and lists, and reads what the process keeps.
pub(crate) async fn measure(program: &Path) -> Result<String, Failure> {
    let served = Served::start(program).await?;
    sleep(Duration::from_secs(1)).await;
    let (empty, resident) = memory(served.pid())?;
    let registers: Make = Rc::new(|number, out| register(number % SERVICES, number, out));
    once_each(served.address, 0..INSTANCES, &registers).await?;
    sleep(Duration::from_secs(1)).await;
    let (registered, _) = memory(served.pid())?;
    let lists: Make = Rc::new(list);
    once_each(served.address, 0..SERVICES, &lists).await?;
    sleep(Duration::from_secs(1)).await;
    let (listed, _) = memory(served.pid())?;
    let each = |bytes: u64| bytes.saturating_sub(empty) / INSTANCES;
    Ok(format!(
        "{:.1} MiB resident when empty ({:.1} MiB of its own); an instance with two metadata keys {} bytes after register, {} after every service was listed ({INSTANCES} instances of {SERVICES} services)",
        mib(resident),
        mib(empty),
        each(registered),
        each(listed)
    ))
}

// Sizes of memory are far below 2^52.
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
