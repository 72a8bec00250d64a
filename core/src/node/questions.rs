//! Questions about clients, subscribers and listeners: what no view has and only the node knows.

use alloc::vec::Vec;

use super::{
    Node, draw,
    op::Question,
    reply::{Answered, Client, Refusal, Reply, ServiceClient, Totals},
};
use crate::{model::InstanceKey, namespaces::random_uuid};

impl Node {
    /// Questions whose answers no view has.
    pub(super) fn ask(&mut self, question: Question) -> Answered {
        Ok(match question {
            Question::Subscribers {
                namespace,
                group,
                name,
                exact,
            } => Reply::Subscribers(self.push.subscribers(&namespace, &group, &name, exact)),
            Question::ListenersOf { key } => {
                let id_of = |conn| self.push.connection(conn).map(|c| c.id);
                Reply::Listeners(self.watchers.listeners_of(&key, id_of))
            }
            Question::ListenedBy { ip, namespace } => {
                Reply::Listened(self.watchers.listened_by(&ip, namespace.as_deref()))
            }
            Question::Clients => {
                let mut ids = self.naming.clients();
                ids.extend(self.push.clients());
                ids.sort();
                ids.dedup();
                Reply::Clients(ids)
            }
            Question::Client { id } => return self.client(&id),
            Question::PublishersOf { service } => {
                Reply::ServiceClients(self.naming.publishers_of(&service))
            }
            Question::SubscribersOf { service } => {
                let subscribers = self.push.subscribers_of(&service).into_iter();
                Reply::ServiceClients(
                    subscribers
                        .map(|s| ServiceClient {
                            client: s.client,
                            key: InstanceKey {
                                ip: s.ip,
                                port: s.port,
                                cluster: s.clusters,
                            },
                            agent: s.agent,
                            app: s.app,
                        })
                        .collect(),
                )
            }
            Question::PushState { reset } => Reply::PushState(self.push.push_state(reset)),
            Question::Totals => Reply::Totals(self.totals()),
            Question::Connections => Reply::Connections(self.push.connections()),
            Question::Uuid => {
                let random = &mut self.random;
                Reply::Uuid(random_uuid(&mut || draw(random)))
            }
        })
    }

    fn client(&self, id: &str) -> Answered {
        let subscribed = self.push.subscriptions_of(id);
        let published = self.naming.client(id);
        let mut client = match (published, &subscribed) {
            (Some(client), _) => client,
            (None, None) => return Err(Refusal::ClientNotFound),
            (None, Some(_)) => Client {
                id: id.into(),
                ephemeral: true,
                updated: 0,
                connection: None,
                published: Vec::new(),
                subscribed: Vec::new(),
            },
        };
        client.subscribed = subscribed.unwrap_or_default();
        let since = client
            .subscribed
            .iter()
            .map(|s| s.since)
            .max()
            .unwrap_or_default();
        client.updated = client.updated.max(since);
        Ok(Reply::Client(client))
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals {
            namespaces: self.namespaces.len() as u64,
            locks: self.locks.held(self.now.wall) as u64,
            ..Totals::default()
        };
        self.naming.add_totals(&mut totals);
        self.push.count_into(&mut totals);
        totals.configs = self.configs.len() as u64;
        totals.polls = self.watchers.polls() as u64;
        totals.poll_keys = self.watchers.poll_keys();
        totals.listens = self.watchers.listens() as u64;
        totals.watched = self.watchers.watched() as u64;
        totals.timers += self.watchers.timers() as u64;
        totals
    }
}
