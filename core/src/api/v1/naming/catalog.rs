//! `/v1/ns/catalog`: what the console of 1.x and 2.x shows of services.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{
    DECLARED_SERVICE, GROUP, NAMESPACE, PAGE, SIZE, clusters_of, each_service, page,
    service::holding, service_key,
};
use crate::{
    api::{
        Answer, Args, Class, Fault, Kind, Param, Plan, Route,
        hosts::push_host,
        service_json::{checker_json, float_json, metadata_json, selector_json},
    },
    model::ServiceMetadata,
    node::output::NameForm,
    view::{ServiceFilter, ServiceView},
};

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/ns/catalog/service",
        class: Class::Console,
        instead: "GET ${contextPath:nacos}/v3/console/ns/service",
        params: &[NAMESPACE, DECLARED_SERVICE, GROUP],
        summary: "Shows a service and its clusters.",
        make: service,
        ..Route::NAMING_V1
    },
    Route {
        methods: super::ANY,
        path: "/v1/ns/catalog/instances",
        class: Class::Console,
        instead: "GET ${contextPath:nacos}/v3/console/ns/instance/list",
        params: &[
            NAMESPACE,
            DECLARED_SERVICE,
            GROUP,
            Param::text("clusterName", "cluster").required(),
            PAGE,
            SIZE,
        ],
        summary: "Lists the instances of a cluster, disabled ones too.",
        make: instances,
        ..Route::NAMING_V1
    },
    Route {
        path: "/v1/ns/catalog/services",
        class: Class::Console,
        instead: "GET ${contextPath:nacos}/v3/console/ns/service/list",
        params: &[
            Param::of("withInstances", Kind::Bool, "services with their instances").default("true"),
            NAMESPACE,
            PAGE,
            SIZE,
            Param::text("serviceNameParam", "text in the name"),
            Param::text("groupNameParam", "text in the group"),
            Param::text("instance", "text in an instance's ip:port"),
            Param::of(
                "hasIpCount",
                Kind::Bool,
                "leave services without instances out",
            )
            .default("false"),
        ],
        summary: "Lists services with counts, or with their instances.",
        make: services,
        ..Route::NAMING_V1
    },
];

fn not_found(what: &str, name: &str) -> Fault {
    Fault::detail(404, 20_004, format!("{what} {name} is not found!"))
}

fn named(args: &Args<'_>) -> Result<Arc<ServiceView>, Fault> {
    let key = service_key(args);
    args.call()
        .view
        .service(&key)
        .ok_or_else(|| not_found("service", &key.grouped()))
}

fn service(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = named(args)?;
    let none = ServiceMetadata::default();
    let metadata = service.metadata().unwrap_or(&none);
    let clusters: Vec<Value> = clusters_of(&service)
        .iter()
        .map(|name| {
            let cluster = metadata.clusters.get(name).cloned().unwrap_or_default();
            json!({
                "serviceName": service.key.grouped(),
                "name": &**name,
                "healthChecker": checker_json(&cluster.checker),
                "defaultPort": 80,
                "defaultCheckPort": cluster.check_port,
                "useIPPort4Check": cluster.use_instance_port,
                "metadata": metadata_json(&cluster.extend),
            })
        })
        .collect();
    Ok(Plan::Answer(Answer::json_of(&json!({
        "service": {
            "name": &*service.key.name,
            "groupName": &*service.key.group,
            "protectThreshold": float_json(metadata.protect_threshold),
            "selector": selector_json(&metadata.selector),
            "metadata": metadata_json(&metadata.extend),
        },
        "clusters": clusters,
    }))))
}

