//! Discovery over gRPC: registers, subscribes, and does both again after each new connection.
//!
//! What is wanted is kept here; what the server has been told is marked. A new connection clears the marks, and whatever
//! is not marked is said again at once and every 3 s until it is. The list of a service is what the server sent last, or
//! what stands in the failover folder while its switch is on.

mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use nacrite_core::{
    balance::{Balancer, Context, Policy},
    model::ServiceKey,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use self::store::Store;
use crate::{
    Error, Instance, Settings, SharedState,
    files::NamingFiles,
    rpc::{Answer, Handler, Rpc},
    servers::ServerList,
    tasks::Task,
};

/// What this client publishes of a service.
#[derive(Clone, Debug)]
struct Published {
    instances: Vec<Instance>,
    /// Whether it should be there (or is being taken back).
    wanted: bool,
    /// Whether the server has been told.
    told: bool,
}

/// What it wants of servers, and what they have been told.
#[derive(Debug, Default)]
struct Records {
    published: BTreeMap<ServiceKey, Published>,
    /// Services subscribed to; whether the server has been told.
    subscribed: BTreeMap<ServiceKey, bool>,
}

/// Discovery. Everything of it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Naming {
    inner: Arc<Inner>,
    _tasks: Arc<[Task]>,
}

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    rpc: Rpc,
    shared: Arc<Shared>,
}

/// What the connection's side and the callers' side both see.
#[derive(Debug)]
struct Shared {
    records: Mutex<Records>,
    store: Store,
    redo: Notify,
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Shared {
    fn connected(&self) {
        self.store.new_connection();
        self.redo.notify_one();
    }

    fn disconnected(&self) {
        let mut records = self.records();
        records.published.values_mut().for_each(|p| p.told = false);
        records
            .subscribed
            .values_mut()
            .for_each(|told| *told = false);
    }

    fn pushed(&self, kind: &str, body: &Value) -> bool {
        if kind != "NotifySubscriberRequest" {
            return false;
        }
        self.store.take(body, "pushed");
        true
    }
}

impl Naming {
    /// Connects; see [`Settings`].
    ///
    /// # Errors
    /// A setting cannot be used, or the address server gives no list. That no server can be reached is none: it is tried
    /// on and on.
    pub(crate) async fn start(
        settings: Arc<Settings>,
        servers: Arc<ServerList>,
    ) -> Result<Self, Error> {
        let files = settings
            .cache
            .as_deref()
            .and_then(|cache| NamingFiles::new(cache, settings.naming_namespace()));
        let shared = Arc::new(Shared {
            records: Mutex::default(),
            store: Store::new(files, &settings),
            redo: Notify::new(),
        });
        let mut labels = vec![("module", "naming")];
        if settings.policies {
            labels.push((nacrite_core::node::input::POLICY_LABEL, "true"));
        }
        let rpc = Rpc::start(settings.clone(), servers, &labels, shared.clone()).await;
        let inner = Arc::new(Inner {
            settings,
            rpc,
            shared,
        });
        let tasks = Arc::from([
            Task::spawn(redo(Arc::downgrade(&inner))),
            Task::spawn(failover(Arc::downgrade(&inner))),
        ]);
        Ok(Self {
            inner,
            _tasks: tasks,
        })
    }

    /// Whether a connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.rpc.is_connected()
    }

    /// The server of the connection that stands.
    #[must_use]
    pub fn server(&self) -> Option<crate::ServerAddress> {
        self.inner.rpc.server()
    }

    /// Gives the connection up, as when the server did not know it: for tests and operators.
    pub fn reconnect(&self) {
        self.inner.rpc.kick();
    }

    fn key(&self, group: &str, service: &str) -> ServiceKey {
        ServiceKey::new(self.inner.settings.naming_namespace(), group, service)
    }

    /// Publishes one instance in the place of what this client published of the service. It stays published, over
    /// reconnects too, until it is withdrawn or this client ends.
    ///
    /// # Errors
    /// The server refused it, and then it is not tried again; or it could not be asked, and then it is.
    pub async fn register(
        &self,
        group: &str,
        service: &str,
        instance: Instance,
    ) -> Result<(), Error> {
        if !instance.ephemeral {
            return self
                .persistent(group, service, &instance, "registerInstance")
                .await;
        }
        self.publish(group, service, vec![instance]).await
    }

    /// Publishes several instances of one service, as [`Naming::register`] does one.
    ///
    /// # Errors
    /// As [`Naming::register`].
    pub async fn register_all(
        &self,
        group: &str,
        service: &str,
        instances: Vec<Instance>,
    ) -> Result<(), Error> {
        self.publish(group, service, instances).await
    }

    async fn publish(
        &self,
        group: &str,
        service: &str,
        instances: Vec<Instance>,
    ) -> Result<(), Error> {
        let key = self.key(group, service);
        let published = Published {
            instances,
            wanted: true,
            told: false,
        };
        self.inner
            .shared
            .records()
            .published
            .insert(key.clone(), published);
        let told = self.inner.tell_published(&key).await;
        if matches!(told, Err(Error::Refused { .. })) {
            self.inner.shared.records().published.remove(&key);
        }
        told
    }

