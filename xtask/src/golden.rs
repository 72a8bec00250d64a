//! `golden`: replays what real servers were asked and compares the answers, but for a short list of known differences.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::counts::Counts;
use crate::process::{run_logged, tail};
use crate::server::{Server, free_port, with_engine};
use crate::workspace::{root, target_folder};
use crate::{Failure, packages, process};

/// The list of known differences may only shrink.
const MOST_KNOWN: usize = 10;

/// Why a difference may stay: ours is better, the recorded answer cannot be given, or it is still to be done.
const CLASSES: &[&str] = &["better", "impossible", "not-yet"];

/// A recording and how it is judged.
struct Recording {
    name: &'static str,
    file: &'static str,
    /// Whose answers the server gives, as `serve --compat` takes it.
    compat: &'static str,
    known: &'static str,
    /// Areas judged, as prefixes of the names in the recording.
    areas: &'static [&'static str],
    in_ci: bool,
}

const RECORDINGS: &[Recording] = &[
    Recording {
        name: "2.x",
        file: "nacos-2.x.json",
        compat: "2",
        known: "known-2.x.json",
        // Not v1.auth: there is no login yet.
        areas: &["v1.console", "v1.cs", "v1.ns", "v1.end", "v2."],
        in_ci: true,
    },
    Recording {
        name: "3.x",
        file: "nacos-3.x.json",
        compat: "3",
        known: "known-3.x.json",
        // Not v3.auth, which there is not; v3.console is on a port of its own there.
        areas: &[
            "v3.client",
            "v3.admin.core",
            "v3.admin.namespace",
            "v3.admin.cs",
            "v3.admin.ns",
            "v3.admin.ai",
        ],
        in_ci: true,
    },
];

/// Replays the named recordings, or those of CI, each against a fresh server.
///
/// # Errors
/// For an unknown name, or when an answer differs that is not listed, or one is listed that does not differ.
pub(crate) fn golden(names: &[String], areas: &[String]) -> Result<(), Failure> {
    packages::ensure(packages::FOR_GOLDEN)?;
    if let Some(name) = names
        .iter()
        .find(|name| RECORDINGS.iter().all(|r| r.name != name.as_str()))
    {
        return Err(format!("unknown recording {name}"));
    }
    let mut counts = Counts::default();
    judge(
        &mut counts,
        "the recordings are as they were recorded",
        verify_checksums(),
    );
    let chosen = |r: &&Recording| {
        if names.is_empty() {
            r.in_ci
        } else {
            names.iter().any(|name| name == r.name)
        }
    };
    for recording in RECORDINGS.iter().filter(chosen) {
        match replay(recording, areas) {
            Ok(sum) => counts += sum,
            Err(why) => judge(&mut counts, recording.name, Err(why)),
        }
    }
    println!("{counts}");
    if counts.failed == 0 {
        Ok(())
    } else {
        Err(format!("{} differences that are not listed", counts.failed))
    }
}

fn judge(counts: &mut Counts, name: &str, outcome: Result<(), Failure>) {
    match outcome {
        Ok(()) => counts.passed += 1,
        Err(why) => {
            println!("FAIL {name}: {why}");
            counts.failed += 1;
        }
    }
}

fn folder() -> PathBuf {
    root().join("tests").join("golden")
}

fn verify_checksums() -> Result<(), Failure> {
    let mut sums = Command::new("sha256sum");
    process::output(
        sums.current_dir(folder())
            .args(["--check", "--quiet", "SHA256SUMS"]),
    )
    .map(|_| ())
}

fn replay(recording: &Recording, areas: &[String]) -> Result<Counts, Failure> {
    let areas = if areas.is_empty() {
        recording.areas.join(",")
    } else {
        areas.join(",")
    };
    let known = known_differences(recording, &areas)?;
    let plain = format!("golden-{}", recording.name);
    let name = with_engine(&plain);
    let mut server = Server::start(&plain, free_port(28_848)?, &["--compat", recording.compat])?;
    let log = target_folder("ci").join(format!("{name}.replay.log"));
    let report = target_folder("ci").join(format!("{name}.differences.json"));
    let mut compare = Command::new("python3");
    // Bytecode beside the sources would be files that git sees.
    compare
        .current_dir(folder())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg("compare.py");
    compare
        .arg("--main")
        .arg(format!("http://{}", server.address()));
    compare
        .args(["--areas", &areas, "--show", "1000", "--report"])
        .arg(&report)
        .arg(recording.file);
    println!(
        "replaying {} against {} (areas {areas}; details in {})",
        recording.file,
        server.address(),
        log.display()
    );
    // Its status says whether anything differs; the report says what.
    run_logged(&mut compare, &log, Duration::from_secs(900))?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    let Some(same) = text.lines().rev().find_map(same_count) else {
        return Err(format!("the replay did not finish:\n{}", tail(&log, 20)));
    };
    if !server.is_alive() {
        return Err(format!(
            "the server ended during the replay:\n{}",
            tail(server.log(), 20)
        ));
    }
    let report = fs::read_to_string(&report).map_err(|e| format!("{}: {e}", report.display()))?;
    let report: Value = serde_json::from_str(&report).map_err(|e| format!("the report: {e}"))?;
    let mut counts = Counts {
        passed: same,
        ..Counts::default()
    };
    counts += compare_known(&report, known);
    Ok(counts)
}

