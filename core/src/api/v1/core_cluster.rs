//! `/v1/core` (the members of the cluster) and the page of the address server.

use alloc::{collections::BTreeMap, format, string::String};

use serde_json::{Value, json};

use crate::api::{
    Answer, Args, Check, Class, Fault, Kind, Method, Param, Plan, Right, Route, ServerFacts, logs,
};

const BASE: Route = Route {
    class: Class::Admin,
    check: Check::None,
    ..Route::CONSOLE_V1
};

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/core/cluster/self",
        instead: "GET {contextPath:nacos}/v3/admin/core/cluster/node/self",
        summary: "Shows this member.",
        make: |args| Ok(rest(&member_json(args.call().server, args.call().now.wall))),
        ..BASE
    },
    Route {
        path: "/v1/core/cluster/nodes",
        class: Class::Console,
        instead: "GET ${contextPath:nacos}/v3/admin/core/cluster/node/list",
        params: &[
            Param::text("keyword", "what the address begins with"),
            Param::text("withInstances", "not looked at"),
            Param::of("pageNo", Kind::Int, "not looked at"),
            Param::of("pageSize", Kind::Int, "not looked at"),
        ],
        summary: "Lists the members.",
        make: nodes,
        ..BASE
    },
    Route {
        path: "/v1/core/cluster/simple/nodes",
        instead: "GET ${contextPath:nacos}/v3/admin/core/cluster/node/list",
        summary: "Lists the addresses of the members.",
        make: |args| Ok(rest(&json!([address(args.call().server)]))),
        ..BASE
    },
    Route {
        path: "/v1/core/cluster/health",
        instead: "GET {contextPath:nacos}/v3/admin/core/cluster/node/self/health",
        summary: "Shows the state of this member.",
        make: |_| Ok(rest(&"UP".into())),
        ..BASE
    },
    Route {
        methods: &[Method::Post],
        path: "/v1/core/cluster/server/leave",
        right: Right::Admin,
        summary: "Not allowed, as in the reference.",
        make: |_| {
            Ok(Plan::Answer(Answer::json(
                r#"{"code":405,"message":"not allowed","data":null}"#,
            )))
        },
        ..BASE
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/core/ops/log",
        params: logs::PARAMS,
        right: Right::Admin,
        summary: logs::SUMMARY,
        make: |args| Ok(logs::set(args, Answer::text("200"))),
        ..BASE
    },
    Route {
        path: "/v1/core/ops/idInfo",
        right: Right::Admin,
        summary: "Empty: ids are indexes of the log.",
        make: |_| Ok(rest(&json!({}))),
        ..BASE
    },
    Route {
        path: "/serverlist",
        class: Class::Client,
        summary: "The page of an address server: one `ip:port` a line. Clients with an endpoint read it.",
        make: |args| {
            Ok(Plan::Answer(Answer::text(format!(
                "{}\n",
                address(args.call().server)
            ))))
        },
        ..BASE
    },
];

fn rest(data: &Value) -> Plan {
    Plan::Answer(Answer::rest(&format!("{data}")))
}

fn address(server: &ServerFacts) -> String {
    format!("{}:{}", server.ip, server.port)
}

/// A member as all generations show it; milliseconds since 1970 for when it was last heard of.
#[must_use]
pub fn member_json(server: &ServerFacts, wall: u64) -> Value {
    let raft = server.port.saturating_sub(1_000);
    let groups: BTreeMap<&str, Value> = [
        "naming_instance_metadata",
        "naming_persistent_service_v2",
        "naming_service_metadata",
    ]
    .into_iter()
    .map(|group| {
        let at = format!("{}:{raft}", server.ip);
        (
            group,
            json!({ "leader": &*at, "raftGroupMember": [&*at], "term": 1 }),
        )
    })
    .collect();
    json!({
        "ip": &*server.ip,
        "port": server.port,
        "state": "UP",
        "extendInfo": {
            "lastRefreshTime": wall,
            "raftMetaData": { "metaDataMap": groups },
            "raftPort": format!("{raft}"),
            "readyToUpgrade": true,
            "supportGrayModel": true,
            "version": &*server.version,
        },
        "address": address(server),
        "failAccessCnt": 0,
        "abilities": {
            "remoteAbility": { "supportRemoteConnection": true, "grpcReportEnabled": true },
            "configAbility": { "supportRemoteMetrics": false },
            "namingAbility": { "supportJraft": true },
        },
        "grpcReportEnabled": true,
    })
}

fn nodes(args: &Args<'_>) -> Result<Plan, Fault> {
    let server = args.call().server;
    let found = address(server).starts_with(args.text("keyword"));
    let members = if found {
        json!([member_json(server, args.call().now.wall)])
    } else {
        json!([])
    };
    Ok(rest(&members))
}
