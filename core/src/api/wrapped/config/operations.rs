//! Quotas, and what operators ask of the part that keeps configs.

use serde_json::Value;

use crate::{
    api::{
        Answer, Args, Fault, Plan, clients,
        v1::config::{
            capacity::{self, capacity_json, change},
            group_key,
        },
        wrapped::{data, done},
    },
    model::ConfigKey,
    node::op::{CapacityChange, CapacityOf, Op},
};

fn capacity_of(args: &Args<'_>) -> Result<CapacityOf, Fault> {
    capacity::capacity_of(args, "namespaceId", "groupName").ok_or_else(|| {
        Fault::detail(
            400,
            10_000,
            "At least one of the parameters (groupName or namespaceId) must be provided",
        )
    })
}

/// v3's quotas, the defaults in the place of what was never set.
pub(in crate::api) fn capacity(args: &Args<'_>) -> Result<Plan, Fault> {
    let of = capacity_of(args)?;
    let mut shown = capacity_json(args.call().view, args.call().server, &of);
    for time in ["gmtCreate", "gmtModified"] {
        shown[time] = Value::Null;
    }
    let (whose, name) = match &of {
        CapacityOf::Group(name) => ("groupName", name),
        CapacityOf::Namespace(name) => ("namespaceId", name),
    };
    shown[whose] = (**name).into();
    Ok(Plan::Answer(data(&shown)))
}

/// Sets v3's quotas.
pub(in crate::api) fn set_capacity(args: &Args<'_>) -> Result<Plan, Fault> {
    let of = capacity_of(args)?;
    let change = change(args);
    if change == CapacityChange::default() {
        return Err(Fault::detail(
            400,
            10_000,
            "At least one of the parameters (quota, maxSize, maxAggrCount or maxAggrSize) must be provided",
        ));
    }
    Ok(args.submit(Op::SetCapacity { of, change }, done))
}

/// What clients of an address hold of a config.
pub(in crate::api) fn metrics(args: &Args<'_>) -> Result<Plan, Fault> {
    if args.text("dataId").is_empty() {
        return Err(Fault::Argument("invalid dataId : null".into()));
    }
    if args.text("groupName").is_empty() {
        return Err(Fault::Argument("invalid group : null".into()));
    }
    let namespace = args.text("namespaceId");
    let key = ConfigKey::new(namespace, args.text("groupName"), args.text("dataId"));
    let key = group_key(&key, &key.namespace);
    Ok(clients::config_metrics(args, key, data))
}

/// Reads are always answered from what is stored.
pub(in crate::api) fn local_cache(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped(
        "\"Local cache updated from store successfully!\"",
    )))
}

/// There is no such database; the reference says the same where it is switched off.
pub(in crate::api) fn derby(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::json(
        r#"{"code":30000,"message":"Derby ops is disabled, please set `nacos.config.derby.ops.enabled=true` to enabled this feature.","data":null}"#,
    )))
}
