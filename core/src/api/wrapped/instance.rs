//! Instances in the `Result` wrapper.

use alloc::{format, sync::Arc, vec::Vec};

use serde_json::json;

use super::{coded, data, ok, wrapped};
use crate::{
    api::{
        Answer, Args, Fault, Plan,
        hosts::{AllIps, hosts_unnamed, push_host, push_host_unnamed, service_list_unnamed},
        service_json::metadata_json,
        v1::naming::{instance as v1, instance_key, page, service_key},
    },
    model::{Instance, split_grouped},
    node::{
        op::Op,
        output::{NameForm, RenderClass},
        reply::{Refusal, Reply},
    },
    view::ServiceView,
};

/// Registers.
pub(in crate::api) fn register(args: &Args<'_>) -> Result<Plan, Fault> {
    v1::register(args).map(wrapped)
}

/// Removes; that there was nothing is well.
pub(in crate::api) fn deregister(args: &Args<'_>) -> Result<Plan, Fault> {
    v1::deregister(args).map(wrapped)
}

/// Replaces what operators say.
pub(in crate::api) fn update(args: &Args<'_>) -> Result<Plan, Fault> {
    v1::update(args).map(wrapped)
}

/// Sets metadata keys of several.
pub(in crate::api) fn set_metadata(args: &Args<'_>) -> Result<Plan, Fault> {
    v1::set_metadata(args).map(wrapped)
}

/// Removes metadata keys of several.
pub(in crate::api) fn remove_metadata(args: &Args<'_>) -> Result<Plan, Fault> {
    v1::remove_metadata(args).map(wrapped)
}

/// v2's changes of what is given: only by grouped names, and answered without the wrapper.
pub(in crate::api) fn patch_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    grouped_only(args)?;
    v1::patch(args)
}

/// v2's beats: only by grouped names, and answered without the wrapper.
pub(in crate::api) fn beat_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    grouped_only(args)?;
    v1::beat(args)
}

fn grouped_only(args: &Args<'_>) -> Result<(), Fault> {
    match split_grouped(args.text("serviceName")) {
        (Some(_), _) => Ok(()),
        (None, _) => Err(Fault::Argument(
            "Param 'serviceName' is illegal, it should be format as 'groupName@@serviceName'"
                .into(),
        )),
    }
}

/// v3's partial change, whose form fills weight and flag before anything is laid over.
pub(in crate::api) fn partial(args: &Args<'_>) -> Result<Plan, Fault> {
    let instance = v1::instance(args)?;
    let given = args.given("metadata").is_some_and(|m| !m.is_empty());
    let op = Op::PatchInstance {
        service: service_key(args),
        key: instance.key,
        weight: Some(instance.weight),
        enabled: Some(instance.enabled),
        metadata: given.then_some(instance.metadata),
    };
    Ok(args.submit(op, ok))
}

/// v3's registration, which with `heartBeat=true` is a light beat and nothing more.
pub(in crate::api) fn register_or_beat(args: &Args<'_>) -> Result<Plan, Fault> {
    if !args.flag("heartBeat") {
        return register(args);
    }
    let op = Op::Beat {
        service: service_key(args),
        key: instance_key(args),
        full: None,
    };
    let telling = args.telling();
    Ok(Plan::submit(op, move |answered| match answered {
        Ok(Reply::Beat { known: false, .. })
        | Err(Refusal::InstanceNotFound | Refusal::ServiceNotFound | Refusal::OtherKind { .. }) => {
            coded(21_003, "null")
        }
        Ok(_) => Answer::wrapped("\"ok\""),
        Err(refusal) => Fault::from(refusal).tell(&telling),
    }))
}

fn found(args: &Args<'_>) -> Result<(Arc<ServiceView>, Arc<Instance>), Fault> {
    let (service, key) = (service_key(args), instance_key(args));
    let view = args.call().view.service(&service);
    let view = view.filter(|s| !s.is_empty()).ok_or_else(|| {
        let (cluster, service) = (&key.cluster, service.grouped());
        Fault::detail(
            404,
            20_004,
            format!("no ips found for cluster {cluster} in service {service}"),
        )
    })?;
    let instance = view
        .instance(&key)
        .cloned()
        .ok_or_else(|| Fault::detail(404, 20_004, "no matched ip found!"))?;
    Ok((view, instance))
}

/// v2's one instance.
pub(in crate::api) fn detail_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let (service, instance) = found(args)?;
    let id = Some(&*instance.instance_id).filter(|id| !id.is_empty());
    Ok(Plan::Answer(data(&json!({
        "serviceName": service.key.grouped(),
        "ip": &*instance.key.ip,
        "port": instance.key.port,
        "clusterName": &*instance.key.cluster,
        "weight": instance.weight.get(),
        "healthy": instance.healthy,
        "instanceId": id,
        "metadata": metadata_json(&instance.metadata),
    }))))
}

/// v3's one instance, as lists have it.
pub(in crate::api) fn detail_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    let (service, instance) = found(args)?;
    let mut out = Vec::new();
    push_host_unnamed(
        &mut out,
        &service.key,
        NameForm::Grouped,
        &instance,
        instance.healthy,
    );
    Ok(wrapped(Plan::Answer(Answer::json(out))))
}

/// The class of readers that a list of one of these routes is for.
fn class(args: &Args<'_>, healthy_only: bool, consumer: &str) -> RenderClass {
    let service = args.call().view.service(&service_key(args));
    let by_label = service.is_some_and(|s| s.selects_by_label());
    RenderClass {
        clusters: args.shared("clusterName"),
        healthy_only,
        names: NameForm::Grouped,
        consumer: if by_label {
            Arc::from(consumer)
        } else {
            Arc::default()
        },
    }
}

