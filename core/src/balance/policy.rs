//! The policy of a service: which rule chooses, with which parameters, behind which stages.
//!
//! It is a JSON document whose fields all have defaults; an unknown field or a value out of range is an error
//! with the field's path, never ignored.

use super::document::{self, Read, Reader, Wrong};
use super::names::{RuleName, UnknownRule};
use super::stats::Breaker;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Whether the defects of the original are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The behaviour of the original without its defects.
    #[default]
    Safe,
    /// The recorded behaviour of the Java class, quirks included.
    Exact,
}

/// A switch that can be left to the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// As suits the rule.
    #[default]
    Auto,
    /// On.
    On,
    /// Off.
    Off,
}

/// How a tie between equally busy servers is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tie {
    /// The first in list order, as in Ribbon.
    #[default]
    First,
    /// One of them at random.
    Random,
}

/// Words of a document for the values of an enum.
macro_rules! words {
    ($name:ident { $($word:literal => $value:ident,)* }) => {
        impl Read for $name {
            fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
                *self = match reader.string()?.as_str() {
                    $($word => Self::$value,)*
                    _ => return Err(Wrong::new(concat!("it must be one of" $(, " ", $word)*))),
                };
                Ok(())
            }
        }
    };
}

words! { Mode { "safe" => Safe, "exact" => Exact, } }
words! { Switch { "auto" => Auto, "on" => On, "off" => Off, } }
words! { Tie { "first" => First, "random" => Random, } }

impl Read for Breaker {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        reader.section(&mut [
            ("threshold", &mut self.threshold),
            ("factor_s", &mut self.factor_s),
            ("max_s", &mut self.max_s),
        ])
    }
}

/// Configuration of a plugin, any JSON; none where there are no plugins.
#[cfg(feature = "node")]
pub type PluginConfig = Option<serde_json::Value>;
/// Configuration of a plugin: the rules alone run none.
#[cfg(not(feature = "node"))]
pub type PluginConfig = ();

#[cfg(feature = "node")]
fn is_left_out(config: &PluginConfig) -> bool {
    config.is_none()
}

#[cfg(not(feature = "node"))]
fn is_left_out((): &PluginConfig) -> bool {
    true
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $kind:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Read for $name {
            fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
                reader.section(&mut [$((stringify!($field), &mut self.$field),)*])
            }
        }
    };
}

section! {
    /// Parameters of the Ribbon rules.
    Ribbon {
        /// Members with this many requests under way are not available; none = no limit (`ActiveConnectionsLimit`).
        active_connections_limit: Option<u32> = None,
        /// Whether an open circuit makes a member unavailable (`filterCircuitTripped`).
        filter_circuit_tripped: bool = true,
        /// Seconds without a change after which a count of active requests is dropped.
        active_window_s: u64 = 600,
        /// Whether zones are avoided at all (`zoneAvoidanceRule.enabled`).
        zone_avoidance: bool = true,
        /// Load per server from which a zone may be avoided (`triggeringLoadPerServerThreshold`).
        triggering_load: f64 = 0.2,
        /// Share of open circuits from which a zone is out (`avoidZoneWithBlackoutPercetage`).
        blackout_share: f64 = 0.99999,
        /// Draw a zone before the rule runs (`ZoneAwareLoadBalancer`).
        zone_aware: bool = false,
        /// Time between two computations of the response-time weights in ms (`ServerWeightTaskTimerInterval`).
        weight_interval_ms: u64 = 30_000,
        /// Ties of the least active members.
        tie: Tie = Tie::First,
    }
}

section! {
    /// The zone affinity filter, applied to the list before any rule.
    Affinity {
        /// Prefer the own zone (`EnableZoneAffinity`).
        enabled: bool = false,
        /// Keep the own zone only (`EnableZoneExclusivity`).
        exclusive: bool = false,
        /// Load per server from which all zones are used (`zoneAffinity.maxLoadPerServer`).
        max_load: f64 = 0.6,
        /// Share of open circuits from which all zones are used (`zoneAffinity.maxBlackOutServesrPercentage`).
        max_blackout_share: f64 = 0.8,
        /// Available servers below which all zones are used (`zoneAffinity.minAvailableServers`).
        min_available: u32 = 2,
    }
}

section! {
    /// Parameters of the retry rule.
    Retry {
        /// How long a caller goes on asking in ms; 0 or less means 500.
        window_ms: i64 = 500,
        /// How often one call of `choose` asks the sub-rule; 0 = enough for round robin to see every member.
        tries: u32 = 0,
    }
}

section! {
    /// Parameters of p2c with peak EWMA.
    Ewma {
        /// Decay time in ms.
        decay_ms: f64 = 10_000.0,
        /// Estimate of a member without a sample in ms.
        initial_ms: f64 = 30.0,
        /// What a failed request counts as at least, in ms.
        penalty_ms: f64 = 5_000.0,
    }
}

