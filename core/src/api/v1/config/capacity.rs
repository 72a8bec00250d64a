//! Quotas of namespaces and groups.

use serde_json::{Value, json};

use super::{given, moment, rest};
use crate::{
    api::{Args, Check, Class, Fault, Kind, Method, Param, Plan, Right, Route, ServerFacts},
    node::op::{CapacityChange, CapacityOf, Op},
    view::{CapacityItem, Reading},
};

const GROUP: Param = Param::text("group", "group, if a quota of a group is meant");
const TENANT: Param = Param::text("tenant", "namespace, if a quota of a namespace is meant");
/// What the reference keeps for aggregates: their count and their size.
const AGGREGATES: [u32; 2] = [10_000, 1_024];

const BASE: Route = Route {
    class: Class::Admin,
    check: Check::Config,
    path: "/v1/cs/capacity",
    ..Route::CONFIG_V1
};

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        instead: "GET {contextPath:nacos}/v3/admin/cs/capacity",
        params: &[GROUP, TENANT],
        summary: "Shows what a namespace or group may hold and holds.",
        make: show,
        ..BASE
    },
    Route {
        methods: &[Method::Post],
        instead: "POST {contextPath:nacos}/v3/admin/cs/capacity",
        params: &[
            GROUP,
            TENANT,
            Param::of("quota", Kind::Int, "configs"),
            Param::of("maxSize", Kind::Int, "bytes of one config"),
            Param::of("maxAggrCount", Kind::Int, "kept and shown only"),
            Param::of("maxAggrSize", Kind::Int, "kept and shown only"),
        ],
        right: Right::Admin,
        summary: "Sets quotas of a namespace or group.",
        make: set,
        ..BASE
    },
];

/// Whose quotas a request means, by the names of its parameters; the namespace's if it names both.
pub(in crate::api) fn capacity_of(
    args: &Args<'_>,
    namespace: &str,
    group: &str,
) -> Option<CapacityOf> {
    match (args.text(namespace), args.text(group)) {
        ("", "") => None,
        ("", _) => Some(CapacityOf::Group(args.shared(group))),
        (_, _) => Some(CapacityOf::Namespace(args.shared(namespace))),
    }
}

fn nobody() -> Plan {
    let text = "The parameter group and tenant cannot be empty at the same time";
    Plan::Answer(rest(400, Some(text), &Value::Null))
}

/// Quotas with the defaults in the place of what was never set, as all generations show them; whose they are is
/// added under a name of each.
#[must_use]
pub fn capacity_json(view: &dyn Reading, server: &ServerFacts, of: &CapacityOf) -> Value {
    let item: CapacityItem = view.capacity(of).unwrap_or_default();
    let or = |set: u32, default: u32| if set == 0 { default } else { set };
    let quota = match of {
        CapacityOf::Group(_) => server.quotas[1],
        CapacityOf::Namespace(_) => server.quotas[2],
    };
    let time = |wall: u64| {
        if wall == 0 {
            Value::Null
        } else {
            moment(wall).into()
        }
    };
    json!({
        "id": alloc::format!("{}", item.id),
        "quota": or(item.quota, quota),
        "usage": item.usage,
        "maxSize": or(item.max_size, server.max_size),
        "maxAggrCount": or(item.max_aggr_count, AGGREGATES[0]),
        "maxAggrSize": or(item.max_aggr_size, AGGREGATES[1]),
        "gmtCreate": time(item.created),
        "gmtModified": time(item.modified),
    })
}

fn show(args: &Args<'_>) -> Result<Plan, Fault> {
    let Some(of) = capacity_of(args, "tenant", "group") else {
        return Ok(nobody());
    };
    let call = args.call();
    let mut shown = capacity_json(call.view, call.server, &of);
    match &of {
        CapacityOf::Group(group) => shown["group"] = given(group),
        CapacityOf::Namespace(id) => shown["tenant"] = given(id),
    }
    Ok(Plan::Answer(rest(200, None, &shown)))
}

/// What a request changes.
pub(in crate::api) fn change(args: &Args<'_>) -> CapacityChange {
    // What is negative means the default, as 0 does.
    let number = |name: &str| {
        args.given(name)
            .filter(|v| !v.is_empty())
            .map(|_| u32::try_from(args.int(name)).unwrap_or(0))
    };
    CapacityChange {
        quota: number("quota"),
        max_size: number("maxSize"),
        max_aggr_count: number("maxAggrCount"),
        max_aggr_size: number("maxAggrSize"),
    }
}

fn set(args: &Args<'_>) -> Result<Plan, Fault> {
    let Some(of) = capacity_of(args, "tenant", "group") else {
        return Ok(nobody());
    };
    let change = change(args);
    if change == CapacityChange::default() {
        let text = "The parameters quota, maxSize, maxAggrCount, maxAggrSize cannot be empty at the same time";
        return Ok(Plan::Answer(rest(400, Some(text), &Value::Null)));
    }
    Ok(args.submit(Op::SetCapacity { of, change }, |_| {
        Ok(rest(200, None, &true.into()))
    }))
}
