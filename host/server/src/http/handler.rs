//! From an HTTP request to its answer: parses what `core::api` needs, carries out its plan, writes what comes of it.
//!
//! No route, rule or text of the API stands here; what is answered here is what exists before there is a core.

mod at_once;

use std::{
    borrow::Cow,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock, RwLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use nacrite_core::{
    api::{
        Answer, Area, Body, Call, Compat, FormPart, Method, Plan, Routes, ServerFacts, Then,
        refused,
    },
    node::{
        input::Origin,
        op::Op,
        reply::{Answered, Refusal},
    },
};
use nacrite_storage::StateReader;
use tokio::sync::watch;

use self::at_once::{AtOnce, ip_of, is_own, understand};
use super::{
    accept::{ConnectInfo, HttpEdge, Parking},
    cors::{Cors, Readers},
    limits::{BodyError, ReadBody, read_body},
    longurl, multipart,
};
use crate::{
    admin::{self, Admin},
    admission::Admission,
    drive::{Drive, Parked},
    metrics::http::{ConfigRequest, HttpMetrics, LatencyClass, RouteLabel},
    plans::{Failure, carry_out},
};

/// The context path of the API; paths without it are taken too (the 3.x console has none).
const CONTEXT: &str = "/nacos";
/// How long a request waits for a server that is still opening its data.
const OPENING_WAIT: Duration = Duration::from_secs(2);

/// What serves requests once the data is open.
pub struct Served {
    /// The core.
    pub drive: Arc<Drive>,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// Rows for histories.
    pub store: StateReader,
    /// Routes of all generations.
    pub routes: Routes,
    /// The operator's way to the engine.
    pub admin: Admin,
    /// What answers say of this server; the host replaces it every few seconds.
    pub facts: RwLock<Arc<ServerFacts>>,
}

impl Served {
    /// The facts as they stand.
    #[must_use]
    pub fn facts(&self) -> Arc<ServerFacts> {
        self.facts
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// The service behind every HTTP connection.
#[derive(Clone)]
pub struct Handler {
    shared: Arc<Shared>,
}

struct Shared {
    served: watch::Receiver<Option<Arc<Served>>>,
    /// What serves, once it has served for the first time: it does not change any more.
    opened: OnceLock<Arc<Served>>,
    edge: Arc<HttpEdge>,
    metrics: Arc<HttpMetrics>,
    scrape: Scrape,
    cors: Option<Cors>,
}

/// Gives the text that Prometheus reads.
pub type Scrape = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

type Written = Response<Full<Bytes>>;

impl Handler {
    /// A handler that serves what appears in `served`.
    #[must_use]
    pub fn new(
        served: watch::Receiver<Option<Arc<Served>>>,
        edge: Arc<HttpEdge>,
        metrics: Arc<HttpMetrics>,
        scrape: Scrape,
        cors: Option<Cors>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                served,
                opened: OnceLock::new(),
                edge,
                metrics,
                scrape,
                cors,
            }),
        }
    }
}

impl tower_service::Service<Request<Incoming>> for Handler {
    type Response = Written;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let start = Instant::now();
        let label = label_of(request.uri().path(), request.method());
        let readers = self.shared.readers(&request);
        let preflight = readers
            .as_ref()
            .and_then(|readers| readers.preflight(request.method(), request.headers()));
        let at_once = match preflight {
            Some(written) => AtOnce::Written(written),
            None => match self.shared.refuses(&request) {
                Some(served) => AtOnce::Refused(served),
                None => self.shared.at_once(&request),
            },
        };
        let config = config_request(request.uri(), request.method());
        let shared = self.shared.clone();
        let metrics = shared.metrics.clone();
        let stage = match at_once {
            AtOnce::Written(written) => Stage::Written(Some(written)),
            AtOnce::Planned { served, plan, ip } => Stage::Waits(Box::pin(async move {
                let origin = origin(ip);
                shared.finish(&served, &origin, plan).await
            })),
            AtOnce::Refused(served) => Stage::Waits(Box::pin(async move {
                served.drive.shed();
                served.admission.hold().await;
                with_bytes(refused(Area::NamingV1, Compat::All, Refusal::Busy))
            })),
            AtOnce::Not => Stage::Begins(Box::pin(async move { shared.begin(request).await })),
        };
        Answering {
            start,
            label,
            config,
            metrics,
            readers,
            stage,
        }
    }
}

