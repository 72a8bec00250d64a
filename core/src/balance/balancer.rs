//! [`Balancer`]: a policy, the instances and their statistics behind four calls.

use super::candidate::{Candidate, Flags};
use super::names::RuleName;
use super::policy::{Policy, PolicyError};
use super::query::{Context, Mask, NoPick, Plan, Query};
use super::rng::Rng;
use super::rule::predicate::Cyclic;
use super::rule::zone_affinity::{self, Server};
use super::rule::{Rule, locality, zone_aware};
use super::stage::{self, outlier, slow_start};
use super::stats::{Loads, NO_SLOT, Stats, ZONE_SLOTS};
use super::table::{Entry, Scope, Table};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Statistics of a server that left are kept this long.
const FORGET_MS: u64 = 30 * 60 * 1000;
/// A server that comes back after this long counts as new.
const ABSENT_MS: u64 = 60 * 1000;

/// A chosen member: its index in the list of that epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Epoch of the list, from [`Balancer::epoch`].
    pub epoch: u64,
    /// Index into the candidates of that update.
    pub index: u32,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer came, and it is no server error.
    Success,
    /// An answer came with a server error (HTTP 500 to 599 other than the next).
    ServerError,
    /// An answer came with a gateway error (HTTP 502, 503, 504).
    GatewayError,
    /// The connection was refused or reset, there was no route, or connecting or reading took too long.
    CircuitFailure,
    /// It failed otherwise, or was cancelled.
    OtherFailure,
}

/// What is reported at the end of a request.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Response time in ms; none = time since `start`.
    pub response_ms: Option<f64>,
    /// What the server asked to wait, in ms (`Retry-After`).
    pub retry_after_ms: Option<f64>,
}

impl From<Outcome> for Report {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, response_ms: None, retry_after_ms: None }
    }
}

/// A request under way. Hand it to [`Balancer::finish`] on every path, cancelling included; it stays good over updates.
#[derive(Debug)]
#[must_use = "a request that is never finished stays counted as active"]
pub struct Ticket {
    stats: Arc<Stats>,
    pick: Pick,
    started_ms: u64,
}

#[derive(Clone, Debug)]
struct Known {
    stats: Arc<Stats>,
    /// First sight by this balancer in ms; 0 for the first list.
    joined_ms: u64,
    left_ms: Option<u64>,
}

/// A zone's own copy of the rule.
#[derive(Debug)]
struct Copy {
    scope: Scope,
    rule: Rule,
}

