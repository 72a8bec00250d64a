//! A long poller (1.x clients): it waits for a change of any of its configs, reads what changed, and waits again.

use alloc::{collections::BTreeMap, format, sync::Arc, vec::Vec};

use super::{
    super::air::{Air, Event, Packet},
    super::member::Arrival,
    Phase, config,
};
use crate::{
    model::{ConfigKey, Md5},
    node::{op::Op, reply::Reply},
};

/// How long a poll waits (Nacos: 30 s less 500 ms), milliseconds.
const WAIT: u64 = 29_500;

pub(in crate::sim) struct Polling {
    me: usize,
    pub(in crate::sim) ip: Arc<str>,
    pub(in crate::sim) held: BTreeMap<ConfigKey, Option<Md5>>,
    /// The poll that waits, and since when.
    waits: Option<(u64, u64)>,
    reading: u32,
}

impl Polling {
    pub(in crate::sim) fn new(me: usize, configs: u32) -> Self {
        Self {
            me,
            ip: format!("10.3.0.{}", me % 4).into(),
            held: (0..configs).map(|n| (config(n), None)).collect(),
            waits: None,
            reading: 0,
        }
    }

    pub(in crate::sim) fn wake(&mut self, air: &mut Air, phase: Phase) {
        air.wake(self.me, 1_000);
        match self.waits {
            Some((id, since)) => {
                let gives_up = phase == Phase::Busy && air.chance(10);
                if phase == Phase::Leaving || gives_up || air.now > since + WAIT + 5_000 {
                    // The request may still be under way: what it comes to is heard by nobody.
                    self.waits = None;
                    air.asked.remove(&id);
                    air.after(450, Event::Arrive(0, Arrival::Gone { id }));
                }
            }
            None if phase != Phase::Leaving && self.reading == 0 => self.poll(air),
            None => self.reading = self.reading.saturating_sub(1),
        }
    }

    fn poll(&mut self, air: &mut Air) {
        let keys: Vec<_> = self.held.iter().map(|(k, md5)| (k.clone(), *md5)).collect();
        let op = Op::Poll {
            keys,
            wait_ms: WAIT,
            tag: Arc::from(""),
        };
        let ip = self.ip.clone();
        let id = air.ask(self.me, &ip, op, None);
        self.waits = Some((id, air.now));
    }

    pub(in crate::sim) fn take(&mut self, air: &mut Air, packet: Packet, phase: Phase) {
        match packet {
            Packet::Reply { id, result, .. } => {
                if self.waits.is_none_or(|(waits, _)| waits != id) {
                    return;
                }
                self.waits = None;
                match result {
                    Ok(Reply::Woken { key, .. }) => {
                        self.reading = 2;
                        let travel = air.travel();
                        air.after(travel, Event::Read(0, self.me, key, self.ip.clone()));
                    }
                    Ok(_) if phase != Phase::Leaving => self.poll(air),
                    _ => {}
                }
            }
            Packet::Failed { id } if self.waits.is_some_and(|(waits, _)| waits == id) => {
                self.waits = None;
            }
            Packet::Config { key, md5, .. } => {
                self.reading = 0;
                self.held.insert(key, md5);
                if phase != Phase::Leaving && self.waits.is_none() {
                    self.poll(air);
                }
            }
            _ => {}
        }
    }
}
