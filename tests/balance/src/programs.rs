//! How programs in other languages are built and run: for the figures here, and for the test of `wasm/examples`, which takes this
//! file in by its path, because the bench is not to be built with a server.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// It cannot be started or fails: with everything that it said.
pub(crate) fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let out = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.status.success() {
        return Ok(printed);
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(format!("{command:?} ended with {}:\n{printed}{said}", out.status).into())
}

/// Python with packages as pip names them (or `-r` and a file), in an environment of its own in this folder.
///
/// # Errors
/// As [`output`].
pub(crate) fn python(folder: &Path, packages: &[&str]) -> Result<PathBuf, Box<dyn Error>> {
    let python = folder.join("bin/python");
    if !python.is_file() {
        output(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    }
    let pip = "-m pip install --quiet --disable-pip-version-check";
    let mut install = Command::new(&python);
    output(install.args(pip.split(' ')).args(packages))?;
    Ok(python)
}

/// Compiles a Maven project into this folder and gives its class path.
///
/// # Errors
/// As [`output`]; the folder cannot be read.
pub(crate) fn maven(project: &Path, folder: &Path) -> Result<String, Box<dyn Error>> {
    let classpath = folder.join("classpath");
    let mut maven = Command::new("mvn");
    maven
        .current_dir(project)
        .args(["-q", "-B"])
        .arg(format!("-Dout={}", folder.display()))
        .args(["compile", "dependency:build-classpath"])
        .arg(format!("-Dmdep.outputFile={}", classpath.display()));
    output(&mut maven)?;
    let libraries = fs::read_to_string(&classpath)?;
    let classes = folder.join("classes");
    Ok(format!("{}:{}", classes.display(), libraries.trim()))
}

/// Compiles a project in Go into a program in this folder.
///
/// # Errors
/// As [`output`].
pub(crate) fn go(project: &Path, folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let program = folder.join("host");
    let mut go = Command::new("go");
    go.current_dir(project).args(["build", "-o"]);
    output(go.arg(&program).arg("."))?;
    Ok(program)
}
