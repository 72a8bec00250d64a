//! How servers are told and asked: over gRPC, or over HTTP and UDP.

mod grpc;
mod http;
mod udp;

pub(super) use self::{
    grpc::GrpcWire,
    http::{HasStore, HttpWire},
};
use super::{Published, store::Store};
use crate::{Error, Instance, ServerAddress};
use nacrite_core::model::ServiceKey;
use serde_json::Value;

/// One of the two.
#[derive(Debug)]
pub(super) enum Wire {
    Grpc(Box<GrpcWire>),
    Http(HttpWire),
}

impl Wire {
    pub(super) fn is_connected(&self) -> bool {
        match self {
            Self::Grpc(wire) => wire.rpc.is_connected(),
            Self::Http(_) => true,
        }
    }

    pub(super) fn server(&self) -> Option<ServerAddress> {
        match self {
            Self::Grpc(wire) => wire.rpc.server(),
            Self::Http(wire) => wire.v1.server(),
        }
    }

    pub(super) fn kick(&self) {
        if let Self::Grpc(wire) = self {
            wire.rpc.kick();
        }
    }

    /// Makes what this client publishes of a service so.
    pub(super) async fn publish(
        &self,
        key: &ServiceKey,
        published: &Published,
    ) -> Result<(), Error> {
        match self {
            Self::Grpc(wire) => wire.publish(key, published).await,
            Self::Http(wire) => wire.publish(key, published).await,
        }
    }

    /// Registers (or removes) a persistent instance.
    pub(super) async fn persistent(
        &self,
        key: &ServiceKey,
        instance: &Instance,
        register: bool,
    ) -> Result<(), Error> {
        match self {
            Self::Grpc(wire) => wire.persistent(key, instance, register).await,
            Self::Http(wire) => wire.put(key, instance, register).await,
        }
    }

    /// Subscribes; what is said of the service goes into the store.
    pub(super) async fn subscribe(&self, key: &ServiceKey, store: &Store) -> Result<(), Error> {
        match self {
            Self::Grpc(wire) => {
                let body = wire.subscribe(key, true).await?;
                store.take(&body, "answered");
                Ok(())
            }
            Self::Http(wire) => wire.subscribe(key).await,
        }
    }

    pub(super) async fn unsubscribe(&self, key: &ServiceKey) -> Result<(), Error> {
        match self {
            Self::Grpc(wire) => wire.subscribe(key, false).await.map(drop),
            Self::Http(wire) => {
                wire.unsubscribe(key);
                Ok(())
            }
        }
    }

    /// An object with the service in it.
    pub(super) async fn query(
        &self,
        key: &ServiceKey,
        clusters: &str,
        healthy_only: bool,
    ) -> Result<Value, Error> {
        match self {
            Self::Grpc(wire) => wire.query(key, clusters, healthy_only).await,
            Self::Http(wire) => wire.query(key, clusters, healthy_only).await,
        }
    }

    pub(super) async fn services(
        &self,
        key: &ServiceKey,
        page: u32,
        size: u32,
    ) -> Result<(u64, Vec<String>), Error> {
        match self {
            Self::Grpc(wire) => wire.services(key, page, size).await,
            Self::Http(wire) => wire.services(key, page, size).await,
        }
    }
}

/// How many, and which texts, under these names.
fn counted(body: &Value, count: &str, names: &str) -> (u64, Vec<String>) {
    let count = body.get(count).and_then(Value::as_u64);
    let names = body.get(names).and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    (
        count.unwrap_or_default(),
        names.map(str::to_owned).collect(),
    )
}
