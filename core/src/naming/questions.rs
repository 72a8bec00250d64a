//! Questions about clients and totals, as far as publishing goes; what is subscribed is another module's part.

use alloc::{sync::Arc, vec::Vec};

use super::{
    Naming,
    state::{Address, Client as Known, ClientKind},
};
use crate::{
    model::ServiceKey,
    node::{
        op::Question,
        reply::{Answered, Client, Connection, Refusal, Reply, ServiceClient, Totals},
    },
};

impl Naming {
    /// The published side of an answer.
    pub(super) fn ask(&self, question: &Question) -> Answered {
        match question {
            Question::Clients => Ok(Reply::Clients(self.clients())),
            Question::Client { id } => self
                .client(id)
                .map(Reply::Client)
                .ok_or(Refusal::ClientNotFound),
            Question::PublishersOf { service } => {
                Ok(Reply::ServiceClients(self.publishers_of(service)))
            }
            Question::Totals => {
                let mut totals = Totals::default();
                self.add_totals(&mut totals);
                Ok(Reply::Totals(totals))
            }
            Question::Connections => Ok(Reply::Connections(self.connections())),
            _ => Err(Refusal::Illegal("no question of naming".into())),
        }
    }

    /// Ids of all connections and of the addresses that publish, sorted.
    #[must_use]
    pub fn clients(&self) -> Vec<Arc<str>> {
        let mut ids: Vec<Arc<str>> = self
            .volatile
            .clients
            .iter()
            .map(|(_, client)| client.id())
            .collect();
        ids.sort();
        ids
    }

    /// Keys of all services that exist, in their order.
    #[must_use]
    pub fn service_keys(&self) -> Vec<ServiceKey> {
        let mut keys: Vec<ServiceKey> = self
            .volatile
            .services
            .iter()
            .map(|(_, s)| s.key.clone())
            .collect();
        keys.sort();
        keys
    }

    /// A client with what it publishes; `subscribed` is empty.
    #[must_use]
    pub fn client(&self, id: &str) -> Option<Client> {
        let known = match Address::parse(id) {
            Some(address) => self.client_at(&address)?,
            None => {
                let mut connections = self.volatile.conns.values().copied();
                connections.find(|c| *self.volatile.clients[*c].id() == *id)?
            }
        };
        let client = &self.volatile.clients[known];
        let published = self
            .volatile
            .publications
            .range((known, 0, 0)..=(known, u32::MAX, u32::MAX));
        let mut published: Vec<_> = published
            .map(|(_, service, record)| {
                (
                    self.volatile.services[*service].key.clone(),
                    self.volatile.records[*record].published.key.clone(),
                )
            })
            .collect();
        published.sort();
        Some(Client {
            id: client.id(),
            ephemeral: !matches!(&client.kind, ClientKind::Address(address) if !address.ephemeral),
            updated: client.updated,
            connection: client.connection(),
            published,
            subscribed: Vec::new(),
        })
    }

    /// Clients that publish a service, in the order of their instances.
    #[must_use]
    pub fn publishers_of(&self, service: &ServiceKey) -> Vec<ServiceClient> {
        let Some(id) = self.service_id(service) else {
            return Vec::new();
        };
        let of = |record: u32| {
            let record = &self.volatile.records[record];
            ServiceClient {
                client: self.volatile.clients[record.client].id(),
                key: record.published.key.clone(),
                agent: Arc::from(""),
                app: Arc::from(""),
            }
        };
        self.volatile.services[id].records.ids().map(of).collect()
    }

    /// All connections, oldest first.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.volatile
            .conns
            .values()
            .filter_map(|id| self.volatile.clients[*id].connection())
            .collect()
    }

    /// Adds what naming counts: services, instances, clients, addresses that publish, timers.
    pub fn add_totals(&self, totals: &mut Totals) {
        let volatile = &self.volatile;
        totals.services += volatile.services.len() as u64;
        totals.instances += volatile.records.len() as u64;
        totals.clients += volatile.clients.len() as u64;
        totals.timers += (volatile.timers.len() + volatile.marks.len()) as u64;
        let publishes = |id: &&u32| {
            volatile
                .publications
                .range((**id, 0, 0)..=(**id, u32::MAX, u32::MAX))
                .next()
                .is_some()
        };
        totals.grpc_publishers += volatile.conns.values().filter(publishes).count() as u64;
        for (_, client) in volatile.clients.iter() {
            match &client.kind {
                ClientKind::Address(address) if address.ephemeral => {
                    totals.ephemeral_addresses += 1;
                }
                ClientKind::Address(_) => totals.persistent_addresses += 1,
                ClientKind::Connection { .. } => {}
            }
        }
    }
}

impl Known {
    fn connection(&self) -> Option<Connection> {
        let ClientKind::Connection { details, since, .. } = &self.kind else {
            return None;
        };
        Some(Connection {
            id: details.id.clone(),
            ip: details.ip.clone(),
            port: details.port,
            version: details.version.clone(),
            app: details.app.clone(),
            labels: details.labels.clone(),
            since: *since,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::trial::{Trial, instance, key, service},
        *,
    };
    use crate::{model::Instance, node::op::Op};

    fn three() -> Trial {
        let mut trial = Trial::new();
        trial.connect(1);
        trial
            .grpc(
                1,
                Op::Register {
                    service: service("s"),
                    instance: instance(1),
                },
            )
            .unwrap();
        trial.register("s", instance(2)).unwrap();
        trial
            .register(
                "p",
                Instance {
                    ephemeral: false,
                    ..instance(3)
                },
            )
            .unwrap();
        trial
    }

    #[test]
    fn clients_are_found_by_their_ids() {
        let mut trial = three();
        let ids = trial.naming.clients();
        let all: Vec<&str> = ids.iter().map(|id| &**id).collect();
        assert_eq!(
            all,
            ["10.0.0.2:80#true", "10.0.0.3:80#false", "1_10.9.0.1_1"]
        );
        for (id, ephemeral, name, n) in [
            (all[0], true, "s", 2),
            (all[1], false, "p", 3),
            (all[2], true, "s", 1),
        ] {
            let client = trial.naming.client(id).unwrap();
            assert_eq!((&*client.id, client.ephemeral), (id, ephemeral));
            assert_eq!(client.published, [(service(name), key(n))]);
            assert_eq!(
                (client.connection.is_some(), client.updated),
                (n == 1, trial.now.wall)
            );
        }
        let answered = trial.http(Op::Ask(Question::Client {
            id: Arc::from("10.0.0.2:80#false"),
        }));
        assert_eq!(answered, Err(Refusal::ClientNotFound));
    }

    #[test]
    fn publishers_and_totals() {
        let mut trial = three();
        let publishers = trial.naming.publishers_of(&service("s"));
        let clients: Vec<_> = publishers
            .iter()
            .map(|p| (&*p.client, p.key.clone()))
            .collect();
        assert_eq!(
            clients,
            [("1_10.9.0.1_1", key(1)), ("10.0.0.2:80#true", key(2))]
        );
        assert!(trial.naming.publishers_of(&service("t")).is_empty());
        let Ok(Reply::Totals(totals)) = trial.http(Op::Ask(Question::Totals)) else {
            panic!("totals")
        };
        assert_eq!(
            (totals.services, totals.instances, totals.clients),
            (2, 3, 3)
        );
        assert_eq!(
            (
                totals.ephemeral_addresses,
                totals.persistent_addresses,
                totals.timers
            ),
            (1, 1, 2)
        );
    }
}
