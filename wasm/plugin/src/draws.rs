//! The randomness of one pick: SplitMix64 seeded by the host, or a script in its place.

use alloc::vec::Vec;

/// Bytes of one scripted draw.
pub const SCRIPTED: usize = 16;

/// The draws of one pick.
#[derive(Debug, Default)]
pub struct Draws {
    state: u64,
    script: Option<Script>,
}

#[derive(Debug, Default)]
struct Script {
    /// (bound, value); bound 0 stands for a unit draw.
    draws: Vec<(u32, f64)>,
    used: usize,
    wrong: Option<usize>,
}

impl Draws {
    /// A generator whose whole state is `seed`.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self {
            state: seed,
            script: None,
        }
    }

    /// Seeds the generator; a script goes on.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.state = seed;
    }

    /// Puts a script in place of the generator, or takes it away when `bytes` is none. What became of the script before: 0 when
    /// exactly its draws were taken, with their bounds; -1-n when draw n was another; else how many are left.
    pub fn load(&mut self, bytes: Option<&[u8]>) -> i32 {
        let before = self.script.take();
        self.script = bytes.map(|bytes| Script {
            draws: bytes
                .chunks_exact(SCRIPTED)
                .map(|draw| {
                    let bound = u32::from_le_bytes([draw[0], draw[1], draw[2], draw[3]]);
                    let mut value = [0; 8];
                    value.copy_from_slice(&draw[8..]);
                    (bound, f64::from_le_bytes(value))
                })
                .collect(),
            ..Script::default()
        });
        before.map_or(0, |script| match script.wrong {
            Some(at) => -1 - at as i32,
            None => (script.draws.len() - script.used) as i32,
        })
    }

    /// The next 64 bits of the generator.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A uniform integer in `0..bound`, without modulo bias; 0 when `bound` is 0.
    pub fn int(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        if let Some(script) = &mut self.script {
            return script.take(bound) as u32;
        }
        let mut product = (self.next_u64() >> 32) * u64::from(bound);
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = (self.next_u64() >> 32) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    /// A uniform number in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        match &mut self.script {
            Some(script) => script.take(0),
            None => (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0),
        }
    }
}

impl Script {
    fn take(&mut self, bound: u32) -> f64 {
        let at = self.used;
        self.used += 1;
        match self.draws.get(at) {
            Some(&(wanted, value)) if wanted == bound => value,
            _ => {
                self.wrong.get_or_insert(at);
                0.0
            }
        }
    }
}

/// A script's bytes from (bound, value); bound 0 stands for a unit draw.
#[must_use]
pub fn script(draws: &[(u32, f64)]) -> Vec<u8> {
    let bytes = draws.iter().flat_map(|(bound, value)| {
        u64::from(*bound)
            .to_le_bytes()
            .into_iter()
            .chain(value.to_le_bytes())
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_gives_the_published_sequence() {
        let mut draws = Draws::seeded(1_234_567);
        let got = [draws.next_u64(), draws.next_u64(), draws.next_u64()];
        assert_eq!(
            got,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
        assert!((0..1000).all(|_| draws.int(7) < 7 && (0.0..1.0).contains(&draws.unit())));
    }

    #[test]
    fn a_script_says_what_became_of_it() {
        let mut draws = Draws::seeded(1);
        let two = script(&[(3, 2.0), (0, 0.25)]);
        assert_eq!(draws.load(Some(&two)), 0);
        assert_eq!(
            (draws.int(3), draws.unit().to_bits()),
            (2, 0.25_f64.to_bits())
        );
        assert_eq!(draws.load(Some(&two)), 0, "all were taken");
        assert_eq!(draws.load(Some(&two)), 2, "none was taken");
        draws.int(3);
        draws.int(4);
        assert_eq!(draws.load(None), -2, "the second had another bound");
        assert_eq!(draws.load(None), 0);
    }
}
