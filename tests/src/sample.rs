//! How much a proof runs: a sample by default, everything with `NACRITE_FULL`.

/// The variable that asks for the full numbers.
pub const FULL: &str = "NACRITE_FULL";
/// The variable that names the only seed to run.
pub const SEED: &str = "NACRITE_SEED";

/// Whether the full numbers are wanted.
#[must_use]
pub fn is_full() -> bool {
    std::env::var_os(FULL).is_some_and(|v| !v.is_empty() && v != "0")
}

/// The first of the two for a sample, the second for everything.
#[must_use]
pub fn sized<T>(sample: T, full: T) -> T {
    if is_full() { full } else { sample }
}

/// The seeds to run: `1..=sample`, `1..=full`, or the one that `NACRITE_SEED` names.
///
/// # Panics
/// If `NACRITE_SEED` is no number.
#[must_use]
pub fn seeds(sample: u64, full: u64) -> Vec<u64> {
    match std::env::var(SEED) {
        Ok(seed) => vec![seed.parse().expect("NACRITE_SEED is a number")],
        Err(_) => (1..=sized(sample, full)).collect(),
    }
}

/// The command that runs this seed of this test again.
#[must_use]
pub fn again(program: &str, test: &str, seed: u64) -> String {
    format!("{SEED}={seed} cargo test -p nacrite-tests --test {program} -- {test} --exact")
}

/// SplitMix64 (Steele, Lea, Flood 2014): small and seeded; chooses what a run does.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`; `bound` is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
