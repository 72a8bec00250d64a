//! Configs: reads, writes, and listens to changes.
//!
//! What is listened to is split into tasks of at most 3 000 configs, each with a connection of its own. A task asks the
//! server which of its configs differ from what it has, fetches those, and tells who listens. A push marks a config and
//! rings the task; a lost connection marks all of them. Over HTTP a task is a
//! long poll instead.

mod listening;
mod polling;
mod wire;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use nacrite_core::model::Md5;
use tokio::sync::watch;

use self::{listening::ListenTask, wire::Wire};
use crate::{
    Error, Protocol, Settings,
    files::ConfigFiles,
    fuzzy::{Fuzzy, FuzzyWatch},
    rpc::Rpc,
    servers::ServerList,
    tasks::Task,
    v1::V1,
};

/// The same request may be made so often in a second.
const MOST_PER_SECOND: u32 = 5;
/// Requests whose rate is watched, at most.
const MOST_WATCHED: usize = 10_000;

/// A config as this client has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigContent {
    /// The content; none if there is no such config.
    pub content: Option<Arc<str>>,
    /// MD5 of it in hexadecimal digits; empty if there is none.
    pub md5: String,
    /// Whether it comes from the failover folder.
    pub from_failover: bool,
}

impl ConfigContent {
    pub(crate) fn of(content: Option<&str>) -> Self {
        Self {
            content: content.map(Arc::from),
            md5: content.map_or_else(String::new, |c| Md5::of(c.as_bytes()).hex()),
            from_failover: false,
        }
    }
}

/// Group and data id.
pub(crate) type ConfigName = (Arc<str>, Arc<str>);

/// Reads, writes and listens to configs. Everything of it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Config {
    inner: Arc<Inner>,
    _redo: Arc<Task>,
}

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    servers: Arc<ServerList>,
    files: Option<ConfigFiles>,
    /// For reads and writes.
    wire: Wire,
    fuzzy: Arc<Fuzzy>,
    /// Growing means waiting for a connection, so it has a lock that may be held over it.
    tasks: tokio::sync::Mutex<Vec<ListenTask>>,
    rates: Mutex<HashMap<String, (Instant, u32)>>,
}

/// Tells the server again which patterns are watched.
async fn redo(inner: Weak<Inner>) {
    loop {
        let Some((fuzzy, delay)) = inner
            .upgrade()
            .map(|inner| (inner.fuzzy.clone(), inner.settings.redo_delay))
        else {
            return;
        };
        tokio::select! {
            () = fuzzy.redo.notified() => {}
            () = tokio::time::sleep(delay) => {}
        }
        let Some(inner) = inner.upgrade() else {
            return;
        };
        if let Wire::Grpc(rpc) = &inner.wire
            && rpc.is_connected()
        {
            inner.fuzzy.tell_all(rpc).await;
        }
    }
}

impl Config {
    pub(crate) async fn start(
        settings: Arc<Settings>,
        servers: Arc<ServerList>,
    ) -> Result<Self, Error> {
        let files = settings.cache.as_deref().map(|cache| {
            let list = servers.file_name(settings.tenant());
            ConfigFiles::new(cache, &list, settings.tenant())
        });
        let labels = [("module", "config"), ("taskId", "0")];
        let fuzzy = Arc::new(Fuzzy::new(true));
        let wire = match settings.protocol {
            Protocol::Grpc => Wire::Grpc(
                Rpc::start(settings.clone(), servers.clone(), &labels, fuzzy.clone()).await,
            ),
            Protocol::Http => Wire::Http(Box::new(V1::new(settings.clone(), servers.clone()))),
        };
        let inner = Arc::new(Inner {
            settings,
            servers,
            files,
            wire,
            fuzzy,
            tasks: tokio::sync::Mutex::default(),
            rates: Mutex::default(),
        });
        Ok(Self {
            _redo: Arc::new(Task::spawn(redo(Arc::downgrade(&inner)))),
            inner,
        })
    }

    /// Watches which configs there are: those whose group and dataId match, exactly or by a `*` at the ends. Servers since 3.x
    /// do this, over gRPC.
    ///
    /// # Errors
    /// The pattern is none, the server refused it, or it is spoken to over HTTP.
    pub async fn watch_fuzzy(&self, group: &str, data_id: &str) -> Result<FuzzyWatch, Error> {
        let (namespace, rpc) = self.fuzzy_at()?;
        let fuzzy = &self.inner.fuzzy;
        fuzzy.watch(rpc, namespace, group, data_id).await
    }

    /// Takes a fuzzy watch back, for all who have it.
    ///
    /// # Errors
    /// The server is spoken to over HTTP.
    pub async fn unwatch_fuzzy(&self, group: &str, data_id: &str) -> Result<(), Error> {
        let (namespace, rpc) = self.fuzzy_at()?;
        let fuzzy = &self.inner.fuzzy;
        fuzzy.unwatch(rpc, namespace, group, data_id).await;
        Ok(())
    }

    fn fuzzy_at(&self) -> Result<(&str, &Rpc), Error> {
        match &self.inner.wire {
            Wire::Grpc(rpc) => Ok((self.inner.settings.naming_namespace(), rpc)),
            Wire::Http(_) => Err(crate::fuzzy::over_http()),
        }
    }

