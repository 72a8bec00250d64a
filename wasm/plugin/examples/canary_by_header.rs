//! A plugin: requests that carry a header go to the canary, and a few percent of the others.
//!
//! The policy's hash key is that header, so a request that carries it has a key. Configuration:
//! `{"label": "version", "canary": "v2", "percent": 5}`; instances with another value of the label are stable ones.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use nacrite_balance_plugin::json::Value;
use nacrite_balance_plugin::{Choice, Draws, Pick, Rule, Table, export};

/// The rule, with the indices of both groups.
pub struct Canary {
    label: String,
    value: String,
    percent: f64,
    canary: Vec<u32>,
    stable: Vec<u32>,
}

/// Any usable one of a group; begins at a drawn place.
fn any(group: &[u32], table: &Table<'_>, draws: &mut Draws) -> Option<u32> {
    let from = draws.int(group.len() as u32) as usize;
    let (before, after) = group.split_at_checked(from)?;
    let mut turn = after.iter().chain(before).copied();
    turn.find(|&index| table.get(index).is_some_and(|one| one.is_usable()))
}

impl Rule for Canary {
    fn init(config: &[u8]) -> Result<Self, String> {
        let config = Value::parse(config)?;
        let percent = config.get("percent").map_or(Some(0.0), Value::number);
        let text = |name: &str, default: &str| {
            config
                .get(name)
                .and_then(Value::text)
                .unwrap_or(default)
                .to_string()
        };
        Ok(Self {
            label: text("label", "version"),
            value: text("canary", "canary"),
            percent: percent
                .filter(|percent| (0.0..=100.0).contains(percent))
                .ok_or("percent must be 0 to 100")?,
            canary: Vec::new(),
            stable: Vec::new(),
        })
    }

    fn update(&mut self, table: &Table<'_>) {
        let is_canary = |index: &u32| {
            table
                .get(*index)
                .is_some_and(|one| one.label(&self.label) == Some(self.value.as_str()))
        };
        (self.canary, self.stable) = (0..table.len()).partition(is_canary);
    }

    fn choose(&mut self, table: &Table<'_>, pick: &mut Pick<'_>) -> Choice {
        let to_canary = pick.key_hash.is_some() || pick.draws.unit() * 100.0 < self.percent;
        let (first, second) = if to_canary {
            (&self.canary, &self.stable)
        } else {
            (&self.stable, &self.canary)
        };
        // Nobody is left without an answer because one group is down.
        let found = any(first, table, pick.draws).or_else(|| any(second, table, pick.draws));
        found.map_or(Choice::None("none-healthy"), Choice::Index)
    }
}

export!(Canary);

#[cfg(test)]
mod tests {
    use super::*;
    use nacrite_balance_plugin::{table::Instance, testing::Bench};

    #[test]
    fn the_header_decides_and_the_percent_else() {
        let version = |id, version| Instance {
            metadata: vec![("version", version)],
            ..Instance::new(id)
        };
        let mut bench = Bench::<Canary>::new(br#"{"canary": "v2", "percent": 10}"#).unwrap();
        bench.update(&[version("a", "v1"), version("b", "v2"), Instance::new("c")]);
        assert!((0..100).all(|seed| bench.choose_key(7, seed) == Choice::Index(1)));
        let shares = bench.shares(10_000);
        assert!(
            (900..1100).contains(&shares[1]) && shares[0].abs_diff(shares[2]) < 400,
            "{shares:?}"
        );
        bench.healthy(1, false);
        assert!((0..100).all(|seed| bench.choose_key(7, seed) != Choice::Index(1)));
        assert_eq!(bench.shares(1_000)[3], 0);
        assert!(Bench::<Canary>::new(br#"{"percent": 101}"#).is_err());
    }
}
