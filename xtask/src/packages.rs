//! Programs that the tests start and a bare machine may lack: installed where that is possible, else named.

use std::process::Command;

use crate::workspace::{has_program, is_root};
use crate::{Failure, process};

/// Something the tests need, how to see that it is there, and the Debian package that brings it.
pub(crate) struct Package {
    debian: &'static str,
    seen: Seen,
}

/// How to see that a package is there.
enum Seen {
    Program(&'static str),
    /// A module of Python, which Debian packs apart from the interpreter.
    PythonModule(&'static str),
}

const fn program(name: &'static str, debian: &'static str) -> Package {
    Package {
        debian,
        seen: Seen::Program(name),
    }
}

/// For the server's build: its allocator is C.
pub(crate) const FOR_BUILD: &[Package] = &[program("make", "make")];

/// For the client suites: network namespaces, and each language's build tool.
pub(crate) const FOR_CLIENTS: &[Package] = &[
    program("ip", "iproute2"),
    program("unshare", "util-linux"),
    program("go", "golang-go"),
    program("node", "nodejs"),
    program("npm", "npm"),
    program("java", "openjdk-17-jdk-headless"),
    program("mvn", "maven"),
    program("python3", "python3"),
    Package {
        debian: "python3-venv",
        seen: Seen::PythonModule("ensurepip"),
    },
];

/// For the recordings.
pub(crate) const FOR_GOLDEN: &[Package] = &[
    program("python3", "python3"),
    program("sha256sum", "coreutils"),
];

/// For the policy checker, which the package index of Python has as a binary.
pub(crate) const FOR_DENY: &[Package] = &[
    program("python3", "python3"),
    Package {
        debian: "python3-pip",
        seen: Seen::PythonModule("pip"),
    },
];

/// For test programs that need more than the workspace.
pub(crate) const FOR_TESTS: &[(&str, &[Package])] = &[
    (
        "balance",
        &[
            program("cc", "gcc"),
            program("go", "golang-go"),
            program("java", "openjdk-17-jdk-headless"),
            program("mvn", "maven"),
            program("make", "make"),
            program("node", "nodejs"),
            program("npm", "npm"),
            program("wasm2c", "wabt"),
            program("python3", "python3"),
            Package {
                debian: "python3-venv",
                seen: Seen::PythonModule("ensurepip"),
            },
        ],
    ),
    (
        "npm",
        &[
            program("node", "nodejs"),
            program("npm", "npm"),
            program("chromium", "chromium"),
        ],
    ),
    ("probes", &[program("mariadbd", "mariadb-server")]),
    (
        "spring",
        &[
            program("java", "openjdk-17-jdk-headless"),
            program("mvn", "maven"),
        ],
    ),
    (
        "udp",
        &[program("ip", "iproute2"), program("unshare", "util-linux")],
    ),
];

/// Sees to what these test programs need.
///
/// # Errors
/// When something is missing and cannot be installed.
pub(crate) fn ensure_for_tests(tests: &[&str]) -> Result<(), Failure> {
    FOR_TESTS
        .iter()
        .filter(|(test, _)| tests.contains(test))
        .try_for_each(|(_, packages)| ensure(packages))
}

impl Package {
    fn is_there(&self) -> bool {
        match self.seen {
            Seen::Program(name) => has_program(name),
            Seen::PythonModule(name) => {
                let mut python = Command::new("python3");
                process::output(python.args(["-c", &format!("import {name}")])).is_ok()
            }
        }
    }
}

/// Installs what is missing; a machine that has all is not touched.
///
/// # Errors
/// When something is missing and cannot be installed: the names of the packages.
pub(crate) fn ensure(packages: &[Package]) -> Result<(), Failure> {
    let missing: Vec<_> = packages
        .iter()
        .filter(|p| !p.is_there())
        .map(|p| p.debian)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        install(&missing)
    }
}

/// Whether `install` can be tried: Debian or a child of it, as root.
pub(crate) fn can_install() -> bool {
    has_program("apt-get") && is_root()
}

/// Installs Debian packages by name.
///
/// # Errors
/// Without root or apt: the line that would install them. Otherwise what apt said.
pub(crate) fn install(names: &[&str]) -> Result<(), Failure> {
    let line = format!(
        "apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    if !can_install() {
        return Err(format!("missing programs; on Debian: {line}"));
    }
    println!("installing: {}", names.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args([
            "-qq",
            "-o",
            "DPkg::Lock::Timeout=300",
        ]);
        command
    };
    process::output(apt().arg("update"))?;
    process::output(
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .args(names),
    )
    .map(|_| ())
}
