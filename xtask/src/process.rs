//! Running programs: with their output in a file or on the terminal, within a time limit, and without leftovers.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Success,
    Code(i32),
    TimedOut,
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::Success,
            Some(code) => Self::Code(code),
            // As a shell says it.
            None => Self::Code(128 + status.signal().unwrap_or(0)),
        }
    }
}

/// Runs a program on this terminal.
///
/// # Errors
/// When it cannot be started or ends with another status than 0.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .map_err(|e| format!("{name} cannot be started: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} ended with {status}"))
    }
}

/// Runs a program and gives back what it printed.
///
/// # Errors
/// When it cannot be started or ends with another status than 0.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{name} cannot be started: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(format!(
            "{name} ended with {}: {}",
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        ))
    }
}

/// Runs a program in a process group of its own with all its output in `log`, and ends the group at the limit.
///
/// # Errors
/// When the log cannot be made or the program cannot be started.
pub(crate) fn run_logged(
    command: &mut Command,
    log: &Path,
    limit: Duration,
) -> Result<End, Failure> {
    let mut child = start_logged(command, log)?;
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(End::of(status)),
            Ok(None) if started.elapsed() > limit => {
                stop_group(&mut child, Duration::from_secs(5));
                return Ok(End::TimedOut);
            }
            Ok(None) => thread::sleep(LOOK),
            Err(e) => return Err(format!("lost a child: {e}")),
        }
    }
}

/// Starts a program in a process group of its own with all its output in `log`.
///
/// # Errors
/// When the log cannot be made or the program cannot be started.
pub(crate) fn start_logged(command: &mut Command, log: &Path) -> Result<Child, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let open = || -> io::Result<(File, File)> {
        if let Some(dir) = log.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = File::create(log)?;
        Ok((file.try_clone()?, file))
    };
    let (out, err) = open().map_err(|e| format!("{}: {e}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0);
    command
        .spawn()
        .map_err(|e| format!("{name} cannot be started: {e}"))
}

/// Asks a process group to end, and insists after `patience`.
pub(crate) fn stop_group(child: &mut Child, patience: Duration) {
    let group = format!("-{}", child.id());
    let signal = |name: &str| {
        Command::new("kill")
            .args([name, "--", &group])
            .stderr(Stdio::null())
            .status()
    };
    let asked = Instant::now();
    // A failing `kill` means that the group is gone already.
    let _gone = signal("-TERM");
    while asked.elapsed() < patience {
        if let Ok(Some(_)) = child.try_wait() {
            break;
        }
        thread::sleep(LOOK);
    }
    let _gone = signal("-KILL");
    let _reaped = child.wait();
}

/// The last lines of a file, indented, for a message.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all[from..]
        .iter()
        .map(|line| format!("    | {line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn ends_and_output_are_told_apart() {
        let log = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        let minute = Duration::from_secs(60);
        assert_eq!(
            run_logged(&mut shell("echo out; echo err >&2"), &log, minute),
            Ok(End::Success)
        );
        assert_eq!(tail(&log, 9), "    | out\n    | err\n");
        assert_eq!(tail(&log, 1), "    | err\n");
        assert_eq!(
            run_logged(&mut shell("exit 3"), &log, minute),
            Ok(End::Code(3))
        );
        assert_eq!(
            run_logged(&mut shell("kill -9 $$"), &log, minute),
            Ok(End::Code(137))
        );
        // The grandchild would outlive the shell, were it not for the group.
        let stuck = run_logged(
            &mut shell("sleep 600 & wait"),
            &log,
            Duration::from_millis(100),
        );
        assert_eq!(stuck, Ok(End::TimedOut));
        fs::remove_file(&log).expect("the log was made above");
    }
}
