//! The two calls: unary requests, and the stream that pushes go out on and acknowledgements come in by.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt;
use h2::{RecvStream, server::SendResponse};
use http::HeaderMap;
use nacrite_core::{
    api::grpc::{self, GrpcAnswer, GrpcCall},
    node::input::{ConnDetails, Input, Origin},
};
use nacrite_wire::Payload;
use tonic::Status;

use super::{
    accept::GrpcLimits,
    connection::Connection,
    connections::Connections,
    messages::{self, Messages},
};
use crate::{http::handler::Served, metrics::grpc::GrpcMetrics, plans::carry_out};

/// What both calls need.
pub(super) struct Calls {
    pub(super) served: tokio::sync::watch::Receiver<Option<Arc<Served>>>,
    pub(super) connections: Arc<Connections>,
    pub(super) limits: GrpcLimits,
}

fn error(code: i32, text: &str) -> GrpcAnswer {
    grpc::error(code, text)
}

/// One of those that are counted while they last, however they end.
struct Active<'a>(&'a GrpcMetrics);

impl<'a> Active<'a> {
    fn new(metrics: &'a GrpcMetrics) -> Self {
        metrics.active.add(1);
        Self(metrics)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.add(-1);
    }
}

/// A place among the early requests.
struct Early<'a>(&'a AtomicUsize);

