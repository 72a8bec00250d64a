//! Services in the `Result` wrapper.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use serde_json::{Value, json};

use super::{data, naming_pages, ok, page_json, positive_page, wrapped};
use crate::{
    api::{
        Answer, Args, Fault, Kind, Param, Plan,
        hosts::push_host_unnamed,
        service_json::{
            checker_json, float_json, metadata_json, selector_json, service_fault, service_unknown,
        },
        v1::naming::{
            CLUSTER, GROUP, IP, NAMESPACE, PORT, SERVICE,
            catalog::service_counts_json,
            clusters_of, health as v1_health,
            service::{self as v1, holding},
            service_key,
        },
    },
    model::ServiceMetadata,
    node::{
        op::{Op, Question},
        output::NameForm,
        reply::{Reply, Subscriber},
    },
    view::{ServiceFilter, ServiceView, TextFilter},
};

/// What creates or changes a service.
pub(in crate::api) const FORM: &[Param] = &[
    SERVICE,
    NAMESPACE,
    GROUP,
    Param::of(
        "ephemeral",
        Kind::Bool,
        "whether its instances live by beats",
    )
    .default("false"),
    Param::of(
        "protectThreshold",
        Kind::Float,
        "share of healthy ones at which all look healthy",
    )
    .default("0"),
    v1::METADATA,
    v1::SELECTOR,
];
/// What sets the health of an instance.
pub(in crate::api) const HEALTH: &[Param] = &[
    SERVICE,
    IP,
    PORT,
    Param::of("healthy", Kind::Bool, "whether it is healthy")
        .required()
        .asked(),
    NAMESPACE,
    GROUP,
    CLUSTER,
];

/// Most names of a page of v2's list.
const NAMES: usize = 500;

/// Creates.
pub(in crate::api) fn create(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let metadata = ServiceMetadata {
        ephemeral: args.flag("ephemeral"),
        ..v1::metadata(args)?
    };
    let op = Op::CreateService {
        service: service.clone(),
        metadata,
    };
    Ok(args.submit_or(op, move |refusal| service_fault(&service, refusal), ok))
}

/// Replaces threshold, metadata and selector.
pub(in crate::api) fn update(args: &Args<'_>) -> Result<Plan, Fault> {
    v1::update(args).map(wrapped)
}

/// Removes one without instances.
pub(in crate::api) fn delete(args: &Args<'_>) -> Result<Plan, Fault> {
    v1::delete(args).map(wrapped)
}

/// Describes a cluster.
pub(in crate::api) fn set_cluster(args: &Args<'_>) -> Result<Plan, Fault> {
    v1_health::set_cluster(args).map(wrapped)
}

/// Sets the health of an instance that nobody checks.
pub(in crate::api) fn set_health(args: &Args<'_>) -> Result<Plan, Fault> {
    v1_health::set_health(args).map(wrapped)
}

/// Lists the kinds of health checks.
pub(in crate::api) fn checkers(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped(v1_health::CHECKERS)))
}

/// Lists the types of selectors.
pub(in crate::api) fn selector_types(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped(r#"["label","none"]"#)))
}

/// v2's one service.
pub(in crate::api) fn detail_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    detail(args, "namespace")
}

/// v3's one service.
pub(in crate::api) fn detail_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    detail(args, "namespaceId")
}

fn detail(args: &Args<'_>, namespace: &str) -> Result<Plan, Fault> {
    let key = service_key(args);
    let view = args.call().view.service(&key);
    let service = view.ok_or_else(|| service_unknown(&key))?;
    let none = ServiceMetadata::default();
    let metadata = service.metadata().unwrap_or(&none);
    let clusters: BTreeMap<String, Value> = clusters_of(&service)
        .iter()
        .map(|name| {
            let cluster = metadata.clusters.get(name).cloned().unwrap_or_default();
            let mut shown = json!({
                "clusterName": &**name,
                "healthChecker": checker_json(&cluster.checker),
                "metadata": metadata_json(&cluster.extend),
                "hosts": null,
            });
            if namespace == "namespaceId" {
                shown["healthyCheckPort"] = cluster.check_port.into();
                shown["useInstancePortForCheck"] = cluster.use_instance_port.into();
            }
            (String::from(&**name), shown)
        })
        .collect();
    Ok(Plan::Answer(data(&json!({
        namespace: &*key.namespace,
        "serviceName": &*key.name,
        "groupName": &*key.group,
        "clusterMap": clusters,
        "metadata": metadata_json(&metadata.extend),
        "protectThreshold": float_json(metadata.protect_threshold),
        "selector": selector_json(&metadata.selector),
        "ephemeral": service.ephemeral(),
    }))))
}

