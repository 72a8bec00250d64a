//! Load-balanced calls by reqwest: its requests and answers for the layer, and a client that has it on.

use http::{HeaderMap, Method, StatusCode};
use tower::{Layer, Service};

use crate::{
    Balancing, LoadBalance, LoadBalanceLayer,
    layer::{BoxError, Call, Reply},
};

impl Call for reqwest::Request {
    fn method(&self) -> &Method {
        self.method()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn host(&self) -> Option<String> {
        let url = self.url();
        (url.port().is_none()).then(|| url.host_str().unwrap_or_default().to_owned())
    }

    fn to(mut self, address: &str) -> Result<Self, BoxError> {
        let (host, port) = address
            .rsplit_once(':')
            .ok_or("an address has a host and a port")?;
        let port: u16 = port.parse()?;
        let url = self.url_mut();
        url.set_host(Some(host))?;
        url.set_port(Some(port))
            .map_err(|()| "this kind of URL has no port")?;
        Ok(self)
    }

    fn copy(&self) -> Option<Self> {
        self.try_clone()
    }
}

impl Reply for reqwest::Response {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }
}

/// A reqwest client whose `http://orders/hello` reaches a chosen instance of `orders`.
#[derive(Clone, Debug)]
pub struct HttpClient {
    plain: reqwest::Client,
    balanced: LoadBalance<reqwest::Client>,
}

impl HttpClient {
    /// With the default layer.
    #[must_use]
    pub fn new(balancing: Balancing) -> Self {
        Self::with(reqwest::Client::new(), &LoadBalanceLayer::new(balancing))
    }

    /// With a client and a layer of the caller's.
    #[must_use]
    pub fn with(plain: reqwest::Client, layer: &LoadBalanceLayer) -> Self {
        Self {
            balanced: layer.layer(plain.clone()),
            plain,
        }
    }

    /// Begins a request; [`HttpClient::execute`] sends it.
    pub fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        self.plain.request(method, url)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// No instance may be called, or the last try failed.
    pub async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, BoxError> {
        self.balanced.clone().call(request).await
    }

    /// Gets what a URL names.
    ///
    /// # Errors
    /// As [`HttpClient::execute`].
    pub async fn get(&self, url: &str) -> Result<reqwest::Response, BoxError> {
        self.execute(self.plain.get(url).build()?).await
    }
}
