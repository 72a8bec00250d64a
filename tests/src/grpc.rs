//! A gRPC client of Nacos over plain HTTP/2: what it sends and when it reads is in plain sight of the test.
//!
//! Not a client library: one transport, no reconnects. It acknowledges every push unless it was told not to read.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// No answer takes that long, on the slowest of machines.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "3")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(message, optional, tag = "2")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "3")]
    body: Option<Any>,
}

/// One message as gRPC frames it.
pub fn framed(kind: &str, body: &[u8]) -> Bytes {
    let payload = Payload {
        metadata: Some(Metadata {
            kind: kind.to_owned(),
        }),
        body: Some(Any {
            value: Bytes::copy_from_slice(body),
        }),
    }
    .encode_to_vec();
    let mut out = BytesMut::with_capacity(payload.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(payload.len()).expect("tests send less than 4 GB"));
    out.put_slice(&payload);
    out.freeze()
}

/// Takes a whole message off the front, if there is one: its kind and its body.
fn unframed(buffer: &mut BytesMut) -> Option<(String, Value)> {
    let length = u32::from_be_bytes(buffer.get(1..5)?.try_into().expect("four bytes")) as usize;
    if buffer.len() < 5 + length {
        return None;
    }
    buffer.advance(5);
    let payload = Payload::decode(buffer.split_to(length)).expect("the server sends payloads");
    let body = payload.body.unwrap_or_default().value;
    let body: Value = serde_json::from_slice(&body).expect("the server sends JSON");
    assert!(
        !has_null(&body),
        "clients drop an answer with a null: {body}"
    );
    Some((payload.metadata.unwrap_or_default().kind, body))
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// What came back to a unary call.
#[derive(Debug)]
pub struct Answer {
    /// Kind of the message; empty if there was none.
    pub kind: String,
    /// The message; null if there was none.
    pub body: Value,
    /// `grpc-status`.
    pub status: String,
}

impl Answer {
    /// `errorCode`.
    pub fn code(&self) -> i64 {
        self.body["errorCode"].as_i64().unwrap_or(i64::MIN)
    }
}

/// One transport.
pub struct Client {
    requests: SendRequest<Bytes>,
    out: Option<Arc<Mutex<SendStream<Bytes>>>>,
    pushes: mpsc::UnboundedReceiver<(String, Value)>,
    pushed: mpsc::UnboundedSender<(String, Value)>,
    transport: JoinHandle<()>,
    /// A stream that is not read.
    unread: Option<RecvStream>,
}

impl Drop for Client {
    /// Closes the socket at once, whatever is open on it.
    fn drop(&mut self) {
        self.transport.abort();
    }
}

fn request(path: &str) -> http::Request<()> {
    http::Request::post(format!("http://127.0.0.1{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a constant request is well-formed")
}

impl Client {
    /// Connects to the gRPC port that belongs to this HTTP port.
    ///
    /// # Panics
    /// If the server does not take it.
    pub async fn connect(port: u16) -> Self {
        let at = SocketAddr::from(([127, 0, 0, 1], port + 1_000));
        Self::connect_to(at)
            .await
            .unwrap_or_else(|e| panic!("the server takes connections and speaks HTTP/2: {e}"))
    }

    /// Connects.
    ///
    /// # Errors
    /// What the transport says.
    pub async fn connect_to(address: SocketAddr) -> io::Result<Self> {
        Self::connect_with(address, 65_535).await
    }

    /// Connects, and lets the server send so many bytes ahead: 65 535 if nothing is said, 1 MiB from Java.
    ///
    /// # Errors
    /// What the transport says.
    pub async fn connect_with(address: SocketAddr, window: u32) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(window)
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let transport = tokio::spawn(async move {
            // How it ended is judged by its calls.
            let _ended = connection.await;
        });
        let (pushed, pushes) = mpsc::unbounded_channel();
        Ok(Self {
            requests,
            out: None,
            pushes,
            pushed,
            transport,
            unread: None,
        })
    }

    /// A connection that is set up, as the Java client does it.
    ///
    /// # Panics
    /// If the server does not take it.
    pub async fn ready(port: u16) -> Self {
        let client = Self::connect(port).await;
        client.made_ready().await
    }

    /// Sets this connection up, as the Java client does it.
    ///
    /// # Panics
    /// If the server does not take it.
    pub async fn made_ready(mut self) -> Self {
        let client = &mut self;
        let checked = client.ask("ServerCheckRequest", &json!({})).await;
        assert_eq!(checked.body["supportAbilityNegotiation"], true);
        client.set_up(true).await;
        client.push("SetupAckRequest").await;
        self
    }

    /// Opens the stream and sets the connection up; without `reading`, nothing is ever read from it.
    pub async fn set_up(&mut self, reading: bool) {
        let mut requests = self.requests.clone().ready().await.expect("a transport");
        let (response, mut out) = requests
            .send_request(request("/BiRequestStream/requestBiStream"), false)
            .expect("a stream can be opened");
        let set_up = json!({
            "clientVersion": "Nacos-Java-Client:v3.1.0", "abilityTable": {}, "tenant": "",
            "labels": {"source": "sdk", "module": "naming"},
        });
        out.send_data(
            framed("ConnectionSetupRequest", set_up.to_string().as_bytes()),
            false,
        )
        .expect("a stream can be written");
        let out = Arc::new(Mutex::new(out));
        self.out = Some(out.clone());
        let stream = tokio::time::timeout(PATIENCE, response)
            .await
            .expect("the stream is opened in time")
            .expect("the server opens the stream")
            .into_body();
        if reading {
            tokio::spawn(read(stream, out, self.pushed.clone()));
        } else {
            self.unread = Some(stream);
        }
    }

    /// The stream of a connection that was set up without reading, both ways: bytes, uninterpreted. For load.
    pub fn take_stream(&mut self) -> Option<(RecvStream, Arc<Mutex<SendStream<Bytes>>>)> {
        Some((self.unread.take()?, self.out.clone()?))
    }

    /// Asks, and expects an answer.
    pub async fn ask(&self, kind: &str, body: &Value) -> Answer {
        self.send(framed(kind, body.to_string().as_bytes()), &[])
            .await
            .unwrap_or_else(|e| panic!("{kind} is not answered: {e}"))
    }

    /// Makes a unary call of a whole frame; the bytes of its answer, uninterpreted. For load: it costs little.
    ///
    /// # Errors
    /// What the transport says.
    pub async fn call(&self, framed: Bytes) -> Result<BytesMut, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut out) = requests.send_request(request("/Request/request"), false)?;
        out.send_data(framed, true)?;
        let mut stream = response.await?.into_body();
        let mut answer = BytesMut::new();
        while let Some(chunk) = stream.data().await {
            let chunk = chunk?;
            stream.flow_control().release_capacity(chunk.len())?;
            answer.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// Asks, and waits so long, as `grpc-timeout` writes it (`200m` are milliseconds).
    pub async fn ask_within(&self, kind: &str, body: &Value, time_out: &'static str) -> Answer {
        let mut head = request("/Request/request");
        head.headers_mut()
            .insert("grpc-timeout", http::HeaderValue::from_static(time_out));
        self.send_with(head, framed(kind, body.to_string().as_bytes()), &[])
            .await
            .unwrap_or_else(|e| panic!("{kind} is not answered: {e}"))
    }

    /// Makes a unary call of a whole frame, whose message is compressed in the way that `encoding` names.
    pub async fn send_encoded(&self, encoding: &'static str, framed: Bytes) -> Answer {
        let mut head = request("/Request/request");
        head.headers_mut()
            .insert("grpc-encoding", http::HeaderValue::from_static(encoding));
        let answer = self.send_with(head, framed, &[]).await;
        answer.unwrap_or_else(|e| panic!("it is not answered: {e}"))
    }

    /// Writes the bytes of a unary call, then these again and again, and reads what comes back.
    pub async fn send(&self, first: Bytes, more: &[Bytes]) -> Result<Answer, h2::Error> {
        self.send_with(request("/Request/request"), first, more)
            .await
    }

    async fn send_with(
        &self,
        head: http::Request<()>,
        first: Bytes,
        more: &[Bytes],
    ) -> Result<Answer, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut out) = requests.send_request(head, false)?;
        out.send_data(first, more.is_empty())?;
        for (n, bytes) in more.iter().enumerate() {
            // The server may have answered and reset the stream by now.
            if out.send_data(bytes.clone(), n + 1 == more.len()).is_err() {
                break;
            }
        }
        let answered = async {
            let response = response.await?;
            let header = |headers: &http::HeaderMap| {
                let status = headers.get("grpc-status").and_then(|s| s.to_str().ok());
                status.map(str::to_owned)
            };
            let early = header(response.headers());
            let mut stream = response.into_body();
            let mut buffer = BytesMut::new();
            while let Some(chunk) = stream.data().await {
                let chunk = chunk?;
                stream.flow_control().release_capacity(chunk.len())?;
                buffer.extend_from_slice(&chunk);
            }
            let trailers = stream.trailers().await?;
            let status = early.or_else(|| trailers.as_ref().and_then(header));
            let (kind, body) = unframed(&mut buffer).unwrap_or_default();
            Ok(Answer {
                kind,
                body,
                status: status.unwrap_or_default(),
            })
        };
        tokio::time::timeout(PATIENCE, answered)
            .await
            .expect("a call is answered in time")
    }

    /// Opens a call and resets it.
    pub async fn reset_one(&self) -> Result<(), h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (_response, mut out) = requests.send_request(request("/Request/request"), false)?;
        out.send_reset(h2::Reason::CANCEL);
        Ok(())
    }

    /// Writes to the stream.
    pub fn write(&self, kind: &str, body: &[u8]) {
        let out = self.out.as_ref().expect("the connection is set up");
        let mut out = out.lock().expect("no writer panics");
        out.send_data(framed(kind, body), false)
            .expect("the stream is open");
    }

    /// The next push of this kind; others are passed over.
    pub async fn push(&mut self, kind: &str) -> Value {
        let next = async {
            loop {
                let (found, body) = self.pushes.recv().await.expect("the client holds a sender");
                if found == kind {
                    return body;
                }
            }
        };
        let pushed = tokio::time::timeout(PATIENCE, next).await;
        pushed.unwrap_or_else(|_| panic!("no {kind} came"))
    }

    /// How many pushes of these kinds have come since this was asked last.
    pub fn arrived_of(&mut self, kinds: &[&str]) -> usize {
        std::iter::from_fn(|| self.pushes.try_recv().ok())
            .filter(|(found, _)| kinds.contains(&found.as_str()))
            .count()
    }

    /// Makes a call to another path; its status.
    pub async fn call_path(&self, path: &str) -> Result<Answer, h2::Error> {
        self.send_with(request(path), framed("None", b"{}"), &[])
            .await
    }

    /// Whether the server has closed the transport.
    pub fn is_closed(&self) -> bool {
        self.transport.is_finished()
    }
}

