//! Reading how many checks a program says it ran: the closing lines of cargo's tests and of everything else.

use std::fmt;
use std::ops::AddAssign;

/// Checks that passed and failed, and tests that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Tests that cargo calls ignored; there must be none.
    pub(crate) ignored: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The sum of cargo's `test result: …` lines.
pub(crate) fn of_cargo_test(text: &str) -> Counts {
    let mut sum = Counts::default();
    for line in text.lines() {
        let Some((_, rest)) = line.split_once("test result: ") else {
            continue;
        };
        // "ok. 3 passed; 0 failed; 1 ignored; …"
        for part in rest.split(['.', ';']) {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => sum.passed += number,
                "failed" => sum.failed += number,
                "ignored" => sum.ignored += number,
                _ => {}
            }
        }
    }
    sum
}

/// The last line that is exactly `N passed, N failed`.
pub(crate) fn of_closing_line(text: &str) -> Option<Counts> {
    text.lines().rev().find_map(closing_line)
}

fn closing_line(line: &str) -> Option<Counts> {
    let (passed, failed) = line
        .trim_end()
        .strip_suffix(" failed")?
        .split_once(" passed, ")?;
    Some(Counts {
        passed: passed.parse().ok()?,
        failed: failed.parse().ok()?,
        ignored: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_lines_are_summed() {
        let text = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s\n\
            noise\n\
            test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 1.02s\n";
        assert_eq!(
            of_cargo_test(text),
            Counts {
                passed: 8,
                failed: 2,
                ignored: 1
            }
        );
        assert_eq!(of_cargo_test("7 passed, 0 failed"), Counts::default());
    }

    #[test]
    fn the_last_closing_line_counts() {
        let text = "3 passed, 1 failed\nmore\n10 passed, 0 failed\n(logs elsewhere)\n";
        assert_eq!(
            of_closing_line(text),
            Some(Counts {
                passed: 10,
                failed: 0,
                ignored: 0
            })
        );
        assert_eq!(of_closing_line("about 10 passed, 0 failed"), None);
        assert_eq!(of_closing_line(""), None);
    }
}
