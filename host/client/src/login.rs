//! Who this client is to servers that ask: a token for a name and a password, made new before it expires.
//!
//! What it does when is the Java client's: at the start, then looked at every 5 s, renewed at a drawn moment in the last
//! fifteenth to tenth of its life; after an answer of 403 at once, but not more often than once a minute. Without a name
//! nothing is asked.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::Method;
use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    Error, ServerAddress, Settings,
    http::{Http, HttpAnswer},
    random,
    servers::ServerList,
    tasks::Task,
};

/// Where tokens are had: of 3.x, then of the lines before.
const PATHS: [&str; 2] = ["/nacos/v3/auth/user/login", "/nacos/v1/auth/users/login"];
/// Name of the header, or of the field of gRPC's metadata, that carries the token.
pub(crate) const TOKEN: &str = "accessToken";
/// Longest token that is taken, bytes.
const MOST_TOKEN: usize = 16 << 10;

/// Name and password of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The token, for whoever sends requests.
#[derive(Debug, Default)]
pub(crate) struct Login {
    state: Mutex<State>,
    rush: Notify,
}

#[derive(Default)]
struct State {
    token: Option<Arc<str>>,
    /// When it is to be made new.
    renew: Option<Instant>,
    /// When a server was last asked for one.
    asked: Option<Instant>,
    /// A server has refused a request.
    refused: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

impl Login {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token in force.
    pub(crate) fn token(&self) -> Option<Arc<str>> {
        self.state().token.clone()
    }

    /// A server has answered with this code: 403 means that the token is no good any more.
    pub(crate) fn answered(&self, code: i64) {
        if code == 403 {
            self.state().refused = true;
            self.rush.notify_one();
        }
    }

    /// Logs in, and keeps the token good until the task is dropped; none without credentials. That no server gives one is no
    /// error: it is asked for again.
    pub(crate) async fn start(
        settings: &Arc<Settings>,
        servers: &Arc<ServerList>,
        http: &Http,
    ) -> Option<Task> {
        let credentials = settings.credentials.clone()?;
        let (settings, servers, http) = (settings.clone(), servers.clone(), http.clone());
        servers
            .login()
            .renew(&credentials, &settings, &servers, &http)
            .await;
        Some(Task::spawn(async move {
            let login = servers.login().clone();
            loop {
                let look = tokio::time::timeout(settings.login_check, login.rush.notified());
                let _either = look.await;
                if login.is_due(settings.login_pause) {
                    login.renew(&credentials, &settings, &servers, &http).await;
                }
            }
        }))
    }

    fn is_due(&self, pause: Duration) -> bool {
        let (state, now) = (self.state(), Instant::now());
        let rested = state.asked.is_none_or(|at| now.duration_since(at) >= pause);
        let expires = state.renew.is_none_or(|at| now >= at);
        expires || state.refused && rested
    }

    /// Asks the servers in their order.
    async fn renew(
        &self,
        credentials: &Credentials,
        settings: &Settings,
        servers: &ServerList,
        http: &Http,
    ) {
        let mut last = Error::NotConnected(settings.request_timeout);
        for server in &*servers.all() {
            let asked = ask(credentials, server, http, settings.request_timeout).await;
            match asked.and_then(HttpAnswer::ok).map(|text| read(&text)) {
                Ok(Some((token, life))) => {
                    let mut state = self.state();
                    let now = Instant::now();
                    *state = State {
                        token: Some(token),
                        renew: Some(now + renewal(life)),
                        asked: Some(now),
                        refused: false,
                    };
                    return;
                }
                Ok(None) => last = Error::Transport(format!("{server}: no token in its answer")),
                Err(error) => last = error,
            }
        }
        tracing::warn!("{} cannot log in: {last}", credentials.username);
        let mut state = self.state();
        state.asked = Some(Instant::now());
    }
}

async fn ask(
    credentials: &Credentials,
    server: &ServerAddress,
    http: &Http,
    within: Duration,
) -> Result<HttpAnswer, Error> {
    let pairs = [
        ("username", &*credentials.username),
        ("password", &*credentials.password),
    ];
    let [newer, older] = PATHS;
    let send = |path| http.send(server, &Method::POST, path, &pairs, &[], within);
    let answer = send(newer).await?;
    // Servers before 3.x know the older path only.
    if matches!(answer.status, 404 | 405 | 501) {
        return send(older).await;
    }
    Ok(answer)
}

/// Token and life, as a server says them.
fn read(text: &str) -> Option<(Arc<str>, Duration)> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let token = answer.get("accessToken")?.as_str()?;
    let fits = !token.is_empty()
        && token.len() <= MOST_TOKEN
        && token.bytes().all(|b| b.is_ascii_graphic());
    let life = answer.get("tokenTtl").and_then(Value::as_u64);
    // A year is as good as for ever, and does not overflow a clock.
    let life = Duration::from_secs(life.unwrap_or_default().min(365 * 24 * 3_600));
    fits.then(|| (token.into(), life))
}

/// After how much of its life a token is made new.
fn renewal(life: Duration) -> Duration {
    let (least, most) = (life / 15, life / 10);
    let drawn = random::below(1_001) as u32;
    life.saturating_sub(least + (most - least) * drawn / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_new_in_the_last_tenth_of_its_life() {
        let life = Duration::from_secs(18_000);
        for _ in 0..1_000 {
            let after = renewal(life).as_secs();
            assert!((16_200..=16_800).contains(&after), "{after}");
        }
        assert_eq!(renewal(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn only_what_can_be_sent_is_a_token() {
        let answer = r#"{"accessToken":"abc","tokenTtl":18000,"globalAdmin":true}"#;
        assert_eq!(
            read(answer),
            Some(("abc".into(), Duration::from_secs(18_000)))
        );
        for bad in [
            "",
            "{}",
            r#"{"accessToken":""}"#,
            r#"{"accessToken":"a\nb"}"#,
            "unknown user!",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_password_is_in_no_log() {
        let credentials = Credentials {
            username: "u".into(),
            password: "secret".into(),
        };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
