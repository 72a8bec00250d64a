//! Fuzzy watches (servers since 3.x, over gRPC): the names of services or configs that match a pattern, as they come and go.
//!
//! What is watched is kept here; a new connection clears what the server has been told, and with the next request it hears
//! which names are known already, so that it sends the difference alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nacrite_core::push::Pattern;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::{Error, rpc::Handler, rpc::Rpc};

/// Group and name of what matches, in order.
pub type Matches = Arc<BTreeSet<(String, String)>>;

/// A pattern that is watched. It stays watched until it is taken back, or its client ends.
#[derive(Clone, Debug)]
pub struct FuzzyWatch {
    matches: watch::Receiver<Matches>,
}

impl FuzzyWatch {
    /// What matches now; nothing before the server said something.
    #[must_use]
    pub fn matches(&self) -> Matches {
        self.matches.borrow().clone()
    }

    /// Waits until other names match than were seen last; none once it is taken back.
    pub async fn changed(&mut self) -> Option<Matches> {
        self.matches.changed().await.ok()?;
        Some(self.matches.borrow_and_update().clone())
    }
}

/// Servers are not asked for this over HTTP.
pub(crate) fn over_http() -> Error {
    Error::Setting {
        name: "protocol",
        why: "fuzzy watches are there over gRPC alone".into(),
    }
}

/// What is watched of one kind, services or configs.
#[derive(Debug)]
pub(crate) struct Fuzzy {
    config: bool,
    /// Rung when the server is to be told something.
    pub(crate) redo: Notify,
    watches: Mutex<Watches>,
}

#[derive(Debug, Default)]
struct Watches {
    by_pattern: BTreeMap<String, Watched>,
    /// Counts lost connections: an answer that came over one says nothing of the next.
    lost: u64,
}

#[derive(Debug)]
struct Watched {
    pattern: Pattern,
    /// As the server writes them.
    keys: BTreeSet<String>,
    wanted: bool,
    /// Whether the server has been told.
    told: bool,
    /// Whether all that matched at first has come.
    complete: bool,
    matches: watch::Sender<Matches>,
}

/// Namespace, group and name of a key as servers write it.
fn parts(config: bool, key: &str) -> Option<[String; 3]> {
    if !config {
        let mut parts = key.splitn(3, "@@").map(str::to_owned);
        return Some([parts.next()?, parts.next()?, parts.next()?]);
    }
    let plain = |part: &str| part.replace("%2B", "+").replace("%25", "%");
    let mut parts = key.split('+').map(plain);
    let (name, group) = (parts.next()?, parts.next()?);
    let namespace = parts.next().filter(|n| !n.is_empty());
    let namespace = namespace.unwrap_or_else(|| nacrite_core::model::DEFAULT_NAMESPACE.into());
    Some([namespace, group, name])
}

impl Watched {
    fn publish(&self, config: bool) {
        let parsed = self.keys.iter().filter_map(|key| parts(config, key));
        let now = parsed.map(|[_, group, name]| (group, name)).collect();
        self.matches.send_if_modified(|matches| {
            let differs = **matches != now;
            if differs {
                *matches = Arc::new(now);
            }
            differs
        });
    }
}