section! {
    /// Parameters of least request.
    LeastRequest {
        /// Members drawn for one choice.
        choices: u32 = 2,
        /// Exponent of the active count in the effective weight of unequal members.
        bias: f64 = 1.0,
        /// Look at every member instead.
        full_scan: bool = false,
    }
}

section! {
    /// Parameters of consistent hashing.
    Hashing {
        /// Points of a ring of sixteen members of equal weight, at least; smaller lists have fewer.
        min_ring: u32 = 1_024,
        /// Most points on the ring.
        max_ring: u32 = 8_388_608,
        /// Entries of the Maglev table; a prime.
        table: u32 = 65_537,
        /// A member may have this many times its share of the running requests; none = no bound.
        bound: Option<f64> = None,
    }
}

section! {
    /// Parameters of the locality rule.
    Locality {
        /// Weight by zone; a zone that is not named has weight 1.
        weights: BTreeMap<String, f64> = BTreeMap::new(),
        /// How far a locality may be short of healthy members before it loses traffic, in percent.
        overprovisioning: u32 = 140,
        /// Keep calls in the own zone as far as its share of the members allows.
        zone_aware: bool = false,
        /// Share of the callers that are in the own zone; none = an equal share for each zone.
        caller_share: Option<f64> = None,
        /// Members below which zone-aware routing is off.
        min_members: u32 = 6,
    }
}

section! {
    /// Outlier ejection.
    Outlier {
        /// Time between two looks at the rates in ms.
        interval_ms: u64 = 10_000,
        /// Server errors in a row that eject at once; 0 = off.
        consecutive_errors: u32 = 5,
        /// Gateway errors in a row that eject at once; 0 = off.
        consecutive_gateway: u32 = 0,
        /// Standard deviations below the mean success rate that eject; 0 = off.
        success_rate_factor: f64 = 1.9,
        /// Members with enough requests that the rates need.
        min_hosts: u32 = 5,
        /// Requests in an interval that a member needs to be judged.
        min_requests: u32 = 100,
        /// Failure share that ejects; none = off.
        failure_share: Option<f64> = None,
        /// Length of the first ejection in ms; it grows with each.
        base_ms: u64 = 30_000,
        /// Longest ejection in ms.
        max_ms: u64 = 300_000,
        /// Share of the members that may be ejected; one may always be.
        max_share: f64 = 0.1,
    }
}

section! {
    /// Slow start of new members.
    SlowStart {
        /// Age in ms from which a member has its full weight.
        window_ms: u64 = 60_000,
        /// Share of the weight that a member has from the beginning.
        min_share: f64 = 0.1,
        /// 1 grows evenly; more grows faster at first.
        aggression: f64 = 1.0,
    }
}

section! {
    /// Members with a label first.
    Label {
        /// Name of the label.
        name: String = String::new(),
        /// Its value.
        value: String = String::new(),
        /// Give none, instead of any member, when no usable member has it.
        required: bool = false,
    }
}

section! {
    /// A load-balancing policy.
    Policy {
        /// Name of the rule; any name of [`names`](super::names).
        rule: String = "zone-avoidance".to_string(),
        /// With or without the defects of the original.
        mode: Mode = Mode::Safe,
        /// Rule inside `retry` and `locality-weighted`; rule that answers for a plugin that does not.
        sub_rule: String = "round-robin".to_string(),
        /// Configuration of the plugin that the rule is.
        #[serde(skip_serializing_if = "is_left_out")]
        config: PluginConfig = PluginConfig::default(),
        /// Own zone of the caller.
        zone: Option<String> = None,
        /// Own Nacos cluster of the caller.
        cluster: Option<String> = None,
        /// Hint of requests that bring none; see [`Policy::request_hint`].
        hint: Option<String> = None,
        /// Position that Spring's round robin starts from; none = drawn below 1000.
        start_position: Option<u32> = None,
        /// Ribbon's circuit breaker: `auto` is on for Ribbon rules.
        breaker: Switch = Switch::Auto,
        /// When it opens.
        circuit: Breaker = Breaker::default(),
        /// Parameters of the Ribbon rules.
        ribbon: Ribbon = Ribbon::default(),
        /// Zone affinity filter.
        affinity: Affinity = Affinity::default(),
        /// Retry rule.
        retry: Retry = Retry::default(),
        /// Halve the weight of a failing member in smooth weighted round robin.
        failure_aware: bool = false,
        /// p2c with peak EWMA.
        ewma: Ewma = Ewma::default(),
        /// Least request.
        least_request: LeastRequest = LeastRequest::default(),
        /// Consistent hashing.
        hashing: Hashing = Hashing::default(),
        /// Locality rule.
        locality: Locality = Locality::default(),
        /// Outlier ejection around the rule; none = off.
        outlier: Option<Outlier> = None,
        /// Slow start around the rule; none = off.
        slow_start: Option<SlowStart> = None,
        /// Share of healthy members below which health is ignored; 0 = off.
        panic_share: f64 = 0.0,
        /// Nacos protection: share of healthy members up to which health is ignored; none = off.
        protect_threshold: Option<f64> = None,
        /// Label filter around the rule; none = off.
        label: Option<Label> = None,
    }
}

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// The text is not a policy document; what the parser said.
    Malformed(String),
    /// A rule name is not known.
    Rule {
        /// Field or property that holds it.
        field: String,
        /// What is wrong with it.
        unknown: UnknownRule,
    },
    /// A value is out of its range.
    Value {
        /// Path of the field, or the property.
        field: String,
        /// What it may be.
        expected: String,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl PolicyError {
    /// What [`fmt::Display`] shows. Without the machinery of `fmt`, which is 2 kB of a module that browsers load.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Malformed(why) => ["not a load-balancing policy: ", why].concat(),
            Self::Rule { field, unknown } => [field, ": ", &unknown.message()].concat(),
            Self::Value { field, expected } => [field, " must be ", expected].concat(),
        }
    }
}

