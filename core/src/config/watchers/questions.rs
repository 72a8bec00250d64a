//! Questions about who watches what; they change nothing.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use super::{Watchers, effective_md5, names::Watched};
use crate::{
    model::{ConfigKey, Md5},
    node::{input::ConnId, reply::Listener},
};

impl Watchers {
    /// Who watches a config: polls first, then connections, whose ids `id_of` knows.
    #[must_use]
    pub fn listeners_of(
        &self,
        key: &ConfigKey,
        id_of: impl Fn(ConnId) -> Option<Arc<str>>,
    ) -> Vec<Listener> {
        let Some(name) = self.names.find(key) else {
            return Vec::new();
        };
        let item = self
            .names
            .get(name)
            .and_then(|watched| watched.item.as_deref());
        let polls = self.polls_by_name.of(name).filter_map(|slot| {
            let poll = self.polls.get(slot)?;
            let md5 = effective_md5(item, &poll.ip, &poll.tag);
            Some(Listener {
                ip: poll.ip.clone(),
                md5,
                connection: Arc::from(""),
                since: poll.since,
            })
        });
        let conns = self
            .conns_by_name
            .range((name, ConnId(0))..=(name, ConnId(u64::MAX)))
            .filter_map(|(_, id)| {
                let conn = self.conns.get(id)?;
                let listen = conn.listens.get(&name)?;
                let connection = id_of(*id).unwrap_or_default();
                Some(Listener {
                    ip: conn.ip.clone(),
                    md5: listen.md5,
                    connection,
                    since: conn.since,
                })
            });
        polls.chain(conns).collect()
    }

    /// What an address watches, in the order of keys, each config once; and what it has of it.
    #[must_use]
    pub fn listened_by(&self, ip: &str, namespace: Option<&str>) -> Vec<(ConfigKey, Option<Md5>)> {
        let mut found = BTreeMap::new();
        let mut add = |watched: Option<&Watched>, md5| {
            if let Some(watched) = watched
                && namespace.is_none_or(|n| *watched.key.namespace == *n)
            {
                found.insert(watched.key.clone(), md5);
            }
        };
        for poll in self.polls.iter().filter(|poll| *poll.ip == *ip) {
            for name in &poll.names {
                let watched = self.names.get(*name);
                let item = watched.and_then(|w| w.item.as_deref());
                add(watched, effective_md5(item, &poll.ip, &poll.tag));
            }
        }
        for conn in self.conns.values().filter(|conn| *conn.ip == *ip) {
            for (name, listen) in &conn.listens {
                add(self.names.get(*name), listen.md5);
            }
        }
        found.into_iter().collect()
    }

    /// Parked polls.
    #[must_use]
    pub fn polls(&self) -> usize {
        self.polls.len()
    }

    /// Configs that parked polls wait for, each counted for each poll.
    #[must_use]
    pub fn poll_keys(&self) -> u64 {
        self.poll_keys
    }

    /// (connection, config) pairs.
    #[must_use]
    pub fn listens(&self) -> usize {
        self.conns_by_name.len()
    }

    /// Distinct configs that are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.names.len()
    }

    /// Timers that are set.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.timers.len()
    }
}
