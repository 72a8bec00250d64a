//! One gRPC connection: set-up, requests, and the stream that the server's own messages come over.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use nacrite_wire::{Metadata, Payload, PayloadCodec, REQUEST, STREAM, encode_with};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tonic::{
    Request,
    client::Grpc,
    transport::{Channel, Endpoint},
};

use super::Handler;
use crate::{Error, ServerAddress, Settings, http::AGENT, tasks::Task};

/// Longest wait for the answer to the set-up.
const SETUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait after a set-up that no server answers.
const SETUP_PAUSE: Duration = Duration::from_millis(100);
/// Largest message.
const MAX_MESSAGE: usize = 10 << 20;

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// The stream ended or failed.
    Gone(String),
    /// The server asks to go elsewhere.
    Reset {
        /// Host of the server to go to; empty for any other.
        ip: String,
        /// Its main port.
        port: String,
    },
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Value,
}

impl Answer {
    fn code(&self) -> i64 {
        let code = |name: &str| self.body.get(name).and_then(Value::as_i64).unwrap_or(0);
        match code("errorCode") {
            0 => code("resultCode"),
            code => code,
        }
    }

    /// Whether the server took the request.
    pub(crate) fn is_success(&self) -> bool {
        self.body.get("resultCode").and_then(Value::as_i64) == Some(200)
    }

    /// Whether the server does not know the connection.
    pub(super) fn is_unregistered(&self) -> bool {
        !self.is_success() && self.code() == 301
    }

    pub(crate) fn refusal(&self) -> Error {
        Error::Refused {
            code: self.code(),
            message: self.text("message").into(),
        }
    }

    /// A field, or nothing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

pub(super) struct Connection {
    pub(super) server: ServerAddress,
    /// The server's name for it.
    pub(super) id: String,
    grpc: Grpc<Channel>,
    client_ip: String,
    born: Instant,
    /// When the server was last heard, milliseconds after `born`.
    heard: AtomicU64,
    abilities: Mutex<BTreeSet<String>>,
    stream: Mutex<Option<Task>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

fn transport(error: impl std::fmt::Display) -> Error {
    Error::Transport(error.to_string())
}

fn payload(kind: &str, client_ip: &str, headers: &[(&str, &str)], body: &Value) -> Bytes {
    let headers: HashMap<String, String> = headers
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect();
    let metadata = Metadata {
        kind: kind.into(),
        headers,
        client_ip: client_ip.into(),
    };
    encode_with(
        metadata,
        serde_json::to_vec(body).expect("a JSON value is JSON"),
    )
}

fn parsed(payload: Payload) -> Result<(String, Value), Error> {
    let kind = payload.metadata.unwrap_or_default().kind;
    let body = payload.body.unwrap_or_default().value;
    let body = serde_json::from_slice(&body)
        .map_err(|e| Error::Transport(format!("the body of a {kind} is no JSON: {e}")))?;
    Ok((kind, body))
}

impl Connection {
    /// Connects: check of the server, stream, set-up, and what the server says to it.
    pub(super) async fn open(
        settings: &Settings,
        server: &ServerAddress,
        labels: &BTreeMap<String, String>,
        handler: Arc<dyn Handler>,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Ended>), Error> {
        let port = server.port.saturating_add(settings.grpc_offset);
        let endpoint = Endpoint::from_shared(format!("http://{}:{port}", server.host))
            .map_err(transport)?
            .connect_timeout(Duration::from_secs(3))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(360))
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(true);
        let channel = endpoint.connect().await.map_err(transport)?;
        let client_ip = settings.ip.clone().unwrap_or_else(|| own_ip(server));
        let (outgoing, incoming) = mpsc::channel::<Bytes>(64);
        let mut connection = Self {
            server: server.clone(),
            id: String::new(),
            grpc: Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE),
            client_ip,
            born: Instant::now(),
            heard: AtomicU64::new(0),
            abilities: Mutex::default(),
            stream: Mutex::new(None),
        };
        let checked = connection
            .ask(
                "ServerCheckRequest",
                &json!({}),
                &[],
                settings.request_timeout,
            )
            .await?;
        if !checked.is_success() {
            return Err(checked.refusal());
        }
        connection.id = checked.text("connectionId").into();
        let negotiates = checked.body.get("supportAbilityNegotiation") == Some(&Value::Bool(true));
        let setup = json!({
            "clientVersion": AGENT,
            "tenant": settings.tenant(),
            "labels": labels,
            "abilityTable": {},
            "headers": {},
            "module": "internal",
        });
        let setup = payload("ConnectionSetupRequest", &connection.client_ip, &[], &setup);
        outgoing.send(setup).await.map_err(transport)?;
        let connection = Arc::new(connection);
        let (ended, over) = mpsc::channel(4);
        let (acknowledged, acknowledgement) = oneshot::channel();
        let stream = Stream {
            connection: Arc::downgrade(&connection),
            outgoing,
            ended,
            handler,
            acknowledged: Some(acknowledged),
        };
        let grpc = connection.grpc.clone();
        let task = Task::spawn(stream.run(grpc, incoming));
        *lock(&connection.stream) = Some(task);
        if negotiates {
            let answered = tokio::time::timeout(SETUP_TIMEOUT, acknowledgement).await;
            if !matches!(answered, Ok(Ok(()))) {
                return Err(Error::Transport("the set-up was not answered".into()));
            }
        } else {
            tokio::time::sleep(SETUP_PAUSE).await;
        }
        Ok((connection, over))
    }

