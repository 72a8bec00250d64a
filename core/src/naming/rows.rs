//! Rows of naming's durable state: how they are written and read back.
//!
//! A row's key orders it; its value says everything again, so that reading needs the value alone.

use alloc::{collections::BTreeMap, format, sync::Arc, vec::Vec};

use super::Naming;
use crate::{
    log::{Decode, Row, RowWrite, Table, decode, encode},
    model::{Instance, InstanceKey, OperatorMetadata, ServiceKey, ServiceMetadata},
};

/// Appends a text so that the order of the bytes is that of the texts, and a text's end is told from its content.
fn push_text(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 0]);
}

fn service_key(service: &ServiceKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(service.namespace.len() + service.group.len() + service.name.len() + 6);
    for text in [&service.namespace, &service.group, &service.name] {
        push_text(&mut out, text);
    }
    out
}

fn instance_key(service: &ServiceKey, key: &InstanceKey) -> Vec<u8> {
    let mut out = service_key(service);
    push_text(&mut out, &key.ip);
    out.extend(key.port.to_be_bytes());
    push_text(&mut out, &key.cluster);
    out
}

fn put(table: Table, key: Vec<u8>, value: Vec<u8>) -> RowWrite {
    RowWrite::Put { row: Row { table, key, value }, content: None }
}

pub(super) fn service(key: &ServiceKey, metadata: &ServiceMetadata) -> RowWrite {
    put(Table::Service, service_key(key), encode(&(key, metadata)))
}

pub(super) fn service_gone(key: &ServiceKey) -> RowWrite {
    RowWrite::Delete { table: Table::Service, key: service_key(key) }
}

pub(super) fn instance(service: &ServiceKey, instance: &Instance) -> RowWrite {
    put(Table::Instance, instance_key(service, &instance.key), encode(&(service, instance)))
}

pub(super) fn instance_gone(service: &ServiceKey, key: &InstanceKey) -> RowWrite {
    RowWrite::Delete { table: Table::Instance, key: instance_key(service, key) }
}

pub(super) fn operator(service: &ServiceKey, key: &InstanceKey, words: &OperatorMetadata) -> RowWrite {
    put(Table::Operator, instance_key(service, key), encode(&(service, key, words)))
}

pub(super) fn operator_gone(service: &ServiceKey, key: &InstanceKey) -> RowWrite {
    RowWrite::Delete { table: Table::Operator, key: instance_key(service, key) }
}

/// What a text of a switch replaces: the entry, or the part of it that is set apart.
pub(super) fn switch_part(entry: &str, value: &str) -> Arc<str> {
    match value.split_once(':') {
        Some((kind, _)) if entry == "pushVersion" => format!("{entry}:{kind}").into(),
        _ => Arc::from(entry),
    }
}

pub(super) fn switch(entry: &str, value: &str) -> RowWrite {
    put(Table::Switch, switch_part(entry, value).as_bytes().to_vec(), encode(&(entry, value)))
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
                let (service, key, words): (ServiceKey, InstanceKey, OperatorMetadata) = decode(&row.value)?;
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
        let empty: Vec<u32> = self.volatile.services.iter().filter(|(_, s)| s.armed != 0).map(|(id, _)| id).collect();
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
        let services = durable.services.iter().map(|(key, metadata)| service(key, metadata));
        let of_instances = |(key, all): (&ServiceKey, &BTreeMap<InstanceKey, Arc<Instance>>)| -> Vec<RowWrite> {
            all.values().map(|i| instance(key, i)).collect()
        };
        let of_operators = |(key, all): (&ServiceKey, &BTreeMap<InstanceKey, OperatorMetadata>)| -> Vec<RowWrite> {
            all.iter().map(|(i, words)| operator(key, i, words)).collect()
        };
        services
            .chain(durable.instances.iter().flat_map(of_instances))
            .chain(durable.operators.iter().flat_map(of_operators))
            .chain(durable.switched.values().map(|(entry, value)| switch(entry, value)))
            .filter_map(|write| match write {
                RowWrite::Put { row, .. } => Some(row),
                RowWrite::Delete { .. } | RowWrite::Cut { .. } => None,
            })
            .collect()
    }
}
