//! A server for one suite: fresh data, ports of its own, ready when this returns, gone when it is dropped.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::process::{stop_tree, tail};
use crate::workspace::{server_binary, target_folder};

/// Where a server says that it is ready, by generation.
const READINESS: [&str; 2] = [
    "/nacos/v1/console/health/readiness",
    "/nacos/v3/admin/core/state/readiness",
];
/// A debug server on a busy machine takes a while.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running server; dropping it ends it.
pub(crate) struct Server {
    files: Files,
    port: u16,
    child: Child,
}

/// What belongs to the server of one name.
struct Files {
    data: PathBuf,
    log: PathBuf,
    /// The number of the process that serves: a restart replaces the one that was started first.
    pid: PathBuf,
}

/// Names the engine of the servers that this program and those it starts give out: `native` unless it is set.
pub(crate) const ENGINE: &str = "XTASK_ENGINE";

/// A name that says so too, if the engine is not the usual one.
pub(crate) fn with_engine(name: &str) -> String {
    std::env::var(ENGINE).map_or(name.to_owned(), |engine| format!("{name}-{engine}"))
}

impl Files {
    fn of(name: &str) -> Self {
        let name = &with_engine(name);
        let ci = target_folder("ci");
        Self {
            data: target_folder("ci/data").join(name),
            log: ci.join(format!("{name}.server.log")),
            pid: ci.join(format!("{name}.server.pid")),
        }
    }

    fn serving(&self) -> Option<u32> {
        fs::read_to_string(&self.pid).ok()?.trim().parse().ok()
    }

    fn spawn(&self, port: u16, more: &[&str]) -> Result<Child, Failure> {
        let binary = server_binary();
        if !binary.is_file() {
            return Err(format!(
                "{} is not built: cargo build --workspace --all-targets",
                binary.display()
            ));
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let open = log.and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = open.map_err(|e| format!("{}: {e}", self.log.display()))?;
        let mut command = Command::new(binary);
        command
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .args(["--bind", "127.0.0.1"]);
        if let Some(engine) = std::env::var_os(ENGINE) {
            command.arg("--engine").arg(engine);
        }
        command
            .args(["--port", &port.to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        // The server takes every variable of this prefix for a setting.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NACRITE_"))
        {
            command.env_remove(name);
        }
        let child = command
            .spawn()
            .map_err(|e| format!("the server cannot be started: {e}"))?;
        fs::write(&self.pid, child.id().to_string())
            .map_err(|e| format!("{}: {e}", self.pid.display()))?;
        Ok(child)
    }

    fn await_ready(&self, port: u16, child: &mut Child) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            // Each `compat` serves at least one of them.
            let ready = READINESS.iter().any(|path| status(port, path) == Some(200));
            // After the question: another server may have the port, and have answered.
            if !matches!(child.try_wait(), Ok(None)) {
                return Err(format!(
                    "the server ended while starting; its log:\n{}",
                    tail(&self.log, 20)
                ));
            }
            if ready {
                return Ok(());
            }
            if started.elapsed() > READY_WITHIN {
                return Err(format!(
                    "the server is not ready after a minute; its log:\n{}",
                    tail(&self.log, 20)
                ));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Server {
    /// Starts a server on 127.0.0.1 and waits until it says that it is ready.
    ///
    /// `name` names its data folder and log; `more` are further arguments of `serve`.
    ///
    /// # Errors
    /// When there is no binary, it ends at once, or it is not ready within a minute: the end of its log.
    pub(crate) fn start(name: &str, port: u16, more: &[&str]) -> Result<Self, Failure> {
        let files = Files::of(name);
        if files.data.exists() {
            fs::remove_dir_all(&files.data)
                .map_err(|e| format!("{}: {e}", files.data.display()))?;
        }
        // An earlier run's log; a missing one is as good.
        let _absent = fs::remove_file(&files.log);
        let child = files.spawn(port, more)?;
        let mut server = Self { files, port, child };
        server.files.await_ready(port, &mut server.child)?;
        Ok(server)
    }

    /// `127.0.0.1:port`, as the suites want it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.files.log
    }

    /// Whether it is still running: a suite may pass in spite of a crash.
    pub(crate) fn is_alive(&mut self) -> bool {
        match self.files.serving() {
            Some(pid) if pid != self.child.id() => is_running(pid),
            _ => matches!(self.child.try_wait(), Ok(None)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(other) = self.files.serving().filter(|pid| *pid != self.child.id()) {
            signal("-TERM", other);
            if !ends_within(other, Duration::from_secs(10)) {
                signal("-KILL", other);
            }
        }
        stop_tree(&mut self.child, Duration::from_secs(10));
        // The next run removes what this one could not.
        let _left = (
            fs::remove_dir_all(&self.files.data),
            fs::remove_file(&self.files.pid),
        );
    }
}

/// Kills the server of that name as a crash would and starts another on its data; returns when that one is ready.
///
/// # Errors
/// When there is none, or the new one does not get ready.
pub(crate) fn crash_and_restart(name: &str, port: u16) -> Result<(), Failure> {
    let files = Files::of(name);
    let pid = files.serving().ok_or_else(|| format!("no server {name}"))?;
    signal("-KILL", pid);
    if !ends_within(pid, Duration::from_secs(10)) {
        return Err(format!("{pid} does not end"));
    }
    let mut child = files.spawn(port, &[])?;
    // It outlives this process: whoever started the first one ends it.
    files.await_ready(port, &mut child)
}

fn signal(name: &str, pid: u32) {
    // A failing `kill` means that it is gone already.
    let _gone = Command::new("kill")
        .args([name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

fn ends_within(pid: u32, patience: Duration) -> bool {
    let asked = Instant::now();
    while is_running(pid) {
        if asked.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Whether a process is there and more than a name that nobody has asked for yet.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The status of a GET to this machine.
fn status(port: u16, path: &str) -> Option<u16> {
    let limit = Some(Duration::from_secs(5));
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), limit?).ok()?;
    stream.set_read_timeout(limit).ok()?;
    stream.set_write_timeout(limit).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    parse_status(&head)
}

fn parse_status(head: &[u8; 12]) -> Option<u16> {
    let text = std::str::from_utf8(head).ok()?;
    text.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok()
}

/// The first port from `base` on that is free together with the gRPC and peer ports above it.
///
/// # Errors
/// When there is none within 50.
pub(crate) fn free_port(base: u16) -> Result<u16, Failure> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // A suite on another engine may look for its port at the same moment.
    let base = base
        + if std::env::var_os(ENGINE).is_some() {
            50
        } else {
            0
        };
    let mut ports = base..base + 50;
    let found = ports.find(|port| free(*port) && free(port + 1000) && free(port + 1001));
    found.ok_or_else(|| format!("no free port from {base} on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_first_bytes() {
        assert_eq!(parse_status(b"HTTP/1.1 200"), Some(200));
        assert_eq!(parse_status(b"HTTP/1.0 503"), Some(503));
        assert_eq!(parse_status(b"SSH-2.0-Open"), None);
    }

    #[test]
    fn a_process_runs_until_it_has_ended() {
        assert!(is_running(std::process::id()));
        let mut child = Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep is there");
        assert!(is_running(child.id()));
        signal("-KILL", child.id());
        // Not reaped, and yet not running.
        assert!(ends_within(child.id(), Duration::from_secs(60)));
        child.wait().expect("it was started above");
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = (24_000..25_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let taken = taken.expect("one of a thousand ports is free");
        let port = taken.local_addr().expect("it is bound").port();
        let found = free_port(port).expect("another of a hundred ports is free");
        assert!(found > port);
    }
}
