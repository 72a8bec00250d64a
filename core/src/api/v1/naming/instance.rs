//! `/v1/ns/instance`: registrations, beats, lists.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde_json::json;

use super::{ANY, CLUSTER, GROUP, IP, NAMESPACE, PORT, SERVICE, instance_key, service_key};
use crate::{
    api::{
        Answer, Args, Check, Class, Fault, Kind, Method, Param, Plan, Right, Route, beat,
        hosts::{AllIps, service_list_as},
        parse_instances, parse_metadata,
        service_json::{instance_fault, metadata_json},
    },
    model::{BeatTimes, Instance, InstanceKey, Metadata, ServiceKey, Weight, split_grouped},
    node::{
        op::Op,
        output::{NameForm, RenderClass},
        reply::{Refusal, Reply},
    },
    view::Reading,
};

const WEIGHT: Param = Param::of("weight", Kind::Float, "share of calls, 0 to 10000")
    .asked()
    .default("1");
const HEALTHY: Param = Param::of("healthy", Kind::Bool, "whether it answers")
    .asked()
    .default("true");
const ENABLED: Param = Param::of("enabled", Kind::Bool, "whether it is listed")
    .or("enable")
    .asked()
    .default("true");
const METADATA: Param = Param::text("metadata", "JSON object of texts, or k=v,k=v");
const EPHEMERAL: Param = Param::of(
    "ephemeral",
    Kind::Bool,
    "whether it lives by beats; the switch defaultInstanceEphemeral decides else",
)
.asked();
pub(in crate::api) const REGISTER: &[Param] = &[
    SERVICE,
    IP,
    PORT,
    NAMESPACE,
    GROUP,
    CLUSTER.or("cluster"),
    HEALTHY,
    ENABLED,
    WEIGHT,
    METADATA,
    EPHEMERAL,
];
pub(in crate::api) const BATCH: &[Param] = &[
    SERVICE,
    NAMESPACE,
    GROUP,
    Param::text("metadata", "pairs to set, or whose keys are removed")
        .required()
        .asked(),
    Param::text(
        "consistencyType",
        "persist for persistent instances, else ephemeral ones",
    ),
    Param::text(
        "instances",
        "JSON array of {ip, port, clusterName}; all if not given",
    ),
];

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v1/ns/instance",
        class: Class::Client,
        params: REGISTER,
        right: Right::WriteNaming,
        summary: "Registers an instance.",
        make: register,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Delete],
        path: "/v1/ns/instance",
        class: Class::Client,
        params: REGISTER,
        right: Right::WriteNaming,
        summary: "Removes an instance; also well if there was none.",
        make: deregister,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/ns/instance",
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/instance",
        params: REGISTER,
        right: Right::WriteNaming,
        summary: "Replaces weight, flag and metadata of an instance, over what it registers itself.",
        make: update,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Patch],
        path: "/v1/ns/instance",
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/instance/partial",
        params: &[
            SERVICE,
            IP,
            PORT,
            NAMESPACE,
            GROUP,
            CLUSTER.or("cluster"),
            METADATA,
            Param::of("weight", Kind::Float, "share of calls, 0 to 10000").asked(),
            Param::of("enabled", Kind::Bool, "whether it is listed").asked(),
        ],
        right: Right::WriteNaming,
        summary: "Changes what is given of an instance.",
        make: patch,
        ..Route::NAMING_V1
    },
    Route {
        path: "/v1/ns/instance",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/instance",
        params: &[SERVICE, IP, PORT, NAMESPACE, GROUP, CLUSTER],
        summary: "Shows one instance.",
        make: detail,
        ..Route::NAMING_V1
    },
    Route {
        path: "/v1/ns/instance/list",
        class: Class::Client,
        params: &[
            SERVICE,
            NAMESPACE,
            GROUP,
            Param::text("clusters", "comma-separated clusters; all if not given"),
            Param::text("clientIP", "address of the subscriber"),
            Param::of(
                "udpPort",
                Kind::Int,
                "port for pushes; 0 does not subscribe",
            )
            .asked()
            .default("0"),
            Param::of("healthyOnly", Kind::Bool, "leave unhealthy ones out")
                .asked()
                .default("false"),
            Param::text("app", "application of the subscriber"),
        ],
        check: Check::NamingList,
        summary: "Lists the instances of a service, and subscribes a UDP port to it.",
        make: list,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/ns/instance/beat",
        class: Class::Client,
        params: &[
            SERVICE,
            NAMESPACE,
            GROUP,
            CLUSTER,
            Param::text("ip", "address, unless the beat has one"),
            Param::of("port", Kind::Int, "port, unless the beat has one")
                .asked()
                .default("0"),
            Param::text(
                "beat",
                "the beat in full, as JSON; not needed once the instance is known",
            ),
        ],
        check: Check::Beat,
        right: Right::WriteNaming,
        summary: "Keeps an ephemeral instance alive, and registers it if it is unknown and the beat is in full.",
        make: beat,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/ns/instance/metadata/batch",
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/instance/metadata/batch",
        params: BATCH,
        check: Check::MetadataBatch,
        right: Right::WriteNaming,
        summary: "Sets metadata of some or all instances of a service.",
        make: set_metadata,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Delete],
        path: "/v1/ns/instance/metadata/batch",
        instead: "DELETE ${contextPath:nacos}/v3/admin/ns/instance/metadata/batch",
        params: BATCH,
        check: Check::MetadataBatch,
        right: Right::WriteNaming,
        summary: "Removes metadata keys of some or all instances of a service.",
        make: remove_metadata,
        ..Route::NAMING_V1
    },
    Route {
        methods: ANY,
        path: "/v1/ns/instance/statuses",
        params: &[
            Param::text("key", "service, as NAMESPACE##GROUP@@NAME or GROUP@@NAME")
                .required()
                .asked(),
        ],
        check: Check::None,
        summary: "Shows which instances of a service are healthy.",
        make: statuses,
        ..Route::NAMING_V1
    },
];

