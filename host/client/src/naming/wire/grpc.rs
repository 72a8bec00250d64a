//! Naming requests of gRPC.

use std::sync::Arc;

use nacrite_core::model::ServiceKey;
use serde_json::{Value, json};

use super::counted;
use crate::{
    Error, Instance, Settings,
    naming::Published,
    rpc::{Answer, Rpc},
    v1::V1,
};

#[derive(Debug)]
pub(in crate::naming) struct GrpcWire {
    pub(in crate::naming) rpc: Rpc,
    pub(in crate::naming) settings: Arc<Settings>,
    /// For what a server does not take over gRPC.
    pub(in crate::naming) v1: V1,
}

/// The fields by which every request names a service.
fn named(key: &ServiceKey) -> Value {
    json!({
        "namespace": &*key.namespace,
        "groupName": &*key.group,
        "serviceName": &*key.name,
        "headers": {},
        "module": "naming",
    })
}

impl GrpcWire {
    async fn ask(&self, kind: &str, body: &Value) -> Result<Answer, Error> {
        let headers = [("app", &*self.settings.app)];
        self.rpc.request(kind, body, &headers).await
    }

    pub(super) async fn publish(
        &self,
        key: &ServiceKey,
        published: &Published,
    ) -> Result<(), Error> {
        let mut body = named(key);
        let kind = match (&published.instances[..], published.wanted) {
            ([one], true) => {
                body["type"] = "registerInstance".into();
                body["instance"] = json!(one);
                "InstanceRequest"
            }
            ([one, ..], false) => {
                body["type"] = "deregisterInstance".into();
                body["instance"] = json!(one);
                "InstanceRequest"
            }
            (all, _) => {
                body["type"] = "batchRegisterInstance".into();
                body["instances"] = json!(all);
                "BatchInstanceRequest"
            }
        };
        self.ask(kind, &body).await.map(drop)
    }

    pub(super) async fn persistent(
        &self,
        key: &ServiceKey,
        instance: &Instance,
        register: bool,
    ) -> Result<(), Error> {
        if !self.rpc.server_can("supportPersistentInstanceByGrpc") {
            return super::http::put(&self.v1, key, instance, register).await;
        }
        let mut body = named(key);
        let verb = if register {
            "registerInstance"
        } else {
            "deregisterInstance"
        };
        body["type"] = verb.into();
        body["instance"] = json!(instance);
        self.ask("PersistentInstanceRequest", &body).await.map(drop)
    }

    pub(super) async fn subscribe(&self, key: &ServiceKey, on: bool) -> Result<Value, Error> {
        let mut body = named(key);
        body["subscribe"] = on.into();
        body["clusters"] = "".into();
        Ok(self.ask("SubscribeServiceRequest", &body).await?.body)
    }

    pub(super) async fn query(
        &self,
        key: &ServiceKey,
        clusters: &str,
        healthy_only: bool,
    ) -> Result<Value, Error> {
        let mut body = named(key);
        body["cluster"] = clusters.into();
        body["healthyOnly"] = healthy_only.into();
        body["udpPort"] = 0.into();
        Ok(self.ask("ServiceQueryRequest", &body).await?.body)
    }

    pub(super) async fn services(
        &self,
        key: &ServiceKey,
        page: u32,
        size: u32,
    ) -> Result<(u64, Vec<String>), Error> {
        let mut body = named(key);
        body["pageNo"] = page.into();
        body["pageSize"] = size.into();
        let answer = self.ask("ServiceListRequest", &body).await?;
        Ok(counted(&answer.body, "count", "serviceNames"))
    }
}
