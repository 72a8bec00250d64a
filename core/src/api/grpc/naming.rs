//! Naming requests.

use alloc::{format, string::String, vec::Vec};

use serde_json::Value;

use super::{GrpcAnswer, GrpcCall, GrpcRoute, Refused, body::Object, check, refuse, success};
use crate::{
    api::{
        check::{Names, length_of},
        hosts,
        plan::Plan,
        v1::naming::instance::check_generator,
    },
    model::{BeatTimes, Instance, InstanceKey, ServiceKey, Weight, split_grouped},
    node::{
        op::Op,
        output::{NameForm, RenderClass},
        reply::Answered,
    },
    view::{Reading, ServiceFilter, TextFilter},
};

/// Services of one page, at most.
const MAX_PAGE: usize = 500;

pub(super) const ROUTES: &[GrpcRoute] = &[
    GrpcRoute {
        kind: "InstanceRequest",
        answer: "InstanceResponse",
        summary: "registers or removes this connection's instance of a service",
        make: instance,
    },
    GrpcRoute {
        kind: "BatchInstanceRequest",
        answer: "BatchInstanceResponse",
        summary: "replaces all instances of a service that this connection publishes",
        make: batch,
    },
    GrpcRoute {
        kind: "PersistentInstanceRequest",
        answer: "InstanceResponse",
        summary: "registers or removes a persistent instance",
        make: persistent,
    },
    GrpcRoute {
        kind: "ServiceQueryRequest",
        answer: "QueryServiceResponse",
        summary: "lists the instances of a service",
        make: query,
    },
    GrpcRoute {
        kind: "SubscribeServiceRequest",
        answer: "SubscribeServiceResponse",
        summary: "subscribes this connection to a service, or ends that",
        make: subscribe,
    },
    GrpcRoute {
        kind: "ServiceListRequest",
        answer: "ServiceListResponse",
        summary: "lists the services of a group, page by page",
        make: services,
    },
    GrpcRoute {
        kind: "NamingFuzzyWatchRequest",
        answer: "NamingFuzzyWatchResponse",
        summary: "watches services by a pattern of names, or ends that",
        make: fuzzy_watch,
    },
];

/// The service that a request names: plainly, or with its group in the name.
fn service_of(body: &Object) -> Result<ServiceKey, Refused> {
    let (name, group) = (body.text("serviceName"), body.text("groupName"));
    let (own, name) = split_grouped(&name);
    let namespace = body.text("namespace");
    let group = own.unwrap_or(&group);
    check(&Names {
        namespace: &namespace,
        service: name,
        group,
        ..Names::default()
    })?;
    if name.trim().is_empty() {
        return Err(Refused::new(400, "Param 'serviceName' is required."));
    }
    Ok(ServiceKey::new(&namespace, group, name))
}

fn instance_of(body: &Object, ephemeral: bool) -> Result<Instance, Refused> {
    let illegal = |text: String| Refused::new(400, text);
    let (ip, cluster) = (body.text("ip"), body.text("clusterName"));
    let port = body.int("port", 0).map_err(illegal)?;
    let metadata = body.metadata("metadata");
    check(&Names {
        ip: &ip,
        port: &format!("{port}"),
        cluster: &cluster,
        metadata: length_of(metadata.iter()),
        ..Names::default()
    })?;
    let weight = body.number("weight", 1.0).map_err(illegal)?;
    let weight = Weight::new(weight.clamp(0.0, Weight::MAX)).unwrap_or_default();
    let times = BeatTimes::of(&metadata);
    if times.timeout < times.interval || times.delete < times.interval {
        return Err(Refused::new(
            400,
            "Instance 'heart beat interval' must less than 'heart beat timeout' and 'ip delete timeout'.",
        ));
    }
    check_generator(&metadata).map_err(|text| Refused::new(500, text))?;
    Ok(Instance {
        key: InstanceKey::new(&ip, u16::try_from(port).unwrap_or_default(), &cluster),
        weight,
        healthy: body.flag("healthy", true),
        enabled: body.flag("enabled", true),
        ephemeral,
        metadata,
        instance_id: body.shared("instanceId"),
    })
}

