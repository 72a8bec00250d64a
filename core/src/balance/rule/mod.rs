//! The rules, one file each, and the one place that calls them by name.

pub(crate) mod availability;
pub(crate) mod best_available;
pub(crate) mod hashing;
pub(crate) mod hint;
pub(crate) mod least_request;
pub(crate) mod locality;
pub(crate) mod maglev;
pub mod nacos_cluster;
pub mod nacos_weighted;
pub(crate) mod p2c;
pub mod predicate;
pub(crate) mod random;
pub(crate) mod response_time;
pub mod retry;
pub(crate) mod ring;
pub(crate) mod round_robin;
pub(crate) mod smooth;
pub(crate) mod spring_round_robin;
pub mod spring_weighted;
pub(crate) mod weights;
pub(crate) mod zone_affinity;
pub(crate) mod zone_avoidance;
pub(crate) mod zone_aware;
pub(crate) mod zone_preference;
pub(crate) mod zones;

use super::names::RuleName;
use super::query::{NoPick, Plan, Query};
use super::rng::Rng;
use super::table::{Scope, Table};
use alloc::boxed::Box;
use spring_round_robin::Position;

/// A rule with its state, for one scope of the table.
#[derive(Debug)]
pub(crate) enum Rule {
    RoundRobin(round_robin::RoundRobin),
    Random,
    Retry(Box<Rule>),
    Availability(availability::Availability),
    BestAvailable(best_available::BestAvailable),
    ResponseTime(response_time::ResponseTime),
    ZoneAvoidance(zone_avoidance::ZoneAvoidance),
    NacosWeighted(nacos_weighted::NacosWeighted),
    NacosCluster(nacos_cluster::NacosCluster),
    SpringRoundRobin(Position),
    SpringRandom,
    SpringWeighted(spring_weighted::SpringWeighted),
    ZonePreference(zone_preference::ZonePreference),
    Hint(Position),
    Smooth(smooth::Smooth),
    LeastRequest(least_request::LeastRequest),
    P2c,
    Ring(ring::Ring),
    Maglev(maglev::Maglev),
}

impl Rule {
    /// The rule that chooses inside a scope: the sub-rule for rules that only choose the scope, and for a plugin, which the
    /// host asks first.
    pub(crate) fn new(name: &RuleName, plan: &Plan, table: &Table, scope: &Scope) -> Self {
        let policy = &plan.policy;
        let position = || Position::new(policy.start_position);
        let cluster = |healthy_first| {
            nacos_cluster::NacosCluster::new(
                table,
                scope,
                policy.cluster.as_deref(),
                plan.exact,
                healthy_first,
            )
        };
        match name {
            RuleName::RoundRobin => Self::RoundRobin(round_robin::RoundRobin::default()),
            RuleName::Random => Self::Random,
            RuleName::Retry => Self::Retry(Box::new(Self::new(&plan.sub_rule, plan, table, scope))),
            RuleName::Availability => Self::Availability(availability::Availability::default()),
            RuleName::LeastActive => Self::BestAvailable(best_available::BestAvailable::default()),
            RuleName::ResponseTime => {
                Self::ResponseTime(response_time::ResponseTime::new(scope, true))
            }
            RuleName::ResponseTimeDeprecated => {
                Self::ResponseTime(response_time::ResponseTime::new(scope, false))
            }
            RuleName::ZoneAvoidance => {
                Self::ZoneAvoidance(zone_avoidance::ZoneAvoidance::default())
            }
            RuleName::NacosWeighted => {
                Self::NacosWeighted(nacos_weighted::NacosWeighted::new(table, scope, plan.exact))
            }
            RuleName::NacosCluster => Self::NacosCluster(cluster(true)),
            RuleName::NacosLoadBalancer => Self::NacosCluster(cluster(false)),
            RuleName::SpringRoundRobin => Self::SpringRoundRobin(position()),
            RuleName::SpringRandom => Self::SpringRandom,
            RuleName::SpringWeighted => Self::SpringWeighted(spring_weighted::SpringWeighted::new(
                table,
                scope,
                position(),
            )),
            RuleName::ZonePreference => Self::ZonePreference(zone_preference::ZonePreference::new(
                table,
                scope,
                policy.zone.as_deref(),
                position(),
            )),
            RuleName::Hint => Self::Hint(position()),
            RuleName::SmoothWeighted => {
                Self::Smooth(smooth::Smooth::new(table, scope, policy.failure_aware))
            }
            RuleName::LeastRequest => {
                Self::LeastRequest(least_request::LeastRequest::new(table, scope))
            }
            RuleName::P2cEwma => Self::P2c,
            RuleName::RingHash => Self::Ring(ring::Ring::new(table, scope, &policy.hashing)),
            RuleName::Maglev => {
                Self::Maglev(maglev::Maglev::new(table, scope, policy.hashing.table))
            }
            RuleName::LocalityWeighted | RuleName::Plugin(_) => {
                Self::new(&plan.sub_rule, plan, table, scope)
            }
        }
    }

