//! Routes of `/v3/admin/cs`.

use crate::api::{
    Answer, Area, Check, Kind, Method, Param, Right, Route, logs,
    v1::config::transfer::POLICY,
    wrapped::{PAGE, SIZE, config, history},
};

/// Data id, as forms ask for it.
const DATA_ID: Param = Param::text("dataId", "data id of the config")
    .required()
    .asked();
/// Group, as forms ask for it.
const GROUP: Param = Param::text("groupName", "group of the config")
    .required()
    .asked();
/// Namespace.
pub(super) const NAMESPACE: Param =
    Param::text("namespaceId", "namespace; the default one if blank");
/// Tag.
const TAG: Param = Param::text("tag", "gray version of this tag");
/// What names a config.
pub(super) const KEY: &[Param] = &[GROUP, DATA_ID, NAMESPACE];

/// What is published.
const PUBLISH: &[Param] = &[
    GROUP,
    DATA_ID,
    Param::text("content", "content").required().asked(),
    NAMESPACE,
    TAG,
    Param::text("appName", "application"),
    Param::text("srcUser", "who publishes, for the history"),
    Param::text("configTags", "tags, comma-separated"),
    Param::text("desc", "description"),
    Param::text("use", "kept and shown only"),
    Param::text("effect", "kept and shown only"),
    Param::text("type", "what the content is"),
    Param::text("schema", "kept and shown only"),
    Param::text(
        "encryptedDataKey",
        "key with which the client encrypted the content",
    ),
];
/// What configs are listed by.
const SEARCH: &[Param] = &[
    PAGE,
    SIZE,
    Param::text("dataId", "data id; * stands for anything"),
    Param::text("groupName", "group; * stands for anything"),
    NAMESPACE,
    Param::text("appName", "application"),
    Param::text("configTags", "tags of which one must be there"),
    Param::text("type", "types, comma-separated"),
    Param::text("configDetail", "text in the content; * stands for anything"),
    Param::text("search", "blur or accurate").default("blur"),
];

const IDS: Param = Param::of(
    "ids",
    Kind::List,
    "ids of configs; all of the names if blank",
);
/// What is exported.
const EXPORT: &[Param] = &[
    Param::text("dataId", "data id"),
    Param::text("groupName", "group"),
    NAMESPACE,
    Param::text("appName", "application"),
    IDS,
];

const READ: Route = Route {
    check: Check::Config,
    right: Right::ReadConfig,
    ..Route::V3
};
const WRITE: Route = Route {
    right: Right::WriteConfig,
    ..READ
};
const OPS: Route = Route {
    right: Right::Admin,
    ..Route::V3
};

/// Contents, and who listens to them.
pub(super) const CONFIGS: &[Route] = &[
    Route {
        area: Area::ClientV3,
        path: "/v3/client/cs/config",
        params: KEY,
        summary: "Reads the content of a config.",
        make: config::content_client,
        ..READ
    },
    Route {
        path: "/v3/admin/cs/config",
        params: KEY,
        summary: "Shows a config with its content.",
        make: config::detail_admin,
        ..READ
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/cs/config",
        console: &["/v3/console/cs/config"],
        params: PUBLISH,
        summary: "Publishes a config, or a gray version of it (header betaIps, or tag).",
        make: config::publish,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/cs/config",
        console: &["/v3/console/cs/config"],
        params: &[GROUP, DATA_ID, NAMESPACE, TAG],
        summary: "Removes a config, or the gray version of a tag.",
        make: config::remove,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/cs/config/batch",
        console: &["/v3/console/cs/config/batchDelete"],
        params: &[Param::of("ids", Kind::List, "ids of configs, comma-separated").required()],
        summary: "Removes configs by their ids.",
        make: config::remove_ids,
        ..WRITE
    },
    Route {
        path: "/v3/admin/cs/config/list",
        console: &[
            "/v3/console/cs/config/list",
            "/v3/console/cs/config/searchDetail",
        ],
        params: SEARCH,
        check: Check::None,
        summary: "Lists configs.",
        make: config::list,
        ..READ
    },
    Route {
        path: "/v3/admin/cs/config/beta",
        console: &["/v3/console/cs/config/beta"],
        params: KEY,
        summary: "Shows the gray version that is for some addresses.",
        make: config::beta,
        ..READ
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/cs/config/beta",
        console: &["/v3/console/cs/config/beta"],
        params: KEY,
        summary: "Removes the gray version that is for some addresses.",
        make: config::stop_beta,
        ..WRITE
    },
    Route {
        path: "/v3/admin/cs/config/listener",
        params: &[
            GROUP,
            DATA_ID,
            NAMESPACE,
            Param::of("aggregation", Kind::Bool, "ask all members").default("true"),
        ],
        summary: "Lists who listens to a config.",
        make: config::listeners,
        ..READ
    },
    Route {
        path: "/v3/admin/cs/listener",
        params: &[
            Param::text("ip", "address of the listener").required(),
            Param::of("all", Kind::Bool, "in all namespaces").default("false"),
            NAMESPACE,
            Param::of("aggregation", Kind::Bool, "ask all members").default("true"),
        ],
        summary: "Lists what an address listens to.",
        make: config::listened,
        ..READ
    },
];

