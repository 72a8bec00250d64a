//! Accepts gRPC transports and serves them until the process ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    connection::Connection, connections::Connections, liveness, service::Calls, task::Task,
};
use crate::{http::handler::Served, metrics::grpc::RequestType};

/// Limits of the gRPC edge.
#[derive(Clone, Copy, Debug)]
pub struct GrpcLimits {
    /// Bytes of one message.
    pub max_message: usize,
    /// Transports.
    pub max_connections: usize,
    /// Transports of one address.
    pub max_connections_per_address: usize,
    /// Requests of a transport that may wait for its set-up.
    pub max_early: usize,
    /// How long they wait.
    pub early_wait: Duration,
    /// Time after which a transport that is not set up is closed.
    pub set_up_within: Duration,
    /// Silence after which a client is asked whether it is there.
    pub idle: Duration,
    /// Time after which a stream that cannot be written is given up.
    pub blocked: Duration,
}

/// Kinds of requests, as the metrics name them.
#[must_use]
pub fn request_types() -> Vec<RequestType> {
    nacrite_core::api::grpc::routes()
        .map(|r| RequestType {
            class: r.kind,
            module: "sdk",
        })
        .collect()
}

/// A listener for [`serve`].
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    crate::http::accept::bind(address)
}

/// Serves gRPC until `ended` is done.
pub async fn serve(
    listener: TcpListener,
    limits: GrpcLimits,
    served: watch::Receiver<Option<Arc<Served>>>,
    connections: Arc<Connections>,
    ended: impl Future<Output = ()>,
) {
    let calls = Arc::new(Calls {
        served,
        connections: connections.clone(),
        limits,
    });
    tokio::select! {
        () = accept(&listener, &calls) => {}
        () = liveness::watch(connections, limits) => {}
        () = ended => {}
    }
}

/// Gives each transport a task of its own; runs until it is dropped.
async fn accept(listener: &TcpListener, calls: &Arc<Calls>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (connections, limits) = (&calls.connections, &calls.limits);
                if !connections.enter(
                    peer.ip(),
                    limits.max_connections,
                    limits.max_connections_per_address,
                ) {
                    connections.metrics().grpc.connections_refused.inc();
                    tracing::warn!("a gRPC connection of {} was refused: too many", peer.ip());
                    continue;
                }
                // Pushes are small and must leave at once.
                let _ = stream.set_nodelay(true);
                tokio::spawn(transport(stream, peer, calls.clone()));
            }
            Err(error) => {
                tracing::warn!("no gRPC connection could be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// What a transport does from now on.
fn transport(
    stream: TcpStream,
    peer: SocketAddr,
    calls: Arc<Calls>,
) -> impl Future<Output = ()> + Send + 'static {
    let connections = &calls.connections;
    let ip = peer.ip().to_canonical();
    let id = format!("{}_{ip}_{}", connections.wall(), peer.port());
    // Before the core is there nobody is set up, so its number does not matter.
    let connection = Arc::new(Connection::new(
        connections.new_conn(),
        peer,
        id.into(),
        connections.now(),
    ));
    connections.expect_set_up(&connection);
    // No pings of HTTP/2: who is silent is asked by `liveness`, and far earlier.
    let greeting = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .max_concurrent_streams(1_024)
        .max_header_list_size(64 << 10)
        .handshake(stream);
    let task = Task::new(greeting, calls, connection);
    async move {
        if let Err(error) = task.await {
            tracing::debug!("the gRPC connection of {peer} ended: {error}");
        }
    }
}