impl Fuzzy {
    pub(crate) fn new(config: bool) -> Self {
        Self {
            config,
            redo: Notify::new(),
            watches: Mutex::default(),
        }
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a pattern (`*` at the ends of either part).
    ///
    /// # Errors
    /// The pattern is none, or the server refused it. That the server cannot be asked is none: it is told later.
    pub(crate) async fn watch(
        &self,
        rpc: &Rpc,
        namespace: &str,
        group: &str,
        name: &str,
    ) -> Result<FuzzyWatch, Error> {
        let text = format!("{namespace}>>{group}>>{name}");
        let pattern = Pattern::parse(&text);
        let fits = !group.is_empty() && !name.is_empty() && !group.contains(">>");
        let pattern = pattern.filter(|_| fits).ok_or_else(|| Error::Setting {
            name: "pattern",
            why: format!("{group} and {name} must be names, or have a * at an end"),
        })?;
        let matches = {
            let mut watches = self.watches();
            let watched = watches.by_pattern.entry(text.clone());
            let watched = watched.or_insert_with(|| Watched {
                pattern,
                keys: BTreeSet::new(),
                wanted: true,
                told: false,
                complete: false,
                matches: watch::Sender::default(),
            });
            if !watched.wanted {
                (watched.wanted, watched.told) = (true, false);
            }
            watched.matches.subscribe()
        };
        if let Err(error @ Error::Refused { .. }) = self.tell(rpc, &text).await {
            self.watches().by_pattern.remove(&text);
            return Err(error);
        }
        Ok(FuzzyWatch { matches })
    }

    /// Takes a pattern back.
    pub(crate) async fn unwatch(&self, rpc: &Rpc, namespace: &str, group: &str, name: &str) {
        let text = format!("{namespace}>>{group}>>{name}");
        if let Some(watched) = self.watches().by_pattern.get_mut(&text) {
            (watched.wanted, watched.told) = (false, false);
            // Whoever waits is told of the end.
            watched.matches = watch::Sender::default();
        }
        if let Err(error) = self.tell(rpc, &text).await {
            tracing::debug!("{text} is still watched: {error}");
        }
    }

    /// Tells the server of one pattern, if it has not been.
    async fn tell(&self, rpc: &Rpc, text: &str) -> Result<(), Error> {
        let (body, wanted, lost) = {
            let watches = self.watches();
            let Some(watched) = watches.by_pattern.get(text).filter(|w| !w.told) else {
                return Ok(());
            };
            let body = json!({
                "groupKeyPattern": text,
                "receivedGroupKeys": watched.keys,
                "watchType": if watched.wanted { "WATCH" } else { "CANCEL_WATCH" },
                "initializing": !watched.complete,
                "headers": {},
                "module": if self.config { "config" } else { "naming" },
            });
            (body, watched.wanted, watches.lost)
        };
        let kind = if self.config {
            "ConfigFuzzyWatchRequest"
        } else {
            "NamingFuzzyWatchRequest"
        };
        rpc.request(kind, &body, &[]).await?;
        let mut watches = self.watches();
        if watches.lost == lost
            && let Some(watched) = watches.by_pattern.get_mut(text)
            && watched.wanted == wanted
        {
            watched.told = true;
            if !wanted {
                watches.by_pattern.remove(text);
            }
        }
        Ok(())
    }

    /// Tells the server again what it has not been told.
    pub(crate) async fn tell_all(&self, rpc: &Rpc) {
        let untold: Vec<String> = {
            let watches = self.watches();
            let untold = watches.by_pattern.iter().filter(|(_, w)| !w.told);
            untold.map(|(text, _)| text.clone()).collect()
        };
        for text in untold {
            if let Err(error) = self.tell(rpc, &text).await {
                tracing::warn!("{text} is not watched yet: {error}");
            }
        }
    }
}

impl Handler for Fuzzy {
    fn connected(&self) {
        self.redo.notify_one();
    }

    fn disconnected(&self) {
        let mut watches = self.watches();
        watches.lost += 1;
        watches.by_pattern.values_mut().for_each(|w| w.told = false);
    }

    fn pushed(&self, kind: &str, body: &Value) -> Option<Value> {
        let text = |of: &Value, name: &str| of.get(name)?.as_str().map(str::to_owned);
        let (prefix, key_name) = if self.config {
            ("Config", "groupKey")
        } else {
            ("Naming", "serviceKey")
        };
        let mut watches = self.watches();
        match kind.strip_prefix(prefix)? {
            "FuzzyWatchSyncRequest" => {
                let pattern = text(body, "groupKeyPattern")?;
                // A pattern that was taken back meanwhile is acknowledged all the same.
                if let Some(watched) = watches.by_pattern.get_mut(&pattern) {
                    let contexts = body.get("contexts").and_then(Value::as_array);
                    for context in contexts.into_iter().flatten() {
                        let Some(key) = text(context, key_name) else {
                            continue;
                        };
                        match text(context, "changedType").as_deref() {
                            Some("DELETE_SERVICE" | "DELETE_CONFIG") => watched.keys.remove(&key),
                            _ => watched.keys.insert(key),
                        };
                    }
                    let sync = text(body, "syncType");
                    watched.complete |= sync.as_deref() == Some("FINISH_FUZZY_WATCH_INIT_NOTIFY");
                    watched.publish(self.config);
                }
            }
            "FuzzyWatchChangeNotifyRequest" => {
                let key = text(body, key_name)?;
                // The two kinds spell the field differently.
                let change = text(body, "changedType").or_else(|| text(body, "changeType"));
                let gone = matches!(change.as_deref(), Some("DELETE_SERVICE" | "DELETE_CONFIG"));
                let [namespace, group, name] = parts(self.config, &key)?;
                for watched in watches.by_pattern.values_mut() {
                    if watched.pattern.matches(&namespace, &group, &name) {
                        if gone {
                            watched.keys.remove(&key);
                        } else {
                            watched.keys.insert(key.clone());
                        }
                        watched.publish(self.config);
                    }
                }
            }
            _ => return None,
        }
        Some(json!({}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_servers_write_them() {
        let read = |config, key| parts(config, key).map(|all| all.join(" "));
        assert_eq!(
            read(false, "public@@g@@a@@b").as_deref(),
            Some("public g a@@b")
        );
        assert_eq!(read(true, "d%2B1+g%25+ns").as_deref(), Some("ns g% d+1"));
        assert_eq!(read(true, "d+g").as_deref(), Some("public g d"));
        assert_eq!((read(false, "a@@b"), read(true, "d")), (None, None));
    }
}
