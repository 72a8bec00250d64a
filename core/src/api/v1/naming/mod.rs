//! Routes of `/v1/ns`.

pub mod catalog;
pub mod health;
pub mod instance;
pub mod operator;
pub mod prometheus;
pub mod service;

use alloc::{sync::Arc, vec::Vec};

use crate::{
    api::{Args, Kind, Method, Param, grouped_service},
    model::{InstanceKey, ServiceKey},
    view::{Reading, ServiceFilter, ServiceView},
};

pub(in crate::api) const NAMESPACE: Param =
    Param::text("namespaceId", "namespace of the service").default("public");
pub(in crate::api) const GROUP: Param = Param::text(
    "groupName",
    "group of the service, unless its name carries one",
)
.default("DEFAULT_GROUP");
/// As handlers ask for it: `Param 'serviceName' is required.`
pub(in crate::api) const SERVICE: Param =
    Param::text("serviceName", "service, as NAME or GROUP@@NAME")
        .required()
        .asked();
/// As the framework misses it: `Parameter 'serviceName' is missing`
pub(in crate::api) const DECLARED_SERVICE: Param =
    Param::text("serviceName", "service, as NAME or GROUP@@NAME").required();
pub(in crate::api) const IP: Param = Param::text("ip", "address of the instance")
    .required()
    .asked();
pub(in crate::api) const PORT: Param = Param::of("port", Kind::Int, "port of the instance")
    .required()
    .asked();
pub(in crate::api) const CLUSTER: Param =
    Param::text("clusterName", "cluster of the instance").default("DEFAULT");
pub(in crate::api) const PAGE: Param =
    Param::of("pageNo", Kind::Int, "number of the page, from 1").required();
pub(in crate::api) const SIZE: Param =
    Param::of("pageSize", Kind::Int, "items of a page").required();

/// Where the reference maps a handler without naming a method.
pub(in crate::api) const ANY: &[Method] = &[
    Method::Get,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Patch,
];

/// The service that a request names.
pub(in crate::api) fn service_key(args: &Args<'_>) -> ServiceKey {
    let (group, name) = grouped_service(args.call());
    ServiceKey::new(args.text("namespaceId"), group, name)
}

/// The instance that a request names; the parameter check has seen to the port's range.
pub(in crate::api) fn instance_key(args: &Args<'_>) -> InstanceKey {
    InstanceKey::new(
        args.text("ip"),
        u16::try_from(args.int("port")).unwrap_or_default(),
        args.text("clusterName"),
    )
}

/// First item and size of a page: as the reference, a number below 1 is the first page.
pub(in crate::api) fn page(args: &Args<'_>) -> (usize, usize) {
    let number = usize::try_from(args.int("pageNo")).unwrap_or(1).max(1);
    let size = usize::try_from(args.int("pageSize")).unwrap_or(0);
    ((number - 1).saturating_mul(size), size)
}

/// Services in the order of their keys, taken out of the view a page at a time.
pub(in crate::api) fn each_service(
    view: &dyn Reading,
    filter: &ServiceFilter,
    mut each: impl FnMut(&ServiceView),
) {
    const AT_ONCE: usize = 500;
    let mut offset = 0;
    loop {
        let page = view.services(filter, offset, AT_ONCE);
        page.items.iter().for_each(|service| each(service));
        if page.items.len() < AT_ONCE {
            return;
        }
        offset += AT_ONCE;
    }
}

/// Clusters in which a service has instances, in order, each once.
pub(in crate::api) fn clusters_of(service: &ServiceView) -> Vec<Arc<str>> {
    let mut all: Vec<Arc<str>> = service.instances().map(|i| i.key.cluster.clone()).collect();
    all.sort();
    all.dedup();
    all
}
