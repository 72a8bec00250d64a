//! What clients of the naming module publish and subscribe to, in the `Result` wrapper.

use alloc::{format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::{data, ok};
use crate::{
    api::{Args, Fault, Plan, v1::naming::service_key},
    node::{
        op::{Op, Question},
        reply::{Client, Refusal, Reply, ServiceClient},
    },
};

/// Lists the ids of all clients.
pub(in crate::api) fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(args.submit(Op::Ask(Question::Clients), |reply| {
        let Reply::Clients(ids) = reply else {
            return ok(reply);
        };
        let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
        Ok(data(&ids))
    }))
}

fn one(
    args: &Args<'_>,
    show: impl FnOnce(&Client) -> Value + Send + 'static,
) -> Result<Plan, Fault> {
    let id = args.shared("clientId");
    let missing = format!("clientId [ {id} ] not exist");
    let refused = move |refusal| match refusal {
        Refusal::ClientNotFound => Fault::detail(404, 20_004, missing),
        other => other.into(),
    };
    Ok(
        args.submit_or(Op::Ask(Question::Client { id }), refused, |reply| {
            let Reply::Client(client) = reply else {
                return ok(reply);
            };
            Ok(data(&show(&client)))
        }),
    )
}

/// v2's client, which says of its connection only if it has one.
pub(in crate::api) fn detail_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    one(args, |client| {
        let mut shown = client_json(client);
        if let (None, Value::Object(fields)) = (&client.connection, &mut shown) {
            for field in [
                "connectType",
                "appName",
                "version",
                "clientIp",
                "clientPort",
            ] {
                fields.remove(field);
            }
        }
        shown
    })
}

/// v3's client.
pub(in crate::api) fn detail_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    one(args, client_json)
}

fn client_json(client: &Client) -> Value {
    let connection = client.connection.as_ref();
    json!({
        "clientId": &*client.id,
        "ephemeral": client.ephemeral,
        "lastUpdatedTime": client.updated,
        "clientType": if connection.is_some() { "connection" } else { "ipPort" },
        "connectType": connection.map(|_| "GRPC"),
        "appName": connection.map(|c| &*c.app),
        "version": connection.map(|c| &*c.version),
        "clientIp": connection.map(|c| &*c.ip),
        "clientPort": connection.map_or(0, |c| c.port),
    })
}

/// v2's list of what a client publishes.
pub(in crate::api) fn published_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    one(args, |client| {
        let all = client.published.iter().map(|(service, key)| {
            json!({
                "namespace": &*service.namespace,
                "group": &*service.group,
                "serviceName": &*service.name,
                "registeredInstance": { "ip": &*key.ip, "port": key.port, "cluster": &*key.cluster },
            })
        });
        all.collect()
    })
}

/// v3's list of what a client publishes.
pub(in crate::api) fn published_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    one(args, |client| {
        let all = client.published.iter().map(|(service, key)| {
            json!({
                "namespaceId": &*service.namespace,
                "groupName": &*service.group,
                "serviceName": &*service.name,
                "publisherInfo": {
                    "clientId": &*client.id,
                    "ip": &*key.ip,
                    "port": key.port,
                    "clusterName": &*key.cluster,
                },
                "subscriberInfo": null,
            })
        });
        all.collect()
    })
}

/// v2's list of what a client subscribes to.
pub(in crate::api) fn subscribed_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    one(args, |client| {
        let all = client.subscribed.iter().map(|s| {
            json!({
                "namespace": &*s.service.namespace,
                "group": &*s.service.group,
                "serviceName": &*s.service.name,
                "subscriberInfo": { "app": &*s.app, "agent": &*s.agent, "addr": format!("{}:{}", s.ip, s.port) },
            })
        });
        all.collect()
    })
}

/// v3's list of what a client subscribes to.
pub(in crate::api) fn subscribed_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    one(args, |client| {
        let all = client.subscribed.iter().map(|s| {
            json!({
                "namespaceId": &*s.service.namespace,
                "groupName": &*s.service.group,
                "serviceName": &*s.service.name,
                "publisherInfo": null,
                "subscriberInfo": {
                    "clientId": &*client.id,
                    "appName": &*s.app,
                    "agent": &*s.agent,
                    "address": format!("{}:{}", s.ip, s.port),
                },
            })
        });
        all.collect()
    })
}

/// Which clients of a service are meant.
struct Wanted {
    ip: String,
    port: Option<i64>,
    /// Whether an address that is not given fits none instead of all.
    exactly: bool,
}

impl Wanted {
    fn of(args: &Args<'_>, exactly: bool) -> Self {
        let port = args.given("port").filter(|p| !p.is_empty());
        Self {
            ip: args.string("ip"),
            port: port.map(|_| args.int("port")),
            exactly,
        }
    }

    fn fits(&self, client: &ServiceClient) -> bool {
        let ip = if self.ip.is_empty() {
            !self.exactly
        } else {
            *self.ip == *client.key.ip
        };
        let port = self
            .port
            .map_or(!self.exactly, |p| p == i64::from(client.key.port));
        ip && port
    }
}

fn of_service(
    args: &Args<'_>,
    question: Question,
    exactly: bool,
    show: fn(&ServiceClient) -> Value,
) -> Plan {
    let wanted = Wanted::of(args, exactly);
    args.submit(Op::Ask(question), move |reply| {
        let Reply::ServiceClients(all) = reply else {
            return ok(reply);
        };
        let shown: Vec<Value> = all.iter().filter(|c| wanted.fits(c)).map(show).collect();
        Ok(data(&shown))
    })
}

/// v2's list of who publishes a service from one address.
pub(in crate::api) fn publishers_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let show = |c: &ServiceClient| json!({ "ip": &*c.key.ip, "port": c.key.port, "cluster": &*c.key.cluster, "clientId": &*c.client });
    Ok(of_service(
        args,
        Question::PublishersOf { service },
        true,
        show,
    ))
}

/// v3's list of who publishes a service.
pub(in crate::api) fn publishers_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let show = |c: &ServiceClient| json!({ "clientId": &*c.client, "ip": &*c.key.ip, "port": c.key.port, "clusterName": &*c.key.cluster });
    Ok(of_service(
        args,
        Question::PublishersOf { service },
        false,
        show,
    ))
}

/// v2's list of who subscribes to a service from one address.
pub(in crate::api) fn subscribers_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let show = |c: &ServiceClient| json!({ "clientId": &*c.client, "app": &*c.app, "agent": &*c.agent, "addr": address(c) });
    Ok(of_service(
        args,
        Question::SubscribersOf { service },
        true,
        show,
    ))
}

/// v3's list of who subscribes to a service.
pub(in crate::api) fn subscribers_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let show = |c: &ServiceClient| json!({ "clientId": &*c.client, "appName": &*c.app, "agent": &*c.agent, "address": address(c) });
    Ok(of_service(
        args,
        Question::SubscribersOf { service },
        false,
        show,
    ))
}

fn address(client: &ServiceClient) -> String {
    format!("{}:{}", client.key.ip, client.key.port)
}
