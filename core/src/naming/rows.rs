//! Rows of naming's durable state: how they are written and read back.
//!
//! A row's key orders it; its value says everything again, so that reading needs the value alone.

use alloc::{collections::BTreeMap, format, sync::Arc, vec::Vec};

use super::Naming;
use crate::{
    log::{Decode, KeyWriter, Row, RowWrite, Table, decode, encode},
    model::{Instance, InstanceKey, OperatorMetadata, ServiceKey, ServiceMetadata},
};

fn service_key(service: &ServiceKey) -> KeyWriter {
    KeyWriter::new()
        .text(&service.namespace)
        .text(&service.group)
        .text(&service.name)
}

fn instance_key(service: &ServiceKey, key: &InstanceKey) -> Vec<u8> {
    service_key(service)
        .text(&key.ip)
        .number(key.port.into())
        .text(&key.cluster)
        .finish()
}

fn put(table: Table, key: Vec<u8>, value: Vec<u8>) -> RowWrite {
    RowWrite::Put {
        row: Row { table, key, value },
        content: None,
    }
}

pub(super) fn service(key: &ServiceKey, metadata: &ServiceMetadata) -> RowWrite {
    put(
        Table::Service,
        service_key(key).finish(),
        encode(&(key, metadata)),
    )
}

pub(super) fn service_gone(key: &ServiceKey) -> RowWrite {
    RowWrite::Delete {
        table: Table::Service,
        key: service_key(key).finish(),
    }
}

pub(super) fn instance(service: &ServiceKey, instance: &Instance) -> RowWrite {
    put(
        Table::Instance,
        instance_key(service, &instance.key),
        encode(&(service, instance)),
    )
}

pub(super) fn instance_gone(service: &ServiceKey, key: &InstanceKey) -> RowWrite {
    RowWrite::Delete {
        table: Table::Instance,
        key: instance_key(service, key),
    }
}

pub(super) fn operator(
    service: &ServiceKey,
    key: &InstanceKey,
    words: &OperatorMetadata,
) -> RowWrite {
    put(
        Table::Operator,
        instance_key(service, key),
        encode(&(service, key, words)),
    )
}

pub(super) fn operator_gone(service: &ServiceKey, key: &InstanceKey) -> RowWrite {
    RowWrite::Delete {
        table: Table::Operator,
        key: instance_key(service, key),
    }
}

/// What a text of a switch replaces: the entry, or the part of it that is set apart.
pub(super) fn switch_part(entry: &str, value: &str) -> Arc<str> {
    match value.split_once(':') {
        Some((kind, _)) if entry == "pushVersion" => format!("{entry}:{kind}").into(),
        _ => Arc::from(entry),
    }
}

pub(super) fn switch(entry: &str, value: &str) -> RowWrite {
    put(
        Table::Switch,
        KeyWriter::new().text(&switch_part(entry, value)).finish(),
        encode(&(entry, value)),
    )
}

impl Naming {
    /// Takes back a row, in any order; rows of other modules' tables are left alone.
    ///
    /// # Errors
    /// The row is damaged or of a later release; nothing has changed.
    pub fn restore(&mut self, row: &Row) -> Result<(), Decode> {
        match row.table {
            Table::Service => {
                let (key, metadata): (ServiceKey, ServiceMetadata) = decode(&row.value)?;
                self.set_metadata(&key, metadata);
            }
            Table::Instance => {
                let (service, instance): (ServiceKey, Instance) = decode(&row.value)?;
                self.put_persistent(&service, instance);
            }
            Table::Operator => {
                let (service, key, words): (ServiceKey, InstanceKey, OperatorMetadata) =
                    decode(&row.value)?;
                self.set_operator(&service, &key, Some(words));
            }
            Table::Switch => {
                let (entry, value): (Arc<str>, Arc<str>) = decode(&row.value)?;
                // A value that this release refuses is as if it had not been set.
                let _ = self.set_switch(&entry, &value);
            }
            _ => {}
        }
        Ok(())
    }

    /// All rows are restored and the log is replayed: everything that has a time starts now (see [`Naming::at`]).
    pub fn restored(&mut self) {
        self.volatile.marks.start_again(self.volatile.now.mono);
        let empty: Vec<u32> = self
            .volatile
            .services
            .iter()
            .filter(|(_, s)| s.armed != 0)
            .map(|(id, _)| id)
            .collect();
        for id in empty {
            self.volatile.arm_service(id, 0);
            self.review_empty(id);
        }
        let checked: Vec<u32> = self.volatile.checks.keys().copied().collect();
        for id in checked {
            self.begin_checks(id);
        }
        self.volatile.floor = self.mono();
    }

