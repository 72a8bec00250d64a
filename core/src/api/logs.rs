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
        tests::{View, plan},
    };

    /// What a route asks of the host, and what it answers when that says this.
    fn asked(path: &str, said: Result<(), &str>) -> ((String, String), u16, String) {
        let uri = alloc::format!("{path}?logName=root&logLevel=debug");
        let view = View::default();
        let Plan::LogLevel {
            logger,
            level,
            then,
        } = plan(&Routes::all(), &view, Compat::All, Method::Put, &uri)
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
        ] {
            let (wanted, status, said) = asked(path, Ok(()));
            assert_eq!((wanted.0.as_str(), wanted.1.as_str()), ("root", "debug"));
            assert_eq!((status, said.as_str()), (200, body), "{path}");
            let (_, status, said) = asked(path, Err("no logger nobody"));
            assert_eq!(status, 400, "{path}");
            assert!(said.contains("no logger nobody"), "{path}: {said}");
        }
    }
}
