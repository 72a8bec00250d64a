//! `test`: runs the stages on as many lanes as the machine bears, with a log each, and sums them up.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::counts::{self, Counts};
use crate::process::{End, run_logged, tail};
use crate::stages::{Lane, Needs, STAGES, Stage};
use crate::workspace::{cargo, has_program, own_binary, root, target_folder};
use crate::{Failure, packages, process, wasm};

/// Stages of the waiting lane that run at once.
const WAITING_AT_ONCE: usize = 4;

/// The stage that builds the modules, which comes before the build.
const MODULES: &str = "wasm";

/// The stage that compares with recordings of real servers: like the client suites, on both engines with `--full`.
const GOLDEN: &str = "golden";

/// What became of a stage.
struct Outcome {
    name: &'static str,
    counts: Counts,
    took: Duration,
    /// Empty when it passed.
    why: String,
}

/// Prints the table of stages.
pub(crate) fn list() {
    println!("{:<14} {:<10} {:>7}  what passes", "stage", "lane", "limit");
    for stage in STAGES {
        println!(
            "{:<14} {:<10} {:>3} min  {}",
            stage.name,
            format!("{:?}", stage.lane),
            stage.minutes,
            stage.about
        );
    }
    for suite in crate::clients::SUITES {
        if let Some(why) = suite.not_yet {
            println!("not yet: client {} ({why})", suite.name);
        }
    }
}

/// Runs of each client suite in a row, with `--full`: a real client may fail one run in three.
const CLIENT_RUNS: &str = "3";

/// Runs all stages, or those named; prints a table and, last, `N passed, N failed`.
///
/// # Errors
/// When a name is unknown or a stage fails.
pub(crate) fn test(full: bool, only: &[String]) -> Result<(), Failure> {
    if let Some(name) = only
        .iter()
        .find(|name| STAGES.iter().all(|stage| stage.name != name.as_str()))
    {
        return Err(format!("unknown stage {name}: cargo xtask test --list"));
    }
    let chosen: Vec<Stage> = STAGES
        .iter()
        .filter(|s| only.is_empty() || only.iter().any(|name| name == s.name))
        .copied()
        .collect();
    let started = Instant::now();
    println!("{}", machine(full));
    let run = Run {
        full,
        done: Mutex::new(Vec::new()),
    };
    run.prelude(&chosen);
    let outcomes = run
        .done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut sum = Counts::default();
    println!(
        "\n{:<14} {:>7} {:>7} {:>9}",
        "stage", "passed", "failed", "time"
    );
    for outcome in &outcomes {
        let Counts { passed, failed, .. } = outcome.counts;
        let time = format!("{} s", outcome.took.as_secs());
        println!(
            "{:<14} {passed:>7} {failed:>7} {time:>9}  {}",
            outcome.name, outcome.why
        );
        sum += outcome.counts;
    }
    let all = started.elapsed().as_secs();
    println!(
        "{} min {} s in all; logs in {}\n",
        all / 60,
        all % 60,
        target_folder("ci").display()
    );
    println!("{sum}");
    if sum.failed == 0 {
        Ok(())
    } else {
        Err(String::from("a stage failed"))
    }
}

/// Date and machine, for the figures that follow.
fn machine(full: bool) -> String {
    let date = process::output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))
        .unwrap_or_default();
    let field = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default();
        line.split_once(':')
            .map_or(String::from("unknown"), |(_, value)| {
                value.trim().to_owned()
            })
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let tier = if full { "full proof" } else { "CI's samples" };
    let (cpu, memory) = (
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal"),
    );
    format!(
        "{tier}; {}; {cores} cores ({cpu}), memory {memory}",
        date.trim()
    )
}

struct Run {
    full: bool,
    done: Mutex<Vec<Outcome>>,
}

