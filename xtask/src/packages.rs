//! Programs that the tests start and a bare machine may lack: installed where that is possible, else named.

use std::process::Command;

use crate::workspace::{has_program, is_root};
use crate::{Failure, process};

/// A program and the Debian package that brings it.
pub(crate) struct Package {
    pub(crate) program: &'static str,
    pub(crate) debian: &'static str,
}

/// For the client suites: network namespaces, and each language's build tool.
pub(crate) const FOR_CLIENTS: &[Package] = &[
    Package {
        program: "ip",
        debian: "iproute2",
    },
    Package {
        program: "unshare",
        debian: "util-linux",
    },
    Package {
        program: "go",
        debian: "golang-go",
    },
    Package {
        program: "node",
        debian: "nodejs",
    },
    Package {
        program: "npm",
        debian: "npm",
    },
    Package {
        program: "java",
        debian: "openjdk-17-jdk-headless",
    },
    Package {
        program: "mvn",
        debian: "maven",
    },
    Package {
        program: "python3",
        debian: "python3-venv",
    },
];

/// For the recordings.
pub(crate) const FOR_GOLDEN: &[Package] = &[
    Package {
        program: "python3",
        debian: "python3",
    },
    Package {
        program: "sha256sum",
        debian: "coreutils",
    },
];

/// Installs what is missing; a machine that has all is not touched.
///
/// # Errors
/// When something is missing and cannot be installed: the names of the packages.
pub(crate) fn ensure(packages: &[Package]) -> Result<(), Failure> {
    let missing: Vec<_> = packages
        .iter()
        .filter(|p| !has_program(p.program))
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
