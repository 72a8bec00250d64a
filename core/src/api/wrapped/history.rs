//! The history of configs in the `Result` wrapper.

use alloc::{boxed::Box, format, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{config::key_of, data, page_json, positive_page};
use crate::{
    api::{
        Answer, Args, Fault, Plan, RowsQuery,
        v1::config::{
            content::text,
            given,
            history::{LOOKED_THROUGH, history_json, read},
        },
    },
    config::{HistoryOp, HistoryRow, history_key, history_prefix},
    log::Table,
    model::{ConfigItem, ConfigKey},
};

/// Rows of one page, at most.
const MAX_PAGE: usize = 500;
/// Rows of a config among which a change is looked for, at most.
const MOST_ROWS: usize = 10_000;
/// When every row was created, as the reference's databases say: its column has a default that nobody overwrites.
const CREATED: u64 = 1_273_017_600_000;

type Shown = (u64, ConfigKey, HistoryRow);

fn json_v2((nid, key, row): &Shown) -> Value {
    history_json(*nid, key, row)
}

fn json_v3((nid, key, row): &Shown) -> Value {
    json!({
        "id": format!("{nid}"),
        "namespaceId": &*key.namespace,
        "groupName": &*key.group,
        "dataId": &*key.data_id,
        "md5": null,
        "type": null,
        "appName": &*row.version.app,
        "createTime": CREATED,
        "modifyTime": row.stamp,
        "srcIp": given(&row.ip),
        "srcUser": given(&row.user),
        "opType": format!("{:<10}", row.op.letter()),
        "publishType": row.publish_type(),
    })
}

fn list(args: &Args<'_>, (number, size): (usize, usize), show: fn(&Shown) -> Value) -> Plan {
    Plan::Rows {
        query: RowsQuery {
            table: Table::History,
            prefix: history_prefix(&key_of(args)),
            reverse: true,
            skip: (number - 1).saturating_mul(size),
            limit: size,
            count: true,
        },
        then: Box::new(move |(total, rows), _| {
            let items: Vec<Value> = rows.iter().filter_map(read).map(|r| show(&r)).collect();
            Plan::Answer(data(&page_json(
                total,
                number,
                total.div_ceil(size.max(1)),
                &items,
            )))
        }),
    }
}

/// v2's list, the last first.
pub(in crate::api) fn list_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(list(args, args.page(MAX_PAGE), json_v2))
}

/// v3's list, the last first.
pub(in crate::api) fn list_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = positive_page(args)?;
    Ok(list(args, (number, size.min(MAX_PAGE)), json_v3))
}

/// Finds one row and shows it with its content.
fn one(
    args: &Args<'_>,
    (prefix, limit): (Vec<u8>, usize),
    wanted: impl Fn(&Shown) -> bool + Send + 'static,
    show: fn(&Shown, Value) -> Value,
    missing: fn() -> Result<Answer, Fault>,
) -> Plan {
    let telling = args.telling();
    Plan::Rows {
        query: RowsQuery {
            table: Table::History,
            prefix,
            reverse: true,
            skip: 0,
            limit,
            count: false,
        },
        then: Box::new(move |(_, rows), _| {
            let Some(found) = rows.iter().filter_map(read).find(|r| wanted(r)) else {
                return Plan::Answer(missing().unwrap_or_else(|fault| fault.tell(&telling)));
            };
            Plan::Contents {
                indexes: Vec::from([found.2.version.content.index]),
                then: Box::new(move |contents, _| {
                    Plan::Answer(data(&show(
                        &found,
                        text(contents.first().and_then(Option::as_ref)),
                    )))
                }),
            }
        }),
    }
}

fn detail_v2_json(row: &Shown, content: Value) -> Value {
    let mut shown = json_v2(row);
    shown["content"] = content;
    shown["md5"] = row.2.version.content.md5.hex().into();
    shown["encryptedDataKey"] = (*row.2.version.encrypted_data_key).into();
    shown
}

fn detail_v3_json(row: &Shown, content: Value) -> Value {
    let mut shown = json_v3(row);
    shown["md5"] = row.2.version.content.md5.hex().into();
    shown["content"] = content;
    shown["encryptedDataKey"] = (*row.2.version.encrypted_data_key).into();
    shown["grayName"] = row.2.gray_name().as_deref().unwrap_or_default().into();
    shown["extInfo"] = row.2.ext_info().into();
    shown
}

fn null() -> Result<Answer, Fault> {
    Ok(Answer::wrapped("null"))
}

fn no_source() -> Result<Answer, Fault> {
    Err(Fault::Argument("Source must not be null".into()))
}

fn by_number(args: &Args<'_>) -> (Vec<u8>, usize) {
    let nid = u64::try_from(args.int("nid")).unwrap_or(0);
    (history_key(&key_of(args), nid), 1)
}

