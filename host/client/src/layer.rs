//! Load-balanced calls: a [`tower::Layer`] after which `http://orders/hello` reaches a chosen instance of `orders`.
//!
//! How a call ended is fed back to the balancer. A failed one is made again on another instance, as [`Retries`] allow. A URL
//! with a port, or whose host is an address or `localhost`, is left as it is.

use std::{
    error::Error as StdError,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority,
    uri::Scheme,
};
use nacrite_core::balance::{Outcome, Report};
use tower::{Layer, Service, ServiceExt};

use crate::{Balancing, Hints};

/// An error of a call.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Spring's header with a hint for the choice.
const HINT: HeaderName = HeaderName::from_static("x-sc-lb-hint");

/// A request that can be sent elsewhere.
pub trait Call: Sized + Send + 'static {
    /// Its method.
    fn method(&self) -> &Method;
    /// Its headers.
    fn headers(&self) -> &HeaderMap;
    /// The host that it names, if it names no port.
    fn host(&self) -> Option<String>;
    /// The same request to this address (`host:port`).
    ///
    /// # Errors
    /// The address cannot stand in a URL.
    fn to(self, address: &str) -> Result<Self, BoxError>;
    /// A copy of it, if its body can be sent twice.
    fn copy(&self) -> Option<Self>;
}

/// An answer as far as a balancer looks at it.
pub trait Reply {
    /// Its status.
    fn status(&self) -> StatusCode;
    /// Its headers.
    fn headers(&self) -> &HeaderMap;
}

impl<B: Clone + Send + 'static> Call for http::Request<B> {
    fn method(&self) -> &Method {
        self.method()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn host(&self) -> Option<String> {
        let authority = self.uri().authority()?;
        (authority.port().is_none()).then(|| authority.host().to_owned())
    }

    fn to(mut self, address: &str) -> Result<Self, BoxError> {
        let mut parts = self.uri().clone().into_parts();
        parts.authority = Some(Authority::try_from(address)?);
        parts.scheme.get_or_insert(Scheme::HTTP);
        *self.uri_mut() = Uri::from_parts(parts)?;
        self.headers_mut()
            .insert(header::HOST, HeaderValue::from_str(address)?);
        Ok(self)
    }

    fn copy(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl<B> Reply for http::Response<B> {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }
}

/// When a failed call is made again. Names and defaults of the first three are Ribbon's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Times on the same instance (`MaxAutoRetries`).
    pub same: u32,
    /// Further instances (`MaxAutoRetriesNextServer`).
    pub next: u32,
    /// Whether calls that may change something are made again after they may have reached an instance
    /// (`OkToRetryOnAllOperations`). Those that surely did not are always.
    pub all_operations: bool,
    /// Answers that count as failures to be retried.
    pub statuses: Vec<StatusCode>,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            same: 0,
            next: 1,
            all_operations: false,
            statuses: vec![
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ],
        }
    }
}

impl Retries {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            next: 0,
            ..Self::default()
        }
    }

    /// Whether what came of a call is to be tried again.
    fn again(&self, method: &Method, failure: &Failure) -> bool {
        let may_repeat = self.all_operations || method.is_safe();
        match failure {
            Failure::NotReached => true,
            Failure::Lost => may_repeat,
            Failure::Answered(status) => may_repeat && self.statuses.contains(status),
        }
    }
}

/// How a call failed.
#[derive(Debug)]
enum Failure {
    /// It did not reach the instance.
    NotReached,
    /// Nobody knows whether it did.
    Lost,
    /// With this answer.
    Answered(StatusCode),
}

/// Balances the calls of the service that it is laid around.
#[derive(Clone, Debug)]
pub struct LoadBalanceLayer {
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
struct Shared {
    balancing: Balancing,
    group: String,
    retries: Retries,
    key: Option<HeaderName>,
}

impl LoadBalanceLayer {
    /// For services of the default group, with Ribbon's retries.
    #[must_use]
    pub fn new(balancing: Balancing) -> Self {
        let shared = Shared {
            balancing,
            group: String::new(),
            retries: Retries::default(),
            key: None,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }

    /// For services of this group.
    #[must_use]
    pub fn group(self, group: &str) -> Self {
        self.with(|shared| shared.group = group.into())
    }

    /// With these retries.
    #[must_use]
    pub fn retries(self, retries: Retries) -> Self {
        self.with(|shared| shared.retries = retries)
    }

    /// Consistent hashing takes its key from this header.
    #[must_use]
    pub fn key_header(self, name: HeaderName) -> Self {
        self.with(|shared| shared.key = Some(name))
    }
}

impl<S> Layer<S> for LoadBalanceLayer {
    type Service = LoadBalance<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LoadBalance {
            inner,
            shared: self.shared.clone(),
        }
    }
}

/// A service whose calls are balanced.
#[derive(Clone, Debug)]
pub struct LoadBalance<S> {
    inner: S,
    shared: Arc<Shared>,
}

type Answering<R> = Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>>;

impl<S, R> Service<R> for LoadBalance<S>
where
    R: Call,
    S: Service<R> + Clone + Send + 'static,
    S::Response: Reply + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answering<S::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Each try waits until its own copy of the inner service is ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        Box::pin(answered(self.inner.clone(), self.shared.clone(), request))
    }
}

/// Whether a host is one of a service.
fn is_service(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host != "localhost" && bare.parse::<std::net::IpAddr>().is_err()
}

