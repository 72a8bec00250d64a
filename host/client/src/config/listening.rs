//! One task of listening: its configs, its connection, its loop.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nacrite_core::model::DEFAULT_NAMESPACE;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};

use super::{ConfigContent, ConfigName, wire::Wire};
use crate::{
    Error, Protocol, Settings,
    files::ConfigFiles,
    rpc::{Handler, Rpc},
    servers::ServerList,
    tasks::Task,
    v1::V1,
};

/// Wait after an error.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// A config that is listened to.
#[derive(Debug)]
struct Cached {
    told: watch::Sender<ConfigContent>,
    /// Whether the server is known to have the same.
    consistent: bool,
    /// Counts what makes it inconsistent, so that an answer that was under way does not hide it.
    marks: u64,
    /// Nobody listens any more; the server has not been told yet.
    removed: bool,
}

/// At most as many configs as fit into one listen.
#[derive(Debug)]
pub(super) struct ListenTask {
    shared: Arc<Shared>,
    _loop: Task,
}

#[derive(Debug)]
struct Shared {
    configs: Mutex<BTreeMap<ConfigName, Cached>>,
    bell: Notify,
    tenant: String,
}

impl Shared {
    fn configs(&self) -> MutexGuard<'_, BTreeMap<ConfigName, Cached>> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, cached: &mut Cached) {
        cached.consistent = false;
        cached.marks += 1;
        self.bell.notify_one();
    }
}

impl Handler for Shared {
    fn connected(&self) {
        self.bell.notify_one();
    }

    fn disconnected(&self) {
        let mut configs = self.configs();
        configs.values_mut().for_each(|cached| self.mark(cached));
    }

    fn pushed(&self, kind: &str, body: &Value) -> Option<Value> {
        match kind {
            "ConfigChangeNotifyRequest" => {
                self.notified(body);
                Some(json!({}))
            }
            "ClientConfigMetricRequest" => Some(json!({ "metrics": self.held(body) })),
            _ => None,
        }
    }
}

impl Shared {
    fn notified(&self, body: &Value) {
        let text = |name| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let tenant = match text("tenant") {
            DEFAULT_NAMESPACE => "",
            tenant => tenant,
        };
        let name: ConfigName = (text("group").into(), text("dataId").into());
        if tenant == self.tenant
            && let Some(cached) = self.configs().get_mut(&name)
        {
            self.mark(cached);
        }
    }

    /// What is held of the configs that are asked for, each `content:md5`, by the keys of the question.
    fn held(&self, body: &Value) -> Map<String, Value> {
        let configs = self.configs();
        let keys = body.get("metricsKeys").and_then(Value::as_array);
        let mut held = Map::new();
        for key in keys.into_iter().flatten() {
            let text = |name| key.get(name).and_then(Value::as_str).unwrap_or_default();
            let mut parts = text("key").split('+').map(|part| {
                // A plus sign and a percent sign are all that is escaped.
                part.replace("%2B", "+").replace("%25", "%")
            });
            let (Some(data_id), Some(group)) = (parts.next(), parts.next()) else {
                continue;
            };
            if text("type") != "cacheData" {
                continue;
            }
            if let Some(cached) = configs.get(&(group.into(), data_id.into()))
                && let ConfigContent {
                    content: Some(content),
                    md5,
                    ..
                } = &*cached.told.borrow()
            {
                held.insert(text("key").into(), format!("{content}:{md5}").into());
            }
        }
        held
    }
}

impl ListenTask {
    pub(super) async fn start(
        number: usize,
        settings: Arc<Settings>,
        servers: Arc<ServerList>,
        files: Option<ConfigFiles>,
    ) -> Self {
        let shared = Arc::new(Shared {
            configs: Mutex::default(),
            bell: Notify::new(),
            tenant: settings.tenant().into(),
        });
        // The connection for reads and writes is number 0.
        let number = (number + 1).to_string();
        let labels = [("module", "config"), ("taskId", &*number)];
        let wire = match settings.protocol {
            Protocol::Grpc => {
                Wire::Grpc(Rpc::start(settings.clone(), servers, &labels, shared.clone()).await)
            }
            Protocol::Http => Wire::Http(Box::new(V1::new(settings.clone(), servers))),
        };
        let listening = Listening {
            shared: shared.clone(),
            settings,
            files,
            wire,
        };
        Self {
            shared,
            _loop: Task::spawn(listening.run()),
        }
    }

