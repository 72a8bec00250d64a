//! The simulator finds every bug of `nacrite_core::planted` within 1 000 seeds.
//!
//! A build of its own, with the feature `planted`. A sample of seeds runs by default, which is known to be enough; all
//! 1 000 are allowed with `NACRITE_FULL`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nacrite_core::{
    planted::{Bug, plant},
    sim::{Report, Setting},
};
use nacrite_tests::{
    sample::sized,
    simulated::{run_solo, run_whole},
};

/// Bugs of the host, which a bare node does not have. A panic under the host's lock ends the process, so all others
/// are looked for without it.
const OF_THE_HOST: [Bug; 3] = [
    Bug::LogIsNotSynced,
    Bug::StateSkipsARow,
    Bug::ViewsMissADelta,
];

/// What a seed finds, if anything.
fn found(run: fn(Setting) -> Report, seed: u64) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| run(Setting::of(seed)))) {
        Ok(report) => report.violation.map(|violation| violation.to_string()),
        Err(_) => Some("a panic".to_owned()),
    }
}

#[test]
fn every_planted_bug_is_found() {
    // Panics are expected here, and say nothing.
    std::panic::set_hook(Box::new(|_| {}));
    let most = sized(200, 1_000);
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let run = if OF_THE_HOST.contains(&bug) {
            run_whole
        } else {
            run_solo
        };
        plant(Some(bug));
        let first = (1..=most).find_map(|seed| Some((seed, found(run, seed)?)));
        plant(None);
        match first {
            Some((seed, what)) => {
                let what: String = what.chars().take(160).collect();
                println!("{bug:?}: seed {seed}: {what}");
                assert_eq!(found(run, seed), None, "seed {seed} fails without the bug");
            }
            None => missed.push(bug),
        }
    }
    let _ = std::panic::take_hook();
    assert!(
        missed.is_empty(),
        "not found within {most} seeds: {missed:?}"
    );
}
