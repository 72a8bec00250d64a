//! The service of one connection: numbers its requests, answers what was refused, keeps panics from spreading.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tower::util::ServiceExt;
use tower_service::Service;

use super::ConnectInfo;
use super::parking::{Call, Parking, ParkingPlace, may_park, wants_close};
use super::stream::Exchange;
use crate::http::limits::MemoryPermit;
use crate::http::longurl::{LongQuery, Verdict};
use crate::logs::panic_text;
use crate::metrics::http::HttpMetrics;

pub(super) struct ConnectionService<S, B> {
    service: S,
    connect: ConnectInfo,
    exchange: Arc<Exchange>,
    metrics: Arc<HttpMetrics>,
    requests: AtomicU64,
    place: Arc<ParkingPlace<Outcome<B>>>,
}

impl<S, B> ConnectionService<S, B> {
    pub(super) fn new(
        service: S,
        connect: ConnectInfo,
        exchange: Arc<Exchange>,
        metrics: Arc<HttpMetrics>,
        place: Arc<ParkingPlace<Outcome<B>>>,
    ) -> Self {
        ConnectionService {
            service,
            connect,
            exchange,
            metrics,
            requests: AtomicU64::new(0),
            place,
        }
    }
}

/// One request under way: from its head to the end of its answer.
#[derive(Debug)]
struct InFlight {
    exchange: Arc<Exchange>,
    /// The share of the memory that a long query takes.
    permit: Option<MemoryPermit>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.exchange.in_flight.fetch_sub(1, Relaxed);
        drop(self.permit.take());
    }
}

/// The service's body, or a short text of the edge's own.
#[derive(Debug)]
pub(super) struct AnswerBody<B> {
    content: Content<B>,
    _in_flight: InFlight,
}

#[derive(Debug)]
enum Content<B> {
    Service(B),
    Text(Option<Bytes>),
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.get_mut().content {
            Content::Service(body) => Pin::new(body).poll_frame(cx),
            Content::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Service(body) => body.is_end_stream(),
            Content::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Service(body) => body.size_hint(),
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}

type Answer<B> = Response<AnswerBody<B>>;

/// What hyper is given for a request.
pub(super) type Outcome<B> = Result<Answer<B>, Infallible>;

impl<S, B> hyper::service::Service<Request<Incoming>> for ConnectionService<S, B>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Answer<B>;
    type Error = Infallible;
    type Future = Call<Outcome<B>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if self.exchange.answers_parked.swap(false, Relaxed)
            && let Some(answer) = self.place.take_answer()
        {
            return self.run(false, std::future::ready(answer));
        }
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        self.exchange.in_flight.fetch_add(1, Relaxed);
        let mut in_flight = InFlight {
            exchange: self.exchange.clone(),
            permit: None,
        };
        if let Some((verdict, permit)) = self.exchange.verdict(number) {
            in_flight.permit = permit;
            let (status, text) = match verdict {
                Verdict::LongQuery(query) => {
                    request.extensions_mut().insert(LongQuery(query));
                    (StatusCode::OK, "")
                }
                Verdict::UrlTooLong => (StatusCode::URI_TOO_LONG, "the URL is too long"),
                Verdict::HeadTooLarge => (
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    "the request head is too large",
                ),
                Verdict::Overloaded => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many large requests are under way, try again later",
                ),
            };
            if status != StatusCode::OK {
                self.metrics.requests_refused.inc();
                return self.run(
                    false,
                    std::future::ready(Ok(refusal(status, text, in_flight))),
                );
            }
        }
        request.extensions_mut().insert(self.connect);
        let may_park = !request.body().is_end_stream() && may_park(&request);
        if may_park {
            request
                .extensions_mut()
                .insert(Parking(self.exchange.clone()));
            self.exchange
                .closes_after
                .store(wants_close(&request), Relaxed);
            self.exchange.wants_parking.store(false, Relaxed);
        }
        let metrics = self.metrics.clone();
        let service = self.service.clone();
        // Built inside the guard: a service may panic before it has a future.
        let called = catch_unwind(AssertUnwindSafe(|| service.oneshot(request)));
        self.run(may_park, async move {
            let outcome = match called {
                Ok(future) => AssertUnwindSafe(future).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            Ok(match outcome {
                Ok(Ok(response)) => response.map(|body| AnswerBody {
                    content: Content::Service(body),
                    _in_flight: in_flight,
                }),
                Ok(Err(never)) => match never {},
                Err(panic) => {
                    metrics.panics.inc();
                    tracing::error!(
                        reason = panic_text(panic.as_ref()),
                        "a request handler panicked; this is a bug"
                    );
                    refusal(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "internal error",
                        in_flight,
                    )
                }
            })
        })
    }
}

impl<S, B> ConnectionService<S, B> {
    fn run(
        &self,
        may_park: bool,
        future: impl Future<Output = Outcome<B>> + Send + 'static,
    ) -> Call<Outcome<B>> {
        Call {
            future: Some(Box::pin(future)),
            may_park,
            exchange: self.exchange.clone(),
            place: self.place.clone(),
        }
    }
}

fn refusal<B>(status: StatusCode, text: &'static str, in_flight: InFlight) -> Answer<B> {
    let content = Content::Text(Some(Bytes::from_static(text.as_bytes())));
    let mut response = Response::new(AnswerBody {
        content,
        _in_flight: in_flight,
    });
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain;charset=UTF-8"),
    );
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
