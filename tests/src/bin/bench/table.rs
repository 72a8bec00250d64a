//! The table: figures of runs, and lines of text made of them.

use std::{fmt, fs, time::Duration};

use crate::load::Run;

/// The best run of one server.
pub(crate) struct Measured {
    /// CPU of its process for a request, microseconds; none where the process is not known.
    cpu: Option<f64>,
    /// Requests answered in a second.
    rate: f64,
    p50: u32,
    p99: u32,
}

impl Measured {
    /// The figures of a run.
    // Counts of requests are far below 2^52.
    pub(crate) fn of(run: &Run, used: Option<Duration>) -> Self {
        let answered = run.answered as f64;
        Self {
            cpu: used.map(|used| used.as_secs_f64() * 1e6 / answered),
            rate: answered / run.time.as_secs_f64(),
            p50: run.quantile(0.5),
            p99: run.quantile(0.99),
        }
    }

    /// Less CPU, or more requests where that is not known.
    pub(crate) fn is_better_than(&self, other: &Self) -> bool {
        match (self.cpu, other.cpu) {
            (Some(ours), Some(theirs)) => ours < theirs,
            _ => self.rate > other.rate,
        }
    }
}

/// One row, measured.
pub(crate) struct Line {
    /// Name of the row.
    pub(crate) name: &'static str,
    /// Connections.
    pub(crate) connections: usize,
    /// The server.
    pub(crate) ours: Measured,
    /// The bare server.
    pub(crate) bare: Measured,
    /// Somebody else's.
    pub(crate) peer: Option<Measured>,
}

/// The head of the table.
pub(crate) const HEAD: &str = "\
| row | connections | CPU µs/request | bare | ratio | requests/s | bare | p50 µs | bare | p99 µs | bare | peer: CPU, requests/s, p50, p99 |
|---|---|---|---|---|---|---|---|---|---|---|---|";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            connections,
            ours,
            bare,
            peer,
        } = self;
        let (cpu, bare_cpu) = (ours.cpu.unwrap_or_default(), bare.cpu.unwrap_or_default());
        write!(
            f,
            "| {name} | {connections} | {cpu:.1} | {bare_cpu:.1} | **{:.2}** | {:.0} | {:.0} | {} | {} | {} | {} |",
            cpu / bare_cpu,
            ours.rate,
            bare.rate,
            ours.p50,
            bare.p50,
            ours.p99,
            bare.p99
        )?;
        match peer {
            Some(peer) => {
                let cpu = peer.cpu.map_or("?".into(), |cpu| format!("{cpu:.1}"));
                write!(f, " {cpu}, {:.0}, {}, {} |", peer.rate, peer.p50, peer.p99)
            }
            None => f.write_str(" |"),
        }
    }
}

/// What this was measured on, as far as a reader needs it.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (info, version) = (read("/proc/cpuinfo"), read("/proc/sys/kernel/osrelease"));
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split(": ").nth(1));
    let count = info.lines().filter(|l| l.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    format!(
        "{count} × {}, Linux {}, load of the minute before {}",
        model.unwrap_or("?"),
        version.trim(),
        load.split(' ').next().unwrap_or("?")
    )
}
