//! The WebAssembly build: finds a toolchain for wasm32, installs one on Debian, or says how to get one.
//!
//! Never calls rustup: with its auto-install on, `rust-toolchain.toml` has already brought the target.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::workspace::{cargo, has_program, root, target};
use crate::{Failure, packages, process};

const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's own compiler for web applications, with the sources of the standard library.
const DEBIAN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// A way to compile for wasm32.
enum Toolchain {
    /// The current toolchain has the target.
    Installed,
    /// A compiler with the sources of the standard library, which it builds along.
    FromSource {
        rustc: PathBuf,
        cargo: PathBuf,
        linker: PathBuf,
    },
}

/// Where the engine module is after `wasm`.
fn engine_module() -> PathBuf {
    target()
        .join("wasm")
        .join(TARGET)
        .join("wasm")
        .join("nacrite_wasm.wasm")
}

/// Builds the core and the engine module for wasm32 and prints the module's size.
///
/// # Errors
/// When no toolchain can be had (how to get one), or a build fails.
pub(crate) fn wasm() -> Result<(), Failure> {
    let toolchain = find_or_install()?;
    // Alone first: what fails here is a std item in the core, whatever the module's crate does.
    process::run(build(&toolchain).args(["--package", "nacrite-core"]))?;
    process::run(build(&toolchain).args(["--package", "nacrite-wasm", "--features", "engine"]))?;
    let module = engine_module();
    let raw = fs::read(&module).map_err(|e| format!("{}: {e}", module.display()))?;
    if !raw.starts_with(b"\0asm") {
        return Err(format!("{} is no WebAssembly module", module.display()));
    }
    println!(
        "{}: {} bytes, {} with gzip",
        module.display(),
        raw.len(),
        gzip_size(&module)
    );
    println!("2 passed, 0 failed");
    Ok(())
}

fn find_or_install() -> Result<Toolchain, Failure> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let how = format!(
        "no compiler for {TARGET}; with rustup: rustup target add {TARGET}; on Debian: \
         apt-get install --no-install-recommends {}",
        DEBIAN.join(" ")
    );
    if !Path::new("/etc/debian_version").exists() || !packages::can_install() {
        return Err(how);
    }
    packages::install(DEBIAN).map_err(|why| format!("{how}\n{why}"))?;
    find().ok_or(how)
}

fn find() -> Option<Toolchain> {
    let sysroot = sysroot(Path::new("rustc"))?;
    if sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
    {
        return Some(Toolchain::Installed);
    }
    // The current compiler first: the same version as everything else.
    let here = (sysroot.join("bin/rustc"), sysroot.join("bin/cargo"));
    let debian = (
        PathBuf::from("/usr/bin/rustc"),
        PathBuf::from("/usr/bin/cargo"),
    );
    let linker = linker(&sysroot)?;
    [here, debian].into_iter().find_map(|(rustc, cargo)| {
        let sources = self::sysroot(&rustc)?.join("lib/rustlib/src/rust/library");
        // `Cargo.lock` is not part of every package; the crates are.
        let whole = sources.join("core/src/lib.rs").is_file() && cargo.is_file();
        whole.then(|| Toolchain::FromSource {
            rustc,
            cargo,
            linker: linker.clone(),
        })
    })
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let mut command = Command::new(rustc);
    command
        .current_dir(root())
        .env_remove("LD_LIBRARY_PATH")
        .args(["--print", "sysroot"]);
    process::output(&mut command)
        .ok()
        .map(|text| PathBuf::from(text.trim()))
}

/// A linker for wasm: rust-lld of any toolchain of rustup, else LLVM's.
fn linker(sysroot: &Path) -> Option<PathBuf> {
    let mut toolchains = vec![sysroot.to_path_buf()];
    if let Some(others) = sysroot.parent().and_then(|all| fs::read_dir(all).ok()) {
        toolchains.extend(others.flatten().map(|entry| entry.path()));
    }
    let lld_of = |toolchain: &PathBuf| {
        let hosts = fs::read_dir(toolchain.join("lib/rustlib")).ok()?;
        hosts
            .flatten()
            .map(|host| host.path().join("bin/rust-lld"))
            .find(|lld| lld.is_file())
    };
    let of_rustup = toolchains.iter().find_map(lld_of);
    of_rustup.or_else(|| has_program("wasm-ld").then(|| PathBuf::from("wasm-ld")))
}

fn build(toolchain: &Toolchain) -> Command {
    let mut command = match toolchain {
        Toolchain::Installed => cargo(),
        Toolchain::FromSource {
            rustc,
            cargo,
            linker,
        } => {
            let mut command = Command::new(cargo);
            command.current_dir(root());
            command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            // They name the toolchain of the cargo that started this program.
            for name in [
                "RUSTUP_TOOLCHAIN",
                "LD_LIBRARY_PATH",
                "CARGO",
                "RUSTC_WRAPPER",
                "RUSTFLAGS",
            ] {
                command.env_remove(name);
            }
            command
        }
    };
    // Profile, target and flags are the same in every call: a change builds the standard library again.
    command
        .args([
            "build",
            "--profile",
            "wasm",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target().join("wasm"));
    if matches!(toolchain, Toolchain::FromSource { .. }) {
        command.arg("-Zbuild-std=core,alloc");
    }
    if env::var_os("CI").is_some() {
        command.arg("--quiet");
    }
    command
}

fn gzip_size(file: &Path) -> String {
    let gzip = Command::new("gzip")
        .args(["-9", "-c"])
        .arg(file)
        .stderr(Stdio::null())
        .output();
    gzip.map_or_else(
        |_| String::from("unknown"),
        |out| format!("{} bytes", out.stdout.len()),
    )
}