    async fn persistent(
        &self,
        group: &str,
        service: &str,
        instance: &Instance,
        verb: &str,
    ) -> Result<(), Error> {
        if !self.inner.rpc.server_can("supportPersistentInstanceByGrpc") {
            return Err(Error::Refused {
                code: 501,
                message: "the server takes no persistent instances over gRPC".into(),
            });
        }
        let key = self.key(group, service);
        let mut body = named(&key);
        body["type"] = verb.into();
        body["instance"] = json!(instance);
        let asked = self.inner.ask("PersistentInstanceRequest", &body).await;
        asked.map(drop)
    }

    /// Withdraws an instance; of several, the others stay.
    ///
    /// # Errors
    /// As [`Naming::register`].
    pub async fn deregister(
        &self,
        group: &str,
        service: &str,
        instance: &Instance,
    ) -> Result<(), Error> {
        if !instance.ephemeral {
            return self
                .persistent(group, service, instance, "deregisterInstance")
                .await;
        }
        let key = self.key(group, service);
        {
            let mut records = self.inner.shared.records();
            let Some(published) = records.published.get_mut(&key) else {
                return Ok(());
            };
            let same = |other: &Instance| other.ip == instance.ip && other.port == instance.port;
            if published.instances.len() > 1 {
                published.instances.retain(|other| !same(other));
            } else if published.instances.first().is_some_and(same) {
                published.wanted = false;
            } else {
                return Ok(());
            }
            published.told = false;
        }
        self.inner.tell_published(&key).await
    }

    /// The instances of a service as the server has them now; those of these clusters (separated by commas; empty for
    /// all).
    ///
    /// # Errors
    /// The server refused or could not be asked.
    pub async fn query(
        &self,
        group: &str,
        service: &str,
        clusters: &str,
        healthy_only: bool,
    ) -> Result<SharedState, Error> {
        let key = self.key(group, service);
        let mut body = named(&key);
        body["cluster"] = clusters.into();
        body["healthyOnly"] = healthy_only.into();
        body["udpPort"] = 0.into();
        let answer = self.inner.ask("ServiceQueryRequest", &body).await?;
        let state = store::read(&answer.body);
        state.ok_or_else(|| Error::Transport("the answer has no service in it".into()))
    }

    /// Subscribes to a service: what is known of it now, and every change. The first call asks the server; later ones
    /// share what is there.
    ///
    /// # Errors
    /// The server refused. That it cannot be asked is no error if something is known of the service already (from a file).
    pub async fn subscribe(&self, group: &str, service: &str) -> Result<Subscription, Error> {
        let key = self.key(group, service);
        let receiver = self.inner.shared.store.watch(&key);
        let known = {
            let mut records = self.inner.shared.records();
            let told = records.subscribed.entry(key.clone()).or_insert(false);
            *told
        };
        if !known {
            match self.inner.tell_subscribed(&key).await {
                Ok(()) => {}
                Err(error @ Error::Refused { .. }) => {
                    self.inner.shared.records().subscribed.remove(&key);
                    return Err(error);
                }
                Err(error) if receiver.borrow().info.hosts.is_none() => return Err(error),
                Err(error) => tracing::warn!("{key} is served from its copy: {error}"),
            }
        }
        Ok(Subscription { receiver })
    }

    /// Ends the subscription to a service.
    ///
    /// # Errors
    /// The server could not be asked.
    pub async fn unsubscribe(&self, group: &str, service: &str) -> Result<(), Error> {
        let key = self.key(group, service);
        self.inner.shared.store.forget(&key);
        if self
            .inner
            .shared
            .records()
            .subscribed
            .remove(&key)
            .is_none()
        {
            return Ok(());
        }
        let mut body = named(&key);
        body["subscribe"] = false.into();
        body["clusters"] = "".into();
        let asked = self.inner.ask("SubscribeServiceRequest", &body).await;
        asked.map(drop)
    }

    /// Names of the services of a group, page by page from 1; and how many there are.
    ///
    /// # Errors
    /// The server refused or could not be asked.
    pub async fn services(
        &self,
        group: &str,
        page: u32,
        size: u32,
    ) -> Result<(u64, Vec<String>), Error> {
        let mut body = named(&self.key(group, ""));
        body["pageNo"] = page.into();
        body["pageSize"] = size.into();
        let answer = self.inner.ask("ServiceListRequest", &body).await?;
        let count = answer.body.get("count").and_then(Value::as_u64);
        let names = answer.body.get("serviceNames").and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        Ok((
            count.unwrap_or_default(),
            names.map(str::to_owned).collect(),
        ))
    }

