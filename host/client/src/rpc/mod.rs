//! One logical gRPC connection to whichever server is there: connects, checks, changes servers, and tells who uses it.
//!
//! States as the Java client has them: a connection that answers nothing, ends, is reset or whose server left the list is
//! unhealthy, and the next server is tried; after each full round of the list the wait grows from 100 ms to 5 s.

mod connection;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::{mpsc, watch};

pub(crate) use self::connection::{Answer, own_ip};
use self::connection::{Connection, Ended};
use crate::{Error, ServerAddress, Settings, login::TOKEN, servers::ServerList, tasks::Task};

/// Tries of one request after the first.
const RETRIES: u32 = 3;
/// For a health check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Who uses a connection. Called in order and never at once; must not wait.
pub(crate) trait Handler: Send + Sync + 'static {
    /// A new connection stands.
    fn connected(&self);
    /// It is gone.
    fn disconnected(&self);
    /// The server sends something of itself; the fields of the answer, or none if it is not understood.
    fn pushed(&self, kind: &str, body: &Value) -> Option<Value>;
}

/// What a request found out about the connection it used.
#[derive(Debug)]
enum Doubt {
    /// The server does not know it.
    Unregistered(String),
    /// Requests fail; it should be checked.
    Failing(String),
}

#[derive(Clone, Debug)]
enum State {
    /// None stands.
    Unhealthy,
    /// This one does.
    Running(Arc<Connection>),
}

/// A connection that is kept up until this is dropped.
#[derive(Debug)]
pub(crate) struct Rpc {
    inner: Arc<Inner>,
    _driver: Task,
}

struct Inner {
    settings: Arc<Settings>,
    servers: Arc<ServerList>,
    labels: BTreeMap<String, String>,
    handler: Arc<dyn Handler>,
    state: watch::Sender<State>,
    doubts: mpsc::Sender<Doubt>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

impl Rpc {
    /// Starts to connect; returns when it is connected, or after one try of each server (at least four).
    pub(crate) async fn start(
        settings: Arc<Settings>,
        servers: Arc<ServerList>,
        labels: &[(&str, &str)],
        handler: Arc<dyn Handler>,
    ) -> Self {
        let mut all = settings.labels.clone();
        all.insert("source".into(), "sdk".into());
        all.insert("AppName".into(), settings.app.clone());
        all.extend(labels.iter().map(|(k, v)| ((*k).into(), (*v).into())));
        // A second doubt about a connection says nothing new.
        let (doubts, doubted) = mpsc::channel(1);
        let inner = Arc::new(Inner {
            settings,
            servers,
            labels: all,
            handler,
            state: watch::Sender::new(State::Unhealthy),
            doubts,
        });
        let (tried, first) = tokio::sync::oneshot::channel();
        let driver = Task::spawn(drive(inner.clone(), doubted, tried));
        let _connected_or_tried = first.await;
        Self {
            inner,
            _driver: driver,
        }
    }

    /// Whether a connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(&*self.inner.state.borrow(), State::Running(_))
    }

    /// The server of the connection that stands.
    pub(crate) fn server(&self) -> Option<ServerAddress> {
        match &*self.inner.state.borrow() {
            State::Running(connection) => Some(connection.server.clone()),
            State::Unhealthy => None,
        }
    }

    /// Whether the connected server said that it can do something.
    pub(crate) fn server_can(&self, ability: &str) -> bool {
        match &*self.inner.state.borrow() {
            State::Running(connection) => connection.has_ability(ability),
            State::Unhealthy => false,
        }
    }

