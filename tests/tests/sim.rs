//! Whole members in simulated worlds: clients of every protocol, lost and late messages, pauses, stepped clocks, power
//! cuts. What must hold is in `nacrite_core::sim::invariants`.
//!
//! A sample of seeds runs by default, many with `NACRITE_FULL`; `NACRITE_SEED` runs one, with its last steps in words
//! if it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

use nacrite_core::sim::{Report, Setting};
use nacrite_tests::{
    sample::{again, seeds},
    simulated::{run_solo, run_whole},
};

/// The commands that repeat what runs now. A panic under the server's lock ends this process, so they are said by the
/// hook of panics, before that.
static RUNNING: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn say_how_to_repeat() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            running
                .iter()
                .for_each(|command| eprintln!("again: {command}"));
            drop(running);
            usual(panic);
        }));
    });
}

/// Runs a seed; one that fails is run again for its words.
fn hold(test: &str, seed: u64, run: impl Fn(Setting) -> Report) -> Report {
    say_how_to_repeat();
    let command = again("sim", test, seed);
    let running = || RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running().push(command.clone());
    let setting = Setting::of(seed);
    let report = catch_unwind(AssertUnwindSafe(|| run(setting)));
    running().retain(|other| *other != command);
    let (violation, panic) = match report {
        Ok(Report {
            violation: Some(violation),
            ..
        }) => (Some(violation), None),
        Ok(report) => return report,
        Err(panic) => (None, Some(panic)),
    };
    let words = Setting {
        words: true,
        ..setting
    };
    if let Ok(report) = catch_unwind(AssertUnwindSafe(|| run(words))) {
        report.lines.iter().for_each(|line| eprintln!("{line}"));
    }
    eprintln!("again: {command}");
    if let Some(panic) = panic {
        std::panic::resume_unwind(panic);
    }
    panic!("{}", violation.expect("one of both failed"));
}

fn many(test: &str, seeds: &[u64], run: impl Fn(Setting) -> Report) {
    let (mut steps, mut writes, mut pushes, mut restarts) = (0, 0, 0, 0);
    for seed in seeds {
        let report = hold(test, *seed, &run);
        steps += report.steps;
        writes += report.writes;
        pushes += report.pushes;
        restarts += report.restarts;
    }
    println!(
        "{} seeds: {steps} steps, {writes} writes, {pushes} pushes, {restarts} power cuts",
        seeds.len()
    );
    assert!(
        writes > 0 && pushes > 0 && restarts > seeds.len() as u64,
        "too little happens"
    );
}

#[test]
fn a_bare_node_holds_what_it_must() {
    many(
        "a_bare_node_holds_what_it_must",
        &seeds(20, 2_000),
        run_solo,
    );
}

#[test]
fn a_whole_member_holds_what_it_must() {
    many(
        "a_whole_member_holds_what_it_must",
        &seeds(40, 2_000),
        run_whole,
    );
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    const NAME: &str = "the_same_seed_gives_the_same_trace";
    for seed in seeds(3, 30) {
        let of = |run: fn(Setting) -> Report| {
            let report = hold(NAME, seed, run);
            (report.hash, report.steps)
        };
        assert_eq!(of(run_whole), of(run_whole), "seed {seed}");
        assert_eq!(of(run_solo), of(run_solo), "seed {seed}");
        let other = hold(NAME, seed + 1, run_whole);
        assert_ne!(of(run_whole).0, other.hash, "another seed is another run");
    }
}