impl core::error::Error for PolicyError {}

pub(crate) fn refuse<T>(field: &str, expected: &str) -> Result<T, PolicyError> {
    Err(PolicyError::Value {
        field: field.to_string(),
        expected: expected.to_string(),
    })
}

impl Policy {
    /// A policy with this rule and the defaults of everything else.
    #[must_use]
    pub fn of(rule: &str) -> Self {
        Self {
            rule: rule.to_string(),
            ..Self::default()
        }
    }

    /// The same policy with another mode.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The hint to put into a request's context: its own (`X-SC-LB-Hint`), or else the configured one.
    #[must_use]
    pub fn request_hint<'a>(&'a self, own: Option<&'a str>) -> Option<&'a str> {
        own.filter(|hint| !hint.is_empty()).or(self.hint.as_deref())
    }

    /// Reads and validates a policy document.
    ///
    /// # Errors
    /// [`PolicyError`] with the field and what it may be.
    pub fn from_json(text: &[u8]) -> Result<Self, PolicyError> {
        let policy: Self = document::read(text).map_err(|wrong| {
            let Wrong { path, why } = *wrong;
            PolicyError::Malformed(if path.is_empty() {
                why
            } else {
                [path.as_str(), ": ", why.as_str()].concat()
            })
        })?;
        policy.validate()?;
        Ok(policy)
    }

    fn rule_named(field: &str, name: &str) -> Result<RuleName, PolicyError> {
        RuleName::parse(name).map_err(|unknown| PolicyError::Rule {
            field: field.to_string(),
            unknown,
        })
    }

    /// The rule that chooses.
    ///
    /// # Errors
    /// [`PolicyError::Rule`] when its name is not known.
    pub fn rule(&self) -> Result<RuleName, PolicyError> {
        Self::rule_named("rule", &self.rule)
    }

