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

const NAMESPACE: Param = Param::text("namespaceId", "namespace of the service").default("public");
const GROUP: Param = Param::text(
    "groupName",
    "group of the service, unless its name carries one",
)
.default("DEFAULT_GROUP");
/// As handlers ask for it: `Param 'serviceName' is required.`
const SERVICE: Param = Param::text("serviceName", "service, as NAME or GROUP@@NAME")
    .required()
    .asked();
/// As the framework misses it: `Parameter 'serviceName' is missing`
const DECLARED_SERVICE: Param =
    Param::text("serviceName", "service, as NAME or GROUP@@NAME").required();
const IP: Param = Param::text("ip", "address of the instance")
    .required()
    .asked();
const PORT: Param = Param::of("port", Kind::Int, "port of the instance")
    .required()
    .asked();
const CLUSTER: Param = Param::text("clusterName", "cluster of the instance").default("DEFAULT");
const PAGE: Param = Param::of("pageNo", Kind::Int, "number of the page, from 1").required();
const SIZE: Param = Param::of("pageSize", Kind::Int, "items of a page").required();

/// Where the reference maps a handler without naming a method.
const ANY: &[Method] = &[
    Method::Get,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Patch,
];

/// The service that a request names.
fn service_key(args: &Args<'_>) -> ServiceKey {
    let (group, name) = grouped_service(args.call());
    ServiceKey::new(args.text("namespaceId"), group, name)
}

/// The instance that a request names; the parameter check has seen to the port's range.
fn instance_key(args: &Args<'_>) -> InstanceKey {
    InstanceKey::new(
        args.text("ip"),
        u16::try_from(args.int("port")).unwrap_or_default(),
        args.text("clusterName"),
    )
}

/// First item and size of a page: as the reference, a number below 1 is the first page.
fn page(args: &Args<'_>) -> (usize, usize) {
    let number = usize::try_from(args.int("pageNo")).unwrap_or(1).max(1);
    let size = usize::try_from(args.int("pageSize")).unwrap_or(0);
    ((number - 1).saturating_mul(size), size)
}

/// Services in the order of their keys, taken out of the view a page at a time.
fn each_service(view: &dyn Reading, filter: &ServiceFilter, mut each: impl FnMut(&ServiceView)) {
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
fn clusters_of(service: &ServiceView) -> Vec<Arc<str>> {
    let mut all: Vec<Arc<str>> = service.instances().map(|i| i.key.cluster.clone()).collect();
    all.sort();
    all.dedup();
    all
}
