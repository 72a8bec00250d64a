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
    model::{Instance, InstanceKey, Metadata, ServiceKey, Weight, split_grouped},
    node::{
        op::Op,
        output::{NameForm, RenderClass},
        reply::{Refusal, Reply},
    },
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
const REGISTER: &[Param] = &[
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
const BATCH: &[Param] = &[
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
fn instance(args: &Args<'_>) -> Result<Instance, Fault> {
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

fn illegal_weight() -> Fault {
    Fault::detail(
        400,
        21_001,
        "instance format invalid: The weights range from 0.0 to 10000.0",
    )
}

fn metadata(text: &str) -> Result<Metadata, Fault> {
    parse_metadata(text).map_err(|error| Fault::detail(400, 21_002, error))
}

fn ok(_: Reply) -> Result<Answer, Fault> {
    Ok(Answer::text("ok"))
}

fn register(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::Register {
        service: service_key(args),
        instance: instance(args)?,
    };
    Ok(args.submit(op, ok))
}

fn deregister(args: &Args<'_>) -> Result<Plan, Fault> {
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

fn update(args: &Args<'_>) -> Result<Plan, Fault> {
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

fn patch(args: &Args<'_>) -> Result<Plan, Fault> {
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
    let client = args.text("clientIP");
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
        class.consumer = shared(if client.is_empty() { call.ip } else { client });
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

fn beat(args: &Args<'_>) -> Result<Plan, Fault> {
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
            let key = given(ip, port, full.cluster());
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
    Ok(args.submit(
        Op::Beat {
            service: service_key(args),
            key,
            full,
        },
        |reply| {
            let Reply::Beat {
                interval,
                known,
                light,
            } = reply
            else {
                return ok(reply);
            };
            let code = if known { 10_200 } else { 20_404 };
            let text = format!(
                r#"{{"clientBeatInterval":{interval},"code":{code},"lightBeatEnabled":{light}}}"#
            );
            Ok(Answer::json(text))
        },
    ))
}

fn set_metadata(args: &Args<'_>) -> Result<Plan, Fault> {
    metadata_batch(args, false)
}

fn remove_metadata(args: &Args<'_>) -> Result<Plan, Fault> {
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

fn statuses(args: &Args<'_>) -> Result<Plan, Fault> {
    let key = args.text("key");
    let (namespace, rest) = key.split_once("##").unwrap_or(("", key));
    let (group, name) = split_grouped(rest);
    let service =
        args.call()
            .view
            .service(&ServiceKey::new(namespace, group.unwrap_or_default(), name));
    let ips: Vec<String> = service
        .iter()
        .flat_map(|s| s.instances())
        .map(|i| format!("{}:{}_{}", i.key.ip, i.key.port, i.healthy))
        .collect();
    Ok(Plan::Answer(Answer::json_of(&json!({ "ips": ips }))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            Compat, Routes,
            tests::{View, ask, plan, told},
        },
        view::InstanceChange,
    };

    fn view() -> (View, ServiceKey) {
        let key = ServiceKey::new("", "", "s");
        let instance = Instance {
            key: InstanceKey::new("10.0.0.1", 80, ""),
            weight: Weight::default(),
            healthy: true,
            enabled: true,
            ephemeral: true,
            metadata: Metadata::default(),
            instance_id: Arc::default(),
        };
        (
            View::default().with_service(
                &key,
                None,
                Vec::from([InstanceChange::Put(Arc::new(instance))]),
            ),
            key,
        )
    }

    /// The operation that a request leads to, and what is answered to `answered`.
    fn step(
        method: Method,
        uri: &str,
        answered: Result<Reply, Refusal>,
    ) -> (Op, (u16, String, String)) {
        let view = view().0;
        match plan(&Routes::all(), &view, Compat::All, method, uri) {
            Plan::Submit { op, then, .. } => match then(answered, &view) {
                Plan::Answer(answer) => (op, told(&answer)),
                _ => panic!("{uri} takes another step"),
            },
            Plan::Answer(answer) => panic!("{uri} is answered at once: {answer:?}"),
            _ => panic!("{uri} takes another step"),
        }
    }

    fn fails(method: Method, uri: &str) -> (u16, String) {
        let (status, _, body) = ask(&Routes::all(), &view().0, Compat::All, method, uri);
        (status, body)
    }

    #[test]
    fn a_registration_says_all_that_was_given() {
        let uri = "/v1/ns/instance?serviceName=s&groupName=G&ip=10.0.0.1&port=80&cluster=C&weight=2.5&enable=False&metadata=a=b&ephemeral=no&namespaceId=n";
        let (op, told) = step(Method::Post, uri, Ok(Reply::Done));
        let Op::Register { service, instance } = op else {
            panic!("{op:?}")
        };
        assert_eq!(alloc::format!("{service}"), "n@@G@@s");
        assert_eq!(instance.key, InstanceKey::new("10.0.0.1", 80, "C"));
        assert_eq!(
            (
                instance.weight.get(),
                instance.healthy,
                instance.enabled,
                instance.ephemeral
            ),
            (2.5, true, false, false)
        );
        assert_eq!(instance.metadata.get("a"), Some("b"));
        assert_eq!(told, (200, Answer::TEXT.into(), "ok".into()));
        let (op, _) = step(
            Method::Post,
            "/v1/ns/instance?serviceName=H@@s&groupName=G&ip=1.1.1.1&port=80",
            Ok(Reply::Done),
        );
        let Op::Register { service, instance } = op else {
            panic!("{op:?}")
        };
        assert_eq!(
            (&*service.group, instance.ephemeral, &*instance.key.cluster),
            ("H", true, "DEFAULT")
        );
    }

    #[test]
    fn what_is_wrong_with_a_registration_is_told_as_recorded() {
        let post = |query: &str| fails(Method::Post, &format!("/v1/ns/instance?{query}"));
        assert_eq!(
            post("ip=1.1.1.1&port=80"),
            (400, "Param 'serviceName' is required.".into())
        );
        assert_eq!(
            post("serviceName=s&port=80"),
            (400, "Param 'ip' is required.".into())
        );
        assert_eq!(
            post("serviceName=s&ip=1.1.1.1"),
            (400, "Param 'port' is required.".into())
        );
        let all = "serviceName=s&ip=1.1.1.1&port=80";
        let weights = "instance format invalid: The weights range from 0.0 to 10000.0";
        assert_eq!(post(&format!("{all}&weight=-1")), (400, weights.into()));
        assert_eq!(post(&format!("{all}&weight=10001")), (400, weights.into()));
        assert_eq!(
            post(&format!("{all}&weight=heavy")),
            (400, "For input string: \"heavy\"".into())
        );
        let (status, body) = post(&format!("{all}&metadata={{\"a\":"));
        assert_eq!(status, 500);
        assert!(body.contains(r#"Server failed, caused: ErrCode:400, ErrMsg:metadata format incorrect:{\"a\":;caused: metadata format incorrect:{\"a\":;"#), "{body}");
        let (status, body) = post("serviceName=GG@@&ip=1.1.1.1&port=80");
        assert_eq!(status, 400);
        assert!(body.contains("Service name filter error,caused: Param 'serviceName' is illegal, it should be format as 'groupName@@serviceName';"));
    }

    #[test]
    fn removing_what_is_not_there_is_well() {
        for refusal in [Refusal::ServiceNotFound, Refusal::InstanceNotFound] {
            let told = step(
                Method::Delete,
                "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80",
                Err(refusal),
            )
            .1;
            assert_eq!((told.0, &*told.2), (200, "ok"));
        }
        let told = step(
            Method::Delete,
            "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80",
            Err(Refusal::Busy),
        )
        .1;
        assert_eq!(told.0, 503);
    }

    #[test]
    fn an_update_of_an_unknown_service_names_it() {
        let told = step(
            Method::Put,
            "/v1/ns/instance?serviceName=gper-none&ip=1.1.1.1&port=80",
            Err(Refusal::ServiceNotFound),
        )
        .1;
        let text = "service not found, namespace: public, service: Service{namespace='public', group='DEFAULT_GROUP', name='gper-none', ephemeral=true, revision=0}";
        assert_eq!((told.0, &*told.2), (400, text));
    }

    #[test]
    fn a_patch_says_only_what_was_given() {
        let (op, _) = step(
            Method::Patch,
            "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80&weight=6",
            Ok(Reply::Done),
        );
        let Op::PatchInstance {
            weight,
            enabled,
            metadata,
            ..
        } = op
        else {
            panic!("{op:?}")
        };
        assert_eq!(
            (weight.map(Weight::get), enabled, metadata),
            (Some(6.0), None, None)
        );
    }

    #[test]
    fn a_beat_in_full_wins_over_parameters() {
        let beat = r#"{"ip":"10.0.0.8","port":8080,"cluster":"","weight":3,"metadata":{"b":"1"}}"#;
        let uri = format!(
            "/v1/ns/instance/beat?serviceName=s&ip=1.1.1.1&port=1&clusterName=X&beat={beat}"
        );
        let (op, told) = step(
            Method::Put,
            &uri,
            Ok(Reply::Beat {
                interval: 5000,
                known: true,
                light: true,
            }),
        );
        let Op::Beat {
            key,
            full: Some(full),
            ..
        } = op
        else {
            panic!("{op:?}")
        };
        assert_eq!(
            (&key, full.weight.get(), full.metadata.get("b")),
            (&InstanceKey::new("10.0.0.8", 8080, ""), 3.0, Some("1"))
        );
        assert_eq!(
            told.2,
            r#"{"clientBeatInterval":5000,"code":10200,"lightBeatEnabled":true}"#
        );
        let light = "/v1/ns/instance/beat?serviceName=s&ip=1.1.1.1&port=1&clusterName=X";
        let (op, told) = step(
            Method::Put,
            light,
            Ok(Reply::Beat {
                interval: 5000,
                known: false,
                light: true,
            }),
        );
        assert!(
            matches!(op, Op::Beat { full: None, key, .. } if key == InstanceKey::new("1.1.1.1", 1, "X"))
        );
        assert!(told.2.contains("20404"));
        let (status, body) = fails(Method::Put, "/v1/ns/instance/beat?serviceName=s&beat={bad");
        assert_eq!(status, 500);
        assert!(body.contains("errCode: 101, errMsg: Nacos deserialize for class [com.alibaba.nacos.naming.healthcheck.RsInfo] failed"));
        assert_eq!(
            fails(Method::Put, "/v1/ns/instance/beat?beat={}"),
            (400, "Param 'serviceName' is required.".into())
        );
        assert_eq!(
            fails(Method::Put, "/v1/ns/instance/beat?serviceName=s&beat={}").0,
            400
        );
    }

    #[test]
    fn a_list_with_a_port_subscribes_first() {
        let uri =
            "/v1/ns/instance/list?serviceName=s&clusters=A,B&udpPort=5353&clientIP=10.1.1.1&app=a";
        let (op, told) = step(
            Method::Get,
            uri,
            Ok(Reply::Subscribed {
                pushed: true,
                cache_millis: 12_000,
            }),
        );
        let Op::SubscribeUdp {
            ip,
            port,
            clusters,
            app,
            ..
        } = op
        else {
            panic!("{op:?}")
        };
        assert_eq!(
            (&*ip, port, &*clusters, &*app),
            ("10.1.1.1", 5353, "A,B", "a")
        );
        assert!(
            told.2.contains("\"cacheMillis\":12000") && told.2.contains("\"clusters\":\"A,B\"")
        );
        let plain = fails(Method::Get, "/v1/ns/instance/list?serviceName=s&udpPort=0");
        assert!(
            plain.1.contains("\"cacheMillis\":10000")
                && plain.1.contains("allIPs")
                && !plain.1.contains("allIps")
        );
        let newer = ask(
            &Routes::all(),
            &view().0,
            Compat::V3,
            Method::Get,
            "/v1/ns/instance/list?serviceName=s",
        );
        assert!(newer.2.contains("allIps") && !newer.2.contains("allIPs"));
        assert_eq!(
            fails(Method::Get, "/v1/ns/instance/list"),
            (400, "Param 'serviceName' is required.".into())
        );
    }

    #[test]
    fn details_and_statuses() {
        let found = fails(
            Method::Get,
            "/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80",
        );
        assert!(
            found
                .1
                .contains("\"instanceId\":\"10.0.0.1#80#DEFAULT#DEFAULT_GROUP@@s\"")
        );
        // The alias of registrations is none here.
        let other = fails(
            Method::Get,
            "/v1/ns/instance?serviceName=s&ip=10.0.0.2&port=80&cluster=C",
        );
        assert_eq!(other, (404, "no matched ip found!".into()));
        assert_eq!(
            fails(
                Method::Get,
                "/v1/ns/instance?serviceName=x&ip=10.0.0.2&port=80"
            )
            .0,
            404
        );
        let statuses = fails(Method::Get, "/v1/ns/instance/statuses?key=DEFAULT_GROUP@@s");
        assert_eq!(statuses.1, r#"{"ips":["10.0.0.1:80_true"]}"#);
    }

    #[test]
    fn a_batch_names_what_it_changed() {
        let uri = r#"/v1/ns/instance/metadata/batch?serviceName=s&consistencyType=persist&metadata={"bb":"1"}&instances=[{"ip":"10.20.1.1","port":80}]"#;
        let keys = Vec::from([InstanceKey::new("10.20.1.1", 80, "")]);
        let (op, told) = step(Method::Put, uri, Ok(Reply::Updated(keys.clone())));
        assert!(
            matches!(op, Op::MetadataBatch { persistent: true, remove: false, instances: Some(k), .. } if k == keys)
        );
        assert_eq!(
            told.2,
            r#"{"updated":["10.20.1.1:80:unknown:DEFAULT:persist"]}"#
        );
    }
}
