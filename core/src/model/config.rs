//! A config as the core knows it: everything but its content.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use super::texts::text;

/// MD5 of a content's UTF-8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Md5(pub [u8; 16]);

impl Md5 {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use md5::Digest as _;
        Self(md5::Md5::digest(bytes).into())
    }

    /// Reads 32 hexadecimal digits; everything else is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 32 {
            return None;
        }
        let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        let mut out = [0; 16];
        for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(out))
    }

    /// Whether a text is its 32 lower-case digits.
    #[must_use]
    pub fn is_written(&self, text: &str) -> bool {
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        text.len() == 32
            && (self.0.iter().zip(text.as_bytes().chunks_exact(2)))
                .all(|(byte, pair)| pair == [digit(byte >> 4), digit(byte & 15)])
    }

    /// 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        format!("{self}")
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A content by its log index, which is also the revision of what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    /// Index of the log entry that carried the bytes.
    pub index: u64,
    /// Their MD5.
    pub md5: Md5,
    /// How many bytes.
    pub bytes: u32,
}

/// What a content is, for editors and for the `Content-Type` of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigType {
    /// Plain text; what an unknown or missing type becomes.
    #[default]
    Text,
    /// Java properties.
    Properties,
    /// XML.
    Xml,
    /// JSON.
    Json,
    /// HTML.
    Html,
    /// YAML.
    Yaml,
    /// TOML.
    Toml,
    /// Explicitly none.
    Unset,
}

impl ConfigType {
    /// All types with their names.
    pub const ALL: [(Self, &str); 8] = [
        (Self::Text, "text"),
        (Self::Properties, "properties"),
        (Self::Xml, "xml"),
        (Self::Json, "json"),
        (Self::Html, "html"),
        (Self::Yaml, "yaml"),
        (Self::Toml, "toml"),
        (Self::Unset, "unset"),
    ];

    /// The type of that name; an unknown one is text (Nacos `ConfigType`).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == text)
            .map_or(Self::Text, |(kind, _)| *kind)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("text", |(_, name)| name)
    }
}

/// One config with its gray versions; contents are referred to by index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigItem {
    /// The id that the HTTP API shows: the index of the log entry that created it.
    pub id: u64,
    /// The formal version; none if only gray versions exist.
    pub formal: Option<ConfigVersion>,
    /// Gray versions, by descending priority; at most 10.
    pub grays: Vec<GrayItem>,
}

/// The formal version of a config, or what a gray version carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigVersion {
    /// Where the bytes are; `content.index` is the revision.
    pub content: ContentRef,
    /// What they are.
    pub kind: ConfigType,
    /// Application that owns it.
    #[serde(deserialize_with = "text")]
    pub app: Arc<str>,
    /// Description.
    #[serde(deserialize_with = "text")]
    pub desc: Arc<str>,
    /// `use` of the API.
    #[serde(deserialize_with = "text")]
    pub usage: Arc<str>,
    /// `effect` of the API.
    #[serde(deserialize_with = "text")]
    pub effect: Arc<str>,
    /// `schema` of the API.
    #[serde(deserialize_with = "text")]
    pub schema: Arc<str>,
    /// Comma-separated tags.
    #[serde(deserialize_with = "text")]
    pub tags: Arc<str>,
    /// Key with which the client encrypted the content; passed through.
    #[serde(deserialize_with = "text")]
    pub encrypted_data_key: Arc<str>,
    /// When it was created, wall clock, milliseconds.
    pub created: u64,
    /// When it was last changed, wall clock, milliseconds.
    pub modified: u64,
    /// Who created it.
    #[serde(deserialize_with = "text")]
    pub create_user: Arc<str>,
    /// From which address.
    #[serde(deserialize_with = "text")]
    pub create_ip: Arc<str>,
}

/// A gray version and whom it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrayItem {
    /// `beta`, or `tag_<tag>`.
    pub name: Arc<str>,
    /// Whom it is for.
    pub rule: GrayRule,
    /// What they get.
    pub version: ConfigVersion,
}

/// Whom a gray version is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrayRule {
    /// Callers with one of these addresses (comma separated, not trimmed); priority 2 147 483 647.
    Beta {
        /// The addresses as they were given.
        ips: Arc<str>,
    },
    /// Callers that name this tag; priority 2 147 483 646.
    Tag {
        /// The tag.
        tag: Arc<str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_reads_what_it_writes() {
        let md5 = Md5::of(b"a=1\nb=2");
        assert_eq!(md5.hex(), "36daa8ea0dd87e5f097829ab55d9a588");
        assert_eq!(Md5::parse(&md5.hex()), Some(md5));
        assert!(md5.is_written(&md5.hex()));
        for other in ["", "36", &md5.hex().to_uppercase(), &Md5::of(b"").hex()] {
            assert!(!md5.is_written(other), "{other}");
        }
        assert_eq!(Md5::parse("36"), None);
        assert_eq!(Md5::parse("zzdaa8ea0dd87e5f097829ab55d9a588"), None);
    }

    #[test]
    fn an_unknown_type_is_text() {
        assert_eq!(ConfigType::parse("nonsense"), ConfigType::Text);
        for (kind, name) in ConfigType::ALL {
            assert_eq!((ConfigType::parse(name), kind.name()), (kind, name));
        }
    }
}
