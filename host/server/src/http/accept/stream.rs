//! The byte stream of one connection as hyper sees it: heads looked at first (`longurl`), time-outs kept.
//!
//! Timers are armed only where something waits: none is touched by a request that arrives and leaves in one piece.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::limits::{BodyMemory, HttpLimits, MemoryPermit};
use super::super::longurl::{Scanner, Verdict};
use crate::metrics::http::HttpMetrics;

/// What the stream and the service of one connection tell each other.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Length of `verdicts`: the ordinary request looks no further.
    waiting: AtomicUsize,
    verdicts: Mutex<VecDeque<Told>>,
    /// Requests whose answer is not complete.
    pub(super) in_flight: AtomicUsize,
    /// The handler under way only waits from now on.
    pub(super) wants_parking: AtomicBool,
    /// The connection closes after the request that may be parked.
    pub(super) closes_after: AtomicBool,
    /// The next request that hyper reads stands for a parked one.
    pub(super) answers_parked: AtomicBool,
    /// hyper has bytes that the socket did not take.
    pub(super) write_waits: AtomicBool,
}

/// A verdict with the number of its request and the memory that it holds.
#[derive(Debug)]
struct Told {
    request: u64,
    verdict: Verdict,
    permit: Option<MemoryPermit>,
}

impl Exchange {
    fn tell(&self, told: impl IntoIterator<Item = Told>) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.extend(told);
        self.waiting.store(verdicts.len(), Relaxed);
    }

    /// The verdict about the connection's `request`th request (from 1), if there is one.
    pub(super) fn verdict(&self, request: u64) -> Option<(Verdict, Option<MemoryPermit>)> {
        if self.waiting.load(Relaxed) == 0 {
            return None;
        }
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.front()?.request != request {
            return None;
        }
        let told = verdicts.pop_front()?;
        self.waiting.store(verdicts.len(), Relaxed);
        Some((told.verdict, told.permit))
    }
}

/// Held bytes that count as ordinary; more is charged to the memory for bodies.
const UNCHARGED: usize = 16 << 10;
/// What is still read, and for how long, after the last answer of a connection that has not been read to its end:
/// closing with bytes unread would reset the connection and could take the answer with it.
const LINGER_BYTES: usize = 4 << 20;
const LINGER: Duration = Duration::from_secs(1);

/// A TCP stream with its look-out and its timers.
#[derive(Debug)]
pub(super) struct ConnectionStream {
    tcp: TcpStream,
    scanner: Scanner,
    /// What hyper is to read next.
    out: BytesMut,
    exchange: Arc<Exchange>,
    memory: Arc<BodyMemory>,
    permit: Option<MemoryPermit>,
    limits: Arc<HttpLimits>,
    metrics: Arc<HttpMetrics>,
    /// Since when the connection has had nothing to do.
    idle_since: Option<Instant>,
    idle_timer: Option<Pin<Box<Sleep>>>,
    head_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
    /// Whether a whole head has arrived yet.
    is_fresh: bool,
}

impl ConnectionStream {
    pub(super) fn new(
        tcp: TcpStream,
        limits: Arc<HttpLimits>,
        memory: Arc<BodyMemory>,
        exchange: Arc<Exchange>,
        metrics: Arc<HttpMetrics>,
    ) -> Self {
        ConnectionStream {
            tcp,
            scanner: Scanner::new(limits.head_bounds()),
            out: BytesMut::new(),
            exchange,
            memory,
            permit: None,
            limits,
            metrics,
            idle_since: None,
            idle_timer: None,
            head_timer: None,
            write_timer: None,
            linger: None,
            is_fresh: true,
        }
    }

    /// Gives the scanner bytes that cannot pass as they are, and the service what came of it.
    fn hold(&mut self, bytes: &[u8]) {
        let charge = self.scanner.held() + bytes.len();
        if charge > UNCHARGED && !self.scanner.is_refused() {
            let granted = match &mut self.permit {
                Some(permit) => permit.grow_to(charge),
                None => {
                    self.permit = self.memory.reserve(charge);
                    self.permit.is_some()
                }
            };
            if !granted {
                self.scanner.refuse(Verdict::Overloaded, &mut self.out);
            }
        }
        self.scanner.hold(bytes, &mut self.out);
        let verdicts = self.scanner.take_verdicts();
        let resolved = !verdicts.is_empty();
        self.exchange
            .tell(verdicts.into_iter().map(|(request, verdict)| {
                let permit = matches!(verdict, Verdict::LongQuery(_))
                    .then(|| self.permit.take())
                    .flatten();
                Told {
                    request,
                    verdict,
                    permit,
                }
            }));
        if self.scanner.held() == 0 {
            self.permit = None;
        }
        if resolved || self.scanner.held() == 0 {
            self.head_timer = None;
        }
    }

