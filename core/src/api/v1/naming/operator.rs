//! `/v1/ns/operator` (also `/v1/ns/ops`): switches, counters, who is responsible.

use alloc::format;

use serde_json::{Map, Value, json};

use super::ANY;
use crate::{
    api::{Answer, Args, Check, Class, Fault, Kind, Method, Param, Plan, Right, Route, logs},
    naming::{CheckParams, Switches},
    node::{
        op::{Op, Question},
        reply::{PushState, Reply, Totals},
    },
};

const BASE: Route = Route {
    check: Check::None,
    ..Route::NAMING_V1
};

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/ns/operator/switches",
        also: &["/v1/ns/ops/switches"],
        instead: "GET ${contextPath:nacos}/v3/admin/ns/ops/switches",
        summary: "Shows the switches.",
        make: |args| {
            Ok(Plan::Answer(Answer::json_of(&switches_json(
                &args.call().view.switches(),
            ))))
        },
        ..BASE
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/ns/operator/switches",
        also: &["/v1/ns/ops/switches"],
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/ops/switches",
        params: &[
            Param::of("debug", Kind::Bool, "set it on this member alone"),
            Param::text("entry", "name of the switch").required(),
            Param::text("value", "its value").required(),
        ],
        right: Right::Admin,
        summary: "Sets a switch; an unknown one does nothing.",
        make: set_switch,
        ..BASE
    },
    Route {
        path: "/v1/ns/operator/metrics",
        also: &["/v1/ns/ops/metrics"],
        class: Class::Client,
        params: &[
            Param::of("onlyStatus", Kind::Bool, "nothing but the status")
                .asked()
                .default("true"),
        ],
        summary: "Shows the status and, if asked, what this member holds. Clients probe the server with it.",
        make: metrics,
        ..BASE
    },
    Route {
        methods: ANY,
        path: "/v1/ns/operator/push/state",
        also: &["/v1/ns/ops/push/state"],
        params: &[
            Param::of("detail", Kind::Bool, "costs too").asked(),
            Param::of("reset", Kind::Bool, "count from 0 again").asked(),
        ],
        summary: "Shows how pushes went.",
        make: push_state,
        ..BASE
    },
    Route {
        path: "/v1/ns/operator/distro/client",
        also: &["/v1/ns/ops/distro/client"],
        instead: "GET ${contextPath:nacos}/v3/admin/ns/client/distro",
        params: &[
            Param::text("ip", "address of the client").required(),
            Param::text("port", "port of the client").required(),
        ],
        check: Check::Naming,
        summary: "Shows which member is responsible for a client.",
        make: responsible,
        ..BASE
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/ns/operator/log",
        also: &["/v1/ns/ops/log"],
        params: logs::PARAMS,
        right: Right::Admin,
        summary: logs::SUMMARY,
        make: |args| Ok(logs::set(args, Answer::text("ok"))),
        ..BASE
    },
];

