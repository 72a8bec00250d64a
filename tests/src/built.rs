//! What was built beside a test program.

use std::path::{Path, PathBuf};

/// The folder of this program's own build, `<target>/debug`.
///
/// # Panics
/// The program does not lie where cargo puts it.
#[must_use]
pub fn folder() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it is");
    // <target>/debug/deps/kill-…
    let folder = own.ancestors().nth(2).map(Path::to_owned);
    folder.expect("cargo's folders")
}

/// Cargo's target folder.
///
/// # Panics
/// As [`folder`].
#[must_use]
pub fn target() -> PathBuf {
    let folder = folder();
    folder.parent().expect("cargo's folders").to_owned()
}

/// What `cargo xtask wasm` leaves under this name.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn wasm(name: &str) -> PathBuf {
    let path = target().join("wasm").join(name);
    assert!(
        path.exists(),
        "{} is not there; build it with `cargo xtask wasm`",
        path.display()
    );
    path
}
