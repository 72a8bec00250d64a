//! A2A agents: an index with what versions have in common (`agent`), a card for each version (`agent-version`), and
//! endpoints, which are instances of a service of each version (`agent-endpoints`).
//!
//! The name of an agent is its identity: the index's data id is made of it.

mod card;
pub mod change;
mod endpoints;
mod names;

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde_json::Value;

pub use self::{
    card::{Card, Registration},
    endpoints::{Endpoint, register},
};
use super::{
    Fault, Named, Object, Paging,
    decision::{Decided, Decision, Document, Known, Stop, Write},
    fields::{objects, of, shown, text},
    marked,
};
use crate::model::ConfigKey;

const AGENTS: &str = "agent";
const VERSIONS: &str = "agent-version";
const MARK: &str = "nacos.internal.config=agent";
const VERSION_MARK: &str = "nacos.internal.config=agent-version";

/// Fields of the card that the index has too.
const SUMMARY: &[&str] = &[
    "protocolVersion",
    "name",
    "description",
    "version",
    "iconUrl",
    "capabilities",
    "skills",
];

fn index_key(namespace: &str, name: &str) -> ConfigKey {
    ConfigKey::new(namespace, AGENTS, &names::encode(name))
}

fn card_key(namespace: &str, name: &str, version: &str) -> ConfigKey {
    ConfigKey::new(namespace, VERSIONS, &names::version_id(name, version))
}

fn unknown(name: &str) -> Fault {
    Fault::new(404, 50_100, format!("agent `{name}` not found"))
}

fn no_version(name: &str, version: &str) -> Fault {
    Fault::new(
        404,
        50_101,
        format!("agent `{name}` for version `{version}` not found"),
    )
}

/// One version of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    version: String,
    created: String,
    updated: String,
}

/// An index.
#[derive(Clone, Debug, PartialEq)]
struct Index {
    name: String,
    summary: Object,
    versions: Vec<Version>,
    latest: Option<String>,
    registration: Registration,
}

impl Index {
    fn new(name: &str, registration: Registration) -> Self {
        Self {
            name: name.into(),
            summary: Object::new(),
            versions: Vec::new(),
            latest: None,
            registration,
        }
    }

    fn read(data_id: &str, document: &Document) -> Self {
        let json = &document.json;
        let summary = SUMMARY
            .iter()
            .filter_map(|f| Some((String::from(*f), json.get(*f)?.clone())));
        let versions = objects(json, "versionDetails")
            .into_iter()
            .map(|v| Version {
                version: text(v, "version").into(),
                created: text(v, "createdAt").into(),
                updated: text(v, "updatedAt").into(),
            });
        let latest = text(json, "latestPublishedVersion");
        let registration = Registration::parse(text(json, "registrationType"))
            .ok()
            .flatten();
        Self {
            name: names::name_of(data_id),
            summary: summary.collect(),
            versions: versions.filter(|v| !v.version.is_empty()).collect(),
            latest: (!latest.is_empty()).then(|| latest.into()),
            registration: registration.unwrap_or(Registration::Url),
        }
    }

    fn has(&self, version: &str) -> bool {
        self.versions.iter().any(|v| v.version == version)
    }

    fn is_latest(&self, version: &str) -> bool {
        self.latest.as_deref() == Some(version)
    }

    /// Takes a version over, `at` this time.
    fn put(&mut self, card: &Card, as_latest: bool, at: &str) {
        match self.versions.iter_mut().find(|v| v.version == card.version) {
            Some(version) => version.updated = at.into(),
            None => self.versions.push(Version {
                version: card.version.clone(),
                created: at.into(),
                updated: at.into(),
            }),
        }
        if as_latest {
            self.latest = Some(card.version.clone());
            let fields = SUMMARY
                .iter()
                .filter_map(|f| Some((String::from(*f), card.fields.get(*f)?.clone())));
            self.summary = fields.collect();
        }
    }

    fn drop_version(&mut self, version: &str) {
        self.versions.retain(|v| v.version != version);
        if self.is_latest(version) {
            self.latest = None;
        }
    }

