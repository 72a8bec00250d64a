//! The members of the cluster, the load of each, and what operators do with them, in the `Result` wrapper.
//!
//! A cluster of one is all there is: what would change the list of members is refused, and connections are in balance. A
//! client that is asked to connect again may be sent to any address.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::{data, not_supported, ok};
use crate::{
    api::{
        Answer, Args, Call, Fault, Kind, Param, Plan, clients, logs, v1::core_cluster::member_json,
    },
    node::{
        op::{Op, Question},
        reply::{Connection, Reply},
    },
};

/// Parameters of [`list`].
pub(in crate::api) const LIST: &[Param] = &[
    Param::text("address", "beginning of the address"),
    Param::text("state", "state of the member"),
];
/// Parameters of a change of how members find each other.
pub(in crate::api) const LOOKUP: &[Param] = &[Param::text("type", "file or address-server")
    .required()
    .asked()];
/// Parameters of [`reload_v3`].
pub(in crate::api) const RELOAD: &[Param] = &[
    Param::of("count", Kind::Int, "connections to keep").required(),
    Param::text("redirectAddress", "where the others go"),
];
/// Parameters of [`reload_client_v3`].
pub(in crate::api) const RELOAD_CLIENT: &[Param] = &[
    Param::text("connectionId", "connection").required(),
    Param::text("redirectAddress", "where it goes"),
];
/// Parameters of [`smart_reload_v3`].
pub(in crate::api) const SMART_RELOAD: &[Param] =
    &[Param::text("loaderFactor", "share by which members may differ").default("0.1")];

fn member_of(call: &Call<'_>) -> Value {
    member_json(call.server, call.now.wall)
}

/// This member.
pub(in crate::api) fn own(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(data(&member_of(args.call()))))
}

/// State of this member.
pub(in crate::api) fn health(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped("\"UP\"")))
}

/// Members by the beginning of their address and their state.
pub(in crate::api) fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    const STATES: [&str; 5] = ["STARTING", "UP", "SUSPICIOUS", "DOWN", "ISOLATION"];
    let (address, state) = (args.text("address"), args.text("state"));
    let known = STATES.iter().any(|s| s.eq_ignore_ascii_case(state));
    if !state.is_empty() && !known {
        return Err(Fault::detail(
            400,
            23_000,
            format!("Illegal state: {state}"),
        ));
    }
    let server = args.call().server;
    let fits = format!("{}:{}", server.ip, server.port).starts_with(address)
        && (state.is_empty() || state.eq_ignore_ascii_case("UP"));
    let members: Vec<Value> = fits.then(|| member_of(args.call())).into_iter().collect();
    Ok(Plan::Answer(data(&members)))
}

/// The console's list, by a text in the address.
pub(in crate::api) fn list_console(args: &Args<'_>) -> Result<Plan, Fault> {
    let server = args.call().server;
    let fits = format!("{}:{}", server.ip, server.port).contains(args.text("keyword"));
    let members: Vec<Value> = fits.then(|| member_of(args.call())).into_iter().collect();
    Ok(Plan::Answer(data(&members)))
}

/// The list of members cannot be changed here.
pub(in crate::api) fn change_members(_: &Args<'_>) -> Result<Plan, Fault> {
    Err(not_supported(
        "the members of the cluster are settings of the server",
    ))
}

/// v2's removal of members, which the reference does not allow either.
pub(in crate::api) fn leave_v2(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::json(
        r#"{"code":405,"message":null,"data":"DELETE /v2/core/cluster/nodes API not allow to use temporarily."}"#,
    )))
}

/// Raft is not operated by hand.
pub(in crate::api) fn raft(args: &Args<'_>) -> Result<Plan, Fault> {
    wants_json(args)?;
    Err(not_supported("the log is not operated by hand"))
}

/// v2's levels of the log.
pub(in crate::api) fn set_log_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    wants_json(args)?;
    logs::set_by_json(args, Answer::rest("null"))
}

/// v3's levels of the log.
pub(in crate::api) fn set_log_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    wants_json(args)?;
    logs::set_by_json(args, Answer::wrapped("null"))
}

