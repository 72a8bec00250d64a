//! The processes that are measured: started on free ports, stopped when dropped, their CPU and memory read from `/proc`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nacrite_tests::{server::free_port, way::Protocol};
use tempfile::TempDir;

use crate::{
    Failure,
    wire::{Wire, request},
};

// What a client asks; answered 503 until the data is open.
const READY: &str = "/v1/ns/instance/list?serviceName=ready";
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running server and its data, both gone when this is.
pub(crate) struct Served {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It is measured no more, and its data go with it.
        let _gone = (self.child.kill(), self.child.wait());
    }
}

/// How a server is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is asked to end, and ends in order.
    Clean,
    /// `kill -9`.
    Killed,
}

impl Served {
    /// Starts the server with its default settings on fresh data, and waits until it serves.
    pub(crate) async fn start(program: &Path) -> Result<Self, Failure> {
        Self::start_with(program, &[]).await
    }

    /// Also with these arguments.
    pub(crate) async fn start_with(program: &Path, more: &[&str]) -> Result<Self, Failure> {
        // Beside the program: a folder for temporary files may be in memory, where a sync costs nothing.
        let beside = program.parent().unwrap_or(Path::new("."));
        Self::on(program, tempfile::tempdir_in(beside)?, more).await
    }

    /// Stops the server and starts it again on its data; how long until it serves.
    pub(crate) async fn again(
        mut self,
        program: &Path,
        how: Stop,
    ) -> Result<(Self, Duration), Failure> {
        match how {
            Stop::Killed => self.child.kill()?,
            Stop::Clean => {
                let pid = self.pid().to_string();
                if !Command::new("kill")
                    .args(["-TERM", &pid])
                    .status()?
                    .success()
                {
                    return Err("the server cannot be asked to end".into());
                }
            }
        }
        self.child.wait()?;
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir()?);
        let start = Instant::now();
        let served = Self::on(program, folder, &[]).await?;
        Ok((served, start.elapsed()))
    }

    async fn on(program: &Path, folder: TempDir, more: &[&str]) -> Result<Self, Failure> {
        let port = free_port();
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--data")
            .arg(folder.path().join("data"))
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(more)
            .stdout(Stdio::null())
            .stderr(log);
        Self::ready(command, port, folder).await
    }

    /// Starts a bare server that gives these answers.
    pub(crate) async fn bare(answers: &[u8], protocol: Protocol) -> Result<Self, Failure> {
        let port = free_port();
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("answers");
        fs::write(&file, answers)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("--bare")
            .arg(&file)
            .arg(port.to_string())
            .stdout(Stdio::null());
        if protocol == Protocol::Grpc {
            command.arg("--bare-grpc");
        }
        Self::ready(command, port, folder).await
    }

    async fn ready(mut command: Command, port: u16, folder: TempDir) -> Result<Self, Failure> {
        let start = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut served = Self {
            child: command.stdin(Stdio::null()).spawn()?,
            address,
            folder,
        };
        let ready = request("GET", READY);
        loop {
            let asked = async { Wire::open(address).await?.ask(&ready).await };
            if matches!(asked.await, Ok(200)) {
                return Ok(served);
            }
            if let Some(status) = served.child.try_wait()? {
                return Err(format!("the server ended while starting: {status}").into());
            }
            if start.elapsed() > READY_WITHIN {
                return Err("the server is not ready in time".into());
            }
            tokio::time::sleep(Duration::from_micros(250)).await;
        }
    }

    /// Number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// CPU that a process has used, of all its threads, user and system.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat)
        .map(|ticks| Duration::from_millis(ticks * 10))
        .ok_or_else(|| "/proc/PID/stat is not understood".into())
}

/// utime and stime of a line of `/proc/PID/stat`; a tick is 10 ms on every Linux.
fn ticks(stat: &str) -> Option<u64> {
    // The name in brackets may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_behind_the_name() {
        assert_eq!(
            ticks("7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 50 6 0 0 20 0 1"),
            Some(56)
        );
        assert_eq!(ticks("7"), None);
    }
}
