//! A plugin: instances get traffic by the CPU they have left, which they publish as a label in percent.
//!
//! Configuration: `{"label": "cpu", "floor": 5}`; an instance counts with at least `floor` percent, and as half idle without label.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use nacrite_balance_plugin::json::Value;
use nacrite_balance_plugin::{Choice, Pick, Rule, Table, export};

/// Draws before the walk: with half of the instances down, one in 65 000 picks walks.
const DRAWS: u32 = 16;

/// The rule, with the sums of what the instances have left.
pub struct WeightedByCpu {
    label: String,
    floor: f64,
    sums: Vec<f64>,
}

impl Rule for WeightedByCpu {
    fn init(config: &[u8]) -> Result<Self, String> {
        let config = Value::parse(config)?;
        let floor = config.get("floor").map_or(Some(5.0), Value::number);
        Ok(Self {
            label: config
                .get("label")
                .and_then(Value::text)
                .unwrap_or("cpu")
                .to_string(),
            floor: floor
                .filter(|floor| (1.0..=100.0).contains(floor))
                .ok_or("floor must be 1 to 100")?,
            sums: Vec::new(),
        })
    }

    fn update(&mut self, table: &Table<'_>) {
        let mut sum = 0.0;
        self.sums.clear();
        for one in table.iter() {
            let busy = one
                .label(&self.label)
                .and_then(|cpu| cpu.parse().ok())
                .unwrap_or(50.0_f64);
            let left = if busy.is_finite() {
                (100.0 - busy).clamp(self.floor, 100.0)
            } else {
                self.floor
            };
            sum += left * one.weight().clamp(0.0, 10_000.0);
            self.sums.push(sum);
        }
    }

    fn choose(&mut self, table: &Table<'_>, pick: &mut Pick<'_>) -> Choice {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let usable = |index: u32| table.get(index).is_some_and(|one| one.is_usable());
        for _ in 0..DRAWS {
            let point = pick.draws.unit() * total;
            let index = self.sums.partition_point(|&sum| sum <= point) as u32;
            if usable(index) {
                return Choice::Index(index);
            }
        }
        (0..table.len())
            .find(|&index| usable(index))
            .map_or(Choice::None("none-healthy"), Choice::Index)
    }
}

export!(WeightedByCpu);

#[cfg(test)]
mod tests {
    use super::*;
    use nacrite_balance_plugin::{table::Instance, testing::Bench};

    #[test]
    fn an_idle_instance_gets_more_and_a_dead_one_nothing() {
        let with = |id, cpu| Instance {
            metadata: vec![("cpu", cpu)],
            ..Instance::new(id)
        };
        let mut bench = Bench::<WeightedByCpu>::new(b"{}").unwrap();
        bench.update(&[
            with("a", "90"),
            with("b", "20"),
            with("c", "no number"),
            with("d", "250"),
        ]);
        bench.healthy(2, false);
        let shares = bench.shares(95_000);
        for (share, expected) in shares.iter().zip([10_000_u64, 80_000, 0, 5_000, 0]) {
            assert!(share.abs_diff(expected) <= expected / 20, "{shares:?}");
        }
        (0..4).for_each(|index| bench.healthy(index, false));
        assert_eq!(bench.shares(10)[4], 10);
        assert!(Bench::<WeightedByCpu>::new(br#"{"floor": 0}"#).is_err());
    }
}
