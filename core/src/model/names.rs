//! Names of services and configs.

use alloc::{format, string::String, sync::Arc};
use core::fmt;

use serde::{Deserialize, Serialize};

use super::texts::text;

/// The namespace of whoever names none.
pub const DEFAULT_NAMESPACE: &str = "public";
/// The group of whoever names none.
pub const DEFAULT_GROUP: &str = "DEFAULT_GROUP";
/// The cluster of an instance that names none.
pub const DEFAULT_CLUSTER: &str = "DEFAULT";

/// Identity of a service (2.x): namespace, group and plain name. Whether it is ephemeral is an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Namespace id; `public` for the default one, never empty.
    #[serde(deserialize_with = "text")]
    pub namespace: Arc<str>,
    /// Group, never empty.
    #[serde(deserialize_with = "text")]
    pub group: Arc<str>,
    /// Name without its group, never empty.
    #[serde(deserialize_with = "text")]
    pub name: Arc<str>,
}

impl ServiceKey {
    /// Builds a key; a blank namespace or group means the default one.
    #[must_use]
    pub fn new(namespace: &str, group: &str, name: &str) -> Self {
        Self {
            namespace: or_default(namespace, DEFAULT_NAMESPACE),
            group: or_default(group, DEFAULT_GROUP),
            name: Arc::from(name),
        }
    }

    /// `GROUP@@NAME`, as clients and instances spell it.
    #[must_use]
    pub fn grouped(&self) -> String {
        format!("{}@@{}", self.group, self.name)
    }

    /// `NAMESPACE@@GROUP@@NAME`, the key of a fuzzy watch.
    #[must_use]
    pub fn fuzzy(&self) -> String {
        format!("{}@@{}@@{}", self.namespace, self.group, self.name)
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@@{}@@{}", self.namespace, self.group, self.name)
    }
}

/// Identity of a config: namespace (the API's `tenant`), group and dataId.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigKey {
    /// Namespace id; `public` for the default one, never empty. (The 2.x API spells the default one "".)
    #[serde(deserialize_with = "text")]
    pub namespace: Arc<str>,
    /// Group.
    #[serde(deserialize_with = "text")]
    pub group: Arc<str>,
    /// Data id.
    #[serde(deserialize_with = "text")]
    pub data_id: Arc<str>,
}

impl ConfigKey {
    /// Builds a key; a blank namespace means the default one.
    #[must_use]
    pub fn new(namespace: &str, group: &str, data_id: &str) -> Self {
        Self {
            namespace: or_default(namespace, DEFAULT_NAMESPACE),
            group: Arc::from(group),
            data_id: Arc::from(data_id),
        }
    }
}

impl ConfigKey {
    /// As [`ConfigKey::new`], sharing the texts of namespace and group with another key where they are the same: lists of
    /// keys mostly name one.
    #[must_use]
    pub fn beside(other: Option<&Self>, namespace: &str, group: &str, data_id: &str) -> Self {
        let blank = namespace.trim().is_empty();
        let namespace = if blank { DEFAULT_NAMESPACE } else { namespace };
        let shared = |text: &str, of: fn(&Self) -> &Arc<str>| {
            let same = other.map(of).filter(|t| ***t == *text);
            same.map_or_else(|| Arc::from(text), Arc::clone)
        };
        Self {
            namespace: shared(namespace, |k| &k.namespace),
            group: shared(group, |k| &k.group),
            data_id: Arc::from(data_id),
        }
    }
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.data_id, self.group, self.namespace)
    }
}

fn or_default(given: &str, default: &str) -> Arc<str> {
    Arc::from(if given.trim().is_empty() {
        default
    } else {
        given
    })
}

/// Splits `GROUP@@NAME`; a bare name has no group. Only the first `@@` counts.
#[must_use]
pub fn split_grouped(text: &str) -> (Option<&str>, &str) {
    match text.split_once("@@") {
        Some((group, name)) => (Some(group), name),
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_names_mean_the_defaults() {
        let key = ServiceKey::new("", " ", "orders");
        assert_eq!((&*key.namespace, &*key.group), ("public", "DEFAULT_GROUP"));
        assert_eq!(key.grouped(), "DEFAULT_GROUP@@orders");
        let one = ConfigKey::new("", "g", "d");
        assert_eq!(&*one.namespace, "public");
        let two = ConfigKey::beside(Some(&one), " ", "h", "d");
        assert_eq!(two, ConfigKey::new("", "h", "d"));
        assert!(Arc::ptr_eq(&one.namespace, &two.namespace));
    }

    #[test]
    fn a_grouped_name_splits_at_the_first_mark() {
        assert_eq!(split_grouped("g@@s@@t"), (Some("g"), "s@@t"));
        assert_eq!(split_grouped("s"), (None, "s"));
        assert_eq!(split_grouped("@@s"), (Some(""), "s"));
    }
}
