//! The servers there are: fixed, or asked of an address server again and again. An answer that is empty or does not
//! come keeps the list as it was.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{Error, Servers, Settings, http::Http, login::Login, random, tasks::Task};

/// Port of a server that is named without one.
const DEFAULT_PORT: u16 = 8_848;
/// Port of an address server that is named without one.
const ENDPOINT_PORT: u16 = 8_080;
/// Questions to the address server at start.
const TRIES: u32 = 5;

/// Host and HTTP port of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// Name or address.
    pub host: String,
    /// Port of its HTTP API.
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl ServerAddress {
    /// Reads `[http://]host[:port]`; none if it names no host or the port is none.
    #[must_use]
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        let text = text.trim();
        let text = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .unwrap_or(text);
        let text = text.split('/').next().unwrap_or_default();
        let (host, port) = match text.rsplit_once(':') {
            // A bare IPv6 address has more than one colon and no bracket.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().ok()?)
            }
            _ => (text, default_port),
        };
        (!host.is_empty()).then(|| Self {
            host: host.into(),
            port,
        })
    }

    /// Reads a list that is separated by commas, semicolons or ends of lines.
    #[must_use]
    pub fn parse_list(text: &str) -> Vec<Self> {
        text.split([',', ';', '\n'])
            .filter_map(|part| Self::parse(part, DEFAULT_PORT))
            .collect()
    }
}

/// The list as it is now, and whose turn it is.
#[derive(Debug)]
pub(crate) struct ServerList {
    list: watch::Sender<Arc<[ServerAddress]>>,
    turn: AtomicUsize,
    /// What the files of this client are called by.
    name: String,
    login: Arc<Login>,
    refresh: std::sync::OnceLock<Task>,
}

impl ServerList {
    /// The fixed list; or what the address server says, tried five times with growing waits.
    pub(crate) async fn start(settings: &Settings, http: &Http) -> Result<Arc<Self>, Error> {
        let (first, name) = match &settings.servers {
            Servers::Fixed(list) => {
                let list = ServerAddress::parse_list(list);
                let names: Vec<String> = list
                    .iter()
                    .map(|s| format!("{}_{}", s.host, s.port))
                    .collect();
                (list, format!("fixed-{}", names.join("-")))
            }
            Servers::Endpoint { address, path } => {
                let at = ServerAddress::parse(address, ENDPOINT_PORT).ok_or(Error::Setting {
                    name: "servers",
                    why: format!("{address} names no address server"),
                })?;
                let mut list = Vec::new();
                for attempt in 1..=TRIES {
                    list = ask(http, &at, path, &settings.namespace)
                        .await
                        .unwrap_or_default();
                    if !list.is_empty() || attempt == TRIES {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100) * attempt).await;
                }
                let path = path.trim_matches('/').replace('/', "_");
                (list, format!("custom-{}_{}_{path}", at.host, at.port))
            }
        };
        if first.is_empty() {
            return Err(Error::NoServers(name));
        }
        let list = Arc::new(Self {
            turn: AtomicUsize::new(random::below(first.len())),
            list: watch::Sender::new(first.into()),
            name,
            login: Arc::default(),
            refresh: std::sync::OnceLock::new(),
        });
        if let Servers::Endpoint { address, path } = &settings.servers {
            let weak = Arc::downgrade(&list);
            let (http, path) = (http.clone(), path.clone());
            let at = ServerAddress::parse(address, ENDPOINT_PORT);
            let (every, namespace) = (settings.endpoint_refresh, settings.namespace.clone());
            let task = Task::spawn(async move {
                let Some(at) = at else { return };
                loop {
                    tokio::time::sleep(every).await;
                    let asked = ask(&http, &at, &path, &namespace).await;
                    let Some(list) = weak.upgrade() else { return };
                    match asked {
                        Ok(new) if !new.is_empty() => list.replace(new),
                        Ok(_) => tracing::warn!("{at} names no server; the list stays"),
                        Err(error) => tracing::warn!("{at} gives no list, it stays: {error}"),
                    }
                }
            });
            let _first = list.refresh.set(task);
        }
        Ok(list)
    }

    fn replace(&self, new: Vec<ServerAddress>) {
        self.list.send_if_modified(|list| {
            let changed = **list != *new;
            if changed {
                *list = new.into();
            }
            changed
        });
    }

    /// Who this client is to them.
    pub(crate) fn login(&self) -> &Arc<Login> {
        &self.login
    }

    /// All of them.
    pub(crate) fn all(&self) -> Arc<[ServerAddress]> {
        self.list.borrow().clone()
    }

    /// The next in turn; the first was drawn.
    pub(crate) fn next(&self) -> ServerAddress {
        let list = self.all();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        list[turn % list.len()].clone()
    }

    /// Tells of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<[ServerAddress]>> {
        self.list.subscribe()
    }

    /// What the files of this client are called by, with the namespace in it.
    pub(crate) fn file_name(&self, namespace: &str) -> String {
        let full = match (namespace, self.name.strip_prefix("fixed-")) {
            ("", _) => self.name.clone(),
            (namespace, Some(rest)) => format!("fixed-{namespace}-{rest}"),
            (namespace, None) => format!("{}_{namespace}", self.name),
        };
        if full.chars().count() <= 50 {
            return full;
        }
        let first: String = full.chars().take(50).collect();
        first + &nacrite_core::model::Md5::of(full.as_bytes()).hex()
    }
}

async fn ask(
    http: &Http,
    at: &ServerAddress,
    path: &str,
    namespace: &str,
) -> Result<Vec<ServerAddress>, Error> {
    let namespace = [("namespace", namespace)];
    let query = if namespace[0].1.is_empty() {
        &[][..]
    } else {
        &namespace[..]
    };
    let answer = http.get(at, path, query, Duration::from_secs(3)).await?;
    Ok(ServerAddress::parse_list(&answer.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        ServerAddress::parse_list(text)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn addresses_are_read_as_the_java_client_reads_them() {
        assert_eq!(
            parsed("a,b:1; http://c:2/nacos\nhttps://d\n\n,"),
            ["a:8848", "b:1", "c:2", "d:8848"]
        );
        assert_eq!(parsed("[::1]:8849"), ["[::1]:8849"]);
        assert!(parsed(" , ;").is_empty());
        assert!(parsed("a:port").is_empty());
    }

    #[tokio::test]
    async fn the_first_server_is_drawn_and_then_each_has_its_turn() {
        let settings = Settings::new("a,b,c");
        let list = ServerList::start(&settings, &Http::new()).await.unwrap();
        let turns: Vec<ServerAddress> = (0..6).map(|_| list.next()).collect();
        let mut once = turns[..3].to_vec();
        once.sort();
        assert_eq!(once.iter().map(|s| &*s.host).collect::<String>(), "abc");
        assert_eq!(turns[..3], turns[3..]);
    }

    #[tokio::test]
    async fn files_are_called_by_the_list() {
        let name = async |servers: &str, namespace: &str| {
            let list = ServerList::start(&Settings::new(servers), &Http::new()).await;
            list.unwrap().file_name(namespace)
        };
        assert_eq!(name("a,b:1", "").await, "fixed-a_8848-b_1");
        assert_eq!(name("a", "ns").await, "fixed-ns-a_8848");
        let long = name(
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "",
        )
        .await;
        assert_eq!(long.len(), 82);
        assert!(long.starts_with("fixed-aaaa"));
    }
}
