//! The two calls: unary requests, and the stream that pushes go out on and acknowledgements come in by.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use nacrite_core::{
    api::grpc::{self, GrpcAnswer, GrpcCall},
    node::input::{ConnDetails, Input, Origin},
};
use nacrite_wire::{Payload, PayloadCodec};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService, UnaryService},
};

use super::{
    accept::GrpcLimits,
    connection::{Connection, OutStream},
    connections::Connections,
};
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
            if let Some(drive) = self.connections.drive() {
                drive.control(Input::Ack {
                    conn: connection.conn,
                    push,
                    outcome,
                });
            }
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
                nacrite_wire::encode(answer.kind, answer.json),
                self.connections.now(),
            );
        }
        connection.set_up.notify_waiters();
    }
}

fn connection_of<T>(request: &Request<T>) -> Result<Arc<Connection>, Status> {
    request
        .extensions()
        .get::<Arc<Connection>>()
        .cloned()
        .ok_or_else(|| Status::internal("the transport has no identity"))
}

type Answered<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

/// `/Request/request`.
#[derive(Clone)]
pub(super) struct Unary(pub(super) Calls);

impl UnaryService<Payload> for Unary {
    type Response = Bytes;
    type Future = Answered<Bytes>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let calls = self.0.clone();
        Box::pin(async move {
            let connection = connection_of(&request)?;
            Ok(Response::new(
                calls.unary(&connection, request.into_inner()).await,
            ))
        })
    }
}

/// `/BiRequestStream/requestBiStream`.
#[derive(Clone)]
pub(super) struct Bidi(pub(super) Calls);

impl StreamingService<Payload> for Bidi {
    type Response = Bytes;
    type ResponseStream = OutStream;
    type Future = Answered<OutStream>;

    fn call(&mut self, request: Request<Streaming<Payload>>) -> Self::Future {
        let calls = self.0.clone();
        Box::pin(async move {
            let connection = connection_of(&request)?;
            let out = connection.open_out();
            tokio::spawn(calls.read(connection, request.into_inner()));
            Ok(Response::new(out))
        })
    }
}

/// Both calls as a service of tonic's.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) calls: Calls,
    pub(super) streaming: bool,
}

impl tower_service::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { calls, streaming } = self.clone();
        Box::pin(async move {
            let most = calls.limits.max_message;
            let mut grpc = Grpc::new(PayloadCodec).apply_max_message_size_config(Some(most), None);
            Ok(if streaming {
                grpc.streaming(Bidi(calls), request).await
            } else {
                grpc.unary(Unary(calls), request).await
            })
        })
    }
}

/// `Request`.
#[derive(Clone)]
pub(super) struct RequestService(pub(super) Service);
/// `BiRequestStream`.
#[derive(Clone)]
pub(super) struct BiRequestService(pub(super) Service);

impl NamedService for RequestService {
    const NAME: &'static str = "Request";
}

impl NamedService for BiRequestService {
    const NAME: &'static str = "BiRequestStream";
}

macro_rules! delegate {
    ($($name:ident),*) => {$(
        impl tower_service::Service<http::Request<Body>> for $name {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = <Service as tower_service::Service<http::Request<Body>>>::Future;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                self.0.call(request)
            }
        }
    )*};
}

delegate!(RequestService, BiRequestService);