    /// The rule inside another rule.
    ///
    /// # Errors
    /// [`PolicyError::Rule`] when its name is not known, [`PolicyError::Value`] when it needs a sub-rule itself.
    pub fn sub_rule(&self) -> Result<RuleName, PolicyError> {
        match Self::rule_named("subRule", &self.sub_rule)? {
            RuleName::Retry | RuleName::LocalityWeighted | RuleName::Plugin(_) => {
                refuse("subRule", "a built-in rule without a sub-rule of its own")
            }
            rule => Ok(rule),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`PolicyError`] for the first field that is wrong.
    pub fn validate(&self) -> Result<(), PolicyError> {
        self.rule()?;
        self.sub_rule()?;
        let shares = [
            ("ribbon.blackoutShare", self.ribbon.blackout_share),
            (
                "affinity.maxBlackoutShare",
                self.affinity.max_blackout_share,
            ),
            ("panicShare", self.panic_share),
            (
                "outlier.maxShare",
                self.outlier
                    .as_ref()
                    .map_or(0.0, |outlier| outlier.max_share),
            ),
            (
                "outlier.failureShare",
                self.outlier
                    .as_ref()
                    .and_then(|outlier| outlier.failure_share)
                    .unwrap_or(0.0),
            ),
            (
                "slowStart.minShare",
                self.slow_start.as_ref().map_or(0.0, |slow| slow.min_share),
            ),
            ("protectThreshold", self.protect_threshold.unwrap_or(0.0)),
            (
                "locality.callerShare",
                self.locality.caller_share.unwrap_or(0.0),
            ),
        ];
        for (field, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return refuse(field, "between 0 and 1");
            }
        }
        let amounts = [
            ("ribbon.triggeringLoad", self.ribbon.triggering_load),
            ("affinity.maxLoad", self.affinity.max_load),
            ("ewma.penaltyMs", self.ewma.penalty_ms),
            ("ewma.initialMs", self.ewma.initial_ms),
            ("leastRequest.bias", self.least_request.bias),
            (
                "outlier.successRateFactor",
                self.outlier
                    .as_ref()
                    .map_or(0.0, |outlier| outlier.success_rate_factor),
            ),
        ];
        for (field, value) in amounts.into_iter().chain(
            self.locality
                .weights
                .values()
                .map(|w| ("locality.weights", *w)),
        ) {
            if !(value.is_finite() && value >= 0.0) {
                return refuse(field, "a finite number of at least 0");
            }
        }
        if !(self.ewma.decay_ms.is_finite() && self.ewma.decay_ms > 0.0) {
            return refuse("ewma.decayMs", "a finite number above 0");
        }
        if !(1..=16).contains(&self.least_request.choices) {
            return refuse("leastRequest.choices", "between 1 and 16");
        }
        if self.hashing.max_ring > 8_388_608
            || self.hashing.min_ring > self.hashing.max_ring
            || self.hashing.max_ring == 0
        {
            return refuse(
                "hashing.minRing and hashing.maxRing",
                "at most 8388608, the first at most the second",
            );
        }
        if !(3..=5_000_011).contains(&self.hashing.table) || !is_prime(self.hashing.table) {
            return refuse("hashing.table", "a prime between 3 and 5000011");
        }
        if self
            .hashing
            .bound
            .is_some_and(|bound| !(bound.is_finite() && bound > 1.0))
        {
            return refuse("hashing.bound", "a finite number above 1");
        }
        if self.locality.overprovisioning < 100 {
            return refuse("locality.overprovisioning", "at least 100 (percent)");
        }
        if self
            .outlier
            .as_ref()
            .is_some_and(|outlier| outlier.interval_ms == 0 || outlier.base_ms == 0)
        {
            return refuse("outlier.intervalMs and outlier.baseMs", "at least 1");
        }
        if self
            .slow_start
            .as_ref()
            .is_some_and(|slow| !(slow.aggression.is_finite() && slow.aggression > 0.0))
        {
            return refuse("slowStart.aggression", "a finite number above 0");
        }
        if self
            .label
            .as_ref()
            .is_some_and(|label| label.name.is_empty())
        {
            return refuse("label.name", "the name of a label");
        }
        let staged = self.outlier.is_some()
            || self.slow_start.is_some()
            || self.label.is_some()
            || self.panic_share > 0.0
            || self.protect_threshold.is_some();
        if staged && self.mode == Mode::Exact {
            return refuse(
                "mode",
                "\"safe\" when a stage (outlier, slowStart, label, panicShare, protectThreshold) is on",
            );
        }
        Ok(())
    }
}

fn is_prime(number: u32) -> bool {
    number > 1
        && (2..)
            .take_while(|&factor| factor * factor <= number)
            .all(|factor| !number.is_multiple_of(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_is_the_default() {
        assert_eq!(Policy::from_json(b"{}"), Ok(Policy::default()));
        assert_eq!(Policy::default().rule(), Ok(RuleName::ZoneAvoidance));
    }

    #[test]
    fn a_document_survives_the_round_trip() {
        let policy = Policy {
            outlier: Some(Outlier::default()),
            zone: Some("za".to_string()),
            ..Policy::of("p2c-ewma")
        };
        let text = serde_json::to_vec(&policy).expect("a policy is plain data");
        assert_eq!(Policy::from_json(&text), Ok(policy));
    }

    #[test]
    fn wrong_documents_name_the_field() {
        for (text, field) in [
            (r#"{"rule":"round-robbin"}"#, "rule"),
            (r#"{"rule":"retry","subRule":"retry"}"#, "subRule"),
            (r#"{"panicShare":1.5}"#, "panicShare"),
            (r#"{"ewma":{"decayMs":0}}"#, "ewma.decayMs"),
            (r#"{"hashing":{"table":65536}}"#, "hashing.table"),
            (r#"{"leastRequest":{"choices":0}}"#, "leastRequest.choices"),
            (r#"{"mode":"exact","panicShare":0.5}"#, "mode"),
            (r#"{"slowStart":{"aggression":-1}}"#, "slowStart.aggression"),
            (r#"{"rul":"random"}"#, "rul"),
            (r#"{"ribbon":{"limit":3}}"#, "limit"),
        ] {
            let error = Policy::from_json(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(field), "{text}: {error}");
        }
    }
}
