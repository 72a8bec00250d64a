//! Running programs: with their output in a file or on the terminal, within a time limit, and without leftovers.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
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

/// Runs a program with all its output in `log`, and ends it and all that it started at the limit.
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
                stop_tree(&mut child, Duration::from_secs(5));
                return Ok(End::TimedOut);
            }
            Ok(None) => thread::sleep(LOOK),
            Err(e) => return Err(format!("lost a child: {e}")),
        }
    }
}

/// Starts a program with all its output in `log`.
///
/// It stays in this process group, so that an interrupt at the terminal reaches it too.
///
/// # Errors
/// When the log cannot be made or the program cannot be started.
fn start_logged(command: &mut Command, log: &Path) -> Result<Child, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let open = || -> io::Result<(File, File)> {
        if let Some(dir) = log.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = File::create(log)?;
        Ok((file.try_clone()?, file))
    };
    let (out, err) = open().map_err(|e| format!("{}: {e}", log.display()))?;
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    command
        .spawn()
        .map_err(|e| format!("{name} cannot be started: {e}"))
}

/// Asks a program and all that it started to end, and insists after `patience`.
pub(crate) fn stop_tree(child: &mut Child, patience: Duration) {
    // Taken before anything ends: who loses its parent is no longer found.
    let tree = descendants(child.id(), &parents());
    let signal = |name: &str, who: &BTreeSet<u32>| {
        let who = who.iter().map(u32::to_string);
        // A failing `kill` means that some are gone already.
        let _gone = Command::new("kill")
            .arg(name)
            .args(who)
            .stderr(Stdio::null())
            .status();
    };
    signal("-TERM", &tree);
    let asked = Instant::now();
    while asked.elapsed() < patience && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(LOOK);
    }
    // Not the child itself when it is reaped: its number may be another's by now.
    let reaped = matches!(child.try_wait(), Ok(Some(_)));
    let alive: BTreeSet<u32> = parents().into_iter().map(|(pid, _)| pid).collect();
    let left = tree
        .into_iter()
        .filter(|pid| alive.contains(pid) && !(reaped && *pid == child.id()))
        .collect();
    signal("-KILL", &left);
    let _reaped = child.wait();
}

/// Every process with its parent, as Linux shows them.
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        Some((
            pid,
            parent_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?,
        ))
    })
    .collect()
}

/// The fourth field of `/proc/PID/stat`; the second, the name, may hold anything and ends at the last parenthesis.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn descendants(root: u32, parents: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut tree = BTreeSet::from([root]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| tree.contains(parent) && !tree.contains(pid))
            .map(|p| p.0)
            .collect();
        if more.is_empty() {
            return tree;
        }
        tree.extend(more);
    }
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

/// This program with its own arguments.
pub(crate) fn again() -> Command {
    let mut command = Command::new(crate::workspace::own_binary());
    command.args(std::env::args_os().skip(1));
    command
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

    #[test]
    fn a_tree_is_the_root_and_all_below() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 5)];
        assert_eq!(descendants(2, &parents), BTreeSet::from([2, 3, 4]));
        assert_eq!(parent_of("17 (a) b) S 4 17 17 0"), Some(4));
    }
}