fn instances(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = named(args)?;
    let cluster = args.text("clusterName");
    let of_cluster: Vec<_> = service
        .instances()
        .filter(|i| *i.key.cluster == *cluster)
        .collect();
    if of_cluster.is_empty() {
        return Err(not_found("cluster", cluster));
    }
    let (offset, size) = page(args);
    let mut out = Vec::from(&b"{\"list\":["[..]);
    for (at, instance) in of_cluster.iter().skip(offset).take(size).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_host(
            &mut out,
            &service.key,
            NameForm::Grouped,
            instance,
            instance.healthy,
        );
    }
    out.extend(format!("],\"count\":{}}}", of_cluster.len()).into_bytes());
    Ok(Plan::Answer(Answer::json(out)))
}

fn services(args: &Args<'_>) -> Result<Plan, Fault> {
    let filter = ServiceFilter {
        namespace: Some(args.shared("namespaceId")),
        group: holding(args.text("groupNameParam")),
        name: holding(args.text("serviceNameParam")),
        with_instances: args.flag("hasIpCount"),
    };
    let (offset, size) = page(args);
    let (with_instances, instance) = (args.flag("withInstances"), args.string("instance"));
    Ok(Plan::Long(Box::new(move |view| {
        let (count, shown) = if instance.is_empty() {
            let found = view.services(&filter, offset, size);
            (
                found.total,
                found
                    .items
                    .iter()
                    .map(|s| shown(s, with_instances))
                    .collect::<Vec<_>>(),
            )
        } else {
            let (mut count, mut items) = (0, Vec::new());
            each_service(view, &filter, |service| {
                let mut addresses = service
                    .instances()
                    .map(|i| format!("{}:{}", i.key.ip, i.key.port));
                if addresses.any(|a| a.contains(&*instance)) {
                    if (offset..offset.saturating_add(size)).contains(&count) {
                        items.push(shown(service, with_instances));
                    }
                    count += 1;
                }
            });
            (count, items)
        };
        Plan::Answer(if with_instances {
            Answer::json_of(&shown)
        } else {
            Answer::json_of(&json!({ "count": count, "serviceList": shown }))
        })
    })))
}

fn shown(service: &ServiceView, with_instances: bool) -> Value {
    if with_instances {
        with_its_instances(service)
    } else {
        service_counts_json(service)
    }
}

/// A service with its counts, as lists of all generations have it (`ServiceView` of the reference).
#[must_use]
pub fn service_counts_json(service: &ServiceView) -> Value {
    let healthy = service.instances().filter(|i| i.healthy).count();
    let threshold = service.metadata().map_or(0.0, |m| m.protect_threshold);
    // Of nothing there is no ratio: NaN is not less.
    let triggered = healthy as f32 / service.len() as f32 <= threshold;
    json!({
        "name": &*service.key.name,
        "groupName": &*service.key.group,
        "clusterCount": clusters_of(service).len(),
        "ipCount": service.len(),
        "healthyInstanceCount": healthy,
        "triggerFlag": if triggered { "true" } else { "false" },
    })
}

