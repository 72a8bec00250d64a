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
                let text = format!("{id}#{}#{}@@{}", instance.key.cluster, service.group, service.name);
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
        (count >> SEQUENCE) << (SEQUENCE + WORKER) | worker << SEQUENCE | count & ((1 << SEQUENCE) - 1)
    }
}
