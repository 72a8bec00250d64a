//! A rule on the bench: what a host does, natively, for the tests of a plugin.

use crate::guest::Guest;
use crate::rule::{Choice, Outcome, Rule};
use crate::table::{Instance, Table, encode, flags, offset};
use crate::{FALLBACK, choose};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// One rule with its table.
#[derive(Debug)]
pub struct Bench<R> {
    guest: Guest<R>,
    count: u32,
    epoch: u64,
    /// The clock, in ms; tests move it.
    pub now_ms: u64,
}

impl<R: Rule> Bench<R> {
    /// A rule with this configuration.
    ///
    /// # Errors
    /// What the rule says about the configuration.
    pub fn new(config: &[u8]) -> Result<Self, String> {
        let mut guest = Guest::new();
        match guest.configure(config) {
            0 => Ok(Self {
                guest,
                count: 0,
                epoch: 0,
                now_ms: 1_000_000,
            }),
            _ => Err(guest.said().to_string()),
        }
    }

    /// Hands a list over.
    ///
    /// # Panics
    /// The table cannot be read; it is written here, so that is a fault of this crate.
    pub fn update(&mut self, instances: &[Instance<'_>]) {
        self.count = instances.len() as u32;
        self.epoch += 1;
        let code = self
            .guest
            .hand_over(encode(instances), self.count, self.epoch);
        assert_eq!(code, 0, "{}", self.guest.said());
    }

    fn choose_with(&mut self, key: u64, seed: u64, bits: u32) -> Choice {
        match self.guest.choose(key, seed, self.now_ms, bits) {
            FALLBACK => Choice::Fallback,
            index if index >= 0 => Choice::Index(index as u32),
            _ => Choice::None("see Bench::said"),
        }
    }

    /// One pick with this seed, of a request without a key.
    pub fn choose(&mut self, seed: u64) -> Choice {
        self.choose_with(0, seed, 0)
    }

    /// One pick for a request with the hash of its key.
    pub fn choose_key(&mut self, key_hash: u64, seed: u64) -> Choice {
        self.choose_with(key_hash, seed, choose::KEY)
    }

    /// How often each instance is chosen in `picks` picks; the last number counts the picks that chose none.
    pub fn shares(&mut self, picks: u64) -> Vec<u64> {
        let mut counts = alloc::vec![0; self.count as usize + 1];
        for seed in 0..picks {
            let place = match self.choose(seed.wrapping_mul(0x9e37_79b9)) {
                Choice::Index(index) => index as usize,
                _ => self.count as usize,
            };
            counts[place] += 1;
        }
        counts
    }

    /// Why the last pick chose nobody.
    #[must_use]
    pub fn said(&self) -> &str {
        self.guest.said()
    }

    fn live(&mut self, index: u32, field: usize, bytes: [u8; 4]) {
        let at = index as usize * crate::table::RECORD + field;
        self.guest.table_mut()[at..at + 4].copy_from_slice(&bytes);
    }

    /// Sets or clears flags of an instance in place.
    pub fn flag(&mut self, index: u32, bits: u32, on: bool) {
        let at = index as usize * crate::table::RECORD + offset::FLAGS;
        let field = &self.guest.table_mut()[at..at + 4];
        let before = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
        let after = if on { before | bits } else { before & !bits };
        self.live(index, offset::FLAGS, after.to_le_bytes());
    }

    /// Takes an instance out or puts it back.
    pub fn healthy(&mut self, index: u32, up: bool) {
        self.flag(index, flags::HEALTHY, up);
    }

    /// Rewrites the counts of an instance in place.
    pub fn counts(&mut self, index: u32, active: u32, ewma_us: f32) {
        self.live(index, offset::ACTIVE, active.to_le_bytes());
        self.live(index, offset::EWMA, ewma_us.to_le_bytes());
    }

    /// A request begins.
    pub fn start(&mut self, index: u32) {
        self.guest.start(index, self.now_ms);
    }

    /// A request ends.
    pub fn report(&mut self, index: u32, outcome: Outcome, latency_us: u64) {
        self.guest
            .report(index, outcome.code(), latency_us, self.now_ms);
    }

    /// Whether a table can be read; for tests of layouts.
    #[must_use]
    pub fn reads(bytes: &[u8], count: u32) -> bool {
        Table::new(bytes, count, 1).is_ok()
    }
}
