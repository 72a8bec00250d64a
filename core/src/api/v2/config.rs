//! Routes of `/v2/cs`.

use crate::api::{
    Check, Class, Kind, Method, Param, Right, Route,
    wrapped::{config, history},
};

const DATA_ID: Param = Param::text("dataId", "data id of the config").required();
const GROUP: Param = Param::text("group", "group of the config").required();
const NAMESPACE: Param = Param::text("namespaceId", "namespace; the default one if blank");
const TAG: Param = Param::text("tag", "gray version of this tag");

const READ: Route = Route {
    check: Check::Config,
    right: Right::ReadConfig,
    ..Route::V2
};
const WRITE: Route = Route {
    right: Right::WriteConfig,
    ..READ
};

/// Its routes.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/v2/cs/config",
        instead: "GET ${contextPath:nacos}/v3/admin/cs/config",
        params: &[DATA_ID, GROUP, NAMESPACE, TAG],
        summary: "Reads the content of a config.",
        make: config::content_v2,
        ..READ
    },
    Route {
        methods: &[Method::Post],
        path: "/v2/cs/config",
        instead: "POST ${contextPath:nacos}/v3/admin/cs/config",
        params: &[
            DATA_ID.asked(),
            GROUP.asked(),
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
        ],
        summary: "Publishes a config, or a gray version of it (header betaIps, or tag).",
        make: config::publish,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v2/cs/config",
        instead: "DELETE ${contextPath:nacos}/v3/admin/cs/config",
        params: &[DATA_ID, GROUP, NAMESPACE, TAG],
        summary: "Removes a config, or the gray version of a tag.",
        make: config::remove,
        ..WRITE
    },
    Route {
        path: "/v2/cs/config/searchDetail",
        class: Class::Console,
        instead: "GET ${contextPath:nacos}/v3/console/cs/config/searchDetail",
        params: &[
            DATA_ID,
            GROUP,
            Param::text(
                "config_detail",
                "text in the content; * stands for anything",
            )
            .required(),
            Param::text("search", "blur or accurate").default("blur"),
            Param::of("pageNo", Kind::Int, "number of the page, from 1").required(),
            Param::of("pageSize", Kind::Int, "configs of a page, at most 1000").required(),
            Param::text("tenant", "namespace; the default one if blank"),
            Param::text("appName", "application"),
            Param::text("config_tags", "tags of which one must be there"),
        ],
        check: Check::ConfigSearch,
        summary: "Searches configs by their contents.",
        make: config::search_v2,
        ..READ
    },
    Route {
        path: "/v2/cs/history/list",
        instead: "GET ${contextPath:nacos}/v3/admin/cs/history/list",
        params: &[
            DATA_ID,
            GROUP,
            NAMESPACE,
            Param::of("pageNo", Kind::Int, "number of the page, from 1").default("1"),
            Param::of("pageSize", Kind::Int, "rows of a page, at most 500").default("100"),
        ],
        summary: "Lists the history of a config, the last first.",
        make: history::list_v2,
        ..READ
    },
    Route {
        path: "/v2/cs/history",
        instead: "GET ${contextPath:nacos}/v3/admin/cs/history",
        params: &[
            DATA_ID,
            GROUP,
            NAMESPACE,
            Param::of("nid", Kind::Long, "number of the row").required(),
        ],
        summary: "Shows a row of the history with its content.",
        make: history::detail_v2,
        ..READ
    },
    Route {
        path: "/v2/cs/history/detail",
        instead: "GET ${contextPath:nacos}/v3/admin/cs/history",
        params: &[
            DATA_ID,
            GROUP,
            NAMESPACE,
            Param::of("nid", Kind::Long, "number of the row").required(),
        ],
        summary: "Shows what a change replaced, and by what.",
        make: history::change_v2,
        ..READ
    },
    Route {
        path: "/v2/cs/history/previous",
        instead: "GET ${contextPath:nacos}/v3/admin/cs/history/previous",
        params: &[
            DATA_ID,
            GROUP,
            NAMESPACE,
            Param::of("id", Kind::Long, "id of the config").required(),
        ],
        summary: "Shows what stood before the last change of a config.",
        make: history::previous_v2,
        ..READ
    },
    Route {
        path: "/v2/cs/history/configs",
        instead: "GET ${contextPath:nacos}/v3/admin/cs/history/configs",
        params: &[NAMESPACE.required()],
        summary: "Lists the configs of a namespace.",
        make: config::configs_v2,
        ..READ
    },
];
