//! Configs in the `Result` wrapper. What is asked and shown as in v1 is taken from there.

mod content;
mod listeners;
mod operations;
mod publish;
mod search;
mod transfer;

pub(in crate::api) use self::{
    content::{beta, content_client, content_v2, detail_admin, detail_console},
    listeners::{listened, listeners},
    operations::{capacity, derby, local_cache, metrics, set_capacity},
    publish::{publish, remove, remove_ids, stop_beta},
    search::{configs_v2, configs_v3, list, search_v2},
    transfer::{clone_admin, clone_console, export, import_admin, import_console},
};

use alloc::format;

use serde_json::{Value, json};

use crate::{
    api::Args,
    model::{ConfigKey, ConfigVersion},
};

/// The group, which v2 calls otherwise than v3.
fn group<'a>(args: &Args<'a>) -> &'a str {
    match args.text("groupName") {
        "" => args.text("group"),
        group => group,
    }
}

/// The config that a request names.
pub(in crate::api::wrapped) fn key_of(args: &Args<'_>) -> ConfigKey {
    ConfigKey::new(args.text("namespaceId"), group(args), args.text("dataId"))
}

/// What every list of v3 shows of a config.
fn basic_json(id: u64, key: &ConfigKey, version: &ConfigVersion) -> Value {
    json!({
        "id": format!("{id}"),
        "namespaceId": &*key.namespace,
        "groupName": &*key.group,
        "dataId": &*key.data_id,
        "md5": version.content.md5.hex(),
        "type": version.kind.name(),
        "appName": &*version.app,
        "createTime": version.created,
        "modifyTime": version.modified,
    })
}