    /// One instance that may be called, drawn by weight (Nacos `selectOneHealthyInstance`).
    ///
    /// # Errors
    /// There is none, or the service could not be had.
    pub async fn select_one(&self, group: &str, service: &str) -> Result<Instance, Error> {
        let subscription = self.subscribe(group, service).await?;
        let state = subscription.state();
        let none = |why| Error::NoInstance {
            service: service.into(),
            why,
        };
        let candidates = state.info.instances().iter().map(Instance::candidate);
        let mut balancer = Balancer::new(Policy::of("nacos-weighted"))
            .expect("a policy of nothing but a known rule is valid");
        balancer.update(0, candidates.collect());
        let chosen = crate::random::with(|r| balancer.choose(0, r, &Context::default()));
        let index = chosen.map_err(|why| none(why.as_str()))?.index as usize;
        let instance = state.info.instances().get(index);
        instance.cloned().ok_or_else(|| none("no-instances"))
    }
}

/// What is known of a service, and its changes.
#[derive(Clone, Debug)]
pub struct Subscription {
    receiver: watch::Receiver<SharedState>,
}

impl Subscription {
    /// What is known now.
    #[must_use]
    pub fn state(&self) -> SharedState {
        self.receiver.borrow().clone()
    }

    /// Waits for a change since the last call; what is known after it. None once the subscription is over.
    pub async fn changed(&mut self) -> Option<SharedState> {
        self.receiver.changed().await.ok()?;
        Some(self.receiver.borrow_and_update().clone())
    }
}

/// The fields by which every request names a service.
fn named(key: &ServiceKey) -> Value {
    json!({
        "namespace": &*key.namespace,
        "groupName": &*key.group,
        "serviceName": &*key.name,
        "headers": {},
        "module": "naming",
    })
}

impl Inner {
    async fn ask(&self, kind: &str, body: &Value) -> Result<Answer, Error> {
        let headers = [("app", &*self.settings.app)];
        self.rpc.request(kind, body, &headers).await
    }

    /// Tells the server what is published of a service, and marks it as told if nothing changed meanwhile.
    async fn tell_published(&self, key: &ServiceKey) -> Result<(), Error> {
        let Some(published) = self.shared.records().published.get(key).cloned() else {
            return Ok(());
        };
        let mut body = named(key);
        let kind = match (&published.instances[..], published.wanted) {
            ([one], true) => {
                body["type"] = "registerInstance".into();
                body["instance"] = json!(one);
                "InstanceRequest"
            }
            ([one, ..], false) => {
                body["type"] = "deregisterInstance".into();
                body["instance"] = json!(one);
                "InstanceRequest"
            }
            (all, _) => {
                body["type"] = "batchRegisterInstance".into();
                body["instances"] = json!(all);
                "BatchInstanceRequest"
            }
        };
        self.ask(kind, &body).await?;
        let mut records = self.shared.records();
        let same = |now: &&mut Published| {
            now.wanted == published.wanted && now.instances == published.instances
        };
        if let Some(now) = records.published.get_mut(key).filter(same) {
            now.told = true;
            if !now.wanted {
                records.published.remove(key);
            }
        }
        Ok(())
    }

    async fn tell_subscribed(&self, key: &ServiceKey) -> Result<(), Error> {
        let mut body = named(key);
        body["subscribe"] = true.into();
        body["clusters"] = "".into();
        let answer = self.ask("SubscribeServiceRequest", &body).await?;
        self.shared.store.take(&answer.body, "answered");
        if let Some(told) = self.shared.records().subscribed.get_mut(key) {
            *told = true;
        }
        Ok(())
    }

    /// Says again what the server has not been told.
    async fn redo(&self) {
        let (published, subscribed) = {
            let records = self.shared.records();
            let published = records.published.iter().filter(|(_, p)| !p.told);
            let subscribed = records.subscribed.iter().filter(|(_, told)| !**told);
            let published: Vec<ServiceKey> = published.map(|(k, _)| k.clone()).collect();
            let subscribed: Vec<ServiceKey> = subscribed.map(|(k, _)| k.clone()).collect();
            (published, subscribed)
        };
        for key in published {
            if let Err(error) = self.tell_published(&key).await {
                tracing::warn!("{key} is not published yet: {error}");
            }
        }
        for key in subscribed {
            if let Err(error) = self.tell_subscribed(&key).await {
                tracing::warn!("{key} is not subscribed to yet: {error}");
            }
        }
    }
}

async fn redo(inner: Weak<Inner>) {
    loop {
        let Some((shared, delay)) = inner
            .upgrade()
            .map(|inner| (inner.shared.clone(), inner.settings.redo_delay))
        else {
            return;
        };
        tokio::select! {
            () = shared.redo.notified() => {}
            () = tokio::time::sleep(delay) => {}
        }
        drop(shared);
        match inner.upgrade() {
            Some(inner) if inner.rpc.is_connected() => inner.redo().await,
            Some(_) => {}
            None => return,
        }
    }
}

async fn failover(inner: Weak<Inner>) {
    loop {
        let Some(delay) = inner.upgrade().map(|inner| {
            inner.shared.store.look_at_failover();
            inner.settings.failover_check
        }) else {
            return;
        };
        tokio::time::sleep(delay).await;
    }
}
