//! A load-balancing rule: of two instances drawn at random, the one with fewer requests under way.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use nacrite_balance_plugin::{Choice, Pick, Rule, Table, export};

/// The rule, and the instances that can be served from.
pub struct TwoChoices {
    usable: Vec<u32>,
}

impl Rule for TwoChoices {
    fn init(_config: &[u8]) -> Result<Self, String> {
        Ok(Self { usable: Vec::new() })
    }

    fn choose(&mut self, table: &Table<'_>, pick: &mut Pick<'_>) -> Choice {
        self.usable.clear();
        let indices = (0..).zip(table.iter());
        self.usable.extend(indices.filter(|(_, one)| one.is_usable()).map(|(index, _)| index));
        let count = self.usable.len() as u32;
        if count == 0 {
            return Choice::None("none-healthy");
        }
        let [a, b] = [0; 2].map(|_: u32| self.usable[pick.draws.int(count) as usize]);
        let active = |index| table.get(index).map_or(0, |one| one.active());
        Choice::Index(if active(b) < active(a) { b } else { a })
    }
}

export!(TwoChoices);

#[cfg(test)]
mod tests {
    use super::*;
    use nacrite_balance_plugin::{table::Instance, testing::Bench};

    #[test]
    fn the_busy_one_gets_less() {
        let mut bench = Bench::<TwoChoices>::new(b"{}").unwrap();
        let busy = Instance { active: 9, ..Instance::new("10.0.0.1:80") };
        bench.update(&[busy, Instance::new("10.0.0.2:80")]);
        let shares = bench.shares(1000);
        assert!(shares[0] < 350 && shares[1] > 650 && shares[2] == 0, "{shares:?}");
    }
}