/// `N` of the line `N same, M differ`.
fn same_count(line: &str) -> Option<u64> {
    line.strip_suffix(" differ")?
        .split_once(" same, ")?
        .0
        .parse()
        .ok()
}

/// The listed differences by the request's id, with their reasons.
fn known_differences(
    recording: &Recording,
    areas: &str,
) -> Result<BTreeMap<String, String>, Failure> {
    let read = |name: &str| -> Result<Value, Failure> {
        let text = fs::read_to_string(folder().join(name)).map_err(|e| format!("{name}: {e}"))?;
        serde_json::from_str(&text).map_err(|e| format!("{name}: {e}"))
    };
    let list = read(recording.known)?;
    let rows = parse_known(&list).map_err(|why| format!("{}: {why}", recording.known))?;
    let recorded = read(recording.file)?;
    let area_of = |id: &str| -> Option<String> {
        let all = recorded["requests"].as_array()?;
        all.iter().find(|q| q["id"] == id)?["area"]
            .as_str()
            .map(str::to_owned)
    };
    let judged = |id: &String| {
        area_of(id).map(|area| areas.split(',').any(|prefix| area.starts_with(prefix)))
    };
    if let Some(id) = rows.keys().find(|id| judged(id).is_none()) {
        return Err(format!(
            "{}: {id} is no request of {}",
            recording.known, recording.file
        ));
    }
    Ok(rows
        .into_iter()
        .filter(|(id, _)| judged(id) == Some(true))
        .collect())
}

fn parse_known(list: &Value) -> Result<BTreeMap<String, String>, Failure> {
    let rows = list.as_array().ok_or("not a list")?;
    if rows.len() > MOST_KNOWN {
        return Err(format!("{} rows; at most {MOST_KNOWN}", rows.len()));
    }
    let mut known = BTreeMap::new();
    for row in rows {
        let text = |key: &str| {
            row[key]
                .as_str()
                .filter(|s| !s.is_empty())
                .ok_or_else(|| format!("{row}: no {key}"))
        };
        let (id, class, reason) = (text("id")?, text("class")?, text("reason")?);
        if !CLASSES.contains(&class) {
            return Err(format!("{id}: the class is one of {}", CLASSES.join(", ")));
        }
        if known
            .insert(id.to_owned(), format!("{class}: {reason}"))
            .is_some()
        {
            return Err(format!("{id} stands there twice"));
        }
    }
    Ok(known)
}

/// Judges the differences against the list: a listed one passes, any other fails, and so does a row that is not needed.
fn compare_known(report: &Value, mut known: BTreeMap<String, String>) -> Counts {
    let mut counts = Counts::default();
    for difference in report.as_array().into_iter().flatten() {
        let id = difference["id"].as_str().unwrap_or_default();
        if let Some(reason) = known.remove(id) {
            println!("KNOWN {id}: {reason}");
            counts.passed += 1;
        } else {
            let lines = difference["differences"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            println!(
                "FAIL {id} {}",
                difference["request"].as_str().unwrap_or_default()
            );
            lines.take(4).for_each(|line| println!("     {line}"));
            counts.failed += 1;
        }
    }
    for id in known.keys() {
        println!("FAIL {id}: no longer differs; take it off the list");
        counts.failed += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).expect("the test's own JSON")
    }

    #[test]
    fn a_listed_difference_passes_and_a_row_too_many_fails() {
        let known = parse_known(&json(
            r#"[{"id":"a","class":"better","reason":"r"},{"id":"b","class":"not-yet","reason":"r"}]"#,
        ));
        let report = json(
            r#"[{"id":"a","request":"GET /","differences":["x"]},{"id":"c","request":"GET /","differences":[]}]"#,
        );
        let counts = compare_known(&report, known.expect("a valid list"));
        assert_eq!((counts.passed, counts.failed), (1, 2));
    }

    #[test]
    fn the_list_is_short_classed_and_reasoned() {
        assert!(parse_known(&json("{}")).is_err());
        assert!(parse_known(&json(r#"[{"id":"a","class":"ugly","reason":"r"}]"#)).is_err());
        assert!(parse_known(&json(r#"[{"id":"a","class":"better","reason":""}]"#)).is_err());
        assert!(parse_known(&json(r#"[{"id":"a","class":"better","reason":"r"},{"id":"a","class":"better","reason":"r"}]"#)).is_err());
        let row = |n: usize| format!(r#"{{"id":"{n}","class":"better","reason":"r"}}"#);
        let rows = |n: usize| {
            json(&format!(
                "[{}]",
                (0..n).map(row).collect::<Vec<_>>().join(",")
            ))
        };
        assert_eq!(
            parse_known(&rows(MOST_KNOWN)).map(|k| k.len()),
            Ok(MOST_KNOWN)
        );
        assert!(parse_known(&rows(MOST_KNOWN + 1)).is_err());
    }

    #[test]
    fn the_closing_line_of_the_replay_is_read() {
        assert_eq!(same_count("214 same, 3 differ"), Some(214));
        assert_eq!(same_count("214 passed, 3 failed"), None);
    }
}
