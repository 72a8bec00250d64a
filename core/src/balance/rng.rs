//! The two draws that rules make, and two small generators that make them.
//!
//! Number, order and bounds of the draws are part of a rule's contract in `exact` mode, so a recorded
//! sequence can stand in for a generator. Nothing here asks the system for entropy: a host seeds.

/// A source of the draws that rules make.
pub trait Rng {
    /// A uniform integer in `0..bound`; 0 when `bound` is 0.
    fn int(&mut self, bound: u32) -> u32;
    /// A uniform number in `[0, 1)` with 53 random bits.
    fn unit(&mut self) -> f64;
}

impl<R: Rng + ?Sized> Rng for &mut R {
    fn int(&mut self, bound: u32) -> u32 {
        (**self).int(bound)
    }

    fn unit(&mut self) -> f64 {
        (**self).unit()
    }
}

/// Lemire's multiplication with rejection: no modulo bias, one draw nearly always.
#[inline]
fn bounded(bound: u32, mut next: impl FnMut() -> u64) -> u32 {
    if bound == 0 {
        return 0;
    }
    let mut product = (next() >> 32) * u64::from(bound);
    if (product as u32) < bound {
        let threshold = bound.wrapping_neg() % bound;
        while (product as u32) < threshold {
            product = (next() >> 32) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

fn unit_from(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, good enough for one pick; the plugin ABI seeds it
/// with the `rand` argument of each call.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator whose whole state is `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

/// The output function of SplitMix64, also used to spread hashes.
#[inline]
pub(crate) fn mix(word: u64) -> u64 {
    let mut z = word;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng for SplitMix64 {
    #[inline]
    fn int(&mut self, bound: u32) -> u32 {
        bounded(bound, || self.next_u64())
    }

    fn unit(&mut self) -> f64 {
        unit_from(self.next_u64())
    }
}

/// xoshiro256++ (Blackman, Vigna 2019): the generator for a thread that picks many times.
#[derive(Clone, Debug)]
pub struct Xoshiro256 {
    state: [u64; 4],
}

impl Xoshiro256 {
    /// A generator whose state is filled from `seed` by SplitMix64, as its authors advise.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut fill = SplitMix64::new(seed);
        Self {
            state: [
                fill.next_u64(),
                fill.next_u64(),
                fill.next_u64(),
                fill.next_u64(),
            ],
        }
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }
}

impl Rng for Xoshiro256 {
    #[inline]
    fn int(&mut self, bound: u32) -> u32 {
        bounded(bound, || self.next_u64())
    }

    fn unit(&mut self) -> f64 {
        unit_from(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_the_published_sequence() {
        let mut rng = SplitMix64::new(1_234_567);
        let got = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        assert_eq!(
            got,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn draws_stay_in_their_range_and_fill_it() {
        let mut rng = Xoshiro256::new(7);
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[rng.int(7) as usize] += 1;
            let u = rng.unit();
            assert!((0.0..1.0).contains(&u));
        }
        assert!(
            seen.iter().all(|&count| (800..1200).contains(&count)),
            "{seen:?}"
        );
        assert_eq!(rng.int(0), 0);
        assert_eq!(rng.int(1), 0);
    }
}
