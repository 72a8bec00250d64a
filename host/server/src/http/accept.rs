//! The accept loop: connections in, requests to a service, answers out, with every limit of [`HttpLimits`] kept.
//!
//! HTTP/1.1 with keep-alive and pipelining. The service never sees a request that was refused for its size, and a
//! panic inside it answers 500 instead of ending the connection's task. Not for routes: the service has them.

mod parking;
mod service;
mod stream;

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tower_service::Service;

pub use self::parking::Parking;
use self::parking::{PARKED, PARKED_LAST, ParkingPlace};
use self::service::ConnectionService;
use self::stream::{ConnectionStream, Exchange};
use super::limits::{BodyMemory, ConnectionCounts, ConnectionSlot, HttpLimits, MOVE_OVER};
use crate::metrics::http::HttpMetrics;

/// Which connection a request came on; in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectInfo {
    /// The client's address as the socket says it.
    pub peer: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// Number of the connection, never used twice by one process.
    pub id: u64,
}

/// What all HTTP listeners of a server share: limits, counts, the memory for bodies.
#[derive(Debug)]
pub struct HttpEdge {
    limits: Arc<HttpLimits>,
    memory: Arc<BodyMemory>,
    connections: Arc<ConnectionCounts>,
    next_id: AtomicU64,
    refusals: Arc<Semaphore>,
    metrics: Arc<HttpMetrics>,
}

/// Refusals that are said politely at the same time; beyond that connections are just closed.
const POLITE_REFUSALS: usize = 64;
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 20\r\nconnection: close\r\n\r\ntoo many connections";
const BACKLOG: u32 = 4_096;

impl HttpEdge {
    /// An edge without connections.
    pub fn new(limits: HttpLimits, metrics: Arc<HttpMetrics>) -> Arc<Self> {
        Arc::new(HttpEdge {
            memory: BodyMemory::new(limits.max_body_memory),
            connections: ConnectionCounts::new(
                limits.max_connections,
                limits.max_connections_per_address,
            ),
            limits: Arc::new(limits),
            next_id: AtomicU64::new(1),
            refusals: Arc::new(Semaphore::new(POLITE_REFUSALS)),
            metrics,
        })
    }

    /// The limits that this edge keeps.
    pub fn limits(&self) -> &HttpLimits {
        &self.limits
    }

    /// The memory that bodies under way share; for [`read_body`](super::limits::read_body).
    pub fn memory(&self) -> &Arc<BodyMemory> {
        &self.memory
    }
}

/// A listener on `address` that may be bound again at once after a restart. `[::]` also takes IPv4.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What the connections' tasks are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Finish the requests under way.
    Draining,
    /// Time is up.
    Over,
}

