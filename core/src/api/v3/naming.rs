//! Routes of `/v3/admin/ns`.

use crate::api::{
    Answer, Check, Kind, Method, Param, Right, Route, logs,
    v1::naming::{
        CLUSTER, GROUP, IP, NAMESPACE, PORT, SERVICE,
        instance::{BATCH, REGISTER},
        service::METADATA,
    },
    wrapped::{PAGE, SIZE, client, instance, operator, service},
};

const READ: Route = Route {
    check: Check::Naming,
    ..Route::V3
};
const WRITE: Route = Route {
    right: Right::WriteNaming,
    ..READ
};

/// Instances.
pub(super) const INSTANCES: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/ns/instance",
        params: REGISTER,
        summary: "Registers an instance.",
        make: instance::register,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/ns/instance",
        params: REGISTER,
        summary: "Removes an instance; also well if there was none.",
        make: instance::deregister,
        ..WRITE
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ns/instance",
        console: &["/v3/console/ns/instance"],
        params: REGISTER,
        summary: "Replaces weight, flag and metadata of an instance, over what it registers itself.",
        make: instance::update,
        ..WRITE
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ns/instance/partial",
        params: REGISTER,
        summary: "Changes metadata if given, and weight and flag, which are 1 and true if not given.",
        make: instance::partial,
        ..WRITE
    },
    Route {
        path: "/v3/admin/ns/instance",
        params: &[SERVICE, IP, PORT, NAMESPACE, GROUP, CLUSTER],
        summary: "Shows one instance.",
        make: instance::detail_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/instance/list",
        params: &[
            SERVICE,
            NAMESPACE,
            GROUP,
            CLUSTER,
            Param::of("healthyOnly", Kind::Bool, "leave unhealthy ones out").default("false"),
        ],
        check: Check::NamingList,
        summary: "Lists the instances of a cluster of a service, disabled ones too.",
        make: instance::list_admin,
        ..READ
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ns/instance/metadata/batch",
        params: BATCH,
        check: Check::MetadataBatch,
        summary: "Sets metadata of some or all instances of a service.",
        make: instance::set_metadata,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/ns/instance/metadata/batch",
        params: BATCH,
        check: Check::MetadataBatch,
        summary: "Removes metadata keys of some or all instances of a service.",
        make: instance::remove_metadata,
        ..WRITE
    },
];

