//! Accepts gRPC transports and serves them until the process ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::{net::TcpListener, sync::watch};
use tonic::transport::Server;

use super::{
    connection::{Connection, Transport},
    connections::Connections,
    liveness,
    service::{BiRequestService, Calls, RequestService, Service},
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
///
/// # Errors
/// What the transport says; the process must stop then.
pub async fn serve(
    listener: TcpListener,
    limits: GrpcLimits,
    served: watch::Receiver<Option<Arc<Served>>>,
    connections: Arc<Connections>,
    ended: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let watching = tokio::spawn(liveness::watch(connections.clone(), limits));
    let calls = Calls {
        served,
        connections: connections.clone(),
        limits,
    };
    let accepted = futures_util::stream::unfold(listener, move |listener| {
        let connections = connections.clone();
        async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        if !connections.enter(
                            peer.ip(),
                            limits.max_connections,
                            limits.max_connections_per_address,
                        ) {
                            connections.metrics().grpc.connections_refused.inc();
                            tracing::warn!(
                                "a gRPC connection of {} was refused: too many",
                                peer.ip()
                            );
                            continue;
                        }
                        // Pushes are small and must leave at once.
                        let _ = stream.set_nodelay(true);
                        return Some((
                            Ok::<_, std::io::Error>(transport(stream, peer, &connections)),
                            listener,
                        ));
                    }
                    Err(error) => {
                        tracing::warn!("no gRPC connection could be accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        }
    });
    let serving = Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .max_concurrent_streams(1_024)
        .http2_max_header_list_size(64 << 10)
        .http2_keepalive_interval(Some(Duration::from_secs(7_200)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .add_service(RequestService(Service {
            calls: calls.clone(),
            streaming: false,
        }))
        .add_service(BiRequestService(Service {
            calls,
            streaming: true,
        }))
        .serve_with_incoming(accepted.boxed());
    tokio::select! {
        result = serving => {
            watching.abort();
            result
        }
        () = ended => {
            watching.abort();
            Ok(())
        }
    }
}

fn transport(
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    connections: &Arc<Connections>,
) -> Transport {
    let ip = peer.ip().to_canonical();
    let id = format!("{}_{ip}_{}", connections.wall(), peer.port());
    // Before the core is there nobody is set up, so its number does not matter.
    let conn = connections.new_conn();
    let connection = Connection::new(
        conn,
        peer,
        id.into(),
        connections.now(),
        connections.clone(),
    );
    let connection = Arc::new(connection);
    connections.expect_set_up(&connection);
    Transport::new(stream, connection)
}
