//! HTTP requests to servers: plain ones with a time-out, answered by status and text.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{Error, ServerAddress};

/// How this client names itself. Servers push over UDP only to agents they know.
pub(crate) const AGENT: &str = "Nacos-Java-Client:v2.3.0";
/// Largest answer.
const MAX_ANSWER: usize = 16 << 20;

/// A connection pool.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client<HttpConnector, Full<Bytes>>);

/// Status and body of an answer.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl HttpAnswer {
    /// The body, if the status is 200.
    pub(crate) fn ok(self) -> Result<String, Error> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        if self.status == 200 {
            Ok(text)
        } else {
            Err(Error::Refused {
                code: i64::from(self.status),
                message: text,
            })
        }
    }
}

impl Http {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(3)));
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    pub(crate) async fn get(
        &self,
        server: &ServerAddress,
        path: &str,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<HttpAnswer, Error> {
        self.send(server, &Method::GET, path, query, &[], timeout)
            .await
    }

    /// Sends pairs: in the body of a POST or PUT, else in the query.
    pub(crate) async fn send(
        &self,
        server: &ServerAddress,
        method: &Method,
        path: &str,
        pairs: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        timeout: Duration,
    ) -> Result<HttpAnswer, Error> {
        let encoded = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        let in_body = matches!(*method, Method::POST | Method::PUT);
        let (target, body) = match (in_body, encoded.is_empty()) {
            (true, _) => (path.to_owned(), encoded),
            (false, true) => (path.to_owned(), String::new()),
            (false, false) => (format!("{path}?{encoded}"), String::new()),
        };
        let transport = |e: &dyn std::fmt::Display| Error::Transport(format!("{server}: {e}"));
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("http://{server}{target}"))
            .header(header::USER_AGENT, AGENT)
            .header("Client-Version", AGENT);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body)).map_err(|e| transport(&e))?;
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|e| transport(&e))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            Ok(HttpAnswer {
                status: parts.status.as_u16(),
                body: body.map_err(|e| transport(&e))?.to_bytes(),
            })
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .map_err(|_| Error::Timeout(timeout))?
    }
}