/// A request on its way to its answer.
pub struct Answering {
    start: Instant,
    label: usize,
    config: Option<ConfigRequest>,
    metrics: Arc<HttpMetrics>,
    /// What is said of who may read the answer, if anything is. Boxed, since most servers say nothing.
    readers: Option<Box<Readers>>,
    stage: Stage,
}

/// What only waits has a future of its own, so that a parked request keeps nothing of what it took to understand it.
enum Stage {
    Written(Option<Written>),
    Begins(Pin<Box<dyn Future<Output = Begun> + Send>>),
    Waits(Pin<Box<dyn Future<Output = Written> + Send>>),
}

/// How far a request got at once.
enum Begun {
    Written(Written),
    Waits(Pin<Box<dyn Future<Output = Written> + Send>>),
}

impl Future for Answering {
    type Output = Result<Written, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut written = loop {
            match &mut self.stage {
                Stage::Written(written) => {
                    break written
                        .take()
                        .expect("a future is not polled after its end");
                }
                Stage::Begins(begins) => match ready!(begins.as_mut().poll(cx)) {
                    Begun::Written(written) => break written,
                    Begun::Waits(waits) => self.stage = Stage::Waits(waits),
                },
                Stage::Waits(waits) => break ready!(waits.as_mut().poll(cx)),
            }
        };
        if let Some(readers) = self.readers.take() {
            readers.tell(written.headers_mut());
        }
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let status = written.status().as_u16();
        self.metrics.answered(self.label, status, micros);
        if let Some(done) = self.config {
            self.metrics.config_answered(done, status, micros);
        }
        Poll::Ready(Ok(written))
    }
}

impl Shared {
    /// What the answer says of who may read it. Metrics and the operator's paths are for no page.
    fn readers(&self, request: &Request<Incoming>) -> Option<Box<Readers>> {
        let cors = self.cors.as_ref()?;
        (!is_own(request.uri().path())).then(|| Box::new(cors.readers(request.headers())))
    }

    async fn begin(self: Arc<Self>, request: Request<Incoming>) -> Begun {
        match request.uri().path() {
            "/" | "/nacos" | "/nacos/" => Begun::Written(home()),
            path if path.starts_with(admin::CORE) => Begun::Written(self.operate(request).await),
            path if is_own(path) => Begun::Written(self.scrape().await),
            _ => self.call(request).await.unwrap_or_else(Begun::Written),
        }
    }

