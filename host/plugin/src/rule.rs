//! A plugin in front of a service's balancer: one instance for each thread, and the balancer when the plugin does not answer.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nacrite_core::balance::hash::xxh64;
use nacrite_core::balance::{Balancer, Context, NoPick, Outcome, Pick, SplitMix64};

use crate::failure::{Failure, Refused};
use crate::instance::{Chosen, Instance};
use crate::module::Plugin;
use crate::snapshot::Snapshot;
use crate::suspension::Record;

/// A plugin with its configuration, for one service. Many threads choose by it at once.
#[derive(Clone, Debug)]
pub struct PluginRule(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    number: u64,
    plugin: Plugin,
    config: String,
    record: Record,
    /// The newest list that a thread needed.
    snapshot: Mutex<Option<Snapshot>>,
}

/// How a plugin fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// It failed too often and is asked no more.
    pub suspended: bool,
    /// Failures since it was made.
    pub failures: u64,
    /// The newest failure.
    pub last: Option<Failure>,
}

/// This thread's instance of one rule.
struct Held {
    number: u64,
    rule: Weak<Shared>,
    instance: Option<Instance>,
}

thread_local! {
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl PluginRule {
    /// A rule; the configuration (JSON) is tried at once.
    ///
    /// # Errors
    /// When the plugin refuses it, or fails.
    pub fn new(plugin: &Plugin, config: &str) -> Result<Self, Refused> {
        Instance::new(plugin, config)?;
        Ok(Self(Arc::new(Shared {
            number: NUMBERS.fetch_add(1, Relaxed),
            plugin: plugin.clone(),
            config: config.to_owned(),
            record: Record::default(),
            snapshot: Mutex::new(None),
        })))
    }

    /// How it fares.
    #[must_use]
    pub fn status(&self) -> Status {
        let record = &self.0.record;
        Status {
            suspended: record.is_suspended(),
            failures: record.failures(),
            last: record.last(),
        }
    }

    /// Asks a suspended plugin again.
    pub fn resume(&self) {
        self.0.record.resume();
    }

    /// Chooses an instance of the balancer's list. `rand` are 64 random bits of this pick; `now_ms` is the monotonic clock that
    /// the balancer is used with. The balancer must be of one lineage (`update`, `updated`), so that its epochs tell its lists
    /// apart.
    ///
    /// # Errors
    /// [`NoPick`] of the plugin ([`NoPick::GaveUp`], or [`NoPick::NoInstances`] for an empty list) or of the balancer.
    pub fn choose(
        &self,
        balancer: &Balancer,
        now_ms: u64,
        rand: u64,
        context: &Context<'_>,
    ) -> Result<Pick, NoPick> {
        if !self.0.record.is_suspended() {
            let asked = self.with_instance(now_ms, |instance| {
                self.ask(instance, balancer, now_ms, rand, context)
            });
            match asked {
                Some(Chosen::Index(index)) => {
                    return Ok(Pick {
                        epoch: balancer.epoch(),
                        index,
                    });
                }
                Some(Chosen::None) if balancer.candidates().is_empty() => {
                    return Err(NoPick::NoInstances);
                }
                Some(Chosen::None) => return Err(NoPick::GaveUp),
                Some(Chosen::Fallback) | None => {}
            }
        }
        balancer.choose(now_ms, &mut SplitMix64::new(rand), context)
    }

    fn ask(
        &self,
        instance: &mut Instance,
        balancer: &Balancer,
        now_ms: u64,
        rand: u64,
        context: &Context<'_>,
    ) -> Result<Chosen, Failure> {
        if instance.epoch() != Some(balancer.epoch()) {
            instance.update(&self.snapshot(balancer))?;
        }
        let mut bits = instance.refresh(balancer, now_ms) | instance.mark_tried(context.tried);
        let key = context
            .key_hash
            .or_else(|| context.key.map(|key| xxh64(key.as_bytes(), 0)));
        if key.is_some() {
            bits |= nacrite_balance_plugin::choose::KEY;
        }
        instance.choose(key.unwrap_or_default(), rand, now_ms, bits)
    }

    /// Tells the plugin that a request starts, when it counts and has this list. The balancer is told apart from this.
    pub fn start(&self, pick: Pick, now_ms: u64) {
        if self.0.plugin.counts() {
            self.tell(pick, now_ms, |instance| instance.start(pick.index, now_ms));
        }
    }

    /// Tells the plugin that a request ended.
    pub fn report(&self, pick: Pick, outcome: Outcome, latency_us: u64, now_ms: u64) {
        if self.0.plugin.counts() {
            let code = match outcome {
                Outcome::Success => 0,
                Outcome::ServerError => 1,
                Outcome::GatewayError => 2,
                Outcome::CircuitFailure => 3,
                Outcome::OtherFailure => 4,
            };
            self.tell(pick, now_ms, |instance| {
                instance.report(pick.index, code, latency_us, now_ms)
            });
        }
    }

    fn tell(
        &self,
        pick: Pick,
        now_ms: u64,
        call: impl FnOnce(&mut Instance) -> Result<(), Failure>,
    ) {
        if !self.0.record.is_suspended() {
            self.with_instance(now_ms, |instance| match instance.epoch() {
                Some(epoch) if epoch == pick.epoch => call(instance),
                _ => Ok(()),
            });
        }
    }

    fn snapshot(&self, balancer: &Balancer) -> Snapshot {
        let mut kept = self
            .0
            .snapshot
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(snapshot) if snapshot.epoch() == balancer.epoch() => snapshot.clone(),
            _ => kept.insert(Snapshot::of(balancer)).clone(),
        }
    }

    /// Calls this thread's instance, made when there is none; after a failure it is gone. None when it failed.
    #[inline]
    fn with_instance<T>(
        &self,
        now_ms: u64,
        call: impl FnOnce(&mut Instance) -> Result<T, Failure>,
    ) -> Option<T> {
        HELD.with_borrow_mut(|held| {
            let at = match held.iter().position(|one| one.number == self.0.number) {
                Some(at) => at,
                None => self.hold(held),
            };
            let place = &mut held[at].instance;
            if place.is_none() {
                match Instance::new(&self.0.plugin, &self.0.config) {
                    Ok(instance) => *place = Some(instance),
                    Err(refused) => {
                        self.failed(&Failure::Trap(refused.to_string()), now_ms);
                        return None;
                    }
                }
            }
            match call(place.as_mut()?) {
                Ok(answer) => Some(answer),
                Err(failure) => {
                    *place = None;
                    self.failed(&failure, now_ms);
                    None
                }
            }
        })
    }

    /// A place in this thread for the rule; those of rules that are gone are given up.
    #[cold]
    fn hold(&self, held: &mut Vec<Held>) -> usize {
        held.retain(|one| one.rule.strong_count() > 0);
        held.push(Held {
            number: self.0.number,
            rule: Arc::downgrade(&self.0),
            instance: None,
        });
        held.len() - 1
    }

    #[cold]
    fn failed(&self, failure: &Failure, now_ms: u64) {
        let limits = self.0.plugin.0.engine.limits();
        let name = self.0.plugin.name();
        if self.0.record.note(failure, now_ms, limits) {
            tracing::warn!(plugin = name, %failure, "suspended after {} failures in {} s; the fallback rule answers", limits.failures, limits.window_ms / 1000);
        } else {
            tracing::debug!(plugin = name, %failure, "a plugin failed; the fallback rule answers");
        }
    }
}