    fn hear(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// How long nothing was heard from the server.
    pub(super) fn silence(&self) -> Duration {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(heard)
    }

    pub(super) fn has_ability(&self, name: &str) -> bool {
        lock(&self.abilities).contains(name)
    }

    /// Ends the stream, and with its last user the transport.
    pub(super) fn close(&self) {
        drop(lock(&self.stream).take());
    }

    pub(super) async fn is_healthy(&self, within: Duration) -> bool {
        let nothing = json!({});
        let asked = self.ask("HealthCheckRequest", &nothing, &[], within).await;
        matches!(asked, Ok(answer) if answer.is_success())
    }

    /// Asks once.
    pub(super) async fn ask(
        &self,
        kind: &str,
        body: &Value,
        headers: &[(&str, &str)],
        within: Duration,
    ) -> Result<Answer, Error> {
        let mut grpc = self.grpc.clone();
        let bytes = payload(kind, &self.client_ip, headers, body);
        let exchange = async {
            grpc.ready().await.map_err(transport)?;
            let path = PathAndQuery::from_static(REQUEST);
            grpc.unary(Request::new(bytes), path, PayloadCodec)
                .await
                .map_err(transport)
        };
        let answered = tokio::time::timeout(within, exchange).await;
        let answer = answered.map_err(|_| Error::Timeout(within))??;
        let (_, body) = parsed(answer.into_inner())?;
        self.hear();
        Ok(Answer { body })
    }
}

/// The stream's side of a connection. It must not keep the connection alive.
struct Stream {
    connection: std::sync::Weak<Connection>,
    outgoing: mpsc::Sender<Bytes>,
    ended: mpsc::Sender<Ended>,
    handler: Arc<dyn Handler>,
    acknowledged: Option<oneshot::Sender<()>>,
}

impl Stream {
    async fn run(mut self, grpc: Grpc<Channel>, outgoing: mpsc::Receiver<Bytes>) {
        let why = match self.listen(grpc, outgoing).await {
            Ok(()) => "the server ended the stream".into(),
            Err(error) => format!("{error}"),
        };
        let _nobody_waits = self.ended.send(Ended::Gone(why)).await;
    }

    async fn listen(
        &mut self,
        mut grpc: Grpc<Channel>,
        mut outgoing: mpsc::Receiver<Bytes>,
    ) -> Result<(), Error> {
        let messages = futures_util::stream::poll_fn(move |cx| outgoing.poll_recv(cx));
        grpc.ready().await.map_err(transport)?;
        let path = PathAndQuery::from_static(STREAM);
        let opened = grpc.streaming(Request::new(messages), path, PayloadCodec);
        let mut incoming = opened.await.map_err(transport)?.into_inner();
        while let Some(message) = incoming.message().await.map_err(transport)? {
            match self.connection.upgrade() {
                Some(connection) => connection.hear(),
                None => return Ok(()),
            }
            let (kind, body) = parsed(message)?;
            self.message(&kind, &body).await;
        }
        Ok(())
    }

    async fn message(&mut self, kind: &str, body: &Value) {
        let field = |name: &str| {
            let text = body.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        match kind {
            "SetupAckRequest" => {
                let table = body.get("abilityTable").and_then(Value::as_object);
                let able = table.into_iter().flatten();
                let able = able.filter(|(_, on)| **on == Value::Bool(true));
                if let Some(connection) = self.connection.upgrade() {
                    lock(&connection.abilities).extend(able.map(|(name, _)| name.clone()));
                }
                self.acknowledged.take().map(|a| a.send(()));
            }
            "ConnectResetRequest" => {
                self.answer("ConnectResetResponse", body, Some(json!({})))
                    .await;
                let reset = Ended::Reset {
                    ip: field("serverIp"),
                    port: field("serverPort"),
                };
                let _nobody_waits = self.ended.send(reset).await;
            }
            "ClientDetectionRequest" => {
                self.answer("ClientDetectionResponse", body, Some(json!({})))
                    .await;
            }
            _ => {
                let answer = self.handler.pushed(kind, body);
                if answer.is_none() {
                    tracing::debug!("a {kind} is not understood");
                }
                let kind = kind.strip_suffix("Request").unwrap_or(kind);
                self.answer(&format!("{kind}Response"), body, answer).await;
            }
        }
    }

    /// Answers with these fields; with an error if there are none.
    async fn answer(&self, kind: &str, request: &Value, fields: Option<Value>) {
        let (kind, result, error) = match &fields {
            Some(_) => (kind, 200, 0),
            None => ("ErrorResponse", 500, 302),
        };
        let mut body = fields.unwrap_or_else(|| json!({}));
        body["resultCode"] = result.into();
        body["errorCode"] = error.into();
        body["success"] = (result == 200).into();
        if let Some(id) = request.get("requestId") {
            body["requestId"] = id.clone();
        }
        let _stream_is_over = self.outgoing.send(payload(kind, "", &[], &body)).await;
    }
}

/// This machine's address on the way to a server; loopback if there is no way.
pub(crate) fn own_ip(server: &ServerAddress) -> String {
    let found = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect((&*server.host, server.port))?;
        socket.local_addr()
    });
    found.map_or_else(|_| "127.0.0.1".into(), |address| address.ip().to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
