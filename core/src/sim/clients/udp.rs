//! A subscriber over UDP (1.x clients): it asks for the list every 10 s, which also keeps it subscribed, and takes
//! datagrams in between.

use alloc::{format, sync::Arc};

use super::{
    super::air::{Air, List, Packet},
    Phase, service,
};
use crate::{
    model::ServiceKey,
    node::{input::Input, op::Op, output::NameForm},
};

/// Between two queries (Nacos `cacheMillis`), milliseconds.
const QUERY: u64 = 10_000;

pub(in crate::sim) struct UdpSubscriber {
    me: usize,
    pub(in crate::sim) service: ServiceKey,
    pub(in crate::sim) ip: Arc<str>,
    pub(in crate::sim) port: u16,
    pub(in crate::sim) list: Option<Arc<List>>,
    /// Order of the newest datagram.
    newest: u64,
}

impl UdpSubscriber {
    pub(in crate::sim) fn new(me: usize, of: u32) -> Self {
        Self {
            me,
            service: service(of),
            ip: format!("10.2.0.{me}").into(),
            port: 50_000,
            list: None,
            newest: 0,
        }
    }

    pub(in crate::sim) fn wake(&mut self, air: &mut Air, phase: Phase) {
        air.wake(self.me, QUERY);
        if phase == Phase::Leaving {
            self.list = None;
            return;
        }
        let op = Op::SubscribeUdp {
            service: self.service.clone(),
            clusters: Arc::from(""),
            ip: self.ip.clone(),
            port: self.port,
            agent: Arc::from("Nacos-Java-Client:v1.4.8"),
            app: Arc::from("unknown"),
            names: NameForm::Grouped,
        };
        let ip = self.ip.clone();
        air.ask(self.me, &ip, op, None);
    }

    pub(in crate::sim) fn take(&mut self, air: &mut Air, packet: Packet) {
        match packet {
            Packet::Reply {
                list: Some(list), ..
            } => self.list = Some(list),
            Packet::Datagram {
                push, order, list, ..
            } => {
                if order > self.newest {
                    self.newest = order;
                    self.list = Some(list);
                }
                let ack = Input::UdpAck {
                    ip: self.ip.clone(),
                    port: self.port,
                    push,
                };
                // Lost, late, or sent twice.
                if !air.chance(air.faults.lose * 3) {
                    let late = if air.chance(air.faults.late) {
                        12_000
                    } else {
                        0
                    };
                    let travel = air.travel();
                    air.tell_later(travel + late, ack.clone());
                }
                if air.chance(air.faults.duplicate) {
                    let travel = air.travel();
                    air.tell_later(travel, ack);
                }
            }
            _ => {}
        }
    }
}
