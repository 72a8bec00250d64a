//! What callers give of an MCP server: its specification, its tools and where it is served.

use alloc::{format, string::String, vec::Vec};

use serde_json::Value;

use crate::ai::{
    Fault, Object, check_version,
    fields::{Field, Kind, known, object, objects, scalar, text},
};

/// Fields of a server that are stored as given.
const SERVER: &[Field] = &[
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("protocol", Kind::Text),
    ("frontProtocol", Kind::Text),
    ("description", Kind::Text),
    ("repository", Kind::Object),
    ("packages", Kind::Objects),
    ("icons", Kind::Objects),
    ("websiteUrl", Kind::Text),
    ("versionDetail", Kind::Object),
    ("version", Kind::Text),
    ("remoteServerConfig", Kind::Object),
    ("localServerConfig", Kind::Object),
    ("enabled", Kind::Flag),
    ("status", Kind::Text),
];
const VERSION: &[Field] = &[("version", Kind::Text), ("is_latest", Kind::Flag)];
const REMOTE: &[Field] = &[
    ("exportPath", Kind::Text),
    ("frontEndpointConfigList", Kind::Objects),
];
const TOOLS: &[Field] = &[
    ("specificationType", Kind::Text),
    ("encryptData", Kind::Object),
    ("tools", Kind::Objects),
    ("toolsMeta", Kind::Object),
    ("securitySchemes", Kind::Objects),
    ("extensions", Kind::Object),
];

/// Protocol of servers that their clients start themselves.
const STDIO: &str = "stdio";
const UNREADABLE: &str = "serverSpecification or toolSpecification is invalid. Can't be parsed.";

/// A server as a caller describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Its fields, without version, `serviceRef` and what the server finds out itself.
    pub(super) fields: Object,
    /// Its tools, if it has any.
    pub(super) tools: Option<Object>,
    /// Its id, if it was given one.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// The version that is described.
    pub version: String,
    /// Whether that asks to be the latest.
    pub(super) is_latest: bool,
    /// Where it is served; none for stdio.
    pub(super) place: Option<Place>,
}

/// Where a server is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// By the instances of a service, which need not exist.
    Ref {
        group: String,
        service: String,
        transport: String,
    },
    /// At this address.
    Direct {
        address: String,
        port: u16,
        transport: String,
    },
    /// By those that will register their endpoints.
    Registered,
}

/// Reads the JSON text of a form's field; blank is none.
///
/// # Errors
/// It is no JSON object (20002).
pub fn parse(json: &str) -> Result<Option<Object>, Fault> {
    if json.trim().is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(json) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(Value::Null) => Ok(None),
        _ => Err(Fault::illegal(UNREADABLE)),
    }
}

fn readable(read: Result<Object, String>) -> Result<Object, Fault> {
    read.map_err(|why| Fault::illegal(format!("{UNREADABLE} {why}")))
}

impl Given {
    /// What is given, checked. `otherwise` is the name if the specification has none; who may leave the endpoint away
    /// registers it later.
    ///
    /// # Errors
    /// What is missing (10000) or wrong (20002).
    pub fn new(
        server: &Object,
        tools: Option<&Object>,
        endpoint: Option<&Object>,
        otherwise: &str,
        may_register: bool,
    ) -> Result<Self, Fault> {
        let mut fields = readable(known(server, SERVER))?;
        let version = match fields.remove("versionDetail") {
            Some(Value::Object(detail)) => readable(known(&detail, VERSION))?,
            _ => fields
                .get("version")
                .map(|v| Object::from_iter([("version".into(), v.clone())]))
                .unwrap_or_default(),
        };
        fields.remove("version");
        let named = String::from(text(&version, "version"));
        if named.is_empty() {
            return Err(Fault::illegal(
                "Version must be specified in parameter `serverSpecification`",
            ));
        }
        check_version(&named)?;
        let id = match fields.remove("id") {
            Some(Value::String(id)) if !id.is_empty() => Some(id),
            _ => None,
        };
        if id.as_deref().is_some_and(|id| !is_uuid(id)) {
            return Err(Fault::illegal(
                "parameter `serverSpecification.id` is not match uuid pattern,  must obey uuid pattern",
            ));
        }
        let name = match text(&fields, "name") {
            "" => otherwise,
            name => name,
        };
        let name = String::from(name);
        if name.is_empty() {
            return Err(Fault::missing("mcpName", "String"));
        }
        fields.insert("name".into(), name.as_str().into());
        fields.entry("enabled").or_insert(true.into());
        let tools = match tools {
            Some(tools) => Some(readable(known(tools, TOOLS))?).filter(has_tools),
            None => None,
        };
        let place = if text(&fields, "protocol").eq_ignore_ascii_case(STDIO) {
            None
        } else {
            let remote = object(&fields, "remoteServerConfig").ok_or_else(|| {
                Fault::illegal("parameter `serverSpecification.remoteServerConfig` must be given for a server that is not stdio")
            })?;
            let remote = readable(known(remote, REMOTE))?;
            fields.insert("remoteServerConfig".into(), remote.into());
            Some(match endpoint {
                Some(endpoint) => Place::new(endpoint)?,
                None if may_register => Place::Registered,
                None => return Err(Fault::missing("endpointSpecification", "McpEndpointSpec")),
            })
        };
        Ok(Self {
            is_latest: version.get("is_latest") == Some(&true.into()),
            version: named,
            fields,
            tools,
            id,
            name,
            place,
        })
    }

