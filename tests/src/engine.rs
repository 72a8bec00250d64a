//! The engine modules that `cargo xtask wasm` leaves.

use std::path::PathBuf;

use crate::built;
use crate::server::{Server, Setup, run, said};

/// Where a module is.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn module_path(name: &str) -> PathBuf {
    built::wasm(&format!("engine/{name}"))
}

/// A module's bytes.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn module(name: &str) -> Vec<u8> {
    std::fs::read(module_path(name)).expect("what is built can be read")
}

/// A server whose core is the module with planted faults, below this folder.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn planted(folder: &tempfile::TempDir, more: &[&str]) -> Setup {
    let module = module_path("planted.wasm");
    let module = module.to_str().expect("a plain path");
    Setup::new(&folder.path().join("data"))
        .with(&["--engine", "wasm", "--core-module", module])
        .with(more)
}

/// What `nacrite core` says of a server; refusals too.
#[must_use]
pub fn core(server: &Server, arguments: &[&str]) -> String {
    let (data, port) = (
        server.data().display().to_string(),
        server.port().to_string(),
    );
    let own = ["--data", data.as_str(), "--port", port.as_str()];
    let all: Vec<&str> = [&["core"], arguments, &own].concat();
    said(&run(&all))
}
