//! Naming of the 1.x line: registers and beats, asks again and again, and is pushed to over UDP.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use http::Method;
use nacrite_core::{api::own::PolicyJson, model::ServiceKey};
use serde_json::{Value, json};

use super::{counted, udp::UdpReceiver};
use crate::{
    Error, Instance, Settings,
    naming::{Published, store::Store},
    tasks::{Task, Turns},
    v1::V1,
};

const INSTANCE: &str = "/nacos/v1/ns/instance";
const LIST: &str = "/nacos/v1/ns/instance/list";
const BEAT: &str = "/nacos/v1/ns/instance/beat";
/// Beat of an instance that the server does not know.
const UNKNOWN_INSTANCE: i64 = 20_404;
/// Longest wait between two questions of a service that fails.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Everything of it ends when it is dropped.
#[derive(Debug)]
pub(in crate::naming) struct HttpWire {
    pub(super) v1: Arc<V1>,
    inner: Arc<Inner>,
    _beats: Task,
}

#[derive(Debug)]
struct Inner {
    v1: Arc<V1>,
    settings: Arc<Settings>,
    store: Weak<dyn HasStore>,
    udp: Option<UdpReceiver>,
    /// What is registered, and beaten for.
    registered: Mutex<HashMap<ServiceKey, Vec<Instance>>>,
    /// Held while an instance is beaten for, and while what is registered changes: a beat that reaches the server after
    /// the withdrawal of its instance would register it again, and it would stay until it expires.
    turns: Turns,
    polls: Mutex<HashMap<ServiceKey, Task>>,
}

/// Where the store is; not kept alive from here.
pub(in crate::naming) trait HasStore: Send + Sync + std::fmt::Debug {
    fn store(&self) -> &Store;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpWire {
    pub(in crate::naming) async fn start(
        settings: Arc<Settings>,
        v1: V1,
        store: Weak<dyn HasStore>,
    ) -> Self {
        let v1 = Arc::new(v1);
        let told = store.clone();
        let udp = UdpReceiver::start(move |info| {
            if let Some(shared) = told.upgrade() {
                shared.store().take_list(info);
            }
        });
        let udp = udp.await;
        let inner = Arc::new(Inner {
            v1: v1.clone(),
            settings,
            store,
            udp: udp
                .map_err(|error| tracing::warn!("no pushes over UDP: {error}"))
                .ok(),
            registered: Mutex::default(),
            turns: Turns::default(),
            polls: Mutex::default(),
        });
        let every = inner.settings.beat_interval;
        Self {
            v1,
            _beats: Task::spawn(beat(Arc::downgrade(&inner), every)),
            inner,
        }
    }

    pub(super) async fn publish(
        &self,
        key: &ServiceKey,
        published: &Published,
    ) -> Result<(), Error> {
        let wanted = if published.wanted {
            &published.instances[..]
        } else {
            &[]
        };
        let _turn = self.inner.turns.of(key).await;
        let before = lock(&self.inner.registered)
            .get(key)
            .cloned()
            .unwrap_or_default();
        let same = |a: &Instance, b: &Instance| {
            a.ip == b.ip && a.port == b.port && a.cluster_name == b.cluster_name
        };
        for gone in before.iter().filter(|b| !wanted.iter().any(|w| same(w, b))) {
            self.put(key, gone, false).await?;
        }
        for instance in wanted {
            self.put(key, instance, true).await?;
        }
        let mut registered = lock(&self.inner.registered);
        if wanted.is_empty() {
            registered.remove(key);
        } else {
            registered.insert(key.clone(), wanted.to_vec());
        }
        Ok(())
    }

    pub(super) async fn put(
        &self,
        key: &ServiceKey,
        instance: &Instance,
        register: bool,
    ) -> Result<(), Error> {
        put(&self.v1, key, instance, register).await
    }

    pub(super) async fn subscribe(&self, key: &ServiceKey) -> Result<(), Error> {
        let cache = self.inner.refresh(key).await?;
        let task = Task::spawn(poll(Arc::downgrade(&self.inner), key.clone(), cache));
        lock(&self.inner.polls).insert(key.clone(), task);
        Ok(())
    }

    pub(super) fn unsubscribe(&self, key: &ServiceKey) {
        lock(&self.inner.polls).remove(key);
    }

    pub(super) async fn query(
        &self,
        key: &ServiceKey,
        clusters: &str,
        healthy_only: bool,
    ) -> Result<Value, Error> {
        let info = self.inner.list(key, clusters, healthy_only, 0).await?;
        Ok(json!({ "serviceInfo": info }))
    }

    pub(super) async fn services(
        &self,
        key: &ServiceKey,
        page: u32,
        size: u32,
    ) -> Result<(u64, Vec<String>), Error> {
        let (page, size) = (page.to_string(), size.to_string());
        let pairs = [
            ("namespaceId", &*key.namespace),
            ("groupName", &*key.group),
            ("pageNo", &*page),
            ("pageSize", &*size),
        ];
        let path = "/nacos/v1/ns/service/list";
        let answer = self.v1.ask(Method::GET, path, &pairs).await?;
        Ok(counted(&parsed(&answer.ok()?)?, "count", "doms"))
    }
}

fn parsed(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|e| Error::Transport(format!("an answer is no JSON: {e}")))
}

