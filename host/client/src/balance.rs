//! Choosing instances: a balancer for each service that is called, fed by what servers push and by how calls end.
//!
//! Which policy is in force, the first that there is: one that was set here; lines of `ribbon.*` configuration, over the
//! server's; the server's; the default. A policy that cannot be used leaves the one before it in force.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use nacrite_core::{
    balance::{
        Balancer, Candidate, Context, NoPick, Outcome, Pick, Policy, PolicyError, Report, RuleName,
        Ticket,
    },
    model::DEFAULT_GROUP,
};

use crate::{
    Error, Instance, Naming, Settings, SharedState,
    plugins::{Front, Plugins},
    tasks::Task,
};

/// Between two looks at what a balancer does by time.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to fetch a plugin: at first, and at most.
const FETCH_PAUSE: Duration = Duration::from_secs(1);
const FETCH_PAUSE_MOST: Duration = Duration::from_secs(30);

/// What a request says that matters to a choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// Key of consistent hashing.
    pub key: Option<&'a str>,
    /// Spring's hint (`X-SC-LB-Hint`).
    pub hint: Option<&'a str>,
    /// Addresses that this request has been to already.
    pub tried: &'a [String],
}

/// Chooses instances of any service.
#[derive(Clone, Debug)]
pub struct Balancing {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    naming: Naming,
    settings: Arc<Settings>,
    plugins: Arc<Plugins>,
    services: Mutex<HashMap<(String, String), Arc<Service>>>,
}

/// A plugin that a policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// SHA-256 of the version that is meant, hexadecimal; none for the newest.
    pub(crate) digest: Option<String>,
    /// Its configuration, JSON.
    pub(crate) config: String,
}

/// How the plugin in front of a service's balancer fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// SHA-256 of its module, hexadecimal.
    pub digest: String,
    /// It failed too often and is asked no more; the rule that its policy falls back to answers.
    pub suspended: bool,
    /// Failures since it was put there.
    pub failures: u64,
    /// The newest failure.
    pub last: Option<String>,
}

/// Who chooses for a service.
#[derive(Debug)]
struct Chooser {
    balancer: Arc<Balancer>,
    /// The plugin that its policy names, once it is there.
    front: Option<Arc<Front>>,
}

impl Chooser {
    fn choose(&self, now: u64, context: &Context<'_>) -> Result<Pick, NoPick> {
        match &self.front {
            Some(front) => front.choose(&self.balancer, now, context),
            None => crate::random::with(|r| self.balancer.choose(now, r, context)),
        }
    }
}

/// A service that is called.
#[derive(Debug)]
struct Service {
    name: String,
    plugins: Arc<Plugins>,
    current: RwLock<Arc<Chooser>>,
    /// Set here, and before all others.
    own: Mutex<Option<Policy>>,
    last: Mutex<SharedState>,
    /// The plugin that the policy in force names, and who fetches it. Locked after `last`.
    wanted: Mutex<(Option<Wanted>, Option<Task>)>,
    follower: OnceLock<Task>,
}

/// Milliseconds on a clock that never goes back; never 0.
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let passed = START.get_or_init(Instant::now).elapsed().as_millis();
    u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1)
}

impl Balancing {
    pub(crate) fn new(naming: Naming, settings: Arc<Settings>, plugins: Plugins) -> Self {
        Self {
            inner: Arc::new(Inner {
                naming,
                settings,
                plugins: Arc::new(plugins),
                services: Mutex::default(),
            }),
        }
    }

    /// The service's balancer; the first call subscribes to the service.
    async fn service(&self, group: &str, name: &str) -> Result<Arc<Service>, Error> {
        let group = if group.is_empty() {
            DEFAULT_GROUP
        } else {
            group
        };
        let key = (group.to_owned(), name.to_owned());
        let known = lock(&self.inner.services).get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut subscription = self.inner.naming.subscribe(group, name).await?;
        let balancer = Balancer::new(Policy::default()).expect("the default policy is valid");
        let service = Arc::new(Service {
            name: name.to_owned(),
            plugins: self.inner.plugins.clone(),
            current: RwLock::new(Arc::new(Chooser {
                balancer: Arc::new(balancer),
                front: None,
            })),
            own: Mutex::default(),
            last: Mutex::default(),
            wanted: Mutex::default(),
            follower: OnceLock::new(),
        });
        service.follow(subscription.state(), &self.inner.settings);
        let service = lock(&self.inner.services)
            .entry(key)
            .or_insert(service)
            .clone();
        let (weak, settings) = (Arc::downgrade(&service), self.inner.settings.clone());
        service.follower.get_or_init(|| {
            Task::spawn(async move {
                loop {
                    let changed = tokio::time::timeout(MAINTAIN_EVERY, subscription.changed());
                    let changed = changed.await;
                    let Some(service) = weak.upgrade() else {
                        return;
                    };
                    match changed {
                        Ok(Some(state)) => service.follow(state, &settings),
                        Ok(None) => return,
                        Err(_) => service.balancer().maintain(now_ms()),
                    }
                }
            })
        });
        Ok(service)
    }

