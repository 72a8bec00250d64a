//! `@nacrite/core`: the package for browsers and Node, put together out of the module, its binding and `wasm/npm/js`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::wasm::{Library, Toolchain, build, built, packed_sizes};
use crate::workspace::{cargo, root, target};
use crate::{Failure, process};

/// What the binding's files are called.
const NAME: &str = "engine";

/// Most that what a browser loads of the package may weigh with brotli, module and scripts.
const MOST_BROTLI: usize = 190_000;

/// Where the package is after `wasm`.
pub(crate) fn package() -> PathBuf {
    target().join("wasm").join("npm")
}

/// Builds the package, and the binding with what replays recordings for its tests.
///
/// # Errors
/// When a build fails, a file cannot be written, or the package is too large.
pub(crate) fn npm(toolchain: &Toolchain) -> Result<(), Failure> {
    let bind = bind()?;
    let bound = |features: &[&str], folder: &Path| {
        process::run(
            build(toolchain, Library::Std)
                .args(["--package", "nacrite-npm"])
                .args(features),
        )?;
        fresh(folder)?;
        let module = built(Library::Std, "nacrite_npm.wasm");
        process::run(Command::new(&bind).arg(module).arg(folder).arg(NAME))
    };
    // The package's own build last: it is what lies where cargo leaves it.
    bound(
        &["--features", "recordings"],
        &target().join("wasm").join("npm-recordings"),
    )?;
    let package = package();
    bound(&[], &package)?;
    let mut browser = [0; 3];
    for entry in files(&root().join("wasm/npm/js"))? {
        let name = entry.file_name().unwrap_or_default();
        let copied = fs::copy(&entry, package.join(name));
        copied.map_err(|e| format!("{}: {e}", entry.display()))?;
    }
    for entry in files(&package)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let loaded = name.ends_with(".wasm") || (name.ends_with(".js") && name != "node.js");
        if loaded {
            let sizes = packed_sizes(&entry)?;
            println!("@nacrite/core {name}: {}", said(sizes));
            for (sum, size) in browser.iter_mut().zip(sizes) {
                *sum += size;
            }
        }
    }
    println!("@nacrite/core, all that a browser loads: {}", said(browser));
    if browser[2] > MOST_BROTLI {
        return Err(format!(
            "@nacrite/core packs to {} bytes; {MOST_BROTLI} are allowed",
            browser[2]
        ));
    }
    Ok(())
}

fn said([raw, gzip, brotli]: [usize; 3]) -> String {
    format!("{raw} bytes, {gzip} with gzip, {brotli} with brotli")
}

/// Builds the program that makes a module's JavaScript: as an example, because then features unify as in a build of all
/// targets.
fn bind() -> Result<PathBuf, Failure> {
    process::run(cargo().args(["build", "--workspace", "--example", "bind"]))?;
    Ok(target().join("debug").join("examples").join("bind"))
}

/// An empty folder: what an earlier build left is no part of this one.
fn fresh(folder: &Path) -> Result<(), Failure> {
    // Where there is none, there is nothing to remove.
    let _none = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

/// The files of a folder by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    Ok(files)
}