/// Serves `listener` until `shutdown` is ready, then lets the requests under way finish for at most
/// [`HttpLimits::shutdown_timeout`]. Parked polls are the service's own: it answers them when it learns of the shutdown.
pub async fn serve<S, B>(
    listener: TcpListener,
    edge: Arc<HttpEdge>,
    service: S,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (phase, told) = watch::channel(Phase::Serving);
    // Each task holds a sender; when all are gone, so are the connections.
    let (alive, mut all_gone) = mpsc::channel::<Infallible>(1);
    let mut shutdown = pin!(shutdown);
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                backoff = Backoff::default();
                match edge.connections.admit(peer.ip()) {
                    Some(slot) => {
                        // Spawned as it is: a future around it would hold it twice.
                        tokio::spawn(serve_connection(
                            edge.clone(),
                            tcp,
                            peer,
                            slot,
                            service.clone(),
                            told.clone(),
                            alive.clone(),
                        ));
                    }
                    None => edge.refuse(tcp),
                }
            }
            Err(error) => {
                let Some(wait) = backoff.after(&error) else {
                    continue;
                };
                edge.metrics.accept_errors.inc();
                tracing::warn!(%error, ?wait, "cannot accept a connection");
                tokio::select! {
                    biased;
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
    drop(listener);
    drop(alive);
    drop(told);
    let _ = phase.send(Phase::Draining);
    if tokio::time::timeout(edge.limits.shutdown_timeout, all_gone.recv())
        .await
        .is_err()
    {
        tracing::warn!("requests under way did not finish in time, their connections are closed");
        let _ = phase.send(Phase::Over);
        all_gone.recv().await;
    }
}

async fn serve_connection<S, B>(
    edge: Arc<HttpEdge>,
    tcp: TcpStream,
    peer: SocketAddr,
    slot: ConnectionSlot,
    service: S,
    mut told: watch::Receiver<Phase>,
    alive: mpsc::Sender<Infallible>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (_slot, _alive) = (slot, alive);
    let Ok(local) = tcp.local_addr() else { return };
    // Answers are small and must not wait for one another.
    let _ = tcp.set_nodelay(true);
    let _open = edge.metrics.connection_opened();
    let connect = ConnectInfo {
        peer,
        local,
        id: edge.next_id.fetch_add(1, Relaxed),
    };
    let exchange = Arc::new(Exchange::default());
    let mut stream = ConnectionStream::new(
        tcp,
        edge.limits.clone(),
        edge.memory.clone(),
        exchange.clone(),
        edge.metrics.clone(),
    );
    let place = ParkingPlace::new();
    let mut service = ConnectionService::new(
        service,
        connect,
        exchange.clone(),
        edge.metrics.clone(),
        place.clone(),
    );
    let mut builder = http1::Builder::new();
    builder
        // The stream keeps the time for heads; its bound on their size comes first, too.
        .header_read_timeout(None)
        // The stream watches for the client's end, too.
        .half_close(true)
        .max_buf_size((edge.limits.max_head + 2 * MOVE_OVER).max(64 << 10));
    if edge.limits.max_headers > 100 {
        builder.max_headers(edge.limits.max_headers as usize);
    }
    let mut known = Phase::Serving;
    loop {
        // Boxed, so that a parked connection does not carry its place along.
        let mut connection = Box::new(builder.serve_connection(TokioIo::new(stream), service));
        let parked = loop {
            let step = poll_fn(|cx| {
                if let Poll::Ready(outcome) = Pin::new(&mut *connection).poll(cx) {
                    return Poll::Ready(Err(outcome));
                }
                if exchange.write_waits.load(Relaxed) {
                    // What hyper still has to write would be lost.
                    return Poll::Pending;
                }
                place
                    .take()
                    .map_or(Poll::Pending, |parked| Poll::Ready(Ok(parked)))
            });
            tokio::select! {
                biased;
                step = step => match step {
                    Ok(parked) => break parked,
                    Err(outcome) => {
                        if let Err(error) = outcome {
                            tracing::debug!(%peer, connection = connect.id, error = %Causes(&error), "connection ended");
                        }
                        return;
                    }
                },
                phase = next_phase(&mut told, known) => known = phase,
            }
            match known {
                Phase::Serving => {}
                Phase::Draining => Pin::new(&mut *connection).graceful_shutdown(),
                Phase::Over => return,
            }
        };
        let left;
        (stream, service, left) = {
            // Moved in here, so that its place is given back before the wait, and is no part of this future.
            let connection = connection;
            let parts = connection.into_parts();
            // Copied, because even an empty rest would keep hyper's whole buffer.
            let left = parts.read_buf.to_vec();
            (parts.io.into_inner(), parts.service, left)
        };
        stream.park();
        let mut parked = parked;
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut parked => break answer,
                () = stream.client_end() => return,
                phase = next_phase(&mut told, known) => known = phase,
            }
            if known == Phase::Over {
                return;
            }
        };
        drop(parked);
        place.answer_with(answer);
        let closes = exchange.closes_after.load(Relaxed) || known != Phase::Serving;
        stream.unpark(if closes { PARKED_LAST } else { PARKED }, &left);
    }
}

/// Waits for a phase other than `known`.
async fn next_phase(told: &mut watch::Receiver<Phase>, known: Phase) -> Phase {
    // The sender is gone only when the server is.
    told.wait_for(|&phase| phase != known)
        .await
        .map_or(Phase::Over, |phase| *phase)
}

/// An error with its causes, for the log.
struct Causes<'a>(&'a dyn Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl HttpEdge {
    /// Says 503 to a connection beyond the limit, at a bounded price.
    fn refuse(&self, mut tcp: TcpStream) {
        self.metrics.connections_refused.inc();
        let Ok(permit) = self.refusals.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let _permit = permit;
            let say = async {
                tcp.write_all(REFUSAL).await?;
                tcp.shutdown().await?;
                // Closing with a request unread would reset the connection before the answer is read.
                let mut unread = [0; 1_024];
                for _ in 0..16 {
                    if tcp.read(&mut unread).await? == 0 {
                        break;
                    }
                }
                io::Result::Ok(())
            };
            let _ = tokio::time::timeout(Duration::from_millis(500), say).await;
        });
    }
}

/// How long to wait after a failed accept: descriptors that ran out do not come back by asking at once.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    /// `None`: the error was the connection's own, the next accept may come at once.
    fn after(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            return None;
        }
        let wait = Duration::from_millis(10 << self.0);
        self.0 = (self.0 + 1).min(6);
        Some(wait)
    }
}

#[cfg(test)]
mod tests;
