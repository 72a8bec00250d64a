//! Clients: connections, and addresses that publish over HTTP or persistently.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use super::{
    Naming,
    state::{Address, Client, ClientKind},
};
use crate::node::input::{ConnDetails, ConnId, Now};

impl Naming {
    /// A connection is set up. One that is known already is left as it is.
    pub fn connected(&mut self, conn: ConnId, details: &ConnDetails, now: Now) {
        self.at(now);
        if self.volatile.conns.contains_key(&conn) {
            return;
        }
        let kind = ClientKind::Connection {
            conn,
            details: Box::new(details.clone()),
            since: now.wall,
        };
        let id = self.volatile.clients.insert(Client {
            kind,
            updated: now.wall,
            records: 0,
        });
        self.volatile.conns.insert(conn, id);
    }

    /// A connection ended; what it published goes at once.
    pub fn disconnected(&mut self, conn: ConnId, now: Now) {
        self.at(now);
        let Some(client) = self.volatile.conns.remove(&conn) else {
            return;
        };
        if crate::planted!(InstancesOutliveTheirConnection) {
            return;
        }
        let records: Vec<u32> = self
            .volatile
            .publications
            .range((client, 0, 0)..=(client, u32::MAX, u32::MAX))
            .map(|(_, _, r)| *r)
            .collect();
        for record in records {
            self.withdraw(record);
        }
        self.volatile.clients.remove(client);
    }

    /// The client of a connection.
    pub(super) fn client_of(&self, conn: ConnId) -> Option<u32> {
        self.volatile.conns.get(&conn).copied()
    }

    /// The client of an address.
    pub(super) fn client_at(&self, address: &Address) -> Option<u32> {
        self.volatile.addresses.get(address).copied()
    }

    /// The client of an address, made if there is none. A record of its own must follow.
    pub(super) fn client_made(&mut self, address: Address) -> u32 {
        if let Some(id) = self.client_at(&address) {
            return id;
        }
        let kind = ClientKind::Address(address.clone());
        let id = self.volatile.clients.insert(Client {
            kind,
            updated: self.volatile.now.wall,
            records: 0,
        });
        self.volatile.addresses.insert(address, id);
        id
    }

    /// A client lost a record; one of an address goes with its last.
    pub(super) fn left(&mut self, id: u32) {
        let client = &mut self.volatile.clients[id];
        client.records -= 1;
        client.updated = self.volatile.now.wall;
        if let (0, ClientKind::Address(address)) = (client.records, &client.kind) {
            self.volatile.addresses.remove(address);
            self.volatile.clients.remove(id);
        }
    }
}

impl Client {
    /// The id that APIs show.
    pub(super) fn id(&self) -> Arc<str> {
        match &self.kind {
            ClientKind::Connection { details, .. } => details.id.clone(),
            ClientKind::Address(address) => address.id().into(),
        }
    }
}

impl Address {
    /// `ip:port#true` or `ip:port#false`.
    pub(super) fn id(&self) -> String {
        format!("{}:{}#{}", self.ip, self.port, self.ephemeral)
    }

    /// Reads what [`Address::id`] writes.
    pub(super) fn parse(id: &str) -> Option<Self> {
        let (address, ephemeral) = id.rsplit_once('#')?;
        let (ip, port) = address.rsplit_once(':')?;
        Some(Self {
            ip: ip.into(),
            port: port.parse().ok()?,
            ephemeral: ephemeral.parse().ok()?,
        })
    }
}