    fn versions_json(&self) -> Value {
        let all = self.versions.iter().map(|v| {
            of([
                ("version", v.version.as_str().into()),
                ("createdAt", v.created.as_str().into()),
                ("updatedAt", v.updated.as_str().into()),
                ("latest", self.is_latest(&v.version).into()),
            ])
        });
        all.map(Value::Object).collect()
    }

    fn json(&self) -> Object {
        let mut json = shown(&self.summary, SUMMARY);
        json.insert("name".into(), self.name.as_str().into());
        json.insert(
            "latestPublishedVersion".into(),
            self.latest.as_deref().into(),
        );
        json.insert("versionDetails".into(), self.versions_json());
        json.insert("registrationType".into(), self.registration.name().into());
        json
    }

    fn write(&self, namespace: &str) -> Write {
        Write::new(index_key(namespace, &self.name), &self.json(), &self.name).tagged(MARK)
    }
}

fn find(known: &Known<'_>, namespace: &str, name: &str) -> Result<Option<Index>, Stop> {
    let key = index_key(namespace, name);
    let document = known.get(&key)?;
    Ok(document.map(|d| Index::read(&key.data_id, d)))
}

fn found(known: &Known<'_>, namespace: &str, name: &str) -> Result<Index, Stop> {
    find(known, namespace, name)?.ok_or_else(|| unknown(name).into())
}

/// A card as stored. Two agents may lead to one data id (`a-b` of version 1, `a` of version `b-1`): one that is
/// another's is none.
fn card<'k>(
    known: &Known<'k>,
    namespace: &str,
    name: &str,
    version: &str,
) -> Result<Option<&'k Document>, Stop> {
    let document = known.get(&card_key(namespace, name, version))?;
    Ok(document.filter(|d| is_of(d, name, version)))
}

fn is_of(document: &Document, name: &str, version: &str) -> bool {
    let same = names::encode(text(&document.json, "name")) == names::encode(name);
    same && text(&document.json, "version") == version
}

/// A page of the agents of a namespace, in the order in which they were made.
///
/// # Errors
/// [`Stop::Need`]
pub fn list(known: &Known<'_>, namespace: &str, named: &Named, paging: Paging) -> Decided<Value> {
    let all = marked(known.view(), namespace, AGENTS, MARK).into_iter();
    let all = all.map(|(data_id, _)| data_id);
    let fitting: Vec<String> = all.filter(|id| named.fits(&names::name_of(id))).collect();
    let total = fitting.len();
    let page = paging.of(fitting).into_iter();
    let keys: Vec<ConfigKey> = page
        .map(|id| ConfigKey::new(namespace, AGENTS, &id))
        .collect();
    known.need(&keys)?;
    let mut items = Vec::with_capacity(keys.len());
    for key in &keys {
        let document = known.get(key)?;
        items.extend(document.map(|d| Index::read(&key.data_id, d).json().into()));
    }
    Ok(Decision::answer(paging.json(total, &items)))
}

/// The versions of an agent.
///
/// # Errors
/// It is unknown (50100).
pub fn versions(known: &Known<'_>, namespace: &str, name: &str) -> Decided<Value> {
    Ok(Decision::answer(
        found(known, namespace, name)?.versions_json(),
    ))
}

/// The card of a version of an agent: the one that is asked for, or the latest. One that is reached by service names
/// the endpoints that are registered, the preferred one among them chosen by `draw`.
///
/// # Errors
/// The agent is unknown (50100), or the version (50101).
pub fn detail(
    known: &Known<'_>,
    namespace: &str,
    name: &str,
    version: &str,
    registration: Option<Registration>,
    draw: u64,
) -> Decided<Value> {
    let index = found(known, namespace, name)?;
    let version = match version {
        "" => index.latest.clone().ok_or_else(|| no_version(name, ""))?,
        given => given.to_string(),
    };
    let stored =
        card(known, namespace, name, &version)?.ok_or_else(|| no_version(name, &version))?;
    let mut detail = stored.json.clone();
    let kind = registration.unwrap_or(index.registration);
    if kind == Registration::Service {
        endpoints::show(known.view(), namespace, name, &version, &mut detail, draw);
    }
    detail.insert("registrationType".into(), kind.name().into());
    detail.insert("latestVersion".into(), index.is_latest(&version).into());
    Ok(Decision::answer(detail.into()))
}
