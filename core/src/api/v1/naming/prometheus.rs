//! `/prometheus`: instances as targets for Prometheus' discovery over HTTP.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::each_service;
use crate::{
    api::{Answer, Args, Check, Class, Fault, Param, Plan, Route, push_json_string},
    model::Instance,
    view::{ServiceFilter, TextFilter},
};

const BASE: Route = Route {
    class: Class::Client,
    check: Check::None,
    ..Route::NAMING_V1
};
const NAMESPACE: Param = Param::text("namespaceId", "namespace, in the path");

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/prometheus",
        summary: "Lists all instances as targets.",
        make: targets,
        ..BASE
    },
    Route {
        path: "/prometheus/namespaceId/{namespaceId}",
        params: &[NAMESPACE],
        summary: "Lists the instances of a namespace as targets.",
        make: targets,
        ..BASE
    },
    Route {
        path: "/prometheus/namespaceId/{namespaceId}/service/{service}",
        params: &[
            NAMESPACE,
            Param::text("service", "service of any group, in the path"),
        ],
        summary: "Lists the instances of a service as targets.",
        make: targets,
        ..BASE
    },
];

fn targets(args: &Args<'_>) -> Result<Plan, Fault> {
    let (namespace, service) = (args.part("namespaceId"), args.part("service"));
    let filter = ServiceFilter {
        namespace: (!namespace.is_empty()).then(|| Arc::from(&*namespace)),
        name: if service.is_empty() {
            TextFilter::Any
        } else {
            TextFilter::Equal(service.into_owned())
        },
        with_instances: true,
        ..ServiceFilter::default()
    };
    Ok(Plan::Long(Box::new(move |view| {
        let mut out = Vec::from(&b"["[..]);
        each_service(view, &filter, |service| {
            for instance in service.instances() {
                if out.len() > 1 {
                    out.push(b',');
                }
                push_target(&mut out, instance);
            }
        });
        out.push(b']');
        Plan::Answer(Answer::new(200, Answer::JSON_UTF8, out))
    })))
}

fn push_target(out: &mut Vec<u8>, instance: &Instance) {
    out.extend(b"{\"targets\":[");
    push_json_string(
        out,
        &alloc::format!("{}:{}", instance.key.ip, instance.key.port),
    );
    out.extend(b"],\"labels\":{\"__meta_clusterName\":");
    push_json_string(out, &instance.key.cluster);
    // A name that came out of two must not stand there twice.
    let mut names: Vec<(alloc::string::String, &str)> = instance
        .metadata
        .iter()
        .map(|(name, value)| (name.replace(['.', '-'], "_"), value))
        .collect();
    names.sort();
    names.dedup_by(|a, b| a.0 == b.0);
    for (name, value) in names
        .iter()
        .filter(|(name, _)| name != "__meta_clusterName")
    {
        out.push(b',');
        push_json_string(out, name);
        out.push(b':');
        push_json_string(out, value);
    }
    out.extend(b"}}");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::{
            Compat, Method, Routes,
            tests::{View, plan, told},
        },
        model::{InstanceKey, ServiceKey, Weight},
        view::InstanceChange,
    };

    fn get(path: &str) -> Value {
        let instance = Instance {
            key: InstanceKey::new("10.0.0.1", 80, ""),
            weight: Weight::default(),
            healthy: true,
            enabled: true,
            ephemeral: true,
            metadata: [("a.b-c", "1"), ("a-b-c", "2")].into_iter().collect(),
            instance_id: Arc::default(),
        };
        let put = || Vec::from([InstanceChange::Put(Arc::new(instance.clone()))]);
        let view = View::default()
            .with_service(&ServiceKey::new("", "", "a"), None, put())
            .with_service(&ServiceKey::new("n s", "g", "b"), None, put());
        let Plan::Long(look) = plan(&Routes::all(), &view, Compat::All, Method::Get, path) else {
            panic!("is long")
        };
        let Plan::Answer(answer) = look(&view) else {
            panic!("is answered")
        };
        serde_json::from_str(&told(&answer).2).unwrap()
    }

    #[test]
    fn instances_are_targets() {
        let target = json!({"targets":["10.0.0.1:80"],"labels":{"__meta_clusterName":"DEFAULT","a_b_c":"1"}});
        assert_eq!(get("/prometheus"), json!([target, target]));
        assert_eq!(get("/prometheus/namespaceId/public"), json!([target]));
        assert_eq!(
            get("/prometheus/namespaceId/n%20s/service/b"),
            json!([target])
        );
        assert_eq!(get("/prometheus/namespaceId/n%20s/service/a"), json!([]));
        assert_eq!(get("/prometheus/namespaceId/none"), json!([]));
    }
}
