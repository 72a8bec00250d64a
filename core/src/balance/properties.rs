//! A policy from the properties that a Ribbon or Spring user already has.
//!
//! First hit wins: `<service>.ribbon.<Key>`, then `ribbon.<Key>`, then what the policy says already. A value that
//! cannot be read is an error with the property's name, never the default in silence. Nested YAML is flattened
//! by the host.

use super::names::{RuleName, SPRING_CONFIGURATIONS};
use super::policy::{Policy, PolicyError, refuse};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::str::FromStr;

struct Source<'a> {
    service: &'a str,
    properties: &'a BTreeMap<String, String>,
}

impl Source<'_> {
    /// The first of these keys that is set.
    fn first(&self, keys: &[String]) -> Option<(String, &str)> {
        keys.iter().find_map(|key| {
            self.properties
                .get(key)
                .map(|value| (key.clone(), value.trim()))
        })
    }

    fn client(&self, key: &str) -> [String; 2] {
        [
            format!("{}.ribbon.{key}", self.service),
            format!("ribbon.{key}"),
        ]
    }

    fn read<T: FromStr>(
        &self,
        keys: &[String],
        expected: &str,
        into: &mut T,
    ) -> Result<(), PolicyError> {
        if let Some((key, value)) = self.first(keys) {
            *into = value.parse().or_else(|_| refuse(&key, expected))?;
        }
        Ok(())
    }
}

const NUMBER: &str = "a number";
const COUNT: &str = "a whole number of at least 0";
const BOOL: &str = "true or false";

/// Classes that need no parameter of ours, and what they stand for.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "NFLoadBalancerClassName",
        &[
            "com.netflix.loadbalancer.ZoneAwareLoadBalancer",
            "com.netflix.loadbalancer.DynamicServerListLoadBalancer",
            "com.netflix.loadbalancer.BaseLoadBalancer",
        ],
    ),
    (
        "NFLoadBalancerPingClassName",
        &[
            "com.netflix.loadbalancer.DummyPing",
            "com.netflix.loadbalancer.NoOpPing",
            "com.netflix.niws.loadbalancer.NIWSDiscoveryPing",
        ],
    ),
    (
        "NIWSServerListClassName",
        &[
            "com.netflix.loadbalancer.ConfigurationBasedServerList",
            "com.alibaba.cloud.nacos.ribbon.NacosServerList",
        ],
    ),
    (
        "NIWSServerListFilterClassName",
        &[
            "com.netflix.loadbalancer.ZoneAffinityServerListFilter",
            "org.springframework.cloud.netflix.ribbon.ZonePreferenceServerListFilter",
        ],
    ),
];