/// Who is removed need not be named, who is registered must be.
fn must_have_address(instance: &Instance) -> Result<(), Refused> {
    if instance.key.ip.trim().is_empty() {
        return Err(Refused::new(400, "Param 'ip' is required."));
    }
    Ok(())
}

fn answered(
    kind: &'static str,
    verb: &'static str,
) -> impl FnOnce(Answered) -> GrpcAnswer + Send + 'static {
    move |result| match result {
        Ok(_) => success(kind, [("type", verb.into())]),
        Err(refusal) => refuse(kind, refusal.into()),
    }
}

fn publish(body: &Object, ephemeral: bool) -> Result<Plan<GrpcAnswer>, Refused> {
    let service = service_of(body)?;
    let given = body.object("instance").unwrap_or_default();
    let instance = instance_of(&given, ephemeral)?;
    match body.str("type") {
        Some("registerInstance") => {
            must_have_address(&instance)?;
            Ok(Plan::submit(
                Op::Register { service, instance },
                answered("InstanceResponse", "registerInstance"),
            ))
        }
        Some("deregisterInstance") => {
            let op = Op::Deregister {
                service,
                key: instance.key,
                ephemeral,
            };
            Ok(Plan::submit(
                op,
                answered("InstanceResponse", "deregisterInstance"),
            ))
        }
        other => Err(Refused::new(
            400,
            format!("Unsupported request type {}", other.unwrap_or_default()),
        )),
    }
}

fn instance(_: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    publish(body, true)
}

fn persistent(_: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    publish(body, false)
}

fn batch(_: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let service = service_of(body)?;
    if body.str("type") != Some("batchRegisterInstance") {
        return Err(Refused::new(
            400,
            format!("Unsupported request type {}", body.text("type")),
        ));
    }
    let given = body.objects("instances");
    if given.iter().any(|i| !i.flag("ephemeral", true)) {
        return Err(Refused::new(
            400,
            "Batch registration does not allow persistent instance registration.",
        ));
    }
    let instances = given
        .iter()
        .map(|i| instance_of(i, true))
        .collect::<Result<Vec<_>, _>>()?;
    instances.iter().try_for_each(must_have_address)?;
    let op = Op::BatchRegister { service, instances };
    Ok(Plan::submit(
        op,
        answered("BatchInstanceResponse", "batchRegisterInstance"),
    ))
}

/// An answer with the list of a service in it.
fn with_list(
    kind: &'static str,
    view: &dyn Reading,
    service: &ServiceKey,
    class: &RenderClass,
    policies: bool,
    wall: u64,
) -> GrpcAnswer {
    let list = hosts::service_list(
        view,
        service,
        class,
        view.switches().default_push_cache_millis,
        wall,
    );
    let mut json = Vec::with_capacity(list.len() + 96);
    json.extend_from_slice(
        br#"{"resultCode":200,"errorCode":0,"success":true,"message":"success","serviceInfo":"#,
    );
    json.extend_from_slice(&list);
    if policies {
        super::push::push_policy(&mut json, view, service);
    }
    json.push(b'}');
    GrpcAnswer {
        kind,
        json,
        ok: true,
    }
}

/// The consumer's address, if the service's selector looks at it.
fn consumer(
    view: &dyn Reading,
    service: &ServiceKey,
    ip: &alloc::sync::Arc<str>,
) -> alloc::sync::Arc<str> {
    let selects = view.service(service).and_then(|s| {
        s.metadata()
            .map(|m| m.selector != crate::model::Selector::None)
    });
    if selects == Some(true) {
        ip.clone()
    } else {
        "".into()
    }
}

fn query(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let service = service_of(body)?;
    let clusters = body.shared("cluster");
    check(&Names {
        clusters: &clusters,
        ..Names::default()
    })?;
    let class = RenderClass {
        clusters,
        healthy_only: body.flag("healthyOnly", false),
        names: NameForm::Plain,
        consumer: consumer(call.view, &service, &call.details.ip),
    };
    Ok(Plan::Answer(with_list(
        "QueryServiceResponse",
        call.view,
        &service,
        &class,
        call.details.wants_policies(),
        call.now.wall,
    )))
}

