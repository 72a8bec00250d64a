//! Requests to naming: what is answered at once, and what needs the log.
//!
//! What stands in durable state is checked here as a courtesy and decided in `apply`.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};

use super::{
    Naming,
    state::{Address, Liveness},
};
use crate::{
    log::{Command, HealthFlip, PatchOf},
    model::{
        BeatTimes, HealthChecker, Instance, InstanceKey, Metadata, OperatorMetadata, ServiceKey,
        ServiceMetadata,
    },
    node::{
        Step, Turn,
        input::ConnId,
        op::Op,
        reply::{Answered, Refusal, Reply},
    },
};

/// Checks what Nacos refuses at a registration (`NamingUtils.checkInstanceIsLegal`): times that contradict each other,
/// and names of clusters with other characters than letters, digits and `-`.
///
/// # Errors
/// The reference's text.
pub fn check_instance(instance: &Instance) -> Result<(), String> {
    let times = BeatTimes::of(&instance.metadata);
    if times.timeout < times.interval || times.delete < times.interval {
        return Err("Instance 'heart beat interval' must less than 'heart beat timeout' and 'ip delete timeout'.".to_string());
    }
    let cluster = &instance.key.cluster;
    if !cluster
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    {
        return Err(format!(
            "Instance 'clusterName' should be characters with only 0-9a-zA-Z-. (current: {cluster})"
        ));
    }
    Ok(())
}

impl Naming {
    /// Handles a request of naming; one of another module is answered as illegal.
    pub fn request(&mut self, turn: Turn<'_>, op: Op) -> Step {
        self.at(turn.now);
        self.step(turn, op)
            .unwrap_or_else(|refusal| Step::Done(Err(refusal)))
    }

    fn step(&mut self, turn: Turn<'_>, op: Op) -> Result<Step, Refusal> {
        let done = Ok(Step::Done(Ok(Reply::Done)));
        let propose = |command| Ok(Step::Propose(command));
        match op {
            Op::Register { service, instance } => {
                self.register(turn.origin.conn, service, instance)
            }
            Op::BatchRegister { service, instances } => {
                let conn = turn.origin.conn.ok_or(Refusal::Unregistered)?;
                self.batch(conn, &service, instances)
                    .map(|reply| Step::Done(Ok(reply)))
            }
            Op::Deregister {
                service,
                key,
                ephemeral,
            } => self.deregister(turn.origin.conn, service, &key, ephemeral),
            Op::Beat { service, key, full } => Ok(Step::Done(self.beat(&service, &key, full))),
            Op::UpdateInstance {
                service,
                key,
                weight,
                enabled,
                metadata,
                ephemeral: _,
            } => {
                self.existing(&service)?;
                let metadata = OperatorMetadata {
                    weight,
                    enabled,
                    extend: metadata,
                };
                propose(Command::PutOperator {
                    service,
                    key,
                    metadata,
                })
            }
            Op::PatchInstance {
                service,
                key,
                weight,
                enabled,
                metadata,
            } => {
                let known = self
                    .service_id(&service)
                    .is_some_and(|id| self.shown(id, &key).is_some());
                if !known {
                    return Err(Refusal::InstanceNotFound);
                }
                let put = metadata.unwrap_or_default();
                let patch = PatchOf {
                    weight,
                    enabled,
                    put,
                    remove: Metadata::default(),
                };
                propose(Command::PatchOperator {
                    service,
                    keys: vec![key],
                    patch,
                })
            }
            Op::MetadataBatch {
                service,
                persistent,
                remove,
                metadata,
                instances,
            } => {
                let keys = self.batch_of(&service, persistent, instances);
                if keys.is_empty() {
                    return Ok(Step::Done(Ok(Reply::Updated(keys))));
                }
                let (put, remove) = if remove {
                    (Metadata::default(), metadata)
                } else {
                    (metadata, Metadata::default())
                };
                propose(Command::PatchOperator {
                    service,
                    keys,
                    patch: PatchOf {
                        put,
                        remove,
                        ..PatchOf::default()
                    },
                })
            }
            Op::SetHealth {
                service,
                key,
                healthy,
            } => {
                let described = self
                    .durable
                    .services
                    .get(&service)
                    .and_then(|m| m.clusters.get(&key.cluster));
                if described.is_none_or(|c| c.checker != HealthChecker::None) {
                    return Err(Refusal::CheckedByServer);
                }
                match self.persistent_at(&service, &key).pop() {
                    Some(key) => propose(Command::FlipHealth(vec![HealthFlip {
                        service,
                        key,
                        healthy,
                    }])),
                    None => done,
                }
            }
            Op::CreateService { service, metadata } => {
                if self.service_id(&service).is_some() {
                    return Err(Refusal::ServiceExists);
                }
                propose(Command::CreateService { service, metadata })
            }
            Op::UpdateService { service, metadata } => {
                let ephemeral = self.existing(&service)?;
                propose(Command::UpdateService {
                    service,
                    metadata: ServiceMetadata {
                        ephemeral,
                        ..metadata
                    },
                })
            }
            Op::DeleteService { service } => {
                self.existing(&service)?;
                let empty = self
                    .service_id(&service)
                    .is_none_or(|id| self.volatile.services[id].records.is_empty());
                if !empty {
                    return Err(Refusal::ServiceNotEmpty);
                }
                propose(Command::DeleteService { service })
            }
            Op::UpdateCluster {
                service,
                cluster,
                metadata,
            } => {
                let ephemeral = self.existing(&service)?;
                propose(Command::UpdateCluster {
                    service,
                    cluster,
                    metadata,
                    ephemeral,
                })
            }
            Op::SetSwitch { entry, value } => {
                (*self.durable.switches)
                    .clone()
                    .set(&entry, &value)
                    .map_err(Refusal::Illegal)?;
                propose(Command::SetSwitch { entry, value })
            }
            Op::Ask(question) => Ok(Step::Done(self.ask(&question))),
            _ => Err(Refusal::Illegal("no request of naming".to_string())),
        }
    }

