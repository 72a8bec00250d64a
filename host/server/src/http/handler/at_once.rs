//! Requests without a body, understood before there is a future for them: most reads are answered here and now.
//!
//! What has to wait (for a body, the core, a disk) goes the long way in `handler`.

use http::{Extensions, HeaderMap, Uri};

use super::*;

/// How far a request without a body gets at once.
pub(super) enum AtOnce {
    /// To its answer.
    Written(Written),
    /// To a plan that has to wait.
    Planned {
        served: Arc<Served>,
        plan: Plan,
        ip: String,
    },
    /// Nowhere: there is too much to do.
    Refused(Arc<Served>),
    /// Nowhere: it has a body, or the data is not open yet.
    Not,
}

impl Shared {
    /// Who serves, if this request is refused before anything of it is looked at.
    pub(super) fn refuses(&self, request: &Request<Incoming>) -> Option<Arc<Served>> {
        let served = self.opened.get()?;
        if served.admission.admits() || is_probe(request.uri().path()) {
            return None;
        }
        Some(served.clone())
    }

    /// Answers what needs no waiting.
    pub(super) fn at_once(&self, request: &Request<Incoming>) -> AtOnce {
        if !hyper::body::Body::is_end_stream(request.body()) || is_own(request.uri().path()) {
            return AtOnce::Not;
        }
        let (Some(served), Some(method)) = (self.opened.get(), method_of(request.method())) else {
            return AtOnce::Not;
        };
        let ip = ip_of(request.headers(), request.extensions());
        let understood = understand(
            served,
            method,
            (request.uri(), request.headers(), request.extensions()),
            &[],
            &ip,
        );
        let plan = match understood {
            Ok(Plan::Answer(answer)) => match written_at_once(answer, served) {
                Ok(written) => return AtOnce::Written(written),
                Err(answer) => Plan::Answer(answer),
            },
            Ok(plan) => plan,
            Err(error) => {
                let refused = plain(StatusCode::BAD_REQUEST, Answer::TEXT, error);
                return AtOnce::Written(refused);
            }
        };
        AtOnce::Planned {
            served: served.clone(),
            plan,
            ip,
        }
    }
}

/// Whether a path is one of the host's own, of which the core knows nothing.
pub(super) fn is_own(path: &str) -> bool {
    matches!(
        path,
        "/" | "/nacos"
            | "/nacos/"
            | "/metrics"
            | "/nacos/metrics"
            | "/nacos/actuator/prometheus"
            | "/actuator/prometheus"
    ) || path.starts_with(admin::CORE)
}

/// The caller's address: as proxies say it, else the socket's.
pub(super) fn ip_of(headers: &HeaderMap, extensions: &Extensions) -> String {
    caller(headers).unwrap_or_else(|| {
        extensions
            .get::<ConnectInfo>()
            .map(|c| c.peer.ip().to_canonical().to_string())
            .unwrap_or_default()
    })
}

/// Has the core plan the answer to a request whose body is read.
///
/// # Errors
/// What is wrong with a body that is not what its type says.
pub(super) fn understand(
    served: &Served,
    method: Method,
    (uri, headers, extensions): (&Uri, &HeaderMap, &Extensions),
    body: &[u8],
    ip: &str,
) -> Result<Plan, &'static str> {
    let (form, multipart) = match form_of(headers) {
        Form::Urlencoded => (body, Vec::new()),
        Form::Multipart(boundary) => match multipart::parse(body, &boundary) {
            Ok(parts) => (&[][..], parts),
            Err(error) => return Err(error),
        },
        Form::Other => (&[][..], Vec::new()),
    };
    let query = longurl::query(uri, extensions);
    // Most requests have fewer; the iterators do not say how many there are.
    let mut params: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::with_capacity(16);
    params.extend(form_urlencoded::parse(query));
    params.extend(form_urlencoded::parse(form));
    // Fields of a multipart form that are no files are parameters like any other.
    params.extend(
        multipart
            .iter()
            .filter(|p| p.file.is_none())
            .filter_map(|p| {
                let value = std::str::from_utf8(p.bytes).ok()?;
                Some((p.name.clone(), Cow::Borrowed(value)))
            }),
    );
    let facts = served.facts();
    let full_path = uri.path();
    let call = Call {
        method,
        path: full_path
            .strip_prefix(CONTEXT)
            .filter(|p| p.starts_with('/'))
            .unwrap_or(full_path),
        full_path,
        query,
        params: &params,
        header: &|name| headers.get(name).and_then(|v| v.to_str().ok()),
        body,
        parts: &multipart,
        form_too_large: false,
        ip,
        operator: served.admin.knows(headers),
        view: &*served.drive.views,
        now: served.drive.clock.now(),
        server: &facts,
    };
    Ok(served.routes.plan(&call))
}

/// An answer whose bytes are at hand.
///
/// # Errors
/// The answer, if its content must be read first.
fn written_at_once(answer: Answer, served: &Served) -> Result<Written, Answer> {
    if let Body::Content(content) = &answer.body {
        return match served.drive.contents.at_once(content) {
            Some(bytes) => Ok(written(answer, Bytes::from_owner(bytes))),
            None => Err(answer),
        };
    }
    Ok(with_bytes(answer))
}
