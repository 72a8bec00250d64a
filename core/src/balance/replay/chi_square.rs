//! Pearson's χ² for shares, with the critical value at p = 0.001.

/// Quantile of the standard normal distribution for a tail of 0.001.
const TAIL: f64 = 3.090_232_306_167_813;

/// The value that χ² with this many degrees of freedom exceeds with probability 0.001 (Wilson and Hilferty; from the table
/// where their approximation is coarse).
#[must_use]
pub fn critical(freedom: usize) -> f64 {
    const SMALL: [f64; 6] = [10.828, 10.828, 13.816, 16.266, 18.467, 20.515];
    if let Some(&value) = SMALL.get(freedom) {
        return value;
    }
    let k = freedom as f64;
    let inner = 1.0 - 2.0 / (9.0 * k) + TAIL * libm::sqrt(2.0 / (9.0 * k));
    k * inner * inner * inner
}

/// Whether counts follow these shares. A share of 0 must have no count at all.
#[must_use]
pub fn follows(counts: &[u64], shares: &[f64]) -> bool {
    let total: u64 = counts.iter().sum();
    let whole: f64 = shares.iter().sum();
    let (mut statistic, mut cells) = (0.0, 0_usize);
    for (&count, &share) in counts.iter().zip(shares) {
        let expected = total as f64 * share / whole;
        if expected <= 0.0 {
            if count > 0 {
                return false;
            }
            continue;
        }
        cells += 1;
        statistic += (count as f64 - expected) * (count as f64 - expected) / expected;
    }
    counts.len() == shares.len() && total > 0 && (cells < 2 || statistic <= critical(cells - 1))
}

/// Whether two samples come from one distribution.
#[must_use]
pub fn agree(left: &[u64], right: &[u64]) -> bool {
    let (n, m) = (
        left.iter().sum::<u64>() as f64,
        right.iter().sum::<u64>() as f64,
    );
    if left.len() != right.len() || n == 0.0 || m == 0.0 {
        return false;
    }
    let (mut statistic, mut cells) = (0.0, 0_usize);
    for (&a, &b) in left.iter().zip(right) {
        let sum = (a + b) as f64;
        if sum > 0.0 {
            cells += 1;
            let difference = a as f64 * libm::sqrt(m / n) - b as f64 * libm::sqrt(n / m);
            statistic += difference * difference / sum;
        }
    }
    cells < 2 || statistic <= critical(cells - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_values_are_those_of_the_tables() {
        for (freedom, table) in [(1, 10.828), (6, 22.458), (10, 29.588), (50, 86.661)] {
            assert!(
                (critical(freedom) - table).abs() < 0.3,
                "{freedom}: {}",
                critical(freedom)
            );
        }
    }

    #[test]
    fn a_wrong_share_is_seen() {
        assert!(follows(&[1010, 990], &[1.0, 1.0]));
        assert!(!follows(&[1100, 900], &[1.0, 1.0]));
        assert!(!follows(&[1000, 1], &[1.0, 0.0]));
        assert!(agree(&[1010, 990], &[5000, 5000]));
        assert!(!agree(&[1100, 900], &[50_000, 50_000]));
        assert!(!agree(&[1, 1], &[1]));
    }
}
