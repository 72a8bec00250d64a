//! All transports, by the core's numbers.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use nacrite_core::{
    api::{ClientRequest, grpc},
    node::{
        input::{AckOutcome, ConnId, Input},
        output::PushBody,
    },
};

use super::connection::Connection;
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
    counts: Mutex<Counts>,
    /// Transports in the order of their accepts, with that time, until they are set up, gone or given up.
    fresh: Mutex<VecDeque<(u64, Weak<Connection>)>>,
    /// Questions to clients whose answers are wanted.
    asked: Mutex<HashMap<u64, oneshot::Sender<Bytes>>>,
    /// Acknowledgements on their way to the core.
    acks: Mutex<Vec<Input>>,
    next_detection: AtomicU64,
    next_conn: AtomicU64,
}

/// Transports, set up or not.
#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers of detections and resets begin here: above those that the core gives pushes.
const FIRST_DETECTION: u64 = 1 << 60;

/// A client that is asked what it holds has so long (the reference's time).
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of the answers to one question, together; what passes them is left out.
const MOST_ANSWERED: usize = 32 << 20;

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
            fresh: Mutex::default(),
            asked: Mutex::default(),
            acks: Mutex::default(),
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
        self.clock.mono()
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
    pub(super) fn enter(&self, ip: IpAddr, most: usize, most_per_address: usize) -> bool {
        let mut counts = locked(&self.counts);
        let all = counts.all;
        let own = counts.by_address.entry(ip).or_default();
        if all >= most || *own >= most_per_address {
            return false;
        }
        *own += 1;
        counts.all += 1;
        true
    }

    /// Expects a transport to be set up.
    pub(super) fn expect_set_up(&self, connection: &Arc<Connection>) {
        locked(&self.fresh).push_back((self.now(), Arc::downgrade(connection)));
    }

    /// Transports that are older than this and still not set up.
    pub(super) fn overdue(&self, age: Duration) -> Vec<Arc<Connection>> {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let mut fresh = locked(&self.fresh);
        let mut overdue = Vec::new();
        while let Some((since, connection)) = fresh.front() {
            if now.saturating_sub(*since) < age {
                break;
            }
            overdue.extend(connection.upgrade().filter(|c| !c.is_set_up()));
            fresh.pop_front();
        }
        overdue
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
        let mut counts = locked(&self.counts);
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_address.get_mut(&connection.peer.ip()) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&connection.peer.ip());
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
        let frame = nacrite_wire::frame(answer.kind, answer.json);
        let now = self.now();
        let failed: Vec<Input> = {
            let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
            conns
                .iter()
                // A connection that is gone is told to the core by its end.
                .filter(|conn| all.get(conn).is_some_and(|c| !c.send(frame.clone(), now)))
                .map(|conn| Input::Ack {
                    conn: *conn,
                    push,
                    outcome: AckOutcome::Failed,
                })
                .collect()
        };
        if !failed.is_empty() {
            drive.controls(failed);
        }
    }

    /// A client answered a push. The core hears of it together with those that the transports which can be read now
    /// have to say: a wave's acknowledgements come at once, and a batch of the core's costs more than what is in it.
    pub(super) fn acknowledged(self: &Arc<Self>, ack: Input) {
        let mut acks = locked(&self.acks);
        acks.push(ack);
        if acks.len() > 1 {
            return;
        }
        let connections = self.clone();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            let acks = std::mem::take(&mut *locked(&connections.acks));
            if let Some(drive) = connections.drive() {
                drive.controls(acks);
            }
        });
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

    /// Asks clients something; the JSON of the answers that come in time. Who is asked to connect again is not waited
    /// for: it goes.
    pub async fn ask(&self, ids: &[Arc<str>], request: &ClientRequest) -> Vec<Vec<u8>> {
        let wanted: HashSet<&str> = ids.iter().map(|id| &**id).collect();
        let mut chosen = self.snapshot();
        chosen.retain(|connection| wanted.contains(&*connection.id));
        match request {
            ClientRequest::Reset(to) => {
                for connection in chosen {
                    let to = to.as_ref().map(|(ip, port)| (ip.as_str(), *port));
                    let answer = grpc::reset(self.next_detection(), &connection.id, to);
                    let sent =
                        connection.send(nacrite_wire::frame(answer.kind, answer.json), self.now());
                    tracing::info!(
                        "connection {} is asked to connect again{}",
                        connection.id,
                        if sent { "" } else { ", but does not read" }
                    );
                }
                Vec::new()
            }
            ClientRequest::ConfigMetrics(keys) => {
                let asked = chosen.iter().map(|c| self.config_metrics(c, keys));
                let answers = futures_util::future::join_all(asked).await;
                let mut room = MOST_ANSWERED;
                let within = |answer: &Bytes| {
                    let fits = answer.len() <= room;
                    room -= if fits { answer.len() } else { 0 };
                    fits
                };
                let answers = answers.into_iter().flatten().filter(within);
                answers.map(|answer| answer.to_vec()).collect()
            }
        }
    }

    /// Asks a client what it holds of configs; the JSON of its answer, if one comes in time.
    async fn config_metrics(
        &self,
        connection: &Connection,
        keys: &[(&'static str, String)],
    ) -> Option<Bytes> {
        let number = self.next_detection();
        let (sender, answer) = oneshot::channel();
        locked(&self.asked).insert(number, sender);
        let question = grpc::client_config_metrics(number, keys);
        let sent = connection.send(
            nacrite_wire::frame(question.kind, question.json),
            self.now(),
        );
        let answer = if sent {
            tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()
        } else {
            None
        };
        locked(&self.asked).remove(&number);
        answer?.ok()
    }

    /// Takes a client's answer, if it is one that somebody waits for.
    pub(super) fn answered(&self, number: u64, body: &Bytes) -> bool {
        if number < FIRST_DETECTION {
            return false;
        }
        let asked = locked(&self.asked).remove(&number);
        // Who asked may have given up.
        asked.map(|asked| asked.send(body.clone())).is_some()
    }
}