/// What a list of services is narrowed by.
const SERVICE_LIST: &[Param] = &[
    PAGE,
    SIZE,
    NAMESPACE,
    Param::text("serviceNameParam", "text in the name"),
    Param::text("groupNameParam", "text in the group"),
    Param::of(
        "ignoreEmptyService",
        Kind::Bool,
        "leave services without instances out",
    )
    .default("false"),
    Param::of("withInstances", Kind::Bool, "services with their instances").default("false"),
];
/// What subscribers are listed by.
const SUBSCRIBERS: &[Param] = &[
    SERVICE,
    NAMESPACE,
    GROUP,
    PAGE,
    SIZE,
    Param::of("aggregation", Kind::Bool, "ask all members").default("true"),
];
/// What describes a cluster.
const CLUSTER_FORM: &[Param] = &[
    NAMESPACE,
    SERVICE,
    GROUP,
    Param::text("clusterName", "cluster").required().asked(),
    Param::of(
        "checkPort",
        Kind::Int,
        "port of checks that do not use the instance's",
    )
    .required()
    .asked(),
    Param::of(
        "useInstancePort4Check",
        Kind::Bool,
        "whether checks use the instance's port",
    )
    .required()
    .asked(),
    Param::text("healthChecker", r#"JSON, {"type":"TCP"} and others"#)
        .required()
        .asked(),
    METADATA,
];

/// Services, their clusters and their health.
pub(super) const SERVICES: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/ns/service",
        console: &["/v3/console/ns/service"],
        params: service::FORM,
        summary: "Creates a service.",
        make: service::create,
        ..WRITE
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ns/service",
        console: &["/v3/console/ns/service"],
        params: service::FORM,
        summary: "Replaces threshold, metadata and selector of a service.",
        make: service::update,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/ns/service",
        console: &["/v3/console/ns/service"],
        params: &[SERVICE, NAMESPACE, GROUP],
        summary: "Removes a service that has no instances.",
        make: service::delete,
        ..WRITE
    },
    Route {
        path: "/v3/admin/ns/service",
        console: &["/v3/console/ns/service"],
        params: &[SERVICE, NAMESPACE, GROUP],
        summary: "Shows a service.",
        make: service::detail_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/service/list",
        console: &["/v3/console/ns/service/list"],
        params: SERVICE_LIST,
        summary: "Lists services with counts, or with their instances.",
        make: service::list,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/service/subscribers",
        console: &["/v3/console/ns/service/subscribers"],
        params: SUBSCRIBERS,
        summary: "Lists the subscribers of a service.",
        make: service::subscribers,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/service/selector/types",
        summary: "Lists the types of selectors.",
        make: service::selector_types,
        ..READ
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ns/cluster",
        console: &["/v3/console/ns/service/cluster"],
        params: CLUSTER_FORM,
        summary: "Describes a cluster of a service.",
        make: service::set_cluster,
        ..WRITE
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ns/health/instance",
        params: service::HEALTH,
        summary: "Sets the health of a persistent instance that nobody checks.",
        make: service::set_health,
        ..WRITE
    },
    Route {
        path: "/v3/admin/ns/health/checkers",
        summary: "Lists the kinds of health checks.",
        make: service::checkers,
        ..READ
    },
];

/// Switches and counters.
pub(super) const OPERATOR: &[Route] = &[
    Route {
        path: "/v3/admin/ns/ops/switches",
        summary: "Shows the switches.",
        make: operator::switches_v3,
        ..Route::V3
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ns/ops/switches",
        params: operator::SWITCH,
        right: Right::Admin,
        summary: "Sets a switch; an unknown one does nothing.",
        make: operator::set_switch,
        ..Route::V3
    },
    Route {
        path: "/v3/admin/ns/ops/metrics",
        params: operator::METRICS,
        summary: "Shows the status and, if asked, what this member holds.",
        make: operator::metrics_v3,
        ..Route::V3
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ns/ops/log",
        params: logs::PARAMS,
        right: Right::Admin,
        summary: logs::SUMMARY,
        make: |args| Ok(logs::set(args, Answer::wrapped("\"ok\""))),
        ..Route::V3
    },
];

const CLIENT: &[Param] = &[Param::text("clientId", "id of the client").required()];
const OF_SERVICE: &[Param] = &[
    SERVICE,
    NAMESPACE,
    GROUP,
    Param::text("ip", "address of the client; all if not given"),
    Param::of("port", Kind::Int, "port of the client; all if not given"),
];

/// Clients.
pub(super) const CLIENTS: &[Route] = &[
    Route {
        path: "/v3/admin/ns/client/list",
        summary: "Lists the ids of all clients.",
        make: client::list,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/client",
        params: CLIENT,
        summary: "Shows a client.",
        make: client::detail_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/client/publish/list",
        params: CLIENT,
        summary: "Lists what a client publishes.",
        make: client::published_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/client/subscribe/list",
        params: CLIENT,
        summary: "Lists what a client subscribes to.",
        make: client::subscribed_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/client/service/publisher/list",
        params: OF_SERVICE,
        summary: "Lists the clients that publish a service.",
        make: client::publishers_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/client/service/subscriber/list",
        params: OF_SERVICE,
        summary: "Lists the clients that subscribe to a service.",
        make: client::subscribers_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/ns/client/distro",
        params: operator::RESPONSIBLE,
        summary: "Shows which member is responsible for a client.",
        make: operator::responsible,
        ..READ
    },
];