    /// Asks, with up to three repeats within the request's time.
    ///
    /// # Errors
    /// [`Error::Refused`] with what the server said; else why there is no answer.
    pub(crate) async fn request(
        &self,
        kind: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Error> {
        let within = self.inner.settings.request_timeout;
        let deadline = Instant::now() + within;
        let pause = (within / 3).min(Duration::from_millis(100));
        let mut last = Error::NotConnected(within);
        for _ in 0..=RETRIES {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let Ok(connection) = tokio::time::timeout(left, self.running()).await else {
                break;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let login = self.inner.servers.login();
            let token = login.token();
            let token = token.iter().map(|token| (TOKEN, &**token));
            let all: Vec<_> = headers.iter().copied().chain(token).collect();
            match connection.ask(kind, body, &all, left).await {
                Ok(answer) if answer.is_unregistered() => {
                    self.doubt(Doubt::Unregistered(connection.id.clone()));
                    last = answer.refusal();
                }
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(answer) => {
                    let refusal = answer.refusal();
                    login.answered(refusal.code().unwrap_or_default());
                    return Err(refusal);
                }
                Err(error) => last = error,
            }
            tokio::time::sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
        if let State::Running(connection) = &*self.inner.state.borrow() {
            self.doubt(Doubt::Failing(connection.id.clone()));
        }
        Err(last)
    }

    /// Gives the connection up, as when the server did not know it.
    pub(crate) fn kick(&self) {
        if let State::Running(connection) = &*self.inner.state.borrow() {
            self.doubt(Doubt::Unregistered(connection.id.clone()));
        }
    }

    fn doubt(&self, doubt: Doubt) {
        // Full: the driver has one to look at already.
        let _queued = self.inner.doubts.try_send(doubt);
    }

    async fn running(&self) -> Arc<Connection> {
        let mut state = self.inner.state.subscribe();
        loop {
            if let State::Running(connection) = &*state.borrow_and_update() {
                return connection.clone();
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Keeps a connection up. `tried` is told when the first stands, or when enough was tried in vain.
async fn drive(
    inner: Arc<Inner>,
    mut doubts: mpsc::Receiver<Doubt>,
    tried: tokio::sync::oneshot::Sender<()>,
) {
    let mut tried = Some(tried);
    let mut preferred: Option<ServerAddress> = None;
    let mut failures: usize = 0;
    loop {
        let server = preferred.take().unwrap_or_else(|| inner.servers.next());
        match connect(&inner, &server).await {
            Ok((connection, ended)) => {
                failures = 0;
                tracing::debug!("connected to {server} as {}", connection.id);
                inner.state.send_replace(State::Running(connection.clone()));
                inner.handler.connected();
                tried.take().map(|t| t.send(()));
                let (why, next) = watch_over(&inner, &connection, ended, &mut doubts).await;
                tracing::debug!("the connection to {server} is given up: {why}");
                inner.state.send_replace(State::Unhealthy);
                inner.handler.disconnected();
                connection.close();
                preferred = next;
            }
            Err(error) => {
                tracing::debug!("no connection to {server}: {error}");
                failures += 1;
                let count = inner.servers.all().len().max(1);
                if failures >= count.max(4) {
                    tried.take().map(|t| t.send(()));
                }
                let round = (failures / count).min(50);
                let round = u32::try_from(round).unwrap_or(50);
                tokio::time::sleep(Duration::from_millis(100) * round).await;
            }
        }
    }
}

async fn connect(
    inner: &Arc<Inner>,
    server: &ServerAddress,
) -> Result<(Arc<Connection>, mpsc::Receiver<Ended>), Error> {
    let handler = inner.handler.clone();
    Connection::open(&inner.settings, server, &inner.labels, handler).await
}

/// Returns when the connection should be given up: why, and which server is to be next.
async fn watch_over(
    inner: &Inner,
    connection: &Connection,
    mut ended: mpsc::Receiver<Ended>,
    doubts: &mut mpsc::Receiver<Doubt>,
) -> (String, Option<ServerAddress>) {
    let mut servers = inner.servers.watch();
    let idle = inner.settings.idle_check;
    loop {
        let rest = idle.saturating_sub(connection.silence());
        tokio::select! {
            end = ended.recv() => match end {
                Some(Ended::Reset { ip, port }) => {
                    let port = port.parse().ok();
                    let listed = inner.servers.all();
                    let named = listed.iter().find(|s| s.host == ip && Some(s.port) == port)
                        .or_else(|| listed.iter().find(|s| s.host == ip));
                    return ("the server asks for another".into(), named.cloned());
                }
                Some(Ended::Gone(why)) => return (why, None),
                None => return ("the stream ended".into(), None),
            },
            doubt = doubts.recv() => match doubt {
                Some(Doubt::Unregistered(id)) if id == connection.id => {
                    return ("the server does not know it".into(), None);
                }
                Some(Doubt::Failing(id)) if id == connection.id => {
                    if !connection.is_healthy(CHECK_TIMEOUT).await {
                        return ("requests fail".into(), None);
                    }
                }
                // Of a connection before this one.
                Some(_) => {}
                None => return ("nobody uses it".into(), None),
            },
            changed = servers.changed() => {
                if changed.is_ok() && !servers.borrow_and_update().contains(&connection.server) {
                    return ("its server left the list".into(), None);
                }
            }
            () = tokio::time::sleep(rest) => {
                if connection.silence() >= idle && !connection.is_healthy(CHECK_TIMEOUT).await {
                    return ("it is silent".into(), None);
                }
            }
        }
    }
}
