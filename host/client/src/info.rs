//! What a server says of a service, read leniently: every generation leaves something out.

use std::{collections::BTreeMap, sync::Arc};

use nacrite_core::{
    api::own::PolicyJson,
    balance::{Candidate, Flags},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Instance {
    /// Address.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// Weight, 0 to 10 000.
    #[serde(deserialize_with = "or_default")]
    pub weight: f64,
    /// Whether the registry holds it for healthy.
    #[serde(deserialize_with = "or_default")]
    pub healthy: bool,
    /// Whether it may be called.
    #[serde(deserialize_with = "or_default", alias = "enable")]
    pub enabled: bool,
    /// Whether it lives only as long as its client.
    pub ephemeral: bool,
    /// Cluster.
    #[serde(deserialize_with = "or_default", alias = "cluster")]
    pub cluster_name: String,
    /// `GROUP@@SERVICE`.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub service_name: String,
    /// The id that the server gave.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub instance_id: String,
    /// Labels.
    #[serde(deserialize_with = "texts")]
    pub metadata: BTreeMap<String, String>,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            ip: String::new(),
            port: 0,
            weight: 1.0,
            healthy: true,
            enabled: true,
            ephemeral: true,
            cluster_name: nacrite_core::model::DEFAULT_CLUSTER.into(),
            service_name: String::new(),
            instance_id: String::new(),
            metadata: BTreeMap::new(),
        }
    }
}

impl Instance {
    /// A healthy, ephemeral instance with weight 1.
    #[must_use]
    pub fn new(ip: impl Into<String>, port: u16) -> Self {
        Self {
            ip: ip.into(),
            port,
            ..Self::default()
        }
    }

    /// `ip:port`.
    #[must_use]
    pub fn address(&self) -> String {
        if self.ip.contains(':') && !self.ip.starts_with('[') {
            format!("[{}]:{}", self.ip, self.port)
        } else {
            format!("{}:{}", self.ip, self.port)
        }
    }

    /// What load-balancing rules choose from.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        Candidate {
            id: self.address(),
            zone: self.metadata.get("zone").cloned(),
            cluster: self.cluster_name.clone(),
            weight: self.weight,
            flags: Flags::SERVING
                .with(Flags::HEALTHY, self.healthy)
                .with(Flags::ENABLED, self.enabled),
            metadata: self.metadata.clone(),
        }
    }

    /// Whether it may be called: healthy, enabled, with a weight.
    #[must_use]
    pub fn is_callable(&self) -> bool {
        self.healthy && self.enabled && self.weight > 0.0
    }
}

/// A service as a server tells it (Nacos `ServiceInfo`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceInfo {
    /// Plain name, or `GROUP@@NAME` over HTTP.
    pub name: String,
    /// Group.
    #[serde(deserialize_with = "or_default")]
    pub group_name: String,
    /// The cluster filter that was asked for.
    #[serde(deserialize_with = "or_default")]
    pub clusters: String,
    /// How long it may be believed, milliseconds.
    pub cache_millis: u64,
    /// Grows from one answer to the next.
    pub last_ref_time: u64,
    /// Instances; none when the server says nothing of them, which is an error.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Option<Vec<Instance>>,
    /// Whether so few are healthy that all are named healthy.
    #[serde(deserialize_with = "or_default")]
    pub reach_protection_threshold: bool,
    /// Whether health was not looked at.
    #[serde(alias = "allIPs")]
    pub all_ips: bool,
}

impl ServiceInfo {
    /// The instances.
    #[must_use]
    pub fn instances(&self) -> &[Instance] {
        self.hosts.as_deref().unwrap_or_default()
    }

    /// Reads what a server sent. A field that comes twice under two names counts once.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let mut value = value.clone();
        {
            let fields = value.as_object_mut()?;
            if fields.contains_key("allIps") {
                fields.remove("allIPs");
            }
            // In `lastRefTime` and `cacheMillis` a text is a number too, and a null is nothing.
            for name in ["lastRefTime", "cacheMillis"] {
                let number = fields
                    .get(name)
                    .and_then(|v| v.as_u64().or_else(|| v.as_str()?.parse().ok()));
                fields.insert(name.into(), number.unwrap_or_default().into());
            }
        }
        serde_json::from_value(value).ok()
    }
}

/// A service with everything that a caller needs: what the server says, and the policy in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceState {
    /// What the server says.
    pub info: ServiceInfo,
    /// The load-balancing policy that the server keeps for it.
    pub policy: Option<PolicyJson>,
    /// Whether it comes from the failover folder.
    pub from_failover: bool,
}

/// A service as subscribers see it; shared.
pub type SharedState = Arc<ServiceState>;

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Values that are no texts become texts; nulls are left out.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let pairs = Option::<BTreeMap<String, Value>>::deserialize(from)?.unwrap_or_default();
    let text = |(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    Ok(pairs.into_iter().filter_map(text).collect())
}

/// An instance that cannot be read is left out, not the whole service.
fn hosts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Instance>>, D::Error> {
    let hosts = Option::<Vec<Value>>::deserialize(from)?;
    Ok(hosts.map(|hosts| {
        let read = |host| match serde_json::from_value::<Instance>(host) {
            Ok(instance) => Some(instance),
            Err(error) => {
                tracing::warn!("an instance cannot be read and is left out: {error}");
                None
            }
        };
        hosts.into_iter().filter_map(read).collect()
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_servers_send_is_read_leniently() {
        let info = ServiceInfo::read(&json!({
            "name": "s", "groupName": "g", "clusters": null, "cacheMillis": 10_000, "lastRefTime": "7",
            "allIPs": false, "allIps": true, "unknown": 1,
            "hosts": [
                {"ip": "1.1.1.1", "port": 80, "healthy": null, "metadata": {"n": 5, "x": null}, "clusterName": "A"},
                {"ip": "1.1.1.2", "port": "no port"},
            ],
        }))
        .unwrap();
        assert_eq!((info.last_ref_time, info.cache_millis), (7, 10_000));
        assert!(info.all_ips);
        let [one] = info.instances() else {
            panic!("{info:?}")
        };
        assert!(!one.healthy, "a null is Java's false");
        assert_eq!(one.weight, 1.0);
        assert_eq!(one.metadata["n"], "5");
        assert_eq!(one.metadata.len(), 1);
        assert_eq!(
            ServiceInfo::read(&json!({"hosts": null})).unwrap().hosts,
            None
        );
        assert_eq!(ServiceInfo::read(&json!([])), None);
    }

    #[test]
    fn addresses_of_ipv6_have_brackets() {
        assert_eq!(Instance::new("::1", 80).address(), "[::1]:80");
        assert_eq!(Instance::new("1.1.1.1", 80).address(), "1.1.1.1:80");
    }
}
