//! Servers of the 1.x line: every request is one of HTTP, sent to the server that answered last, and to the next when that
//! one does not.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Method;

use crate::{
    Error, ServerAddress, Settings,
    http::{Http, HttpAnswer},
    login::TOKEN,
    servers::ServerList,
};

/// Tries at a server that is the only one.
const TRIES_OF_ONE: usize = 3;

/// Requests with their failover.
#[derive(Debug)]
pub(crate) struct V1 {
    http: Http,
    servers: Arc<ServerList>,
    settings: Arc<Settings>,
    /// Whose turn it is; none before the first request and after a failure.
    at: Mutex<Option<ServerAddress>>,
    /// Whether the last request was answered.
    answered: std::sync::atomic::AtomicBool,
}

impl V1 {
    pub(crate) fn new(settings: Arc<Settings>, servers: Arc<ServerList>) -> Self {
        Self {
            http: Http::new(),
            servers,
            settings,
            at: Mutex::default(),
            answered: std::sync::atomic::AtomicBool::new(false),
        }
    }

    fn at(&self) -> std::sync::MutexGuard<'_, Option<ServerAddress>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server that answered last.
    pub(crate) fn server(&self) -> Option<ServerAddress> {
        let answered = self.answered.load(std::sync::atomic::Ordering::Relaxed);
        self.at().clone().filter(|_| answered)
    }

    /// Asks within the usual time.
    ///
    /// # Errors
    /// As [`V1::ask_within`].
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<HttpAnswer, Error> {
        self.ask_within(method, path, pairs, &[], self.settings.request_timeout)
            .await
    }

    /// Asks one server after the other until one answers with something else than that it fails.
    ///
    /// # Errors
    /// That of the last server.
    pub(crate) async fn ask_within(
        &self,
        method: Method,
        path: &str,
        pairs: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        within: Duration,
    ) -> Result<HttpAnswer, Error> {
        let count = self.servers.all().len();
        let tries = if count > 1 { count } else { TRIES_OF_ONE };
        let mut last = Error::NotConnected(within);
        for _ in 0..tries {
            let listed = self.servers.all();
            let known = self.at().clone().filter(|at| listed.contains(at));
            let server = known.unwrap_or_else(|| self.servers.next());
            let token = self.servers.login().token();
            let token = token.iter().map(|token| (TOKEN, &**token));
            let all: Vec<_> = headers.iter().copied().chain(token).collect();
            let asked = self
                .http
                .send(&server, &method, path, pairs, &all, within)
                .await;
            if let Ok(answer) = &asked {
                self.servers.login().answered(i64::from(answer.status));
            }
            let fails = |status: u16| matches!(status, 500 | 502 | 503);
            let good = matches!(&asked, Ok(answer) if !fails(answer.status));
            self.answered
                .store(good, std::sync::atomic::Ordering::Relaxed);
            *self.at() = good.then_some(server);
            match asked {
                Ok(answer) if good => return Ok(answer),
                Ok(answer) => last = answer.ok().err().unwrap_or(last),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