    /// How many configs it has.
    pub(super) fn len(&self) -> usize {
        self.shared.configs().len()
    }

    /// Listens too, if it has the config.
    pub(super) fn joined(&self, name: &ConfigName) -> Option<watch::Receiver<ConfigContent>> {
        let mut configs = self.shared.configs();
        let cached = configs.get_mut(name)?;
        if cached.removed {
            cached.removed = false;
            self.shared.mark(cached);
        }
        let mut receiver = cached.told.subscribe();
        if receiver.borrow().content.is_some() {
            receiver.mark_changed();
        }
        Some(receiver)
    }

    pub(super) fn add(&self, name: ConfigName) -> watch::Receiver<ConfigContent> {
        let (told, receiver) = watch::channel(ConfigContent::default());
        let cached = Cached {
            told,
            consistent: false,
            marks: 0,
            removed: false,
        };
        self.shared.configs().insert(name, cached);
        self.shared.bell.notify_one();
        receiver
    }

    pub(super) fn remove(&self, name: &ConfigName) {
        if let Some(cached) = self.shared.configs().get_mut(name) {
            cached.removed = true;
            self.shared.mark(cached);
        }
    }
}

/// What the loop works with.
pub(super) struct Listening {
    shared: Arc<Shared>,
    pub(super) settings: Arc<Settings>,
    files: Option<ConfigFiles>,
    wire: Wire,
}

impl Listening {
    async fn run(self) {
        match &self.wire {
            Wire::Grpc(rpc) => self.listen_on(rpc).await,
            Wire::Http(v1) => self.poll_on(v1).await,
        }
    }

    /// The names to poll for, each with the MD5 that is known, and whether one of them is new. Those that nobody listens
    /// to any more go.
    pub(super) fn to_poll(&self) -> (Vec<(ConfigName, String)>, bool) {
        let mut configs = self.shared.configs();
        configs.retain(|_, cached| !cached.removed);
        let due = configs
            .iter()
            .filter(|(_, c)| !c.told.borrow().from_failover);
        let mut fresh = false;
        let polled = due.map(|(name, cached)| {
            fresh |= !cached.consistent;
            (name.clone(), cached.told.borrow().md5.clone())
        });
        (polled.collect(), fresh)
    }

    /// Something is new.
    pub(super) async fn rung(&self) {
        self.shared.bell.notified().await;
    }

    /// The server was asked for these.
    pub(super) fn known(&self, names: impl Iterator<Item = ConfigName>) {
        let mut configs = self.shared.configs();
        for name in names {
            if let Some(cached) = configs.get_mut(&name) {
                cached.consistent = true;
            }
        }
    }

    async fn listen_on(&self, rpc: &Rpc) {
        let mut all_at = Instant::now();
        loop {
            tokio::select! {
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(self.settings.listen_interval) => {}
            }
            self.look_at_failover();
            let all = all_at.elapsed() >= self.settings.listen_all_interval;
            match self.listen(rpc, all).await {
                Ok(again) => {
                    if all {
                        all_at = Instant::now();
                    }
                    if again {
                        self.shared.bell.notify_one();
                    }
                }
                Err(error) => {
                    tracing::debug!("configs cannot be listened to yet: {error}");
                    tokio::time::sleep(AFTER_ERROR).await;
                    if rpc.is_connected() {
                        self.shared.bell.notify_one();
                    }
                }
            }
        }
    }

    /// What an operator put there goes before the server, and is not listened to; once it is gone the server is asked.
    /// Whether anything is other than it was.
    pub(super) fn look_at_failover(&self) -> bool {
        let Some(files) = &self.files else {
            return false;
        };
        let mut other = false;
        for ((group, data_id), cached) in &mut *self.shared.configs() {
            let was = cached.told.borrow().from_failover;
            match files.failover(group, data_id) {
                Some(content) => {
                    let mut new = ConfigContent::of(Some(&content));
                    new.from_failover = true;
                    other |= !was;
                    tell(cached, new);
                }
                None if was => {
                    other = true;
                    // Who listens is told when the server has answered.
                    cached.told.send_if_modified(|told| {
                        told.from_failover = false;
                        false
                    });
                    self.shared.mark(cached);
                }
                None => {}
            }
        }
        other
    }