    /// Whether the connection for reads and writes stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.wire.is_connected()
    }

    /// The content of a config: from the failover folder, else from the server, else (if the server cannot be asked) the
    /// copy of what it said last. None if the server says that there is none.
    ///
    /// # Errors
    /// The server refused, or could not be asked and there is no copy.
    pub async fn get(&self, group: &str, data_id: &str) -> Result<Option<String>, Error> {
        let files = self.inner.files.as_ref();
        if let Some(content) = files.and_then(|f| f.failover(group, data_id)) {
            return Ok(Some(content));
        }
        self.inner
            .limited(&format!("get\n{group}\n{data_id}"))
            .await?;
        let settings = &self.inner.settings;
        let asked = self.inner.wire.fetch(settings, group, data_id, false);
        match asked.await {
            Ok(content) => {
                if let Some(files) = files {
                    files.keep(group, data_id, content.as_deref());
                }
                Ok(content)
            }
            Err(error) if error.code() == Some(403) => Err(error),
            Err(error) => match files.and_then(|f| f.snapshot(group, data_id)) {
                Some(copy) => {
                    tracing::warn!("{group} {data_id} is served from its copy: {error}");
                    Ok(Some(copy))
                }
                None => Err(error),
            },
        }
    }

    /// Writes a config; `kind` is its type (`text`, `json`, `yaml`, …).
    ///
    /// # Errors
    /// The server refused or could not be asked.
    pub async fn publish(
        &self,
        group: &str,
        data_id: &str,
        content: &str,
        kind: &str,
    ) -> Result<(), Error> {
        self.publish_if(group, data_id, content, kind, "").await
    }

    /// Writes a config if the MD5 of what is there is this one; an empty one is not looked at.
    ///
    /// # Errors
    /// The MD5 is another, the server refused, or it could not be asked.
    pub async fn publish_if(
        &self,
        group: &str,
        data_id: &str,
        content: &str,
        kind: &str,
        md5: &str,
    ) -> Result<(), Error> {
        let key = format!("publish\n{group}\n{data_id}");
        self.inner.limited(&key).await?;
        let settings = &self.inner.settings;
        let name = (group, data_id);
        let wire = &self.inner.wire;
        wire.publish(settings, name, content, kind, md5).await
    }

    /// Removes a config; one that is not there is no error.
    ///
    /// # Errors
    /// The server refused or could not be asked.
    pub async fn remove(&self, group: &str, data_id: &str) -> Result<(), Error> {
        let key = format!("remove\n{group}\n{data_id}");
        self.inner.limited(&key).await?;
        let settings = &self.inner.settings;
        self.inner.wire.remove(settings, group, data_id).await
    }

    /// Listens to a config from now on. What the server (or the failover folder) says first is a change if there is such
    /// a config.
    pub async fn listen(&self, group: &str, data_id: &str) -> ConfigListener {
        let name: ConfigName = (group.into(), data_id.into());
        let mut tasks = self.inner.tasks.lock().await;
        for task in &*tasks {
            if let Some(receiver) = task.joined(&name) {
                return ConfigListener { receiver };
            }
        }
        let batch = self.inner.settings.batch;
        let position = match tasks.iter().position(|task| task.len() < batch) {
            Some(position) => position,
            None => {
                let task = ListenTask::start(
                    tasks.len(),
                    self.inner.settings.clone(),
                    self.inner.servers.clone(),
                    self.inner.files.clone(),
                );
                tasks.push(task.await);
                tasks.len() - 1
            }
        };
        ConfigListener {
            receiver: tasks[position].add(name),
        }
    }

    /// Stops listening to a config: no listener of it is told any more.
    pub async fn unlisten(&self, group: &str, data_id: &str) {
        let name: ConfigName = (group.into(), data_id.into());
        let tasks = self.inner.tasks.lock().await;
        tasks.iter().for_each(|task| task.remove(&name));
    }

    /// How many connections listen, and to how many configs each.
    pub async fn listens(&self) -> Vec<usize> {
        let tasks = self.inner.tasks.lock().await;
        tasks.iter().map(ListenTask::len).collect()
    }
}

impl Inner {
    fn rates(&self) -> MutexGuard<'_, HashMap<String, (Instant, u32)>> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what is asked too often, after a second, so that a loop that never waits does.
    async fn limited(&self, key: &str) -> Result<(), Error> {
        let second = Duration::from_secs(1);
        let over = {
            let now = Instant::now();
            let mut rates = self.rates();
            if rates.len() >= MOST_WATCHED {
                rates.retain(|_, (since, _)| now.duration_since(*since) < second);
            }
            let (since, count) = rates.entry(key.into()).or_insert((now, 0));
            if now.duration_since(*since) >= second {
                (*since, *count) = (now, 0);
            }
            *count += 1;
            *count > MOST_PER_SECOND
        };
        if over {
            tokio::time::sleep(second).await;
            return Err(Error::TooOften);
        }
        Ok(())
    }
}

/// A config that is listened to, and its changes. Changes that come faster than they are taken are one.
#[derive(Clone, Debug)]
pub struct ConfigListener {
    receiver: watch::Receiver<ConfigContent>,
}

impl ConfigListener {
    /// What is known now; nothing before the server was asked.
    #[must_use]
    pub fn content(&self) -> ConfigContent {
        self.receiver.borrow().clone()
    }

    /// Waits for a change since the last call; what is known after it. None once nobody listens any more.
    pub async fn changed(&mut self) -> Option<ConfigContent> {
        self.receiver.changed().await.ok()?;
        Some(self.receiver.borrow_and_update().clone())
    }
}