/// What the request says of an instance.
pub(in crate::api) fn instance(args: &Args<'_>) -> Result<Instance, Fault> {
    let weight = Weight::new(args.float("weight")).ok_or_else(illegal_weight)?;
    let ephemeral = match args.given("ephemeral") {
        Some(given) if !given.is_empty() => args.loose("ephemeral"),
        _ => args.call().view.switches().default_instance_ephemeral,
    };
    Ok(Instance {
        key: instance_key(args),
        weight,
        healthy: args.loose("healthy"),
        enabled: args.loose("enabled"),
        ephemeral,
        metadata: metadata(args.text("metadata"))?,
        instance_id: Arc::default(),
    })
}

pub(in crate::api) fn illegal_weight() -> Fault {
    Fault::detail(
        400,
        21_001,
        "instance format invalid: The weights range from 0.0 to 10000.0",
    )
}

pub(in crate::api) fn metadata(text: &str) -> Result<Metadata, Fault> {
    parse_metadata(text).map_err(|error| Fault::detail(400, 21_002, error))
}

/// Whether there is a generator of ids as the metadata asks for. `Err` has the words.
pub(in crate::api) fn check_generator(metadata: &Metadata) -> Result<(), String> {
    match metadata.get(BeatTimes::ID_GENERATOR) {
        None | Some("" | "simple" | "snowflake") => Ok(()),
        Some(other) => Err(format!(
            "there is no generator of instance ids `{other}`, only simple and snowflake"
        )),
    }
}

fn ok(_: Reply) -> Result<Answer, Fault> {
    Ok(Answer::text("ok"))
}

pub(in crate::api) fn register(args: &Args<'_>) -> Result<Plan, Fault> {
    let instance = instance(args)?;
    check_generator(&instance.metadata).map_err(|text| Fault::business(500, text))?;
    let op = Op::Register {
        service: service_key(args),
        instance,
    };
    let refused = |refusal| match refusal {
        Refusal::Illegal(text) => Fault::detail(400, 21_004, text),
        other => other.into(),
    };
    Ok(args.submit_or(op, refused, ok))
}

pub(in crate::api) fn deregister(args: &Args<'_>) -> Result<Plan, Fault> {
    let Instance { key, ephemeral, .. } = instance(args)?;
    let telling = args.telling();
    Ok(Plan::submit(
        Op::Deregister {
            service: service_key(args),
            key,
            ephemeral,
        },
        move |answered| match answered {
            // That there was nothing to remove is well.
            Ok(_)
            | Err(
                Refusal::ServiceNotFound | Refusal::InstanceNotFound | Refusal::OtherKind { .. },
            ) => Answer::text("ok"),
            Err(refusal) => Fault::from(refusal).tell(&telling),
        },
    ))
}

