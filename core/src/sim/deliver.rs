//! What leaves a member on its way to those whom it is for: rendered as a host would, from what readers see then.

use alloc::{collections::BTreeSet, format, sync::Arc, vec, vec::Vec};

use super::{
    Sim,
    air::{Event, List, Packet, Pushed},
    clients::{Client, config},
    invariants::{Sent, list_of},
    member::{Arrival, Member},
};
use crate::{
    model::ServiceKey,
    node::{
        input::{ConnId, Input, ProbeOutcome},
        op::Op,
        output::{Output, PushBody},
        reply::{Answered, Reply},
    },
};

impl<M: Member> Sim<M> {
    /// Carries out what left a member.
    pub(super) fn carry_out(&mut self, member: usize, arrivals: &[Arrival], outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Reply { id, result } => {
                    if let Ok(Reply::Totals(totals)) = result {
                        self.totals = Some(totals);
                        continue;
                    }
                    let asks = arrivals.iter().find_map(|a| match a {
                        Arrival::Request { id: of, op, .. } if *of == id => Some(op),
                        _ => None,
                    });
                    let list = match asks {
                        Some(Op::Subscribe { service, .. } | Op::SubscribeUdp { service, .. }) => {
                            Some(self.list(member, service))
                        }
                        _ => None,
                    };
                    self.answer(id, result, list);
                }
                Output::Push { push, body, conns } => self.push(member, push, &body, &conns),
                Output::Datagram {
                    push,
                    ip,
                    port: _,
                    service,
                    ..
                } => self.datagram(member, push, &ip, &service),
                Output::Close { conn, .. } => {
                    self.air.cut(conn);
                    let travel = self.air.travel() + 500;
                    self.air.tell_later(travel, Input::Disconnected { conn });
                    for client in 0..self.clients.len() {
                        self.air
                            .after(travel, Event::Deliver(client, Packet::Closed { conn }));
                    }
                }
                Output::Probe { probe, .. } => {
                    let probed = Input::Probed {
                        probe,
                        outcome: ProbeOutcome::Healthy,
                        took_ms: 5,
                    };
                    self.air.tell_later(5, probed);
                }
                Output::Propose { .. } | Output::Store { .. } | Output::View(_) => {}
            }
        }
    }

    fn list(&self, member: usize, service: &ServiceKey) -> Arc<List> {
        Arc::new(list_of(self.members[member].member.view(), service))
    }

    pub(super) fn answer(&mut self, id: u64, result: Answered, list: Option<Arc<List>>) {
        let Some(asked) = self.air.asked.remove(&id) else {
            return;
        };
        let packet = Packet::Reply { id, result, list };
        match asked.conn {
            Some(conn) => self.air.deliver(asked.client, conn, packet),
            None if asked.lost => {
                let packet = Packet::Failed { id };
                self.air.after(1_000, Event::Deliver(asked.client, packet));
            }
            None => {
                let travel = self.air.travel();
                self.air.after(travel, Event::Deliver(asked.client, packet));
            }
        }
    }

    fn push(&mut self, member: usize, push: u64, body: &PushBody, conns: &[ConnId]) {
        self.sent += conns.len() as u64;
        let pushed = match body {
            PushBody::Service { key, .. } | PushBody::ServicePolicy { key, .. } => {
                let (now, changes) = (self.air.now, self.truth.changes(key));
                for conn in conns {
                    let sent = self.pushes.entry((*conn, key.clone()));
                    let sent = sent.or_insert(Sent {
                        since: now,
                        changes: changes.saturating_sub(1),
                        ..Sent::default()
                    });
                    sent.count += 1;
                    // Without an acknowledgement it comes again after 5 s and 1 s.
                    sent.faults = (now - sent.since) / 1_000;
                    sent.last = now;
                }
                Pushed::Service(key.clone(), self.list(member, key))
            }
            PushBody::Config { key, .. } => Pushed::Config(key.clone()),
            PushBody::FuzzyService { key, added } => {
                Pushed::Fuzzy(false, vec![(key.fuzzy(), *added)])
            }
            PushBody::FuzzyConfig { key, exists } => {
                let text = format!("{}+{}+{}", key.data_id, key.group, key.namespace);
                Pushed::Fuzzy(true, vec![(text, *exists)])
            }
            PushBody::FuzzySync { config, keys, .. } => Pushed::Fuzzy(
                *config,
                keys.iter()
                    .map(|(k, exists)| ((**k).into(), *exists))
                    .collect(),
            ),
        };
        for conn in conns {
            let client = self
                .clients
                .iter()
                .position(|client| matches!(client, Client::Connected(c) if c.conn == Some(*conn)));
            if let Some(client) = client {
                let packet = Packet::Push {
                    conn: *conn,
                    push,
                    body: pushed.clone(),
                };
                self.air.deliver(client, *conn, packet);
            }
        }
    }

    fn datagram(&mut self, member: usize, push: u64, ip: &Arc<str>, service: &ServiceKey) {
        self.sent += 1;
        self.order += 1;
        let (now, changes) = (self.air.now, self.truth.changes(service));
        let sent = self.datagrams.entry((ip.clone(), service.clone()));
        let sent = sent.or_insert(Sent {
            since: now,
            changes: changes.saturating_sub(1),
            ..Sent::default()
        });
        let full = self.truth.current(service).is_some_and(|l| !l.is_empty());
        sent.again |= sent.acked && sent.at_changes == changes && full;
        (sent.push, sent.at_changes, sent.acked) = (push, changes, false);
        sent.count += 1;
        sent.last = now;
        let client = self
            .clients
            .iter()
            .position(|client| matches!(client, Client::Udp(c) if c.ip == *ip));
        let Some(client) = client else {
            return;
        };
        let packet = Packet::Datagram {
            push,
            order: self.order,
            list: self.list(member, service),
        };
        let copies = 1 + u32::from(self.air.chance(self.air.faults.duplicate));
        for _ in 0..copies {
            if !self.air.chance(self.air.faults.lose) {
                let travel = self.air.travel();
                self.air
                    .after(travel, Event::Deliver(client, packet.clone()));
            }
        }
    }

    /// Keeps which MD5s hold, for the addresses of listeners.
    pub(super) fn note_md5s(&mut self) {
        let now = self.air.now;
        let ips: BTreeSet<Arc<str>> = self
            .clients
            .iter()
            .filter_map(|client| match client {
                Client::Connected(client) => Some(client.ip.clone()),
                _ => None,
            })
            .collect();
        for ip in ips {
            for n in 0..self.sizes.configs {
                let key = config(n);
                let md5 = self.truth.durable.md5(&key, &ip, "");
                let history = self.md5s.entry((key, ip.clone())).or_default();
                if history
                    .last()
                    .map_or(md5.is_some(), |(_, last)| *last != md5)
                {
                    history.push((now, md5));
                }
            }
        }
    }
}
