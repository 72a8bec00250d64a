//! Levels of the server's own log, which every generation of the API can set.

use alloc::{boxed::Box, string::String};

use super::{Answer, Args, Fault, Param, Plan};

/// What the routes say of themselves.
pub(super) const SUMMARY: &str = "Sets the level of a logger of this member until it ends; the settings say what it starts with.";

/// What those routes take that want no JSON.
pub(super) const PARAMS: &[Param] = &[
    Param::text(
        "logName",
        "`root`, or where the lines come from, as they show",
    )
    .required(),
    Param::text("logLevel", "off, error, warn, info, debug or trace").required(),
];

/// Sets what the parameters say.
pub(super) fn set(args: &Args<'_>, done: Answer) -> Plan {
    level(args, args.text("logName"), args.text("logLevel"), done)
}

/// Sets what a body of JSON says.
pub(super) fn set_by_json(args: &Args<'_>, done: Answer) -> Result<Plan, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wanted {
        log_name: String,
        log_level: String,
    }
    let wanted: Wanted = serde_json::from_slice(args.call().body)
        .map_err(|_| Fault::Argument("logName and logLevel are wanted, as JSON".into()))?;
    Ok(level(args, &wanted.log_name, &wanted.log_level, done))
}

fn level(args: &Args<'_>, logger: &str, level: &str, done: Answer) -> Plan {
    let telling = args.telling();
    Plan::LogLevel {
        logger: logger.into(),
        level: level.into(),
        then: Box::new(move |set, _| {
            Plan::Answer(match set {
                Ok(()) => done,
                Err(why) => Fault::Argument(why).tell(&telling),
            })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        Body, Compat, Method, Routes,
        tests::{View, plan_with},
    };

    fn put(uri: &str, json: &str) -> Plan {
        let (routes, view) = (Routes::all(), View::default());
        plan_with(&routes, &view, Compat::All, Method::Put, uri, json)
    }

    /// What a route asks of the host, and what it answers when that says this.
    fn asked(path: &str, said: Result<(), &str>) -> ((String, String), u16, String) {
        let view = View::default();
        let plan = if path.contains("/core/ops") && !path.starts_with("/v1") {
            put(path, r#"{"logName": "root", "logLevel": "debug"}"#)
        } else {
            put(&alloc::format!("{path}?logName=root&logLevel=debug"), "")
        };
        let Plan::LogLevel {
            logger,
            level,
            then,
        } = plan
        else {
            panic!("{path} sets no level");
        };
        let Plan::Answer(answer) = then(said.map_err(Into::into), &view) else {
            panic!("{path} has no answer");
        };
        let Body::Bytes(bytes) = &answer.body else {
            panic!("{path} has no bytes");
        };
        let body = String::from_utf8_lossy(bytes).into_owned();
        ((logger, level), answer.status, body)
    }

    #[test]
    fn each_route_hands_the_level_on_and_answers_as_its_generation() {
        for (path, body) in [
            ("/v1/ns/operator/log", "ok"),
            ("/v1/cs/ops/log", "200"),
            ("/v1/core/ops/log", "200"),
            (
                "/v3/admin/ns/ops/log",
                r#"{"code":0,"message":"success","data":"ok"}"#,
            ),
            (
                "/v3/admin/cs/ops/log",
                r#"{"code":0,"message":"success","data":"200"}"#,
            ),
            (
                "/v2/core/ops/log",
                r#"{"code":200,"message":null,"data":null}"#,
            ),
            (
                "/v3/admin/core/ops/log",
                r#"{"code":0,"message":"success","data":null}"#,
            ),
        ] {
            let (wanted, status, said) = asked(path, Ok(()));
            assert_eq!((wanted.0.as_str(), wanted.1.as_str()), ("root", "debug"));
            assert_eq!((status, said.as_str()), (200, body), "{path}");
            let (_, status, said) = asked(path, Err("no logger nobody"));
            assert_eq!(status, 400, "{path}");
            assert!(said.contains("no logger nobody"), "{path}: {said}");
        }
    }

    #[test]
    fn a_body_without_a_level_is_refused() {
        for json in [r#"{"logName": "root"}"#, "[]", "{"] {
            let Plan::Answer(answer) = put("/v3/admin/core/ops/log", json) else {
                panic!("{json} sets a level");
            };
            assert_eq!(answer.status, 400, "{json}");
        }
    }
}