pub(in crate::api) fn update(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let Instance {
        key,
        weight,
        enabled,
        metadata,
        ephemeral,
        ..
    } = instance(args)?;
    let op = Op::UpdateInstance {
        service: service.clone(),
        key,
        weight,
        enabled,
        metadata,
        ephemeral,
    };
    Ok(args.submit_or(
        op,
        move |refusal| instance_fault(&service, ephemeral, refusal),
        ok,
    ))
}

pub(in crate::api) fn patch(args: &Args<'_>) -> Result<Plan, Fault> {
    let given = |name| args.given(name).filter(|v| !v.is_empty());
    let weight = given("weight")
        .map(|_| Weight::new(args.float("weight")).ok_or_else(illegal_weight))
        .transpose()?;
    let op = Op::PatchInstance {
        service: service_key(args),
        key: instance_key(args),
        weight,
        enabled: given("enabled").map(|_| args.loose("enabled")),
        metadata: given("metadata").map(metadata).transpose()?,
    };
    Ok(args.submit(op, ok))
}

fn detail(args: &Args<'_>) -> Result<Plan, Fault> {
    let (service, key) = (service_key(args), instance_key(args));
    let view = args
        .call()
        .view
        .service(&service)
        .filter(|s| !s.is_empty())
        .ok_or_else(|| {
            let text = format!(
                "no ips found for cluster {} in service {}",
                key.cluster,
                service.grouped()
            );
            Fault::detail(404, 20_004, text)
        })?;
    let found = view
        .instance(&key)
        .ok_or_else(|| Fault::detail(404, 20_004, "no matched ip found!"))?;
    Ok(Plan::Answer(Answer::json_of(&json!({
        "service": service.grouped(),
        "ip": &*key.ip,
        "port": key.port,
        "clusterName": &*key.cluster,
        "weight": found.weight.get(),
        "healthy": found.healthy,
        "instanceId": found.id(&service),
        "metadata": metadata_json(&found.metadata),
    }))))
}

fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let service = service_key(args);
    let shared = |text: &str| {
        if text.is_empty() {
            Arc::default()
        } else {
            Arc::from(text)
        }
    };
    let client = match args.text("clientIP") {
        "" => call.ip,
        given => given,
    };
    let mut class = RenderClass {
        clusters: shared(args.text("clusters")),
        healthy_only: args.strict("healthyOnly"),
        names: NameForm::Grouped,
        consumer: Arc::default(),
    };
    if call
        .view
        .service(&service)
        .is_some_and(|s| s.selects_by_label())
    {
        class.consumer = shared(client);
    }
    let (wall, all_ips) = (call.now.wall, AllIps::from(call.server.compat));
    let port = u16::try_from(args.int("udpPort")).unwrap_or_default();
    if port == 0 || client.is_empty() {
        let cache = call.view.switches().default_push_cache_millis;
        return Ok(Plan::Answer(Answer::json(service_list_as(
            call.view, &service, &class, cache, wall, all_ips,
        ))));
    }
    let agent = (call.header)("user-agent")
        .or_else(|| (call.header)("client-version"))
        .unwrap_or_default();
    let op = Op::SubscribeUdp {
        service: service.clone(),
        clusters: class.clusters.clone(),
        ip: shared(client),
        port,
        agent: shared(agent),
        app: shared(args.text("app")),
        names: NameForm::Grouped,
    };
    let telling = args.telling();
    // The node first and the view after it, so that no change slips between list and pushes.
    Ok(Plan::submit_then(op, move |answered, view| {
        let cache = match answered {
            Ok(Reply::Subscribed { cache_millis, .. }) => cache_millis,
            Ok(_) => view.switches().default_push_cache_millis,
            Err(refusal) => return Plan::Answer(Fault::from(refusal).tell(&telling)),
        };
        Plan::Answer(Answer::json(service_list_as(
            view, &service, &class, cache, wall, all_ips,
        )))
    }))
}

