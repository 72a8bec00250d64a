//! Routes of `/v3/admin/core`.

use crate::api::{
    Kind, Method, Param, Right, Route,
    wrapped::{cluster, namespace, state},
};

const ADMIN: Route = Route {
    right: Right::Admin,
    ..Route::V3
};

const FORM: &[Param] = &[
    Param::text("namespaceId", "id; blank for a random one"),
    Param::text("namespaceName", "name that people see"),
    Param::text("namespaceDesc", "description"),
];
const ID: &[Param] = &[Param::text("namespaceId", "id of the namespace").required()];

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
        params: ID,
        summary: "Shows a namespace.",
        make: namespace::detail_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/core/namespace",
        params: FORM,
        summary: "Creates a namespace.",
        make: namespace::create_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/core/namespace",
        params: FORM,
        summary: "Changes name and description of a namespace.",
        make: namespace::update,
        ..ADMIN
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/core/namespace",
        params: ID,
        summary: "Deletes a namespace, not what is in it.",
        make: namespace::delete,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/namespace/check",
        params: ID,
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
        right: Right::Open,
        summary: "Says that the server is there.",
        make: cluster::healthy,
        ..ADMIN
    },
    Route {
        path: "/v3/admin/core/state/readiness",
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
        params: &[
            Param::text("address", "beginning of the address"),
            Param::text("state", "state of the member"),
        ],
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
        params: &[Param::text("type", "file or address-server")
            .required()
            .asked()],
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
        summary: "Not supported: levels of the log are settings of the server.",
        make: cluster::set_log,
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
        params: &[
            Param::of("count", Kind::Int, "connections to keep").required(),
            Param::text("redirectAddress", "where the others go"),
        ],
        summary: "Asks the newest connections to connect again, until a number is left.",
        make: cluster::reload_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/core/loader/reloadClient",
        params: &[
            Param::text("connectionId", "connection").required(),
            Param::text("redirectAddress", "where it goes"),
        ],
        summary: "Asks one connection to connect again.",
        make: cluster::reload_client_v3,
        ..ADMIN
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/core/loader/smartReloadCluster",
        params: &[Param::text("loaderFactor", "share by which members may differ").default("0.1")],
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