impl Run {
    /// Builds while the client suites are fetched, then runs the lanes.
    fn prelude(&self, chosen: &[Stage]) {
        let suites: Vec<&'static str> = chosen
            .iter()
            .filter(|s| s.needs == Needs::Clients)
            .map(|s| s.name)
            .collect();
        let needs_build = chosen.iter().any(|s| s.needs != Needs::Nothing);
        let (built, ready) = thread::scope(|scope| {
            let ready = scope.spawn(|| suites.is_empty() || self.prepare(&suites));
            // First: the server embeds the module.
            for stage in chosen.iter().filter(|stage| stage.name == MODULES) {
                self.stage(stage);
            }
            let built = !needs_build || self.build();
            // Waiting stages could start while suites are still being fetched, but that takes less than the build.
            (built, ready.join().unwrap_or(false))
        });
        let able = |stage: &&Stage| match stage.needs {
            Needs::Nothing => true,
            Needs::Build => built,
            Needs::Clients => built && ready,
        };
        for stage in chosen.iter().filter(|stage| !able(stage)) {
            self.note(
                stage.name,
                Duration::ZERO,
                Err((
                    Counts::default(),
                    String::from("not run: what it needs could not be built"),
                )),
            );
        }
        let lane = |lane: Lane| {
            chosen
                .iter()
                .filter(able)
                .filter(move |s| s.lane == lane)
                .collect::<Vec<_>>()
        };
        let waiting = Mutex::new(lane(Lane::Waiting).into_iter());
        thread::scope(|scope| {
            for _ in 0..WAITING_AT_ONCE {
                scope.spawn(|| {
                    loop {
                        // A separate statement, so that the queue is not held while the stage runs.
                        let next = waiting.lock().ok().and_then(|mut queue| queue.next());
                        let Some(stage) = next else { break };
                        self.stage(stage);
                    }
                });
            }
            lane(Lane::Computing)
                .into_iter()
                .filter(|stage| stage.name != MODULES)
                .for_each(|stage| self.stage(stage));
        });
        lane(Lane::Alone)
            .into_iter()
            .for_each(|stage| self.stage(stage));
    }

    fn build(&self) -> bool {
        // The build says so itself if it misses something.
        if let Err(why) = packages::ensure(packages::FOR_BUILD) {
            println!("{why}");
        }
        let mut command = cargo();
        // All targets at once: one unification of features, one set of artefacts for every stage.
        command.args(["build", "--workspace", "--all-targets"]);
        wasm::embed(&mut command);
        let one = |_: &str| Counts {
            passed: 1,
            ..Counts::default()
        };
        let mut built = self.step("build", &mut command, 40, one);
        if self.full {
            // The full numbers are those of what users run.
            let mut release = cargo();
            release.args(["build", "--release", "--package", "nacrite"]);
            wasm::embed(&mut release);
            built &= self.step("release", &mut release, 40, one);
        }
        built
    }

    fn prepare(&self, suites: &[&str]) -> bool {
        let mut command = own_command("10");
        command.args(["clients", "--prepare"]).args(suites);
        self.step("prepare", &mut command, 40, |text| {
            counts::of_closing_line(text).unwrap_or_default()
        })
    }

    fn stage(&self, stage: &Stage) {
        let mut command;
        let count: fn(&str) -> Counts;
        if stage.tests.is_empty() {
            command = own_command(if stage.lane == Lane::Computing {
                "5"
            } else {
                "0"
            });
            command.args(stage.xtask);
            if self.full && stage.needs == Needs::Clients {
                command.args(["--runs", CLIENT_RUNS]);
            }
            count =
                |text| counts::of_closing_line(text).unwrap_or_else(|| counts::of_cargo_test(text));
        } else {
            // A test that misses a program fails and says so; here is only why nothing was installed.
            if let Err(why) = packages::ensure_for_tests(stage.tests) {
                println!("{}: {why}", stage.name);
            }
            command = cargo();
            // The whole workspace, so that features unify as in the build.
            command.args(["test", "--workspace", "--no-fail-fast"]);
            for name in stage.tests {
                command.args(["--test", name]);
            }
            // Bugs are planted in no other build.
            if stage.tests.contains(&"planted") {
                command.args(["--features", "nacrite-tests/planted"]);
            }
            wasm::embed(&mut command);
            // What tests measure stands in the log, also of those that pass.
            command.args(["--", "--show-output"]);
            count = counts::of_cargo_test;
        }
        self.step(stage.name, &mut command, stage.minutes, count);
        if self.full && (stage.needs == Needs::Clients || stage.name == GOLDEN) {
            let mut again = own_command("0");
            again.args(stage.xtask).args(["--engine", "wasm"]);
            let name = format!("{}-wasm", stage.name);
            self.step(name.leak(), &mut again, stage.minutes, count);
        }
    }

