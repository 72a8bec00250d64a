//! What one entry of the log makes of a version, and what it writes to the history about it.

use alloc::{sync::Arc, vec::Vec};

use super::row::{HistoryOp, HistoryRow, history_key, history_time_key};
use crate::{
    log::{Row, RowWrite, Table},
    model::{ConfigItem, ConfigKey, ConfigVersion, ContentRef, GrayRule},
    node::op::Publish,
};

/// The entry that brings a change about.
pub(super) struct Entry {
    pub(super) index: u64,
    pub(super) stamp: u64,
    pub(super) user: Arc<str>,
    pub(super) ip: Arc<str>,
}

/// The formal version, or the gray one of that name.
pub(super) fn version_of<'a>(
    item: &'a ConfigItem,
    gray: Option<&str>,
) -> Option<&'a ConfigVersion> {
    match gray {
        None => item.formal.as_ref(),
        Some(name) => item
            .grays
            .iter()
            .find(|g| *g.name == *name)
            .map(|g| &g.version),
    }
}

/// What a publish makes of the version before it: application and tags that are not given stay (as Nacos keeps them),
/// tags that are given without one in them (`,`) go; who created it, and when, stays.
pub(super) fn new_version(
    publish: Publish,
    old: Option<&ConfigVersion>,
    index: u64,
    stamp: u64,
) -> ConfigVersion {
    let kept = |given: Arc<str>, old: Option<&Arc<str>>| match old {
        Some(old) if given.is_empty() => old.clone(),
        _ => given,
    };
    let tags = kept(publish.tags, old.map(|o| &o.tags));
    ConfigVersion {
        content: ContentRef {
            index,
            ..publish.content
        },
        kind: publish.kind,
        app: kept(publish.app, old.map(|o| &o.app)),
        desc: publish.desc,
        usage: publish.usage,
        effect: publish.effect,
        schema: publish.schema,
        tags: if tags.split(',').all(|tag| tag.trim().is_empty()) {
            Arc::default()
        } else {
            tags
        },
        encrypted_data_key: publish.encrypted_data_key,
        created: old.map_or(stamp, |o| o.created),
        modified: stamp,
        create_user: old.map_or(publish.user, |o| o.create_user.clone()),
        create_ip: old.map_or(publish.ip, |o| o.create_ip.clone()),
    }
}

/// Writes a row of the history and the one by which it is cut off.
pub(super) fn write_history(
    key: &ConfigKey,
    op: HistoryOp,
    id: u64,
    rule: Option<GrayRule>,
    version: ConfigVersion,
    by: Entry,
    rows: &mut Vec<RowWrite>,
) {
    let Entry {
        index,
        stamp,
        user,
        ip,
    } = by;
    let content = Some(version.content.index);
    let value = HistoryRow {
        op,
        id,
        rule,
        version,
        user,
        ip,
        stamp,
    }
    .encode();
    let at = history_key(key, index);
    let time = Row {
        table: Table::HistoryTime,
        key: history_time_key(stamp, index),
        value: at.clone(),
    };
    rows.push(RowWrite::Put {
        row: Row {
            table: Table::History,
            key: at,
            value,
        },
        content,
    });
    rows.push(RowWrite::Put {
        row: time,
        content: None,
    });
}
