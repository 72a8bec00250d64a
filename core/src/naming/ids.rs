//! Instance ids of the form that the metadata `preserved.instance.id.generator=snowflake` asks for.

use alloc::{format, sync::Arc};

use super::Naming;
use crate::model::{BeatTimes, Instance, ServiceKey};

/// Milliseconds of 2018-01-01, from which the ids count.
const EPOCH: u64 = 1_514_764_800_000;
/// Ids within one millisecond.
const SEQUENCE: u32 = 12;
/// Bits that tell nodes apart.
const WORKER: u32 = 10;

impl Naming {
    /// Gives an instance an id of its own if its metadata asks for one and it brought none. An id that only spells
    /// out what is the default is dropped, to save its room.
    pub(super) fn give_id(&mut self, service: &ServiceKey, instance: &mut Instance) {
        if instance.instance_id.is_empty() {
            if instance.metadata.get(BeatTimes::ID_GENERATOR) == Some("snowflake") {
                let id = self.next_id();
                let text = format!(
                    "{id}#{}#{}@@{}",
                    instance.key.cluster, service.group, service.name
                );
                instance.instance_id = text.into();
            }
        } else {
            let given = core::mem::replace(&mut instance.instance_id, Arc::from(""));
            if *instance.id(service) != *given {
                instance.instance_id = given;
            }
        }
    }

    /// Grows strictly, and with the wall clock as long as that does.
    fn next_id(&mut self) -> u64 {
        let clock = self.volatile.now.wall.saturating_sub(EPOCH) << SEQUENCE;
        let count = clock.max(self.volatile.last_id + 1);
        self.volatile.last_id = count;
        let worker = self.volatile.worker & ((1 << WORKER) - 1);
        (count >> SEQUENCE) << (SEQUENCE + WORKER)
            | worker << SEQUENCE
            | count & ((1 << SEQUENCE) - 1)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::super::trial::{Trial, instance, pairs, service};
    use crate::model::{BeatTimes, Instance};

    fn id(trial: &Trial, n: u8) -> String {
        trial.seen("s", n).unwrap().id(&service("s"))
    }

    #[test]
    fn ids_are_simple_unless_a_snowflake_is_asked_for_or_one_is_brought() {
        let mut trial = Trial::new();
        trial.register("s", instance(1)).unwrap();
        assert_eq!(id(&trial, 1), "10.0.0.1#80#DEFAULT#g@@s");
        trial
            .register(
                "s",
                Instance {
                    instance_id: "10.0.0.2#80#DEFAULT#g@@s".into(),
                    ..instance(2)
                },
            )
            .unwrap();
        assert!(
            trial.seen("s", 2).unwrap().instance_id.is_empty(),
            "what is the default takes no room"
        );
        trial
            .register(
                "s",
                Instance {
                    instance_id: "mine".into(),
                    ..instance(3)
                },
            )
            .unwrap();
        assert_eq!(id(&trial, 3), "mine");
    }

    #[test]
    fn snowflakes_grow_and_never_repeat_even_if_the_wall_clock_goes_back() {
        let mut trial = Trial::new();
        let metadata = pairs(&[(BeatTimes::ID_GENERATOR, "snowflake")]);
        let mut last = 0;
        for n in 1..=60 {
            let ephemeral = n % 2 == 0;
            let name = if ephemeral { "s" } else { "p" };
            trial
                .register(
                    name,
                    Instance {
                        metadata: metadata.clone(),
                        ephemeral,
                        ..instance(n)
                    },
                )
                .unwrap();
            let id = trial.seen(name, n).unwrap().instance_id.clone();
            let (number, rest) = id.split_once('#').unwrap();
            assert_eq!(rest, alloc::format!("DEFAULT#g@@{name}"));
            let number: u64 = number.parse().unwrap();
            assert!(number > last && number < i64::MAX as u64);
            last = number;
            trial.now.wall -= 1_000;
        }
    }
}
