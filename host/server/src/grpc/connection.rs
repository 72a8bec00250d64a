//! One transport: its identity, its set-up, its way out, and the means to end it.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use super::connections::Connections;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use nacrite_core::node::input::{ConnDetails, ConnId};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Notify, mpsc},
};

/// Bytes that may wait on one stream; beyond that a push fails and is tried again later.
const MOST_WAITING: usize = 8 << 20;

/// What is known of a transport.
pub(super) struct Connection {
    /// Its number for the core.
    pub(super) conn: ConnId,
    /// The client's socket.
    pub(super) peer: SocketAddr,
    /// `<epoch ms>_<ip>_<port>`, as APIs show it.
    pub(super) id: Arc<str>,
    /// What it said of itself; there once it is set up and the core knows it.
    pub(super) details: OnceLock<ConnDetails>,
    pub(super) set_up: Notify,
    /// Requests that wait for the set-up.
    pub(super) early: AtomicUsize,
    /// When it last spoke, milliseconds of the monotonic clock.
    pub(super) active: AtomicU64,
    /// When something began to wait on its stream; 0 if nothing does.
    pub(super) blocked: AtomicU64,
    /// A detection was asked for and not answered yet: its number.
    pub(super) detection: AtomicU64,
    out: Mutex<Option<mpsc::UnboundedSender<Bytes>>>,
    waiting: AtomicUsize,
    closed: AtomicBool,
    waker: AtomicWaker,
    connections: Arc<Connections>,
}

impl Connection {
    pub(super) fn new(
        conn: ConnId,
        peer: SocketAddr,
        id: Arc<str>,
        now: u64,
        connections: Arc<Connections>,
    ) -> Self {
        Self {
            conn,
            peer,
            id,
            details: OnceLock::new(),
            set_up: Notify::new(),
            early: AtomicUsize::new(0),
            active: AtomicU64::new(now),
            blocked: AtomicU64::new(0),
            detection: AtomicU64::new(0),
            out: Mutex::new(None),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            connections,
        }
    }

    /// Whether the core knows it.
    pub(super) fn is_set_up(&self) -> bool {
        self.details.get().is_some()
    }

    /// Waits until the core knows it, at most so long.
    pub(super) async fn wait_set_up(&self, at_most: Duration) -> bool {
        let waited = async {
            loop {
                let told = self.set_up.notified();
                if self.is_set_up() {
                    return;
                }
                told.await;
            }
        };
        tokio::time::timeout(at_most, waited).await.is_ok()
    }

    /// Opens the way out; a stream that was there before ends.
    pub(super) fn open_out(self: &Arc<Self>) -> OutStream {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.out() = Some(sender);
        self.waiting.store(0, Ordering::Relaxed);
        OutStream {
            connection: self.clone(),
            receiver,
            ended: false,
        }
    }

    fn out(&self) -> std::sync::MutexGuard<'_, Option<mpsc::UnboundedSender<Bytes>>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a framed payload; whether there was room and a stream.
    pub(super) fn send(&self, frame: Bytes, now: u64) -> bool {
        let bytes = frame.len();
        let waiting = self.waiting.fetch_add(bytes, Ordering::AcqRel);
        if waiting == 0 {
            self.blocked.store(now, Ordering::Relaxed);
        }
        let sent = waiting + bytes <= MOST_WAITING
            && self
                .out()
                .as_ref()
                .is_some_and(|out| out.send(frame).is_ok());
        if !sent {
            self.waiting.fetch_sub(bytes, Ordering::AcqRel);
        }
        sent
    }

    /// Ends the transport.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        *self.out() = None;
        self.waker.wake();
    }
}

/// What is written to a client's stream: frames as they were queued, never copied, then gRPC's word for a good end.
pub(super) struct OutStream {
    connection: Arc<Connection>,
    receiver: mpsc::UnboundedReceiver<Bytes>,
    ended: bool,
}

impl Body for OutStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(self.receiver.poll_recv(context)) else {
            self.ended = true;
            let status = (
                HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("0"),
            );
            return Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::from_iter([status])))));
        };
        let before = self
            .connection
            .waiting
            .fetch_sub(frame.len(), Ordering::AcqRel);
        let blocked = if before == frame.len() {
            0
        } else {
            self.connection.connections.now()
        };
        self.connection.blocked.store(blocked, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}

/// The socket of a connection. Dropping it is the end of the transport, which the core hears of at once.
pub(super) struct Transport {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Transport {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self { stream, connection }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.connection.connections.ended(&self.connection);
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection.waker.register(context.waker());
        if self.connection.closed.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.connection.closed.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
