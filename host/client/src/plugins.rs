//! Plugins that policies name: fetched by the digest of their bytes, kept in the cache folder, and run in front of a
//! service's balancer.
//!
//! Bytes are used only if their digest is the one that is meant, wherever they come from. While a plugin is missing or
//! suspended, the rule that its policy falls back to answers.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::Method;
use nacrite_core::{
    api::own::PluginVersionJson,
    balance::{Balancer, Context, NoPick, Outcome, Pick, Xoshiro256},
    model::Sha256,
};
use nacrite_plugin::{Engine, Limits, Plugin, PluginRule};
use serde::Deserialize;

use crate::{
    balance::{PluginStatus, Wanted},
    files,
    http::Http,
    login::TOKEN,
    servers::ServerList,
};

/// For the bytes of one module.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Compiled modules that are kept for other services.
const MOST_COMPILED: usize = 16;
/// Modules that are kept in the cache folder.
const MOST_FILES: usize = 32;
/// Where servers keep plugins.
const PATH: &str = "/nacrite/v1/plugins";

/// Where plugins come from.
#[derive(Debug)]
pub(crate) struct Plugins {
    http: Http,
    servers: Arc<ServerList>,
    folder: Option<PathBuf>,
    engine: OnceLock<Engine>,
    /// The last ones used come last.
    compiled: Mutex<Vec<(Sha256, Plugin)>>,
}

/// A plugin in front of one service's balancer.
#[derive(Debug)]
pub(crate) struct Front {
    rule: PluginRule,
    name: String,
    digest: Sha256,
}

/// The wrapper of our own API.
#[derive(Deserialize)]
struct Wrapped {
    data: PluginVersionJson,
}

impl Plugins {
    pub(crate) fn new(http: Http, servers: Arc<ServerList>, cache: Option<&Path>) -> Self {
        Self {
            http,
            servers,
            folder: cache.map(|cache| cache.join("plugins")),
            engine: OnceLock::new(),
            compiled: Mutex::default(),
        }
    }

    /// Gets a plugin and tries its configuration.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub(crate) async fn load(self: &Arc<Self>, wanted: &Wanted) -> Result<Front, String> {
        let digest = match &wanted.digest {
            Some(text) => Sha256::parse(text)
                .ok_or_else(|| format!("the policy's digest {text} is no SHA-256"))?,
            None => self.newest(&wanted.name).await?,
        };
        let plugin = match self.known(digest) {
            Some(plugin) => plugin,
            None => {
                let bytes = self.bytes(&wanted.name, digest).await?;
                let (this, name) = (self.clone(), wanted.name.clone());
                // Compiling takes a core for up to seconds.
                let compiled = tokio::task::spawn_blocking(move || {
                    Plugin::new(this.engine(), &name, &bytes).map_err(|why| why.to_string())
                });
                let plugin = compiled.await.map_err(|e| e.to_string())??;
                self.keep(digest, plugin.clone());
                plugin
            }
        };
        let config = wanted.config.clone();
        let made = tokio::task::spawn_blocking(move || PluginRule::new(&plugin, &config));
        let made = made.await.map_err(|e| e.to_string())?;
        Ok(Front {
            rule: made.map_err(|why| why.to_string())?,
            name: wanted.name.clone(),
            digest,
        })
    }

    fn engine(&self) -> &Engine {
        // The server has decided how large a module may be.
        self.engine.get_or_init(|| {
            Engine::new(&Limits {
                module: Limits::MOST_MODULE,
                ..Limits::default()
            })
        })
    }

    fn compiled(&self) -> std::sync::MutexGuard<'_, Vec<(Sha256, Plugin)>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, digest: Sha256) -> Option<Plugin> {
        let mut compiled = self.compiled();
        let at = compiled.iter().position(|(of, _)| *of == digest)?;
        let used = compiled.remove(at);
        let plugin = used.1.clone();
        compiled.push(used);
        Some(plugin)
    }

    fn keep(&self, digest: Sha256, plugin: Plugin) {
        let mut compiled = self.compiled();
        if compiled.len() >= MOST_COMPILED {
            compiled.remove(0);
        }
        compiled.push((digest, plugin));
    }

    /// The digest of a plugin's newest version.
    async fn newest(&self, name: &str) -> Result<Sha256, String> {
        let body = self.ask(PATH, &[("name", name)]).await?;
        let version: Wrapped = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let digest = version.data.digest.as_deref().and_then(Sha256::parse);
        digest.ok_or_else(|| format!("no plugin {name} is published"))
    }

    /// The bytes of this digest: from the cache folder, else from a server.
    async fn bytes(&self, name: &str, digest: Sha256) -> Result<Bytes, String> {
        let file = self
            .folder
            .as_ref()
            .map(|folder| folder.join(format!("{digest}.wasm")));
        if let Some(file) = file.clone() {
            let read = tokio::task::spawn_blocking(move || cached(&file, digest)).await;
            if let Ok(Some(bytes)) = read {
                return Ok(bytes);
            }
        }
        let hex = digest.hex();
        let path = format!("{PATH}/module");
        let bytes = self.ask(&path, &[("name", name), ("digest", &hex)]).await?;
        let found = Sha256::of(&bytes);
        if found != digest {
            return Err(format!("the bytes have the digest {found}, not {digest}"));
        }
        if let Some(file) = file {
            let bytes = bytes.clone();
            let written = tokio::task::spawn_blocking(move || store(&file, &bytes));
            let _a_panic_loses_a_copy = written.await;
        }
        Ok(bytes)
    }

    /// Asks the servers in turn; the first answer that is one.
    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Bytes, String> {
        let mut why = "there is no server".to_owned();
        for _ in 0..self.servers.all().len() {
            let server = self.servers.next();
            let login = self.servers.login();
            let token = login.token();
            let headers: Vec<_> = token.iter().map(|token| (TOKEN, &**token)).collect();
            let asked = self
                .http
                .send(&server, &Method::GET, path, query, &headers, FETCH_TIMEOUT)
                .await;
            if let Ok(answer) = &asked {
                login.answered(i64::from(answer.status));
            }
            match asked {
                Ok(answer) if answer.status == 200 => return Ok(answer.body),
                Ok(answer) => {
                    let text = String::from_utf8_lossy(&answer.body);
                    let text: String = text.chars().take(500).collect();
                    why = format!("{server} answers {}: {text}", answer.status);
                }
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }
}

/// A file's bytes, if they are what its name says.
fn cached(file: &Path, digest: Sha256) -> Option<Bytes> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!("{} cannot be read: {error}", file.display());
            return None;
        }
    };
    if Sha256::of(&bytes) != digest {
        tracing::warn!("{} is damaged; it is fetched again", file.display());
        return None;
    }
    Some(bytes.into())
}

