//! A pause is lateness, not silence: a process that stood still has not heard the beats that were sent meanwhile.

use serde::{Deserialize, Serialize};

/// Milliseconds past a deadline from which an input shows that the process stood still.
const PAUSE_MS: u64 = 5_000;

/// Notices pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Lateness {
    /// Pauses noticed since the start.
    pauses: u64,
    /// Time of the latest one, so that the inputs that waited through it count as one.
    last: Option<u64>,
}

impl Lateness {
    /// Whether the input at `mono` is the first after a pause.
    pub(super) fn is_pause(&mut self, mono: u64, deadline: Option<u64>) -> bool {
        let late = deadline.is_some_and(|deadline| mono > deadline.saturating_add(PAUSE_MS));
        if !late || self.last == Some(mono) {
            return false;
        }
        self.pauses += 1;
        self.last = Some(mono);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_seconds_past_the_deadline_are_a_pause_once() {
        let mut lateness = Lateness::default();
        assert!(!lateness.is_pause(100_000, None));
        assert!(!lateness.is_pause(15_000, Some(10_000)));
        assert!(lateness.is_pause(15_001, Some(10_000)));
        assert!(!lateness.is_pause(15_001, Some(10_000)));
        assert!(lateness.is_pause(30_000, Some(20_000)));
    }
}
