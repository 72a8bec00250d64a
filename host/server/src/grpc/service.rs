//! The two calls: unary requests, and the stream that pushes go out on and acknowledgements come in by.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use hyper::{body::Incoming, rt::Executor};
use nacrite_core::{
    api::grpc::{self, GrpcAnswer, GrpcCall},
    node::input::{ConnDetails, Input, Origin},
};
use nacrite_wire::{Payload, PayloadCodec};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    metadata::GRPC_CONTENT_TYPE,
    server::{Grpc, UnaryService},
};

use super::{accept::GrpcLimits, connection::Connection, connections::Connections, task::Spawner};
use crate::{http::handler::Served, plans::carry_out};

/// What both calls need.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) served: tokio::sync::watch::Receiver<Option<Arc<Served>>>,
    pub(super) connections: Arc<Connections>,
    pub(super) limits: GrpcLimits,
}

fn error(code: i32, text: &str) -> GrpcAnswer {
    grpc::error(code, text)
}

impl Calls {
    async fn unary(&self, connection: &Arc<Connection>, payload: Payload) -> Bytes {
        let start = Instant::now();
        let metrics = self.connections.metrics();
        metrics.grpc.active.add(1);
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
        metrics.grpc.active.add(-1);
        let place = grpc::routes()
            .position(|r| r.kind == kind)
            .unwrap_or(usize::MAX);
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        metrics
            .grpc
            .answered(place, if answer.is_ok() { 0 } else { 500 }, micros);
        nacrite_wire::encode(answer.kind, answer.json)
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
        if !grpc::is_known(&metadata.kind) {
            return error(302, &format!("RequestHandler Not Found: {}", metadata.kind));
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
            user: "".into(),
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
        if connection.early.fetch_add(1, Ordering::AcqRel) >= self.limits.max_early {
            connection.early.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        let set_up = connection.wait_set_up(self.limits.early_wait).await;
        connection.early.fetch_sub(1, Ordering::AcqRel);
        set_up
    }

    /// Reads a client's stream until it ends.
    async fn read(self, connection: Arc<Connection>, mut stream: Streaming<Payload>) {
        while let Some(Ok(payload)) = stream.next().await {
            let metadata = payload.metadata.unwrap_or_default();
            let body = payload.body.map(|b| b.value).unwrap_or_default();
            if metadata.kind == grpc::CONNECTION_SETUP {
                self.set_up(&connection, &metadata.client_ip, &body);
                continue;
            }
            connection
                .active
                .store(self.connections.now(), Ordering::Relaxed);
            // Whatever is no answer is dropped, as the reference does.
            let Some((push, outcome)) = grpc::parse_ack(&metadata.kind, &body) else {
                continue;
            };
            if connection
                .detection
                .compare_exchange(push, 0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                continue;
            }
            if self.connections.answered(push, &body) {
                continue;
            }
            self.connections.acknowledged(Input::Ack {
                conn: connection.conn,
                push,
                outcome,
            });
        }
        // A client that ends its stream cannot be pushed to: the reference ends the connection with it.
        connection.close();
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

/// The calls of one transport, whose task does their work.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) calls: Calls,
    pub(super) connection: Arc<Connection>,
    pub(super) spawner: Spawner,
}

impl Service {
    /// Answers a call; other paths than the two are "unimplemented".
    pub(super) async fn call(
        self,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<Body>, Infallible> {
        Ok(match request.uri().path() {
            nacrite_wire::REQUEST => {
                let most = self.calls.limits.max_message;
                let mut grpc =
                    Grpc::new(PayloadCodec).apply_max_message_size_config(Some(most), None);
                grpc.unary(self, request).await
            }
            nacrite_wire::STREAM => self.open(request),
            path => Status::unimplemented(format!("there is no {path}")).into_http(),
        })
    }

    /// `/BiRequestStream/requestBiStream`. Not by tonic, which would copy each push into a buffer of its stream.
    fn open(self, request: http::Request<Incoming>) -> http::Response<Body> {
        let most = self.calls.limits.max_message;
        let stream = Streaming::new_request(PayloadCodec, request.into_body(), None, Some(most));
        let out = self.connection.open_out();
        self.spawner
            .execute(self.calls.read(self.connection, stream));
        let mut response = http::Response::new(Body::new(out));
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
        response
    }
}

/// `/Request/request`.
impl UnaryService<Payload> for Service {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let Self {
            calls, connection, ..
        } = self.clone();
        Box::pin(async move {
            Ok(Response::new(
                calls.unary(&connection, request.into_inner()).await,
            ))
        })
    }
}
