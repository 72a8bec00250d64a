//! How much an estimate is still worth after a while: `e^(-elapsed / time)`, for every pick and every answer.
//!
//! Not `libm::exp`, which is good to the last bit and took two thirds of a pick. This is additions and multiplications alone, in one
//! order, so that the bits are the same natively and as wasm. Relative error below 1e-12; below 2^-1022 it is 0.

use core::f64::consts::{LN_2, LOG2_E};

/// Coefficients of 2^-x for |x| ≤ 1/2, by interpolation at Chebyshev's nodes with 2^0 = 1: relative error 3.7e-14.
const C: [f64; 10] = [
    1.0,
    -LN_2,
    0.240_226_506_958_129_9,
    -0.055_504_108_664_760_424,
    0.009_618_129_159_402_558,
    -0.001_333_355_817_904_311_2,
    0.000_154_034_558_524_538_38,
    -1.525_268_684_626_772e-5,
    1.325_522_487_866_881_7e-6,
    -1.020_312_106_339_172_9e-7,
];

/// Adding it rounds a small number to a whole one, which then stands in the lowest bits.
const TO_WHOLE: f64 = 6_755_399_441_055_744.0;

/// A decay by its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decay {
    /// Halvings a ms.
    rate: f64,
}

impl Decay {
    /// By the time in ms after which 1/e is left, which is above 0.
    pub(crate) fn new(time_ms: f64) -> Self {
        Self {
            rate: LOG2_E / time_ms,
        }
    }

    /// What is left after so many ms: exactly 1 after none.
    #[inline]
    pub(crate) fn after(self, elapsed_ms: u64) -> f64 {
        if elapsed_ms == 0 {
            return 1.0;
        }
        let halvings = elapsed_ms as f64 * self.rate;
        if halvings >= 1022.0 {
            return 0.0;
        }
        let shifted = halvings + TO_WHOLE;
        let x = halvings - (shifted - TO_WHOLE);
        // Pairs of terms, not one after the other: the processor takes them at the same time.
        let (x2, pair) = (x * x, |at: usize| C[at] + C[at + 1] * x);
        let x4 = x2 * x2;
        let (low, high) = (pair(0) + pair(2) * x2, pair(4) + pair(6) * x2);
        let part = low + (high + pair(8) * x4) * x4;
        let whole = shifted.to_bits() & 0x7ff;
        part * f64::from_bits((1023 - whole) << 52)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_near(elapsed_ms: u64, time_ms: f64) -> bool {
        let exact = libm::exp(-(elapsed_ms as f64) / time_ms);
        let got = Decay::new(time_ms).after(elapsed_ms);
        // Where libm's numbers have fewer bits, or are 0, only that it is as small counts.
        libm::fabs(got - exact) <= 1e-12 * exact || (got <= 1e-307 && exact <= 1e-307)
    }

    #[test]
    fn the_ends() {
        let decay = Decay::new(10_000.0);
        assert_eq!((decay.after(0), decay.after(u64::MAX)), (1.0, 0.0));
        for time_ms in [5e-324, 1e-300, 0.1, 1.0, 1e9, f64::MAX] {
            for elapsed_ms in [0, 1, 2, 1000, 1 << 40, u64::MAX] {
                assert!(is_near(elapsed_ms, time_ms), "{elapsed_ms} of {time_ms}");
            }
        }
    }

    #[test]
    fn more_time_leaves_less() {
        let decay = Decay::new(1_000.0);
        for elapsed in 0..700_000 {
            let (now, later) = (decay.after(elapsed), decay.after(elapsed + 1));
            assert!(later < now && is_near(elapsed, 1_000.0), "{elapsed}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        #[test]
        fn is_the_exponential(elapsed_ms in 0_u64..10_000_000, time_ms in prop_oneof![1.0_f64..100_000.0, 1e-6_f64..1e12]) {
            prop_assert!(is_near(elapsed_ms, time_ms));
        }
    }
}
