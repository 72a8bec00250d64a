//! [`Balancer`]: a policy, the instances and their statistics behind four calls.

use super::candidate::{Candidate, Flags};
use super::names::RuleName;
use super::policy::{Policy, PolicyError};
use super::query::{Context, Mask, NoPick, Plan, Query};
use super::registry::Registry;
use super::rng::Rng;
use super::rule::predicate::Cyclic;
use super::rule::zone_affinity::{self, Server};
use super::rule::{Rule, locality, zone_aware};
use super::stage::{self, outlier, slow_start};
use super::stats::{Loads, Stats};
use super::table::{Scope, Table};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A chosen member: its index in the list of that epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Epoch of the list, from [`Balancer::epoch`].
    pub epoch: u64,
    /// Index into the candidates of that update.
    pub index: u32,
}

/// A zone's own copy of the rule.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) scope: Scope,
    pub(super) rule: Rule,
    /// Of the zone, for the locality rule.
    weight: f64,
}

/// Chooses instances of one service by a policy.
///
/// `choose`, `start`, `finish` and `maintain` take `&self`, touch atomics only and allocate nothing, so one balancer serves many
/// threads. `update` needs it alone; [`updated`](Self::updated) makes the next balancer beside it, with the same
/// statistics, for hosts that swap a pointer. A choice made before the swap carries the older epoch.
#[derive(Debug)]
pub struct Balancer {
    pub(super) plan: Arc<Plan>,
    pub(super) table: Table,
    pub(super) scope: Scope,
    pub(super) rule: Rule,
    pub(super) copies: Vec<Copy>,
    pub(super) loads: Arc<Loads>,
    pub(super) known: Registry,
    pub(super) weighed_ms: AtomicU64,
    pub(super) judged_ms: AtomicU64,
    pub(super) reads_cost: bool,
    /// From this time on no member is young.
    pub(super) grown_ms: u64,
}

impl Balancer {
    /// A balancer without instances.
    ///
    /// # Errors
    /// [`PolicyError`] when the policy is not valid.
    pub fn new(policy: Policy) -> Result<Self, PolicyError> {
        let plan = Arc::new(Plan::new(policy)?);
        let (table, scope) = (Table::default(), Scope::default());
        let rule = Rule::new(&plan.rule, &plan, &table, &scope);
        Ok(Self {
            reads_cost: rule.reads_cost(),
            rule,
            plan,
            table,
            scope,
            copies: Vec::new(),
            loads: Arc::new(Loads::new()),
            known: Registry::default(),
            weighed_ms: AtomicU64::new(0),
            judged_ms: AtomicU64::new(0),
            grown_ms: 0,
        })
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.plan.policy
    }

