//! Which pages of other origins browsers let read the API's answers: the Fetch standard's CORS protocol, by the setting
//! `http.cors_origins`. Without one nothing of this is said, and a browser keeps answers from such pages.
//!
//! Nobody is kept from anything by it who is no browser, and credentials of the browser's own are never asked for.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;

use crate::settings::Origins;

/// What a page may do; browsers ask for each method, so those that the API knows are all named.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH");
/// Seconds for which a browser need not ask again; longer than this Chromium does not remember.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Who is let in.
#[derive(Clone, Debug)]
pub struct Cors(Origins);

/// What an answer says of who may read it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Readers {
    /// The page's origin, or `*`; none if it may not.
    origin: Option<HeaderValue>,
    /// Whether another page would be told something else.
    varies: bool,
}

impl Cors {
    /// By the setting; none if nobody is let in.
    #[must_use]
    pub fn new(origins: &Origins) -> Option<Self> {
        (!origins.is_empty()).then(|| Self(origins.clone()))
    }

    /// What the answer to a request with these headers must say.
    pub(super) fn readers(&self, headers: &HeaderMap) -> Readers {
        if self.0.is_any() {
            return Readers {
                origin: Some(HeaderValue::from_static("*")),
                varies: false,
            };
        }
        let origin = headers.get(header::ORIGIN);
        let known = |origin: &&HeaderValue| origin.to_str().is_ok_and(|text| self.0.has(text));
        Readers {
            origin: origin.filter(known).cloned(),
            varies: true,
        }
    }
}

impl Readers {
    /// The answer to a browser that asks whether a page may make a request; none if it asks for something else, or the
    /// page may not: then what was asked is answered like any other request.
    pub(super) fn preflight(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Response<Full<Bytes>>> {
        let asks = method == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.origin.is_none() {
            return None;
        }
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let said = response.headers_mut();
        said.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        said.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        // `*` would leave `Authorization` out.
        if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            said.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            vary(said, header::ACCESS_CONTROL_REQUEST_HEADERS);
        }
        Some(response)
    }

    /// Says it.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        if self.varies {
            vary(headers, header::ORIGIN);
        }
        if let Some(origin) = self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            // Configs have their MD5 and type in headers.
            let all = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, all);
        }
    }
}

fn vary(headers: &mut HeaderMap, by: HeaderName) {
    headers.append(header::VARY, by.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &str) -> Cors {
        Cors::new(&origins.parse().expect("origins")).expect("some")
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    fn said(readers: Readers) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        readers.tell(&mut headers);
        listed(&headers)
    }

    fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
        let pair = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().expect("text").to_owned())
        };
        headers.iter().map(pair).collect()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        of.iter().map(owned).collect()
    }

    #[test]
    fn pages_of_listed_origins_are_let_in_and_nobody_else() {
        assert!(Cors::new(&Origins::default()).is_none());
        let some = cors("https://a.example,http://localhost:3000");
        let of = |origin| some.readers(&headers(&[(header::ORIGIN, origin)]));
        let told = said(of("http://localhost:3000"));
        assert_eq!(
            told,
            pairs(&[
                ("vary", "origin"),
                ("access-control-allow-origin", "http://localhost:3000"),
                ("access-control-expose-headers", "*"),
            ])
        );
        let nothing = pairs(&[("vary", "origin")]);
        for stranger in ["https://b.example", "http://a.example", "null", "*", ""] {
            assert_eq!(said(of(stranger)), nothing, "{stranger}");
        }
        assert_eq!(said(some.readers(&HeaderMap::new())), nothing);
    }

    #[test]
    fn any_page_is_told_the_same() {
        let told = said(cors("*").readers(&HeaderMap::new()));
        assert_eq!(
            told,
            pairs(&[
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "*"),
            ])
        );
    }

    #[test]
    fn a_browser_that_asks_first_is_answered() {
        let asks = headers(&[
            (header::ORIGIN, "https://a.example"),
            (header::ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
            (
                header::ACCESS_CONTROL_REQUEST_HEADERS,
                "content-type,authorization",
            ),
        ]);
        let readers = cors("https://a.example").readers(&asks);
        let answer = readers.preflight(&Method::OPTIONS, &asks).expect("one");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(
            listed(answer.headers()),
            pairs(&[
                (
                    "access-control-allow-methods",
                    "GET, HEAD, POST, PUT, DELETE, PATCH"
                ),
                ("access-control-max-age", "7200"),
                ("access-control-allow-headers", "content-type,authorization"),
                ("vary", "access-control-request-headers"),
            ])
        );
        assert!(readers.preflight(&Method::GET, &asks).is_none());
        let only_options = headers(&[(header::ORIGIN, "https://a.example")]);
        let none = readers.preflight(&Method::OPTIONS, &only_options);
        assert!(none.is_none());
        let stranger = cors("https://b.example").readers(&asks);
        assert!(stranger.preflight(&Method::OPTIONS, &asks).is_none());
    }
}
