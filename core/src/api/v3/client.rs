//! Routes of `/v3/client`: what clients over HTTP need.

use crate::api::{
    Check, Kind, Method, Param, Right, Route,
    v1::naming::{GROUP, NAMESPACE, SERVICE, instance::REGISTER},
    wrapped::instance,
};

/// Its routes.
pub(super) const ROUTES: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v3/client/ns/instance",
        params: REGISTER,
        check: Check::Naming,
        right: Right::WriteNaming,
        summary: "Registers an instance; with heartBeat=true only keeps it alive.",
        make: instance::register_or_beat,
        ..Route::V3
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/client/ns/instance",
        params: REGISTER,
        check: Check::Naming,
        right: Right::WriteNaming,
        summary: "Removes an instance; also well if there was none.",
        make: instance::deregister,
        ..Route::V3
    },
    Route {
        path: "/v3/client/ns/instance/list",
        params: &[
            SERVICE,
            NAMESPACE,
            GROUP,
            Param::text("clusterName", "cluster").default("DEFAULT"),
            Param::of("healthyOnly", Kind::Bool, "not looked at"),
        ],
        check: Check::NamingList,
        summary: "Lists the instances of a cluster of a service.",
        make: instance::list_client,
        ..Route::V3
    },
];
