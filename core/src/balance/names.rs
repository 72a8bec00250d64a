//! The one table of rule names: our own, Ribbon's class names, Nacos's and Spring's.
//!
//! Names are compared exactly. A name that is not here is an error that lists the nearest ones; nothing falls
//! back in silence.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// A rule that can be named in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleName {
    /// Ribbon `RoundRobinRule`.
    RoundRobin,
    /// Ribbon `RandomRule`.
    Random,
    /// Ribbon `RetryRule` over a sub-rule.
    Retry,
    /// Ribbon `AvailabilityFilteringRule`.
    Availability,
    /// Ribbon `BestAvailableRule`.
    LeastActive,
    /// Ribbon `WeightedResponseTimeRule`.
    ResponseTime,
    /// Ribbon `ResponseTimeWeightedRule`, deprecated; differs in `exact` mode only.
    ResponseTimeDeprecated,
    /// Ribbon `ZoneAvoidanceRule`, the default.
    ZoneAvoidance,
    /// Weighted random of the Nacos client.
    NacosWeighted,
    /// `NacosRule` of Spring Cloud Alibaba over Ribbon: same cluster first.
    NacosCluster,
    /// `NacosLoadBalancer` of Spring Cloud Alibaba: the same, with the cluster looked at before health.
    NacosLoadBalancer,
    /// Spring Cloud `RoundRobinLoadBalancer`.
    SpringRoundRobin,
    /// Spring Cloud `RandomLoadBalancer`.
    SpringRandom,
    /// Spring Cloud's weighted supplier: round robin over integer weights.
    SpringWeighted,
    /// Spring Cloud's zone preference before its round robin.
    ZonePreference,
    /// Spring Cloud's hint before its round robin.
    Hint,
    /// Smooth weighted round robin (nginx).
    SmoothWeighted,
    /// Least request (Envoy).
    LeastRequest,
    /// Power of two choices with peak EWMA (Finagle, linkerd).
    P2cEwma,
    /// Consistent hashing on a ring, optionally with bounded load.
    RingHash,
    /// Consistent hashing with a Maglev table, optionally with bounded load.
    Maglev,
    /// Locality by weight and availability, then a sub-rule inside.
    LocalityWeighted,
    /// A rule of the user's own, by the name of its plugin.
    Plugin(String),
}

use RuleName::{
    Availability, Hint, LeastActive, LeastRequest, LocalityWeighted, Maglev, NacosCluster,
    NacosLoadBalancer, NacosWeighted, P2cEwma, Plugin, Random, ResponseTime,
    ResponseTimeDeprecated, Retry, RingHash, RoundRobin, SmoothWeighted, SpringRandom,
    SpringRoundRobin, SpringWeighted, ZoneAvoidance, ZonePreference,
};

/// Every accepted name. A rule's first line is the name it is printed with; class names are accepted by their
/// last part too.
pub const NAMES: &[(&str, RuleName)] = &[
    ("round-robin", RoundRobin),
    ("random", Random),
    ("retry", Retry),
    ("availability", Availability),
    ("least-active", LeastActive),
    ("response-time", ResponseTime),
    ("response-time-deprecated", ResponseTimeDeprecated),
    ("zone-avoidance", ZoneAvoidance),
    ("nacos-weighted", NacosWeighted),
    ("nacos-cluster", NacosCluster),
    ("nacos-load-balancer", NacosLoadBalancer),
    ("spring-round-robin", SpringRoundRobin),
    ("spring-random", SpringRandom),
    ("spring-weighted", SpringWeighted),
    ("zone-preference", ZonePreference),
    ("hint", Hint),
    ("smooth-wrr", SmoothWeighted),
    ("least-request", LeastRequest),
    ("p2c-ewma", P2cEwma),
    ("ring-hash", RingHash),
    ("maglev", Maglev),
    ("locality-weighted", LocalityWeighted),
    ("com.netflix.loadbalancer.RoundRobinRule", RoundRobin),
    ("com.netflix.loadbalancer.RandomRule", Random),
    ("com.netflix.loadbalancer.RetryRule", Retry),
    (
        "com.netflix.loadbalancer.AvailabilityFilteringRule",
        Availability,
    ),
    ("com.netflix.loadbalancer.BestAvailableRule", LeastActive),
    (
        "com.netflix.loadbalancer.WeightedResponseTimeRule",
        ResponseTime,
    ),
    (
        "com.netflix.loadbalancer.ResponseTimeWeightedRule",
        ResponseTimeDeprecated,
    ),
    ("com.netflix.loadbalancer.ZoneAvoidanceRule", ZoneAvoidance),
    (
        "com.alibaba.nacos.client.naming.core.Balancer.RandomByWeight",
        NacosWeighted,
    ),
    ("com.alibaba.cloud.nacos.ribbon.NacosRule", NacosCluster),
    (
        "com.alibaba.cloud.nacos.loadbalancer.NacosLoadBalancer",
        NacosLoadBalancer,
    ),
    (
        "org.springframework.cloud.loadbalancer.core.RoundRobinLoadBalancer",
        SpringRoundRobin,
    ),
    (
        "org.springframework.cloud.loadbalancer.core.RandomLoadBalancer",
        SpringRandom,
    ),
    (
        "org.springframework.cloud.loadbalancer.core.WeightedServiceInstanceListSupplier",
        SpringWeighted,
    ),
    (
        "org.springframework.cloud.loadbalancer.core.ZonePreferenceServiceInstanceListSupplier",
        ZonePreference,
    ),
    (
        "org.springframework.cloud.loadbalancer.core.HintBasedServiceInstanceListSupplier",
        Hint,
    ),
];

