//! Routes of `/v3/console` that are not the administration's under another path ([`Route::console`]): what the console of
//! 3.x asks for alone, or in another way.

use super::config::{KEY, NAMESPACE as CONFIG_NAMESPACE};
use crate::api::{
    Kind, Method, Param, Right, Route,
    v1::config::transfer::POLICY,
    v1::naming::{CLUSTER, GROUP, NAMESPACE, SERVICE},
    wrapped::{PAGE, SIZE, cluster, config, instance, namespace, service, state},
};

/// The server, its members and namespaces.
pub(super) const CORE: &[Route] = &[
    Route {
        path: "/v3/console/server/state",
        right: Right::Open,
        summary: "Shows settings of the server, without the wrapper.",
        make: state::console,
        ..Route::V3
    },
    Route {
        path: "/v3/console/server/announcement",
        params: &[Param::text("language", "language of the text: zh-CN or en-US").default("zh-CN")],
        right: Right::Open,
        summary: "Nothing is announced.",
        make: state::announcement,
        ..Route::V3
    },
    Route {
        path: "/v3/console/server/guide",
        right: Right::Open,
        summary: "There is no guide.",
        make: state::nothing,
        ..Route::V3
    },
    Route {
        path: "/v3/console/core/cluster/nodes",
        params: &[Param::text("keyword", "text in the address")],
        right: Right::Admin,
        summary: "Lists the members.",
        make: cluster::list_console,
        ..Route::V3
    },
    Route {
        path: "/v3/console/core/namespace/list",
        right: Right::Open,
        summary: "Lists the namespaces.",
        make: namespace::list_v3,
        ..Route::V3
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/console/core/namespace",
        params: namespace::CONSOLE_FORM,
        right: Right::Admin,
        summary: "Creates a namespace.",
        make: namespace::create_console,
        ..Route::V3
    },
    Route {
        path: "/v3/console/core/namespace/exist",
        params: &[Param::text("customNamespaceId", "id").required()],
        right: Right::Open,
        summary: "Says whether an id is taken.",
        make: namespace::exist_console,
        ..Route::V3
    },
];

/// Configs.
pub(super) const CONFIGS: &[Route] = &[
    Route {
        path: "/v3/console/cs/config",
        params: KEY,
        right: Right::ReadConfig,
        summary: "Shows a config with its content; null for none.",
        make: config::detail_console,
        ..Route::V3
    },
    Route {
        path: "/v3/console/cs/config/listener",
        params: KEY,
        right: Right::ReadConfig,
        summary: "Lists who listens to a config.",
        make: config::listeners,
        ..Route::V3
    },
    Route {
        path: "/v3/console/cs/config/listener/ip",
        params: &[
            Param::text("ip", "address of the listener").required(),
            Param::of("all", Kind::Bool, "in all namespaces").default("false"),
            CONFIG_NAMESPACE,
        ],
        right: Right::ReadConfig,
        summary: "Lists what an address listens to.",
        make: config::listened,
        ..Route::V3
    },
];

/// Configs taken to another place.
pub(super) const TRANSFERS: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v3/console/cs/config/import",
        params: &[
            CONFIG_NAMESPACE,
            POLICY,
            Param::text("srcUser", "who publishes, for the history"),
        ],
        right: Right::WriteConfig,
        summary: "Imports the configs of an archive (form part `file`).",
        make: config::import_console,
        ..Route::V3
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/console/cs/config/clone",
        params: &[
            Param::text("targetNamespaceId", "namespace to clone into").required(),
            POLICY,
            Param::text("srcUser", "who publishes, for the history"),
        ],
        right: Right::WriteConfig,
        summary: "Clones configs (body: list of cfgId, dataId, group) into a namespace.",
        make: config::clone_console,
        ..Route::V3
    },
];

/// Services and their instances.
pub(super) const SERVICES: &[Route] = &[
    Route {
        path: "/v3/console/ns/service/selector/types",
        right: Right::Open,
        summary: "Lists the types of selectors.",
        make: service::selector_types,
        ..Route::V3
    },
    Route {
        path: "/v3/console/ns/instance/list",
        params: &[SERVICE, NAMESPACE, GROUP, CLUSTER, PAGE, SIZE],
        summary: "Lists the instances of a cluster of a service, disabled ones too.",
        make: instance::list_console,
        ..Route::V3
    },
];
