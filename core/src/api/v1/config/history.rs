//! What configs were before.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{
    DATA_ID, GROUP, TENANT, config_info, content::text, given, json_answer, json_of, key_of,
    listing::namespace, moment, page_json, tenant,
};
use crate::{
    api::{Args, Fault, Kind, Param, Plan, Route, RowsQuery},
    config::{
        HistoryOp, HistoryRow, history_key, history_prefix, read_history_key, read_history_time_key,
    },
    log::{Row, Table},
    model::ConfigKey,
    view::ConfigFilter,
};

/// Rows of one page, at most (as Nacos).
const MAX_PAGE: usize = 500;
/// So many of the last rows of a config are looked through for the one before the present.
pub(in crate::api) const LOOKED_THROUGH: usize = 500;
/// When the reference's rows say that they were made: a default of its table.
const CREATED: &str = "2010-05-05T00:00:00.000+00:00";

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/cs/history",
        when: Some(("search", "accurate")),
        instead: "GET ${contextPath:nacos}/v3/console/cs/history/list",
        params: &[
            DATA_ID,
            GROUP,
            TENANT,
            Param::text("appName", "not looked at"),
            Param::of("pageNo", Kind::Int, "number of the page, from 1").default("1"),
            Param::of("pageSize", Kind::Int, "rows of a page, at most 500").default("100"),
        ],
        summary: "Lists what happened to a config, the last first.",
        make: list,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/history",
        instead: "GET ${contextPath:nacos}/v3/console/cs/history",
        params: &[
            DATA_ID,
            GROUP,
            TENANT,
            Param::of("nid", Kind::Long, "number of the row").required(),
        ],
        summary: "Shows what a config was.",
        make: detail,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/history/previous",
        instead: "GET ${contextPath:nacos}/v3/console/cs/history/previous",
        params: &[
            DATA_ID,
            GROUP,
            TENANT,
            Param::of("id", Kind::Long, "id of the config").required(),
        ],
        summary: "Shows what a config was before the last change.",
        make: previous,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/history/configs",
        instead: "GET ${contextPath:nacos}/v3/console/cs/history/configs",
        params: &[Param::text("tenant", "namespace of the configs").required()],
        summary: "Lists the configs of a namespace without their contents.",
        make: configs,
        ..Route::CONFIG_V1
    },
];

/// A row as the reference shows it; lists leave out the content, its MD5 and its key.
pub(in crate::api) fn history_json(nid: u64, key: &ConfigKey, row: &HistoryRow) -> Value {
    json!({
        "id": alloc::format!("{nid}"),
        "lastId": -1,
        "dataId": &*key.data_id,
        "group": &*key.group,
        "tenant": tenant(&key.namespace),
        "appName": &*row.version.app,
        "md5": null,
        "content": null,
        "srcIp": given(&row.ip),
        "srcUser": given(&row.user),
        // The reference's column has ten characters.
        "opType": alloc::format!("{:<10}", row.op.letter()),
        "publishType": row.publish_type(),
        "grayName": row.gray_name().as_deref().unwrap_or_default(),
        "extInfo": row.ext_info(),
        "createdTime": CREATED,
        "lastModifiedTime": moment(row.stamp),
        "encryptedDataKey": null,
    })
}

/// Number, key and row; none for one that cannot be read.
pub(in crate::api) fn read(row: &Row) -> Option<(u64, ConfigKey, HistoryRow)> {
    let (key, nid) = read_history_key(&row.key)?;
    Some((nid, key, HistoryRow::decode(&row.value).ok()?))
}

fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = args.page(MAX_PAGE);
    Ok(Plan::Rows {
        query: RowsQuery {
            table: Table::History,
            prefix: history_prefix(&key_of(args)),
            reverse: true,
            skip: (number - 1).saturating_mul(size),
            limit: size,
            count: true,
        },
        then: Box::new(move |(total, rows), _| {
            let items = rows
                .iter()
                .filter_map(read)
                .map(|(nid, key, row)| history_json(nid, &key, &row));
            Plan::Answer(json_of(&page_json(total, number, size, items.collect())))
        }),
    })
}

/// A row with its content.
fn shown(nid: u64, key: ConfigKey, row: HistoryRow) -> Plan {
    Plan::Contents {
        indexes: Vec::from([row.version.content.index]),
        then: Box::new(move |contents, _| {
            let mut shown = history_json(nid, &key, &row);
            shown["content"] = text(contents.first().and_then(Option::as_ref));
            shown["md5"] = row.version.content.md5.hex().into();
            shown["encryptedDataKey"] = json!(&*row.version.encrypted_data_key);
            Plan::Answer(json_of(&shown))
        }),
    }
}

fn rows(table: Table, prefix: Vec<u8>, limit: usize) -> RowsQuery {
    RowsQuery {
        table,
        prefix,
        reverse: true,
        skip: 0,
        limit,
        count: false,
    }
}

/// What the reference says of a row of another config.
fn of_another() -> Fault {
    Fault::business(403, "Please check dataId, group or namespaceId.")
}

fn detail(args: &Args<'_>) -> Result<Plan, Fault> {
    let nid = u64::try_from(args.int("nid")).unwrap_or(0);
    let telling = args.telling();
    Ok(Plan::Rows {
        query: rows(Table::History, history_key(&key_of(args), nid), 1),
        then: Box::new(move |(_, found), _| {
            if let Some((nid, key, row)) = found.iter().find_map(read) {
                return shown(nid, key, row);
            }
            // A number that was given out is another config's.
            Plan::Rows {
                query: rows(Table::HistoryTime, Vec::new(), 1),
                then: Box::new(move |(_, last), _| {
                    let last = last.first().and_then(|row| read_history_time_key(&row.key));
                    Plan::Answer(if last.is_some_and(|(_, last)| nid <= last) {
                        of_another().tell(&telling)
                    } else {
                        json_answer("")
                    })
                }),
            }
        }),
    })
}

fn previous(args: &Args<'_>) -> Result<Plan, Fault> {
    let key = key_of(args);
    let id = u64::try_from(args.int("id")).unwrap_or(0);
    let others = args
        .call()
        .view
        .config_of_id(id)
        .is_some_and(|(of, _)| of != key);
    if others {
        return Err(of_another());
    }
    Ok(Plan::Rows {
        query: rows(Table::History, history_prefix(&key), LOOKED_THROUGH),
        then: Box::new(move |(_, found), _| {
            // Rows of inserts have no id in the reference, and are never the one before.
            let row = found
                .iter()
                .filter_map(read)
                .find(|(_, _, row)| row.id == id && row.op != HistoryOp::Insert);
            match row {
                Some((nid, key, row)) => shown(nid, key, row),
                None => Plan::Answer(json_answer("")),
            }
        }),
    })
}

fn configs(args: &Args<'_>) -> Result<Plan, Fault> {
    let namespace: Arc<str> = namespace(args.text("tenant"));
    Ok(Plan::Long(Box::new(move |view| {
        let filter = ConfigFilter {
            namespace: Some(namespace),
            ..ConfigFilter::default()
        };
        let found = view.configs(&filter, 0, usize::MAX);
        let shown = found.items.iter().filter_map(|(key, item)| {
            let version = item.formal.as_ref()?;
            let mut shown = config_info(0, key, version);
            shown["encryptedDataKey"] = Value::Null;
            shown["lastModified"] = version.modified.into();
            Some(shown)
        });
        let shown: Vec<Value> = shown.collect();
        let body: String = alloc::format!("{}", Value::Array(shown));
        Plan::Answer(json_answer(body))
    })))
}
