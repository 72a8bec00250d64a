//! An instance: one address that serves, with what it says of itself.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{
    names::{DEFAULT_CLUSTER, ServiceKey},
    texts::text,
};

/// Metadata of an instance, cluster or service: pairs sorted by key, each key once.
/// One shared allocation, because most instances never change theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata(Option<Arc<[Pair]>>);

/// Key and value.
type Pair = (Box<str>, Box<str>);

impl Metadata {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let pairs = self.0.as_deref()?;
        let at = pairs.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&pairs[at].1)
    }

    /// All pairs in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .as_deref()
            .unwrap_or_default()
            .iter()
            .map(|(k, v)| (&**k, &**v))
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_deref().map_or(0, <[_]>::len)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These pairs with `over` laid on top of them.
    #[must_use]
    pub fn merged(&self, over: &Self) -> Self {
        if over.is_empty() {
            return self.clone();
        }
        self.iter().chain(over.iter()).collect()
    }

    /// These pairs without the keys that `keys` has.
    #[must_use]
    pub fn without(&self, keys: &Self) -> Self {
        self.iter().filter(|(k, _)| keys.get(k).is_none()).collect()
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Metadata {
    /// The last value of a key wins.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter().map(|(k, v)| (k.into(), v.into()));
        Self::of_pairs(pairs.collect())
    }
}

impl Metadata {
    fn of_pairs(mut pairs: Vec<Pair>) -> Self {
        // Stable, so that of equal keys the last given stays last; it takes the place of the first, which is kept.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                core::mem::swap(later, first);
            }
            same
        });
        Self((!pairs.is_empty()).then(|| pairs.into()))
    }
}

/// A weight in 0…10 000; 0 means listed but not to be called.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weight(f64);

impl Weight {
    /// Largest weight.
    pub const MAX: f64 = 10_000.0;

    /// A weight, unless it is outside of 0…10 000 or no number.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=Self::MAX).contains(&value).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1.0)
    }
}

/// Which instance of a service: operators' metadata is kept by this key too (`ip:port:cluster`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// IP address or host name, as given.
    #[serde(deserialize_with = "text")]
    pub ip: Arc<str>,
    /// Port.
    pub port: u16,
    /// Cluster, `DEFAULT` if none was given.
    #[serde(deserialize_with = "text")]
    pub cluster: Arc<str>,
}

impl InstanceKey {
    /// Builds a key; a blank cluster means `DEFAULT`.
    #[must_use]
    pub fn new(ip: &str, port: u16, cluster: &str) -> Self {
        let cluster = if cluster.trim().is_empty() {
            DEFAULT_CLUSTER
        } else {
            cluster
        };
        Self {
            ip: Arc::from(ip),
            port,
            cluster: Arc::from(cluster),
        }
    }

    /// Its beginning; keys whose heads differ compare as these do.
    #[must_use]
    pub fn head(&self) -> KeyHead {
        let mut bytes = [0; 16];
        let ip = self.ip.as_bytes();
        let length = ip.len().min(bytes.len());
        bytes[..length].copy_from_slice(&ip[..length]);
        let whole = u128::from_be_bytes(bytes);
        KeyHead((whole >> 64) as u64, whole as u64)
    }
}

/// The first 16 bytes of a key's address, as numbers: to compare them needs no look at the text. All of an IPv4 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHead(u64, u64);

/// One instance as published or as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Address, port and cluster.
    pub key: InstanceKey,
    /// Share of calls it wants.
    pub weight: Weight,
    /// Whether it is believed to answer.
    pub healthy: bool,
    /// Whether it is shown to subscribers at all.
    pub enabled: bool,
    /// Whether it lives only as long as its client.
    pub ephemeral: bool,
    /// What it says of itself.
    pub metadata: Metadata,
    /// An id of its own; empty means `ip#port#cluster#GROUP@@SERVICE`.
    #[serde(deserialize_with = "text")]
    pub instance_id: Arc<str>,
}

impl Instance {
    /// The id that answers show.
    #[must_use]
    pub fn id(&self, service: &ServiceKey) -> String {
        if self.instance_id.is_empty() {
            let InstanceKey { ip, port, cluster } = &self.key;
            format!("{ip}#{port}#{cluster}#{}@@{}", service.group, service.name)
        } else {
            String::from(&*self.instance_id)
        }
    }
}

/// When silence makes an instance unhealthy and when it is removed, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeatTimes {
    /// Between two beats.
    pub interval: u64,
    /// Silence after which it is unhealthy.
    pub timeout: u64,
    /// Silence after which it is removed.
    pub delete: u64,
}

impl BeatTimes {
    /// Metadata key of the interval.
    pub const INTERVAL: &str = "preserved.heart.beat.interval";
    /// Metadata key of the time-out.
    pub const TIMEOUT: &str = "preserved.heart.beat.timeout";
    /// Metadata key of the time to removal.
    pub const DELETE: &str = "preserved.ip.delete.timeout";
    /// Metadata key of the form of instance ids (`simple` or `snowflake`).
    pub const ID_GENERATOR: &str = "preserved.instance.id.generator";
    /// What holds for an instance that says nothing.
    pub const DEFAULT: Self = Self {
        interval: 5_000,
        timeout: 15_000,
        delete: 30_000,
    };

    /// The times that metadata asks for; what is not all digits counts as not said.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let number = |key, default| {
            metadata
                .get(key)
                .filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|v| v.parse().ok())
                .unwrap_or(default)
        };
        Self {
            interval: number(Self::INTERVAL, Self::DEFAULT.interval),
            timeout: number(Self::TIMEOUT, Self::DEFAULT.timeout),
            delete: number(Self::DELETE, Self::DEFAULT.delete),
        }
    }
}

/// What an operator set for one instance, laid over what the instance publishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorMetadata {
    /// Replaces the published weight always.
    pub weight: Weight,
    /// Replaces the published flag always.
    pub enabled: bool,
    /// Laid over the published metadata key by key.
    pub extend: Metadata,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn heads_that_differ_order_their_keys(a in "[\\x00.1é]{0,18}", b in "[\\x00.1é]{0,18}", ports in any::<(u16, u16)>()) {
            let (a, b) = (InstanceKey::new(&a, ports.0, ""), InstanceKey::new(&b, ports.1, ""));
            let heads = a.head().cmp(&b.head());
            prop_assert_eq!(heads.then_with(|| a.cmp(&b)), a.cmp(&b));
        }
    }

    #[test]
    fn metadata_keeps_the_last_value_of_a_key_in_order() {
        let m: Metadata = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(m.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!((m.get("b"), m.get("c"), m.len()), (Some("3"), None, 2));
        let over: Metadata = [("c", "4"), ("a", "5")].into_iter().collect();
        assert_eq!(m.merged(&over).get("a"), Some("5"));
        assert_eq!(m.without(&over).iter().collect::<Vec<_>>(), [("b", "3")]);
    }

    #[test]
    fn a_weight_has_bounds() {
        assert!(Weight::new(0.0).is_some() && Weight::new(10_000.0).is_some());
        assert!(Weight::new(-0.1).is_none() && Weight::new(10_000.1).is_none());
        assert!(Weight::new(f64::NAN).is_none());
    }

    #[test]
    fn beat_times_that_are_no_numbers_are_the_defaults() {
        let m: Metadata = [
            (BeatTimes::TIMEOUT, "900"),
            (BeatTimes::DELETE, "1e3"),
            (BeatTimes::INTERVAL, ""),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            BeatTimes::of(&m),
            BeatTimes {
                timeout: 900,
                ..BeatTimes::DEFAULT
            }
        );
    }
}
