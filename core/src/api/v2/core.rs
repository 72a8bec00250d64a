//! Routes of `/v2/console` and `/v2/core`.

use crate::api::{
    Check, Class, Method, Param, Right, Route, logs,
    wrapped::{cluster, namespace},
};

const CONSOLE: Route = Route {
    class: Class::Console,
    check: Check::Namespace,
    right: Right::Admin,
    ..Route::V2
};

const CORE: Route = Route {
    check: Check::None,
    right: Right::Admin,
    ..Route::V2
};

/// Namespaces, and whether the server is there.
pub(super) const NAMESPACES: &[Route] = &[
    Route {
        path: "/v2/console/namespace/list",
        instead: "GET ${contextPath:nacos}/v3/console/core/namespace/list",
        summary: "Lists the namespaces.",
        make: namespace::list_v2,
        ..CONSOLE
    },
    Route {
        path: "/v2/console/namespace",
        instead: "GET ${contextPath:nacos}/v3/console/core/namespace",
        params: namespace::ID,
        summary: "Shows a namespace.",
        make: namespace::detail_v2,
        ..CONSOLE
    },
    Route {
        methods: &[Method::Post],
        path: "/v2/console/namespace",
        instead: "POST ${contextPath:nacos}/v3/console/core/namespace",
        params: namespace::FORM,
        summary: "Creates a namespace.",
        make: namespace::create_v2,
        ..CONSOLE
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/console/namespace",
        instead: "PUT ${contextPath:nacos}/v3/console/core/namespace",
        params: namespace::CHANGE,
        summary: "Changes name and description of a namespace.",
        make: namespace::update,
        ..CONSOLE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v2/console/namespace",
        instead: "DELETE ${contextPath:nacos}/v3/console/core/namespace",
        params: namespace::ID,
        summary: "Deletes a namespace, not what is in it.",
        make: namespace::delete,
        ..CONSOLE
    },
    Route {
        path: "/v2/console/health/liveness",
        instead: "GET ${contextPath:nacos}/v3/console/health/liveness",
        right: Right::Open,
        summary: "Says that the server is there.",
        make: cluster::healthy,
        ..CONSOLE
    },
    Route {
        path: "/v2/console/health/readiness",
        instead: "GET ${contextPath:nacos}/v3/console/health/readiness",
        right: Right::Open,
        summary: "Says that the server takes requests.",
        make: cluster::healthy,
        ..CONSOLE
    },
];

/// Members, connections and operations.
pub(super) const CLUSTER: &[Route] = &[
    Route {
        path: "/v2/core/cluster/node/self",
        instead: "GET {contextPath:nacos}/v3/admin/core/cluster/node/self",
        summary: "Shows this member.",
        make: cluster::own,
        ..CORE
    },
    Route {
        path: "/v2/core/cluster/node/list",
        instead: "GET {contextPath:nacos}/v3/admin/core/cluster/node/list",
        params: cluster::LIST,
        summary: "Lists the members.",
        make: cluster::list,
        ..CORE
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/core/cluster/node/list",
        instead: "PUT {contextPath:nacos}/v3/admin/core/cluster/node/list",
        summary: "Not supported: members are settings of the server.",
        make: cluster::change_members,
        ..CORE
    },
    Route {
        path: "/v2/core/cluster/node/self/health",
        instead: "GET {contextPath:nacos}/v3/admin/core/cluster/node/self/health",
        summary: "Shows the state of this member.",
        make: cluster::health,
        ..CORE
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/core/cluster/lookup",
        instead: "PUT {contextPath:nacos}/v3/admin/core/cluster/lookup",
        params: cluster::LOOKUP,
        summary: "Not supported: members are settings of the server.",
        make: cluster::change_members,
        ..CORE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v2/core/cluster/nodes",
        params: &[Param::text("addresses", "members").required()],
        summary: "Refused, as by the reference.",
        make: cluster::leave_v2,
        ..CORE
    },
    Route {
        methods: &[Method::Post],
        path: "/v2/core/ops/raft",
        instead: "POST ${contextPath:nacos}/v3/admin/core/ops/raft",
        summary: "Not supported: the log is not operated by hand.",
        make: cluster::raft,
        ..CORE
    },
    Route {
        path: "/v2/core/ops/ids",
        instead: "GET ${contextPath:nacos}/v3/admin/core/ops/ids",
        summary: "Lists generators of ids; there are none.",
        make: cluster::ids_v2,
        ..CORE
    },
    Route {
        methods: &[Method::Put],
        path: "/v2/core/ops/log",
        instead: "PUT ${contextPath:nacos}/v3/admin/core/ops/log",
        summary: logs::SUMMARY,
        make: cluster::set_log_v2,
        ..CORE
    },
    Route {
        path: "/v2/core/loader/current",
        instead: "GET ${contextPath:nacos}/v3/admin/core/loader/current",
        summary: "Lists the gRPC connections of this member.",
        make: cluster::connections_v2,
        ..CORE
    },
    Route {
        path: "/v2/core/loader/reloadCurrent",
        instead: "POST ${contextPath:nacos}/v3/admin/core/loader/reloadCurrent",
        params: cluster::RELOAD,
        summary: "Asks the newest connections to connect again, until a number is left.",
        make: cluster::reload_v2,
        ..CORE
    },
    Route {
        path: "/v2/core/loader/reloadClient",
        instead: "POST ${contextPath:nacos}/v3/admin/core/loader/reloadClient",
        params: cluster::RELOAD_CLIENT,
        summary: "Asks one connection to connect again.",
        make: cluster::reload_client_v2,
        ..CORE
    },
    Route {
        path: "/v2/core/loader/smartReloadCluster",
        instead: "POST ${contextPath:nacos}/v3/admin/core/loader/smartReloadCluster",
        params: cluster::SMART_RELOAD,
        summary: "Balances connections between members.",
        make: cluster::smart_reload_v2,
        ..CORE
    },
    Route {
        path: "/v2/core/loader/cluster",
        instead: "GET ${contextPath:nacos}/v3/admin/core/loader/cluster",
        summary: "Shows how many connections each member has.",
        make: cluster::load_v2,
        ..CORE
    },
];
