//! Switches and counters of naming, in the `Result` wrapper.

use alloc::string::String;

use serde_json::Value;

use super::{data, ok, wrapped};
use crate::{
    api::{
        Answer, Args, Fault, Kind, Param, Plan, json_string,
        service_json::float_json,
        v1::naming::operator::{self as v1, switches_json, totals_json},
    },
    node::{
        op::{Op, Question},
        reply::{Refusal, Reply, Totals},
    },
};

/// Parameters of [`set_switch`].
pub(in crate::api) const SWITCH: &[Param] = &[
    Param::text("entry", "name of the switch")
        .required()
        .asked(),
    Param::text("value", "its value").required().asked(),
    Param::of("debug", Kind::Bool, "set it on this member alone").default("false"),
];
/// Parameters of the counters.
pub(in crate::api) const METRICS: &[Param] =
    &[Param::of("onlyStatus", Kind::Bool, "nothing but the status").default("true")];
/// Parameters of [`responsible`].
pub(in crate::api) const RESPONSIBLE: &[Param] = &[
    Param::text("ip", "address of the client").required(),
    Param::text("port", "port of the client").required(),
];

/// v2's switches.
pub(in crate::api) fn switches_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(data(&switches_json(
        &args.call().view.switches(),
    ))))
}

/// v3's switches, of which some have other names.
pub(in crate::api) fn switches_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    let mut shown = switches_json(&args.call().view.switches());
    if let Value::Object(fields) = &mut shown {
        for (old, new) in [
            ("pushGoVersion", "pushVersionOfGo"),
            ("pushJavaVersion", "pushVersionOfJava"),
            ("pushPythonVersion", "pushVersionOfPython"),
            ("pushCVersion", "pushVersionOfC"),
            ("pushCSharpVersion", "pushVersionOfCsharp"),
        ] {
            let value = fields.remove(old).unwrap_or_default();
            fields.insert(new.into(), value);
        }
    }
    Ok(Plan::Answer(data(&shown)))
}

/// Sets a switch. A value that is not allowed is no illegal argument here, but any error.
pub(in crate::api) fn set_switch(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::SetSwitch {
        entry: args.shared("entry"),
        value: args.shared("value"),
    };
    let refused = |refusal| match refusal {
        Refusal::Illegal(text) => Fault::business(500, text),
        other => other.into(),
    };
    Ok(args.submit_or(op, refused, ok))
}

/// v2's counters, with the state of the machine.
pub(in crate::api) fn metrics_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let server = args.call().server;
    let machine = [
        ("cpu", server.cpu),
        ("load", server.load),
        ("mem", server.mem),
    ];
    metrics(args, move |status, totals| {
        let mut shown = totals_json(status, totals);
        for (name, value) in machine {
            shown[name] = float_json(value);
        }
        shown
    })
}

/// v3's counters.
pub(in crate::api) fn metrics_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    metrics(args, totals_json)
}

fn metrics(
    args: &Args<'_>,
    show: impl FnOnce(&str, &Totals) -> Value + Send + 'static,
) -> Result<Plan, Fault> {
    let switches = args.call().view.switches();
    let status = String::from(switches.status());
    if args.flag("onlyStatus") {
        let shown = json_string(&status);
        return Ok(Plan::Answer(Answer::wrapped(&alloc::format!(
            "{{\"status\":{shown}}}"
        ))));
    }
    Ok(args.submit(Op::Ask(Question::Totals), move |reply| {
        let Reply::Totals(totals) = reply else {
            return ok(reply);
        };
        Ok(data(&show(&status, &totals)))
    }))
}

/// Who is responsible for a client.
pub(in crate::api) fn responsible(args: &Args<'_>) -> Result<Plan, Fault> {
    v1::responsible(args).map(wrapped)
}
