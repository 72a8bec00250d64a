//! `nacrite plugin new`: a project that builds as it is, with the rule to be changed.

use std::fs;
use std::path::Path;

/// A language to write a plugin in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// With a crate that has a trait for rules.
    Rust,
    /// AssemblyScript.
    AssemblyScript,
    /// C, with clang.
    C,
    /// Go, with TinyGo.
    Go,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rust, Self::AssemblyScript, Self::C, Self::Go];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::AssemblyScript => "assemblyscript",
            Self::C => "c",
            Self::Go => "go",
        }
    }

    /// The language of this name, which the command line has looked at.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|one| one.name() == name);
        known.unwrap_or(Self::Rust)
    }

    /// Files of a project: path, text.
    const fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Rust => RUST,
            Self::AssemblyScript => &[
                (
                    "README.md",
                    include_str!("../../templates/assemblyscript/README.md"),
                ),
                (
                    "assembly/index.ts",
                    include_str!("../../templates/assemblyscript/index.ts"),
                ),
                (
                    "package.json",
                    include_str!("../../templates/assemblyscript/package.json"),
                ),
            ],
            Self::C => &[
                ("README.md", include_str!("../../templates/c/README.md")),
                ("Makefile", include_str!("../../templates/c/Makefile")),
                ("plugin.c", include_str!("../../templates/c/plugin.c")),
            ],
            Self::Go => &[
                ("README.md", include_str!("../../templates/go/README.md")),
                ("go.mod", include_str!("../../templates/go/go.mod.txt")),
                ("main.go", include_str!("../../templates/go/main.go")),
            ],
        }
    }
}

/// The crate for rules goes along: it is in no registry.
macro_rules! guest {
    ($($file:literal)*) => {
        &[
            ("README.md", include_str!("../../templates/rust/README.md")),
            ("Cargo.toml", include_str!("../../templates/rust/Cargo.toml")),
            ("src/lib.rs", include_str!("../../templates/rust/lib.rs")),
            ("nacrite-balance-plugin/Cargo.toml", GUEST),
            $((
                concat!("nacrite-balance-plugin/src/", $file),
                include_str!(concat!("../../../../wasm/plugin/src/", $file)),
            ),)*
        ]
    };
}

const RUST: &[(&str, &str)] = guest!(
    "draws.rs" "exports.rs" "guest.rs" "json.rs" "lib.rs" "rule.rs" "runtime.rs" "table.rs" "testing.rs"
);

const GUEST: &str = r#"[package]
name = "nacrite-balance-plugin"
version = "0.1.0"
edition = "2024"
license = "Apache-2.0"
publish = false

[target.'cfg(target_family = "wasm")'.dependencies]
dlmalloc = { version = "0.2", default-features = false, features = ["global"] }
"#;

/// Makes a project in a new folder, named after it.
///
/// # Errors
/// When the folder is there already, its name cannot be a project's, or it cannot be written.
pub fn new_project(folder: &Path, language: Language) -> Result<(), String> {
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        return Err(format!(
            "\"{name}\" cannot name a plugin: small letters, digits and -, a letter first"
        ));
    }
    if folder.exists() {
        return Err(format!("{} is there already", folder.display()));
    }
    for (path, text) in language.files() {
        let text = if path.starts_with("nacrite-balance-plugin/") {
            (*text).to_owned()
        } else {
            text.replace("NAME", &name)
                .replace("LIB", &name.replace('-', "_"))
        };
        let path = folder.join(path);
        let written = fs::create_dir_all(path.parent().unwrap_or(folder))
            .and_then(|()| fs::write(&path, text));
        written.map_err(|e| format!("{}: {e}", path.display()))?;
    }
    println!(
        "{} is ready; its README.md says how it is built",
        folder.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_whole_and_carries_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            let project = folder.path().join(format!("my-{}", language.name()));
            new_project(&project, language).unwrap();
            let readme = fs::read_to_string(project.join("README.md")).unwrap();
            assert!(
                readme.starts_with(&format!("# my-{}", language.name())),
                "{readme}"
            );
            assert!(
                new_project(&project, language)
                    .unwrap_err()
                    .ends_with("is there already")
            );
        }
        // Every file of the crate goes along: none is forgotten when one is added.
        let crate_files =
            fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wasm/plugin/src"))
                .unwrap();
        for file in crate_files {
            let name = file.unwrap().file_name().into_string().unwrap();
            let copied = folder
                .path()
                .join("my-rust/nacrite-balance-plugin/src")
                .join(&name);
            assert!(copied.is_file(), "{name}");
        }
        for name in ["", "Upper", "9", "a/..", "a_b"] {
            assert!(
                new_project(&folder.path().join(name), Language::C).is_err(),
                "{name}"
            );
        }
    }
}