    /// Nothing to read: `Ready` with an error when that has lasted too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = Instant::now();
        if self.exchange.in_flight.load(Relaxed) > 0 {
            // The server's turn: a parked poll may take its time. hyper does not ask again when it is over, so the
            // timer does, and an idle connection after a slow answer lives for up to twice the limit.
            self.idle_since = None;
            self.poll_idle_timer(cx, now + self.limits.idle_timeout);
            return Poll::Pending;
        }
        if self.scanner.held() > 0 {
            let limit = self.limits.head_timeout;
            let timer = self
                .head_timer
                .get_or_insert_with(|| Box::pin(sleep_until(now + limit)));
            return timer
                .as_mut()
                .poll(cx)
                .map(|()| Err(self.timed_out("the request head did not arrive in time")));
        }
        let limit = if self.is_fresh {
            self.limits.head_timeout
        } else {
            self.limits.idle_timeout
        };
        let deadline = *self.idle_since.get_or_insert(now) + limit;
        if deadline <= now {
            return Poll::Ready(Err(self.timed_out("the connection was idle")));
        }
        self.poll_idle_timer(cx, deadline);
        Poll::Pending
    }

    /// Has the task woken at `deadline` or before: the timer of an earlier wait is left to fire and set anew only then,
    /// which is cheaper than a reset for each request.
    fn poll_idle_timer(&mut self, cx: &mut Context<'_>, deadline: Instant) {
        let timer = self
            .idle_timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(deadline);
            // Registers the task; a deadline that has just passed wakes it at once.
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Counted here, because hyper ends an idle connection without a word.
    fn timed_out(&self, reason: &'static str) -> io::Error {
        self.metrics.connections_timed_out.inc();
        io::Error::new(io::ErrorKind::TimedOut, reason)
    }

    /// Has the task woken when the client goes away while its answer is being made. hyper would do so by reading ahead,
    /// into a buffer of 8 KiB that a parked poll would then hold for nothing; this looks without a buffer, and without a
    /// system call unless something has arrived.
    fn watch_for_end(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut byte = [0];
        match self.tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(_)) | Poll::Pending => Ok(()),
        }
    }

    /// Ready when the client goes away.
    pub(super) async fn client_end(&mut self) {
        poll_fn(|cx| {
            if self.watch_for_end(cx).is_err() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Gives up what a parked connection does not need.
    pub(super) fn park(&mut self) {
        (self.idle_timer, self.head_timer, self.write_timer) = (None, None, None);
    }

    /// Has hyper, set up anew, read `head` and then what was left of its buffer.
    pub(super) fn unpark(&mut self, head: &[u8], left: &[u8]) {
        self.exchange.answers_parked.store(true, Relaxed);
        let later = std::mem::take(&mut self.out);
        for piece in [head, left, &later] {
            self.out.extend_from_slice(piece);
        }
    }

    fn write_goes_on(&mut self) {
        if self.write_timer.take().is_some() {
            self.exchange.write_waits.store(false, Relaxed);
        }
    }

    fn write_waits<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.exchange.write_waits.store(true, Relaxed);
        let limit = self.limits.write_timeout;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        timer
            .as_mut()
            .poll(cx)
            .map(|()| Err(self.timed_out("the client does not read")))
    }
}

impl AsyncRead for ConnectionStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.out.is_empty() {
                let n = this.out.len().min(buf.remaining());
                buf.put_slice(&this.out[..n]);
                this.out.advance(n);
                if this.out.is_empty() {
                    this.out = BytesMut::new();
                }
                this.is_fresh = false;
                return Poll::Ready(Ok(()));
            }
            if this.scanner.is_refused() {
                // The refusal closes the connection; what else arrives is read after it.
                return Poll::Pending;
            }
            if this.scanner.held() > 0 {
                let mut piece = [0; 16 << 10];
                let mut piece = ReadBuf::new(&mut piece);
                match Pin::new(&mut this.tcp).poll_read(cx, &mut piece)? {
                    Poll::Pending => return this.poll_patience(cx),
                    Poll::Ready(()) if piece.filled().is_empty() => return Poll::Ready(Ok(())),
                    Poll::Ready(()) => this.hold(piece.filled()),
                }
                continue;
            }
            let before = buf.filled().len();
            match Pin::new(&mut this.tcp).poll_read(cx, buf)? {
                Poll::Pending => return this.poll_patience(cx),
                Poll::Ready(()) => {}
            }
            this.idle_since = None;
            let fresh = &buf.filled()[before..];
            let length = fresh.len();
            if length == 0 {
                return Poll::Ready(Ok(()));
            }
            let passed = this.scanner.pass(fresh);
            if passed < length {
                this.hold(&fresh[passed..]);
                buf.set_filled(before + passed);
            }
            if passed > 0 {
                this.is_fresh = false;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for ConnectionStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.tcp).poll_write(cx, bytes) {
            Poll::Pending => this.write_waits(cx),
            done => {
                this.write_goes_on();
                done
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.tcp).poll_write_vectored(cx, bytes) {
            Poll::Pending => this.write_waits(cx),
            done => {
                this.write_goes_on();
                done
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.tcp).poll_flush(cx))?;
        // hyper calls this last, before it waits for an answer.
        if this.exchange.in_flight.load(Relaxed) > 0 {
            this.watch_for_end(cx)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.tcp).poll_shutdown(cx))?;
            if this.scanner.at_boundary() {
                return Poll::Ready(Ok(()));
            }
        }
        let (timer, left) = this
            .linger
            .get_or_insert_with(|| (Box::pin(sleep_until(Instant::now() + LINGER)), LINGER_BYTES));
        loop {
            let mut piece = [0; 16 << 10];
            let mut piece = ReadBuf::new(&mut piece);
            match Pin::new(&mut this.tcp).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() && *left > 0 => {
                    *left = left.saturating_sub(piece.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return timer.as_mut().poll(cx).map(Ok),
            }
        }
    }
}
