//! Routes of `/v1/cs`.
//!
//! 2.x spells the default namespace "" here; what the core calls `public` is turned into that in every answer.

mod archive;
pub mod capacity;
pub mod content;
pub mod history;
pub mod listing;
pub mod operator;
pub mod poll;
pub mod transfer;
mod zip;

use alloc::{string::String, vec::Vec};

use serde_json::{Value, json};

use crate::{
    api::{Answer, Args, Param, Route, answer::iso_millis},
    model::{ConfigKey, ConfigVersion, DEFAULT_NAMESPACE},
};

const DATA_ID: Param = Param::text("dataId", "data id of the config").required();
const GROUP: Param = Param::text("group", "group of the config").required();
const TENANT: Param = Param::text(
    "tenant",
    "namespace of the config; the default one if blank",
);

/// A row of clients' routes.
const CLIENT: Route = Route {
    class: crate::api::Class::Client,
    ..Route::CONFIG_V1
};

/// The config that a request names.
fn key_of(args: &Args<'_>) -> ConfigKey {
    ConfigKey::new(args.text("tenant"), args.text("group"), args.text("dataId"))
}

/// A namespace as 2.x spells it.
pub(in crate::api) fn tenant(namespace: &str) -> &str {
    if namespace == DEFAULT_NAMESPACE {
        ""
    } else {
        namespace
    }
}

/// `dataId+group[+namespace]`, with what is `+` or `%` in them escaped; the namespace as the reader spells it.
pub(in crate::api) fn group_key(key: &ConfigKey, namespace: &str) -> String {
    let escaped = |text: &str| text.replace('%', "%25").replace('+', "%2B");
    let mut out = alloc::format!("{}+{}", escaped(&key.data_id), escaped(&key.group));
    if !namespace.is_empty() {
        out.push('+');
        out.push_str(&escaped(namespace));
    }
    out
}

/// 200 with JSON, of the type that everything below `/v1/cs` has.
fn json_answer(body: impl Into<Vec<u8>>) -> Answer {
    Answer::new(200, Answer::JSON_UTF8, body)
}

/// 200 with what serialises as JSON.
fn json_of(value: &Value) -> Answer {
    json_answer(alloc::format!("{value}"))
}

/// `RestResult` around data; a code of an HTTP error is the status too.
fn rest(code: u16, message: Option<&str>, data: &Value) -> Answer {
    let body = json!({ "code": code, "message": message, "data": data });
    json_of(&body).status(if (400..600).contains(&code) {
        code
    } else {
        200
    })
}

/// Nothing is null in answers of old: texts that were never given.
pub(in crate::api) fn given(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        text.into()
    }
}

/// A moment as answers of old have it, with the zone.
pub(in crate::api) fn moment(wall: u64) -> String {
    alloc::format!("{}+00:00", iso_millis(wall))
}

/// `ConfigInfo`, of which each answer leaves some fields empty.
pub(in crate::api) fn config_info(id: u64, key: &ConfigKey, version: &ConfigVersion) -> Value {
    json!({
        "id": alloc::format!("{id}"),
        "dataId": &*key.data_id,
        "group": &*key.group,
        "content": null,
        "md5": null,
        "encryptedDataKey": given(&version.encrypted_data_key),
        "tenant": tenant(&key.namespace),
        "appName": &*version.app,
        "type": version.kind.name(),
    })
}

/// A page as old answers have it.
fn page_json(total: usize, number: usize, size: usize, items: Vec<Value>) -> Value {
    json!({
        "totalCount": total,
        "pageNumber": number,
        "pagesAvailable": total.div_ceil(size.max(1)),
        "pageItems": Value::Array(items),
    })
}