    /// Runs one command with its log; whether it passed.
    fn step(
        &self,
        name: &'static str,
        command: &mut Command,
        minutes: u64,
        count: fn(&str) -> Counts,
    ) -> bool {
        println!("{name}: started");
        let started = Instant::now();
        let log = log_of(name);
        command.current_dir(root());
        if self.full {
            command.env("NACRITE_FULL", "1");
        }
        let limit = Duration::from_secs(minutes * 60 * if self.full { 3 } else { 1 });
        let end = run_logged(command, &log, limit);
        let counts = count(&fs::read_to_string(&log).unwrap_or_default());
        self.note(
            name,
            started.elapsed(),
            end.map_err(|why| (counts, why))
                .and_then(|end| verdict(end, counts)),
        )
    }

    fn note(
        &self,
        name: &'static str,
        took: Duration,
        verdict: Result<Counts, (Counts, Failure)>,
    ) -> bool {
        let (counts, why) = match verdict {
            Ok(counts) => (counts, String::new()),
            // Whatever a program counted, a stage that failed has a failure.
            Err((counts, why)) => (
                Counts {
                    failed: counts.failed.max(1),
                    ..counts
                },
                why,
            ),
        };
        let passed = why.is_empty();
        println!(
            "{name}: {} after {} s ({counts}) {why}",
            if passed { "passed" } else { "FAILED" },
            took.as_secs()
        );
        if !passed {
            print!("{}", tail(&log_of(name), 40));
        }
        if let Ok(mut done) = self.done.lock() {
            done.push(Outcome {
                name,
                counts,
                took,
                why,
            });
        }
        passed
    }
}

/// Whether a stage passed: by its end, its failures, and that it ran something and left nothing out.
fn verdict(end: End, counts: Counts) -> Result<Counts, (Counts, Failure)> {
    let why = match end {
        End::TimedOut => String::from("ended at its time limit"),
        End::Code(code) => format!("ended with status {code}"),
        End::Success if counts.failed > 0 => String::from("counted failures"),
        End::Success if counts.ignored > 0 => format!("{} tests are ignored", counts.ignored),
        End::Success if counts.passed == 0 => String::from("ran no check"),
        End::Success => return Ok(counts),
    };
    Err((counts, why))
}

fn log_of(name: &str) -> PathBuf {
    target_folder("ci").join(format!("{name}.log"))
}

/// This program again, with lower priority than what is sensitive to time.
fn own_command(nice: &str) -> Command {
    if nice == "0" || !has_program("nice") {
        return Command::new(own_binary());
    }
    let mut command = Command::new("nice");
    command.args(["-n", nice]).arg(own_binary());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_passes_only_when_it_ran_something_and_nothing_failed() {
        let counted = |passed, failed, ignored| Counts {
            passed,
            failed,
            ignored,
        };
        assert!(verdict(End::Success, counted(3, 0, 0)).is_ok());
        assert!(verdict(End::Success, counted(0, 0, 0)).is_err());
        assert!(verdict(End::Success, counted(3, 1, 0)).is_err());
        assert!(verdict(End::Success, counted(3, 0, 1)).is_err());
        assert!(verdict(End::Code(101), counted(3, 0, 0)).is_err());
        assert!(verdict(End::TimedOut, counted(3, 0, 0)).is_err());
    }
}
