//! Discovery: registers, subscribes, and does both again after each new connection.
//!
//! What is wanted is kept here; what the server has been told is marked. A new connection clears the marks, and whatever
//! is not marked is said again at once and every 3 s until it is. The list of a service is what the server sent last, or
//! what stands in the failover folder while its switch is on.

mod store;
mod wire;

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

use self::{
    store::Store,
    wire::{GrpcWire, HasStore, HttpWire, Wire},
};
use crate::{
    Error, Instance, Protocol, Settings, SharedState,
    files::NamingFiles,
    fuzzy::{Fuzzy, FuzzyWatch},
    rpc::{Handler, Rpc},
    servers::ServerList,
    tasks::{Task, Turns},
    v1::V1,
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
    /// Counts lost connections: an answer that came over one says nothing of the next.
    lost: u64,
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
    wire: Wire,
    shared: Arc<Shared>,
    /// Callers and [`redo`] tell of the same keys.
    turns: Turns,
}

/// What the connection's side and the callers' side both see.
#[derive(Debug)]
struct Shared {
    records: Mutex<Records>,
    store: Store,
    redo: Notify,
    fuzzy: Fuzzy,
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HasStore for Shared {
    fn store(&self) -> &Store {
        &self.store
    }
}

impl Handler for Shared {
    fn connected(&self) {
        self.store.new_connection();
        self.redo.notify_one();
    }

    fn disconnected(&self) {
        self.fuzzy.disconnected();
        let mut records = self.records();
        records.lost += 1;
        records.published.values_mut().for_each(|p| p.told = false);
        records
            .subscribed
            .values_mut()
            .for_each(|told| *told = false);
    }

    fn pushed(&self, kind: &str, body: &Value) -> Option<Value> {
        if kind != "NotifySubscriberRequest" {
            return self.fuzzy.pushed(kind, body);
        }
        self.store.take(body, "pushed");
        Some(json!({}))
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
            fuzzy: Fuzzy::new(false),
        });
        let mut labels = vec![("module", "naming")];
        if settings.policies {
            labels.push((nacrite_core::node::input::POLICY_LABEL, "true"));
        }
        let wire = match settings.protocol {
            Protocol::Grpc => Wire::Grpc(Box::new(GrpcWire {
                v1: V1::new(settings.clone(), servers.clone()),
                rpc: Rpc::start(settings.clone(), servers, &labels, shared.clone()).await,
                settings: settings.clone(),
            })),
            Protocol::Http => {
                let store: Arc<dyn HasStore> = shared.clone();
                let v1 = V1::new(settings.clone(), servers);
                let wire = HttpWire::start(settings.clone(), v1, Arc::downgrade(&store));
                Wire::Http(wire.await)
            }
        };
        let inner = Arc::new(Inner {
            settings,
            wire,
            shared,
            turns: Turns::default(),
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

    /// Watches which services there are: those whose group and name match, exactly or by a `*` at the ends. Servers since 3.x
    /// do this, over gRPC.
    ///
    /// # Errors
    /// The pattern is none, the server refused it, or it is spoken to over HTTP.
    pub async fn watch_fuzzy(&self, group: &str, service: &str) -> Result<FuzzyWatch, Error> {
        let (namespace, rpc) = self.fuzzy_at()?;
        let fuzzy = &self.inner.shared.fuzzy;
        fuzzy.watch(rpc, namespace, group, service).await
    }

    /// Takes a fuzzy watch back, for all who have it.
    ///
    /// # Errors
    /// The server is spoken to over HTTP.
    pub async fn unwatch_fuzzy(&self, group: &str, service: &str) -> Result<(), Error> {
        let (namespace, rpc) = self.fuzzy_at()?;
        let fuzzy = &self.inner.shared.fuzzy;
        fuzzy.unwatch(rpc, namespace, group, service).await;
        Ok(())
    }

    fn fuzzy_at(&self) -> Result<(&str, &Rpc), Error> {
        match &self.inner.wire {
            Wire::Grpc(wire) => Ok((self.inner.settings.naming_namespace(), &wire.rpc)),
            Wire::Http(_) => Err(crate::fuzzy::over_http()),
        }
    }

    /// Whether a connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.wire.is_connected()
    }

    /// The server of the connection that stands.
    #[must_use]
    pub fn server(&self) -> Option<crate::ServerAddress> {
        self.inner.wire.server()
    }

    /// Gives the connection up, as when the server did not know it: for tests and operators.
    pub fn reconnect(&self) {
        self.inner.wire.kick();
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
            let key = self.key(group, service);
            return self.inner.wire.persistent(&key, &instance, true).await;
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
            let key = self.key(group, service);
            return self.inner.wire.persistent(&key, instance, false).await;
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
        let asked = self.inner.wire.query(&key, clusters, healthy_only);
        let state = store::read(&asked.await?);
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
        let _turn = self.inner.turns.of(&key).await;
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
        self.inner.wire.unsubscribe(&key).await
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
        let key = self.key(group, "");
        self.inner.wire.services(&key, page, size).await
    }

    /// One instance that may be called, drawn by weight (Nacos `selectOneHealthyInstance`).
    ///
    /// # Errors
    /// There is none, or the service could not be had.
    pub async fn select_one(&self, group: &str, service: &str) -> Result<Instance, Error> {
        let mut subscription = self.subscribe(group, service).await?;
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
    pub fn state(&mut self) -> SharedState {
        self.receiver.borrow_and_update().clone()
    }

    /// Waits for a change since it was last looked at; what is known after it. None once the subscription is over.
    pub async fn changed(&mut self) -> Option<SharedState> {
        self.receiver.changed().await.ok()?;
        Some(self.receiver.borrow_and_update().clone())
    }
}

impl Inner {
    /// Tells the server what is published of a service unless it has been told, and marks it as told if nothing changed
    /// meanwhile.
    async fn tell_published(&self, key: &ServiceKey) -> Result<(), Error> {
        let _turn = self.turns.of(key).await;
        let (published, lost) = {
            let records = self.shared.records();
            (records.published.get(key).cloned(), records.lost)
        };
        let Some(published) = published.filter(|p| !p.told) else {
            return Ok(());
        };
        self.wire.publish(key, &published).await?;
        let mut records = self.shared.records();
        let same = |now: &&mut Published| {
            now.wanted == published.wanted && now.instances == published.instances
        };
        if records.lost == lost
            && let Some(now) = records.published.get_mut(key).filter(same)
        {
            now.told = true;
            if !now.wanted {
                records.published.remove(key);
            }
        }
        Ok(())
    }

    async fn tell_subscribed(&self, key: &ServiceKey) -> Result<(), Error> {
        let _turn = self.turns.of(key).await;
        let lost = {
            let records = self.shared.records();
            if records.subscribed.get(key).is_none_or(|told| *told) {
                return Ok(());
            }
            records.lost
        };
        self.wire.subscribe(key, &self.shared.store).await?;
        let mut records = self.shared.records();
        if records.lost == lost
            && let Some(told) = records.subscribed.get_mut(key)
        {
            *told = true;
        }
        Ok(())
    }

    /// Says again what the server has not been told.
    async fn redo(&self) {
        if let Wire::Grpc(wire) = &self.wire {
            self.shared.fuzzy.tell_all(&wire.rpc).await;
        }
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
            Some(inner) if inner.wire.is_connected() => inner.redo().await,
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
