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
    balance::{Balancer, Candidate, Context, Outcome, Pick, Policy, PolicyError, Report, Ticket},
    model::DEFAULT_GROUP,
};

use crate::{Error, Instance, Naming, Settings, SharedState, tasks::Task};

/// Between two looks at what a balancer does by time.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);

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
    services: Mutex<HashMap<(String, String), Arc<Service>>>,
}

/// A service that is called.
#[derive(Debug)]
struct Service {
    name: String,
    current: RwLock<Arc<Balancer>>,
    /// Set here, and before all others.
    own: Mutex<Option<Policy>>,
    last: Mutex<SharedState>,
    follower: OnceLock<Task>,
}

/// Milliseconds on a clock that never goes back; never 0.
fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let passed = START.get_or_init(Instant::now).elapsed().as_millis();
    u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1)
}

impl Balancing {
    pub(crate) fn new(naming: Naming, settings: Arc<Settings>) -> Self {
        Self {
            inner: Arc::new(Inner {
                naming,
                settings,
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
            current: RwLock::new(Arc::new(balancer)),
            own: Mutex::default(),
            last: Mutex::default(),
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
        let balancer = service.balancer();
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
        let picked = crate::random::with(|r| balancer.choose(now, r, &context));
        let pick = picked.map_err(|why| Error::NoInstance {
            service: service.name.clone(),
            why: why.as_str(),
        })?;
        let ticket = balancer.start(pick, now);
        Ok(Choice {
            balancer,
            pick,
            ticket,
        })
    }

    /// Counts one more request to an instance that was chosen before.
    pub(crate) async fn choose_address(
        &self,
        group: &str,
        service: &str,
        address: &str,
    ) -> Result<Choice, Error> {
        let service = self.service(group, service).await?;
        let balancer = service.balancer();
        let index = balancer.candidates().iter().position(|c| c.id == address);
        let index = index.ok_or_else(|| Error::NoInstance {
            service: service.name.clone(),
            why: "it-left",
        })?;
        let pick = Pick {
            epoch: balancer.epoch(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
        };
        let ticket = balancer.start(pick, now_ms());
        Ok(Choice {
            balancer,
            pick,
            ticket,
        })
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
    fn balancer(&self) -> Arc<Balancer> {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
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
    fn follow(&self, state: SharedState, settings: &Settings) {
        let mut last = lock(&self.last);
        let now = now_ms();
        let before = self.balancer();
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
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(next);
        *last = state;
    }
}

/// An instance that was chosen, and a request to it that has begun. Dropping it counts the request as cancelled.
#[derive(Debug)]
pub struct Choice {
    balancer: Arc<Balancer>,
    pick: Pick,
    ticket: Option<Ticket>,
}

impl Choice {
    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.candidate().id
    }

    /// The instance as the rule saw it.
    #[must_use]
    pub fn candidate(&self) -> &Candidate {
        &self.balancer.candidates()[self.pick.index as usize]
    }

    /// Counts the request as ended.
    pub fn finish(mut self, report: impl Into<Report>) {
        self.end(report.into());
    }

    fn end(&mut self, report: Report) {
        if let Some(ticket) = self.ticket.take() {
            self.balancer.finish(ticket, now_ms(), report);
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
