//! How long one call takes.

use std::fs;
use std::time::{Duration, Instant};

/// Rounds of one figure. The least counts: whatever else the machine does only adds.
const ROUNDS: u32 = 40;
/// Time of a round: short, so that most are not interrupted.
const ROUND: Duration = Duration::from_micros(1_500);
/// All rounds of one figure, if they are long: rules that scan take their time.
const MOST: Duration = Duration::from_secs(3);

/// Nanoseconds a call.
pub(crate) fn measure(mut call: impl FnMut()) -> f64 {
    let mut calls = 1_u32;
    let (began, mut best, mut rounds) = (Instant::now(), f64::INFINITY, 0);
    while rounds < ROUNDS && (rounds == 0 || began.elapsed() < MOST) {
        let from = Instant::now();
        for _ in 0..calls {
            call();
        }
        let took = from.elapsed();
        if took < ROUND / 2 && calls < 1 << 24 {
            calls *= 2;
            continue;
        }
        best = best.min(took.as_nanos() as f64 / f64::from(calls));
        rounds += 1;
    }
    best
}

/// CPU time of the programs that this one has started and that have ended, to 10 ms.
pub(crate) fn of_programs() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold anything: the fields from the third on.
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split(' ')
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