    /// The address that it is to be reached at, if it names one.
    #[must_use]
    pub fn address(&self) -> &str {
        match &self.place {
            Some(Place::Direct { address, .. }) => address,
            _ => "",
        }
    }

    /// The group and service that it refers to, if it does.
    #[must_use]
    pub fn refers_to(&self) -> Option<(&str, &str)> {
        match &self.place {
            Some(Place::Ref { group, service, .. }) => Some((group, service)),
            _ => None,
        }
    }
}

/// Whether a specification of tools says anything.
fn has_tools(tools: &Object) -> bool {
    !objects(tools, "tools").is_empty()
        || !objects(tools, "securitySchemes").is_empty()
        || object(tools, "encryptData").is_some_and(|o| !o.is_empty())
}

/// Whether a text has the form of a UUID.
fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = parts.iter().map(|p| p.len());
    lengths.eq([8, 4, 4, 4, 12])
        && parts
            .iter()
            .all(|p| p.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl Place {
    fn new(endpoint: &Object) -> Result<Self, Fault> {
        let data = object(endpoint, "data");
        let given = |name: &str| {
            let value = data.and_then(|d| d.get(name));
            value.and_then(scalar).unwrap_or_default()
        };
        let must = |name: &str| match given(name) {
            value if value.is_empty() => Err(Fault::missing(
                &format!("endpointSpecification.data.{name}"),
                "String",
            )),
            value => Ok(value),
        };
        let transport = given("transportProtocol");
        if text(endpoint, "type") == "REF" {
            must("namespaceId")?;
            return Ok(Self::Ref {
                group: must("groupName")?,
                service: must("serviceName")?,
                transport,
            });
        }
        let (address, port) = (must("address")?, must("port")?);
        let port = port.parse().map_err(|_| {
            Fault::illegal(format!(
                "endpointSpecification.data.port `{port}` is no port: a number from 0 to 65535"
            ))
        })?;
        Ok(Self::Direct {
            address,
            port,
            transport,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(server: &Value, endpoint: Option<&Value>) -> Result<Given, Fault> {
        let endpoint = endpoint.and_then(Value::as_object);
        Given::new(server.as_object().unwrap(), None, endpoint, "form", false)
    }

    fn code(server: &Value, endpoint: Option<&Value>) -> u32 {
        given(server, endpoint).expect_err("refused").code
    }

    #[test]
    fn version_name_and_id_are_found_where_they_may_be() {
        let stdio = given(&json!({"protocol": "stdio", "version": 2}), None).unwrap();
        assert_eq!(
            (&*stdio.name, &*stdio.version, stdio.place),
            ("form", "2", None)
        );
        let detail = json!({"protocol": "stdio", "name": "n", "version": "9", "versionDetail": {"version": "1"}});
        let detail = given(&detail, None).unwrap();
        assert_eq!((&*detail.name, &*detail.version), ("n", "1"));
        assert_eq!(code(&json!({"protocol": "stdio"}), None), 20_002);
        let bad_detail = json!({"protocol": "stdio", "version": "9", "versionDetail": {}});
        assert_eq!(
            code(&bad_detail, None),
            20_002,
            "the detail counts if there is one"
        );
        let id = |id: &str| json!({"protocol": "stdio", "version": "1", "id": id});
        assert_eq!(code(&id("no-uuid"), None), 20_002);
        let uuid = "0bcedc4b-6b7a-4913-b0d7-f3f5090087c5";
        assert_eq!(given(&id(uuid), None).unwrap().id.as_deref(), Some(uuid));
        assert_eq!(given(&id(""), None).unwrap().id, None);
    }

    #[test]
    fn what_is_not_stdio_says_where_it_is() {
        let server = json!({"protocol": "mcp-sse", "version": "1", "remoteServerConfig": {"exportPath": "/s"}});
        assert_eq!(code(&server, None), 10_000);
        let endpoint = |kind: &str, data: Value| json!({"type": kind, "data": data});
        for (kind, data, want) in [
            ("REF", json!({"groupName": "g", "serviceName": "s"}), 10_000),
            (
                "REF",
                json!({"namespaceId": "n", "serviceName": "s"}),
                10_000,
            ),
            ("DIRECT", json!({"address": "a"}), 10_000),
            ("DIRECT", json!({"address": "a", "port": "x"}), 20_002),
            ("DIRECT", json!({"address": "a", "port": "65536"}), 20_002),
        ] {
            assert_eq!(code(&server, Some(&endpoint(kind, data))), want);
        }
        let direct = endpoint("DIRECT", json!({"address": "a", "port": 80}));
        assert_eq!(given(&server, Some(&direct)).unwrap().address(), "a");
        let bare = json!({"protocol": "mcp-sse", "version": "1"});
        assert_eq!(code(&bare, Some(&direct)), 20_002, "no remoteServerConfig");
    }

    #[test]
    fn texts_of_forms_are_objects_or_nothing() {
        assert_eq!(parse(" "), Ok(None));
        assert_eq!(parse("null"), Ok(None));
        assert_eq!(parse("{}"), Ok(Some(Object::new())));
        assert_eq!(parse("{bad").map_err(|f| f.code), Err(20_002));
        assert_eq!(parse("[]").map_err(|f| f.code), Err(20_002));
    }
}
