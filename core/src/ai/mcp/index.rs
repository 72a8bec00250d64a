//! The index of an MCP server: what all its versions have in common, and which versions there are.

use alloc::{format, string::String, vec::Vec};

use serde_json::Value;

use super::{BASIC, given::Given, index_key};
use crate::{
    ai::{
        Object,
        decision::{Document, Write},
        fields::{objects, of, shown, text},
    },
    model::ConfigKey,
};

/// Tag of every index.
pub(super) const MARK: &str = "nacos.internal.config=mcp";
/// Beginning of the tag with a server's name.
const NAME_TAG: &str = "mcpServerName=";
/// What the list shows of the latest version, where it is the index's.
const FIELDS: &[&str] = &[
    "id",
    "name",
    "protocol",
    "frontProtocol",
    "description",
    "repository",
    "enabled",
    "capabilities",
    "status",
];

/// Tag by which a server is found.
pub(super) fn name_tag(name: &str) -> String {
    format!("{NAME_TAG}{name}")
}

/// The server's name in the tags of its index.
pub(super) fn name_of(tags: &str) -> &str {
    let mut names = tags
        .split(',')
        .filter_map(|t| t.trim().strip_prefix(NAME_TAG));
    names.next().unwrap_or_default()
}

/// One version of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) version: String,
    /// When it became the latest.
    pub(super) released: Option<String>,
}

/// An index.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index {
    pub(super) fields: Object,
    /// The last added is the last.
    pub(super) versions: Vec<Version>,
    /// The version that was published as the latest.
    pub(super) latest: Option<String>,
}

impl Index {
    /// That of a new server, without versions.
    pub(super) fn new(id: &str) -> Self {
        Self {
            fields: of([("id", id.into())]),
            versions: Vec::new(),
            latest: None,
        }
    }

    /// Reads what is stored.
    pub(super) fn read(document: &Document) -> Self {
        let json = &document.json;
        let fields = FIELDS
            .iter()
            .filter_map(|f| Some((String::from(*f), json.get(*f)?.clone())));
        let versions = objects(json, "versionDetails")
            .into_iter()
            .map(|v| Version {
                version: text(v, "version").into(),
                released: v
                    .get("release_date")
                    .and_then(Value::as_str)
                    .map(Into::into),
            });
        let latest = text(json, "latestPublishedVersion");
        Self {
            fields: fields.collect(),
            versions: versions.filter(|v| !v.version.is_empty()).collect(),
            latest: (!latest.is_empty()).then(|| latest.into()),
        }
    }

    pub(super) fn id(&self) -> &str {
        text(&self.fields, "id")
    }

    pub(super) fn name(&self) -> &str {
        text(&self.fields, "name")
    }

    pub(super) fn version(&self, version: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.version == version)
    }

    /// Takes a version over: a new one is the last; one that is published is the latest from now on, and all that
    /// versions have in common is as it says.
    pub(super) fn put(&mut self, given: &Given, capabilities: &[&str], published_at: Option<&str>) {
        let at = self
            .versions
            .iter()
            .position(|v| v.version == given.version);
        let at = at.unwrap_or_else(|| {
            self.versions.push(Version {
                version: given.version.clone(),
                released: None,
            });
            self.versions.len() - 1
        });
        let Some(date) = published_at else {
            return;
        };
        self.versions[at].released = Some(date.into());
        self.latest = Some(given.version.clone());
        let id = Value::from(self.id());
        self.fields = of([("id", id), ("capabilities", capabilities.into())]);
        for field in FIELDS {
            if let Some(value) = given.fields.get(*field) {
                self.fields.insert((*field).into(), value.clone());
            }
        }
    }

    /// Drops a version. The last of those left is published in the place of the latest.
    pub(super) fn drop_version(&mut self, version: &str) {
        self.versions.retain(|v| v.version != version);
        if self.latest.as_deref() == Some(version) {
            self.latest = self.versions.last().map(|v| v.version.clone());
        }
    }

    /// A version as answers show it; none as null.
    pub(super) fn version_json(&self, version: Option<&Version>) -> Value {
        version.map_or(Value::Null, |v| {
            of([
                ("version", v.version.as_str().into()),
                ("release_date", v.released.as_deref().into()),
                (
                    "is_latest",
                    (self.latest.as_ref() == Some(&v.version)).into(),
                ),
            ])
            .into()
        })
    }

    /// All versions as answers show them.
    pub(super) fn versions_json(&self) -> Value {
        self.versions
            .iter()
            .map(|v| self.version_json(Some(v)))
            .collect()
    }

    /// What is to be written.
    pub(super) fn write(&self, namespace: &str) -> Write {
        let mut json = self.fields.clone();
        if let Some(latest) = &self.latest {
            json.insert("latestPublishedVersion".into(), latest.as_str().into());
        }
        json.insert("versionDetails".into(), self.versions_json());
        let tags = format!("{MARK},{}", name_tag(self.name()));
        Write::new(self.key(namespace), &json, self.name()).tagged(&tags)
    }

    /// Where it is stored.
    pub(super) fn key(&self, namespace: &str) -> ConfigKey {
        index_key(namespace, self.id())
    }

    /// As an item of the list.
    pub(super) fn item_json(&self) -> Value {
        let mut item = shown(&self.fields, BASIC);
        item.extend(self.fields.clone());
        let latest = self.latest.as_deref();
        let detail = latest.and_then(|v| self.version(v));
        item.insert("versionDetail".into(), self.version_json(detail));
        item.insert("version".into(), latest.into());
        item.insert("latestPublishedVersion".into(), latest.into());
        item.insert("versionDetails".into(), self.versions_json());
        item.into()
    }
}
