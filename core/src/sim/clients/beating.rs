//! An instance that lives by beats over HTTP (1.x clients): register, a beat every 5 s, light where the server allows
//! it, register again when it is unknown.

use alloc::{boxed::Box, format, sync::Arc};

use super::{
    super::air::{Air, Packet},
    Phase, instance, service,
};
use crate::{
    model::{InstanceKey, ServiceKey},
    node::{op::Op, reply::Reply},
};

/// Between two beats (Nacos), milliseconds.
const BEAT: u64 = 5_000;

pub(in crate::sim) struct Beating {
    me: usize,
    service: ServiceKey,
    key: InstanceKey,
    version: u32,
    light: bool,
    registered: bool,
    /// It is silent until then.
    silent: u64,
}

impl Beating {
    pub(in crate::sim) fn new(me: usize, of: u32) -> Self {
        let cluster = if me.is_multiple_of(3) { "c1" } else { "" };
        Self {
            me,
            service: service(of),
            key: InstanceKey::new(&format!("10.0.0.{me}"), 80, cluster),
            version: 0,
            light: false,
            registered: false,
            silent: 0,
        }
    }

    fn ask(&mut self, air: &mut Air, op: Op) {
        let ip: Arc<str> = self.key.ip.clone();
        air.ask(self.me, &ip, op, None);
    }

    pub(in crate::sim) fn wake(&mut self, air: &mut Air, phase: Phase) {
        air.wake(self.me, BEAT);
        if phase == Phase::Leaving || air.now < self.silent {
            return;
        }
        let (service, key) = (self.service.clone(), self.key.clone());
        if phase == Phase::Busy {
            match air.below(100) {
                // A process that stands still, crashes, or is cut off.
                0..8 => {
                    self.silent = air.now + u64::from(air.below(50_000));
                    return;
                }
                8..12 => {
                    self.silent = air.now + u64::from(air.below(12_000));
                    // As the Go client does, whose beats have a thread of their own: the later may arrive first.
                    let beat = self.registered.then(|| Op::Beat {
                        service: service.clone(),
                        key: key.clone(),
                        full: Some(Box::new(instance(&key, self.version, true))),
                    });
                    self.registered = false;
                    let op = Op::Deregister {
                        service,
                        key,
                        ephemeral: true,
                    };
                    self.ask(air, op);
                    if let Some(beat) = beat {
                        self.ask(air, beat);
                    }
                    return;
                }
                12..18 => self.registered = false,
                _ => {}
            }
        }
        if !self.registered {
            self.registered = true;
            self.version += 1;
            let instance = instance(&key, self.version, true);
            return self.ask(air, Op::Register { service, instance });
        }
        let full = (!self.light).then(|| Box::new(instance(&key, self.version, true)));
        self.ask(air, Op::Beat { service, key, full });
    }

    pub(in crate::sim) fn take(&mut self, packet: &Packet) {
        match packet {
            Packet::Reply {
                result: Ok(Reply::Beat { known, light, .. }),
                ..
            } => {
                self.light = *light;
                self.registered &= *known;
            }
            Packet::Reply { result: Err(_), .. } | Packet::Failed { .. } => self.registered = false,
            _ => {}
        }
    }
}