/// Registers (or removes) an instance.
pub(super) async fn put(
    v1: &V1,
    key: &ServiceKey,
    instance: &Instance,
    register: bool,
) -> Result<(), Error> {
    let (port, weight) = (instance.port.to_string(), instance.weight.to_string());
    let metadata = json!(instance.metadata).to_string();
    let grouped = key.grouped();
    let flag = |on: bool| if on { "true" } else { "false" };
    let pairs = [
        ("namespaceId", &*key.namespace),
        ("serviceName", &*grouped),
        ("groupName", &*key.group),
        ("clusterName", &*instance.cluster_name),
        ("ip", &*instance.ip),
        ("port", &*port),
        ("weight", &*weight),
        ("enable", flag(instance.enabled)),
        ("healthy", flag(instance.healthy)),
        ("ephemeral", flag(instance.ephemeral)),
        ("metadata", &*metadata),
    ];
    let method = if register {
        Method::POST
    } else {
        Method::DELETE
    };
    let answer = v1.ask(method, INSTANCE, &pairs).await?;
    answer.ok().map(drop)
}

impl Inner {
    async fn list(
        &self,
        key: &ServiceKey,
        clusters: &str,
        healthy_only: bool,
        udp_port: u16,
    ) -> Result<Value, Error> {
        let port = udp_port.to_string();
        let grouped = key.grouped();
        let own = match (&self.settings.ip, self.v1.server()) {
            (Some(ip), _) => ip.clone(),
            (None, Some(server)) => crate::rpc::own_ip(&server),
            (None, None) => String::new(),
        };
        let pairs = [
            ("namespaceId", &*key.namespace),
            ("serviceName", &*grouped),
            ("groupName", &*key.group),
            ("clusters", clusters),
            ("udpPort", &*port),
            ("clientIP", &*own),
            ("healthyOnly", if healthy_only { "true" } else { "false" }),
            ("app", &*self.settings.app),
        ];
        let answer = self.v1.ask(Method::GET, LIST, &pairs).await?;
        parsed(&answer.ok()?)
    }

    /// The policy in force, from a server that has such a thing.
    async fn policy(&self, key: &ServiceKey) -> Option<PolicyJson> {
        if !self.settings.policies {
            return None;
        }
        let pairs = [
            ("namespaceId", &*key.namespace),
            ("groupName", &*key.group),
            ("serviceName", &*key.name),
        ];
        let path = "/nacrite/v1/policies/effective";
        let text = self
            .v1
            .ask(Method::GET, path, &pairs)
            .await
            .ok()?
            .ok()
            .ok()?;
        let answer: Value = serde_json::from_str(&text).ok()?;
        serde_json::from_value(answer.get("data")?.clone()).ok()
    }

    /// Asks for a service, with the port for pushes, and takes in what is said; how long it may be believed.
    async fn refresh(&self, key: &ServiceKey) -> Result<Duration, Error> {
        let port = self.udp.as_ref().map_or(0, UdpReceiver::port);
        let info = self.list(key, "", false, port).await?;
        let policy = self.policy(key).await;
        let cache = info.get("cacheMillis").and_then(Value::as_u64);
        let mut body = json!({ "serviceInfo": info });
        if let Some(policy) = &policy {
            body["policy"] = json!(policy);
        }
        if let Some(shared) = self.store.upgrade() {
            shared.store().take(&body, "answered");
        }
        Ok(Duration::from_millis(cache.unwrap_or(10_000).max(1_000)))
    }

    /// Beats for all that is registered; how long until the next, as the server wants it.
    async fn beat_all(&self) -> Duration {
        let all = lock(&self.registered).clone();
        let mut next = self.settings.beat_interval;
        for (key, instances) in &all {
            for instance in instances {
                let _turn = self.turns.of(key).await;
                if !self.is_registered(key, instance) {
                    continue;
                }
                match self.beat(key, instance).await {
                    Ok(Some(wanted)) => next = next.min(wanted),
                    Ok(None) => {}
                    Err(error) => tracing::warn!("{key} is not beaten for: {error}"),
                }
            }
        }
        next
    }

    fn is_registered(&self, key: &ServiceKey, instance: &Instance) -> bool {
        lock(&self.registered)
            .get(key)
            .is_some_and(|all| all.contains(instance))
    }

    async fn beat(&self, key: &ServiceKey, instance: &Instance) -> Result<Option<Duration>, Error> {
        let grouped = key.grouped();
        let beat = json!({
            "serviceName": grouped,
            "cluster": instance.cluster_name,
            "ip": instance.ip,
            "port": instance.port,
            "weight": instance.weight,
            "metadata": instance.metadata,
            "ephemeral": true,
            "scheduled": true,
        })
        .to_string();
        let port = instance.port.to_string();
        let pairs = [
            ("namespaceId", &*key.namespace),
            ("serviceName", &*grouped),
            ("clusterName", &*instance.cluster_name),
            ("ip", &*instance.ip),
            ("port", &*port),
            ("beat", &*beat),
        ];
        let answer = self.v1.ask(Method::PUT, BEAT, &pairs).await?;
        let body = parsed(&answer.ok()?)?;
        if body.get("code").and_then(Value::as_i64) == Some(UNKNOWN_INSTANCE) {
            put(&self.v1, key, instance, true).await?;
        }
        let interval = body.get("clientBeatInterval").and_then(Value::as_u64);
        Ok(interval.filter(|ms| *ms > 0).map(Duration::from_millis))
    }
}

async fn beat(inner: Weak<Inner>, first: Duration) {
    let mut wait = first;
    loop {
        tokio::time::sleep(wait).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        wait = inner.beat_all().await;
    }
}

async fn poll(inner: Weak<Inner>, key: ServiceKey, cache: Duration) {
    let mut wait = cache.min(Duration::from_secs(1));
    let mut failures: u32 = 0;
    loop {
        tokio::time::sleep(wait).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        match inner.refresh(&key).await {
            Ok(cache) => {
                failures = 0;
                wait = cache;
            }
            Err(error) => {
                tracing::debug!("{key} cannot be asked for: {error}");
                wait = MAX_WAIT.min(Duration::from_secs(1 << failures.min(6)));
                failures += 1;
            }
        }
    }
}
