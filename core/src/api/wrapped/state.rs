//! What the server says of its settings, to whoever asks.

use serde_json::{Map, Value};

use super::data;
use crate::api::{Answer, Args, Fault, Plan, ServerFacts};

/// Settings as texts.
fn state_json(server: &ServerFacts) -> Value {
    let text = |value: &dyn core::fmt::Display| Value::from(alloc::format!("{value}"));
    let fixed = [
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
    let mode = if server.standalone {
        "standalone"
    } else {
        "cluster"
    };
    let own = [
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
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name, value.into()));
    let all: Map<_, _> = fixed
        .chain(own)
        .map(|(name, value)| (name.into(), value))
        .collect();
    all.into()
}

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

/// Nothing is announced.
pub(in crate::api) fn nothing(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped("null")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Compat, tests::facts};

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
