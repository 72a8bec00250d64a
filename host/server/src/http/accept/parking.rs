//! Parked requests: connections whose answer takes long by intent, such as long polls, without the buffers of hyper.
//!
//! hyper keeps two buffers of 8 KiB for each HTTP/1 connection. A handler that has read its body and now waits for a
//! change says so ([`Parking::park`]); then its future is taken out of hyper, hyper's state is dropped, and what is left
//! is the future, the socket and a watch for the client's end. For the answer hyper is set up again and reads a short
//! head that stands for the parked request.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::header::CONNECTION;
use http::{Method, Request, Version};

use super::stream::Exchange;
use crate::http::limits::ReadBody;

/// Lets a handler give up the connection's buffers while it waits. In the extensions of requests that have a body.
#[derive(Clone, Debug)]
pub struct Parking(pub(super) Arc<Exchange>);

impl Parking {
    /// Says that the rest of the handler only waits. The body must have been read to its end, as `_whole` shows. Costs
    /// about 2 µs when the handler really waits, and nothing when it is ready at its next poll.
    pub fn park(&self, _whole: &ReadBody) {
        self.0.wants_parking.store(true, Relaxed);
    }
}

/// Whether a request may be parked: its answer must be what it would be for the head that stands for it.
pub(super) fn may_park<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && request.method() != Method::HEAD
        && request.method() != Method::CONNECT
}

/// Whether the client wants the connection closed after this request.
pub(super) fn wants_close<B>(request: &Request<B>) -> bool {
    let mut values = request.headers().get_all(CONNECTION).iter();
    values.any(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .windows(5)
            .any(|word| word == b"close")
    })
}

/// Stands for a parked request.
pub(super) const PARKED: &[u8] = b"GET / HTTP/1.1\r\nhost: _\r\n\r\n";
/// Stands for one after which the connection closes.
pub(super) const PARKED_LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: _\r\nconnection: close\r\n\r\n";

pub(super) type BoxedAnswer<A> = Pin<Box<dyn Future<Output = A> + Send>>;

/// Where a connection's service and its task hand the parked future over.
pub(super) struct ParkingPlace<A> {
    occupied: AtomicBool,
    future: Mutex<Option<BoxedAnswer<A>>>,
    /// The answer of the parked request, for the head that stands for it.
    answer: Mutex<Option<A>>,
}

impl<A> ParkingPlace<A> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(ParkingPlace {
            occupied: AtomicBool::new(false),
            future: Mutex::new(None),
            answer: Mutex::new(None),
        })
    }

    fn park(&self, future: BoxedAnswer<A>) {
        *self.future.lock().unwrap_or_else(PoisonError::into_inner) = Some(future);
        self.occupied.store(true, Relaxed);
    }

    /// The parked future, when there is one.
    pub(super) fn take(&self) -> Option<BoxedAnswer<A>> {
        if !self.occupied.load(Relaxed) {
            return None;
        }
        self.occupied.store(false, Relaxed);
        self.future
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(super) fn answer_with(&self, answer: A) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    pub(super) fn take_answer(&self) -> Option<A> {
        self.answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A request under way inside hyper; leaves it when its handler wants to be parked.
pub(super) struct Call<A> {
    pub(super) future: Option<BoxedAnswer<A>>,
    pub(super) may_park: bool,
    pub(super) exchange: Arc<Exchange>,
    pub(super) place: Arc<ParkingPlace<A>>,
}

impl<A> Future for Call<A> {
    type Output = A;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A> {
        let this = self.get_mut();
        let Some(future) = &mut this.future else {
            // Parked, but not yet taken away: hyper has something to write first.
            let mut parked = this
                .place
                .future
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(future) = parked.as_mut() else {
                return Poll::Pending;
            };
            let polled = future.as_mut().poll(cx);
            if polled.is_ready() {
                *parked = None;
                this.place.occupied.store(false, Relaxed);
            }
            return polled;
        };
        let polled = future.as_mut().poll(cx);
        if polled.is_pending()
            && this.may_park
            && this.exchange.wants_parking.swap(false, Relaxed)
            && let Some(future) = this.future.take()
        {
            this.place.park(future);
        }
        polled
    }
}