/// v2's list of names.
pub(in crate::api) fn names(args: &Args<'_>) -> Result<Plan, Fault> {
    let filter = ServiceFilter {
        namespace: Some(args.shared("namespaceId")),
        group: TextFilter::Equal(args.string("groupName")),
        ..ServiceFilter::default()
    };
    let (number, size) = args.page(NAMES);
    let offset = (number - 1).saturating_mul(size);
    let found = args.call().view.services(&filter, offset, size);
    let names: Vec<&str> = found.items.iter().map(|s| &*s.key.name).collect();
    Ok(Plan::Answer(data(
        &json!({ "count": found.total, "services": names }),
    )))
}

/// v3's list of services with counts, or with their instances.
pub(in crate::api) fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = positive_page(args)?;
    let filter = ServiceFilter {
        namespace: Some(args.shared("namespaceId")),
        group: holding(args.text("groupNameParam")),
        name: holding(args.text("serviceNameParam")),
        with_instances: args.flag("ignoreEmptyService"),
    };
    let with_instances = args.flag("withInstances");
    Ok(Plan::Long(Box::new(move |view| {
        let found = view.services(&filter, (number - 1).saturating_mul(size), size);
        let shown: Vec<Value> = found
            .items
            .iter()
            .map(|service| {
                if with_instances {
                    with_its_instances(service)
                } else {
                    service_counts_json(service)
                }
            })
            .collect();
        let pages = naming_pages(found.total, size);
        Plan::Answer(data(&page_json(found.total, number, pages, &shown)))
    })))
}

fn with_its_instances(service: &ServiceView) -> Value {
    let mut clusters: BTreeMap<String, Value> = BTreeMap::new();
    for instance in service.instances() {
        let mut host = Vec::new();
        push_host_unnamed(
            &mut host,
            &service.key,
            NameForm::Grouped,
            instance,
            instance.healthy,
        );
        let host: Value = serde_json::from_slice(&host).expect("a host is written as JSON");
        let cluster = clusters
            .entry(String::from(&*instance.key.cluster))
            .or_insert_with(|| {
                json!({ "clusterName": null, "healthChecker": null, "healthyCheckPort": 80,
                "useInstancePortForCheck": true, "metadata": null, "hosts": [] })
            });
        if let Value::Array(hosts) = &mut cluster["hosts"] {
            hosts.push(host);
        }
    }
    let none = ServiceMetadata::default();
    let metadata = service.metadata().unwrap_or(&none);
    json!({
        "namespaceId": null,
        "serviceName": &*service.key.name,
        "groupName": &*service.key.group,
        "clusterMap": clusters,
        "metadata": metadata_json(&metadata.extend),
        "protectThreshold": float_json(metadata.protect_threshold),
        "selector": null,
        "ephemeral": null,
    })
}

/// v3's subscribers of one service.
pub(in crate::api) fn subscribers(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = positive_page(args)?;
    let key = service_key(args);
    let question = Question::Subscribers {
        namespace: key.namespace.clone(),
        group: String::from(&*key.group),
        name: String::from(&*key.name),
        exact: true,
    };
    Ok(args.submit(Op::Ask(question), move |reply| {
        let Reply::Subscribers(mut all) = reply else {
            return ok(reply);
        };
        all.sort_by(|a, b| (&a.ip, a.port, &a.client).cmp(&(&b.ip, b.port, &b.client)));
        let offset = (number - 1).saturating_mul(size);
        let shown: Vec<Value> = all
            .iter()
            .skip(offset)
            .take(size)
            .map(subscriber_json)
            .collect();
        let pages = naming_pages(all.len(), size);
        Ok(data(&page_json(all.len(), number, pages, &shown)))
    }))
}

fn subscriber_json(subscriber: &Subscriber) -> Value {
    json!({
        "namespaceId": &*subscriber.service.namespace,
        "groupName": &*subscriber.service.group,
        "serviceName": &*subscriber.service.name,
        "ip": &*subscriber.ip,
        "port": subscriber.port,
        "agent": &*subscriber.agent,
        "appName": &*subscriber.app,
    })
}
