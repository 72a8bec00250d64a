//! What the operating system knows about this process, read from `/proc` at each scrape. Where there is no `/proc`, only
//! the uptime is shown.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::text::Exposition;

/// Ticks a second in `/proc`: fixed by the kernel's interface, whatever its own clock.
const TICKS: f64 = 100.0;
/// Page size that the resident size is counted in.
const PAGE: u64 = 4_096;

/// Remembers the previous scrape, to tell how busy the time since was.
#[derive(Debug)]
pub(super) struct ProcessReader {
    started: Instant,
    started_wall: f64,
    previous: Option<Usage>,
}

#[derive(Debug, Clone, Copy)]
struct Usage {
    at: Instant,
    process_seconds: f64,
    system_busy: u64,
    system_all: u64,
}

/// The fields of `/proc/self/stat` that are shown.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl ProcessReader {
    pub(super) fn new(now: Instant) -> Self {
        let started_wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        ProcessReader {
            started: now,
            started_wall,
            previous: None,
        }
    }

    pub(super) fn render(&mut self, now: Instant, text: &mut Exposition) {
        let uptime = now.saturating_duration_since(self.started).as_secs_f64();
        text.single(
            "process_uptime_seconds",
            "gauge",
            "Time since the start.",
            uptime,
        );
        text.single(
            "process_start_time_seconds",
            "gauge",
            "Start, in seconds since 1970.",
            self.started_wall,
        );
        let Some(stat) = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|stat| parse_stat(&stat))
        else {
            return;
        };
        for (name, kind, help, value) in [
            (
                "process_resident_memory_bytes",
                "gauge",
                "Resident memory.",
                stat.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "gauge",
                "Virtual memory.",
                stat.virtual_bytes,
            ),
            ("process_threads", "gauge", "Threads.", stat.threads),
        ] {
            text.single(name, kind, help, value);
        }
        text.single(
            "process_cpu_seconds_total",
            "counter",
            "Processor time used.",
            stat.cpu_seconds,
        );
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory itself.
            let open = open.count().saturating_sub(1);
            text.single("process_open_fds", "gauge", "Open descriptors.", open);
            text.single(
                "process_files_open_files",
                "gauge",
                "Open descriptors.",
                open,
            );
        }
        if let Some(most) = fs::read_to_string("/proc/self/limits")
            .ok()
            .and_then(|limits| parse_max_files(&limits))
        {
            text.single("process_max_fds", "gauge", "Most open descriptors.", most);
            text.single(
                "process_files_max_files",
                "gauge",
                "Most open descriptors.",
                most,
            );
        }
        if let Some(load) = fs::read_to_string("/proc/loadavg")
            .ok()
            .and_then(|load| load.split(' ').next()?.parse::<f64>().ok())
        {
            text.single(
                "system_load_average_1m",
                "gauge",
                "Load of the machine over a minute.",
                load,
            );
        }
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        text.single(
            "system_cpu_count",
            "gauge",
            "Processors that this process may use.",
            processors,
        );
        let Some((busy, all)) = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|stat| parse_system(&stat))
        else {
            return;
        };
        let usage = Usage {
            at: now,
            process_seconds: stat.cpu_seconds,
            system_busy: busy,
            system_all: all,
        };
        let (process, system) = self
            .previous
            .map_or((0.0, 0.0), |before| usage.since(&before, processors as f64));
        self.previous = Some(usage);
        text.single(
            "process_cpu_usage",
            "gauge",
            "Share of the processors used by this process since the last scrape.",
            process,
        );
        text.single(
            "system_cpu_usage",
            "gauge",
            "Share of the processors in use since the last scrape.",
            system,
        );
    }
}

impl Usage {
    /// Shares (0 to 1) of the process and of everything.
    fn since(&self, before: &Usage, processors: f64) -> (f64, f64) {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        let process = if seconds > 0.0 {
            (self.process_seconds - before.process_seconds) / seconds / processors
        } else {
            0.0
        };
        let all = self.system_all.saturating_sub(before.system_all);
        let busy = self.system_busy.saturating_sub(before.system_busy);
        let system = if all > 0 {
            busy as f64 / all as f64
        } else {
            0.0
        };
        (process.clamp(0.0, 1.0), system.clamp(0.0, 1.0))
    }
}

/// Reads proc(5) `/proc/[pid]/stat`. The name in brackets may hold anything, so fields count from its end.
fn parse_stat(stat: &str) -> Option<Stat> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS,
        threads: field(20)?,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * PAGE,
    })
}

fn parse_max_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Busy and all ticks of the first line of `/proc/stat`.
fn parse_system(stat: &str) -> Option<(u64, u64)> {
    let ticks: Vec<u64> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let all: u64 = ticks.iter().sum();
    // Idle, and waiting for the disk.
    Some((all - ticks.get(3)? - ticks.get(4)?, all))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn files_of_proc_are_read() {
        let stat =
            "7 (a) b) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 100 1048576 25 184467";
        let expected = Stat {
            cpu_seconds: 2.0,
            threads: 9,
            virtual_bytes: 1_048_576,
            resident_bytes: 25 * 4_096,
        };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat("7 (a"), None);
        assert_eq!(
            parse_max_files(
                "Limit Soft\nMax open files            1024                 4096  files\n"
            ),
            Some(1_024)
        );
        assert_eq!(
            parse_system("cpu  10 0 5 80 5 0 0 0 0 0\ncpu0 1\n"),
            Some((15, 100))
        );
    }

    #[test]
    fn shares_are_of_the_time_between_scrapes() {
        let at = Instant::now();
        let before = Usage {
            at,
            process_seconds: 1.0,
            system_busy: 10,
            system_all: 100,
        };
        let after = Usage {
            at: at + Duration::from_secs(2),
            process_seconds: 3.0,
            system_busy: 60,
            system_all: 300,
        };
        assert_eq!(after.since(&before, 4.0), (0.25, 0.25));
        assert_eq!(before.since(&before, 4.0), (0.0, 0.0));
    }
}