    /// One round; whether something changed, so that the next should follow at once.
    async fn listen(&self, rpc: &Rpc, all: bool) -> Result<bool, Error> {
        self.stop_listening(rpc).await?;
        let (contexts, marks): (Vec<Value>, Vec<(ConfigName, u64)>) = {
            let configs = self.shared.configs();
            let due = configs.iter().filter(|(_, cached)| {
                let local = cached.told.borrow().from_failover;
                !cached.removed && !local && (all || !cached.consistent)
            });
            due.map(|(name, cached)| {
                let md5 = &cached.told.borrow().md5;
                let context = self.context(name, md5);
                (context, (name.clone(), cached.marks))
            })
            .unzip()
        };
        if contexts.is_empty() {
            return Ok(false);
        }
        let changed = self.batch(rpc, true, contexts).await?;
        for name in &changed {
            self.refresh(name).await?;
        }
        let mut configs = self.shared.configs();
        for (name, marks) in marks {
            if let Some(cached) = configs.get_mut(&name)
                && cached.marks == marks
                && !changed.contains(&name)
            {
                cached.consistent = true;
            }
        }
        Ok(!changed.is_empty())
    }

    /// Tells the server of what nobody listens to any more.
    async fn stop_listening(&self, rpc: &Rpc) -> Result<(), Error> {
        let (contexts, names): (Vec<Value>, Vec<ConfigName>) = {
            let configs = self.shared.configs();
            let removed = configs.iter().filter(|(_, cached)| cached.removed);
            removed
                .map(|(name, _)| (self.context(name, ""), name.clone()))
                .unzip()
        };
        if contexts.is_empty() {
            return Ok(());
        }
        self.batch(rpc, false, contexts).await?;
        let mut configs = self.shared.configs();
        for name in names {
            // Somebody may listen again since.
            if configs.get(&name).is_some_and(|cached| cached.removed) {
                configs.remove(&name);
            }
        }
        Ok(())
    }

    fn context(&self, (group, data_id): &ConfigName, md5: &str) -> Value {
        json!({"group": &**group, "dataId": &**data_id, "tenant": self.shared.tenant, "md5": md5})
    }

    /// Listens (or stops); which configs differ.
    async fn batch(
        &self,
        rpc: &Rpc,
        listen: bool,
        contexts: Vec<Value>,
    ) -> Result<Vec<ConfigName>, Error> {
        let body = json!({
            "listen": listen,
            "configListenContexts": contexts,
            "headers": {},
            "module": "config",
        });
        let answer = rpc.request("ConfigBatchListenRequest", &body, &[]).await?;
        let changed = answer.body.get("changedConfigs").and_then(Value::as_array);
        let text = |value: &Value, name| {
            Arc::from(value.get(name).and_then(Value::as_str).unwrap_or_default())
        };
        let changed = changed.into_iter().flatten();
        Ok(changed
            .map(|c| (text(c, "group"), text(c, "dataId")))
            .collect())
    }

    pub(super) async fn refresh(&self, name: &ConfigName) -> Result<(), Error> {
        let (group, data_id) = name;
        let asked = self.wire.fetch(&self.settings, group, data_id, true);
        let content = asked.await?;
        if let Some(files) = &self.files {
            files.keep(group, data_id, content.as_deref());
        }
        if let Some(cached) = self.shared.configs().get_mut(name)
            && !cached.told.borrow().from_failover
        {
            tell(cached, ConfigContent::of(content.as_deref()));
        }
        Ok(())
    }
}

/// Tells who listens, if it is something else than they know.
fn tell(cached: &Cached, new: ConfigContent) {
    cached.told.send_if_modified(|told| {
        let changed = told.md5 != new.md5 || told.content.is_some() != new.content.is_some();
        *told = new;
        changed
    });
}