/// What precedes the name of a plugin.
pub const PLUGIN_PREFIX: &str = "wasm:";

/// Values of `spring.cloud.loadbalancer.configurations` that name a choice of instance.
pub const SPRING_CONFIGURATIONS: &[(&str, RuleName)] = &[
    ("default", SpringRoundRobin),
    ("health-check", SpringRoundRobin),
    ("zone-preference", ZonePreference),
    ("weighted", SpringWeighted),
];

/// A rule name that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRule {
    /// The value as given.
    pub name: String,
    /// Known names that look like it, nearest first; never empty.
    pub nearest: Vec<String>,
}

impl fmt::Display for UnknownRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl UnknownRule {
    /// What [`fmt::Display`] shows, for modules without it.
    pub(crate) fn message(&self) -> String {
        [
            "no load-balancing rule is called \"",
            &self.name,
            "\"; the nearest names are ",
            &self.nearest.join(", "),
        ]
        .concat()
    }
}

impl core::error::Error for UnknownRule {}

/// [`NAMES`], as a list of a length unknown to the compiler: it would write a loop out, once for each name.
fn names() -> &'static [(&'static str, RuleName)] {
    core::hint::black_box(NAMES)
}

/// The last part of a class name.
fn simple(name: &str) -> &str {
    let dot = name.bytes().rposition(|byte| byte == b'.');
    dot.and_then(|dot| name.get(dot + 1..)).unwrap_or(name)
}

impl RuleName {
    /// The rule of this name.
    ///
    /// # Errors
    /// [`UnknownRule`] when no rule has it.
    pub fn parse(name: &str) -> Result<Self, UnknownRule> {
        if let Some(plugin) = name.strip_prefix(PLUGIN_PREFIX)
            && !plugin.is_empty()
        {
            return Ok(Plugin(plugin.to_string()));
        }
        let known = names()
            .iter()
            .find(|(known, _)| *known == name || simple(known) == name);
        known
            .map(|(_, rule)| rule.clone())
            .ok_or_else(|| UnknownRule {
                name: name.to_string(),
                nearest: nearest(name, 3),
            })
    }

    /// The name it is printed with.
    #[must_use]
    pub fn name(&self) -> String {
        if let Plugin(plugin) = self {
            return [PLUGIN_PREFIX, plugin].concat();
        }
        let entry = names().iter().find(|(_, rule)| rule == self);
        entry.map_or_else(String::new, |(name, _)| (*name).to_string())
    }

    /// True for the rules of Ribbon, whose circuit breaker is on unless a policy says otherwise.
    #[must_use]
    pub fn is_ribbon(&self) -> bool {
        matches!(
            self,
            RoundRobin
                | Random
                | Retry
                | Availability
                | LeastActive
                | ResponseTime
                | ResponseTimeDeprecated
                | ZoneAvoidance
        )
    }
}

/// The `count` known names nearest to `name` by edit distance, letter case aside.
fn nearest(name: &str, count: usize) -> Vec<String> {
    let wanted = simple(name);
    let mut ranked: Vec<(usize, &str)> = names()
        .iter()
        .map(|(known, _)| (distance(wanted, simple(known)), *known))
        .collect();
    let mut found = Vec::new();
    // Few are wanted: picking the least each time is smaller than a sort, and wasm modules carry this.
    while found.len() < count.min(NAMES.len()) {
        let least = (0..ranked.len())
            .min_by_key(|&at| ranked[at].0)
            .unwrap_or(0);
        found.push(ranked.remove(least).1.to_string());
    }
    found
}

/// Levenshtein distance in characters, letter case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replace = diagonal + usize::from(!left.eq_ignore_ascii_case(right));
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_long_and_short() {
        for (name, rule) in NAMES {
            assert_eq!(RuleName::parse(name).as_ref(), Ok(rule));
            assert_eq!(RuleName::parse(&rule.name()).as_ref(), Ok(rule));
        }
        assert_eq!(RuleName::parse("BestAvailableRule"), Ok(LeastActive));
        assert_eq!(
            RuleName::parse("wasm:canary"),
            Ok(Plugin("canary".to_string()))
        );
    }

    #[test]
    fn an_unknown_name_lists_the_nearest() {
        let error = RuleName::parse("com.netflix.loadbalancer.RoundRobbinRule").unwrap_err();
        assert_eq!(error.nearest[0], "com.netflix.loadbalancer.RoundRobinRule");
        assert!(error.to_string().contains("RoundRobbinRule"), "{error}");
        // Letter case counts, and so does the package.
        assert_eq!(
            RuleName::parse("Round-Robin").unwrap_err().nearest[0],
            "round-robin"
        );
        assert!(RuleName::parse("org.example.RandomRule").is_err());
        assert!(RuleName::parse("wasm:").is_err());
        assert!(RuleName::parse("").is_err());
    }
}
