//! Endpoints of agents: instances that live as long as the connection that registered them.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use serde_json::Value;

use super::names::encode;
use crate::{
    ai::{
        Fault, Object, callable, check_version,
        fields::{Field, Kind, known, of, text},
    },
    model::{Instance, InstanceKey, Metadata, ServiceKey, Weight},
    node::op::Op,
    view::Reading,
};

const ENDPOINTS: &str = "agent-endpoints";
const PATH: &str = "__nacos.agent.endpoint.path__";
const TRANSPORT: &str = "__nacos.agent.endpoint.transport__";
const PROTOCOL: &str = "__nacos.agent.endpoint.protocol__";
const TLS: &str = "__nacos.agent.endpoint.supportTls__";
const QUERY: &str = "__nacos.agent.endpoint.query__";
const VERSION: &str = "__nacos.agent.endpoint.version__";

const FIELDS: &[Field] = &[
    ("address", Kind::Text),
    ("port", Kind::Text),
    ("transport", Kind::Text),
    ("path", Kind::Text),
    ("supportTls", Kind::Flag),
    ("version", Kind::Text),
    ("protocol", Kind::Text),
    ("query", Kind::Text),
];

fn service(namespace: &str, name: &str, version: &str) -> ServiceKey {
    ServiceKey::new(
        namespace,
        ENDPOINTS,
        &format!("{}::{version}", encode(name)),
    )
}

/// An endpoint, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The version that it serves.
    pub version: String,
    metadata: Metadata,
}

impl Endpoint {
    /// What is given, with the defaults of what is not.
    ///
    /// # Errors
    /// What is missing (10000) or wrong (20002).
    pub fn new(given: &Object) -> Result<Self, Fault> {
        let fields =
            known(given, FIELDS).map_err(|why| Fault::illegal(format!("endpoint: {why}")))?;
        for must in ["address", "version"] {
            if text(&fields, must).is_empty() {
                return Err(Fault::missing(&format!("endpoint.{must}"), "String"));
            }
        }
        let version = String::from(text(&fields, "version"));
        check_version(&version)?;
        let port = text(&fields, "port");
        let port = port.parse().map_err(|_| {
            Fault::illegal(format!(
                "endpoint.port `{port}` is no port: a number from 0 to 65535"
            ))
        })?;
        let or = |name: &str, default: &'static str| match text(&fields, name) {
            "" => String::from(default),
            given => given.into(),
        };
        let tls = fields.get("supportTls") == Some(&Value::Bool(true));
        let metadata = [
            (PATH, or("path", "")),
            (TRANSPORT, or("transport", "JSONRPC")),
            (PROTOCOL, or("protocol", "HTTP")),
            (TLS, format!("{tls}")),
            (QUERY, or("query", "")),
            (VERSION, version.clone()),
        ];
        Ok(Self {
            address: text(&fields, "address").into(),
            port,
            version,
            metadata: metadata.into_iter().collect(),
        })
    }
}

/// The operation that registers (or removes) an endpoint of this connection. The agent need not be there yet.
#[must_use]
pub fn register(namespace: &str, name: &str, endpoint: Endpoint, register: bool) -> Op {
    let service = service(namespace, name, &endpoint.version);
    let key = InstanceKey::new(&endpoint.address, endpoint.port, "");
    if !register {
        return Op::Deregister {
            service,
            key,
            ephemeral: true,
        };
    }
    Op::Register {
        service,
        instance: Instance {
            key,
            weight: Weight::default(),
            healthy: true,
            enabled: true,
            ephemeral: true,
            metadata: endpoint.metadata,
            instance_id: Default::default(),
        },
    }
}

fn url_of(instance: &Instance) -> String {
    let of = |key: &str| instance.metadata.get(key).unwrap_or_default();
    let scheme = match of(PROTOCOL).to_ascii_lowercase() {
        http if http.is_empty() || http == "http" => {
            String::from(if of(TLS) == "true" { "https" } else { "http" })
        }
        other => other,
    };
    let slash = |path: &str| !path.is_empty() && !path.starts_with('/');
    let (path, query) = (of(PATH), of(QUERY).trim_start_matches('?'));
    format!(
        "{scheme}://{}:{}{}{path}{}{query}",
        instance.key.ip,
        instance.key.port,
        if slash(path) { "/" } else { "" },
        if query.is_empty() { "" } else { "?" },
    )
}

/// Puts what is registered into a card: all endpoints as interfaces, and as its own address one of those that speak
/// what the card prefers, or of all if none does. A card without endpoints stays as it is.
pub(super) fn show(
    view: &dyn Reading,
    namespace: &str,
    name: &str,
    version: &str,
    card: &mut Object,
    draw: u64,
) {
    let all = callable(view, &service(namespace, name, version));
    let transport = |i: &Arc<Instance>| String::from(i.metadata.get(TRANSPORT).unwrap_or_default());
    let preferred = text(card, "preferredTransport");
    let fitting: Vec<_> = all
        .iter()
        .filter(|i| transport(i).eq_ignore_ascii_case(preferred))
        .collect();
    let among = if fitting.is_empty() {
        all.iter().collect()
    } else {
        fitting
    };
    let Some(at) = draw.checked_rem(among.len() as u64) else {
        return;
    };
    let chosen = among[usize::try_from(at).unwrap_or_default()];
    let (url, speaks) = (url_of(chosen), transport(chosen));
    let interfaces = all.iter().map(|i| {
        let (url, transport) = (url_of(i), transport(i));
        Value::Object(of([("url", url.into()), ("transport", transport.into())]))
    });
    card.insert("additionalInterfaces".into(), interfaces.collect());
    card.insert("url".into(), url.into());
    card.insert("preferredTransport".into(), speaks.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_endpoint_is_an_instance_with_what_makes_its_url() {
        let url = |given: Value| {
            let endpoint = Endpoint::new(given.as_object().unwrap()).unwrap();
            match register("", "bot1", endpoint, true) {
                Op::Register { service, instance } => {
                    assert_eq!(service.grouped(), "agent-endpoints@@____:bot_049::1");
                    url_of(&instance)
                }
                other => panic!("{other:?}"),
            }
        };
        let bare = json!({"address": "10.0.0.1", "port": 80, "version": "1"});
        assert_eq!(url(bare), "http://10.0.0.1:80");
        let full = json!({"address": "h", "port": "81", "version": "1", "path": "a", "supportTls": true, "query": "x=1"});
        assert_eq!(url(full), "https://h:81/a?x=1");
        let other =
            json!({"address": "h", "port": 1, "version": "1", "path": "/a", "protocol": "GRPC"});
        assert_eq!(url(other), "grpc://h:1/a");
    }

    #[test]
    fn an_endpoint_has_address_port_and_version() {
        let code = |given: Value| Endpoint::new(given.as_object().unwrap()).map_err(|f| f.code);
        assert_eq!(code(json!({"port": 1, "version": "1"})), Err(10_000));
        assert_eq!(code(json!({"address": "h", "port": 1})), Err(10_000));
        assert_eq!(
            code(json!({"address": "h", "port": -1, "version": "1"})),
            Err(20_002)
        );
        assert_eq!(code(json!({"address": "h", "version": "1"})), Err(20_002));
    }
}
