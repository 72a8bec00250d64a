//! What operators and members ask of configs as a whole.

use serde_json::Value;

use super::{
    CLIENT, DATA_ID, GROUP, TENANT, content::check_names, group_key, json_answer, json_of, key_of,
    rest, tenant,
};
use crate::api::{
    Answer, Args, Check, Class, Fault, Method, Param, Plan, Right, Route, clients, logs,
};

const BASE: Route = Route {
    class: Class::Admin,
    check: Check::None,
    ..Route::CONFIG_V1
};
const METRICS: &[Param] = &[
    Param::text("ip", "address of a client").required(),
    Param::text("dataId", "data id of a config"),
    Param::text("group", "group of a config"),
    TENANT,
];

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/cs/health",
        summary: "Shows that configs are served.",
        make: |_| Ok(Plan::Answer(Answer::text("UP"))),
        ..BASE
    },
    Route {
        methods: &[Method::Post],
        path: "/v1/cs/ops/localCache",
        instead: "POST ${contextPath:nacos}/v3/admin/cs/ops/localCache",
        right: Right::Admin,
        summary: "Does nothing: there is no cache beside the store.",
        make: |_| Ok(Plan::Answer(Answer::text("200"))),
        ..BASE
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/cs/ops/log",
        params: logs::PARAMS,
        right: Right::Admin,
        summary: logs::SUMMARY,
        make: |args| Ok(logs::set(args, Answer::text("200"))),
        ..BASE
    },
    Route {
        path: "/v1/cs/ops/derby",
        instead: "GET ${contextPath:nacos}/v3/admin/cs/ops/derby",
        params: &[Param::text("sql", "statement").required()],
        right: Right::Admin,
        summary: "Not supported: there is no database to ask.",
        make: no_database,
        ..BASE
    },
    Route {
        methods: &[Method::Post],
        path: "/v1/cs/ops/data/removal",
        instead: "POST ${contextPath:nacos}/v3/admin/cs/ops/derby/import",
        right: Right::Admin,
        summary: "Not supported: there is no database to fill.",
        make: no_database,
        ..BASE
    },
    Route {
        path: "/v1/cs/metrics/cluster",
        instead: "GET {contextPath:nacos}/v3/admin/cs/metrics/cluster",
        params: METRICS,
        check: Check::Config,
        summary: "Shows what gRPC clients of an address say that they hold of a config.",
        make: metrics,
        ..BASE
    },
    Route {
        path: "/v1/cs/metrics/current",
        instead: "GET {contextPath:nacos}/v3/admin/cs/metrics/ip",
        params: METRICS,
        check: Check::Config,
        summary: "Shows what gRPC clients of an address say that they hold of a config.",
        make: metrics,
        ..BASE
    },
    Route {
        path: "/v1/cs/communication/dataChange",
        class: Class::Inner,
        params: &[DATA_ID, GROUP, TENANT],
        summary: "Taken from members of 1.x and not needed: changes come through the log.",
        make: |_| Ok(Plan::Answer(json_answer("true"))),
        ..CLIENT
    },
];

/// In the words that the reference has for another storage.
fn no_database(_: &Args<'_>) -> Result<Plan, Fault> {
    let text = "The current storage mode is not Derby";
    Ok(Plan::Answer(
        rest(500, Some(text), &Value::Null).status(200),
    ))
}

fn metrics(args: &Args<'_>) -> Result<Plan, Fault> {
    check_names(args)?;
    let key = key_of(args);
    let key = group_key(&key, tenant(&key.namespace));
    Ok(clients::config_metrics(args, key, json_of))
}