fn header_text(request: &impl Call, name: &HeaderName) -> Option<String> {
    let value = request.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

async fn answered<S, R>(inner: S, shared: Arc<Shared>, request: R) -> Result<S::Response, BoxError>
where
    R: Call,
    S: Service<R> + Clone,
    S::Response: Reply,
    S::Error: Into<BoxError>,
{
    let Some(service) = request.host().filter(|host| is_service(host)) else {
        return inner.oneshot(request).await.map_err(Into::into);
    };
    let hint = header_text(&request, &HINT);
    let key = shared.key.as_ref();
    let key = key.and_then(|name| header_text(&request, name));
    let method = request.method().clone();
    let retries = &shared.retries;
    let mut tried: Vec<String> = Vec::new();
    let mut left = Some(request);
    for instance in 0..=retries.next {
        for attempt in 0..=retries.same {
            let Some(request) = left.take() else {
                return Err("a request that cannot be copied is sent once".into());
            };
            // The last try needs no copy.
            let last = instance == retries.next && attempt == retries.same;
            left = if last { None } else { request.copy() };
            let hints = Hints {
                key: key.as_deref(),
                hint: hint.as_deref(),
                tried: if attempt == 0 { &tried } else { &[] },
            };
            let choice = if attempt > 0
                && let Some(address) = tried.last()
            {
                shared
                    .balancing
                    .choose_address(&shared.group, &service, address)
                    .await
            } else {
                shared
                    .balancing
                    .choose(&shared.group, &service, hints)
                    .await
            };
            let choice = choice?;
            if attempt == 0 {
                tried.push(choice.address().to_owned());
            }
            let request = request.to(choice.address())?;
            let result = inner.clone().oneshot(request).await.map_err(Into::into);
            let (report, failure) = judged(&result);
            choice.finish(report);
            let again = failure.is_some_and(|f| retries.again(&method, &f));
            if !again || left.is_none() {
                return result;
            }
            if let Err(error) = &result {
                tracing::debug!("a call of {service} failed and is made again: {error}");
            }
        }
    }
    Err("the tries are counted to their end".into())
}

/// What to report of a result, and how it failed if it did.
fn judged<R: Reply>(result: &Result<R, BoxError>) -> (Report, Option<Failure>) {
    let (outcome, failure) = match result {
        Ok(reply) => match reply.status() {
            status @ (StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => {
                (Outcome::GatewayError, Some(Failure::Answered(status)))
            }
            status if status.is_server_error() => {
                (Outcome::ServerError, Some(Failure::Answered(status)))
            }
            status => (Outcome::Success, Some(Failure::Answered(status))),
        },
        Err(error) => match reached(&**error) {
            Some(false) => (Outcome::CircuitFailure, Some(Failure::NotReached)),
            Some(true) => (Outcome::CircuitFailure, Some(Failure::Lost)),
            None => (Outcome::OtherFailure, Some(Failure::Lost)),
        },
    };
    let retry_after = result.as_ref().ok().and_then(|reply| {
        let seconds = reply.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
        Some(seconds.trim().parse::<u32>().ok()? as f64 * 1_000.0)
    });
    let report = Report {
        outcome,
        response_ms: None,
        retry_after_ms: retry_after,
    };
    (report, failure)
}

/// Of an error of the network: whether the request may have reached the instance. None for other errors.
fn reached(error: &(dyn StdError + 'static)) -> Option<bool> {
    let mut next = Some(error);
    while let Some(error) = next {
        #[cfg(feature = "reqwest")]
        if let Some(error) = error.downcast_ref::<reqwest::Error>() {
            if error.is_connect() {
                return Some(false);
            }
            if error.is_timeout() {
                return Some(true);
            }
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind as Kind;
            match error.kind() {
                Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable => {
                    return Some(false);
                }
                Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
                | Kind::UnexpectedEof
                | Kind::TimedOut => return Some(true),
                _ => {}
            }
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_incomplete_message()
        {
            return Some(true);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_services() {
        for host in ["orders", "orders.example"] {
            assert!(is_service(host), "{host}");
        }
        for host in ["localhost", "10.0.0.1", "[::1]"] {
            assert!(!is_service(host), "{host}");
        }
    }

    #[test]
    fn a_request_is_sent_elsewhere_whole() {
        let request = http::Request::get("http://orders/hello?a=1")
            .body(())
            .unwrap();
        assert_eq!(request.host().as_deref(), Some("orders"));
        let sent = request.to("10.0.0.1:80").unwrap();
        assert_eq!(sent.uri(), "http://10.0.0.1:80/hello?a=1");
        assert_eq!(sent.headers()[header::HOST], "10.0.0.1:80");
        assert_eq!(sent.host(), None, "it names a port");
    }

    #[test]
    fn what_may_have_been_done_is_not_done_twice() {
        let retries = Retries::default();
        let status = |code| Failure::Answered(StatusCode::from_u16(code).unwrap());
        assert!(retries.again(&Method::POST, &Failure::NotReached));
        assert!(!retries.again(&Method::POST, &Failure::Lost));
        assert!(retries.again(&Method::GET, &Failure::Lost));
        assert!(retries.again(&Method::GET, &status(503)));
        assert!(!retries.again(&Method::POST, &status(503)));
        assert!(!retries.again(&Method::GET, &status(500)));
        assert!(!retries.again(&Method::GET, &status(200)));
        let all = Retries {
            all_operations: true,
            ..retries
        };
        assert!(all.again(&Method::POST, &status(503)));
    }

    #[test]
    fn errors_are_judged_by_their_sources() {
        let judge = |kind: io::ErrorKind| reached(&io::Error::from(kind));
        assert_eq!(judge(io::ErrorKind::ConnectionRefused), Some(false));
        assert_eq!(judge(io::ErrorKind::ConnectionReset), Some(true));
        assert_eq!(judge(io::ErrorKind::Other), None);
        let wrapped = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(reached(&wrapped), None, "an io::Error hides its source");
    }
}
