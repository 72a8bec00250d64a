//! From the start of the process to its first answer to a client.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Failure,
    process::{Served, cpu},
    table::judged,
};

/// Name of the row.
pub(crate) const NAME: &str = "start-up";
const STARTS: usize = 20;
const TARGET: Duration = Duration::from_millis(25);

/// Starts the server on empty data again and again.
pub(crate) async fn measure(program: &Path) -> Result<String, Failure> {
    let (mut times, mut used) = (Vec::new(), Duration::ZERO);
    for _ in 0..STARTS {
        let start = Instant::now();
        let served = Served::start(program).await?;
        times.push(start.elapsed());
        used += cpu(served.pid())?;
    }
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(format!(
        "{:.1} ms median of {STARTS}, {:.1} ms the slowest; {:.0} ms of CPU (ticks of 10 ms, mean); target 25 ms: {}",
        millis(times[STARTS / 2]),
        millis(times[STARTS - 1]),
        millis(used) / 20.0,
        judged(times[STARTS / 2] <= TARGET)
    ))
}