impl Drop for Early<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How long the caller of a unary call waits, if it says so: up to eight digits and a unit (gRPC over HTTP/2, `Timeout`). What
/// cannot be read is as if it were not there.
fn time_out(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn decoded(message: Bytes) -> Result<Payload, Status> {
    nacrite_wire::decode(message).map_err(|e| Status::invalid_argument(format!("no Payload: {e}")))
}

/// `Payload` of a unary call: its first message. The rest of the call is read, and not looked at.
async fn payload(mut body: RecvStream, mut messages: Messages) -> Result<Payload, Status> {
    let mut first = None;
    while let Some(chunk) = body.data().await {
        let mut chunk = chunk.map_err(|e| Status::cancelled(e.to_string()))?;
        // It fails when the stream has just ended, which the next look shows.
        let _ = body.flow_control().release_capacity(chunk.len());
        while let Some(message) = messages.next(&mut chunk)? {
            first.get_or_insert(message);
        }
    }
    decoded(first.ok_or_else(|| Status::internal("the call has no message"))?)
}

impl Calls {
    /// `/Request/request`, to its end.
    pub(super) async fn unary(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let within = time_out(request.headers());
        let messages = Messages::new(request.headers(), self.limits.max_message);
        let body = request.into_body();
        let mut answered = pin!(async {
            let payload = payload(body, messages).await?;
            Ok(self.answered(&connection, payload).await)
        });
        let mut in_time = pin!(within.map(tokio::time::sleep));
        let answer = std::future::poll_fn(|context| {
            if let Poll::Ready(answer) = answered.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            if let Some(sleep) = in_time.as_mut().as_pin_mut()
                && sleep.poll(context).is_ready()
            {
                let late = Status::deadline_exceeded("the call's time-out is over");
                return Poll::Ready(Some(Err(late)));
            }
            // Who takes a call back does not hear of it.
            respond.poll_reset(context).map(|_| None)
        });
        if let Some(answer) = answer.await {
            messages::answer(respond, answer);
        }
    }

    /// Answers a request, in a frame.
    async fn answered(&self, connection: &Arc<Connection>, payload: Payload) -> Bytes {
        let start = Instant::now();
        let metrics = self.connections.metrics();
        let _active = Active::new(&metrics.grpc);
        let kind = payload
            .metadata
            .as_ref()
            .map(|m| m.kind.clone())
            .unwrap_or_default();
        let answer = std::panic::AssertUnwindSafe(self.answer(connection, payload))
            .catch_unwind()
            .await;
        let answer = answer.unwrap_or_else(|panic| {
            let text = crate::fatal::panic_text(&*panic);
            tracing::error!("a gRPC request of kind {kind} panicked: {text}");
            metrics.http.panics.inc();
            error(500, "the server failed at this request")
        });
        let place = grpc::routes()
            .position(|r| r.kind == kind)
            .unwrap_or(usize::MAX);
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        metrics
            .grpc
            .answered(place, if answer.is_ok() { 0 } else { 500 }, micros);
        nacrite_wire::frame(answer.kind, answer.json)
    }

    async fn answer(&self, connection: &Arc<Connection>, payload: Payload) -> GrpcAnswer {
        let served = self.served.borrow().clone().filter(|s| s.drive.is_ready());
        let Some(served) = served else {
            return grpc::starting();
        };
        let metadata = payload.metadata.unwrap_or_default();
        let body = payload.body.map(|b| b.value).unwrap_or_default();
        if metadata.kind == grpc::SERVER_CHECK {
            return grpc::server_check(&connection.id);
        }
        if let Some(refused) = grpc::refused_kind(&metadata.kind) {
            return refused;
        }
        if metadata.kind != grpc::HEALTH_CHECK && !served.admission.admits() {
            served.drive.shed();
            served.admission.hold().await;
            return grpc::busy(&metadata.kind);
        }
        if !connection.is_set_up() && !self.wait_early(connection).await {
            return error(301, "Connection is unregistered.");
        }
        let Some(details) = connection.details.get() else {
            return error(301, "Connection is unregistered.");
        };
        connection
            .active
            .store(self.connections.now(), Ordering::Relaxed);
        let facts = served.facts();
        let plan = {
            let call = GrpcCall {
                kind: &metadata.kind,
                body: &body,
                header: &|name| {
                    let found = metadata
                        .headers
                        .iter()
                        .find(|(k, _)| k.eq_ignore_ascii_case(name));
                    found.map(|(_, v)| v.as_str())
                },
                details,
                view: &*served.drive.views,
                now: served.drive.clock.now(),
                server: &facts,
            };
            grpc::plan(&call)
        };
        let origin = Origin {
            conn: Some(connection.conn),
            ip: details.ip.clone(),
            user: Arc::default(),
        };
        match carry_out(&served.drive, &served.store, &origin, plan).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::error!(
                    "a gRPC request of kind {} failed: {failure:?}",
                    metadata.kind
                );
                error(500, "the server failed at this request")
            }
        }
    }

    /// Waits for the set-up that is on its way on the same transport.
    async fn wait_early(&self, connection: &Arc<Connection>) -> bool {
        self.connections.metrics().grpc.early.inc();
        let before = connection.early.fetch_add(1, Ordering::AcqRel);
        let _early = Early(&connection.early);
        before < self.limits.max_early && connection.wait_set_up(self.limits.early_wait).await
    }

    /// A client wrote a message to its stream; whether it could be read.
    pub(super) fn heard(&self, connection: &Arc<Connection>, message: Bytes) -> bool {
        let Ok(payload) = nacrite_wire::decode(message) else {
            return false;
        };
        let metadata = payload.metadata.unwrap_or_default();
        let body = payload.body.map(|b| b.value).unwrap_or_default();
        if metadata.kind == grpc::CONNECTION_SETUP {
            self.set_up(connection, &metadata.client_ip, &body);
            return true;
        }
        connection
            .active
            .store(self.connections.now(), Ordering::Relaxed);
        // Whatever is no answer is dropped, as the reference does.
        let Some((push, outcome)) = grpc::parse_ack(&metadata.kind, &body) else {
            return true;
        };
        let detected = connection
            .detection
            .compare_exchange(push, 0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if !detected && !self.connections.answered(push, &body) {
            self.connections.acknowledged(Input::Ack {
                conn: connection.conn,
                push,
                outcome,
            });
        }
        true
    }

    fn set_up(&self, connection: &Arc<Connection>, client_ip: &str, body: &[u8]) {
        let Some(drive) = self.connections.drive().filter(|d| d.is_ready()) else {
            connection.close();
            return;
        };
        let Some(setup) = grpc::parse_setup(body) else {
            connection.close();
            return;
        };
        if connection.is_set_up() {
            return;
        }
        let ip = if client_ip.is_empty() {
            connection.peer.ip().to_canonical().to_string()
        } else {
            client_ip.to_owned()
        };
        let details = ConnDetails {
            id: connection.id.clone(),
            ip: ip.into(),
            port: connection.peer.port(),
            version: setup.version,
            app: setup.app,
            labels: setup.labels,
        };
        drive.control(Input::Connected {
            conn: connection.conn,
            details: details.clone(),
        });
        self.connections.insert(connection);
        if connection.details.set(details).is_ok() && setup.wants_ack {
            let answer = grpc::setup_ack();
            connection.send(
                nacrite_wire::frame(answer.kind, answer.json),
                self.connections.now(),
            );
        }
        connection.set_up.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_are_read_as_grpc_writes_them() {
        let read = |text: &'static str| {
            let value = http::HeaderValue::from_static(text);
            time_out(&HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                value,
            )]))
        };
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(359_999_996_400))
        );
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("7u"), Some(Duration::from_micros(7)));
        for none in ["", "S", "3", "3s", "-3S", "+3S", "123456789S", "3 S"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(time_out(&HeaderMap::new()), None);
    }
}
