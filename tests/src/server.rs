//! A real `nacrite` process for one test: fresh data, ports of its own, ready when it is given out, gone when dropped.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{built, http, sample::is_full};

/// gRPC and the peers listen so far above HTTP.
const ABOVE: [u16; 2] = [1_000, 1_001];
/// A debug server on a busy machine takes a while.
pub const READY_WITHIN: Duration = Duration::from_secs(120);

/// The server under test: the binary of this program's own build, or the release binary for the full numbers.
///
/// # Panics
/// If it is not built.
#[must_use]
pub fn binary() -> PathBuf {
    let folder = match is_full() {
        true => built::target().join("release"),
        false => built::folder(),
    };
    let binary = folder.join("nacrite");
    assert!(
        binary.is_file(),
        "{} is not built: `cargo build --workspace`, and with `--release -p nacrite` for the full numbers",
        binary.display()
    );
    binary
}

/// Whether the server under test is optimised, so that its times say something.
#[must_use]
pub fn is_optimised() -> bool {
    is_full() || !cfg!(debug_assertions)
}

/// `nacrite` with these arguments, without settings from this process's environment.
#[must_use]
pub fn nacrite(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NACRITE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `nacrite` with these arguments to its end.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn run(arguments: &[&str]) -> Output {
    nacrite(arguments)
        .output()
        .expect("the binary can be started")
}

/// Everything that a program said.
#[must_use]
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A port that is free together with those above it.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Below what the system gives out by itself; where to begin differs between processes, and within one no port is
    // given out twice: its server may not have started yet.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 1_000) as u16 * 8;
    // A port given out is not listened on at once: the next test of this process takes another.
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = start + GIVEN.fetch_add(3, Ordering::Relaxed);
    (0..8_000)
        .map(|_| 20_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 8_000)
        .find(|port| free(*port) && ABOVE.iter().all(|above| free(port + above)))
        .expect("one of thousands of ports is free")
}

/// How many files a process may have open, after asking for as many as are allowed. The server inherits it.
#[must_use]
pub fn open_files() -> usize {
    let limit = |place: usize| -> usize {
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits.lines().find(|l| l.starts_with("Max open files"));
        let word = line.and_then(|l| l.split_whitespace().nth(place)?.parse().ok());
        word.unwrap_or(1_024)
    };
    let hard = limit(4);
    // Where the program is missing the limit stays; what needs more says so itself.
    let _raised = Command::new("prlimit")
        .arg(format!("--pid={}", std::process::id()))
        .arg(format!("--nofile={hard}:{hard}"))
        .status();
    limit(3)
}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Setup {
    data: PathBuf,
    port: u16,
    more: Vec<String>,
}

impl Setup {
    /// A server with this data folder, on a free port.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            port: free_port(),
            more: Vec::new(),
        }
    }

    /// With further arguments of `serve`.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// The port for HTTP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the server's output goes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// The command that serves.
    #[must_use]
    pub fn command(&self) -> Command {
        let data = self
            .data
            .to_str()
            .expect("temporary folders have plain names");
        let port = self.port.to_string();
        let mut command = nacrite(&[
            "serve",
            "--data",
            data,
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
        ]);
        command.args(&self.more);
        command
    }

    /// Starts it, and does not wait for anything.
    ///
    /// # Panics
    /// If the process cannot be started.
    #[must_use]
    pub fn spawn(&self) -> Server {
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log can be written");
        let err = log.try_clone().expect("a file can be shared");
        let mut command = self.command();
        let child = command
            .stdout(log)
            .stderr(err)
            .spawn()
            .expect("the binary can be started");
        Server {
            setup: self.clone(),
            child,
            started: Instant::now(),
        }
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it ends or does not get ready: with the end of its log.
    #[must_use]
    pub fn start(&self) -> Server {
        let mut server = self.spawn();
        server.await_ready();
        server
    }
}

/// A running server; dropping it kills it.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    child: Child,
    started: Instant,
}

impl Server {
    /// The port for HTTP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.setup.port
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.setup.data()
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is ready; how long that took since the start.
    ///
    /// # Panics
    /// If it ends or does not get ready: with the end of its log.
    pub fn await_ready(&mut self) -> Duration {
        let deadline = self.started + READY_WITHIN;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!(
                    "the server ended with {status} while starting\n{}",
                    self.log_tail()
                );
            }
            let asked = http::ask(
                self.setup.port,
                "GET",
                "/nacos/v1/console/health/readiness",
                "",
            );
            if asked.is_ok_and(|a| a.status == 200) {
                return self.started.elapsed();
            }
            assert!(
                Instant::now() < deadline,
                "the server is not ready in time\n{}",
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A request over a connection of its own.
    ///
    /// # Panics
    /// If there is no answer: with the end of the server's log.
    pub fn ask(&self, method: &str, target: &str, form: &str) -> http::Answer {
        http::ask(self.setup.port, method, target, form)
            .unwrap_or_else(|e| panic!("{method} {target}: {e}\n{}", self.log_tail()))
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Panics
    /// If the operating system refuses.
    pub fn kill(mut self) {
        self.child.kill().expect("an own child can be killed");
        self.child.wait().expect("an own child can be waited for");
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Panics
    /// If `kill` cannot be run.
    pub fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status();
        assert!(sent.expect("`kill` can be run").success());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end in time: with the end of its log.
    pub fn await_end(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("an own child can be asked") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the server does not end\n{}",
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Memory that the process has in RAM, bytes (`VmRSS`).
    ///
    /// # Panics
    /// If the process is gone.
    #[must_use]
    pub fn resident(&self) -> u64 {
        memory(self.pid())
            .expect("a running process has a status")
            .1
    }

    /// The end of what it printed.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.setup.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = (self.child.kill(), self.child.wait());
    }
}

/// Memory of a process that is not shared with files, bytes, and all that is resident (`RssAnon`, `VmRSS`).
///
/// # Errors
/// The process is gone.
pub fn memory(pid: u32) -> io::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1_024)
    };
    // One that has ended and is not waited for has none.
    let both = of("RssAnon:").zip(of("VmRSS:"));
    both.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The last lines of a file.
#[must_use]
pub fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
