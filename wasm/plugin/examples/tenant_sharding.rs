//! A plugin: each tenant lives on a few instances, so that a noisy one disturbs few others.
//!
//! The policy's hash key is the tenant. Configuration: `{"shard": 2}`, how many instances a tenant has. Which ones is decided by
//! the highest hashes of tenant and instance: when an instance goes, only its tenants move.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::string::String;
use nacrite_balance_plugin::json::Value;
use nacrite_balance_plugin::{Choice, Draws, Pick, Rule, Table, export};

const MOST: usize = 16;

/// The rule.
pub struct Tenants {
    shard: usize,
}

impl Rule for Tenants {
    fn init(config: &[u8]) -> Result<Self, String> {
        let shard = Value::parse(config)?
            .get("shard")
            .map_or(Some(2.0), Value::number);
        let shard = shard.filter(|shard| (1.0..=MOST as f64).contains(shard));
        Ok(Self {
            shard: shard.ok_or("shard must be 1 to 16")? as usize,
        })
    }

    fn choose(&mut self, table: &Table<'_>, pick: &mut Pick<'_>) -> Choice {
        let Some(tenant) = pick.key_hash else {
            return Choice::Fallback;
        };
        // The shard, highest score first.
        let (mut shard, mut held) = ([(0_u64, 0_u32); MOST], 0);
        for (index, one) in (0..).zip(table.iter()) {
            if !one.is_usable() {
                continue;
            }
            let score = Draws::seeded(tenant ^ one.id_hash().rotate_left(32)).next_u64();
            let place = shard[..held].partition_point(|&(other, _)| other >= score);
            if place < self.shard {
                held = (held + 1).min(self.shard);
                shard[place..held].rotate_right(1);
                shard[place] = (score, index);
            }
        }
        match held {
            0 => Choice::None("none-healthy"),
            held => Choice::Index(shard[pick.draws.int(held as u32) as usize].1),
        }
    }
}

export!(Tenants);

#[cfg(test)]
mod tests {
    use super::*;
    use nacrite_balance_plugin::{table::Instance, testing::Bench};
    use std::collections::BTreeSet;

    fn home(bench: &mut Bench<Tenants>, tenant: u64) -> BTreeSet<u32> {
        let index = |seed| match bench.choose_key(tenant, seed) {
            Choice::Index(index) => index,
            other => panic!("{other:?}"),
        };
        (0..40).map(index).collect()
    }

    #[test]
    fn a_tenant_has_two_instances_and_moves_only_when_one_of_them_goes() {
        let ids: Vec<String> = (0..20).map(|n| format!("10.0.0.{n}:80")).collect();
        let list: Vec<Instance<'_>> = (1..)
            .zip(&ids)
            .map(|(n, id)| Instance {
                id_hash: u64::wrapping_mul(n, 0x9e37_79b9_7f4a_7c15),
                ..Instance::new(id)
            })
            .collect();
        let mut bench = Bench::<Tenants>::new(b"{}").unwrap();
        bench.update(&list);
        let before: Vec<_> = (0..200)
            .map(|n| home(&mut bench, u64::wrapping_mul(n, 0xd134_2543_de82_ef95)))
            .collect();
        assert!(before.iter().all(|home| home.len() == 2));
        assert_eq!(
            before.iter().flatten().collect::<BTreeSet<_>>().len(),
            20,
            "every instance has tenants"
        );
        bench.healthy(3, false);
        for (n, before) in (0..).zip(before) {
            let after = home(&mut bench, u64::wrapping_mul(n, 0xd134_2543_de82_ef95));
            assert!(after.len() == 2 && !after.contains(&3));
            assert!(
                before.contains(&3) || after == before,
                "{before:?} {after:?}"
            );
        }
        assert_eq!(bench.choose(1), Choice::Fallback, "no tenant is named");
        assert!(Bench::<Tenants>::new(br#"{"shard": 17}"#).is_err());
    }
}
