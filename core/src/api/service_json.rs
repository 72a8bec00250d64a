//! What every generation says of services alike: selectors and health checkers as JSON, and the words of refusals
//! that name the service.

use alloc::{format, string::String, sync::Arc};

use serde_json::{Map, Value, json};

use super::fault::Fault;
use crate::{
    model::{HealthChecker, Metadata, Selector, ServiceKey},
    node::reply::Refusal,
};

/// Metadata as a JSON object.
#[must_use]
pub fn metadata_json(metadata: &Metadata) -> Value {
    metadata
        .iter()
        .map(|(k, v)| (String::from(k), Value::from(v)))
        .collect::<Map<_, _>>()
        .into()
}

/// A float of 32 bits as JSON, with the digits that it has itself.
#[must_use]
pub fn float_json(value: f32) -> Value {
    format!("{value}")
        .parse::<f64>()
        .map_or(Value::Null, Value::from)
}

/// A selector as the reference's getters show it.
#[must_use]
pub fn selector_json(selector: &Selector) -> Value {
    match selector {
        Selector::None => json!({"type": "none", "contextType": "NONE"}),
        Selector::Label { expression } => {
            json!({"type": "label", "contextType": "CMDB", "expression": &**expression})
        }
    }
}

/// Reads the `selector` of a service: JSON, which v1 clients encode for URLs once more; blank is none.
pub fn parse_selector(text: &str) -> Result<Selector, Fault> {
    let wrong = |detail: &str| Err(Fault::detail(400, 21_006, detail));
    let text = text.trim();
    if text.is_empty() {
        return Ok(Selector::None);
    }
    let decoded = super::call::percent_decoded(text);
    let Ok(value) = serde_json::from_str::<Value>(&decoded) else {
        return wrong("not match any type of selector!");
    };
    let expression = value
        .get("expression")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match value.get("type").and_then(Value::as_str) {
        Some("none") => Ok(Selector::None),
        Some("label") => match crate::naming::select::label_names(expression) {
            Ok(_) => Ok(Selector::Label {
                expression: Arc::from(expression),
            }),
            Err(why) => wrong(&format!("Selector parses failed: {why}")),
        },
        _ => wrong("not match any type of selector!"),
    }
}

/// A health checker with its `type`, as services show it.
#[must_use]
pub fn checker_json(checker: &HealthChecker) -> Value {
    match checker {
        HealthChecker::Tcp => json!({"type": "TCP"}),
        HealthChecker::Http {
            path,
            headers,
            expected_code,
        } => {
            json!({"type": "HTTP", "path": &**path, "headers": &**headers, "expectedResponseCode": expected_code})
        }
        HealthChecker::Mysql { user, pwd, cmd } => {
            json!({"type": "MYSQL", "user": &**user, "pwd": &**pwd, "cmd": &**cmd})
        }
        HealthChecker::None => json!({"type": "NONE"}),
    }
}

/// Reads a `healthChecker`: JSON; an unknown or missing type is "nobody checks".
pub fn parse_checker(text: &str) -> Result<HealthChecker, Fault> {
    let decoded = super::call::percent_decoded(text);
    let Ok(Value::Object(object)) = serde_json::from_str::<Value>(&decoded) else {
        return Err(Fault::Argument(format!(
            "healthChecker format incorrect:{text}"
        )));
    };
    let text = |name: &str| {
        object
            .get(name)
            .and_then(Value::as_str)
            .map_or_else(|| Arc::from(""), Arc::from)
    };
    let code = object.get("expectedResponseCode");
    let code = code.and_then(|c| c.as_u64().or_else(|| c.as_str()?.parse().ok()));
    Ok(match object.get("type").and_then(Value::as_str) {
        Some("TCP") => HealthChecker::Tcp,
        Some("HTTP") => HealthChecker::Http {
            path: text("path"),
            headers: text("headers"),
            expected_code: code.and_then(|c| u16::try_from(c).ok()).unwrap_or(200),
        },
        Some("MYSQL") => HealthChecker::Mysql {
            user: text("user"),
            pwd: text("pwd"),
            cmd: text("cmd"),
        },
        _ => HealthChecker::None,
    })
}

/// The words for a refusal that changes a service.
#[must_use]
pub fn service_fault(service: &ServiceKey, refusal: Refusal) -> Fault {
    let name = service.grouped();
    match refusal {
        Refusal::ServiceNotFound => {
            Fault::detail(400, 21_008, format!("service {name} not found!"))
        }
        Refusal::ServiceExists => Fault::detail(
            400,
            21_007,
            format!("specified service {name} already exists!"),
        ),
        Refusal::ServiceNotEmpty => Fault::detail(
            400,
            21_009,
            format!(
                "Service {name} is not empty, can't be delete. Please unregister instance first"
            ),
        ),
        other => other.into(),
    }
}

/// The words for a read of a service that is not there.
#[must_use]
pub fn service_unknown(service: &ServiceKey) -> Fault {
    let detail = format!(
        "service not found, namespace: {}, serviceName: {}",
        service.namespace,
        service.grouped()
    );
    Fault::detail(400, 21_008, detail)
}

/// The words for a change of an instance (of the kind that the caller believes in) whose service is not there.
#[must_use]
pub fn instance_fault(service: &ServiceKey, ephemeral: bool, refusal: Refusal) -> Fault {
    let ServiceKey {
        namespace,
        group,
        name,
    } = service;
    match refusal {
        Refusal::ServiceNotFound => Fault::detail(
            400,
            21_004,
            format!(
                "service not found, namespace: {namespace}, service: Service{{namespace='{namespace}', group='{group}', \
                 name='{name}', ephemeral={ephemeral}, revision=0}}"
            ),
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_and_shown() {
        assert_eq!(parse_selector("").unwrap(), Selector::None);
        assert_eq!(
            parse_selector("%7B%22type%22%3A%22none%22%7D").unwrap(),
            Selector::None
        );
        let text = r#"{"type":"label","expression":"CONSUMER.label.a = PROVIDER.label.a"}"#;
        let label = parse_selector(text).unwrap();
        assert_eq!(
            selector_json(&label)["expression"],
            "CONSUMER.label.a = PROVIDER.label.a"
        );
        for bad in [
            r#"{"type":"nope"}"#,
            "{}",
            "x",
            r#"{"type":"label","expression":"a"}"#,
        ] {
            assert!(
                matches!(
                    parse_selector(bad),
                    Err(Fault::Detail {
                        status: 400,
                        code: 21_006,
                        ..
                    })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn checkers_are_read_as_they_are_shown() {
        for text in [
            r#"{"type":"TCP"}"#,
            r#"{"type":"HTTP","path":"/p","headers":"a:b","expectedResponseCode":204}"#,
            r#"{"type":"MYSQL","user":"u","pwd":"p","cmd":"c"}"#,
            r#"{"type":"NONE"}"#,
        ] {
            let want: Value = serde_json::from_str(text).unwrap();
            assert_eq!(checker_json(&parse_checker(text).unwrap()), want);
        }
        assert_eq!(parse_checker("{}").unwrap(), HealthChecker::None);
        assert!(parse_checker("tcp").is_err());
    }

    #[test]
    fn floats_keep_their_own_digits() {
        assert_eq!(serde_json::to_string(&float_json(0.3)).unwrap(), "0.3");
        assert_eq!(serde_json::to_string(&float_json(0.0)).unwrap(), "0.0");
    }
}
