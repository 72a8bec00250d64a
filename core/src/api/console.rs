//! `/v1/console`: namespaces, what the server says of itself, and its health.

use alloc::{format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::{Args, ServerFacts},
    fault::Fault,
    plan::Plan,
    route::{Class, Method, Param, Right, Route},
};
use crate::{
    model::DEFAULT_NAMESPACE,
    node::{op::Op, reply::Refusal},
    view::{NamespaceItem, Reading},
};

/// Its tables of routes.
pub const TABLES: &[&[Route]] = &[NAMESPACES, SERVER];

const PATH: &str = "/v1/console/namespaces";
const DESC: Param = Param::text("namespaceDesc", "description");
/// What the reference shows as quota of every namespace, whatever is set.
const QUOTA: u32 = 200;

const NAMESPACES: &[Route] = &[
    Route {
        path: PATH,
        instead: "GET ${contextPath:nacos}/v3/console/core/namespace/list",
        right: Right::Open,
        summary: "Lists the namespaces, the default one first.",
        make: |args| {
            let all = namespaces_json(args.call().view, "", 2);
            Ok(Plan::Answer(Answer::rest(&format!(
                "{}",
                Value::Array(all)
            ))))
        },
        ..Route::CONSOLE_V1
    },
    Route {
        path: PATH,
        when: Some(("show", "all")),
        instead: "GET ${contextPath:nacos}/v3/console/core/namespace",
        params: &[Param::text("namespaceId", "id of the namespace").required()],
        summary: "Shows a namespace.",
        make: show,
        ..Route::CONSOLE_V1
    },
    Route {
        path: PATH,
        when: Some(("checkNamespaceIdExist", "true")),
        instead: "GET ${contextPath:nacos}/v3/console/core/namespace/exist",
        params: &[Param::text("customNamespaceId", "id of the namespace").required()],
        right: Right::Open,
        summary: "Says whether there is a namespace.",
        make: exists,
        ..Route::CONSOLE_V1
    },
    Route {
        methods: &[Method::Post],
        path: PATH,
        instead: "POST ${contextPath:nacos}/v3/console/core/namespace",
        params: &[
            Param::text("customNamespaceId", "its id; a random one if blank").required(),
            Param::text("namespaceName", "name that people see").required(),
            DESC,
        ],
        summary: "Creates a namespace.",
        make: create,
        ..Route::CONSOLE_V1
    },
    Route {
        methods: &[Method::Put],
        path: PATH,
        instead: "PUT ${contextPath:nacos}/v3/console/core/namespace",
        params: &[
            Param::text("namespace", "id of the namespace").required(),
            Param::text("namespaceShowName", "name that people see").required(),
            DESC,
        ],
        summary: "Changes the name and description of a namespace.",
        make: update,
        ..Route::CONSOLE_V1
    },
    Route {
        methods: &[Method::Delete],
        path: PATH,
        instead: "DELETE ${contextPath:nacos}/v3/console/core/namespace",
        params: &[Param::text("namespaceId", "id of the namespace").required()],
        summary: "Deletes a namespace, but not what is in it.",
        make: delete,
        ..Route::CONSOLE_V1
    },
];

const SERVER: &[Route] = &[
    Route {
        path: "/v1/console/server/state",
        instead: "GET ${contextPath:nacos}/v3/console/server/state",
        right: Right::Open,
        summary: "Shows settings of the server.",
        make: |args| {
            Ok(Plan::Answer(Answer::json_of(&state_json(
                args.call().server,
            ))))
        },
        ..Route::CONSOLE_V1
    },
    Route {
        path: "/v1/console/server/announcement",
        instead: "GET ${contextPath:nacos}/v3/console/server/announcement",
        params: &[Param::text("language", "language").default("zh-CN")],
        right: Right::Open,
        summary: "No announcement.",
        make: |_| Ok(Plan::Answer(Answer::rest("null"))),
        ..Route::CONSOLE_V1
    },
    Route {
        path: "/v1/console/server/guide",
        instead: "GET ${contextPath:nacos}/v3/console/server/guide",
        right: Right::Open,
        summary: "No guide.",
        make: |_| Ok(Plan::Answer(Answer::rest("null"))),
        ..Route::CONSOLE_V1
    },
    Route {
        path: "/v1/console/health/liveness",
        instead: "GET ${contextPath:nacos}/v3/console/health/liveness",
        right: Right::Open,
        class: Class::Console,
        summary: "Says that the server runs.",
        make: |_| Ok(Plan::Answer(Answer::text("OK"))),
        ..Route::CONSOLE_V1
    },
    Route {
        path: "/v1/console/health/readiness",
        instead: "GET ${contextPath:nacos}/v3/console/health/readiness",
        right: Right::Open,
        summary: "Says that the server serves: it listens to nobody before.",
        make: |_| Ok(Plan::Answer(Answer::text("OK"))),
        ..Route::CONSOLE_V1
    },
];

/// Whether an id means the default namespace.
pub(in crate::api) fn is_default(id: &str) -> bool {
    id.is_empty() || id == DEFAULT_NAMESPACE
}

/// The default namespace; its id is spelt differently by the generations.
#[must_use]
pub fn default_namespace_json(view: &dyn Reading, id: &str) -> Value {
    json!({
        "namespace": id,
        "namespaceShowName": "public",
        "namespaceDesc": "Default Namespace",
        "quota": QUOTA,
        "configCount": view.config_count(DEFAULT_NAMESPACE),
        "type": 0,
    })
}