    /// All rows of durable state, as [`Naming::restore`] takes them.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let durable = &self.durable;
        let services = durable
            .services
            .iter()
            .map(|(key, metadata)| service(key, metadata));
        let of_instances =
            |(key, all): (&ServiceKey, &BTreeMap<InstanceKey, Arc<Instance>>)| -> Vec<RowWrite> {
                all.values().map(|i| instance(key, i)).collect()
            };
        let of_operators =
            |(key, all): (&ServiceKey, &BTreeMap<InstanceKey, OperatorMetadata>)| -> Vec<RowWrite> {
                all.iter()
                    .map(|(i, words)| operator(key, i, words))
                    .collect()
            };
        services
            .chain(durable.instances.iter().flat_map(of_instances))
            .chain(durable.operators.iter().flat_map(of_operators))
            .chain(
                durable
                    .switched
                    .values()
                    .map(|(entry, value)| switch(entry, value)),
            )
            .filter_map(|write| match write {
                RowWrite::Put { row, .. } => Some(row),
                RowWrite::Delete { .. } | RowWrite::Cut { .. } => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::trial::{Trial, instance, key, pairs, service},
        *,
    };
    use crate::{
        model::{HealthChecker, Weight},
        node::op::Op,
    };

    /// One of everything durable.
    fn full() -> Trial {
        let mut trial = Trial::new();
        trial.create("orders", false).unwrap();
        trial.check_by("orders", HealthChecker::None).unwrap();
        trial
            .register(
                "orders",
                Instance {
                    ephemeral: false,
                    ..instance(1)
                },
            )
            .unwrap();
        trial
            .register(
                "bare",
                Instance {
                    ephemeral: false,
                    ..instance(2)
                },
            )
            .unwrap();
        let (weight, metadata) = (Weight::new(3.0).unwrap(), pairs(&[("zone", "a")]));
        let update = Op::UpdateInstance {
            service: service("orders"),
            key: key(1),
            weight,
            enabled: false,
            metadata,
            ephemeral: false,
        };
        trial.http(update).unwrap();
        for (entry, value) in [
            ("check", "false"),
            ("pushVersion", "java:1.0.0"),
            ("pushVersion", "go:2.0.0"),
            ("check", "true"),
            ("pushVersion", "go:3.0.0"),
        ] {
            trial.switch(entry, value).unwrap();
        }
        trial
    }

    #[test]
    fn everything_durable_comes_back_from_its_rows() {
        let trial = full();
        assert_eq!(trial.rows.len(), 1 + 2 + 1 + 3);
        let again = trial.started_again();
        assert_eq!(again.naming.durable, trial.naming.durable);
        assert_eq!(again.naming.durable_bytes(), trial.naming.durable_bytes());
        assert_eq!(again.naming.switches().push_version_go, "3.0.0");
        let (shown, before) = (
            again.seen("orders", 1).unwrap(),
            trial.seen("orders", 1).unwrap(),
        );
        assert_eq!(
            (
                shown.weight.get(),
                shown.enabled,
                shown.metadata.get("zone")
            ),
            (3.0, false, Some("a"))
        );
        assert_eq!(shown, before);
    }

    #[test]
    fn a_damaged_row_is_an_error_and_changes_nothing() {
        let trial = full();
        let mut naming = Naming::new();
        for ((table, key), value) in &trial.rows {
            let row = |value: &[u8]| Row {
                table: *table,
                key: key.clone(),
                value: value.to_vec(),
            };
            assert_eq!(naming.restore(&row(&[])), Err(Decode::Empty));
            assert_eq!(naming.restore(&row(&[9])), Err(Decode::Version(9)));
            assert_eq!(
                naming.restore(&row(&value[..value.len() - 1])),
                Err(Decode::Malformed)
            );
        }
        assert!(naming.take_changes().is_empty() && naming.rows().is_empty());
        let other = Row {
            table: Table::Config,
            key: Vec::new(),
            value: Vec::new(),
        };
        assert_eq!(
            naming.restore(&other),
            Ok(()),
            "{}",
            "other tables are other modules'"
        );
    }
}
