//! Patterns of fuzzy watches and the keys that they match (Nacos 3.x `FuzzyGroupKeyPattern`).

use alloc::{string::String, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::model::DEFAULT_NAMESPACE;

/// `namespace>>group>>resource`. The namespace matches exactly (a watch never crosses namespaces); the other two
/// match exactly, or with `*` alone or at their ends. A `*` in the middle is a plain character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    namespace: Arc<str>,
    group: Part,
    resource: Part,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Any,
    Exact(String),
    Starts(String),
    Ends(String),
    Holds(String),
}

impl Pattern {
    /// Reads a pattern; without its two `>>` it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, rest) = text.split_once(">>")?;
        let (group, resource) = rest.split_once(">>")?;
        let namespace = if namespace.trim().is_empty() {
            DEFAULT_NAMESPACE
        } else {
            namespace
        };
        Some(Self {
            namespace: Arc::from(namespace),
            group: Part::parse(group),
            resource: Part::parse(resource),
        })
    }

    /// Whether a service or config is among those watched.
    #[must_use]
    pub fn matches(&self, namespace: &str, group: &str, resource: &str) -> bool {
        *self.namespace == *namespace
            && self.group.matches(group)
            && self.resource.matches(resource)
    }
}

impl Part {
    fn parse(text: &str) -> Self {
        if text == "*" || text == "**" {
            return Self::Any;
        }
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (None, None) => Self::Exact(text.into()),
            (None, Some(start)) => Self::Starts(start.into()),
            (Some(end), None) => Self::Ends(end.into()),
            (Some(rest), Some(_)) => Self::Holds(rest.strip_suffix('*').unwrap_or(rest).into()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(all) => text == all,
            Self::Starts(start) => text.starts_with(&**start),
            Self::Ends(end) => text.ends_with(&**end),
            Self::Holds(part) => text.contains(&**part),
        }
    }
}

/// The key of a service in a fuzzy watch's messages: `namespace@@group@@name`.
pub(super) fn service_text(namespace: &str, group: &str, name: &str) -> Arc<str> {
    [namespace, "@@", group, "@@", name].concat().into()
}

/// The key of a config in a fuzzy watch's messages: `dataId+group+namespace`, with `+` and `%` escaped inside.
pub(super) fn config_text(namespace: &str, group: &str, data_id: &str) -> Arc<str> {
    let mut out = String::with_capacity(namespace.len() + group.len() + data_id.len() + 2);
    for (at, part) in [data_id, group, namespace].into_iter().enumerate() {
        if at > 0 {
            out.push('+');
        }
        for c in part.chars() {
            match c {
                '+' => out.push_str("%2B"),
                '%' => out.push_str("%25"),
                c => out.push(c),
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_match_exactly_or_by_their_ends() {
        let matched = |pattern: &str, text: &str| Part::parse(pattern).matches(text);
        assert!(matched("*", "") && matched("*", "x") && matched("**", "x"));
        assert!(matched("ab", "ab") && !matched("ab", "abc"));
        assert!(matched("ab*", "abc") && matched("ab*", "ab") && !matched("ab*", "cab"));
        assert!(matched("*ab", "cab") && !matched("*ab", "abc"));
        assert!(matched("*ab*", "cabc") && !matched("*ab*", "acb"));
        assert!(!matched("a*b", "acb") && matched("a*b", "a*b"));
        assert!(matched("", "") && !matched("", "a"));
    }

    #[test]
    fn the_namespace_is_exact() {
        let all = Pattern::parse("public>>*>>*").unwrap();
        assert!(all.matches("public", "g", "s") && !all.matches("other", "g", "s"));
        assert!(
            !Pattern::parse("*>>*>>*")
                .unwrap()
                .matches("public", "g", "s")
        );
        assert!(
            Pattern::parse(">>g>>s")
                .unwrap()
                .matches("public", "g", "s")
        );
        assert_eq!(Pattern::parse("public>>g"), None);
        assert_eq!(Pattern::parse(""), None);
    }

    #[test]
    fn keys_as_text() {
        assert_eq!(&*service_text("public", "g", "s"), "public@@g@@s");
        assert_eq!(&*config_text("public", "g+1", "50%"), "50%25+g%2B1+public");
    }
}
