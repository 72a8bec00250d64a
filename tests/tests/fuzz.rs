//! No bytes make a parser or `apply` panic or linger. The harness and its targets are in `nacrite_tests::fuzz`.
//!
//! The corpus and a sample of mutations run by default, many with `NACRITE_FULL`. `NACRITE_SEED` chooses other
//! mutations, `NACRITE_FUZZ_TARGET` runs one target alone, and `NACRITE_FUZZ_GROW` writes inputs with new outcomes into
//! the corpus.

use nacrite_tests::{
    fuzz::{TARGETS, run},
    sample::{SEED, sized},
};

#[test]
fn no_bytes_break_a_target() {
    let seed = std::env::var(SEED).map_or(1, |seed| seed.parse().expect("a seed is a number"));
    let only = std::env::var("NACRITE_FUZZ_TARGET").ok();
    let grow = std::env::var_os("NACRITE_FUZZ_GROW").is_some();
    let mut ran = 0;
    for target in TARGETS {
        if only.as_deref().is_some_and(|only| only != target.name) {
            continue;
        }
        ran += 1;
        let again = format!("NACRITE_SEED={seed} NACRITE_FUZZ_TARGET={}", target.name);
        let began = std::time::Instant::now();
        println!(
            "{}: {again} cargo test -p nacrite-tests --test fuzz",
            target.name
        );
        let outcome = run(target, seed, sized(2_000, 300_000), grow);
        println!(
            "{}: {} inputs, {} outcomes, {:?}",
            target.name,
            outcome.inputs,
            outcome.outcomes,
            began.elapsed()
        );
        assert!(outcome.outcomes > 1, "{} tells nothing apart", target.name);
    }
    assert!(ran > 0, "no target is named {only:?}");
}