fn with_its_instances(service: &ServiceView) -> Value {
    let mut clusters: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for instance in service.instances() {
        clusters
            .entry(String::from(&*instance.key.cluster))
            .or_default()
            .push(json!({
                "valid": instance.healthy,
                "metadata": metadata_json(&instance.metadata),
                "port": instance.key.port,
                "ip": &*instance.key.ip,
                "weight": instance.weight.get(),
                "enabled": instance.enabled,
            }));
    }
    let map: BTreeMap<String, Value> = clusters
        .into_iter()
        .map(|(name, hosts)| (name, json!({ "clusterName": null, "healthChecker": null, "metadata": null, "hosts": hosts })))
        .collect();
    let none = ServiceMetadata::default();
    let metadata = service.metadata().unwrap_or(&none);
    json!({
        "namespace": null,
        "serviceName": &*service.key.name,
        "groupName": &*service.key.group,
        "clusterMap": map,
        "metadata": metadata_json(&metadata.extend),
        "protectThreshold": float_json(metadata.protect_threshold),
        "selector": null,
        "ephemeral": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            Compat, Method, Routes,
            tests::{View, ask, plan, told},
        },
        model::{Instance, InstanceKey, Metadata, ServiceKey, Weight},
        view::InstanceChange,
    };

    fn view() -> View {
        let instance = |n: u8, cluster: &str, healthy| {
            InstanceChange::Put(Arc::new(Instance {
                key: InstanceKey::new(&format!("10.20.0.{n}"), 80, cluster),
                weight: Weight::default(),
                healthy,
                enabled: healthy,
                ephemeral: true,
                metadata: Metadata::default(),
                instance_id: Arc::default(),
            }))
        };
        let instances = Vec::from([instance(1, "C1", true), instance(3, "", false)]);
        View::default()
            .with_service(&ServiceKey::new("", "", "ginst"), None, instances)
            .with_service(
                &ServiceKey::new("", "", "gsvc"),
                Some(ServiceMetadata::default()),
                Vec::new(),
            )
    }

    fn get(uri: &str) -> (u16, Value) {
        let view = view();
        let answer = match plan(&Routes::all(), &view, Compat::All, Method::Get, uri) {
            Plan::Answer(answer) => answer,
            Plan::Long(look) => match look(&view) {
                Plan::Answer(answer) => answer,
                _ => panic!("{uri} takes another step"),
            },
            _ => panic!("{uri} takes another step"),
        };
        let (status, _, body) = told(&answer);
        (
            status,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }

    #[test]
    fn services_are_counted() {
        let all = get("/v1/ns/catalog/services?pageNo=1&pageSize=20&withInstances=false").1;
        let want = json!({"count":2,"serviceList":[
            {"name":"ginst","groupName":"DEFAULT_GROUP","clusterCount":2,"ipCount":2,"healthyInstanceCount":1,"triggerFlag":"false"},
            {"name":"gsvc","groupName":"DEFAULT_GROUP","clusterCount":0,"ipCount":0,"healthyInstanceCount":0,"triggerFlag":"false"}]});
        assert_eq!(all, want);
        let with_ips = get(
            "/v1/ns/catalog/services?pageNo=1&pageSize=20&withInstances=false&hasIpCount=true&serviceNameParam=gsvc",
        );
        assert_eq!(with_ips.1, json!({"count":0,"serviceList":[]}));
        let by_address = get(
            "/v1/ns/catalog/services?pageNo=1&pageSize=20&withInstances=false&instance=10.20.0.3",
        );
        assert_eq!(by_address.1["count"], 1);
        let shown = get("/v1/ns/catalog/services?pageNo=1&pageSize=1").1;
        assert_eq!(
            shown[0]["clusterMap"]["DEFAULT"]["hosts"][0]["enabled"],
            false
        );
        assert_eq!(
            get("/v1/ns/catalog/services?pageSize=1").1,
            "Parameter 'pageNo' is missing"
        );
    }

    #[test]
    fn a_services_clusters_are_those_of_its_instances() {
        let shown = get("/v1/ns/catalog/service?serviceName=ginst").1;
        assert_eq!(shown["clusters"][0]["name"], "C1");
        assert_eq!(shown["clusters"][1]["healthChecker"], json!({"type":"TCP"}));
        assert_eq!(
            shown["service"]["selector"],
            json!({"type":"none","contextType":"NONE"})
        );
        let (status, text) = get("/v1/ns/catalog/service?serviceName=gper-none");
        assert_eq!(
            (status, text),
            (404, json!("service DEFAULT_GROUP@@gper-none is not found!"))
        );
    }

    #[test]
    fn instances_are_listed_by_cluster() {
        let uri = "/v1/ns/catalog/instances?serviceName=ginst&pageNo=1&pageSize=10&clusterName=";
        let listed = get(&format!("{uri}C1")).1;
        assert_eq!(
            (&listed["count"], &listed["list"][0]["ip"]),
            (&json!(1), &json!("10.20.0.1"))
        );
        let (status, _, text) = ask(
            &Routes::all(),
            &view(),
            Compat::All,
            Method::Get,
            &format!("{uri}C9"),
        );
        assert_eq!((status, &*text), (404, "cluster C9 is not found!"));
    }
}
