//! What is known of services: what servers sent last, what operators put in its place, and who is told.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nacrite_core::{api::own::PolicyJson, model::ServiceKey, model::split_grouped};
use serde_json::Value;
use tokio::sync::watch;

use crate::{Instance, ServiceInfo, ServiceState, Settings, SharedState, files::NamingFiles};

/// Everything that is known.
#[derive(Debug)]
pub(crate) struct Store {
    namespace: String,
    empty_protection: bool,
    files: Option<NamingFiles>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    services: HashMap<ServiceKey, Known>,
    /// What the failover folder holds while its switch is on.
    failover: Option<BTreeMap<ServiceKey, SharedState>>,
    /// Counts connections: clocks of servers differ, so an older stamp over a new connection may be newer.
    connection: u64,
}

#[derive(Debug)]
struct Known {
    /// From the server; none before it said anything.
    last: Option<SharedState>,
    /// The connection that it came over.
    connection: u64,
    told: watch::Sender<SharedState>,
}

/// Reads the service and its policy out of an answer or a push.
pub(crate) fn read(body: &Value) -> Option<SharedState> {
    let info = ServiceInfo::read(body.get("serviceInfo")?)?;
    let policy = body.get("policy").and_then(|value| {
        let read = serde_json::from_value::<PolicyJson>(value.clone());
        read.map_err(|error| tracing::warn!("a policy cannot be read: {error}"))
            .ok()
    });
    Some(Arc::new(ServiceState {
        info,
        policy,
        from_failover: false,
    }))
}

impl Store {
    pub(crate) fn new(files: Option<NamingFiles>, settings: &Settings) -> Self {
        let store = Self {
            namespace: settings.naming_namespace().into(),
            empty_protection: settings.empty_protection,
            files,
            inner: Mutex::default(),
        };
        if settings.load_cache_at_start {
            let saved = store.files.iter().flat_map(NamingFiles::load);
            let mut inner = store.inner();
            for (key, state) in store.parsed(saved, false) {
                inner.known(&key).last = Some(state);
            }
            inner.publish_all();
            drop(inner);
        }
        store
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_of(&self, info: &ServiceInfo) -> ServiceKey {
        let (own, name) = split_grouped(&info.name);
        ServiceKey::new(&self.namespace, own.unwrap_or(&info.group_name), name)
    }

    fn parsed(
        &self,
        files: impl IntoIterator<Item = (String, String)>,
        from_failover: bool,
    ) -> Vec<(ServiceKey, SharedState)> {
        let read = |(name, text): (String, String)| {
            let info = serde_json::from_str(&text).ok();
            let info = info.as_ref().and_then(ServiceInfo::read);
            let Some(info) = info else {
                tracing::warn!("the file of {name} holds no service");
                return None;
            };
            let key = self.key_of(&info);
            let state = ServiceState {
                info,
                policy: None,
                from_failover,
            };
            Some((key, Arc::new(state)))
        };
        files.into_iter().filter_map(read).collect()
    }

    /// Stamps are compared within one connection alone.
    pub(crate) fn new_connection(&self) {
        self.inner().connection += 1;
    }

    /// Tells of a service from now on.
    pub(crate) fn watch(&self, key: &ServiceKey) -> watch::Receiver<SharedState> {
        let mut inner = self.inner();
        inner.known(key);
        inner.publish(key);
        inner.known(key).told.subscribe()
    }

    /// Forgets a service; who watches it is told no more.
    pub(crate) fn forget(&self, key: &ServiceKey) {
        self.inner().services.remove(key);
    }

    /// Takes in an answer or a push. A list that is none is left out, and so is one that is older than what is known.
    pub(crate) fn take(&self, body: &Value, how: &str) {
        let Some(state) = read(body) else {
            tracing::warn!("what was {how} has no service in it");
            return;
        };
        let key = self.key_of(&state.info);
        if state.info.hosts.is_none() {
            tracing::warn!("{key} was {how} without a list; it is left out");
            return;
        }
        let callable =
            || state.info.all_ips || state.info.instances().iter().any(Instance::is_callable);
        if self.empty_protection && !callable() {
            tracing::warn!("{key} was {how} with nothing to call; it is left out");
            return;
        }
        let mut inner = self.inner();
        let connection = inner.connection;
        let Some(known) = inner.services.get_mut(&key) else {
            return;
        };
        let last = known.last.as_ref();
        if known.connection == connection
            && last.is_some_and(|last| last.info.last_ref_time > state.info.last_ref_time)
        {
            tracing::debug!("{key} was {how} late; it is left out");
            return;
        }
        let changed = last.is_none_or(|last| last.info.hosts != state.info.hosts);
        known.last = Some(state.clone());
        known.connection = connection;
        inner.publish(&key);
        drop(inner);
        if changed && let Some(files) = &self.files {
            let text = serde_json::to_string(&state.info).expect("a service has text keys");
            files.save(&key.grouped(), &text);
        }
    }

    /// Takes in a list that came without a policy: the one that is known stays.
    pub(crate) fn take_list(&self, list: &Value) {
        let mut body = serde_json::json!({ "serviceInfo": list });
        let policy = ServiceInfo::read(list).and_then(|info| {
            let inner = self.inner();
            let known = inner.services.get(&self.key_of(&info))?;
            known.last.as_ref()?.policy.clone()
        });
        if let Some(policy) = policy {
            body["policy"] = serde_json::json!(policy);
        }
        self.take(&body, "pushed");
    }

    /// Looks at the failover folder: what is in it goes before servers while its switch is on.
    pub(crate) fn look_at_failover(&self) {
        let Some(files) = &self.files else { return };
        let found = files.failover().map(|files| {
            let mut states = self.parsed(files, true);
            states.retain(|(_, state)| !state.info.instances().is_empty());
            states.into_iter().collect::<BTreeMap<_, _>>()
        });
        let mut inner = self.inner();
        if inner.failover != found {
            tracing::info!(
                "failover of services is {}",
                if found.is_some() { "on" } else { "off" }
            );
            inner.failover = found;
            inner.publish_all();
        }
    }
}

impl Inner {
    fn known(&mut self, key: &ServiceKey) -> &mut Known {
        self.services.entry(key.clone()).or_insert_with(|| Known {
            last: None,
            connection: 0,
            told: watch::Sender::new(SharedState::default()),
        })
    }

    fn publish(&mut self, key: &ServiceKey) {
        let failover = self.failover.as_ref().and_then(|all| all.get(key)).cloned();
        let Some(known) = self.services.get(key) else {
            return;
        };
        let Some(state) = failover.or_else(|| known.last.clone()) else {
            return;
        };
        known.told.send_if_modified(|told| {
            let changed = told.info.hosts != state.info.hosts
                || told.policy != state.policy
                || told.from_failover != state.from_failover;
            *told = state;
            changed
        });
    }

    fn publish_all(&mut self) {
        let keys: Vec<ServiceKey> = self.services.keys().cloned().collect();
        keys.iter().for_each(|key| self.publish(key));
    }
}
