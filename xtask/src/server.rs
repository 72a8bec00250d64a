//! A server for one suite: fresh data, ports of its own, ready when this returns, gone when it is dropped.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::process::{start_logged, stop_tree, tail};
use crate::workspace::{server_binary, target_folder};

/// A debug server on a busy machine takes a while.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    port: u16,
    data: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Starts a server on 127.0.0.1 and waits until it says that it is ready.
    ///
    /// `name` names its data folder and log; `more` are further arguments of `serve`.
    ///
    /// # Errors
    /// When there is no binary, it ends at once, or it is not ready within a minute: the end of its log.
    pub(crate) fn start(name: &str, port: u16, more: &[&str]) -> Result<Self, Failure> {
        let binary = server_binary();
        if !binary.is_file() {
            return Err(format!(
                "{} is not built: cargo build --workspace --all-targets",
                binary.display()
            ));
        }
        let data = target_folder("ci/data").join(name);
        if data.exists() {
            fs::remove_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
        }
        let log = target_folder("ci").join(format!("{name}.server.log"));
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data").arg(&data);
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(more);
        let child = start_logged(&mut command, &log)?;
        let mut server = Self {
            child,
            port,
            data,
            log,
        };
        server.await_ready()?;
        Ok(server)
    }

    /// `127.0.0.1:port`, as the suites want it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it is still running: a suite may pass in spite of a crash.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn await_ready(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            if !self.is_alive() {
                return Err(format!(
                    "the server ended while starting; its log:\n{}",
                    tail(&self.log, 20)
                ));
            }
            if status(self.port, "/nacos/v1/console/health/readiness") == Some(200) {
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

impl Drop for Server {
    fn drop(&mut self) {
        stop_tree(&mut self.child, Duration::from_secs(10));
        // The next run removes what this one could not.
        let _left = fs::remove_dir_all(&self.data);
    }
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
/// When there is none within 100.
pub(crate) fn free_port(base: u16) -> Result<u16, Failure> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut ports = base..base + 100;
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
    fn a_taken_port_is_passed_over() {
        let taken = (24_000..25_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
        let taken = taken.expect("one of a thousand ports is free");
        let port = taken.local_addr().expect("it is bound").port();
        let found = free_port(port).expect("another of a hundred ports is free");
        assert!(found > port);
    }
}
