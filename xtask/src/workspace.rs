//! Where things are: the repository's root, the target directory and what is built into it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_path_buf()
}

/// Cargo's target directory; `CARGO_TARGET_DIR` moves it.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A folder below the target directory, made when missing.
pub(crate) fn target_folder(name: &str) -> PathBuf {
    let dir = target().join(name);
    if let Err(e) = std::fs::create_dir_all(&dir) {
        eprintln!("xtask: cannot make {}: {e}", dir.display());
    }
    dir
}

/// The server as the development profile builds it.
pub(crate) fn server_binary() -> PathBuf {
    target().join("debug").join("nacrite")
}

/// This program, also after a build has replaced the file it was started from.
pub(crate) fn own_binary() -> PathBuf {
    target().join("debug").join("xtask")
}

/// `cargo` as the caller's cargo would be started, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // Set by the cargo that started this program, for this package alone.
    for name in [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PKG_NAME",
    ] {
        command.env_remove(name);
    }
    command
}

/// Whether a program of that name is found.
pub(crate) fn has_program(name: &str) -> bool {
    let Some(path) = env::var_os("PATH") else {
        return false;
    };
    // Debian keeps `ip` where only root looks.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(more)
        .any(|dir| dir.join(name).is_file())
}

/// Whether this runs as root, as far as `id` knows.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).trim() == "0")
}
