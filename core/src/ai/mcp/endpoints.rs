//! Where an MCP server can be reached: instances of services, and what its specification says of them.

use alloc::{format, vec::Vec};

use serde_json::Value;

use super::{Which, found, specification, version_of};
use crate::{
    ai::{
        Fault, Object, callable,
        decision::{Decided, Decision, Known, Step},
        fields::{object, objects, of, text},
    },
    model::{Instance, InstanceKey, Metadata, ServiceKey, Weight},
    node::op::Op,
    view::Reading,
};

/// Metadata of an instance: the version of the server that it serves.
const VERSION: &str = "_mcp_server_version";
/// Protocol of servers whose HTTP API a gateway shows as tools.
const HTTP: &str = "http";

/// The service that an object names; a missing part is none.
fn service_of(reference: &Object, namespace: &str) -> Option<ServiceKey> {
    let namespace = match text(reference, "namespaceId") {
        "" => namespace,
        given => given,
    };
    let (group, name) = (text(reference, "groupName"), text(reference, "serviceName"));
    (!group.is_empty() && !name.is_empty()).then(|| ServiceKey::new(namespace, group, name))
}

/// The service behind a server.
pub(super) fn backend(server: &Object, namespace: &str) -> Option<ServiceKey> {
    let remote = object(server, "remoteServerConfig")?;
    service_of(object(remote, "serviceRef")?, namespace)
}

/// One endpoint as answers show it.
fn endpoint(
    protocol: &str,
    address: &str,
    port: u16,
    path: &str,
    headers: Option<&Value>,
) -> Value {
    let mut endpoint = of([
        ("protocol", protocol.into()),
        ("address", address.into()),
        ("port", port.into()),
        ("path", path.into()),
    ]);
    if let Some(headers) = headers {
        endpoint.insert("headers".into(), headers.clone());
    }
    endpoint.into()
}

fn of_service(
    view: &dyn Reading,
    service: &ServiceKey,
    protocol: &str,
    path: &str,
    headers: Option<&Value>,
) -> Vec<Value> {
    let all = callable(view, service);
    let all = all
        .iter()
        .map(|i| endpoint(protocol, &i.key.ip, i.key.port, path, headers));
    all.collect()
}

/// Endpoints behind a server and in front of it; null for one that clients start themselves.
pub(super) fn of_server(view: &dyn Reading, namespace: &str, server: &Object) -> (Value, Value) {
    let Some(remote) = object(server, "remoteServerConfig") else {
        return (Value::Null, Value::Null);
    };
    let transport = object(remote, "serviceRef").map_or("", |r| text(r, "transportProtocol"));
    let path = text(remote, "exportPath");
    let back = backend(server, namespace).map_or_else(Vec::new, |service| {
        of_service(view, &service, transport, path, None)
    });
    let configs = objects(remote, "frontEndpointConfigList").into_iter();
    let front: Vec<Value> = configs
        .flat_map(|config| in_front(view, namespace, config, &back))
        .collect();
    (back.into(), front.into())
}

/// The endpoints that one configuration of a front means.
fn in_front(view: &dyn Reading, namespace: &str, config: &Object, back: &[Value]) -> Vec<Value> {
    let (protocol, path) = (text(config, "protocol"), text(config, "path"));
    let headers = config.get("headers").filter(|h| !h.is_null());
    match text(config, "endpointType") {
        "REF" => object(config, "endpointData")
            .and_then(|data| service_of(data, namespace))
            .map_or_else(Vec::new, |service| {
                of_service(view, &service, protocol, path, headers)
            }),
        "DIRECT" => {
            let (address, port) = address_of(text(config, "endpointData"), protocol);
            Vec::from([endpoint(protocol, address, port, path, headers)])
        }
        _ => back.to_vec(),
    }
}

/// `host[:port]`; the port is that of the protocol if it is not given.
fn address_of<'a>(text: &'a str, protocol: &str) -> (&'a str, u16) {
    let usual = if protocol.eq_ignore_ascii_case(HTTP) {
        80
    } else {
        443
    };
    match text.rsplit_once(':') {
        // The colons of a bare IPv6 address are none of a port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            port.parse().map_or((text, usual), |port| (host, port))
        }
        _ => (text, usual),
    }
}

/// Registers (or removes) an endpoint of a server: an instance of the service that it is served by, which lives as long
/// as the caller's connection.
///
/// # Errors
/// The server is unknown (50000), or the version (50001), or nothing serves it (50003).
pub fn register(
    known: &Known<'_>,
    namespace: &str,
    name: &str,
    version: &str,
    (ip, port): (&str, u16),
    register: bool,
) -> Decided<()> {
    let index = found(known, namespace, &Which::named(name))?;
    let wanted = version_of(&index, version)?;
    let server = &specification(known, namespace, &index, &wanted.version)?.json;
    let target = if text(server, "protocol").eq_ignore_ascii_case(HTTP) {
        let remote = object(server, "remoteServerConfig");
        let configs = remote.map(|r| objects(r, "frontEndpointConfigList"));
        let mut configs = configs.into_iter().flatten();
        configs
            .find(|c| text(c, "endpointType") == "REF")
            .and_then(|c| service_of(object(c, "endpointData")?, namespace))
    } else {
        backend(server, namespace)
    };
    let service = target.ok_or_else(|| {
        Fault::new(
            404,
            50_003,
            format!("there is no service that serves mcp server `{name}`"),
        )
    })?;
    let key = InstanceKey::new(ip, port, "");
    let op = if register {
        let pairs = (!version.is_empty()).then_some((VERSION, version));
        Op::Register {
            service,
            instance: Instance {
                key,
                weight: Weight::default(),
                healthy: true,
                enabled: true,
                ephemeral: true,
                metadata: pairs.into_iter().collect::<Metadata>(),
                instance_id: Default::default(),
            },
        }
    } else {
        Op::Deregister {
            service,
            key,
            ephemeral: true,
        }
    };
    Ok(Decision {
        steps: Vec::from([Step::Do {
            op,
            undo: None,
            well: |_| false,
        }]),
        answer: (),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_port_of_their_protocol() {
        assert_eq!(address_of("h:81", "http"), ("h", 81));
        assert_eq!(address_of("h", "http"), ("h", 80));
        assert_eq!(address_of("h", "https"), ("h", 443));
        assert_eq!(address_of("h:x", "mcp-sse"), ("h:x", 443));
        assert_eq!(address_of("::1", "http"), ("::1", 80));
        assert_eq!(address_of("[::1]:81", "http"), ("[::1]", 81));
    }
}
