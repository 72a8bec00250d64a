//! `clients`: unmodified public client libraries as judges, each suite against a server of its own.
//!
//! The suites are programs under `tests/clients`; this fetches and builds copies of them below the target directory,
//! runs each with a fresh server, and judges what they print. Suites whose clients take UDP pushes run with their
//! server in a network namespace of their own, since those clients name the address of a real interface.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::counts::{self, Counts};
use crate::process::{End, run_logged, tail};
use crate::server::{Server, free_port};
use crate::workspace::{is_root, own_binary, root, target, target_folder};
use crate::{Failure, packages, process};

/// The slowest suite takes four minutes on an idle machine.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// One client library.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// What `tests/clients/run.sh` calls it.
    argument: &'static str,
    /// The version, where one suite serves several.
    java: Option<&'static str>,
    /// Takes UDP pushes: needs a network namespace.
    udp: bool,
    /// Checks without a user; fewer mean that a part did not run.
    least: u64,
    /// Why CI does not judge it yet.
    pub(crate) not_yet: Option<&'static str>,
}

/// One row a client library. A row without `not_yet` has a stage in `stages.rs`.
pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "java-1.4.8",
        argument: "java",
        java: Some("1.4.8"),
        udp: true,
        least: 70,
        not_yet: None,
    },
    Suite {
        name: "go-v1",
        argument: "go-v1",
        java: None,
        udp: true,
        least: 24,
        not_yet: None,
    },
    Suite {
        name: "python-http",
        argument: "python-http",
        java: None,
        udp: false,
        least: 27,
        not_yet: None,
    },
    Suite {
        name: "node",
        argument: "node",
        java: None,
        udp: true,
        least: 23,
        not_yet: None,
    },
    Suite {
        name: "java-2.5.1",
        argument: "java",
        java: Some("2.5.1"),
        udp: false,
        least: 85,
        not_yet: None,
    },
    Suite {
        name: "java-3.1.1",
        argument: "java",
        java: Some("3.1.1"),
        udp: false,
        least: 124,
        not_yet: None,
    },
    Suite {
        name: "go-v2",
        argument: "go-v2",
        java: None,
        udp: false,
        least: 29,
        not_yet: None,
    },
    Suite {
        name: "python-grpc",
        argument: "python-grpc",
        java: None,
        udp: false,
        least: 23,
        not_yet: None,
    },
    Suite {
        name: "rust",
        argument: "rust",
        java: None,
        udp: false,
        least: 22,
        not_yet: None,
    },
];

/// Prints the suites.
pub(crate) fn list() {
    for suite in SUITES {
        let state = suite
            .not_yet
            .map_or_else(String::new, |why| format!("   not in CI: {why}"));
        println!(
            "{:<12} at least {:>3} checks{state}",
            suite.name, suite.least
        );
    }
}

/// Fetches and builds suites (those of CI when none is named), without running them.
///
/// # Errors
/// When a tool is missing or a suite cannot be built.
pub(crate) fn prepare(names: &[String]) -> Result<(), Failure> {
    let chosen = choose(names)?;
    packages::ensure(packages::FOR_CLIENTS)?;
    let (mut ready, mut failed) = (0, Vec::new());
    for suite in chosen {
        let started = Instant::now();
        let log = target_folder("ci").join(format!("{}.prepare.log", suite.name));
        // Twice: a registry may hiccup.
        let done = (0..2).any(|_| {
            let mut command = run_sh(suite);
            command.env("CONFORM_PREPARE", "1");
            run_logged(&mut command, &log, LIMIT) == Ok(End::Success)
        });
        if done {
            println!(
                "PASS {} is ready ({} s)",
                suite.name,
                started.elapsed().as_secs()
            );
            ready += 1;
        } else {
            println!("FAIL {} cannot be built:\n{}", suite.name, tail(&log, 10));
            failed.push(suite.name);
        }
    }
    println!("{ready} passed, {} failed", failed.len());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("cannot be built: {}", failed.join(", ")))
    }
}

/// Prepares and runs suites (those of CI when none is named), one after the other, each as often as asked.
///
/// # Errors
/// When a check fails, or fewer run than should, in any run.
pub(crate) fn clients(names: &[String], runs: u32) -> Result<(), Failure> {
    let chosen = choose(names)?;
    let own: Vec<String> = chosen.iter().map(|s| s.name.to_owned()).collect();
    prepare(&own)?;
    let mut sum = Counts::default();
    let all = chosen.into_iter().enumerate();
    let all = all.flat_map(|(index, suite)| (1..=runs.max(1)).map(move |run| (index, suite, run)));
    for (index, suite, run) in all {
        println!("== {}, run {run} of {}", suite.name, runs.max(1));
        let counts = if suite.udp {
            suite_in_namespace(suite)?
        } else {
            let base = 18_000 + u16::try_from(index).unwrap_or(0) * 10;
            run_suite(suite, free_port(base)?)?
        };
        sum += counts;
    }
    println!("{sum}");
    if sum.failed == 0 {
        Ok(())
    } else {
        Err(format!("{} checks failed", sum.failed))
    }
}

