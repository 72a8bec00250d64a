//! Everything that changes an MCP server.
//!
//! The index is written first: whoever writes it has the version, and others see that they come too late before they
//! have touched what belongs to it.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

pub use super::endpoints::register;
use super::{
    ENDPOINTS, Which, endpoints::backend, find, found, given::Given, given::Place, id_of,
    index::Index, index_key, server_key, tools_key,
};
use crate::{
    ai::{
        Fault, Object,
        decision::{Decided, Decision, Known, Step, Stop, Write, absent},
        fields::{of, text},
    },
    model::{
        ClusterMetadata, ConfigKey, DEFAULT_CLUSTER, HealthChecker, Instance, InstanceKey,
        ServiceKey, ServiceMetadata, Weight,
    },
    node::{op::Op, reply::Refusal},
};

/// Metadata of a service that was made for a server.
const OWN_SERVICE: &str = "__nacos.ai.mcp.service__";

/// The service that is made for a version of a server.
fn own_service(namespace: &str, name: &str, version: &str) -> ServiceKey {
    ServiceKey::new(namespace, ENDPOINTS, &format!("{name}::{version}"))
}

/// Makes a server. Its id is the one that was given, else `fresh`; the answer is the id.
///
/// # Errors
/// There is one of that name (409/20005), or of that id (400/20002).
pub fn create(
    known: &Known<'_>,
    namespace: &str,
    given: &Given,
    fresh: &str,
    at: &str,
) -> Decided<String> {
    if id_of(known.view(), namespace, &given.name).is_some() {
        return Err(Stop::from(named_already(&given.name)));
    }
    let id = given.id.as_deref().unwrap_or(fresh);
    if known.get(&index_key(namespace, id))?.is_some() {
        let text = format!("parameter `serverSpecification.id` {id} is used by another server");
        return Err(Fault::illegal(text).into());
    }
    let steps = put(known, namespace, given, Index::new(id), Some(at))?;
    let answer = id.into();
    Ok(Decision { steps, answer })
}

fn named_already(name: &str) -> Fault {
    Fault::conflict(format!(
        "mcp server `{name}` has existed, please update it rather than create."
    ))
}

/// Adds a version to a server, or replaces one; `latest` publishes it.
///
/// # Errors
/// The server is unknown (50000), or its new name is another's (409/20005).
pub fn update(
    known: &Known<'_>,
    namespace: &str,
    given: &Given,
    latest: bool,
    at: &str,
) -> Decided<()> {
    let which = Which {
        id: given.id.clone().unwrap_or_default(),
        name: given.name.clone(),
    };
    let index = found(known, namespace, &which)?;
    let bearer = id_of(known.view(), namespace, &given.name);
    if bearer.is_some_and(|bearer| bearer != index.id()) {
        return Err(named_already(&given.name).into());
    }
    let steps = put(known, namespace, given, index, latest.then_some(at))?;
    Ok(Decision { steps, answer: () })
}

/// Makes a server, or adds a version, which becomes the latest if it says so; the answer is the id.
///
/// # Errors
/// The version exists (409/50002).
pub fn release(
    known: &Known<'_>,
    namespace: &str,
    given: &Given,
    fresh: &str,
    at: &str,
) -> Decided<String> {
    let Some(index) = find(known, namespace, &Which::named(&given.name))? else {
        return create(known, namespace, given, fresh, at);
    };
    let specification = server_key(namespace, index.id(), &given.version);
    // One without its specification is being written, or never was to its end.
    if index.version(&given.version).is_some() && known.get(&specification)?.is_some() {
        let text = format!(
            "mcp server `{}` for version `{}` has existed, please update it rather than create.",
            given.name, given.version
        );
        return Err(Fault::new(409, 50_002, text).into());
    }
    let answer = index.id().into();
    let latest = given.is_latest || index.latest.is_none();
    let steps = put(known, namespace, given, index, latest.then_some(at))?;
    Ok(Decision { steps, answer })
}