/// Any other namespace; the generations have different numbers for its type.
#[must_use]
pub fn namespace_json(view: &dyn Reading, id: &str, item: &NamespaceItem, kind: u8) -> Value {
    json!({
        "namespace": id,
        "namespaceShowName": &*item.name,
        "namespaceDesc": &*item.desc,
        "quota": QUOTA,
        "configCount": view.config_count(id),
        "type": kind,
    })
}

/// All namespaces, the default one first. `default_id` and `kind` as in the functions above.
#[must_use]
pub fn namespaces_json(view: &dyn Reading, default_id: &str, kind: u8) -> Vec<Value> {
    core::iter::once(default_namespace_json(view, default_id))
        .chain(
            view.namespaces()
                .iter()
                .map(|(id, item)| namespace_json(view, id, item, kind)),
        )
        .collect()
}

/// A namespace by its id; none if it is unknown.
#[must_use]
pub fn one_namespace_json(
    view: &dyn Reading,
    id: &str,
    default_id: &str,
    kind: u8,
) -> Option<Value> {
    if is_default(id) {
        return Some(default_namespace_json(view, default_id));
    }
    Some(namespace_json(view, id, &view.namespace(id)?, kind))
}

fn show(args: &Args<'_>) -> Result<Plan, Fault> {
    let id = args.text("namespaceId");
    match one_namespace_json(args.call().view, id, "", 2) {
        Some(shown) => Ok(Plan::Answer(Answer::json_of(&shown))),
        None => Err(Fault::business(
            500,
            format!("namespaceId [ {id} ] not exist"),
        )),
    }
}

fn yes_or_no(yes: bool) -> Answer {
    Answer::json(if yes { "true" } else { "false" })
}

fn exists(args: &Args<'_>) -> Result<Plan, Fault> {
    let id = args.text("customNamespaceId");
    // The default one cannot be made, so it exists; no id is none.
    let yes = id == DEFAULT_NAMESPACE || args.call().view.namespace(id).is_some();
    Ok(Plan::Answer(yes_or_no(yes)))
}

/// Whether a name has none of the characters that names of namespaces may not have.
#[must_use]
pub fn is_namespace_name(name: &str) -> bool {
    !name.contains(['@', '#', '$', '%', '^', '&', '*'])
}

/// An operation whose refusal is the text `false`, but for those of the server's state.
fn submit(args: &Args<'_>, op: Op) -> Plan {
    args.submit_or(
        op,
        |refusal| match refusal {
            Refusal::NamespaceExists | Refusal::Illegal(_) => {
                Fault::Exactly(alloc::boxed::Box::new(yes_or_no(false)))
            }
            refusal => refusal.into(),
        },
        |_| Ok(yes_or_no(true)),
    )
}

fn create(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::CreateNamespace {
        id: args.shared("customNamespaceId"),
        name: args.shared("namespaceName"),
        desc: args.shared("namespaceDesc"),
    };
    Ok(submit(args, op))
}

fn update(args: &Args<'_>) -> Result<Plan, Fault> {
    if !is_namespace_name(args.text("namespaceShowName")) {
        return Ok(Plan::Answer(yes_or_no(false)));
    }
    let op = Op::UpdateNamespace {
        id: args.shared("namespace"),
        name: args.shared("namespaceShowName"),
        desc: args.shared("namespaceDesc"),
    };
    Ok(submit(args, op))
}

fn delete(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::DeleteNamespace {
        id: args.shared("namespaceId"),
    };
    Ok(submit(args, op))
}

/// Settings of the server as all generations show them: texts.
#[must_use]
pub fn state_json(server: &ServerFacts) -> Value {
    let text = |value: &dyn core::fmt::Display| Value::from(format!("{value}"));
    let fixed: &[(&str, &str)] = &[
        ("auth_system_type", "nacos"),
        ("auth_enabled", "false"),
        ("auth_admin_request", "false"),
        ("console_ui_enabled", "true"),
        ("login_page_enabled", "false"),
        ("isHealthCheck", "true"),
        ("isManageCapacity", "true"),
        ("maxHealthCheckFailCount", "12"),
        ("defaultMaxAggrCount", "10000"),
        ("defaultMaxAggrSize", "1024"),
        ("notifyConnectTimeout", "100"),
        ("notifySocketTimeout", "200"),
        ("datasource_platform", ""),
        ("plugin_datasource_log_enabled", "false"),
    ];
    let mut state: serde_json::Map<String, Value> = fixed
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    let mode = if server.standalone {
        "standalone"
    } else {
        "cluster"
    };
    for (name, value) in [
        ("defaultMaxSize", text(&server.max_size)),
        ("maxContent", text(&server.max_content)),
        ("defaultClusterQuota", text(&server.quotas[0])),
        ("defaultGroupQuota", text(&server.quotas[1])),
        ("isCapacityLimitCheck", text(&server.capacity_check)),
        ("config_retention_days", text(&server.retention_days)),
        ("startup_mode", mode.into()),
        ("version", text(&server.version)),
        ("server_port", text(&server.port)),
        ("function_mode", Value::Null),
    ] {
        state.insert(name.into(), value);
    }
    Value::Object(state)
}