    /// Chooses an instance of a service of the group (empty for the default one), and counts a request to it as begun.
    ///
    /// # Errors
    /// No instance may be called, or the service could not be had.
    pub async fn choose(
        &self,
        group: &str,
        service: &str,
        hints: Hints<'_>,
    ) -> Result<Choice, Error> {
        let service = self.service(group, service).await?;
        let chooser = service.chooser();
        let balancer = &chooser.balancer;
        let candidates = balancer.candidates();
        let tried: Vec<u32> = (0..)
            .zip(candidates)
            .filter(|(_, candidate)| hints.tried.contains(&candidate.id))
            .map(|(index, _)| index)
            .collect();
        let context = Context {
            key: hints.key,
            hint: balancer.policy().request_hint(hints.hint),
            tried: &tried,
            ..Context::default()
        };
        let now = now_ms();
        let picked = chooser.choose(now, &context);
        let pick = picked.map_err(|why| Error::NoInstance {
            service: service.name.clone(),
            why: why.as_str(),
        })?;
        Ok(Choice::begin(chooser, pick, now))
    }

    /// Counts one more request to an instance that was chosen before.
    pub(crate) async fn choose_address(
        &self,
        group: &str,
        service: &str,
        address: &str,
    ) -> Result<Choice, Error> {
        let service = self.service(group, service).await?;
        let chooser = service.chooser();
        let balancer = &chooser.balancer;
        let index = balancer.candidates().iter().position(|c| c.id == address);
        let index = index.ok_or_else(|| Error::NoInstance {
            service: service.name.clone(),
            why: "it-left",
        })?;
        let pick = Pick {
            epoch: balancer.epoch(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
        };
        Ok(Choice::begin(chooser, pick, now_ms()))
    }

    /// Sets the policy of a service here, before all others; none takes it back.
    ///
    /// # Errors
    /// The policy is not valid, and nothing changed; or the service could not be had.
    pub async fn set_policy(
        &self,
        group: &str,
        service: &str,
        policy: Option<Policy>,
    ) -> Result<(), Error> {
        if let Some(policy) = &policy {
            policy.validate().map_err(|why| Error::Setting {
                name: "policy",
                why: why.to_string(),
            })?;
        }
        let service = self.service(group, service).await?;
        *lock(&service.own) = policy;
        let last = lock(&service.last).clone();
        service.follow(last, &self.inner.settings);
        Ok(())
    }

    /// The policy in force for a service.
    ///
    /// # Errors
    /// The service could not be had.
    pub async fn policy(&self, group: &str, service: &str) -> Result<Policy, Error> {
        let service = self.service(group, service).await?;
        Ok(service.balancer().policy().clone())
    }

    /// How the plugin fares that a service's policy names; none if it names none, or as long as it is not there.
    ///
    /// # Errors
    /// The service could not be had.
    pub async fn plugin(&self, group: &str, service: &str) -> Result<Option<PluginStatus>, Error> {
        let service = self.service(group, service).await?;
        let chooser = service.chooser();
        Ok(chooser.front.as_deref().map(Front::status))
    }

    /// Asks a suspended plugin again.
    ///
    /// # Errors
    /// The service could not be had.
    pub async fn resume_plugin(&self, group: &str, service: &str) -> Result<(), Error> {
        let service = self.service(group, service).await?;
        if let Some(front) = &service.chooser().front {
            front.resume();
        }
        Ok(())
    }

    /// What a service's rule chooses from now.
    ///
    /// # Errors
    /// The service could not be had.
    pub async fn candidates(&self, group: &str, service: &str) -> Result<Vec<Candidate>, Error> {
        let service = self.service(group, service).await?;
        Ok(service.balancer().candidates().to_vec())
    }
}

impl Service {
    fn chooser(&self) -> Arc<Chooser> {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn balancer(&self) -> Arc<Balancer> {
        self.chooser().balancer.clone()
    }

    fn replace(&self, balancer: Arc<Balancer>, front: Option<Arc<Front>>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(Chooser { balancer, front });
    }

    /// The plugin that a policy names.
    fn plugin_of(&self, policy: &Policy, state: &SharedState) -> Option<Wanted> {
        let Ok(RuleName::Plugin(name)) = policy.rule() else {
            return None;
        };
        let from_server = state.policy.as_ref().and_then(|p| p.plugin.as_ref());
        let from_server = from_server.filter(|of| of.name == name && lock(&self.own).is_none());
        let digest = from_server.map(|of| of.digest.clone());
        Some(Wanted {
            name,
            digest: digest.filter(|digest| !digest.is_empty()),
            config: policy
                .config
                .as_ref()
                .map_or_else(|| "{}".to_owned(), ToString::to_string),
        })
    }

    /// Fetches a plugin, again and again until it is there; until then the rule that the policy falls back to answers.
    fn fetch(self: &Arc<Self>, wanted: Wanted) -> Task {
        let (weak, plugins) = (Arc::downgrade(self), self.plugins.clone());
        Task::spawn(async move {
            let mut pause = FETCH_PAUSE;
            loop {
                match plugins.load(&wanted).await {
                    Ok(front) => {
                        if let Some(service) = weak.upgrade() {
                            service.put(&wanted, front);
                        }
                        return;
                    }
                    Err(why) => tracing::warn!(
                        "plugin {} cannot be had, the fallback rule answers: {why}",
                        wanted.name
                    ),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(FETCH_PAUSE_MOST);
            }
        })
    }

    /// Puts a plugin in front, if it is still wanted.
    fn put(&self, wanted: &Wanted, front: Front) {
        let _policy_stays = lock(&self.last);
        if lock(&self.wanted).0.as_ref() == Some(wanted) {
            self.replace(self.balancer(), Some(Arc::new(front)));
        }
    }

    fn wanted(&self, state: &SharedState, settings: &Settings) -> Result<Policy, PolicyError> {
        if let Some(own) = lock(&self.own).clone() {
            return Ok(own);
        }
        let document = state.policy.as_ref().and_then(|p| p.policy.as_ref());
        let base = match document {
            Some(document) => Policy::from_json(document.to_string().as_bytes())?,
            None => Policy::default(),
        };
        base.with_properties(&self.name, &settings.properties)
    }

    /// Takes over instances and policy; statistics of those that stay are kept.
    fn follow(self: &Arc<Self>, state: SharedState, settings: &Settings) {
        let mut last = lock(&self.last);
        let now = now_ms();
        let chooser = self.chooser();
        let before = &chooser.balancer;
        let candidates = state.info.instances().iter().map(Instance::candidate);
        let mut next = before.updated(now, candidates.collect());
        let policy = self.wanted(&state, settings);
        let policied = policy.and_then(|policy| {
            if policy == *next.policy() {
                Ok(None)
            } else {
                next.with_policy(now, policy).map(Some)
            }
        });
        match policied {
            Ok(Some(policied)) => next = policied,
            Ok(None) => {}
            Err(why) => tracing::warn!(
                "{}: a policy cannot be used, the one before stays: {why}",
                self.name
            ),
        }
        let plugin = self.plugin_of(next.policy(), &state);
        let mut wanted = lock(&self.wanted);
        let stays = wanted.0 == plugin;
        let front = chooser.front.clone().filter(|_| stays);
        self.replace(Arc::new(next), front);
        if !stays {
            *wanted = (plugin.clone(), plugin.map(|plugin| self.fetch(plugin)));
        }
        drop(wanted);
        *last = state;
    }
}

/// An instance that was chosen, and a request to it that has begun. Dropping it counts the request as cancelled.
#[derive(Debug)]
pub struct Choice {
    chooser: Arc<Chooser>,
    pick: Pick,
    begun: Instant,
    ticket: Option<Ticket>,
}

impl Choice {
    fn begin(chooser: Arc<Chooser>, pick: Pick, now: u64) -> Self {
        if let Some(front) = &chooser.front {
            front.start(pick, now);
        }
        let ticket = chooser.balancer.start(pick, now);
        Self {
            chooser,
            pick,
            begun: Instant::now(),
            ticket,
        }
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.candidate().id
    }

    /// The instance as the rule saw it.
    #[must_use]
    pub fn candidate(&self) -> &Candidate {
        &self.chooser.balancer.candidates()[self.pick.index as usize]
    }

    /// Counts the request as ended.
    pub fn finish(mut self, report: impl Into<Report>) {
        self.end(report.into());
    }

    fn end(&mut self, report: Report) {
        if let Some(ticket) = self.ticket.take() {
            let now = now_ms();
            if let Some(front) = &self.chooser.front {
                let given = report.response_ms.map(|ms| ms.clamp(0.0, 1e12) / 1_000.0);
                let took = given.map_or_else(|| self.begun.elapsed(), Duration::from_secs_f64);
                front.report(self.pick, report.outcome, took, now);
            }
            self.chooser.balancer.finish(ticket, now, report);
        }
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.end(Outcome::OtherFailure.into());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
