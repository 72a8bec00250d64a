//! Gray versions: their names and priorities, and which version a caller gets (Nacos 3.x gray model; beta and tag).

use alloc::{format, sync::Arc};

use crate::model::{ConfigItem, ConfigVersion, GrayItem, GrayRule, Md5};

/// How many gray versions a config may have (`nacos.config.gray.version.max.count`).
pub const MAX_GRAYS: usize = 10;

impl GrayRule {
    /// Name of the gray version that it makes: `beta`, or `tag_<tag>`.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Beta { .. } => Arc::from("beta"),
            Self::Tag { tag } => format!("tag_{tag}").into(),
        }
    }

    /// `type` of the rule's JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Beta { .. } => "beta",
            Self::Tag { .. } => "tag",
        }
    }

    /// `expr` of the rule's JSON: the addresses, or the tag.
    #[must_use]
    pub fn expr(&self) -> &str {
        match self {
            Self::Beta { ips } => ips,
            Self::Tag { tag } => tag,
        }
    }

    /// `priority` of the rule's JSON; the highest that fits wins.
    #[must_use]
    pub fn priority(&self) -> u32 {
        match self {
            Self::Beta { .. } => 2_147_483_647,
            Self::Tag { .. } => 2_147_483_646,
        }
    }

    /// Whether it is for a caller of this address and tag (each may be empty).
    #[must_use]
    pub fn fits(&self, ip: &str, tag: &str) -> bool {
        match self {
            Self::Beta { ips } => !ip.is_empty() && ips.split(',').any(|given| given == ip),
            Self::Tag { tag: given } => !tag.is_empty() && **given == *tag,
        }
    }
}

/// The version that a caller gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effective<'a> {
    /// The formal one.
    Formal(&'a ConfigVersion),
    /// A gray one.
    Gray(&'a GrayItem),
}

impl<'a> Effective<'a> {
    /// The version itself.
    #[must_use]
    pub fn version(self) -> &'a ConfigVersion {
        match self {
            Self::Formal(version) => version,
            Self::Gray(gray) => &gray.version,
        }
    }

    /// The gray rule that led to it.
    #[must_use]
    pub fn rule(self) -> Option<&'a GrayRule> {
        match self {
            Self::Formal(_) => None,
            Self::Gray(gray) => Some(&gray.rule),
        }
    }
}

/// What a caller of this address and `Vipserver-Tag` gets: beta by address, then the tag, then the formal version.
#[must_use]
pub fn effective<'a>(item: &'a ConfigItem, ip: &str, tag: &str) -> Option<Effective<'a>> {
    effective_tagged(item, ip, tag).or(item.formal.as_ref().map(Effective::Formal))
}

/// What a caller gets that asks for a tag explicitly: as [`effective`], but never the formal version.
#[must_use]
pub fn effective_tagged<'a>(item: &'a ConfigItem, ip: &str, tag: &str) -> Option<Effective<'a>> {
    item.grays
        .iter()
        .find(|gray| gray.rule.fits(ip, tag))
        .map(Effective::Gray)
}

/// MD5 of what a caller gets; none if that is nothing.
#[must_use]
pub fn effective_md5(item: Option<&ConfigItem>, ip: &str, tag: &str) -> Option<Md5> {
    effective(item?, ip, tag).map(|e| e.version().content.md5)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::{config::configs::tests::version, model::ConfigKey};

    fn item(formal: bool, rules: &[GrayRule]) -> ConfigItem {
        let key = ConfigKey::new("", "g", "d");
        let grays: Vec<GrayItem> = rules
            .iter()
            .map(|r| GrayItem {
                name: r.name(),
                rule: r.clone(),
                version: version(&key, r.expr()),
            })
            .collect();
        ConfigItem {
            id: 1,
            formal: formal.then(|| version(&key, "formal")),
            grays,
        }
    }

    #[test]
    fn beta_goes_before_tag_and_tag_before_formal() {
        let beta = GrayRule::Beta {
            ips: "10.0.0.1,10.0.0.2".into(),
        };
        let tag = GrayRule::Tag { tag: "t".into() };
        let item = item(true, &[beta.clone(), tag.clone()]);
        let rule = |ip, tag| {
            effective(&item, ip, tag)
                .expect("there is a formal version")
                .rule()
                .cloned()
        };
        assert_eq!(rule("10.0.0.2", "t"), Some(beta.clone()));
        assert_eq!(rule("10.0.0.3", "t"), Some(tag.clone()));
        assert_eq!(rule("10.0.0.3", "u"), None);
        assert_eq!(rule("", ""), None);
        assert_eq!(effective_tagged(&item, "10.0.0.3", "u"), None);
        assert_eq!(
            effective_tagged(&item, "10.0.0.1", "u").and_then(Effective::rule),
            Some(&beta)
        );
        assert_eq!((&*beta.name(), &*tag.name()), ("beta", "tag_t"));
    }

    #[test]
    fn addresses_are_not_trimmed_and_nothing_is_no_address() {
        let item = item(
            false,
            &[GrayRule::Beta {
                ips: "10.0.0.1, 10.0.0.2,,".into(),
            }],
        );
        assert!(effective(&item, "10.0.0.1", "").is_some());
        assert_eq!(effective(&item, "10.0.0.2", ""), None);
        assert_eq!(effective(&item, "", ""), None);
        assert_eq!(effective_md5(None, "10.0.0.1", ""), None);
    }
}
