//! `nacrite check-data`: what the rows of the files mean, for the store's own check and salvage.

use std::path::Path;

use nacrite_core::{
    config::{
        CapacityRow, ConfigRow, Configs, HistoryRow, read_config_key, read_history_key,
        read_history_time_key,
    },
    lock::Locks,
    log::{Row, Table},
    namespaces::Namespaces,
    naming::Naming,
    plugins::{Plugins, read_plugin},
    policies::{Policies, read_policy_key, read_policy_version},
};
use nacrite_storage::{RowCheck, check, salvage};

/// Decodes rows as the core does at start.
pub struct CoreRows;

impl RowCheck for CoreRows {
    fn row(&self, table: u8, key: &[u8], value: &[u8]) -> Result<(), String> {
        let Some(table) = Table::of(table) else {
            return Err(format!("table {table} is not known to this release"));
        };
        let row = Row {
            table,
            key: key.to_vec(),
            value: value.to_vec(),
        };
        let said = |e: nacrite_core::log::Decode| e.to_string();
        match table {
            Table::Config => Configs::new(None, 0).restore(&row).map_err(said),
            Table::Capacity => CapacityRow::decode(value).map(drop).map_err(said),
            Table::History => {
                read_history_key(key).ok_or("its key is malformed")?;
                HistoryRow::decode(value).map(drop).map_err(said)
            }
            Table::HistoryTime => {
                read_history_time_key(key).ok_or("its key is malformed")?;
                read_history_key(value)
                    .map(drop)
                    .ok_or_else(|| "its value names no history row".to_owned())
            }
            Table::Namespace => Namespaces::new(0).restore(&row).map_err(said),
            Table::Lock => Locks::new(0).restore(&row).map_err(said),
            Table::Policy => Policies::new().restore(&row).map_err(said),
            Table::Plugin => Plugins::new().restore(&row).map_err(said),
            Table::PolicyVersion => {
                let (_, revision) = read_policy_key(key).ok_or("its key is malformed")?;
                revision.ok_or("its key has no revision")?;
                read_policy_version(value).map(drop).map_err(said)
            }
            Table::Service | Table::Instance | Table::Operator | Table::Switch => {
                Naming::new().restore(&row).map_err(said)
            }
        }
    }

    fn md5_of(&self, table: u8, value: &[u8]) -> Option<[u8; 16]> {
        match Table::of(table)? {
            Table::Config => Some(ConfigRow::decode(value).ok()?.version.content.md5.0),
            Table::History => Some(HistoryRow::decode(value).ok()?.version.content.md5.0),
            Table::Plugin => Some(read_plugin(value).ok()?.module?.content.md5.0),
            _ => None,
        }
    }

    fn name(&self, table: u8, key: &[u8]) -> String {
        let kind = Table::of(table).map_or_else(
            || format!("table-{table}"),
            |t| format!("{t:?}").to_lowercase(),
        );
        let readable = match Table::of(table) {
            Some(Table::Config) => read_config_key(key).map(|(key, gray)| {
                let gray = if gray.is_empty() {
                    gray
                } else {
                    format!("@{gray}")
                };
                format!("{}/{}/{}{gray}", key.namespace, key.group, key.data_id)
            }),
            Some(Table::History) => read_history_key(key)
                .map(|(key, nid)| format!("{}/{}/{}/{nid}", key.namespace, key.group, key.data_id)),
            _ => None,
        };
        let hex = || key.iter().map(|b| format!("{b:02x}")).collect::<String>();
        format!("{kind}/{}", readable.unwrap_or_else(hex))
    }
}

/// Checks a data folder, and writes what is readable to `out` if it is given. Prints what it finds; whether all is well.
///
/// # Errors
/// What makes a check impossible.
pub fn check_data(data: &Path, out: Option<&Path>) -> Result<bool, String> {
    let report = check(data, &CoreRows).map_err(|e| e.to_string())?;
    println!("{report}");
    if let Some(out) = out {
        let salvaged = salvage(data, out, &CoreRows).map_err(|e| e.to_string())?;
        println!(
            "written to {}: {} rows, {} contents, {} log entries that were not applied; {} places could not be read",
            out.display(),
            salvaged.rows,
            salvaged.contents,
            salvaged.entries,
            salvaged.unreadable.len(),
        );
        for problem in &salvaged.unreadable {
            println!("  {problem}");
        }
    }
    Ok(report.is_sound())
}