impl Policy {
    /// The policy for `service` with what `properties` say about it.
    ///
    /// # Errors
    /// [`PolicyError`] with the property, when a rule or class is not known or a value cannot be read.
    pub fn with_properties(
        mut self,
        service: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Self, PolicyError> {
        let source = Source {
            service,
            properties,
        };
        self.read_rule(&source)?;
        self.read_client(&source)?;
        self.read_global(&source)?;
        self.validate()?;
        Ok(self)
    }

    fn read_rule(&mut self, source: &Source<'_>) -> Result<(), PolicyError> {
        if let Some((key, name)) = source.first(&source.client("NFLoadBalancerRuleClassName")) {
            RuleName::parse(name).map_err(|unknown| PolicyError::Rule {
                field: key,
                unknown,
            })?;
            self.rule = name.to_string();
        } else if let Some((key, name)) =
            source.first(&["spring.cloud.loadbalancer.configurations".to_string()])
        {
            let Some((_, rule)) = SPRING_CONFIGURATIONS
                .iter()
                .find(|(known, _)| *known == name)
            else {
                return refuse(&key, "default, zone-preference, health-check or weighted");
            };
            self.rule = rule.name();
        }
        if let Some((_, zone)) = source.first(&["spring.cloud.loadbalancer.zone".to_string()]) {
            self.zone = Some(zone.to_string());
        }
        let hints = [
            format!("spring.cloud.loadbalancer.hint.{}", source.service),
            "spring.cloud.loadbalancer.hint.default".into(),
        ];
        if let Some((_, hint)) = source.first(&hints) {
            self.hint = Some(hint.to_string());
        }
        for (key, known) in CLASSES {
            if let Some((property, class)) = source.first(&source.client(key)) {
                if !known.contains(&class) {
                    return refuse(&property, &format!("one of {}", known.join(", ")));
                }
                if *key == "NFLoadBalancerClassName" {
                    self.ribbon.zone_aware = class == known[0];
                }
            }
        }
        Ok(())
    }

    fn read_client(&mut self, source: &Source<'_>) -> Result<(), PolicyError> {
        let client = |key: &str| source.client(key);
        source.read(
            &client("ServerWeightTaskTimerInterval"),
            COUNT,
            &mut self.ribbon.weight_interval_ms,
        )?;
        source.read(
            &client("EnableZoneAffinity"),
            BOOL,
            &mut self.affinity.enabled,
        )?;
        source.read(
            &client("EnableZoneExclusivity"),
            BOOL,
            &mut self.affinity.exclusive,
        )?;
        source.read(
            &client("zoneAffinity.maxLoadPerServer"),
            NUMBER,
            &mut self.affinity.max_load,
        )?;
        source.read(
            &client("zoneAffinity.maxBlackOutServesrPercentage"),
            NUMBER,
            &mut self.affinity.max_blackout_share,
        )?;
        source.read(
            &client("zoneAffinity.minAvailableServers"),
            COUNT,
            &mut self.affinity.min_available,
        )?;
        let [own, all] = client("ActiveConnectionsLimit");
        let mut limit: i64 = self.ribbon.active_connections_limit.map_or(-1, i64::from);
        let global =
            "niws.loadbalancer.availabilityFilteringRule.activeConnectionsLimit".to_string();
        source.read(
            &[own, all, global],
            "a whole number, -1 for no limit",
            &mut limit,
        )?;
        self.ribbon.active_connections_limit = u32::try_from(limit).ok();
        Ok(())
    }

    fn read_global(&mut self, source: &Source<'_>) -> Result<(), PolicyError> {
        let niws = |key: &str| {
            [
                format!("niws.loadbalancer.{}.{key}", source.service),
                format!("niws.loadbalancer.default.{key}"),
            ]
        };
        source.read(
            &niws("connectionFailureCountThreshold"),
            COUNT,
            &mut self.circuit.threshold,
        )?;
        source.read(
            &niws("circuitTripTimeoutFactorSeconds"),
            COUNT,
            &mut self.circuit.factor_s,
        )?;
        source.read(
            &niws("circuitTripMaxTimeoutSeconds"),
            COUNT,
            &mut self.circuit.max_s,
        )?;
        let window = [
            "niws.loadbalancer.serverStats.activeRequestsCount.effectiveWindowSeconds".to_string(),
        ];
        source.read(&window, COUNT, &mut self.ribbon.active_window_s)?;
        let tripped =
            ["niws.loadbalancer.availabilityFilteringRule.filterCircuitTripped".to_string()];
        source.read(&tripped, BOOL, &mut self.ribbon.filter_circuit_tripped)?;
        let avoidance = ["niws.loadbalancer.zoneAvoidanceRule.enabled".to_string()];
        source.read(&avoidance, BOOL, &mut self.ribbon.zone_avoidance)?;
        let mut aware = true;
        source.read(
            &["ZoneAwareNIWSDiscoveryLoadBalancer.enabled".to_string()],
            BOOL,
            &mut aware,
        )?;
        self.ribbon.zone_aware &= aware;
        let zone = |key: &str| {
            let prefix = "ZoneAwareNIWSDiscoveryLoadBalancer";
            [
                format!("{prefix}.{}.{key}", source.service),
                format!("{prefix}.{key}"),
            ]
        };
        source.read(
            &zone("triggeringLoadPerServerThreshold"),
            NUMBER,
            &mut self.ribbon.triggering_load,
        )?;
        source.read(
            &zone("avoidZoneWithBlackoutPercetage"),
            NUMBER,
            &mut self.ribbon.blackout_share,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(service: &str, lines: &[(&str, &str)]) -> Result<Policy, PolicyError> {
        let properties = lines
            .iter()
            .map(|(key, value)| ((*key).to_string(), (*value).to_string()))
            .collect();
        Policy::default().with_properties(service, &properties)
    }

    #[test]
    fn the_service_goes_before_all_services() {
        let lines = [
            ("ribbon.NFLoadBalancerRuleClassName", "RandomRule"),
            (
                "orders.ribbon.NFLoadBalancerRuleClassName",
                "com.netflix.loadbalancer.BestAvailableRule",
            ),
            ("ribbon.ActiveConnectionsLimit", "5"),
            (
                "niws.loadbalancer.availabilityFilteringRule.activeConnectionsLimit",
                "9",
            ),
        ];
        let orders = read("orders", &lines).expect("valid");
        assert_eq!(
            (orders.rule(), orders.ribbon.active_connections_limit),
            (Ok(RuleName::LeastActive), Some(5))
        );
        assert_eq!(
            read("stock", &lines).expect("valid").rule(),
            Ok(RuleName::Random)
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_with_the_property() {
        for line in [
            (
                "orders.ribbon.NFLoadBalancerRuleClassName",
                "com.example.Mine",
            ),
            ("ribbon.EnableZoneAffinity", "yes"),
            (
                "niws.loadbalancer.default.circuitTripMaxTimeoutSeconds",
                "-4",
            ),
            (
                "orders.ribbon.NFLoadBalancerPingClassName",
                "com.example.Ping",
            ),
            ("spring.cloud.loadbalancer.configurations", "random-thing"),
        ] {
            let error = read("orders", &[line]).unwrap_err().to_string();
            assert!(error.contains(line.0), "{error}");
        }
    }
}