    /// What the operator asks of the engine.
    async fn operate(&self, request: Request<Incoming>) -> Written {
        let (parts, body) = request.into_parts();
        let told = |status, text| plain(status, Answer::TEXT, text);
        let Some(served) = self.served().await else {
            return unavailable("server is STARTING now, please try again later!");
        };
        let from = parts.extensions.get::<ConnectInfo>();
        let from = from.map_or([0, 0, 0, 0].into(), |c| c.peer.ip());
        if let Err((status, text)) = served.admin.check(from, &parts.headers) {
            return told(status, text);
        }
        let swap = match (&parts.method, parts.uri.path().strip_prefix(admin::CORE)) {
            (&http::Method::GET, Some("")) => false,
            (&http::Method::POST, Some("/swap")) => true,
            _ => return told(StatusCode::NOT_FOUND, "there is nothing here\n".to_owned()),
        };
        let limits = self.edge.limits();
        let read = read_body(
            body,
            admin::MOST_MODULE,
            limits.body_timeout,
            self.edge.memory(),
        );
        let body = match read.await {
            Ok(body) => body,
            Err(error) => return body_error(&error),
        };
        let done = tokio::task::spawn_blocking(move || match swap {
            true => {
                let query = parts.uri.query().unwrap_or_default();
                served.admin.swap(&served.drive, query, &body.bytes)
            }
            false => (StatusCode::OK, admin::status(&served.drive)),
        });
        match done.await {
            Ok((status, text)) => told(status, text),
            Err(error) => told(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    async fn scrape(&self) -> Written {
        let text = (self.scrape)().await;
        plain(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            text,
        )
    }

    /// What serves, unless the data is not open in time.
    async fn served(&self) -> Option<Arc<Served>> {
        if let Some(served) = self.opened.get() {
            return Some(served.clone());
        }
        let mut served = self.served.clone();
        let open = served.wait_for(Option::is_some);
        let served = tokio::time::timeout(OPENING_WAIT, open)
            .await
            .ok()?
            .ok()?
            .clone()?;
        if !served.drive.wait_ready(OPENING_WAIT).await {
            return None;
        }
        Some(self.opened.get_or_init(|| served).clone())
    }

    /// Carries a request as far as it gets without waiting for a change; the error is an answer too, given before
    /// there was a plan.
    async fn call(self: &Arc<Self>, request: Request<Incoming>) -> Result<Begun, Written> {
        let (parts, body) = request.into_parts();
        if is_liveness(parts.uri.path()) && self.served.borrow().is_none() {
            return Err(plain(StatusCode::OK, Answer::TEXT, "OK"));
        }
        let Some(served) = self.served().await else {
            return Err(unavailable(
                "server is STARTING now, please try again later!",
            ));
        };
        let Some(method) = method_of(&parts.method) else {
            return Err(plain(
                StatusCode::METHOD_NOT_ALLOWED,
                Answer::TEXT,
                "this method is not known\n",
            ));
        };
        let limits = self.edge.limits();
        let read = read_body(
            body,
            limits.max_body,
            limits.body_timeout,
            self.edge.memory(),
        )
        .await;
        let body = match read {
            Ok(body) => body,
            Err(error) => return Err(body_error(&error)),
        };
        let ip = ip_of(&parts.headers, &parts.extensions);
        let plan = understand(
            &served,
            method,
            (&parts.uri, &parts.headers, &parts.extensions),
            &body.bytes,
            &ip,
        )
        .map_err(|error| plain(StatusCode::BAD_REQUEST, Answer::TEXT, error))?;
        let origin = origin(ip);
        let plan = match plan {
            Plan::Submit {
                op: op @ Op::Poll { wait_ms: 1.., .. },
                content: None,
                then,
            } => {
                if let Some(parking) = parts.extensions.get::<Parking>() {
                    parking.park(&body);
                }
                // What the core keeps must not come to lie behind what is given back at once.
                drop(body);
                let parked = served.drive.park(origin.clone(), op);
                let waits = self.clone().wait(served, origin, parked, then);
                return Ok(Begun::Waits(Box::pin(waits)));
            }
            plan => plan,
        };
        // What the plan keeps of the body it has copied; the rest need not wait for the answer.
        let keep: Option<ReadBody> = matches!(plan, Plan::Answer(_)).then_some(body);
        let written = self.finish(&served, &origin, plan).await;
        drop(keep);
        Ok(Begun::Written(written))
    }

    /// Waits for a change, holding as little as possible.
    async fn wait(
        self: Arc<Self>,
        served: Arc<Served>,
        origin: Origin,
        parked: Result<Parked, Refusal>,
        then: Then<Answered, Answer>,
    ) -> Written {
        let answered = match parked {
            Ok(parked) => parked.answered().await,
            Err(refusal) => Err(refusal),
        };
        let plan = then(answered, &*served.drive.views);
        Box::pin(self.finish(&served, &origin, plan)).await
    }

    async fn finish(&self, served: &Served, origin: &Origin, plan: Plan) -> Written {
        match carry_out(&served.drive, &served.store, origin, plan).await {
            Ok(answer) => self.write(answer, served).await,
            Err(Failure::Behind) => unavailable("server is busy, please try again later!"),
            Err(Failure::Broken(reason)) => {
                tracing::error!("a request could not be answered: {reason}");
                plain(StatusCode::INTERNAL_SERVER_ERROR, Answer::TEXT, reason)
            }
        }
    }

    async fn write(&self, answer: Answer, served: &Served) -> Written {
        match &answer.body {
            Body::Bytes(_) => with_bytes(answer),
            Body::Content(content) => match served.drive.contents.get(content.index).await {
                Ok(Some(bytes)) => written(answer, Bytes::from_owner(bytes)),
                // It was replaced and cut away between look-up and read.
                Ok(None) => unavailable("the config changed, please try again"),
                Err(reason) => {
                    tracing::error!("a content could not be read: {reason}");
                    plain(StatusCode::INTERNAL_SERVER_ERROR, Answer::TEXT, reason)
                }
            },
        }
    }
}

/// An answer with the bytes that it has itself.
fn with_bytes(mut answer: Answer) -> Written {
    let bytes = match std::mem::replace(&mut answer.body, Body::Bytes(Vec::new())) {
        Body::Bytes(bytes) => bytes,
        Body::Content(_) => Vec::new(),
    };
    written(answer, Bytes::from(bytes))
}

/// An answer's status and headers, with this body.
fn written(answer: Answer, body: Bytes) -> Written {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Some(kind) = answer.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in answer.headers {
        // A value that HTTP cannot carry is left out; the reference's values are encoded.
        if let (Ok(name), Ok(value)) = (
            name.parse::<http::HeaderName>(),
            HeaderValue::try_from(value),
        ) {
            headers.insert(name, value);
        }
    }
    response
}

/// Who asks, from this address.
fn origin(ip: String) -> Origin {
    Origin {
        conn: None,
        ip: ip.into(),
        user: Arc::default(),
    }
}

enum Form {
    Urlencoded,
    Multipart(String),
    Other,
}

fn form_of(headers: &HeaderMap) -> Form {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let main = kind.split(';').next().unwrap_or_default().trim();
    if main.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Form::Urlencoded
    } else if main.eq_ignore_ascii_case("multipart/form-data") {
        multipart::boundary(kind).map_or(Form::Other, Form::Multipart)
    } else {
        Form::Other
    }
}

fn method_of(method: &http::Method) -> Option<Method> {
    Some(match *method {
        http::Method::GET => Method::Get,
        http::Method::POST => Method::Post,
        http::Method::PUT => Method::Put,
        http::Method::DELETE => Method::Delete,
        http::Method::PATCH => Method::Patch,
        http::Method::HEAD => Method::Head,
        http::Method::OPTIONS => Method::Options,
        _ => return None,
    })
}

/// Address of the caller as proxies say it (Nacos `WebUtils.getRemoteIp`).
fn caller(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::trim)
            .filter(|v| !v.is_empty())
    };
    let first = text("x-forwarded-for")
        .and_then(|v| v.split(',').next())
        .map(str::trim);
    first
        .filter(|v| !v.is_empty())
        .or_else(|| text("x-real-ip"))
        .map(str::to_owned)
}

