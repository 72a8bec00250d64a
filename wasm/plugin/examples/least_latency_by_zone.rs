//! A plugin: the faster of two instances of the caller's zone; of the other zones when the own one is much slower, or down.
//!
//! Configuration: `{"factor": 3}`: calls leave the zone when what it offers is this many times slower than what the others do.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use nacrite_balance_plugin::json::Value;
use nacrite_balance_plugin::table::flags::SAME_ZONE;
use nacrite_balance_plugin::{Choice, Draws, Pick, Rule, Table, export};

/// Draws of one of two candidates before it is given up: what is down is drawn, too.
const DRAWS: u32 = 8;

/// The rule, with the indices of the own zone and of the others.
pub struct LeastLatency {
    factor: f32,
    own: Vec<u32>,
    others: Vec<u32>,
}

/// An index and what a call there is expected to take: latency by requests under way.
type Offer = (u32, f32);

fn draw(group: &[u32], table: &Table<'_>, draws: &mut Draws) -> Option<Offer> {
    let offer = |index: u32| {
        let one = table
            .get(index)
            .filter(nacrite_balance_plugin::Record::is_usable)?;
        Some((index, one.ewma_us() * (one.active() + 1) as f32))
    };
    let drawn = (0..DRAWS).find_map(|_| offer(*group.get(draws.int(group.len() as u32) as usize)?));
    drawn.or_else(|| group.iter().find_map(|&index| offer(index)))
}

fn better(group: &[u32], table: &Table<'_>, draws: &mut Draws) -> Option<Offer> {
    let first = draw(group, table, draws)?;
    let second = draw(group, table, draws)?;
    Some(if second.1 < first.1 { second } else { first })
}

impl Rule for LeastLatency {
    fn init(config: &[u8]) -> Result<Self, String> {
        let factor = Value::parse(config)?
            .get("factor")
            .map_or(Some(3.0), Value::number);
        let factor = factor.filter(|factor| (1.0..=1000.0).contains(factor));
        Ok(Self {
            factor: factor.ok_or("factor must be 1 to 1000")? as f32,
            own: Vec::new(),
            others: Vec::new(),
        })
    }

    fn update(&mut self, table: &Table<'_>) {
        let own = |index: &u32| {
            table
                .get(*index)
                .is_some_and(|one| one.flags() & SAME_ZONE != 0)
        };
        (self.own, self.others) = (0..table.len()).partition(own);
    }

    fn choose(&mut self, table: &Table<'_>, pick: &mut Pick<'_>) -> Choice {
        let own = better(&self.own, table, pick.draws);
        let others = better(&self.others, table, pick.draws);
        match (own, others) {
            (Some(own), Some(other)) if own.1 > other.1 * self.factor => Choice::Index(other.0),
            (Some(one), _) | (None, Some(one)) => Choice::Index(one.0),
            (None, None) => Choice::None("none-healthy"),
        }
    }
}

export!(LeastLatency);

#[cfg(test)]
mod tests {
    use super::*;
    use nacrite_balance_plugin::table::flags;
    use nacrite_balance_plugin::{table::Instance, testing::Bench};

    #[test]
    fn the_own_zone_serves_until_it_is_much_slower() {
        let own = |id, ewma_us| Instance {
            flags: flags::SERVING | SAME_ZONE,
            ewma_us,
            ..Instance::new(id)
        };
        let far = |id, ewma_us| Instance {
            ewma_us,
            ..Instance::new(id)
        };
        let mut bench = Bench::<LeastLatency>::new(b"{}").unwrap();
        bench.update(&[own("a", 2000.0), own("b", 1000.0), far("c", 900.0)]);
        let shares = bench.shares(10_000);
        assert!(
            (2_200..2_800).contains(&shares[0]) && shares[2] == 0,
            "both draws must meet the slower: {shares:?}"
        );
        bench.counts(0, 4, 2000.0);
        bench.counts(1, 4, 1000.0);
        assert_eq!(bench.shares(1_000)[2], 1_000, "the own zone is busy");
        bench.healthy(2, false);
        assert_eq!(bench.shares(1_000)[2..], [0, 0]);
        bench.healthy(0, false);
        bench.healthy(1, false);
        assert_eq!(bench.shares(10)[3], 10);
        assert!(Bench::<LeastLatency>::new(br#"{"factor": "3"}"#).is_err());
    }
}
