//! `run`, `build` and `bench`: what builds the server and hands over to it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::workspace::{cargo, root, target, target_folder};
use crate::{Failure, packages, process, wasm};

/// Builds for release and becomes a standalone server on 8848 with its data in `./data`.
///
/// # Errors
/// When the build fails or the server cannot be started.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    before_build();
    let mut server = cargo();
    process::run(wasm::embed(server.args([
        "build",
        "--release",
        "--package",
        "nacrite",
    ])))?;
    let data = root().join("data");
    println!();
    println!(
        "HTTP  http://127.0.0.1:8848    gRPC  127.0.0.1:9848    data  {}",
        data.display()
    );
    println!(
        "try   curl -X POST 'http://127.0.0.1:8848/nacos/v1/cs/configs?dataId=hello&group=DEFAULT_GROUP&content=world'"
    );
    println!(
        "      curl 'http://127.0.0.1:8848/nacos/v1/cs/configs?dataId=hello&group=DEFAULT_GROUP'"
    );
    println!();
    let mut server = Command::new(target().join("release").join("nacrite"));
    server
        .current_dir(root())
        .args(["serve", "--data", "data", "--port", "8848"])
        .args(arguments);
    // Becomes the server, so that a signal reaches it and nothing stands between it and the terminal.
    let failed = server.exec();
    Err(format!("the server cannot be started: {failed}"))
}

/// Sees to what the build needs, and builds the modules. The server runs natively without them, so a machine that cannot build them is told so.
fn before_build() {
    if let Err(why) = packages::ensure(packages::FOR_BUILD) {
        println!("{why}");
    }
    if let Err(why) = wasm::modules() {
        println!(
            "WebAssembly modules left out: {}",
            why.lines().next().unwrap_or_default()
        );
    }
}

/// Builds the workspace, with the modules if this machine can.
///
/// # Errors
/// When cargo does.
pub(crate) fn build(release: bool) -> Result<(), Failure> {
    before_build();
    let mut command = cargo();
    wasm::embed(command.args(["build", "--workspace"]));
    if release {
        command.arg("--release");
    }
    process::run(&mut command)
}

/// Builds the server and hands over to the measuring program, both for release.
///
/// # Errors
/// When it cannot be built or ends with another status than 0.
pub(crate) fn bench(arguments: &[String]) -> Result<(), Failure> {
    if let Some((_, more)) = arguments
        .split_first()
        .filter(|(first, _)| *first == "balance")
    {
        return bench_balance(more);
    }
    // The program measures the server that lies beside it.
    before_build();
    let mut server = cargo();
    process::run(wasm::embed(server.args([
        "build",
        "--release",
        "--package",
        "nacrite",
    ])))?;
    let mut bench = cargo();
    bench.args([
        "run",
        "--release",
        "--package",
        "nacrite-tests",
        "--bin",
        "bench",
    ]);
    process::run(wasm::embed(&mut bench).arg("--").args(arguments))
}

/// Builds the rules and what measures them, for release, and hands over to it.
fn bench_balance(arguments: &[String]) -> Result<(), Failure> {
    wasm::wasm()?;
    let mut bench = cargo();
    bench.args([
        "run",
        "--release",
        "--package",
        "nacrite-balance-bench",
        "--",
    ]);
    bench.arg("--modules").arg(target().join("wasm"));
    bench.arg("--work").arg(target_folder("bench-balance"));
    process::run(bench.args(arguments))
}
