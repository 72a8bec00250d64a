//! What the node is asked about subscribers, connections and pushes; nothing here changes anything but the counters'
//! reset.

use alloc::{collections::BTreeSet, format, string::String, sync::Arc, vec::Vec};

use super::{
    Push,
    subscribers::{Subscribed, Subscription},
    udp::UdpSubscriber,
};
use crate::{
    model::ServiceKey,
    node::{
        input::ConnId,
        reply::{Connection, PushState, Subscriber, Totals},
    },
};

fn by_service(mut all: Vec<Subscriber>) -> Vec<Subscriber> {
    all.sort_by(|a, b| a.service.cmp(&b.service));
    all
}

impl Push {
    /// Subscribers of the services of a namespace whose group and name hold these texts (or, if `exact`, equal them),
    /// in the order of services, connections before UDP.
    #[must_use]
    pub fn subscribers(
        &self,
        namespace: &str,
        group: &str,
        name: &str,
        exact: bool,
    ) -> Vec<Subscriber> {
        let fits = |text: &str, asked: &str| {
            if exact {
                text == asked
            } else {
                text.contains(asked)
            }
        };
        self.services
            .iter()
            .filter(|s| {
                *s.key.namespace == *namespace
                    && fits(&s.key.group, group)
                    && fits(&s.key.name, name)
            })
            .flat_map(|s| self.of(s))
            .collect()
    }

    /// Subscribers of one service.
    #[must_use]
    pub fn subscribers_of(&self, service: &ServiceKey) -> Vec<Subscriber> {
        let found = self
            .services
            .find(service)
            .and_then(|id| self.services.get(id));
        found.map_or_else(Vec::new, |s| self.of(s).collect())
    }

    /// What a client subscribes to; none if it is neither a connection nor a UDP subscriber (`ip:port#true`).
    #[must_use]
    pub fn subscriptions_of(&self, client: &str) -> Option<Vec<Subscriber>> {
        if let Some((id, conn)) = self
            .conns
            .iter()
            .find(|(_, conn)| *conn.details.id == *client)
        {
            let services = conn.services.iter().filter_map(|s| self.services.get(*s));
            let all = services.filter_map(|s| Some(self.grpc(s, *id, s.conns.get(id)?)));
            return Some(by_service(all.collect()));
        }
        let (ip, port) = client.strip_suffix("#true")?.rsplit_once(':')?;
        let all = self.udp.at(ip, port.parse().ok()?);
        let all = by_service(all.filter_map(|sub| self.datagram(sub)).collect());
        (!all.is_empty()).then_some(all)
    }

    /// Ids of UDP subscribers (`ip:port#true`), each once. Connections are in [`Push::connections`].
    #[must_use]
    pub fn clients(&self) -> Vec<Arc<str>> {
        let mut ids: BTreeSet<String> = BTreeSet::new();
        ids.extend(self.udp.iter().map(client_id));
        ids.into_iter().map(Arc::from).collect()
    }

    /// Connections, in the order they came.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.conns
            .keys()
            .filter_map(|conn| self.connection(*conn))
            .collect()
    }

    /// Whether a connection is set up.
    #[must_use]
    pub fn is_connected(&self, conn: ConnId) -> bool {
        self.conns.contains_key(&conn)
    }

    /// One connection.
    #[must_use]
    pub fn connection(&self, conn: ConnId) -> Option<Connection> {
        let conn = self.conns.get(&conn)?;
        let details = &conn.details;
        Some(Connection {
            id: details.id.clone(),
            ip: details.ip.clone(),
            port: details.port,
            version: details.version.clone(),
            app: details.app.clone(),
            labels: details.labels.clone(),
            since: conn.since,
        })
    }

    /// The counters since the start or the last reset, which `reset` makes after the answer.
    pub fn push_state(&mut self, reset: bool) -> PushState {
        let pending = self
            .services
            .iter()
            .filter(|s| s.gathering.is_some())
            .count() as u64;
        let answer = PushState {
            pending,
            ..self.counters
        };
        if reset {
            self.counters = PushState::default();
        }
        answer
    }

    /// Adds what is counted here: subscriptions, connections, fuzzy watches and timers.
    pub fn count_into(&self, totals: &mut Totals) {
        totals.subscriptions += self
            .services
            .iter()
            .map(|s| (s.conns.len() + s.udp.len()) as u64)
            .sum::<u64>();
        totals.udp_subscriptions += self
            .services
            .iter()
            .map(|s| s.udp.len() as u64)
            .sum::<u64>();
        totals.connections += self.conns.len() as u64;
        totals.fuzzy_watches += self.fuzzy.watches();
        totals.timers += self.timers.len() as u64;
    }

    fn of<'a>(&'a self, service: &'a Subscribed) -> impl Iterator<Item = Subscriber> + 'a {
        let conns = service
            .conns
            .iter()
            .map(|(conn, s)| self.grpc(service, *conn, s));
        conns.chain(
            service
                .udp
                .iter()
                .filter_map(|id| self.datagram(self.udp.get(*id)?)),
        )
    }

    fn grpc(&self, service: &Subscribed, conn: ConnId, subscription: &Subscription) -> Subscriber {
        let details = &self.conns[&conn].details;
        Subscriber {
            service: service.key.clone(),
            client: details.id.clone(),
            ip: details.ip.clone(),
            port: 0,
            agent: details.version.clone(),
            app: subscription.app.clone(),
            clusters: subscription.clusters.clone(),
            since: subscription.since,
        }
    }

    fn datagram(&self, sub: &UdpSubscriber) -> Option<Subscriber> {
        Some(Subscriber {
            service: self.services.get(sub.key.service)?.key.clone(),
            client: client_id(sub).into(),
            ip: sub.key.ip.clone(),
            port: sub.key.port,
            agent: sub.key.agent.clone(),
            app: sub.app.clone(),
            clusters: sub.key.clusters.clone(),
            since: sub.since,
        })
    }
}

fn client_id(sub: &UdpSubscriber) -> String {
    format!("{}:{}#true", sub.key.ip, sub.key.port)
}
