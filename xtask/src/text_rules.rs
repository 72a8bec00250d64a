//! The house rules that a text search can check: length of files, unfinished work, blanket allowances, paths of one
//! machine, and tests that no stage runs.
//!
//! What the compiler, clippy or rustfmt can check is theirs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Failure, process, stages, workspace};

/// No source file is longer; past it, it has more than one subject.
const MOST_LINES: usize = 800;

/// Copied from elsewhere and kept as they came.
const FOREIGN: &[&str] = &["tests/clients/", "tests/golden/"];

/// Words that say that something is missing. Split, so that this file does not hold them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

/// What leaves a test out or silences a lint for a whole file.
const FORBIDDEN: &[&str] = &[
    concat!("#[ig", "nore"),
    concat!("#![al", "low("),
    concat!("allow(dead_", "code"),
    concat!("allow(un", "used"),
    concat!("allow(war", "nings"),
    concat!("allow(clippy::", "all"),
    concat!("allow(clippy::", "pedantic"),
];

/// Beginnings of paths that exist on one machine alone.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/t", "mp/"),
    concat!("../sh", "ared"),
];

/// A rule's name and what breaks it, as `file:line: what`.
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    pub(crate) broken: Vec<String>,
}

/// Checks every rule on every file that git knows or would add.
///
/// # Errors
/// When git cannot list the files or one cannot be read.
pub(crate) fn check() -> Result<Vec<Finding>, Failure> {
    let root = workspace::root();
    let listed = process::output(Command::new("git").current_dir(&root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut length = Vec::new();
    let mut unfinished = Vec::new();
    let mut forbidden = Vec::new();
    let mut reasons = Vec::new();
    let mut paths = Vec::new();
    let own = |name: &&str| !FOREIGN.iter().any(|prefix| name.starts_with(prefix));
    for name in listed.lines().filter(own) {
        // Listed, but removed in the work tree; or not text.
        let Ok(text) = fs::read_to_string(root.join(name)) else {
            continue;
        };
        paths.extend(lines_with(name, &text, MACHINE_PATHS));
        if is_source(name) {
            let lines = text.lines().count();
            if lines > MOST_LINES {
                length.push(format!("{name}: {lines} lines"));
            }
            unfinished.extend(lines_with(name, &text, UNFINISHED));
            forbidden.extend(lines_with(name, &text, FORBIDDEN));
            reasons.extend(allowances_without_reason(name, &text));
        }
    }
    Ok(vec![
        Finding {
            rule: "a source file has at most 800 lines",
            broken: length,
        },
        Finding {
            rule: "nothing is marked as unfinished",
            broken: unfinished,
        },
        Finding {
            rule: "no test is left out, no blanket allowance",
            broken: forbidden,
        },
        Finding {
            rule: "an allowance has a reason",
            broken: reasons,
        },
        Finding {
            rule: "no path of one machine",
            broken: paths,
        },
        Finding {
            rule: "core is no_std and without unsafe code",
            broken: core_head(&root),
        },
        Finding {
            rule: "every test file is in one stage",
            broken: uncovered_tests(&root)?,
        },
    ])
}

fn is_source(name: &str) -> bool {
    let written = [".rs", ".ts", ".tsx", ".js", ".mjs", ".py", ".sh", ".css"];
    written.iter().any(|end| name.ends_with(end))
}

fn lines_with(name: &str, text: &str, words: &[&str]) -> Vec<String> {
    let hit = |line: &str| words.iter().find(|word| line.contains(**word)).copied();
    text.lines()
        .enumerate()
        .filter_map(|(n, line)| Some(format!("{name}:{}: {}", n + 1, hit(line)?)))
        .collect()
}

/// An `allow` attribute must say why: `reason = "…"`.
fn allowances_without_reason(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let opening = concat!("#[al", "low(");
    for (at, _) in text.match_indices(opening) {
        let attribute = text[at..].split(")]").next().unwrap_or_default();
        if !attribute.contains("reason") {
            let line = text[..at].lines().count().max(1);
            found.push(format!("{name}:{line}: {}", attribute.replace('\n', " ")));
        }
    }
    found
}

fn core_head(root: &Path) -> Vec<String> {
    let name = "core/src/lib.rs";
    let text = fs::read_to_string(root.join(name)).unwrap_or_default();
    let wanted = ["no_std", "forbid(unsafe_code)"];
    wanted
        .iter()
        .filter(|w| !text.contains(**w))
        .map(|w| format!("{name}: {w} is missing"))
        .collect()
}

/// Test programs that no stage runs, or more than one, or that a stage names and nobody wrote.
fn uncovered_tests(root: &Path) -> Result<Vec<String>, Failure> {
    let folder = root.join("tests/tests");
    let mut written = BTreeSet::new();
    if folder.is_dir() {
        for entry in fs::read_dir(&folder)
            .map_err(|e| format!("{}: {e}", folder.display()))?
            .flatten()
        {
            let path = entry.path();
            // Cargo takes files, and folders with a main.rs.
            let is_test =
                path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").is_file();
            if let (true, Some(stem)) = (is_test, path.file_stem()) {
                written.insert(stem.to_string_lossy().into_owned());
            }
        }
    }
    let staged = stages::STAGES.iter().flat_map(|stage| stage.tests);
    Ok(compare_tests(&written, staged.copied()))
}

fn compare_tests<'a>(
    written: &BTreeSet<String>,
    staged: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for name in staged {
        if !seen.insert(name) {
            broken.push(format!("tests/tests/{name}.rs: in more than one stage"));
        }
        if !written.contains(name) {
            broken.push(format!(
                "tests/tests/{name}.rs: named by a stage, but not there"
            ));
        }
    }
    for name in written.iter().filter(|name| !seen.contains(name.as_str())) {
        broken.push(format!(
            "tests/tests/{name}.rs: in no stage of xtask/src/stages.rs"
        ));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_with_their_line() {
        let text = format!("fn a() {{}}\n// {}: later\n", UNFINISHED[0]);
        assert_eq!(
            lines_with("a.rs", &text, UNFINISHED),
            [format!("a.rs:2: {}", UNFINISHED[0])]
        );
        assert!(lines_with("a.rs", "fn a() {}", UNFINISHED).is_empty());
    }

    #[test]
    fn an_allowance_needs_a_reason() {
        let open = concat!("#[al", "low(");
        let with =
            format!("\n{open}\n    unsafe_code,\n    reason = \"the boundary\"\n)]\nfn a() {{}}");
        assert!(allowances_without_reason("a.rs", &with).is_empty());
        let without = format!("fn b() {{}}\n\n{open}unsafe_code)]\nfn a() {{}} // reason");
        assert_eq!(allowances_without_reason("a.rs", &without).len(), 1);
    }

    #[test]
    fn each_test_file_is_in_one_stage() {
        let written = BTreeSet::from(["kill".to_owned(), "starts".to_owned()]);
        assert!(compare_tests(&written, ["starts", "kill"].into_iter()).is_empty());
        assert_eq!(compare_tests(&written, ["kill"].into_iter()).len(), 1);
        assert_eq!(
            compare_tests(&written, ["kill", "starts", "starts"].into_iter()).len(),
            1
        );
        assert_eq!(
            compare_tests(&written, ["kill", "starts", "polls"].into_iter()).len(),
            1
        );
    }
}