    /// Whether a service's instances are ephemeral, if it exists.
    fn existing(&self, service: &ServiceKey) -> Result<bool, Refusal> {
        let id = self.service_id(service).ok_or(Refusal::ServiceNotFound)?;
        Ok(self.volatile.services[id].ephemeral)
    }

    fn register(
        &mut self,
        conn: Option<ConnId>,
        service: ServiceKey,
        mut instance: Instance,
    ) -> Result<Step, Refusal> {
        if conn.is_some_and(|conn| self.client_of(conn).is_none()) {
            return Err(Refusal::Unregistered);
        }
        if instance.ephemeral {
            let address = Address::of_beats(&instance.key);
            self.register_ephemeral(conn, address, &service, vec![instance])?;
            return Ok(Step::Done(Ok(Reply::Done)));
        }
        check_instance(&instance).map_err(Refusal::Illegal)?;
        if self.existing(&service) == Ok(true) {
            return Err(Refusal::OtherKind {
                service,
                persistent: false,
            });
        }
        self.give_id(&service, &mut instance);
        Ok(Step::Propose(Command::PutInstance { service, instance }))
    }

    fn batch(&mut self, conn: ConnId, service: &ServiceKey, instances: Vec<Instance>) -> Answered {
        let client = self.client_of(conn).ok_or(Refusal::Unregistered)?;
        if instances.iter().any(|i| !i.ephemeral) {
            return Err(Refusal::Illegal(
                "Batch registration does not allow persistent instance registration!".to_string(),
            ));
        }
        if !instances.is_empty() {
            let address = Address {
                ip: Arc::from(""),
                port: 0,
                ephemeral: true,
            };
            self.register_ephemeral(Some(conn), address, service, instances)?;
        } else if self.existing(service) == Ok(false) {
            return Err(Refusal::OtherKind {
                service: service.clone(),
                persistent: true,
            });
        } else if let Some(id) = self.service_id(service) {
            self.publish(client, id, Vec::new());
        }
        Ok(Reply::Done)
    }

    /// Replaces what a connection, or else the client of `address`, publishes of a service. `instances` is not empty.
    pub(super) fn register_ephemeral(
        &mut self,
        conn: Option<ConnId>,
        address: Address,
        service: &ServiceKey,
        mut instances: Vec<Instance>,
    ) -> Result<(), Refusal> {
        debug_assert!(!instances.is_empty(), "a client of an address has a record");
        for instance in &instances {
            check_instance(instance).map_err(Refusal::Illegal)?;
        }
        let id = self.service_made(service, true);
        // One that was just made is.
        if !self.volatile.services[id].ephemeral {
            return Err(Refusal::OtherKind {
                service: service.clone(),
                persistent: true,
            });
        }
        for instance in &mut instances {
            self.give_id(service, instance);
        }
        let instances = instances.into_iter().map(|i| self.thrifty(id, i)).collect();
        let client = match conn {
            Some(conn) => self.client_of(conn).ok_or(Refusal::Unregistered)?,
            None => self.client_made(address),
        };
        self.publish(client, id, instances);
        Ok(())
    }

    fn deregister(
        &mut self,
        conn: Option<ConnId>,
        service: ServiceKey,
        key: &InstanceKey,
        ephemeral: bool,
    ) -> Result<Step, Refusal> {
        if conn.is_some_and(|conn| self.client_of(conn).is_none()) {
            return Err(Refusal::Unregistered);
        }
        if !ephemeral {
            return Ok(match self.persistent_at(&service, key).pop() {
                Some(key) => Step::Propose(Command::RemoveInstance { service, key }),
                None => Step::Done(Ok(Reply::Done)),
            });
        }
        let address = Address::of_beats(key);
        let client = match conn {
            Some(conn) => self.client_of(conn),
            None => self.client_at(&address),
        };
        if let (Some(client), Some(id)) = (client, self.service_id(&service)) {
            // Whatever the client publishes of the service goes; address and cluster are not compared.
            let records: Vec<u32> = self.published_by(client, id).collect();
            if conn.is_none() && !records.is_empty() {
                let now = self.mono();
                self.volatile.marks.withdrew(service, address, now);
            }
            for record in records {
                self.withdraw(record);
            }
        }
        Ok(Step::Done(Ok(Reply::Done)))
    }

    /// Keys of the instances that a metadata batch is about, in the order of their keys.
    fn batch_of(
        &self,
        service: &ServiceKey,
        persistent: bool,
        wanted: Option<Vec<InstanceKey>>,
    ) -> Vec<InstanceKey> {
        let Some(id) = self.service_id(service) else {
            return Vec::new();
        };
        let of_kind = |record: &u32| {
            (self.volatile.records[*record].liveness == Liveness::Checked) == persistent
        };
        let mut keys: Vec<InstanceKey> = match wanted {
            None => {
                let records = self.volatile.services[id].records.ids().filter(of_kind);
                records
                    .map(|r| self.volatile.records[r].published.key.clone())
                    .collect()
            }
            Some(wanted) => wanted
                .into_iter()
                .filter(|key| self.records_of(id, key).iter().any(of_kind))
                .collect(),
        };
        keys.sort();
        keys.dedup();
        keys
    }
}