/// Writes a module, and forgets the oldest of too many.
fn store(file: &Path, bytes: &[u8]) {
    files::write(file, bytes);
    let entries = file.parent().map(fs::read_dir);
    let entries = entries.into_iter().flatten().flatten().flatten();
    let mut modules: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| entry.path().extension().is_some_and(|of| of == "wasm"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    modules.sort();
    for (_, oldest) in modules.iter().rev().skip(MOST_FILES) {
        if let Err(error) = fs::remove_file(oldest) {
            tracing::warn!("{} cannot be removed: {error}", oldest.display());
        }
    }
}

impl Front {
    pub(crate) fn choose(
        &self,
        balancer: &Balancer,
        now_ms: u64,
        context: &Context<'_>,
    ) -> Result<Pick, NoPick> {
        let rand = crate::random::with(Xoshiro256::next_u64);
        self.rule.choose(balancer, now_ms, rand, context)
    }

    pub(crate) fn start(&self, pick: Pick, now_ms: u64) {
        self.rule.start(pick, now_ms);
    }

    pub(crate) fn report(&self, pick: Pick, outcome: Outcome, latency: Duration, now_ms: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.rule.report(pick, outcome, micros, now_ms);
    }

    pub(crate) fn status(&self) -> PluginStatus {
        let status = self.rule.status();
        PluginStatus {
            name: self.name.clone(),
            digest: self.digest.hex(),
            suspended: status.suspended,
            failures: status.failures,
            last: status.last.map(|failure| failure.to_string()),
        }
    }

    pub(crate) fn resume(&self) {
        self.rule.resume();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::Settings;

    /// A server that answers every request with these bytes; it ends with the test program.
    fn server(bytes: &'static [u8]) -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _head = stream.read(&mut [0; 4096]);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    bytes.len()
                );
                let _gone = stream.write_all(&[head.as_bytes(), bytes].concat());
            }
        });
        port
    }

    async fn plugins(port: u16, cache: &Path) -> Arc<Plugins> {
        let (settings, http) = (Settings::new(format!("127.0.0.1:{port}")), Http::new());
        let servers = ServerList::start(&settings, &http).await.unwrap();
        Arc::new(Plugins::new(http, servers, Some(cache)))
    }

    fn wanted(digest: &str) -> Wanted {
        Wanted {
            name: "p".into(),
            digest: Some(digest.into()),
            config: "{}".into(),
        }
    }

    #[tokio::test]
    async fn other_bytes_than_the_digest_says_are_not_run() {
        let cache = tempfile::tempdir().unwrap();
        let plugins = plugins(server(b"other bytes"), cache.path()).await;
        let digest = Sha256::of(b"these bytes").hex();
        let why = plugins.load(&wanted(&digest)).await.unwrap_err();
        let found = Sha256::of(b"other bytes");
        assert_eq!(
            why,
            format!("the bytes have the digest {found}, not {digest}")
        );
        assert!(!cache.path().join("plugins").exists(), "and not kept");
        let why = plugins.load(&wanted("12")).await.unwrap_err();
        assert_eq!(why, "the policy's digest 12 is no SHA-256");
        // The right bytes of what is no module are not run either.
        let digest = found.hex();
        let why = plugins.load(&wanted(&digest)).await.unwrap_err();
        assert!(why.starts_with("not a WebAssembly module"), "{why}");
    }

    #[test]
    fn copies_are_bounded() {
        let cache = tempfile::tempdir().unwrap();
        for n in 0..MOST_FILES + 5 {
            store(&cache.path().join(format!("{n}.wasm")), b"x");
        }
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), MOST_FILES);
    }
}
