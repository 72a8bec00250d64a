//! Routes of `/v2/ns`.

use crate::api::{
    Check, Class, Kind, Method, Param, Right, Route,
    v1::naming::{
        ANY, CLUSTER, DECLARED_SERVICE, GROUP, IP, NAMESPACE, PAGE as DECLARED_PAGE, PORT, SERVICE,
        SIZE as DECLARED_SIZE,
        instance::{BATCH, REGISTER},
        service::METADATA,
    },
    wrapped::{client, instance, operator, service},
};

/// A service's name as v2's handlers for old callers want it.
const GROUPED: Param = Param::text("serviceName", "service, as GROUP@@NAME")
    .required()
    .asked();

const WRITE: Route = Route {
    right: Right::WriteNaming,
    ..Route::V2
};

/// Instances.
pub(super) const INSTANCES: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v2/ns/instance",
        instead: "POST ${contextPath:nacos}/v3/admin/ns/instance",
        params: REGISTER,
        summary: "Registers an instance.",
        make: instance::register,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v2/ns/instance",
        instead: "DELETE ${contextPath:nacos}/v3/admin/ns/instance",
        params: REGISTER,
        summary: "Removes an instance; also well if there was none.",
        make: instance::deregister,
        ..WRITE
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/ns/instance",
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/instance",
        params: REGISTER,
        summary: "Replaces weight, flag and metadata of an instance, over what it registers itself.",
        make: instance::update,
        ..WRITE
    },
    Route {
        methods: &[Method::Patch],
        path: "/v2/ns/instance",
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/instance/partial",
        params: &[
            GROUPED,
            IP,
            PORT,
            NAMESPACE,
            GROUP,
            CLUSTER.or("cluster"),
            METADATA,
            Param::of("weight", Kind::Float, "share of calls, 0 to 10000").asked(),
            Param::of("enabled", Kind::Bool, "whether it is listed").asked(),
        ],
        summary: "Changes what is given of an instance.",
        make: instance::patch_v2,
        ..WRITE
    },
    Route {
        path: "/v2/ns/instance",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/instance",
        params: &[SERVICE, IP, PORT, NAMESPACE, GROUP, CLUSTER],
        summary: "Shows one instance.",
        make: instance::detail_v2,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/instance/list",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/instance/list",
        params: &[
            SERVICE,
            NAMESPACE,
            GROUP,
            Param::text("clusterName", "comma-separated clusters; all if not given"),
            Param::text("ip", "address of the subscriber"),
            Param::of("port", Kind::Int, "port for pushes; 0 does not subscribe").default("0"),
            Param::of("healthyOnly", Kind::Bool, "leave unhealthy ones out").default("false"),
            Param::text("app", "application of the subscriber"),
        ],
        check: Check::NamingList,
        summary: "Lists the instances of a service, and subscribes a UDP port to it.",
        make: instance::list_v2,
        ..Route::V2
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/ns/instance/beat",
        params: &[
            GROUPED,
            NAMESPACE,
            GROUP,
            CLUSTER,
            Param::text("ip", "address, unless the beat has one"),
            Param::of("port", Kind::Int, "port, unless the beat has one").default("0"),
            Param::text("beat", "the beat in full, as JSON"),
        ],
        check: Check::Beat,
        summary: "Keeps an ephemeral instance alive.",
        make: instance::beat_v2,
        ..WRITE
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/ns/instance/metadata/batch",
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/instance/metadata/batch",
        params: BATCH,
        check: Check::MetadataBatch,
        summary: "Sets metadata of some or all instances of a service.",
        make: instance::set_metadata,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v2/ns/instance/metadata/batch",
        instead: "DELETE ${contextPath:nacos}/v3/admin/ns/instance/metadata/batch",
        params: BATCH,
        check: Check::MetadataBatch,
        summary: "Removes metadata keys of some or all instances of a service.",
        make: instance::remove_metadata,
        ..WRITE
    },
    Route {
        methods: ANY,
        path: "/v2/ns/instance/statuses/{key}",
        check: Check::None,
        summary: "Shows which instances of a service are healthy; the key is NAMESPACE##GROUP@@NAME or GROUP@@NAME.",
        make: instance::statuses_v2,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/catalog/instances",
        class: Class::Console,
        instead: "GET ${contextPath:nacos}/v3/console/ns/instance/list",
        params: &[
            DECLARED_SERVICE,
            DECLARED_PAGE,
            DECLARED_SIZE,
            NAMESPACE,
            GROUP,
            Param::of("healthyOnly", Kind::Bool, "leave unhealthy ones out").default("false"),
            Param::of("enabledOnly", Kind::Bool, "leave disabled ones out").default("false"),
        ],
        summary: "Lists the instances of a service, disabled ones too.",
        make: instance::catalog_v2,
        ..Route::V2
    },
];

