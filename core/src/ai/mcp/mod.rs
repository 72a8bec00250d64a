//! MCP servers: lists and details. What changes them is [`change`].
//!
//! A server is an index (`mcp-server-versions`, found by the tag with its name), and for each version a specification
//! (`mcp-server`) and maybe tools (`mcp-tools`); its endpoints are instances of a service.

pub mod change;
mod endpoints;
mod given;
mod index;

use alloc::{format, string::String, vec::Vec};

use serde_json::Value;

pub use self::given::{Given, parse};
use self::index::{Index, MARK, Version, name_of, name_tag};
use super::{
    Fault, Named, Object, Paging,
    decision::{Decided, Decision, Document, Known, Stop},
    fields::{shown, text},
    marked,
};
use crate::{model::ConfigKey, view::Reading};

const INDEXES: &str = "mcp-server-versions";
const SERVERS: &str = "mcp-server";
const TOOLS: &str = "mcp-tools";
/// Group of the services by which servers are served that name no other.
pub const ENDPOINTS: &str = "mcp-endpoints";
const INDEX_END: &str = "-mcp-versions.json";

/// Fields that every answer about a server has, null where there is nothing.
const BASIC: &[&str] = &[
    "id",
    "name",
    "protocol",
    "frontProtocol",
    "description",
    "repository",
    "packages",
    "remoteServerConfig",
    "localServerConfig",
    "enabled",
    "capabilities",
];

/// Which server a request means: by its id, else by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    /// Id, or empty.
    pub id: String,
    /// Name, or empty.
    pub name: String,
}

impl Which {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let (id, name) = (String::new(), name.into());
        Self { id, name }
    }

    /// # Errors
    /// Neither is given (10000).
    pub fn checked(self) -> Result<Self, Fault> {
        if self.id.is_empty() && self.name.is_empty() {
            return Err(Fault::missing("mcpId' or 'mcpName", "String"));
        }
        Ok(self)
    }
}

fn index_key(namespace: &str, id: &str) -> ConfigKey {
    ConfigKey::new(namespace, INDEXES, &format!("{id}{INDEX_END}"))
}

fn server_key(namespace: &str, id: &str, version: &str) -> ConfigKey {
    ConfigKey::new(
        namespace,
        SERVERS,
        &format!("{id}-{version}-mcp-server.json"),
    )
}

fn tools_key(namespace: &str, id: &str, version: &str) -> ConfigKey {
    ConfigKey::new(namespace, TOOLS, &format!("{id}-{version}-mcp-tools.json"))
}

/// Id of the server of a name: of several, which only happens when two are made at the same time, the oldest.
fn id_of(view: &dyn Reading, namespace: &str, name: &str) -> Option<String> {
    let all = marked(view, namespace, INDEXES, &name_tag(name));
    let mut ids = all
        .iter()
        .filter_map(|(data_id, _)| data_id.strip_suffix(INDEX_END));
    ids.next().map(String::from)
}

fn unknown(namespace: &str, which: &Which) -> Fault {
    let id = if which.id.is_empty() {
        "null"
    } else {
        &which.id
    };
    let text =
        format!("Mcp server [ID: {id}] not found in namespace [{namespace}]. Response: null");
    Fault::new(404, 50_000, text)
}

/// The index that is meant, with its document.
fn find(known: &Known<'_>, namespace: &str, which: &Which) -> Result<Option<Index>, Stop> {
    let id = if which.id.is_empty() {
        id_of(known.view(), namespace, &which.name)
    } else {
        Some(which.id.clone())
    };
    let Some(id) = id else {
        return Ok(None);
    };
    let document = known.get(&index_key(namespace, &id))?;
    Ok(document.map(|document| {
        let mut index = Index::read(document);
        // Whoever edited it cannot have meant another server.
        index.fields.insert("id".into(), id.into());
        index
    }))
}

fn found(known: &Known<'_>, namespace: &str, which: &Which) -> Result<Index, Stop> {
    find(known, namespace, which)?.ok_or_else(|| unknown(namespace, which).into())
}

/// A page of the servers of a namespace, in the order in which they were made.
///
/// # Errors
/// [`Stop::Need`]
pub fn list(known: &Known<'_>, namespace: &str, named: &Named, paging: Paging) -> Decided<Value> {
    let mark = match named {
        Named::Is(name) => name_tag(name),
        Named::All | Named::Holds(_) => MARK.into(),
    };
    let mut all = marked(known.view(), namespace, INDEXES, &mark);
    all.retain(|(_, tags)| named.fits(name_of(tags)));
    let total = all.len();
    let page = paging.of(all).into_iter();
    let keys: Vec<ConfigKey> = page
        .map(|(id, _)| ConfigKey::new(namespace, INDEXES, &id))
        .collect();
    known.need(&keys)?;
    let mut items = Vec::with_capacity(keys.len());
    for key in &keys {
        items.extend(known.get(key)?.map(|d| Index::read(d).item_json()));
    }
    Ok(Decision::answer(paging.json(total, &items)))
}

/// A version of a server: the one that is asked for, or the last added.
fn version_of<'i>(index: &'i Index, version: &str) -> Result<&'i Version, Fault> {
    let found = if version.is_empty() {
        index.versions.last()
    } else {
        index.version(version)
    };
    found.ok_or_else(|| no_version(index, version))
}

fn no_version(index: &Index, version: &str) -> Fault {
    let text = format!(
        "mcp server `{}` for version `{version}` not found",
        index.name()
    );
    Fault::new(404, 50_001, text)
}

/// The specification of a version.
fn specification<'k>(
    known: &Known<'k>,
    namespace: &str,
    index: &Index,
    version: &str,
) -> Result<&'k Document, Stop> {
    let document = known.get(&server_key(namespace, index.id(), version))?;
    document.ok_or_else(|| no_version(index, version).into())
}

/// All about a version of a server: the one that is asked for, or the last added.
///
/// # Errors
/// The server is unknown (50000), or the version (50001).
pub fn detail(known: &Known<'_>, namespace: &str, which: &Which, version: &str) -> Decided<Value> {
    let index = found(known, namespace, which)?;
    let version = version_of(&index, version)?;
    let server = &specification(known, namespace, &index, &version.version)?.json;
    let tools = match text(server, "toolsDescriptionRef") {
        "" => None,
        data_id => known.get(&ConfigKey::new(namespace, TOOLS, data_id))?,
    };
    let mut detail = shown(server, BASIC);
    for extra in ["status", "icons", "websiteUrl"] {
        if let Some(value) = server.get(extra) {
            detail.insert(extra.into(), value.clone());
        }
    }
    let (back, front) = endpoints::of_server(known.view(), namespace, server);
    detail.extend([
        ("id".into(), index.id().into()),
        ("namespaceId".into(), namespace.into()),
        ("version".into(), version.version.as_str().into()),
        ("versionDetail".into(), index.version_json(Some(version))),
        ("allVersions".into(), index.versions_json()),
        ("backendEndpoints".into(), back),
        ("frontendEndpoints".into(), front),
        (
            "toolSpec".into(),
            tools.map_or(Value::Null, |t| tools_json(&t.json)),
        ),
    ]);
    Ok(Decision::answer(detail.into()))
}

/// Tools with what the reference always has of them.
fn tools_json(stored: &Object) -> Value {
    let mut tools = stored.clone();
    tools
        .entry("tools")
        .or_insert_with(|| Value::Array(Vec::new()));
    tools
        .entry("toolsMeta")
        .or_insert_with(|| Value::Object(Object::new()));
    tools
        .entry("securitySchemes")
        .or_insert_with(|| Value::Array(Vec::new()));
    tools.into()
}