/// v2's list, which also subscribes a UDP port.
pub(in crate::api) fn list_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let service = service_key(args);
    let client = match args.text("ip") {
        "" => call.ip,
        given => given,
    };
    let class = class(args, args.flag("healthyOnly"), client);
    let (wall, all_ips) = (call.now.wall, AllIps::from(call.server.compat));
    let port = u16::try_from(args.int("port")).unwrap_or_default();
    if port == 0 || client.is_empty() {
        let cache = call.view.switches().default_push_cache_millis;
        let list = service_list_unnamed(call.view, &service, &class, cache, wall, all_ips);
        return Ok(wrapped(Plan::Answer(Answer::json(list))));
    }
    let agent = (call.header)("user-agent").or_else(|| (call.header)("client-version"));
    let op = Op::SubscribeUdp {
        service: service.clone(),
        clusters: class.clusters.clone(),
        ip: Arc::from(client),
        port,
        agent: Arc::from(agent.unwrap_or_default()),
        app: args.shared("app"),
        names: NameForm::Grouped,
    };
    let telling = args.telling();
    // The node first and the view after it, so that no change slips between list and pushes.
    Ok(wrapped(Plan::submit_then(op, move |answered, view| {
        let cache = match answered {
            Ok(Reply::Subscribed { cache_millis, .. }) => cache_millis,
            Ok(_) => view.switches().default_push_cache_millis,
            Err(refusal) => return Plan::Answer(Fault::from(refusal).tell(&telling)),
        };
        Plan::Answer(Answer::json(service_list_unnamed(
            view, &service, &class, cache, wall, all_ips,
        )))
    })))
}

/// v3's list for clients: hosts alone, of one cluster, the unhealthy ones too.
pub(in crate::api) fn list_client(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let hosts = hosts_unnamed(call.view, &service_key(args), &class(args, false, call.ip));
    Ok(wrapped(Plan::Answer(Answer::json(hosts))))
}

/// The instances of a service that an administrator is shown, the disabled ones too; 404 if there are none.
fn of_cluster(
    args: &Args<'_>,
    cluster: Option<&str>,
) -> Result<(Arc<ServiceView>, Vec<Arc<Instance>>), Fault> {
    let key = service_key(args);
    let missing =
        |what: &str, name: &str| Fault::business(404, format!("{what} {name} is not found!"));
    let service = args.call().view.service(&key);
    let service = service.ok_or_else(|| missing("service", &key.grouped()))?;
    let fits = |i: &&Arc<Instance>| cluster.is_none_or(|c| *i.key.cluster == *c);
    let found: Vec<Arc<Instance>> = service.instances().filter(fits).cloned().collect();
    match cluster {
        Some(cluster) if found.is_empty() => Err(missing("cluster", cluster)),
        _ => Ok((service, found)),
    }
}

/// v3's list for administrators.
pub(in crate::api) fn list_admin(args: &Args<'_>) -> Result<Plan, Fault> {
    let (service, mut found) = of_cluster(args, Some(args.text("clusterName")))?;
    if args.flag("healthyOnly") {
        found.retain(|i| i.healthy);
    }
    let hosts = hosts_json(&service, &found, push_host_unnamed);
    Ok(wrapped(Plan::Answer(Answer::json(hosts))))
}

/// v3's list for the console, in pages.
pub(in crate::api) fn list_console(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = super::positive_page(args)?;
    let (service, found) = of_cluster(args, Some(args.text("clusterName")))?;
    let (total, pages) = (found.len(), super::naming_pages(found.len(), size));
    let shown: Vec<_> = found
        .into_iter()
        .skip((number - 1).saturating_mul(size))
        .take(size)
        .collect();
    let mut out = format!(
        r#"{{"totalCount":{total},"pageNumber":{number},"pagesAvailable":{pages},"pageItems":"#
    )
    .into_bytes();
    out.extend(hosts_json(&service, &shown, push_host_unnamed));
    out.push(b'}');
    Ok(wrapped(Plan::Answer(Answer::json(out))))
}

/// v2's list for the console, of all clusters; an empty page has no list.
pub(in crate::api) fn catalog_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let (service, mut found) = of_cluster(args, None)?;
    if args.flag("healthyOnly") {
        found.retain(|i| i.healthy);
    }
    if args.flag("enabledOnly") {
        found.retain(|i| i.enabled);
    }
    let (offset, size) = page(args);
    let count = found.len();
    let shown: Vec<_> = found.into_iter().skip(offset).take(size).collect();
    let mut out = Vec::from(&b"{"[..]);
    if !shown.is_empty() {
        out.extend(b"\"instances\":");
        out.extend(hosts_json(&service, &shown, push_host));
        out.push(b',');
    }
    out.extend(format!("\"count\":{count}}}").into_bytes());
    Ok(wrapped(Plan::Answer(Answer::json(out))))
}

fn hosts_json(
    service: &ServiceView,
    instances: &[Arc<Instance>],
    push: impl Fn(&mut Vec<u8>, &crate::model::ServiceKey, NameForm, &Instance, bool),
) -> Vec<u8> {
    let mut out = Vec::from(&b"["[..]);
    for (at, instance) in instances.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(
            &mut out,
            &service.key,
            NameForm::Grouped,
            instance,
            instance.healthy,
        );
    }
    out.push(b']');
    out
}

/// v2's states of a service's instances, whose key stands in the path; without the wrapper.
pub(in crate::api) fn statuses_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(v1::statuses_of(
        args.call().view,
        &args.part("key"),
    )))
}