pub(in crate::api) fn beat(args: &Args<'_>) -> Result<Plan, Fault> {
    let parsed = beat::parse(args.text("beat")).map_err(|message| Fault::Container {
        status: 500,
        message,
    })?;
    let given = |ip: &str, port: i64, cluster: &str| {
        InstanceKey::new(ip, u16::try_from(port).unwrap_or_default(), cluster)
    };
    let (key, full) = match parsed {
        None => (instance_key(args), None),
        Some(full) => {
            // What the beat says wins over the parameters.
            let ip = if full.ip.is_empty() {
                args.text("ip")
            } else {
                &full.ip
            };
            let port = if full.port == 0 {
                args.int("port")
            } else {
                full.port
            };
            let cluster = if full.cluster.trim().is_empty() {
                args.text("clusterName")
            } else {
                &full.cluster
            };
            let key = given(ip, port, cluster);
            if key.ip.is_empty() {
                return Err(Fault::Missing {
                    name: "ip",
                    kind: Kind::Text,
                    asked: true,
                });
            }
            let instance = Instance {
                key: key.clone(),
                weight: Weight::new(full.weight.clamp(0.0, Weight::MAX)).unwrap_or_default(),
                healthy: true,
                enabled: true,
                ephemeral: full.ephemeral,
                metadata: full.metadata,
                instance_id: Arc::default(),
            };
            (key, Some(Box::new(instance)))
        }
    };
    let is_light = full.is_none();
    let op = Op::Beat {
        service: service_key(args),
        key,
        full,
    };
    let telling = args.telling();
    Ok(Plan::submit_then(op, move |answered, view| {
        let (interval, known, light) = match answered {
            Ok(Reply::Beat {
                interval,
                known,
                light,
            }) => (interval, known, light),
            // A persistent service has no instance that beats.
            Err(Refusal::OtherKind { .. }) if is_light => {
                let switches = view.switches();
                (
                    switches.client_beat_interval,
                    false,
                    switches.light_beat_enabled,
                )
            }
            Ok(_) => return Plan::Answer(Answer::text("ok")),
            Err(refusal) => return Plan::Answer(Fault::from(refusal).tell(&telling)),
        };
        let code = if known { 10_200 } else { 20_404 };
        Plan::Answer(Answer::json(format!(
            r#"{{"clientBeatInterval":{interval},"code":{code},"lightBeatEnabled":{light}}}"#
        )))
    }))
}

pub(in crate::api) fn set_metadata(args: &Args<'_>) -> Result<Plan, Fault> {
    metadata_batch(args, false)
}

pub(in crate::api) fn remove_metadata(args: &Args<'_>) -> Result<Plan, Fault> {
    metadata_batch(args, true)
}

fn metadata_batch(args: &Args<'_>, remove: bool) -> Result<Plan, Fault> {
    let text = args.text("instances");
    let listed = parse_instances(text)
        .ok_or_else(|| Fault::Argument(format!("instances format incorrect:{text}")))?;
    let keys: Vec<InstanceKey> = listed
        .iter()
        .map(|(ip, port, cluster)| InstanceKey::new(ip, port.parse().unwrap_or_default(), cluster))
        .collect();
    let persistent = args.text("consistencyType") == "persist";
    let service = service_key(args);
    let op = Op::MetadataBatch {
        service: service.clone(),
        persistent,
        remove,
        metadata: metadata(args.text("metadata"))?,
        instances: (!keys.is_empty()).then_some(keys),
    };
    let refused = move |refusal| instance_fault(&service, !persistent, refusal);
    Ok(args.submit_or(op, refused, move |reply| {
        let Reply::Updated(keys) = reply else {
            return ok(reply);
        };
        let kind = if persistent { "persist" } else { "ephemeral" };
        let updated: Vec<String> = keys
            .iter()
            .map(|k| format!("{}:{}:unknown:{}:{kind}", k.ip, k.port, k.cluster))
            .collect();
        Ok(Answer::json_of(&json!({ "updated": updated })))
    }))
}

pub(in crate::api) fn statuses(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(statuses_of(
        args.call().view,
        args.text("key"),
    )))
}

/// Which instances of a service are healthy; the key is `NAMESPACE##GROUP@@NAME` or `GROUP@@NAME`.
pub(in crate::api) fn statuses_of(view: &dyn Reading, key: &str) -> Answer {
    let (namespace, rest) = key.split_once("##").unwrap_or(("", key));
    let (group, name) = split_grouped(rest);
    let service = view.service(&ServiceKey::new(namespace, group.unwrap_or_default(), name));
    let ips: Vec<String> = service
        .iter()
        .flat_map(|s| s.instances())
        .map(|i| format!("{}:{}_{}", i.key.ip, i.key.port, i.healthy))
        .collect();
    Answer::json_of(&json!({ "ips": ips }))
}

#[cfg(test)]
mod tests;
