//! One task of listening: its configs, its connection, its loop.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nacrite_core::model::DEFAULT_NAMESPACE;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::{ConfigContent, ConfigName, fetch};
use crate::{
    Error, Settings,
    files::ConfigFiles,
    rpc::{Handler, Rpc},
    servers::ServerList,
    tasks::Task,
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

    fn pushed(&self, kind: &str, body: &Value) -> bool {
        if kind != "ConfigChangeNotifyRequest" {
            return false;
        }
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
        true
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
        let rpc = Rpc::start(settings.clone(), servers, &labels, shared.clone()).await;
        let listening = Listening {
            shared: shared.clone(),
            settings,
            files,
            rpc,
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
struct Listening {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    files: Option<ConfigFiles>,
    rpc: Rpc,
}

impl Listening {
    async fn run(self) {
        let mut all_at = Instant::now();
        loop {
            tokio::select! {
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(self.settings.listen_interval) => {}
            }
            self.look_at_failover();
            let all = all_at.elapsed() >= self.settings.listen_all_interval;
            match self.listen(all).await {
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
                    if self.rpc.is_connected() {
                        self.shared.bell.notify_one();
                    }
                }
            }
        }
    }

    /// What an operator put there goes before the server, and is not listened to; once it is gone the server is asked.
    fn look_at_failover(&self) {
        let Some(files) = &self.files else { return };
        for ((group, data_id), cached) in &mut *self.shared.configs() {
            let was = cached.told.borrow().from_failover;
            match files.failover(group, data_id) {
                Some(content) => {
                    let mut new = ConfigContent::of(Some(&content));
                    new.from_failover = true;
                    tell(cached, new);
                }
                None if was => {
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
    }

    /// One round; whether something changed, so that the next should follow at once.
    async fn listen(&self, all: bool) -> Result<bool, Error> {
        self.stop_listening().await?;
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
        let changed = self.batch(true, contexts).await?;
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
    async fn stop_listening(&self) -> Result<(), Error> {
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
        self.batch(false, contexts).await?;
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
    async fn batch(&self, listen: bool, contexts: Vec<Value>) -> Result<Vec<ConfigName>, Error> {
        let body = json!({
            "listen": listen,
            "configListenContexts": contexts,
            "headers": {},
            "module": "config",
        });
        let answer = self
            .rpc
            .request("ConfigBatchListenRequest", &body, &[])
            .await?;
        let changed = answer.body.get("changedConfigs").and_then(Value::as_array);
        let text = |value: &Value, name| {
            Arc::from(value.get(name).and_then(Value::as_str).unwrap_or_default())
        };
        let changed = changed.into_iter().flatten();
        Ok(changed
            .map(|c| (text(c, "group"), text(c, "dataId")))
            .collect())
    }

    async fn refresh(&self, name: &ConfigName) -> Result<(), Error> {
        let (group, data_id) = name;
        let content = fetch(&self.rpc, &self.settings, group, data_id, true).await?;
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