    /// Number of the current list; grows with each update.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.table.epoch
    }

    /// The current list, in the order it was given.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.table.candidates
    }

    /// The chosen candidate; none when the pick is of another list.
    #[must_use]
    pub fn candidate(&self, pick: Pick) -> Option<&Candidate> {
        if pick.epoch == self.table.epoch {
            self.table.candidates.get(pick.index as usize)
        } else {
            None
        }
    }

    /// Statistics of a server that is or was in the list.
    #[must_use]
    pub fn stats(&self, id: &str) -> Option<&Stats> {
        self.known.stats(id)
    }

    /// Reports for servers that nobody knows.
    #[must_use]
    pub fn unknown_reports(&self) -> u64 {
        self.loads.unknown.load(Relaxed)
    }

    /// Cumulative weights of the response-time rule, for consoles and tests; none for other rules.
    #[must_use]
    pub fn response_weights(&self) -> Option<Vec<f64>> {
        self.rule.response_weights()
    }

    /// Replaces the list. Statistics, counters and balances of those that stay are kept.
    pub fn update(&mut self, now_ms: u64, candidates: Vec<Candidate>) {
        self.update_probed(now_ms, candidates, None);
    }

    /// Replaces the list, with the answer of each member to the last probe of the caller; none = there are no probes.
    pub fn update_probed(
        &mut self,
        now_ms: u64,
        candidates: Vec<Candidate>,
        reachable: Option<&[bool]>,
    ) {
        let known = core::mem::take(&mut self.known);
        *self = self.next(Arc::clone(&self.plan), known, now_ms, candidates, reachable);
    }

    /// The balancer after an update, beside this one; they share the statistics.
    #[must_use]
    pub fn updated(&self, now_ms: u64, candidates: Vec<Candidate>) -> Self {
        self.next(
            Arc::clone(&self.plan),
            self.known.clone(),
            now_ms,
            candidates,
            None,
        )
    }

    /// The balancer under another policy, with the same list and statistics. Counters start anew when the rule changes.
    ///
    /// # Errors
    /// [`PolicyError`] when the policy is not valid.
    pub fn with_policy(&self, now_ms: u64, policy: Policy) -> Result<Self, PolicyError> {
        let plan = Arc::new(Plan::new(policy)?);
        let mut candidates = self.table.candidates.to_vec();
        for (index, candidate) in (0..).zip(&mut candidates) {
            candidate.flags = Flags::from_bits(self.table.bits(index));
        }
        Ok(self.next(plan, self.known.clone(), now_ms, candidates, None))
    }

    fn next(
        &self,
        plan: Arc<Plan>,
        mut known: Registry,
        now: u64,
        candidates: Vec<Candidate>,
        reachable: Option<&[bool]>,
    ) -> Self {
        let entries = known.admit(self.table.epoch == 0, now, candidates);
        let table = Table::new(self.table.epoch + 1, entries);
        known.settle(&table, &self.loads);
        let members = self.filtered(&plan, &table, now);
        let scope = Scope::new(members.into_boxed_slice(), reachable);
        let rule = if self.plan.rule == plan.rule && self.plan.sub_rule == plan.sub_rule {
            self.rule.continued(
                &plan.rule,
                &plan,
                (&self.table, &self.scope),
                &table,
                &scope,
            )
        } else {
            Rule::new(&plan.rule, &plan, &table, &scope)
        };
        let copies = self.copied(&plan, &table, reachable);
        let reads_cost = rule.reads_cost() || matches!(plan.rule, RuleName::Plugin(_));
        if reads_cost {
            for stats in &table.stats {
                stats.seed_cost(now, plan.policy.ewma.initial_ms);
            }
        }
        let window = plan
            .policy
            .slow_start
            .as_ref()
            .map_or(0, |slow| slow.window_ms);
        let young = |joined: u64| joined != 0 && joined.saturating_add(window) > now;
        let all_new = table.joined_ms.iter().all(|&joined| young(joined));
        let youngest = table
            .joined_ms
            .iter()
            .copied()
            .filter(|&joined| young(joined))
            .max();
        Self {
            grown_ms: if all_new {
                0
            } else {
                youngest.map_or(0, |joined| joined.saturating_add(window))
            },
            reads_cost,
            rule,
            plan,
            table,
            scope,
            copies,
            loads: Arc::clone(&self.loads),
            known,
            weighed_ms: AtomicU64::new(self.weighed_ms.load(Relaxed)),
            judged_ms: AtomicU64::new(self.judged_ms.load(Relaxed)),
        }
    }

    fn filtered(&self, plan: &Plan, table: &Table, now: u64) -> Vec<u32> {
        let affinity = &plan.policy.affinity;
        if !(affinity.enabled || affinity.exclusive) {
            return (0..table.len()).collect();
        }
        let server = |(candidate, stats): (_, &Arc<Stats>)| {
            let candidate: &Candidate = candidate;
            Server {
                zone: candidate.zone.as_deref(),
                active: stats.active_now(now, plan.window_ms, &self.loads),
                tripped: plan.breaks && stats.tripped(now, &plan.policy.circuit, plan.exact),
            }
        };
        let servers: Vec<Server<'_>> = table
            .candidates
            .iter()
            .zip(&table.stats)
            .map(server)
            .collect();
        zone_affinity::keep(plan.policy.zone.as_deref(), affinity, &servers)
    }

    /// One copy of the rule for each zone, for rules that draw a zone first.
    fn copied(&self, plan: &Plan, table: &Table, reachable: Option<&[bool]>) -> Vec<Copy> {
        if !(plan.policy.ribbon.zone_aware || plan.rule == RuleName::LocalityWeighted) {
            return Vec::new();
        }
        let same = self.plan.rule == plan.rule && self.plan.sub_rule == plan.sub_rule;
        let copy = |zone: &super::table::Zone| {
            let scope = Scope::new(zone.members.clone(), reachable);
            let before = self
                .table
                .zones
                .iter()
                .position(|old| old.key == zone.key)
                .and_then(|at| self.copies.get(at));
            let rule = match before {
                Some(old) if same => {
                    old.rule
                        .continued(&plan.rule, plan, (&self.table, &old.scope), table, &scope)
                }
                _ => Rule::new(&plan.rule, plan, table, &scope),
            };
            let weight = locality::weight(&plan.policy, &zone.key);
            Copy {
                scope,
                rule,
                weight,
            }
        };
        table.zones.iter().map(copy).collect()
    }

    /// Sets or clears a flag of a member in place; false when the index is outside the list.
    pub fn set_flag(&self, index: u32, flag: Flags, on: bool) -> bool {
        let known = index < self.table.len();
        if known {
            self.table.set_flag(index, flag, on);
        }
        known
    }

    /// Sets all flags of a member in place; false when the index is outside the list.
    pub fn set_flags(&self, index: u32, flags: Flags) -> bool {
        let known = index < self.table.len();
        if known && self.table.bits(index) != flags.bits() {
            self.table.set_flag(index, flags, true);
            let off = self.table.bits(index) & !flags.bits();
            self.table.set_flag(index, Flags::from_bits(off), false);
        }
        known
    }

    #[inline]
    fn query<'a>(&'a self, now: u64, context: &'a Context<'a>, open: bool) -> Query<'a> {
        Query {
            table: &self.table,
            plan: &self.plan,
            loads: &self.loads,
            now,
            context,
            mask: Mask::plain(),
            open,
        }
    }

    /// Whether this choice meets no stage: then what [`stage::restrict`] would leave is every member.
    #[inline]
    fn is_open(&self, now: u64, context: &Context<'_>) -> bool {
        self.plan.plain
            && self.table.all_serve()
            && now >= self.grown_ms
            && self.loads.is_quiet(now, self.plan.breaks)
            && context.tried.is_empty()
            && context.label.is_none()
    }

    /// Chooses a member.
    ///
    /// # Errors
    /// [`NoPick`] with the reason; never panics.
    #[inline]
    pub fn choose(
        &self,
        now_ms: u64,
        mut rng: &mut (impl Rng + ?Sized),
        context: &Context<'_>,
    ) -> Result<Pick, NoPick> {
        let open = self.is_open(now_ms, context);
        let next = if open && self.copies.is_empty() {
            let q = self.query(now_ms, context, open);
            self.rule.next_of_all(&q, &self.scope, rng)
        } else {
            None
        };
        let index = match next {
            Some(index) => index,
            // One more reference: a type without a size cannot become a trait object.
            None => self.choose_by_query(now_ms, &mut rng, context, open)?,
        };
        Ok(Pick {
            epoch: self.table.epoch,
            index,
        })
    }

    #[inline(never)]
    fn choose_by_query(
        &self,
        now_ms: u64,
        rng: &mut dyn Rng,
        context: &Context<'_>,
        open: bool,
    ) -> Result<u32, NoPick> {
        let mut q = self.query(now_ms, context, open);
        if open || self.plan.exact {
            return self.ask(&q, rng);
        }
        stage::restrict(&mut q)?;
        let slow = q.now < self.grown_ms;
        loop {
            let answer = if slow {
                slow_start::choose(&q, self.rule.is_sticky(), rng, |q, rng| self.ask(q, rng))
            } else {
                self.ask(&q, rng)
            };
            match answer {
                Ok(index) => return Ok(index),
                Err(why) if !stage::relax(&mut q) => return Err(why),
                Err(_) => {}
            }
        }
    }

    fn ask(&self, q: &Query<'_>, rng: &mut dyn Rng) -> Result<u32, NoPick> {
        if !self.copies.is_empty() {
            let zone = match self.plan.rule {
                RuleName::LocalityWeighted => {
                    locality::zone(q, |zone| self.copies[zone].weight, rng)
                }
                _ => zone_aware::zone(q, rng),
            };
            if let Some(copy) = zone.and_then(|zone| self.copies.get(zone))
                && let Ok(index) = copy.rule.choose(q, &copy.scope, rng)
            {
                return Ok(index);
            }
        }
        self.rule.choose(q, &self.scope, rng)
    }

    /// Takes turns among the members that pass a test of the caller's (Ribbon `PredicateBasedRule`). In the safe mode they
    /// must be usable too.
    ///
    /// # Errors
    /// [`NoPick::NoInstances`] for an empty list, [`NoPick::NoMatch`] when no member passes.
    pub fn choose_where(
        &self,
        now_ms: u64,
        turns: &Cyclic,
        passes: impl Fn(u32, &Candidate) -> bool,
    ) -> Result<Pick, NoPick> {
        let context = Context::default();
        let q = self.query(now_ms, &context, false);
        if self.scope.len() == 0 {
            return Err(NoPick::NoInstances);
        }
        let test = |index: u32| {
            q.usable_if_safe(index) && passes(index, &self.table.candidates[index as usize])
        };
        let index = turns
            .among(&self.scope.members, test)
            .ok_or(NoPick::NoMatch)?;
        Ok(Pick {
            epoch: self.table.epoch,
            index,
        })
    }

    /// Work that is due at intervals: response-time weights, the look at the error rates. Call it about once a second.
    pub fn maintain(&self, now_ms: u64) {
        if due(
            &self.weighed_ms,
            now_ms,
            self.plan.policy.ribbon.weight_interval_ms,
        ) {
            self.maintain_weights();
        }
        if let Some(settings) = &self.plan.policy.outlier
            && due(&self.judged_ms, now_ms, settings.interval_ms)
        {
            outlier::maintain(settings, &self.table, &self.loads, now_ms);
        }
    }

    /// Computes the response-time weights now.
    pub fn maintain_weights(&self) {
        self.rule.maintain(&self.table, &self.scope);
        for copy in &self.copies {
            copy.rule.maintain(&self.table, &copy.scope);
        }
    }
}

/// True once an interval, for one of the threads that ask.
fn due(last: &AtomicU64, now: u64, interval_ms: u64) -> bool {
    let before = last.load(Relaxed);
    now >= before.saturating_add(interval_ms)
        && last.compare_exchange(before, now, Relaxed, Relaxed).is_ok()
}
