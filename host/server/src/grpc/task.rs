//! The task of a transport: HTTP/2, its streams and its calls, polled together.
//!
//! A push wakes one task, which writes it at once: no task of a stream that wakes the transport's. One transport's requests
//! share one processor at a time; transports are many. Only what asks for it is polled: a push goes out without a look at
//! the calls, and an acknowledgement comes in without one at what is to be written.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
};

use bytes::Bytes;
use futures_util::{Stream, stream::FuturesUnordered};
use h2::{
    RecvStream, SendStream,
    server::{Handshake, SendResponse},
};
use http::Request;
use tokio::net::TcpStream;
use tonic::Status;

use super::{
    connection::Connection,
    messages::{self, Messages},
    service::Calls,
};

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;
type Http2 = h2::server::Connection<TcpStream, Bytes>;

/// A side of a task that is to be polled.
struct Bell {
    rung: AtomicBool,
    connection: Arc<Connection>,
}

impl Bell {
    /// Rung, as what is new must be polled once.
    fn new(connection: &Arc<Connection>) -> Arc<Self> {
        Arc::new(Self {
            rung: AtomicBool::new(true),
            connection: connection.clone(),
        })
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.connection.task.come();
    }
}

fn is_set(flag: &AtomicBool) -> bool {
    flag.load(Ordering::SeqCst)
}

/// Whether it was set; it is not any more.
fn take(flag: &AtomicBool) -> bool {
    is_set(flag) && flag.swap(false, Ordering::SeqCst)
}

/// How often one turn goes round; more is another turn, after other tasks.
const ROUNDS: usize = 16;

/// Serves one transport until it ends; its streams and calls end with it, and the core hears of it at once.
pub(super) struct Task {
    http2: State,
    http2_bell: Arc<Bell>,
    streams: Streams,
    streams_bell: Arc<Bell>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "the large one is what lasts, and what is reached at every push"
)]
enum State {
    /// Boxed, as it does not last.
    Greeting(Box<Handshake<TcpStream, Bytes>>),
    Open(Http2),
}

impl Task {
    pub(super) fn new(
        greeting: Handshake<TcpStream, Bytes>,
        calls: Arc<Calls>,
        connection: Arc<Connection>,
    ) -> Self {
        Self {
            http2: State::Greeting(Box::new(greeting)),
            http2_bell: Bell::new(&connection),
            streams_bell: Bell::new(&connection),
            streams: Streams {
                calls,
                connection,
                waiting: FuturesUnordered::new(),
                read: Vec::new(),
                out: None,
                stalled: false,
            },
        }
    }

    fn turn(&self) -> &super::connection::Turn {
        &self.streams.connection.task
    }

    /// Polls what wants it. Ready at the end of the transport.
    fn round(&mut self) -> Poll<Result<(), h2::Error>> {
        let pushed = take(&self.turn().pushed);
        let streams = take(&self.streams_bell.rung);
        if pushed || streams {
            let waker = Waker::from(self.streams_bell.clone());
            let mut context = Context::from_waker(&waker);
            if pushed || self.streams.stalled {
                self.streams.write(&mut context);
            }
            if streams {
                self.streams.go_on(&mut context);
            }
        }
        if take(&self.http2_bell.rung) {
            let waker = Waker::from(self.http2_bell.clone());
            return self.advance(&mut Context::from_waker(&waker));
        }
        Poll::Pending
    }

    /// Reads and writes frames, and begins what the client opens.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            match &mut self.http2 {
                State::Greeting(greeting) => match Pin::new(greeting).poll(context) {
                    Poll::Ready(Ok(http2)) => self.http2 = State::Open(http2),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                State::Open(http2) => match http2.poll_accept(context) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        self.streams.begin(request, respond, &self.streams_bell);
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Whether something is to be done that nobody has looked at.
    fn is_called(&self) -> bool {
        let turn = self.turn();
        [
            &turn.closed,
            &turn.pushed,
            &self.http2_bell.rung,
            &self.streams_bell.rung,
        ]
        .into_iter()
        .any(is_set)
    }
}

impl Future for Task {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.turn().waker.register(context.waker());
        self.turn().lasts.store(true, Ordering::SeqCst);
        for _ in 0..ROUNDS {
            if is_set(&self.turn().closed) {
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(end) = self.round() {
                return Poll::Ready(end);
            }
            if !self.is_called() {
                break;
            }
        }
        self.turn().lasts.store(false, Ordering::SeqCst);
        // What another thread called for after it was looked at told nobody.
        if self.is_called() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let Streams {
            calls, connection, ..
        } = &self.streams;
        calls.connections.ended(connection);
    }
}

/// What the client has opened.
struct Streams {
    calls: Arc<Calls>,
    connection: Arc<Connection>,
    /// Unary calls that wait for something.
    waiting: FuturesUnordered<Call>,
    /// Streams that are read.
    read: Vec<(RecvStream, Messages)>,
    /// The newest of them, the other way.
    out: Option<SendStream<Bytes>>,
    /// The client takes nothing more for now.
    stalled: bool,
}

impl Streams {
    /// Answers a call if nothing has to be waited for, or opens a stream; other paths than the two are "unimplemented".
    fn begin(
        &mut self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        bell: &Arc<Bell>,
    ) {
        match request.uri().path() {
            nacrite_wire::REQUEST => {
                let call = self
                    .calls
                    .clone()
                    .unary(self.connection.clone(), request, respond);
                let mut call: Call = Box::pin(call);
                let waker = Waker::from(bell.clone());
                if call
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
                {
                    self.waiting.push(call);
                    bell.rung.store(true, Ordering::SeqCst);
                }
            }
            nacrite_wire::STREAM => {
                self.open(request, respond);
                bell.rung.store(true, Ordering::SeqCst);
            }
            path => {
                let status = Status::unimplemented(format!("there is no {path}"));
                messages::answer(respond, Err(status));
            }
        }
    }