/// Configs taken to another place.
pub(super) const TRANSFERS: &[Route] = &[
    Route {
        path: "/v3/admin/cs/config/export",
        console: &["/v3/console/cs/config/export2"],
        params: EXPORT,
        check: Check::None,
        summary: "Exports configs as an archive with all that is known of them.",
        make: config::export,
        ..READ
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/cs/config/import",
        params: &[
            NAMESPACE,
            POLICY,
            Param::text("src_user", "who publishes, for the history"),
        ],
        summary: "Imports the configs of an archive (form part `file`).",
        make: config::import_admin,
        ..WRITE
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/cs/config/clone",
        params: &[
            Param::text("namespaceId", "namespace to clone into").required(),
            POLICY,
            Param::text("src_user", "who publishes, for the history"),
        ],
        summary: "Clones configs (body: list of configId, targetDataId, targetGroupName) into a namespace.",
        make: config::clone_admin,
        ..WRITE
    },
];

/// The history.
pub(super) const HISTORY: &[Route] = &[
    Route {
        path: "/v3/admin/cs/history/list",
        console: &["/v3/console/cs/history/list"],
        params: &[GROUP, DATA_ID, NAMESPACE, PAGE, SIZE],
        summary: "Lists the history of a config, the last first.",
        make: history::list_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/cs/history",
        console: &["/v3/console/cs/history"],
        params: &[
            GROUP,
            DATA_ID,
            NAMESPACE,
            Param::of("nid", Kind::Long, "number of the row").required(),
        ],
        summary: "Shows a row of the history with its content.",
        make: history::detail_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/cs/history/previous",
        console: &["/v3/console/cs/history/previous"],
        params: &[
            GROUP,
            DATA_ID,
            NAMESPACE,
            Param::of("id", Kind::Long, "id of the config").required(),
        ],
        summary: "Shows what stood before the last change of a config.",
        make: history::previous_v3,
        ..READ
    },
    Route {
        path: "/v3/admin/cs/history/configs",
        console: &["/v3/console/cs/history/configs"],
        params: &[NAMESPACE.required()],
        summary: "Lists the configs of a namespace.",
        make: config::configs_v3,
        ..READ
    },
];

const WHOSE: [Param; 2] = [
    Param::text("groupName", "group"),
    Param::text("namespaceId", "namespace; wins over the group"),
];
const METRICS: &[Param] = &[
    Param::text("ip", "address of the client").required(),
    Param::text("dataId", "data id"),
    Param::text("groupName", "group"),
    NAMESPACE,
];

/// Quotas and operations.
pub(super) const OPERATIONS: &[Route] = &[
    Route {
        path: "/v3/admin/cs/capacity",
        params: &WHOSE,
        summary: "Shows quotas and usage of a group or namespace.",
        make: config::capacity,
        ..OPS
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/cs/capacity",
        params: &[
            WHOSE[0],
            WHOSE[1],
            Param::of("quota", Kind::Int, "configs; 0 for the default"),
            Param::of(
                "maxSize",
                Kind::Int,
                "bytes of one config; 0 for the default",
            ),
            Param::of("maxAggrCount", Kind::Int, "kept and shown only"),
            Param::of("maxAggrSize", Kind::Int, "kept and shown only"),
        ],
        summary: "Sets quotas of a group or namespace.",
        make: config::set_capacity,
        ..OPS
    },
    Route {
        path: "/v3/admin/cs/metrics/cluster",
        also: &["/v3/admin/cs/metrics/ip"],
        params: METRICS,
        summary: "Shows what gRPC clients of an address say that they hold of a config.",
        make: config::metrics,
        ..OPS
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/cs/ops/localCache",
        summary: "Does nothing: reads are always answered from what is stored.",
        make: config::local_cache,
        ..OPS
    },
    Route {
        path: "/v3/admin/cs/ops/derby",
        params: &[Param::text("sql", "statement").required()],
        summary: "Not supported: there is no such database.",
        make: config::derby,
        ..OPS
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/cs/ops/log",
        params: logs::PARAMS,
        summary: logs::SUMMARY,
        make: |args| Ok(logs::set(args, Answer::wrapped("\"200\""))),
        ..OPS
    },
];