    /// The rule for a new list, with the counters and balances of the old one. `name` must be the name it was made by.
    pub(crate) fn continued(
        &self,
        name: &RuleName,
        plan: &Plan,
        old: (&Table, &Scope),
        table: &Table,
        scope: &Scope,
    ) -> Self {
        match self {
            Self::RoundRobin(rule) => Self::RoundRobin(rule.continued()),
            Self::Retry(inner) => Self::Retry(Box::new(inner.continued(
                &plan.sub_rule,
                plan,
                old,
                table,
                scope,
            ))),
            Self::Availability(rule) => Self::Availability(rule.continued()),
            Self::BestAvailable(rule) => Self::BestAvailable(rule.continued()),
            Self::ResponseTime(rule) => {
                Self::ResponseTime(rule.continued(table, scope, plan.exact))
            }
            Self::ZoneAvoidance(rule) => Self::ZoneAvoidance(rule.continued()),
            Self::SpringRoundRobin(position) => Self::SpringRoundRobin(position.continued()),
            Self::Hint(position) => Self::Hint(position.continued()),
            Self::SpringWeighted(rule) => Self::SpringWeighted(rule.continued(table, scope)),
            Self::ZonePreference(rule) => {
                Self::ZonePreference(rule.continued(table, scope, plan.policy.zone.as_deref()))
            }
            Self::Smooth(rule) => {
                Self::Smooth(rule.continued(old, table, scope, plan.policy.failure_aware))
            }
            Self::Random
            | Self::NacosWeighted(_)
            | Self::NacosCluster(_)
            | Self::SpringRandom
            | Self::LeastRequest(_)
            | Self::P2c
            | Self::Ring(_)
            | Self::Maglev(_) => Self::new(name, plan, table, scope),
        }
    }

    pub(crate) fn choose(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut dyn Rng,
    ) -> Result<u32, NoPick> {
        match self {
            Self::RoundRobin(rule) => rule.choose(q, scope),
            Self::Random => random::choose(q, scope, rng),
            Self::Retry(inner) => retry::choose(inner, q, scope, rng),
            Self::Availability(rule) => rule.choose(q, scope),
            Self::BestAvailable(rule) => rule.choose(q, scope, rng),
            Self::ResponseTime(rule) => rule.choose(q, scope, rng),
            Self::ZoneAvoidance(rule) => rule.choose(q, scope, rng),
            Self::NacosWeighted(rule) => rule.choose(q, scope, rng),
            Self::NacosCluster(rule) => rule.choose(q, scope, rng),
            Self::SpringRoundRobin(position) => position.choose(q, &scope.members, rng),
            Self::SpringRandom => random::among(q, &scope.members, rng),
            Self::SpringWeighted(rule) => rule.choose(q, rng),
            Self::ZonePreference(rule) => rule.choose(q, scope, rng),
            Self::Hint(position) => hint::choose(position, q, scope, rng),
            Self::Smooth(rule) => rule.choose(q, scope),
            Self::LeastRequest(rule) => rule.choose(q, scope, rng),
            Self::P2c => p2c::choose(q, scope, rng),
            Self::Ring(rule) => rule.choose(q, scope, rng),
            Self::Maglev(rule) => rule.choose(q, scope, rng),
        }
    }

    /// The next of a rule that only takes turns, draws or compares a pair, when every member is usable; none of any other rule, or
    /// where it has to look further. The generator is known here, so that a draw is no call.
    #[inline]
    pub(crate) fn next_of_all(
        &self,
        q: &Query<'_>,
        scope: &Scope,
        rng: &mut (impl Rng + ?Sized),
    ) -> Option<u32> {
        match self {
            Self::RoundRobin(rule) => rule.next_of_all(scope),
            Self::Random => random::next_of_all(scope.reachable(), rng),
            Self::P2c => p2c::next_of_all(q, scope, rng),
            Self::SpringRoundRobin(position) => position.next_of_all(&scope.members, rng),
            Self::SpringRandom => random::next_of_all(&scope.members, rng),
            _ => None,
        }
    }

    /// Work that is due at intervals.
    pub(crate) fn maintain(&self, table: &Table, scope: &Scope) {
        match self {
            Self::ResponseTime(rule) => rule.maintain(table, scope),
            Self::Retry(inner) => inner.maintain(table, scope),
            _ => {}
        }
    }

    /// How a request to a member of this scope ended.
    pub(crate) fn feedback(&self, scope: &Scope, index: u32, failed: bool) {
        if let Self::Smooth(rule) = self {
            rule.feedback(scope, index, failed);
        }
    }

    /// The weights in force of the response-time rule, for tests and the console.
    pub(crate) fn response_weights(&self) -> Option<alloc::vec::Vec<f64>> {
        match self {
            Self::ResponseTime(rule) => Some(rule.cumulative()),
            Self::Retry(inner) => inner.response_weights(),
            _ => None,
        }
    }

    /// True when asking again gives the same answer until something changes.
    pub(crate) fn is_sticky(&self) -> bool {
        matches!(
            self,
            Self::BestAvailable(_) | Self::Ring(_) | Self::Maglev(_)
        )
    }

    /// True when the rule reads cost estimates.
    pub(crate) fn reads_cost(&self) -> bool {
        match self {
            Self::P2c => true,
            Self::Retry(inner) => inner.reads_cost(),
            _ => false,
        }
    }
}