/// The switches as the reference shows them.
#[must_use]
pub fn switches_json(switches: &Switches) -> Value {
    let params = |p: &CheckParams| json!({ "max": p.max, "min": p.min, "factor": crate::api::service_json::float_json(p.factor) });
    let s = switches;
    let fields = [
        ("masters", json!(s.masters)),
        ("adWeightMap", json!({})),
        ("defaultPushCacheMillis", json!(s.default_push_cache_millis)),
        ("clientBeatInterval", json!(s.client_beat_interval)),
        ("defaultCacheMillis", json!(s.default_cache_millis)),
        (
            "distroThreshold",
            crate::api::service_json::float_json(s.distro_threshold),
        ),
        ("healthCheckEnabled", json!(s.health_check_enabled)),
        (
            "autoChangeHealthCheckEnabled",
            json!(s.auto_change_health_check_enabled),
        ),
        ("distroEnabled", json!(s.distro_enabled)),
        ("enableStandalone", json!(s.enable_standalone)),
        ("pushEnabled", json!(s.push_enabled)),
        ("checkTimes", json!(s.check_times)),
        ("httpHealthParams", params(&s.http_health_params)),
        ("tcpHealthParams", params(&s.tcp_health_params)),
        ("mysqlHealthParams", params(&s.mysql_health_params)),
        ("incrementalList", json!([])),
        (
            "serverStatusSynchronizationPeriodMillis",
            json!(s.server_status_synchronization_period_millis),
        ),
        (
            "serviceStatusSynchronizationPeriodMillis",
            json!(s.service_status_synchronization_period_millis),
        ),
        ("disableAddIP", json!(s.disable_add_ip)),
        ("sendBeatOnly", json!(s.send_beat_only)),
        ("lightBeatEnabled", json!(s.light_beat_enabled)),
        ("limitedUrlMap", json!(s.limited_url_map)),
        (
            "distroServerExpiredMillis",
            json!(s.distro_server_expired_millis),
        ),
        ("pushGoVersion", json!(s.push_version_go)),
        ("pushJavaVersion", json!(s.push_version_java)),
        ("pushPythonVersion", json!(s.push_version_python)),
        ("pushCVersion", json!(s.push_version_c)),
        ("pushCSharpVersion", json!(s.push_version_csharp)),
        ("enableAuthentication", json!(false)),
        ("overriddenServerStatus", json!(s.overridden_server_status)),
        (
            "defaultInstanceEphemeral",
            json!(s.default_instance_ephemeral),
        ),
        ("healthCheckWhiteList", json!(s.health_check_white_list)),
        ("name", json!("00-00---000-NACOS_SWITCH_DOMAIN-000---00-00")),
        ("checksum", Value::Null),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect::<Map<_, _>>()
        .into()
}

pub(in crate::api) fn set_switch(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::SetSwitch {
        entry: args.shared("entry"),
        value: args.shared("value"),
    };
    Ok(args.submit(op, |_| Ok(Answer::text("ok"))))
}

fn metrics(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let switches = call.view.switches();
    let status = switches.status();
    if args.strict("onlyStatus") {
        return Ok(Plan::Answer(Answer::json(format!(
            "{{\"status\":{}}}",
            crate::api::json_string(status)
        ))));
    }
    let facts = (
        alloc::string::String::from(status),
        call.server.cpu,
        call.server.load,
        call.server.mem,
    );
    Ok(args.submit(Op::Ask(Question::Totals), move |reply| {
        let Reply::Totals(totals) = reply else {
            return Ok(Answer::text("ok"));
        };
        let (status, cpu, load, mem) = facts;
        let mut shown = totals_json(&status, &totals);
        for (name, value) in [("cpu", cpu), ("load", load), ("mem", mem)] {
            shown[name] = crate::api::service_json::float_json(value);
        }
        shown["responsibleInstanceCount"] = json!(totals.instances);
        Ok(Answer::json_of(&shown))
    }))
}

/// Counters of a member, as metrics of all generations have them.
#[must_use]
pub fn totals_json(status: &str, totals: &Totals) -> Value {
    json!({
        "status": status,
        "serviceCount": totals.services,
        "instanceCount": totals.instances,
        "subscribeCount": totals.subscriptions,
        "clientCount": totals.clients,
        "connectionBasedClientCount": totals.connections,
        "ephemeralIpPortClientCount": totals.ephemeral_addresses,
        "persistentIpPortClientCount": totals.persistent_addresses,
        "responsibleClientCount": totals.clients,
    })
}

fn push_state(args: &Args<'_>) -> Result<Plan, Fault> {
    let (detail, reset) = (args.loose("detail"), args.loose("reset"));
    Ok(
        args.submit(Op::Ask(Question::PushState { reset }), move |reply| {
            let Reply::PushState(state) = reply else {
                return Ok(Answer::text("ok"));
            };
            Ok(Answer::json_of(&push_state_json(&state, detail, reset)))
        }),
    )
}

fn push_state_json(state: &PushState, detail: bool, reset: bool) -> Value {
    let succeeded = state.total.saturating_sub(state.failed);
    let ratio = if state.total == 0 {
        0.0
    } else {
        succeeded as f64 / state.total as f64
    };
    let mut shown =
        json!({ "succeed": succeeded, "total": state.total, "ratio": ratio, "reset": reset });
    if detail {
        // No acknowledgement yet means no cost, which the reference says as -1.
        let average = state
            .cost_sum
            .checked_div(state.acknowledged)
            .map_or(json!(-1), Value::from);
        let most = if state.acknowledged == 0 {
            json!(-1)
        } else {
            json!(state.cost_max)
        };
        shown["detail"] = json!({ "avgPushCost": average, "maxPushCost": most });
    }
    shown
}

pub(in crate::api) fn responsible(args: &Args<'_>) -> Result<Plan, Fault> {
    // A cluster of one is responsible for everybody.
    let server = args.call().server;
    Ok(Plan::Answer(Answer::json(format!(
        r#"{{"responsibleServer":"{}:{}"}}"#,
        server.ip, server.port
    ))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        Compat, Routes,
        tests::{View, ask, plan, told},
    };

    #[test]
    fn switches_are_shown_by_the_recorded_names() {
        let shown = ask(
            &Routes::all(),
            &View::default(),
            Compat::All,
            Method::Get,
            "/v1/ns/operator/switches",
        )
        .2;
        let recorded = r#"{"masters":null,"adWeightMap":{},"defaultPushCacheMillis":10000,"clientBeatInterval":5000,"defaultCacheMillis":3000,"distroThreshold":0.7,"healthCheckEnabled":true,"autoChangeHealthCheckEnabled":true,"distroEnabled":true,"enableStandalone":true,"pushEnabled":true,"checkTimes":3,"httpHealthParams":{"max":5000,"min":500,"factor":0.85},"tcpHealthParams":{"max":5000,"min":1000,"factor":0.75},"mysqlHealthParams":{"max":3000,"min":2000,"factor":0.65},"incrementalList":[],"serverStatusSynchronizationPeriodMillis":2000,"serviceStatusSynchronizationPeriodMillis":5000,"disableAddIP":false,"sendBeatOnly":false,"lightBeatEnabled":true,"limitedUrlMap":{},"distroServerExpiredMillis":10000,"pushGoVersion":"0.1.0","pushJavaVersion":"0.1.0","pushPythonVersion":"0.4.3","pushCVersion":"1.0.12","pushCSharpVersion":"0.9.0","enableAuthentication":false,"overriddenServerStatus":null,"defaultInstanceEphemeral":true,"healthCheckWhiteList":[],"name":"00-00---000-NACOS_SWITCH_DOMAIN-000---00-00","checksum":null}"#;
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(recorded));
    }

    #[test]
    fn metrics_are_a_status_unless_more_is_asked_for() {
        let (routes, view) = (Routes::all(), View::default());
        for uri in [
            "/v1/ns/operator/metrics",
            "/v1/ns/ops/metrics?onlyStatus=true",
        ] {
            assert_eq!(
                ask(&routes, &view, Compat::V3, Method::Get, uri).2,
                r#"{"status":"UP"}"#
            );
        }
        let uri = "/v1/ns/operator/metrics?onlyStatus=false";
        let Plan::Submit { then, .. } = plan(&routes, &view, Compat::All, Method::Get, uri) else {
            panic!("asked for")
        };
        let totals = Totals {
            services: 3,
            ..Totals::default()
        };
        let Plan::Answer(answer) = then(Ok(Reply::Totals(totals)), &view) else {
            panic!("answered")
        };
        let shown: Value = serde_json::from_str(&told(&answer).2).unwrap();
        assert_eq!(
            (&shown["serviceCount"], &shown["cpu"]),
            (&json!(3), &json!(0.0))
        );
    }

    #[test]
    fn pushes_without_acknowledgement_have_no_cost() {
        let state = PushState {
            total: 4,
            failed: 1,
            ..PushState::default()
        };
        let shown = push_state_json(&state, true, false);
        assert_eq!(
            shown,
            json!({"succeed":3,"total":4,"ratio":0.75,"reset":false,"detail":{"avgPushCost":-1,"maxPushCost":-1}})
        );
    }

    #[test]
    fn this_member_is_responsible() {
        let uri = "/v1/ns/operator/distro/client?ip=127.0.0.1&port=80";
        let shown = ask(
            &Routes::all(),
            &View::default(),
            Compat::All,
            Method::Get,
            uri,
        )
        .2;
        assert_eq!(shown, r#"{"responsibleServer":"127.0.0.1:8848"}"#);
    }
}