/// Steps that write a version and all that belongs to it.
fn put(
    known: &Known<'_>,
    namespace: &str,
    given: &Given,
    mut index: Index,
    published_at: Option<&str>,
) -> Result<Vec<Step>, Stop> {
    let capabilities: &[&str] = if given.tools.is_some() {
        &["TOOL"]
    } else {
        &[]
    };
    index.put(given, capabilities, published_at);
    let id = index.id().to_string();
    known.get(&index.key(namespace))?;
    let mut steps = Vec::from([Step::Write(index.write(namespace))]);
    let (space, name, own) = (
        String::from(namespace),
        String::from(index.name()),
        id.clone(),
    );
    steps.push(Step::Holds(Box::new(move |view| {
        id_of(view, &space, &name).is_some_and(|bearer| bearer == own)
    })));

    let mut server = given.fields.clone();
    server.insert("id".into(), id.as_str().into());
    server.insert("capabilities".into(), capabilities.into());
    let version = index.version_json(index.version(&given.version));
    server.insert("versionDetail".into(), version);
    if let Some(place) = &given.place {
        let (service, transport) = match place {
            Place::Ref {
                group,
                service,
                transport,
            } => (
                ServiceKey::new(namespace, group, service),
                transport.as_str(),
            ),
            Place::Registered => (own_service(namespace, &given.name, &given.version), ""),
            Place::Direct {
                address,
                port,
                transport,
            } => {
                let service = own_service(namespace, &given.name, &given.version);
                serve(known, &service, address, *port, &mut steps)?;
                (service, transport.as_str())
            }
        };
        refer(&mut server, &service, transport);
    }

    let tools = tools_key(namespace, &id, &given.version);
    let stored = known.get(&tools)?.is_some();
    match &given.tools {
        Some(given) => {
            server.insert("toolsDescriptionRef".into(), (*tools.data_id).into());
            steps.push(Step::Write(Write::new(tools, given, index.name())));
        }
        None if stored => steps.push(Step::Remove(tools)),
        None => {}
    }
    let key = server_key(namespace, &id, &given.version);
    known.get(&key)?;
    steps.push(Step::Write(Write::new(key, &server, &given.name)));
    Ok(steps)
}

/// Notes the service that a server is served by.
fn refer(server: &mut Object, service: &ServiceKey, transport: &str) {
    let mut reference = of([
        ("namespaceId", (*service.namespace).into()),
        ("groupName", (*service.group).into()),
        ("serviceName", (*service.name).into()),
    ]);
    if !transport.is_empty() {
        reference.insert("transportProtocol".into(), transport.into());
    }
    let remote = server.get_mut("remoteServerConfig");
    if let Some(remote) = remote.and_then(|r| r.as_object_mut()) {
        remote.insert("serviceRef".into(), reference.into());
    }
}

/// Steps that make a service with this address, which nobody checks.
fn serve(
    known: &Known<'_>,
    service: &ServiceKey,
    address: &str,
    port: u16,
    steps: &mut Vec<Step>,
) -> Result<(), Fault> {
    let view = known.view().service(service);
    if view.as_ref().is_some_and(|s| s.ephemeral()) {
        return Err(Fault::new(
            400,
            30_000,
            format!(
                "service {} has endpoints that were registered by clients: it can't have a fixed address as well",
                service.grouped()
            ),
        ));
    }
    let metadata = view.as_ref().and_then(|s| s.metadata());
    if metadata.is_none() {
        steps.push(Step::Do {
            op: Op::CreateService {
                service: service.clone(),
                metadata: ServiceMetadata {
                    ephemeral: false,
                    extend: [(OWN_SERVICE, "true")].into_iter().collect(),
                    ..ServiceMetadata::default()
                },
            },
            undo: Some(Op::DeleteService {
                service: service.clone(),
            }),
            well: |refusal| *refusal == Refusal::ServiceExists,
        });
    }
    let cluster = metadata.and_then(|m| m.clusters.get(DEFAULT_CLUSTER));
    if cluster.is_none_or(|c| c.checker != HealthChecker::None) {
        steps.push(Step::Do {
            op: Op::UpdateCluster {
                service: service.clone(),
                cluster: DEFAULT_CLUSTER.into(),
                metadata: ClusterMetadata {
                    checker: HealthChecker::None,
                    ..ClusterMetadata::default()
                },
            },
            undo: None,
            well: |_| false,
        });
    }
    let key = InstanceKey::new(address, port, "");
    if view.as_ref().is_some_and(|s| s.instance(&key).is_some()) {
        return Ok(());
    }
    let instance = Instance {
        key: key.clone(),
        weight: Weight::default(),
        healthy: true,
        enabled: true,
        ephemeral: false,
        metadata: Default::default(),
        instance_id: Default::default(),
    };
    steps.push(Step::Do {
        op: Op::Register {
            service: service.clone(),
            instance,
        },
        undo: Some(Op::Deregister {
            service: service.clone(),
            key,
            ephemeral: false,
        }),
        well: |_| false,
    });
    Ok(())
}

