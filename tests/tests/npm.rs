//! `@nacrite/core` as a user has it: its types by the TypeScript compiler, then the suites of `wasm/npm/test` by Node's own
//! test runner, some against a running server, one in a real Chromium.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use nacrite_tests::built;
use nacrite_tests::server::{Server, Setup, said};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn succeed(command: &mut Command) -> Output {
    let out = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}:\n{}", said(&out));
    out
}

/// A user's project: the suites, the tools they need, and the package as if it were installed.
fn project() -> &'static Path {
    static PROJECT: OnceLock<PathBuf> = OnceLock::new();
    PROJECT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
        fs::create_dir_all(&folder).expect("a folder for the test");
        let suites = fs::read_dir(root().join("wasm/npm/test")).expect("the suites");
        for file in suites.map(|entry| entry.expect("a readable folder").path()) {
            let name = file.file_name().expect("a file of a folder");
            fs::copy(&file, folder.join(name)).expect("room for a copy");
        }
        let install = ["install", "--silent", "--no-audit", "--no-fund"];
        let mut npm = Command::new("npm");
        npm.current_dir(&folder).args(install);
        // Twice: a registry may hiccup.
        if !npm.status().is_ok_and(|status| status.success()) {
            succeed(&mut npm);
        }
        let scope = folder.join("node_modules/@nacrite");
        fs::create_dir_all(&scope).expect("a folder for the package");
        let package = scope.join("core");
        // Of an earlier run.
        let _none = fs::remove_file(&package);
        symlink(built::wasm("npm"), package).expect("a link to the package");
        folder
    })
}

/// A folder as the suites take it.
fn url(folder: &Path) -> String {
    format!("file://{}/", folder.display())
}

/// Runs suites by Node's test runner, which must have run at least so many tests.
fn passes(suites: &[&str], least: u32, server: Option<&Server>) {
    let mut node = Command::new("node");
    node.current_dir(project())
        .args(["--test", "--test-reporter=tap"])
        .args(suites)
        .env("PACKAGE", url(&built::wasm("npm")))
        .env(
            "PACKAGE_WITH_RECORDINGS",
            url(&built::wasm("npm-recordings")),
        )
        .env("RECORDINGS", root().join("tests/golden/lb"))
        .env("CHROMIUM", chromium());
    if let Some(server) = server {
        node.env("REGISTER", format!("http://127.0.0.1:{}", server.port()));
    }
    let out = succeed(&mut node);
    let said = said(&out);
    let count = |word: &str| {
        let line = said.lines().rev().find_map(|line| line.strip_prefix(word));
        line.and_then(|number| number.trim().parse::<u32>().ok())
    };
    let (passed, left_out) = (count("# pass"), count("# skipped"));
    assert!(passed >= Some(least) && left_out == Some(0), "{said}");
}

/// Debian's browser.
fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("chromium"))
        .find(|program| program.is_file())
        .expect("chromium is installed: apt-get install chromium")
}

fn server(flags: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder for data");
    let server = Setup::new(&folder.path().join("data")).with(flags).start();
    (folder, server)
}

#[test]
fn its_types_hold() {
    succeed(
        Command::new("npm")
            .current_dir(project())
            .args(["run", "--silent", "types"]),
    );
}

#[test]
fn every_recording_passes() {
    passes(&["recordings.test.js"], 78 + 101 + 3, None);
}

#[test]
fn a_balancer_does_what_its_types_say() {
    passes(&["balancer.test.js"], 10, None);
}

#[test]
fn fetches_are_balanced() {
    let (_folder, server) = server(&[]);
    passes(&["fetch.test.js"], 13, Some(&server));
}

#[test]
fn fetches_are_balanced_in_a_browser() {
    let (_folder, server) = server(&["--http-cors-origins=*"]);
    passes(&["browser.test.js"], 4, Some(&server));
}
