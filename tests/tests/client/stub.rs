//! A gRPC server that answers as a test wants, and remembers what it was asked.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};
use http::Response;
use nacrite_tests::grpc::framed;
use nacrite_wire::Metadata;
use serde_json::{Value, json};

use super::*;

/// Fields of the answer to a request of this kind with these headers; none for no answer ever.
type Answer = dyn Fn(&str, &HashMap<String, String>) -> Option<Value> + Send + Sync;

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Stub {
    answer: Arc<Answer>,
    seen: Arc<Mutex<Vec<String>>>,
}

/// A good answer without further fields.
pub(crate) fn good() -> Value {
    json!({"resultCode": 200, "errorCode": 0})
}

/// Takes a whole message off the front.
fn unframed(buffer: &mut BytesMut) -> Option<Metadata> {
    let length = u32::from_be_bytes(buffer.get(1..5)?.try_into().ok()?) as usize;
    buffer.get(5..5 + length)?;
    buffer.advance(5);
    let message = buffer.split_to(length).freeze();
    nacrite_wire::decode(message).ok()?.metadata
}

impl Stub {
    /// Serves on this port.
    pub(crate) async fn serve(
        port: u16,
        answer: impl Fn(&str, &HashMap<String, String>) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        let stub = Self {
            answer: Arc::new(answer),
            seen: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
        let (listener, serving) = (listener.expect("the port is free"), stub.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().connection(socket));
            }
        });
        stub
    }

    /// Kinds of what it was sent, in their order.
    pub(crate) fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was sent something of this kind.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == kind).count()
    }

    fn remember(&self, kind: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(kind.to_owned());
    }

    async fn connection(self, socket: tokio::net::TcpStream) -> Option<()> {
        let mut connection = h2::server::handshake(socket).await.ok()?;
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(self.clone().call(request, respond));
        }
        Some(())
    }

    async fn call(
        self,
        request: http::Request<h2::RecvStream>,
        mut respond: h2::server::SendResponse<Bytes>,
    ) -> Option<()> {
        let head = Response::builder().header("content-type", "application/grpc");
        let head = head.body(()).expect("constant headers");
        let mut out = respond.send_response(head, false).ok()?;
        let unary = request.uri().path() == "/Request/request";
        let (mut incoming, mut bytes) = (request.into_body(), BytesMut::new());
        while let Some(Ok(chunk)) = incoming.data().await {
            incoming.flow_control().release_capacity(chunk.len()).ok()?;
            bytes.extend_from_slice(&chunk);
            while let Some(metadata) = unframed(&mut bytes) {
                self.remember(&metadata.kind);
                // What comes over the stream is not answered.
                if !unary {
                    continue;
                }
                let Some(body) = (self.answer)(&metadata.kind, &metadata.headers) else {
                    std::future::pending::<()>().await;
                    return None;
                };
                let kind = metadata.kind.replace("Request", "Response");
                let frame = framed(&kind, body.to_string().as_bytes());
                out.send_data(frame, false).ok()?;
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                out.send_trailers(trailers).ok()?;
                return Some(());
            }
        }
        Some(())
    }
}