fn subscribe(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    const KIND: &str = "SubscribeServiceResponse";
    let service = service_of(body)?;
    let clusters = body.shared("clusters");
    check(&Names {
        clusters: &clusters,
        ..Names::default()
    })?;
    let app = (call.header)("app").unwrap_or_default().into();
    let op = if body.flag("subscribe", true) {
        Op::Subscribe {
            service: service.clone(),
            clusters: clusters.clone(),
            app,
        }
    } else {
        Op::Unsubscribe {
            service: service.clone(),
        }
    };
    let (ip, wall) = (call.details.ip.clone(), call.now.wall);
    let policies = call.details.wants_policies();
    Ok(Plan::submit_then(op, move |result, view| {
        Plan::Answer(match result {
            Ok(_) => {
                let consumer = consumer(view, &service, &ip);
                let class = RenderClass {
                    clusters,
                    healthy_only: false,
                    names: NameForm::Plain,
                    consumer,
                };
                with_list(KIND, view, &service, &class, policies, wall)
            }
            Err(refusal) => refuse(KIND, refusal.into()),
        })
    }))
}

fn services(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let (namespace, group) = (body.text("namespace"), body.text("groupName"));
    check(&Names {
        namespace: &namespace,
        group: &group,
        ..Names::default()
    })?;
    let illegal = |text: String| Refused::new(400, text);
    let page = usize::try_from(body.int("pageNo", 1).map_err(illegal)?)
        .unwrap_or(1)
        .max(1);
    let size = usize::try_from(body.int("pageSize", 10).map_err(illegal)?)
        .unwrap_or_default()
        .min(MAX_PAGE);
    let key = ServiceKey::new(&namespace, &group, "x");
    let filter = ServiceFilter {
        namespace: Some(key.namespace),
        group: TextFilter::Equal((*key.group).into()),
        ..ServiceFilter::default()
    };
    let found = call
        .view
        .services(&filter, (page - 1).saturating_mul(size), size);
    let names: Vec<Value> = found
        .items
        .iter()
        .map(|s| Value::from(&*s.key.name))
        .collect();
    let fields = [
        ("count", Value::from(found.total)),
        ("serviceNames", names.into()),
    ];
    Ok(Plan::Answer(success("ServiceListResponse", fields)))
}

fn fuzzy_watch(_: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    Ok(super::config::fuzzy_plan(
        false,
        "NamingFuzzyWatchResponse",
        body,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{Compat, replay::member::Member};

    #[test]
    fn what_cannot_be_an_instance_is_not_registered() {
        let mut member = Member::new(Compat::All);
        let mut ask = |kind: &str, more: Value| {
            let mut body = json!({"namespace": "public", "groupName": "g", "serviceName": "s"});
            for (name, value) in more.as_object().expect("fields") {
                body[name] = value.clone();
            }
            let (_, answer) = member.grpc(kind, &body);
            (answer["errorCode"].clone(), answer["message"].clone())
        };
        let nameless = (json!(400), json!("Param 'ip' is required."));
        let register = "registerInstance";
        for kind in ["InstanceRequest", "PersistentInstanceRequest"] {
            assert_eq!(ask(kind, json!({"type": register})), nameless);
        }
        let batch = json!({"type": "batchRegisterInstance", "instances": [{"ip": " ", "port": 1}]});
        assert_eq!(ask("BatchInstanceRequest", batch), nameless);
        let odd =
            json!({"ip": "10.0.0.1", "metadata": {"preserved.instance.id.generator": "uuid"}});
        let odd = ask(
            "InstanceRequest",
            json!({"type": register, "instance": odd}),
        );
        assert_eq!(odd.0, 500);
        // Who removes what a connection publishes need not say where it was.
        let removed = ask("InstanceRequest", json!({"type": "deregisterInstance"}));
        assert_eq!(removed.0, 0);
    }
}
