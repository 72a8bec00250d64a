//! Memory: empty, for an instance after it was registered, and after every service was listed.

use std::{path::Path, rc::Rc, time::Duration};

use nacrite_tests::{
    requests::{list, register},
    server::memory,
    way::Protocol,
};
use tokio::time::sleep;

use crate::{
    Failure,
    load::{Make, once_each},
    process::Served,
    table::judged,
};

/// Name of the row.
pub(crate) const NAME: &str = "memory";
const SERVICES: u64 = 1_000;
const INSTANCES: u64 = 100 * SERVICES;

/// Registers and lists, and reads what the process keeps.
pub(crate) async fn measure(program: &Path) -> Result<Vec<String>, Failure> {
    let served = Served::start(program).await?;
    sleep(Duration::from_secs(1)).await;
    let (empty, resident) = memory(served.pid())?;
    let registers: Make = Rc::new(|number, out| register(number % SERVICES, number, out));
    once_each(served.address, Protocol::Http, 0..INSTANCES, &registers).await?;
    sleep(Duration::from_secs(1)).await;
    let (registered, _) = memory(served.pid())?;
    let lists: Make = Rc::new(list);
    once_each(served.address, Protocol::Http, 0..SERVICES, &lists).await?;
    sleep(Duration::from_secs(1)).await;
    let (listed, _) = memory(served.pid())?;
    let each = |bytes: u64| bytes.saturating_sub(empty) / INSTANCES;
    let size = std::fs::metadata(program)?.len();
    Ok(vec![
        format!(
            "memory when empty: {:.1} MiB resident ({:.1} MiB of its own); target 20 MiB: {}",
            mib(resident),
            mib(empty),
            judged(resident <= 20 << 20)
        ),
        format!(
            "memory of an instance with two metadata keys: {} bytes after register, {} after every service was listed ({INSTANCES} instances of {SERVICES} services); targets 600 and 1 000: {}, {}",
            each(registered),
            each(listed),
            judged(each(registered) <= 600),
            judged(each(listed) <= 1_000)
        ),
        format!(
            "release binary: {:.1} MB; target 30 MB, stripped: {}",
            size as f64 / 1e6,
            judged(size <= 30_000_000)
        ),
    ])
}

/// Bytes as MiB.
// Sizes of memory are far below 2^52.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
