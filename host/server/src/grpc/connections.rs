//! All transports, by the core's numbers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use nacrite_core::{
    api::grpc,
    node::{
        input::{AckOutcome, ConnId, Input},
        output::PushBody,
    },
};

use super::{connection::Connection, wire};
use crate::{
    drive::{Clock, Drive},
    metrics::Metrics,
};

/// Transports that are set up; the core's pushes go through here.
pub struct Connections {
    clock: Clock,
    metrics: Arc<Metrics>,
    drive: OnceLock<Arc<Drive>>,
    all: RwLock<HashMap<ConnId, Arc<Connection>>>,
    /// Transports by address of the client, set up or not.
    counts: Mutex<HashMap<std::net::IpAddr, usize>>,
    next_detection: AtomicU64,
    next_conn: AtomicU64,
}

/// Numbers of detections and resets begin here: above those that the core gives pushes.
const FIRST_DETECTION: u64 = 1 << 60;

impl Connections {
    /// No transports yet.
    #[must_use]
    pub fn new(clock: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            metrics,
            drive: OnceLock::new(),
            all: RwLock::default(),
            counts: Mutex::default(),
            next_detection: AtomicU64::new(FIRST_DETECTION),
            next_conn: AtomicU64::new(1),
        })
    }

    /// The core is there.
    pub fn attach(&self, drive: Arc<Drive>) {
        assert!(self.drive.set(drive).is_ok(), "the drive is attached once");
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn drive(&self) -> Option<&Arc<Drive>> {
        self.drive.get()
    }

    /// Milliseconds of the monotonic clock.
    pub(super) fn now(&self) -> u64 {
        self.clock.now().mono
    }

    pub(super) fn wall(&self) -> u64 {
        self.clock.now().wall
    }

    /// A number for a new transport; never given twice.
    pub(super) fn new_conn(&self) -> ConnId {
        ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn next_detection(&self) -> u64 {
        self.next_detection.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a transport of this address in; whether it is within the limits.
    pub(super) fn enter(&self, ip: std::net::IpAddr, most: usize, most_per_address: usize) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = counts.values().sum();
        let own = counts.get(&ip).copied().unwrap_or_default();
        if total >= most || own >= most_per_address {
            return false;
        }
        *counts.entry(ip).or_default() += 1;
        true
    }

    pub(super) fn snapshot(&self) -> Vec<Arc<Connection>> {
        self.all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// How many are set up.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether none is set up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn insert(&self, connection: &Arc<Connection>) {
        self.all
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(connection.conn, connection.clone());
    }

    /// A transport is gone.
    pub(super) fn ended(&self, connection: &Connection) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&connection.peer.ip()) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&connection.peer.ip());
            }
        }
        drop(counts);
        let known = self
            .all
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&connection.conn);
        if let (Some(_), Some(drive)) = (known, self.drive()) {
            drive.control(Input::Disconnected {
                conn: connection.conn,
            });
        }
    }

    /// Sends a push of the core's: rendered once, the same bytes for all.
    pub fn push(&self, drive: &Arc<Drive>, push: u64, body: &PushBody, conns: &[ConnId]) {
        let answer = grpc::push(&*drive.views, push, body, drive.clock.now().wall);
        let payload = wire::encode(answer.kind, answer.json);
        let now = self.now();
        let found: Vec<(ConnId, Option<Arc<Connection>>)> = {
            let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
            conns
                .iter()
                .map(|conn| (*conn, all.get(conn).cloned()))
                .collect()
        };
        for (conn, connection) in found {
            // A connection that is gone is told to the core by its end.
            if let Some(connection) = connection
                && !connection.send(payload.clone(), now)
            {
                drive.control(Input::Ack {
                    conn,
                    push,
                    outcome: AckOutcome::Failed,
                });
            }
        }
    }

    /// Ends a transport.
    pub fn close(&self, conn: ConnId, reason: &str) {
        let connection = self
            .all
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&conn)
            .cloned();
        if let Some(connection) = connection {
            tracing::info!("closing connection {}: {reason}", connection.id);
            connection.close();
        }
    }

    /// Asks a client to connect again, here or at another server (`ip:port`).
    pub fn reset(&self, id: &str, to: Option<(&str, u16)>) -> bool {
        let found = self.snapshot().into_iter().find(|c| *c.id == *id);
        found.is_some_and(|connection| {
            let answer = grpc::reset(self.next_detection(), &connection.id, to);
            connection.send(wire::encode(answer.kind, answer.json), self.now())
        })
    }
}
