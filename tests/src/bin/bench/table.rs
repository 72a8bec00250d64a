//! The table: figures of runs, and lines of text made of them.

use std::{fmt, fs, time::Duration};

use crate::load::Run;

/// The best run of one server.
pub(crate) struct Measured {
    /// CPU of its process for a request, microseconds; none where the process is not known.
    pub(crate) cpu: Option<f64>,
    /// Requests answered in a second.
    pub(crate) rate: f64,
    /// Half of the answers took no longer, microseconds.
    pub(crate) p50: u32,
    /// Of a hundred answers, one took longer, microseconds.
    pub(crate) p99: u32,
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

/// CPU of a bare POST on the machine that the targets in microseconds were set on.
const BARE_THERE: f64 = 6.1;

/// What a row should reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// So many times the bare server's CPU.
    Ratio(f64),
    /// So many microseconds of CPU where a bare POST takes 6.1; elsewhere in proportion.
    Micros(f64),
}

impl Target {
    /// What it is as a ratio to the bare server.
    fn ratio(self) -> f64 {
        match self {
            Self::Ratio(ratio) => ratio,
            Self::Micros(micros) => micros / BARE_THERE,
        }
    }

    /// Whether this much CPU reaches it where the bare server takes so much, in words.
    pub(crate) fn judge(self, cpu: f64, bare: f64) -> String {
        let ratio = cpu / bare;
        let met = judged(ratio <= self.ratio());
        format!("**{ratio:.2}** × a bare request's {bare:.1}; target {self}: {met}")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(ratio) => write!(f, "{ratio} ×"),
            Self::Micros(micros) => write!(f, "{micros} µs, so {:.2} ×", self.ratio()),
        }
    }
}

/// The time that so many of a hundred do not pass; the list is sorted and not empty.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// Whether a figure reaches its target, in words.
pub(crate) fn judged(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

/// One row, measured.
pub(crate) struct Line {
    /// Name of the row.
    pub(crate) name: &'static str,
    /// Connections.
    pub(crate) connections: usize,
    /// The server.
    pub(crate) ours: Measured,
    /// The bare server, where there is one.
    pub(crate) bare: Option<Measured>,
    /// Somebody else's.
    pub(crate) peer: Option<Measured>,
    /// What it should reach.
    pub(crate) target: Option<Target>,
}

/// The head of the table.
pub(crate) const HEAD: &str = "\
| row | connections | CPU µs/request | bare | ratio | target | | requests/s | bare | p50 µs | bare | p99 µs | bare | peer: CPU, requests/s, p50, p99 |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            connections,
            ours,
            bare,
            peer,
            target,
        } = self;
        let cpu = ours.cpu.unwrap_or_default();
        write!(f, "| {name} | {connections} | {cpu:.1} |")?;
        let ratio = bare.as_ref().and_then(|b| b.cpu).map(|bare| cpu / bare);
        match (bare, ratio) {
            (Some(bare), Some(ratio)) => {
                write!(f, " {:.1} | **{ratio:.2}** |", bare.cpu.unwrap_or_default())?;
            }
            _ => f.write_str(" – | – |")?,
        }
        match (target, ratio) {
            (Some(target), Some(ratio)) => {
                write!(f, " {target} | {} |", judged(ratio <= target.ratio()))?;
            }
            _ => f.write_str(" – | |")?,
        }
        let of = |get: fn(&Measured) -> f64| {
            bare.as_ref()
                .map_or("–".to_owned(), |bare| format!("{:.0}", get(bare)))
        };
        write!(
            f,
            " {:.0} | {} | {} | {} | {} | {} |",
            ours.rate,
            of(|b| b.rate),
            ours.p50,
            of(|b| f64::from(b.p50)),
            ours.p99,
            of(|b| f64::from(b.p99))
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
