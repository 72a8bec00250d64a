//! Routes of `/v3/admin/core`.

use crate::api::{
    Method, Right, Route, logs,
    wrapped::{cluster, namespace, state},
};

const ADMIN: Route = Route {
    right: Right::Admin,
    ..Route::V3
};

/// Namespaces.
pub(super) const NAMESPACES: &[Route] = &[
    Route {
        path: "/v3/admin/core/namespace/list",
        summary: "Lists the namespaces.",
        make: namespace::list_v3,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/namespace",
        console: &["/v3/console/core/namespace"],
        params: namespace::ID,
        summary: "Shows a namespace.",
        make: namespace::detail_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/core/namespace",
        params: namespace::FORM,
        summary: "Creates a namespace.",
        make: namespace::create_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/core/namespace",
        console: &["/v3/console/core/namespace"],
        params: namespace::CHANGE,
        summary: "Changes name and description of a namespace.",
        make: namespace::update,
        ..ADMIN
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/core/namespace",
        console: &["/v3/console/core/namespace"],
        params: namespace::ID,
        summary: "Deletes a namespace, not what is in it.",
        make: namespace::delete,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/namespace/check",
        params: namespace::ID,
        summary: "Counts the namespaces of an id: 0 or 1.",
        make: namespace::count,
        ..ADMIN
    },
];

/// Members, connections and operations.
pub(super) const CLUSTER: &[Route] = &[
    Route {
        path: "/v3/admin/core/state",
        right: Right::Open,
        summary: "Shows settings of the server.",
        make: state::admin,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/state/liveness",
        console: &["/v3/console/health/liveness"],
        right: Right::Open,
        summary: "Says that the server is there.",
        make: cluster::healthy,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/state/readiness",
        console: &["/v3/console/health/readiness"],
        right: Right::Open,
        summary: "Says that the server takes requests.",
        make: cluster::healthy,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/cluster/node/self",
        summary: "Shows this member.",
        make: cluster::own,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/cluster/node/self/health",
        summary: "Shows the state of this member.",
        make: cluster::health,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/cluster/node/list",
        params: cluster::LIST,
        summary: "Lists the members.",
        make: cluster::list,
        ..ADMIN
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/core/cluster/node/list",
        summary: "Not supported: members are settings of the server.",
        make: cluster::change_members,
        ..ADMIN
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/core/cluster/lookup",
        params: cluster::LOOKUP,
        summary: "Not supported: members are settings of the server.",
        make: cluster::change_members,
        ..ADMIN
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/core/ops/raft",
        summary: "Not supported: the log is not operated by hand.",
        make: cluster::raft,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/ops/ids",
        summary: "Lists generators of ids; there are none.",
        make: cluster::ids_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/core/ops/log",
        summary: logs::SUMMARY,
        make: cluster::set_log_v3,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/loader/current",
        summary: "Lists the gRPC connections of this member.",
        make: cluster::connections_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/core/loader/reloadCurrent",
        params: cluster::RELOAD,
        summary: "Asks the newest connections to connect again, until a number is left.",
        make: cluster::reload_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/core/loader/reloadClient",
        params: cluster::RELOAD_CLIENT,
        summary: "Asks one connection to connect again.",
        make: cluster::reload_client_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/core/loader/smartReloadCluster",
        params: cluster::SMART_RELOAD,
        summary: "Balances connections between members.",
        make: cluster::smart_reload_v3,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/loader/cluster",
        summary: "Shows how many connections each member has.",
        make: cluster::load_v3,
        ..ADMIN
    },
];