/// Removes a version of a server, or all of it; a version that is not there is well.
///
/// # Errors
/// The server is unknown (50000).
pub fn delete(known: &Known<'_>, namespace: &str, which: &Which, version: &str) -> Decided<()> {
    let mut index = found(known, namespace, which)?;
    let left = index
        .versions
        .iter()
        .filter(|v| v.version != version)
        .count();
    let whole = version.is_empty() || left == 0;
    let gone: Vec<String> = if whole {
        index.versions.iter().map(|v| v.version.clone()).collect()
    } else {
        let one = index.version(version);
        one.map(|v| v.version.clone()).into_iter().collect()
    };
    let id = String::from(index.id());
    let servers: Vec<ConfigKey> = gone.iter().map(|v| server_key(namespace, &id, v)).collect();
    let tools: Vec<ConfigKey> = gone.iter().map(|v| tools_key(namespace, &id, v)).collect();
    let parts = [servers.as_slice(), &tools].concat();
    known.need(&parts)?;
    let mut steps = Vec::new();
    if !whole && !gone.is_empty() {
        index.drop_version(version);
        steps.push(Step::Write(index.write(namespace)));
    }
    for ((key, tools), version) in servers.into_iter().zip(tools).zip(&gone) {
        steps.push(Step::Remove(tools));
        let Some(server) = known.get(&key)? else {
            continue;
        };
        let name = match text(&server.json, "name") {
            "" => index.name(),
            name => name,
        };
        let own = own_service(namespace, name, version);
        if backend(&server.json, namespace).as_ref() == Some(&own) {
            stop_serving(known, &own, &mut steps);
        }
        steps.push(Step::Remove(key));
    }
    if whole {
        // After the rest: as long as it is there, the server can be deleted once more.
        steps.push(Step::Remove(index.key(namespace)));
        // Who was writing a version meanwhile is done with it, or will see that the index is gone.
        steps.push(Step::Holds(absent(parts)));
    }
    Ok(Decision { steps, answer: () })
}

/// Steps that remove a service that was made for a server; what clients register is theirs.
fn stop_serving(known: &Known<'_>, service: &ServiceKey, steps: &mut Vec<Step>) {
    let Some(view) = known.view().service(service) else {
        return;
    };
    let own = view
        .metadata()
        .is_some_and(|m| m.extend.get(OWN_SERVICE).is_some());
    if !own || view.ephemeral() {
        return;
    }
    let instances = view.instances().map(|i| Op::Deregister {
        service: service.clone(),
        key: i.key.clone(),
        ephemeral: false,
    });
    let service = service.clone();
    let all = instances.chain([Op::DeleteService { service }]);
    steps.extend(all.map(|op| Step::Do {
        op,
        undo: None,
        // Whoever registers there meanwhile keeps it.
        well: |refusal| matches!(refusal, Refusal::ServiceNotFound | Refusal::ServiceNotEmpty),
    }));
}
