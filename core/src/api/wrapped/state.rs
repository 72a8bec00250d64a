//! What the server says of its settings, to whoever asks.

use alloc::format;

use super::data;
use crate::api::{Answer, Args, Fault, Plan, console::state_json, json_string};

/// For administrators.
pub(in crate::api) fn admin(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(data(&state_json(args.call().server))))
}

/// For the console, without the wrapper.
pub(in crate::api) fn console(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::json_of(&state_json(
        args.call().server,
    ))))
}

/// Nothing is announced, in the languages that there are.
pub(in crate::api) fn announcement(args: &Args<'_>) -> Result<Plan, Fault> {
    match args.text("language") {
        "zh-CN" | "en-US" => nothing(args),
        other => {
            let message = json_string(&format!("Unsupported language: {other}"));
            let body = format!(r#"{{"code":30000,"message":{message},"data":null}}"#);
            Ok(Plan::Answer(Answer::json(body)))
        }
    }
}

/// There is none.
pub(in crate::api) fn nothing(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped("null")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        Compat, Method, Routes,
        tests::{View, ask, facts},
    };

    #[test]
    fn announcements_have_two_languages() {
        let get = |query: &str| {
            let uri = format!("/v3/console/server/announcement{query}");
            ask(
                &Routes::all(),
                &View::default(),
                Compat::All,
                Method::Get,
                &uri,
            )
            .2
        };
        for query in ["", "?language=zh-CN", "?language=en-US"] {
            assert_eq!(get(query), r#"{"code":0,"message":"success","data":null}"#);
        }
        assert!(get("?language=fr").starts_with(r#"{"code":30000,"#));
    }

    #[test]
    fn settings_are_texts() {
        let state = state_json(&facts(Compat::All));
        assert_eq!(
            (&state["maxContent"], &state["startup_mode"]),
            (&"10485760".into(), &"standalone".into())
        );
        assert!(
            state
                .as_object()
                .expect("an object")
                .values()
                .all(|v| v.is_string() || v.is_null())
        );
    }
}