/// Chooses instances of one service by a policy.
///
/// `choose`, `start`, `finish` and `maintain` take `&self`, touch atomics only and allocate nothing, so one balancer serves many
/// threads. `update` needs it alone; [`updated`](Self::updated) makes the next balancer beside it, with the same
/// statistics, for hosts that swap a pointer. A choice made before the swap carries the older epoch.
#[derive(Debug)]
pub struct Balancer {
    plan: Arc<Plan>,
    table: Table,
    scope: Scope,
    rule: Rule,
    copies: Vec<Copy>,
    loads: Arc<Loads>,
    known: BTreeMap<Arc<str>, Known>,
    weighed_ms: AtomicU64,
    judged_ms: AtomicU64,
    reads_cost: bool,
    /// From this time on no member is young.
    grown_ms: u64,
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
            known: BTreeMap::new(),
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
        if pick.epoch == self.table.epoch { self.table.candidates.get(pick.index as usize) } else { None }
    }

    /// Statistics of a server that is or was in the list.
    #[must_use]
    pub fn stats(&self, id: &str) -> Option<&Stats> {
        self.known.get(id).map(|known| &*known.stats)
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
    pub fn update_probed(&mut self, now_ms: u64, candidates: Vec<Candidate>, reachable: Option<&[bool]>) {
        let known = core::mem::take(&mut self.known);
        *self = self.next(Arc::clone(&self.plan), known, now_ms, candidates, reachable);
    }

    /// The balancer after an update, beside this one; they share the statistics.
    #[must_use]
    pub fn updated(&self, now_ms: u64, candidates: Vec<Candidate>) -> Self {
        self.next(Arc::clone(&self.plan), self.known.clone(), now_ms, candidates, None)
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
        mut known: BTreeMap<Arc<str>, Known>,
        now: u64,
        candidates: Vec<Candidate>,
        reachable: Option<&[bool]>,
    ) -> Self {
        let entries = Self::admit(&mut known, self.table.epoch == 0, now, candidates);
        let table = Table::new(self.table.epoch + 1, entries);
        self.settle(&known, &table);
        let members = self.filtered(&plan, &table, now);
        let scope = Scope::new(members.into_boxed_slice(), reachable);
        let rule = if self.plan.rule == plan.rule && self.plan.sub_rule == plan.sub_rule {
            self.rule.continued(&plan.rule, &plan, (&self.table, &self.scope), &table, &scope)
        } else {
            Rule::new(&plan.rule, &plan, &table, &scope)
        };
        let copies = self.copied(&plan, &table, reachable);
        let reads_cost = rule.reads_cost();
        if reads_cost {
            for stats in &table.stats {
                stats.seed_cost(now, plan.policy.ewma.initial_ms);
            }
        }
        let window = plan.policy.slow_start.as_ref().map_or(0, |slow| slow.window_ms);
        let young = |joined: u64| joined != 0 && joined.saturating_add(window) > now;
        let all_new = table.joined_ms.iter().all(|&joined| young(joined));
        let youngest = table.joined_ms.iter().copied().filter(|&joined| young(joined)).max();
        Self {
            grown_ms: if all_new { 0 } else { youngest.map_or(0, |joined| joined.saturating_add(window)) },
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

    /// Finds or makes the statistics of each candidate, and forgets those that left long ago.
    fn admit(known: &mut BTreeMap<Arc<str>, Known>, initial: bool, now: u64, candidates: Vec<Candidate>) -> Vec<Entry> {
        for entry in known.values_mut() {
            entry.left_ms = entry.left_ms.or(Some(now));
        }
        let joined_ms = if initial { 0 } else { now.max(1) };
        let entries = candidates.into_iter().map(|candidate| {
            let entry = match known.get_mut(candidate.id.as_str()) {
                Some(entry) => entry,
                None => {
                    let fresh = Known { stats: Arc::default(), joined_ms, left_ms: None };
                    known.entry(Arc::from(candidate.id.as_str())).or_insert(fresh)
                }
            };
            if entry.left_ms.take().is_some_and(|left| now.saturating_sub(left) > ABSENT_MS) {
                entry.joined_ms = joined_ms;
            }
            Entry { stats: Arc::clone(&entry.stats), joined_ms: entry.joined_ms, candidate }
        });
        let entries = entries.collect();
        known.retain(|_, entry| entry.left_ms.is_none_or(|left| now.saturating_sub(left) <= FORGET_MS));
        entries
    }

    /// Makes the sums over servers anew for the zones of this table.
    fn settle(&self, known: &BTreeMap<Arc<str>, Known>, table: &Table) {
        self.loads.clear();
        for entry in known.values().filter(|entry| entry.left_ms.is_some()) {
            entry.stats.settle(NO_SLOT, &self.loads);
        }
        let mut settled: Vec<*const Stats> = Vec::new();
        let duplicates = known.values().filter(|entry| entry.left_ms.is_none()).count() != table.stats.len();
        for (stats, &zone) in table.stats.iter().zip(&table.zone_of) {
            if duplicates {
                if settled.contains(&Arc::as_ptr(stats)) {
                    continue;
                }
                settled.push(Arc::as_ptr(stats));
            }
            stats.settle(if (zone as usize) < ZONE_SLOTS { zone } else { NO_SLOT }, &self.loads);
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
        let servers: Vec<Server<'_>> = table.candidates.iter().zip(&table.stats).map(server).collect();
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
            let before = self.table.zones.iter().position(|old| old.key == zone.key).and_then(|at| self.copies.get(at));
            let rule = match before {
                Some(old) if same => {
                    old.rule.continued(&plan.rule, plan, (&self.table, &old.scope), table, &scope)
                }
                _ => Rule::new(&plan.rule, plan, table, &scope),
            };
            Copy { scope, rule }
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

    fn query<'a>(&'a self, now: u64, context: &'a Context<'a>) -> Query<'a> {
        Query { table: &self.table, plan: &self.plan, loads: &self.loads, now, context, mask: Mask::plain() }
    }

    /// Chooses a member.
    ///
    /// # Errors
    /// [`NoPick`] with the reason; never panics.
    pub fn choose(&self, now_ms: u64, rng: &mut dyn Rng, context: &Context<'_>) -> Result<Pick, NoPick> {
        let mut q = self.query(now_ms, context);
        if !self.plan.exact {
            stage::restrict(&mut q)?;
        }
        let slow = now_ms < self.grown_ms;
        loop {
            let answer = if slow {
                slow_start::choose(&mut q, self.rule.is_sticky(), rng, |q, rng| self.ask(q, rng))
            } else {
                self.ask(&q, rng)
            };
            match answer {
                Ok(index) => return Ok(Pick { epoch: self.table.epoch, index }),
                Err(why) if !stage::relax(&mut q) => return Err(why),
                Err(_) => {}
            }
        }
    }

    fn ask(&self, q: &Query<'_>, rng: &mut dyn Rng) -> Result<u32, NoPick> {
        if !self.copies.is_empty() {
            let zone = match self.plan.rule {
                RuleName::LocalityWeighted => locality::zone(q, rng),
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
        let q = self.query(now_ms, &context);
        if self.scope.len() == 0 {
            return Err(NoPick::NoInstances);
        }
        let test = |index: u32| q.usable_if_safe(index) && passes(index, &self.table.candidates[index as usize]);
        let index = turns.among(&self.scope.members, test).ok_or(NoPick::NoMatch)?;
        Ok(Pick { epoch: self.table.epoch, index })
    }

    /// Counts the start of a request to the chosen member; none when the pick is of another list.
    pub fn start(&self, pick: Pick, now_ms: u64) -> Option<Ticket> {
        self.candidate(pick)?;
        let stats = Arc::clone(&self.table.stats[pick.index as usize]);
        stats.begin(now_ms, &self.loads);
        Some(Ticket { stats, pick, started_ms: now_ms })
    }

    /// Counts the end of a request.
    pub fn finish(&self, ticket: Ticket, now_ms: u64, report: impl Into<Report>) {
        let mut report = report.into();
        let Ticket { stats, pick, started_ms } = ticket;
        report.response_ms = report.response_ms.or(Some(now_ms.saturating_sub(started_ms) as f64));
        let index = self.candidate(pick).map(|_| pick.index);
        self.ended(&stats, index, now_ms, &report);
    }

    /// Counts the start of a request to a server by its id, for hosts that hold no ticket. False when nobody knows it.
    pub fn start_id(&self, id: &str, now_ms: u64) -> bool {
        self.with_stats(id, |stats| stats.begin(now_ms, &self.loads))
    }

    /// Counts the end of a request by the server's id. False when nobody knows it.
    pub fn finish_id(&self, id: &str, now_ms: u64, report: impl Into<Report>) -> bool {
        let report = report.into();
        self.with_stats(id, |stats| self.ended(stats, None, now_ms, &report))
    }

    /// Counts a connection failure outside any request (a probe, a recorded trace).
    pub fn note_failure(&self, id: &str, now_ms: u64) -> bool {
        self.with_stats(id, |stats| stats.fail(now_ms, &self.plan.policy.circuit, self.plan.exact, &self.loads))
    }

    /// Notes a response time outside any request.
    pub fn note_response(&self, id: &str, response_ms: f64) -> bool {
        self.with_stats(id, |stats| stats.observe(response_ms))
    }

    fn with_stats(&self, id: &str, act: impl FnOnce(&Stats)) -> bool {
        let stats = self.stats(id);
        match stats {
            Some(stats) => act(stats),
            None => {
                self.loads.unknown.fetch_add(1, Relaxed);
            }
        }
        stats.is_some()
    }

    fn ended(&self, stats: &Stats, index: Option<u32>, now: u64, report: &Report) {
        let policy = &self.plan.policy;
        stats.end(now, &self.loads);
        if let Some(ms) = report.response_ms {
            stats.observe(ms);
        }
        if report.outcome == Outcome::CircuitFailure {
            stats.fail(now, &policy.circuit, self.plan.exact, &self.loads);
        } else {
            stats.clear_failures();
        }
        let failed = report.outcome != Outcome::Success;
        if self.reads_cost {
            let own = report.response_ms.unwrap_or(0.0).max(0.0);
            let penalty = if failed { report.retry_after_ms.unwrap_or(policy.ewma.penalty_ms) } else { 0.0 };
            stats.feed_cost(now, own.max(penalty), policy.ewma.decay_ms, policy.ewma.initial_ms);
        }
        if let Some(settings) = &policy.outlier {
            let verdict = match report.outcome {
                Outcome::Success => outlier::Verdict::Success,
                Outcome::ServerError | Outcome::OtherFailure => outlier::Verdict::Error,
                Outcome::GatewayError | Outcome::CircuitFailure => outlier::Verdict::GatewayError,
            };
            outlier::count(settings, &self.table, &self.loads, stats, now, verdict);
        }
        if policy.failure_aware
            && let Some(index) = index
        {
            self.rule.feedback(&self.scope, index, failed);
            let zone = self.table.zone_of[index as usize] as usize;
            if let Some(copy) = self.copies.get(zone) {
                copy.rule.feedback(&copy.scope, index, failed);
            }
        }
    }

    /// Work that is due at intervals: response-time weights, the look at the error rates. Call it about once a second.
    pub fn maintain(&self, now_ms: u64) {
        if due(&self.weighed_ms, now_ms, self.plan.policy.ribbon.weight_interval_ms) {
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
    now >= before.saturating_add(interval_ms) && last.compare_exchange(before, now, Relaxed, Relaxed).is_ok()
}
