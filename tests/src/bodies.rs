//! Bodies of gRPC requests, as clients write them.

use serde_json::{Value, json};

/// About a service of the default group, with further fields.
#[must_use]
pub fn named(service: &str, more: Value) -> Value {
    let mut body =
        json!({"namespace": "public", "groupName": "DEFAULT_GROUP", "serviceName": service});
    if let (Some(fields), Value::Object(more)) = (body.as_object_mut(), more) {
        fields.extend(more);
    }
    body
}

/// An ephemeral instance.
#[must_use]
pub fn instance(port: usize) -> Value {
    json!({"ip": "10.0.0.1", "port": port, "weight": 1.0, "healthy": true, "enabled": true, "ephemeral": true})
}

/// About a config of the default group, with further fields.
#[must_use]
pub fn config(name: &str, more: Value) -> Value {
    let mut body = json!({"dataId": name, "group": "DEFAULT_GROUP", "tenant": ""});
    if let (Some(fields), Value::Object(more)) = (body.as_object_mut(), more) {
        fields.extend(more);
    }
    body
}