/// v2's one row; null for none.
pub(in crate::api) fn detail_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(one(args, by_number(args), |_| true, detail_v2_json, null))
}

/// v3's one row.
pub(in crate::api) fn detail_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(one(
        args,
        by_number(args),
        |_| true,
        detail_v3_json,
        no_source,
    ))
}

/// Whether a row is of a config and shows what stood before a change.
fn before(args: &Args<'_>) -> impl Fn(&Shown) -> bool + Send + 'static + use<> {
    let id = u64::try_from(args.int("id")).unwrap_or(0);
    move |(_, _, row): &Shown| row.id == id && row.op != HistoryOp::Insert
}

/// v2's row before the last change of a config; null for none.
pub(in crate::api) fn previous_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let rows = (history_prefix(&key_of(args)), LOOKED_THROUGH);
    Ok(one(args, rows, before(args), detail_v2_json, null))
}

/// v3's row before the last change of a config.
pub(in crate::api) fn previous_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    let rows = (history_prefix(&key_of(args)), LOOKED_THROUGH);
    Ok(one(args, rows, before(args), detail_v3_json, no_source))
}

/// A row and the next one of the same version, of rows of a config, the last first. The next one shows what came of the
/// change.
fn change_of(rows: impl Iterator<Item = Shown>, nid: u64) -> Option<(Shown, Option<HistoryRow>)> {
    let mut rows: Vec<Shown> = rows.take_while(|(number, _, _)| *number >= nid).collect();
    let found = rows.pop().filter(|(number, _, _)| *number == nid)?;
    let next = rows.into_iter().rev().map(|(_, _, row)| row);
    let next = next
        .filter(|row| row.rule.is_some() == found.2.rule.is_some())
        .find(|row| row.gray_name() == found.2.gray_name());
    Some((found, next))
}

/// What a version is now, as a row.
fn present(item: &ConfigItem, row: &HistoryRow) -> Option<HistoryRow> {
    let (version, rule) = match row.gray_name() {
        None => (item.formal.clone()?, None),
        Some(name) => {
            let gray = item.grays.iter().find(|gray| gray.name == name)?;
            (gray.version.clone(), Some(gray.rule.clone()))
        }
    };
    Some(HistoryRow {
        version,
        rule,
        ..row.clone()
    })
}

/// v2's row with what stood before the change and what came of it; null for none.
pub(in crate::api) fn change_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let nid = u64::try_from(args.int("nid")).unwrap_or(0);
    Ok(Plan::Rows {
        query: RowsQuery {
            table: Table::History,
            prefix: history_prefix(&key_of(args)),
            reverse: true,
            skip: 0,
            limit: MOST_ROWS,
            count: false,
        },
        then: Box::new(move |(_, rows), view| {
            let Some((shown, next)) = change_of(rows.iter().filter_map(read), nid) else {
                return Plan::Answer(Answer::wrapped("null"));
            };
            let row = &shown.2;
            let sides = match row.op {
                HistoryOp::Insert => [None, Some(row.clone())],
                HistoryOp::Delete => [Some(row.clone()), None],
                HistoryOp::Update => {
                    let present = || present(&*view.config(&shown.1)?, row);
                    [Some(row.clone()), next.or_else(present)]
                }
            };
            Plan::Contents {
                indexes: sides
                    .iter()
                    .flatten()
                    .map(|row| row.version.content.index)
                    .collect(),
                then: Box::new(move |contents, _| {
                    Plan::Answer(data(&change_json(&shown, &sides, contents.iter())))
                }),
            }
        }),
    })
}

/// `contents` are those of the sides that are there.
fn change_json<'a>(
    shown: &Shown,
    sides: &[Option<HistoryRow>; 2],
    mut contents: impl Iterator<Item = &'a Option<Arc<[u8]>>>,
) -> Value {
    let mut json = json_v2(shown);
    if let Value::Object(fields) = &mut json {
        for only_elsewhere in ["md5", "content", "extInfo", "encryptedDataKey"] {
            fields.remove(only_elsewhere);
        }
    }
    json["opType"] = shown.2.op.letter().into();
    let names = [
        [
            "originalMd5",
            "originalContent",
            "originalEncryptedDataKey",
            "originalExtInfo",
        ],
        [
            "updatedMd5",
            "updatedContent",
            "updatedEncryptedDataKey",
            "updateExtInfo",
        ],
    ];
    for ([md5, content, key, ext], side) in names.into_iter().zip(sides) {
        json[md5] = side
            .as_ref()
            .map(|row| row.version.content.md5.hex())
            .into();
        json[content] = match side {
            Some(_) => text(contents.next().and_then(Option::as_ref)),
            None => Value::Null,
        };
        json[key] = side
            .as_ref()
            .map(|row| &*row.version.encrypted_data_key)
            .into();
        json[ext] = side.as_ref().map(HistoryRow::ext_info).into();
    }
    json
}