/// The hidden command: one suite and its server in whatever network this process is in.
///
/// # Errors
/// As `clients`.
pub(crate) fn suite_here(name: &str, port: u16) -> Result<(), Failure> {
    let suite = SUITES
        .iter()
        .find(|s| s.name == name)
        .ok_or_else(|| format!("unknown suite {name}"))?;
    let counts = run_suite(suite, port)?;
    println!("{counts}");
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Suite>, Failure> {
    if names.is_empty() {
        return Ok(SUITES.iter().filter(|s| s.not_yet.is_none()).collect());
    }
    let find = |name: &String| {
        let found = SUITES.iter().find(|s| s.name == name);
        found.ok_or_else(|| format!("unknown suite {name}: cargo xtask clients --list"))
    };
    names.iter().map(find).collect()
}

fn suite_in_namespace(suite: &Suite) -> Result<Counts, Failure> {
    let script = root().join("tests/clients/namespaced.sh");
    // Without root, a user namespace gives what a network namespace asks for.
    let mut command = if is_root() {
        Command::new(script)
    } else {
        let mut command = Command::new("unshare");
        command.arg("-r").arg(script);
        command
    };
    command
        .arg(own_binary())
        .args(["suite", suite.name, "8848"]);
    let text = process::output(&mut command)?;
    let counts =
        counts::of_closing_line(&text).ok_or_else(|| format!("{} did not close", suite.name))?;
    // All but its closing line: there is one for all suites.
    let shown = text
        .trim_end()
        .rsplit_once('\n')
        .map_or("", |(lines, _)| lines);
    println!("{shown}");
    Ok(counts)
}

fn run_suite(suite: &Suite, port: u16) -> Result<Counts, Failure> {
    let name = format!("clients-{}", suite.name);
    let mut server = Server::start(&name, port, &[])?;
    let log = target_folder("ci").join(format!("{}.suite.log", suite.name));
    let mut command = match suite.java {
        Some(version) => java_sh(version, &server.address(), &name, port),
        None => run_sh(suite),
    };
    command.env("NACOS_ADDR", server.address());
    let end = run_logged(&mut command, &log, LIMIT)?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    let mut counts = judge(suite, &text);
    if end == End::TimedOut {
        println!(
            "FAIL {}: still running after {} minutes",
            suite.name,
            LIMIT.as_secs() / 60
        );
        counts.failed += 1;
    }
    if !server.is_alive() {
        println!("FAIL {}: the server ended while the suite ran", suite.name);
        counts.failed += 1;
    }
    if counts.failed > 0 {
        println!(
            "the end of the suite's log, {}:\n{}",
            log.display(),
            tail(&log, 15)
        );
        println!(
            "the end of the server's log, {}:\n{}",
            server.log().display(),
            tail(server.log(), 25)
        );
    }
    Ok(counts)
}

/// Judges what a suite printed: its `PASS` and `FAIL` lines against its closing line and the minimum.
fn judge(suite: &Suite, text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        if line.starts_with("FAIL ") {
            println!("{line}");
            counts.failed += 1;
        } else if line.starts_with("PASS ") {
            counts.passed += 1;
        } else if line.starts_with("KNOWN ")
            || line.starts_with("SKIP ")
            || line.starts_with("NOTE SKIP ")
        {
            println!("{line}");
        }
    }
    match counts::of_closing_line(text) {
        Some(sum) if sum.passed + sum.failed == counts.passed + counts.failed => {}
        closing => {
            println!(
                "FAIL {}: its lines say {counts}, its end {closing:?}",
                suite.name
            );
            counts.failed += 1;
        }
    }
    if counts.passed + counts.failed < suite.least {
        println!(
            "FAIL {}: {counts}, but it has {} checks",
            suite.name, suite.least
        );
        counts.failed += 1;
    }
    counts
}

/// Copies of the suites, with what they fetch and build beside them.
fn work_folder() -> PathBuf {
    target().join("clients")
}

fn run_sh(suite: &Suite) -> Command {
    let mut command = Command::new(root().join("tests/clients/run.sh"));
    command.current_dir(root()).arg(suite.argument);
    command.env("CONFORM_WORK", work_folder());
    command.env(
        "CONFORM_OUT",
        target_folder("ci").join("clients").join(suite.name),
    );
    // The suites share the machine with a debug server and with other stages.
    if std::env::var_os("NACOS_SLACK").is_none() {
        command.env("NACOS_SLACK", "3");
    }
    if let Some(version) = suite.java {
        command.env("JAVA_CLIENTS", version);
    }
    // The Rust suite is a workspace of its own; it must not share this one's artefacts.
    command.env_remove("CARGO_TARGET_DIR");
    command
}

/// The Java program itself, which can have its server crash and come back in the middle.
fn java_sh(version: &str, address: &str, server: &str, port: u16) -> Command {
    let mut command = Command::new("./run.sh");
    command.current_dir(work_folder().join("java")).args([
        version,
        "--server",
        address,
        "--restart-cmd",
    ]);
    command.arg(format!(
        "'{}' crash {server} {port}",
        own_binary().display()
    ));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: Suite = Suite {
        name: "x",
        argument: "x",
        java: None,
        udp: false,
        least: 3,
        not_yet: None,
    };

    #[test]
    fn a_suite_is_judged_by_its_lines_its_end_and_its_size() {
        let good = "PASS a (1 ms)\nPASS b (1 ms)\nNOTE 3\nPASS c\n3 passed, 0 failed\n";
        assert_eq!(judge(&SUITE, good).failed, 0);
        let failing = "PASS a\nPASS b\nFAIL c: why: so\n2 passed, 1 failed\n";
        assert_eq!(
            judge(&SUITE, failing),
            Counts {
                passed: 2,
                failed: 1,
                ignored: 0
            }
        );
        let short = "PASS a\nPASS b\n2 passed, 0 failed\n";
        assert_eq!(judge(&SUITE, short).failed, 1);
        let broken_off = "PASS a\nPASS b\nPASS c\n";
        assert_eq!(judge(&SUITE, broken_off).failed, 1);
        let wrong_sum = "PASS a\nPASS b\nPASS c\n9 passed, 0 failed\n";
        assert_eq!(judge(&SUITE, wrong_sum).failed, 1);
    }
}