/// Generations and classes that requests are counted by.
const GENERATIONS: [(&str, &str); 4] =
    [("/v1/", "v1"), ("/v2/", "v2"), ("/v3/", "v3"), ("", "own")];
const CLASSES: [LatencyClass; 3] = [LatencyClass::Read, LatencyClass::Write, LatencyClass::Poll];

/// What requests are counted by, for the metrics.
#[must_use]
pub fn labels() -> Vec<RouteLabel> {
    let label = |generation, class| RouteLabel {
        route: match class {
            LatencyClass::Poll => "poll",
            LatencyClass::Write => "write",
            _ => "read",
        },
        generation,
        class,
    };
    GENERATIONS
        .iter()
        .flat_map(|(_, name)| CLASSES.map(|class| label(*name, class)))
        .collect()
}

/// Place in [`labels`] of a request.
fn label_of(path: &str, method: &http::Method) -> usize {
    let path = path.strip_prefix(CONTEXT).unwrap_or(path);
    let generation = GENERATIONS
        .iter()
        .position(|(prefix, _)| path.starts_with(*prefix))
        .unwrap_or_default();
    let class = match *method {
        http::Method::GET | http::Method::HEAD => 0,
        _ if path == "/v1/cs/configs/listener" => 2,
        _ => 1,
    };
    generation * CLASSES.len() + class
}

/// What a request asks of configs, whatever its generation.
fn config_request(uri: &http::Uri, method: &http::Method) -> Option<ConfigRequest> {
    let path = uri.path();
    let path = path.strip_prefix(CONTEXT).unwrap_or(path);
    if !matches!(
        path,
        "/v1/cs/configs" | "/v2/cs/config" | "/v3/client/cs/config" | "/v3/admin/cs/config"
    ) {
        return None;
    }
    let searches = |query: &str| query.contains("search=blur");
    Some(match *method {
        http::Method::GET if uri.query().is_some_and(searches) => ConfigRequest::Search,
        http::Method::GET | http::Method::HEAD => ConfigRequest::Read,
        _ => ConfigRequest::Write,
    })
}

/// Whether a path is asked by who watches over the server: it is answered at any time.
fn is_probe(path: &str) -> bool {
    is_own(path) || is_liveness(path) || path.ends_with("/readiness")
}

fn is_liveness(path: &str) -> bool {
    path.ends_with("/health/liveness") || path.ends_with("/state/liveness")
}

fn home() -> Written {
    plain(
        StatusCode::OK,
        Answer::TEXT,
        "Nacrite: config and service discovery.\nThe API is under /nacos, metrics are under /metrics. The console is not here yet.\n",
    )
}

fn body_error(error: &BodyError) -> Written {
    let mut response = plain(error.status(), Answer::TEXT, error.to_string());
    // The rest of the body is not read.
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn unavailable(text: &'static str) -> Written {
    plain(StatusCode::SERVICE_UNAVAILABLE, Answer::TEXT, text)
}

fn plain(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Written {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The parts of a multipart body that a call sees.
pub type Parts<'a> = Vec<FormPart<'a>>;