    /// Pushes go to the newest stream; the one before it ends well, but is read on.
    fn open(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        // A client that has taken it back is not there to be told so.
        let Ok(out) = respond.send_response(messages::head(), false) else {
            return;
        };
        if let Some(mut before) = self.out.replace(out) {
            let _ = before.send_trailers(messages::good_end());
        }
        self.connection.open_out();
        let messages = Messages::new(request.headers(), self.calls.limits.max_message);
        self.read.push((request.into_body(), messages));
    }

    /// Hands HTTP/2 what waits, as far as the client takes it. Frames as they are, shared with other transports.
    fn write(&mut self, context: &mut Context<'_>) {
        self.stalled = false;
        let Some(out) = &mut self.out else {
            return;
        };
        loop {
            out.reserve_capacity(1);
            if out.capacity() == 0 {
                match out.poll_capacity(context) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(_) => return self.connection.close(),
                    Poll::Pending => {
                        self.stalled = true;
                        return;
                    }
                }
            }
            let now = || self.calls.connections.now();
            let Some((frame, more)) = self.connection.take(now) else {
                return;
            };
            if out.send_data(frame, false).is_err() {
                return self.connection.close();
            }
            if !more {
                return;
            }
        }
    }

    /// Reads what came, and goes on with the calls that may.
    fn go_on(&mut self, context: &mut Context<'_>) {
        for (stream, messages) in &mut self.read {
            let heard = |message| self.calls.heard(&self.connection, message);
            if read(stream, messages, context, heard).is_ready() {
                // A client that ends its stream cannot be pushed to: the reference ends the connection with it.
                self.connection.close();
            }
        }
        while let Poll::Ready(Some(())) = Pin::new(&mut self.waiting).poll_next(context) {}
    }
}

/// Takes messages from a stream; ready when no more can come, or one is not understood.
fn read(
    stream: &mut RecvStream,
    messages: &mut Messages,
    context: &mut Context<'_>,
    heard: impl Fn(Bytes) -> bool,
) -> Poll<()> {
    loop {
        let Some(Ok(mut chunk)) = ready!(stream.poll_data(context)) else {
            return Poll::Ready(());
        };
        // It fails when the stream has just ended, which the next look shows.
        let _ = stream.flow_control().release_capacity(chunk.len());
        loop {
            let understood = match messages.next(&mut chunk) {
                Ok(Some(message)) => heard(message),
                Ok(None) => break,
                Err(_) => false,
            };
            if !understood {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nacrite_core::node::input::ConnId;
    use tokio::{net::TcpListener, sync::watch};

    use super::*;
    use crate::{
        drive::Clock,
        grpc::{Connections, GrpcLimits},
        metrics::Metrics,
    };

    fn calls() -> Arc<Calls> {
        let second = Duration::from_secs(1);
        Arc::new(Calls {
            served: watch::channel(None).1,
            connections: Connections::new(Clock::start(), Metrics::new(&[], &[])),
            limits: GrpcLimits {
                max_message: 1 << 20,
                max_connections: 1,
                max_connections_per_address: 1,
                max_early: 1,
                early_wait: second,
                set_up_within: second,
                idle: second,
                blocked: second,
            },
        })
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_push_is_missed_whoever_sends_it_and_a_close_ends_the_transport() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let connection = Arc::new(Connection::new(ConnId(1), peer, "1".into(), 0));
        let greeting = h2::server::Builder::new().handshake(stream);
        let task = tokio::spawn(Task::new(greeting, calls(), connection.clone()));
        let (requests, transport) = h2::client::handshake(client).await.unwrap();
        let transport = tokio::spawn(transport);
        let uri = format!("http://server{}", nacrite_wire::STREAM);
        let request = Request::post(uri).body(()).unwrap();
        let mut requests = requests.ready().await.unwrap();
        let (response, _out) = requests.send_request(request, false).unwrap();
        let mut pushes = response.await.unwrap().into_body();
        for number in 0..5_000_u32 {
            assert!(connection.send(Bytes::copy_from_slice(&number.to_be_bytes()), 1));
            let push = pushes.data().await.unwrap().unwrap();
            pushes.flow_control().release_capacity(push.len()).unwrap();
            assert_eq!(push[..], number.to_be_bytes());
        }
        assert_eq!(connection.blocked(), 0);
        connection.close();
        assert!(task.await.unwrap().is_ok());
        assert!(!matches!(pushes.data().await, Some(Ok(_))));
        drop((requests, pushes));
        let _ended = transport.await.unwrap();
    }
}