/// Services and their health.
pub(super) const SERVICES: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v2/ns/service",
        instead: "POST ${contextPath:nacos}/v3/admin/ns/service",
        params: service::FORM,
        summary: "Creates a service.",
        make: service::create,
        ..WRITE
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/ns/service",
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/service",
        params: service::FORM,
        summary: "Replaces threshold, metadata and selector of a service.",
        make: service::update,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v2/ns/service",
        instead: "DELETE ${contextPath:nacos}/v3/admin/ns/service",
        params: &[DECLARED_SERVICE, NAMESPACE, GROUP],
        summary: "Removes a service that has no instances.",
        make: service::delete,
        ..WRITE
    },
    Route {
        path: "/v2/ns/service",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/service",
        params: &[DECLARED_SERVICE, NAMESPACE, GROUP],
        summary: "Shows a service.",
        make: service::detail_v2,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/service/list",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/service/list",
        params: &[
            NAMESPACE,
            GROUP,
            Param::text("selector", "not looked at"),
            Param::of("pageNo", Kind::Int, "number of the page, from 1").default("1"),
            Param::of("pageSize", Kind::Int, "names of a page, at most 500").default("20"),
        ],
        summary: "Lists the names of a group's services.",
        make: service::names,
        ..Route::V2
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/ns/health/instance",
        also: &["/v2/ns/health"],
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/health",
        params: service::HEALTH,
        summary: "Sets the health of a persistent instance that nobody checks.",
        make: service::set_health,
        ..WRITE
    },
];

/// Switches and counters.
pub(super) const OPERATOR: &[Route] = &[
    Route {
        path: "/v2/ns/operator/switches",
        also: &["/v2/ns/ops/switches"],
        instead: "GET ${contextPath:nacos}/v3/admin/ns/ops/switches",
        check: Check::None,
        summary: "Shows the switches.",
        make: operator::switches_v2,
        ..Route::V2
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/ns/operator/switches",
        also: &["/v2/ns/ops/switches"],
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/ops/switches",
        params: operator::SWITCH,
        check: Check::None,
        right: Right::Admin,
        summary: "Sets a switch; an unknown one does nothing.",
        make: operator::set_switch,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/operator/metrics",
        also: &["/v2/ns/ops/metrics"],
        instead: "GET ${contextPath:nacos}/v3/admin/ns/ops/metrics",
        params: operator::METRICS,
        check: Check::None,
        summary: "Shows the status and, if asked, what this member holds.",
        make: operator::metrics_v2,
        ..Route::V2
    },
];

const CLIENT: Param = Param::text("clientId", "id of the client").required();
const OF_SERVICE: &[Param] = &[
    DECLARED_SERVICE,
    NAMESPACE,
    GROUP,
    Param::of("ephemeral", Kind::Bool, "not looked at").default("true"),
    Param::text("ip", "address of the client"),
    Param::of("port", Kind::Int, "port of the client"),
];

/// Clients.
pub(super) const CLIENTS: &[Route] = &[
    Route {
        path: "/v2/ns/client/list",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/client/list",
        summary: "Lists the ids of all clients.",
        make: client::list,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/client",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/client",
        params: &[CLIENT],
        summary: "Shows a client.",
        make: client::detail_v2,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/client/publish/list",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/client/publish/list",
        params: &[CLIENT],
        summary: "Lists what a client publishes.",
        make: client::published_v2,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/client/subscribe/list",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/client/subscribe/list",
        params: &[CLIENT],
        summary: "Lists what a client subscribes to.",
        make: client::subscribed_v2,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/client/service/publisher/list",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/client/service/publisher/list",
        params: OF_SERVICE,
        summary: "Lists the clients that publish a service from one address.",
        make: client::publishers_v2,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/client/service/subscriber/list",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/client/service/subscriber/list",
        params: OF_SERVICE,
        summary: "Lists the clients that subscribe to a service from one address.",
        make: client::subscribers_v2,
        ..Route::V2
    },
    Route {
        path: "/v2/ns/client/distro",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/client/distro",
        params: operator::RESPONSIBLE,
        summary: "Shows which member is responsible for a client.",
        make: operator::responsible,
        ..Route::V2
    },
];