/// Refuses what is no JSON, as the framework does where a handler takes a body.
pub(in crate::api) fn wants_json(args: &Args<'_>) -> Result<(), Fault> {
    let kind = (args.call().header)("content-type").unwrap_or_default();
    if kind.trim_start().starts_with(Answer::JSON) {
        return Ok(());
    }
    Err(Fault::detail(
        400,
        20_003,
        format!("Content-Type '{kind}' is not supported"),
    ))
}

/// v2's generators of ids, of which there are none: ids are positions in the log.
pub(in crate::api) fn ids_v2(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::rest("[]")))
}

/// v3's generators of ids, of which there are none: ids are positions in the log.
pub(in crate::api) fn ids_v3(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped("[]")))
}

fn connections_json(all: &[Connection], server_port: u16) -> Value {
    let shown: BTreeMap<String, Value> = all
        .iter()
        .map(|c| {
            let labels: BTreeMap<&str, &str> = c.labels.iter().map(|(k, v)| (&**k, &**v)).collect();
            let shown = json!({
                "traced": false,
                "connected": true,
                "abilityTable": null,
                "metaInfo": {
                    "connectType": "GRPC",
                    "clientIp": &*c.ip,
                    "remoteIp": &*c.ip,
                    "remotePort": c.port,
                    "localPort": server_port,
                    "version": &*c.version,
                    "connectionId": &*c.id,
                    "createTime": c.since,
                    "appName": &*c.app,
                    "labels": labels,
                },
            });
            (String::from(&*c.id), shown)
        })
        .collect();
    json!(shown)
}

fn connections(args: &Args<'_>, answer: fn(&Value) -> Answer) -> Plan {
    let port = args.call().server.port.saturating_add(1_000);
    args.submit(Op::Ask(Question::Connections), move |reply| {
        let Reply::Connections(all) = reply else {
            return ok(reply);
        };
        Ok(answer(&connections_json(&all, port)))
    })
}

/// v2's connections by id, without the wrapper.
pub(in crate::api) fn connections_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(connections(args, Answer::json_of))
}

/// v3's connections by id.
pub(in crate::api) fn connections_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(connections(args, data))
}

fn load(args: &Args<'_>, show: fn(&str, Value) -> Value, answer: fn(&Value) -> Answer) -> Plan {
    let server = args.call().server;
    let address = format!("{}:{}", server.ip, server.port);
    let machine = (format!("{}", server.load), format!("{}", server.cpu));
    args.submit(Op::Ask(Question::Connections), move |reply| {
        let Reply::Connections(all) = reply else {
            return ok(reply);
        };
        let count = all.len();
        let metric =
            json!({ "sdkConCount": count, "conCount": count, "load": machine.0, "cpu": machine.1 });
        Ok(answer(&json!({
            "detail": [show(&address, metric)],
            "memberCount": 1,
            "metricsCount": 1,
            "completed": true,
            "max": count,
            "min": count,
            "avg": count,
            "threshold": format!("{:?}", count as f64 * 1.1),
            "total": count,
        })))
    })
}

/// v2's load of all members, without the wrapper.
pub(in crate::api) fn load_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let show = |address: &str, metric: Value| json!({ "address": address, "metric": metric });
    Ok(load(args, show, Answer::json_of))
}

/// v3's load of all members.
pub(in crate::api) fn load_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    let show = |address: &str, mut metric: Value| {
        metric["address"] = address.into();
        metric
    };
    Ok(load(args, show, data))
}

/// v2's asking of connections to go until a number is left.
pub(in crate::api) fn reload_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    clients::reload_to_count(args, Answer::text("success"))
}

/// v3's asking of connections to go until a number is left.
pub(in crate::api) fn reload_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    clients::reload_to_count(args, Answer::wrapped("null"))
}

/// v2's asking of one connection to go.
pub(in crate::api) fn reload_client_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    clients::reload_one(args, Answer::text("success"))
}

/// v3's asking of one connection to go.
pub(in crate::api) fn reload_client_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    clients::reload_one(args, Answer::wrapped("null"))
}

/// v2's balancing of connections: a cluster of one is in balance.
pub(in crate::api) fn smart_reload_v2(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::text("Ok")))
}

/// v3's balancing of connections: a cluster of one is in balance.
pub(in crate::api) fn smart_reload_v3(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped("null")))
}

/// That the server is there, and takes requests.
pub(in crate::api) fn healthy(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped("\"ok\"")))
}