async fn read(
    mut stream: RecvStream,
    out: Arc<Mutex<SendStream<Bytes>>>,
    pushed: mpsc::UnboundedSender<(String, Value)>,
) {
    let mut buffer = BytesMut::new();
    while let Some(Ok(chunk)) = stream.data().await {
        // It fails when the transport has just ended, which the next read shows too.
        let _released = stream.flow_control().release_capacity(chunk.len());
        buffer.extend_from_slice(&chunk);
        while let Some((kind, body)) = unframed(&mut buffer) {
            if let Some(id) = body["requestId"].as_str() {
                let mut answer = json!({"resultCode": 200, "errorCode": 0, "requestId": id});
                // Asked what it holds, it holds everything.
                if let Some(keys) = body["metricsKeys"].as_array() {
                    let held = keys.iter().map(|key| {
                        let of = |name: &str| key[name].as_str().unwrap_or_default();
                        (format!("{}:{}", of("type"), of("key")), json!("held"))
                    });
                    answer["metrics"] = Value::Object(held.collect());
                }
                let name = kind.replace("Request", "Response");
                let message = framed(&name, answer.to_string().as_bytes());
                let mut out = out.lock().expect("no writer panics");
                // As above.
                let _sent = out.send_data(message, false);
            }
            // The test may have dropped the client.
            let _told = pushed.send((kind, body));
        }
    }
}
