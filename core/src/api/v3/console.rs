//! Routes of `/v3/console`: what the console of 3.x asks for. Its handlers are the administration's.

use super::{
    config::{
        DATA_ID, EXPORT, GROUP as CONFIG_GROUP, KEY, NAMESPACE as CONFIG_NAMESPACE, PUBLISH,
        SEARCH, TAG,
    },
    naming::{CLUSTER_FORM, SERVICE_FORM, SERVICE_LIST, SUBSCRIBERS},
};
use crate::api::{
    Kind, Method, Param, Right, Route,
    v1::config::transfer::POLICY,
    v1::naming::{CLUSTER, GROUP, NAMESPACE, SERVICE, instance::REGISTER},
    wrapped::{PAGE, SIZE, cluster, config, history, instance, namespace, service, state},
};

const ID: &[Param] = &[Param::text("namespaceId", "id of the namespace").required()];
const NAMED: &[Param] = &[SERVICE, NAMESPACE, GROUP];

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
        params: &[Param::text("language", "language of the text")],
        right: Right::Open,
        summary: "Nothing is announced.",
        make: state::nothing,
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
        path: "/v3/console/health/liveness",
        right: Right::Open,
        summary: "Says that the server is there.",
        make: cluster::healthy,
        ..Route::V3
    },
    Route {
        path: "/v3/console/health/readiness",
        right: Right::Open,
        summary: "Says that the server takes requests.",
        make: cluster::healthy,
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
        path: "/v3/console/core/namespace",
        params: ID,
        right: Right::Admin,
        summary: "Shows a namespace.",
        make: namespace::detail_v3,
        ..Route::V3
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/console/core/namespace",
        params: &[
            Param::text("customNamespaceId", "id; blank for a random one"),
            Param::text("namespaceName", "name that people see"),
            Param::text("namespaceDesc", "description"),
        ],
        right: Right::Admin,
        summary: "Creates a namespace.",
        make: namespace::create_console,
        ..Route::V3
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/console/core/namespace",
        params: &[
            Param::text("namespaceId", "id of the namespace"),
            Param::text("namespaceName", "name that people see"),
            Param::text("namespaceDesc", "description"),
        ],
        right: Right::Admin,
        summary: "Changes name and description of a namespace.",
        make: namespace::update,
        ..Route::V3
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/console/core/namespace",
        params: ID,
        right: Right::Admin,
        summary: "Deletes a namespace, not what is in it.",
        make: namespace::delete,
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
        methods: &[Method::Post],
        path: "/v3/console/cs/config",
        params: PUBLISH,
        right: Right::WriteConfig,
        summary: "Publishes a config, or a gray version of it (header betaIps, or tag).",
        make: config::publish,
        ..Route::V3
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/console/cs/config",
        params: &[CONFIG_GROUP, DATA_ID, CONFIG_NAMESPACE, TAG],
        right: Right::WriteConfig,
        summary: "Removes a config, or the gray version of a tag.",
        make: config::remove,
        ..Route::V3
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/console/cs/config/batchDelete",
        params: &[Param::of("ids", Kind::List, "ids of configs, comma-separated").required()],
        right: Right::WriteConfig,
        summary: "Removes configs by their ids.",
        make: config::remove_ids,
        ..Route::V3
    },
    Route {
        path: "/v3/console/cs/config/list",
        also: &["/v3/console/cs/config/searchDetail"],
        params: SEARCH,
        right: Right::ReadConfig,
        summary: "Lists configs.",
        make: config::list,
        ..Route::V3
    },
    Route {
        path: "/v3/console/cs/config/beta",
        params: KEY,
        right: Right::ReadConfig,
        summary: "Shows the gray version that is for some addresses.",
        make: config::beta,
        ..Route::V3
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/console/cs/config/beta",
        params: KEY,
        right: Right::WriteConfig,
        summary: "Removes the gray version that is for some addresses.",
        make: config::stop_beta,
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
    Route {
        path: "/v3/console/cs/history/list",
        params: &[CONFIG_GROUP, DATA_ID, CONFIG_NAMESPACE, PAGE, SIZE],
        right: Right::ReadConfig,
        summary: "Lists the history of a config, the last first.",
        make: history::list_v3,
        ..Route::V3
    },
    Route {
        path: "/v3/console/cs/history",
        params: &[
            CONFIG_GROUP,
            DATA_ID,
            CONFIG_NAMESPACE,
            Param::of("nid", Kind::Long, "number of the row").required(),
        ],
        right: Right::ReadConfig,
        summary: "Shows a row of the history with its content.",
        make: history::detail_v3,
        ..Route::V3
    },
    Route {
        path: "/v3/console/cs/history/previous",
        params: &[
            CONFIG_GROUP,
            DATA_ID,
            CONFIG_NAMESPACE,
            Param::of("id", Kind::Long, "id of the config").required(),
        ],
        right: Right::ReadConfig,
        summary: "Shows what stood before the last change of a config.",
        make: history::previous_v3,
        ..Route::V3
    },
    Route {
        path: "/v3/console/cs/history/configs",
        params: &[CONFIG_NAMESPACE.required()],
        right: Right::ReadConfig,
        summary: "Lists the configs of a namespace.",
        make: config::configs_v3,
        ..Route::V3
    },
];

/// Configs taken to another place.
pub(super) const TRANSFERS: &[Route] = &[
    Route {
        path: "/v3/console/cs/config/export2",
        params: EXPORT,
        right: Right::ReadConfig,
        summary: "Exports configs as an archive with all that is known of them.",
        make: config::export,
        ..Route::V3
    },
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
        methods: &[Method::Post],
        path: "/v3/console/ns/service",
        params: SERVICE_FORM,
        right: Right::WriteNaming,
        summary: "Creates a service.",
        make: service::create,
        ..Route::V3
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/console/ns/service",
        params: SERVICE_FORM,
        right: Right::WriteNaming,
        summary: "Replaces threshold, metadata and selector of a service.",
        make: service::update,
        ..Route::V3
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/console/ns/service",
        params: NAMED,
        right: Right::WriteNaming,
        summary: "Removes a service that has no instances.",
        make: service::delete,
        ..Route::V3
    },
    Route {
        path: "/v3/console/ns/service",
        params: NAMED,
        summary: "Shows a service.",
        make: service::detail_v3,
        ..Route::V3
    },
    Route {
        path: "/v3/console/ns/service/list",
        params: SERVICE_LIST,
        summary: "Lists services with counts, or with their instances.",
        make: service::list,
        ..Route::V3
    },
    Route {
        path: "/v3/console/ns/service/subscribers",
        params: SUBSCRIBERS,
        summary: "Lists the subscribers of a service.",
        make: service::subscribers,
        ..Route::V3
    },
    Route {
        path: "/v3/console/ns/service/selector/types",
        right: Right::Open,
        summary: "Lists the types of selectors.",
        make: service::selector_types,
        ..Route::V3
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/console/ns/service/cluster",
        params: CLUSTER_FORM,
        right: Right::WriteNaming,
        summary: "Describes a cluster of a service.",
        make: service::set_cluster,
        ..Route::V3
    },
    Route {
        path: "/v3/console/ns/instance/list",
        params: &[SERVICE, NAMESPACE, GROUP, CLUSTER, PAGE, SIZE],
        summary: "Lists the instances of a cluster of a service, disabled ones too.",
        make: instance::list_console,
        ..Route::V3
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/console/ns/instance",
        params: REGISTER,
        right: Right::WriteNaming,
        summary: "Replaces weight, flag and metadata of an instance, over what it registers itself.",
        make: instance::update,
        ..Route::V3
    },
];
