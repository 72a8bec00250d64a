//! Lists of instances as JSON: the `ServiceInfo` of every generation and the `hosts` in it.
//!
//! Lists, subscriptions, UDP and gRPC pushes all come through here, so that a client is told the same by each.
//! The `hosts` array is kept by the revision of the service ([`ServiceView::rendered`]); the names, echoes and
//! `lastRefTime` around it are written for each answer.

use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::{answer::push_json_string, route::Compat};
use crate::{
    model::{BeatTimes, Instance, Metadata, ServiceKey},
    naming::select::{Wanted, select},
    node::output::{NameForm, RenderClass},
    view::{Reading, RenderedHosts, ServiceView},
};

/// How a list spells the field that 2.x calls `allIPs` and 3.x `allIps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllIps {
    /// Both, for pushes: every client reads one and ignores the other.
    Both,
    /// As 2.x.
    V2,
    /// As 3.x.
    V3,
}

impl From<Compat> for AllIps {
    /// As the old generations' routes answer.
    fn from(compat: Compat) -> Self {
        if compat == Compat::V3 {
            Self::V3
        } else {
            Self::V2
        }
    }
}

/// A service's list for one class of readers, built at `wall` (milliseconds): the `ServiceInfo` JSON of subscriptions
/// and pushes. An unknown service gives an empty list.
#[must_use]
pub fn service_list(
    view: &dyn Reading,
    key: &ServiceKey,
    class: &RenderClass,
    cache_millis: u64,
    wall: u64,
) -> Vec<u8> {
    service_list_as(view, key, class, cache_millis, wall, AllIps::Both)
}

/// As [`service_list`], in the spelling of a generation.
#[must_use]
pub fn service_list_as(
    view: &dyn Reading,
    key: &ServiceKey,
    class: &RenderClass,
    cache_millis: u64,
    wall: u64,
    all_ips: AllIps,
) -> Vec<u8> {
    let service = view.service(key);
    let hosts = service
        .as_deref()
        .map(|s| s.rendered(class, || render(view, s, class, push_host)));
    let hosts = hosts.as_deref();
    list_around(
        key,
        class,
        cache_millis,
        wall,
        all_ips,
        service.as_deref(),
        hosts,
    )
}

/// As [`service_list_as`], with ids of instances only where they were given one ([`push_host_unnamed`]).
#[must_use]
pub fn service_list_unnamed(
    view: &dyn Reading,
    key: &ServiceKey,
    class: &RenderClass,
    cache_millis: u64,
    wall: u64,
    all_ips: AllIps,
) -> Vec<u8> {
    let service = view.service(key);
    let hosts = service
        .as_deref()
        .map(|s| render(view, s, class, push_host_unnamed));
    let hosts = hosts.as_ref();
    list_around(
        key,
        class,
        cache_millis,
        wall,
        all_ips,
        service.as_deref(),
        hosts,
    )
}

/// The array of hosts alone, with ids of instances only where they were given one; empty for an unknown service.
#[must_use]
pub fn hosts_unnamed(view: &dyn Reading, key: &ServiceKey, class: &RenderClass) -> Vec<u8> {
    view.service(key).map_or_else(
        || Vec::from(&b"[]"[..]),
        |s| render(view, &s, class, push_host_unnamed).json,
    )
}

fn list_around(
    key: &ServiceKey,
    class: &RenderClass,
    cache_millis: u64,
    wall: u64,
    all_ips: AllIps,
    service: Option<&ServiceView>,
    hosts: Option<&RenderedHosts>,
) -> Vec<u8> {
    let (json, protected) = hosts.map_or((&b"[]"[..], false), |h| (&h.json, h.protected));
    let last_ref = service.map_or(wall, |s| s.next_ref_time(wall));

    let mut out = Vec::with_capacity(
        json.len() + key.name.len() + 2 * key.group.len() + class.clusters.len() + 256,
    );
    out.extend(b"{\"name\":");
    match class.names {
        NameForm::Plain => push_json_string(&mut out, &key.name),
        NameForm::Grouped | NameForm::GroupedOld => push_grouped(&mut out, key),
    }
    if class.names == NameForm::GroupedOld {
        out.extend(b",\"dom\":");
        push_json_string(&mut out, &key.name);
    }
    out.extend(b",\"groupName\":");
    push_json_string(&mut out, &key.group);
    out.extend(b",\"clusters\":");
    push_json_string(&mut out, &class.clusters);
    write(
        &mut out,
        format_args!(",\"cacheMillis\":{cache_millis},\"hosts\":"),
    );
    out.extend(json);
    write(
        &mut out,
        format_args!(",\"lastRefTime\":{last_ref},\"checksum\":\"\""),
    );
    if all_ips != AllIps::V3 {
        out.extend(b",\"allIPs\":false");
    }
    if all_ips != AllIps::V2 {
        out.extend(b",\"allIps\":false");
    }
    write(
        &mut out,
        format_args!(",\"reachProtectionThreshold\":{protected},\"valid\":true}}"),
    );
    out
}

fn render(
    view: &dyn Reading,
    service: &ServiceView,
    class: &RenderClass,
    push: impl Fn(&mut Vec<u8>, &ServiceKey, NameForm, &Instance, bool),
) -> RenderedHosts {
    let labels = view.labels();
    let wanted = Wanted {
        clusters: &class.clusters,
        healthy_only: class.healthy_only,
        consumer: &class.consumer,
        labels: &labels,
    };
    let selected = select(service.instances(), service.metadata(), wanted);
    let mut json = Vec::with_capacity(selected.hosts.len() * 320 + 2);
    json.push(b'[');
    for (at, (instance, healthy)) in selected.hosts.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        push(&mut json, &service.key, class.names, instance, *healthy);
    }
    json.push(b']');
    RenderedHosts {
        json,
        protected: selected.protected,
    }
}

/// Writes one instance as `hosts[]` has it; `healthy` is as protection lets it look.
pub fn push_host(
    out: &mut Vec<u8>,
    service: &ServiceKey,
    names: NameForm,
    instance: &Instance,
    healthy: bool,
) {
    out.extend(b"{\"instanceId\":");
    push_json_string(out, &instance.id(service));
    out.push(b',');
    push_host_fields(out, service, names, instance, healthy);
}

/// As [`push_host`], without the id if it is only made of address and names: what the newer HTTP routes register has
/// none in the reference.
pub fn push_host_unnamed(
    out: &mut Vec<u8>,
    service: &ServiceKey,
    names: NameForm,
    instance: &Instance,
    healthy: bool,
) {
    if instance.instance_id.is_empty() {
        out.push(b'{');
        push_host_fields(out, service, names, instance, healthy);
    } else {
        push_host(out, service, names, instance, healthy);
    }
}

fn push_host_fields(
    out: &mut Vec<u8>,
    service: &ServiceKey,
    names: NameForm,
    instance: &Instance,
    healthy: bool,
) {
    out.extend(b"\"ip\":");
    push_json_string(out, &instance.key.ip);
    let Instance {
        weight,
        enabled,
        ephemeral,
        ..
    } = instance;
    let (port, weight) = (instance.key.port, weight.get());
    // The weight with Debug, which writes a point also where nothing follows it, as Java does.
    write(
        out,
        format_args!(",\"port\":{port},\"weight\":{weight:?},\"healthy\":{healthy}"),
    );
    write(
        out,
        format_args!(",\"enabled\":{enabled},\"ephemeral\":{ephemeral},\"clusterName\":"),
    );
    push_json_string(out, &instance.key.cluster);
    out.extend(b",\"serviceName\":");
    match names {
        NameForm::GroupedOld => push_json_string(out, &service.name),
        NameForm::Plain | NameForm::Grouped => push_grouped(out, service),
    }
    out.extend(b",\"metadata\":");
    push_metadata(out, &instance.metadata);
    let BeatTimes {
        interval,
        timeout,
        delete,
    } = BeatTimes::of(&instance.metadata);
    write(
        out,
        format_args!(",\"instanceHeartBeatInterval\":{interval}"),
    );
    write(
        out,
        format_args!(",\"instanceHeartBeatTimeOut\":{timeout},\"ipDeleteTimeout\":{delete}"),
    );
    // The reference's derived field knows its default only where there is no metadata at all.
    let generator = instance.metadata.get(BeatTimes::ID_GENERATOR);
    if let Some(generator) = generator.or_else(|| instance.metadata.is_empty().then_some("simple"))
    {
        out.extend(b",\"instanceIdGenerator\":");
        push_json_string(out, generator);
    }
    out.push(b'}');
}

/// Writes `GROUP@@NAME` as a JSON string.
fn push_grouped(out: &mut Vec<u8>, service: &ServiceKey) {
    push_json_string(out, &service.group);
    // The two strings become one.
    out.truncate(out.len() - 1);
    let at = out.len();
    push_json_string(out, &service.name);
    out[at] = b'@';
    out.insert(at, b'@');
}

/// Writes metadata as an object.
pub fn push_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    out.push(b'{');
    for (at, (key, value)) in metadata.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_json_string(out, key);
        out.push(b':');
        push_json_string(out, value);
    }
    out.push(b'}');
}

/// Writes formatted text at the end of bytes.
pub(super) fn write(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Bytes<'_> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.0.extend_from_slice(s.as_bytes());
            Ok(())
        }
    }
    Bytes(out).write_fmt(text).expect("memory takes every text");
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::tests::View,
        model::{InstanceKey, ServiceMetadata, Weight},
        view::InstanceChange,
    };

    fn instance(n: u8, cluster: &str, healthy: bool, metadata: &[(&str, &str)]) -> Arc<Instance> {
        Arc::new(Instance {
            key: InstanceKey::new(&alloc::format!("10.0.0.{n}"), 80, cluster),
            weight: Weight::new(2.5).unwrap(),
            healthy,
            enabled: true,
            ephemeral: true,
            metadata: metadata.iter().copied().collect(),
            instance_id: "".into(),
        })
    }

    fn view(threshold: Option<f32>, instances: &[Arc<Instance>]) -> (View, ServiceKey) {
        let key = ServiceKey::new("", "", "s");
        let metadata = threshold.map(|t| ServiceMetadata {
            protect_threshold: t,
            ..ServiceMetadata::default()
        });
        let changes = instances.iter().cloned().map(InstanceChange::Put).collect();
        (View::default().with_service(&key, metadata, changes), key)
    }

    fn list(view: &View, key: &ServiceKey, class: &RenderClass) -> Value {
        serde_json::from_slice(&service_list_as(view, key, class, 10_000, 7, AllIps::V2)).unwrap()
    }

    fn grouped() -> RenderClass {
        RenderClass {
            names: NameForm::Grouped,
            ..RenderClass::default()
        }
    }

    #[test]
    fn a_list_has_the_fields_that_were_recorded() {
        let (view, key) = view(
            None,
            &[
                instance(1, "C1", true, &[("v", "1")]),
                instance(2, "", true, &[]),
            ],
        );
        let want = json!({
            "name": "DEFAULT_GROUP@@s", "groupName": "DEFAULT_GROUP", "clusters": "", "cacheMillis": 10_000,
            "hosts": [
                {"instanceId": "10.0.0.1#80#C1#DEFAULT_GROUP@@s", "ip": "10.0.0.1", "port": 80, "weight": 2.5,
                 "healthy": true, "enabled": true, "ephemeral": true, "clusterName": "C1",
                 "serviceName": "DEFAULT_GROUP@@s", "metadata": {"v": "1"}, "ipDeleteTimeout": 30_000,
                 "instanceHeartBeatInterval": 5_000, "instanceHeartBeatTimeOut": 15_000},
                {"instanceId": "10.0.0.2#80#DEFAULT#DEFAULT_GROUP@@s", "ip": "10.0.0.2", "port": 80, "weight": 2.5,
                 "healthy": true, "enabled": true, "ephemeral": true, "clusterName": "DEFAULT",
                 "serviceName": "DEFAULT_GROUP@@s", "metadata": {}, "ipDeleteTimeout": 30_000,
                 "instanceHeartBeatInterval": 5_000, "instanceHeartBeatTimeOut": 15_000, "instanceIdGenerator": "simple"},
            ],
            "lastRefTime": 7, "checksum": "", "allIPs": false, "reachProtectionThreshold": false, "valid": true,
        });
        assert_eq!(list(&view, &key, &grouped()), want);
        assert_eq!(list(&view, &key, &grouped())["lastRefTime"], 8);
    }

    #[test]
    fn names_are_spelt_as_the_class_says() {
        let (view, key) = view(None, &[instance(1, "", true, &[])]);
        let plain = list(&view, &key, &RenderClass::default());
        assert_eq!(
            (&plain["name"], &plain["hosts"][0]["serviceName"]),
            (&json!("s"), &json!("DEFAULT_GROUP@@s"))
        );
        let old = list(
            &view,
            &key,
            &RenderClass {
                names: NameForm::GroupedOld,
                ..RenderClass::default()
            },
        );
        assert_eq!(
            (&old["name"], &old["dom"], &old["hosts"][0]["serviceName"]),
            (&json!("DEFAULT_GROUP@@s"), &json!("s"), &json!("s"))
        );
        let push: Value =
            serde_json::from_slice(&service_list(&view, &key, &grouped(), 1, 1)).unwrap();
        assert_eq!(
            (&push["allIPs"], &push["allIps"]),
            (&json!(false), &json!(false))
        );
    }

    #[test]
    fn clusters_filter_and_are_echoed_as_written() {
        let (view, key) = view(
            None,
            &[instance(1, "A", true, &[]), instance(2, "B", true, &[])],
        );
        let listed = list(
            &view,
            &key,
            &RenderClass {
                clusters: "A,Z".into(),
                ..grouped()
            },
        );
        assert_eq!(
            (
                &listed["clusters"],
                listed["hosts"].as_array().unwrap().len()
            ),
            (&json!("A,Z"), 1)
        );
        assert_eq!(listed["hosts"][0]["clusterName"], "A");
    }

    #[test]
    fn protection_shows_all_as_healthy_and_says_so() {
        let ill = [instance(1, "", false, &[]), instance(2, "", true, &[])];
        let (protected, key) = view(Some(0.5), &ill);
        let listed = list(&protected, &key, &grouped());
        assert_eq!(listed["reachProtectionThreshold"], true);
        assert!(
            listed["hosts"]
                .as_array()
                .unwrap()
                .iter()
                .all(|h| h["healthy"] == true)
        );
        let (unprotected, key) = view(Some(0.4), &ill);
        assert_eq!(
            list(&unprotected, &key, &grouped())["hosts"][0]["healthy"],
            false
        );
        // Of nothing there is no ratio: no protection even at 1.
        let (empty, key) = view(Some(1.0), &[]);
        let listed = list(&empty, &key, &grouped());
        assert_eq!(
            (&listed["reachProtectionThreshold"], &listed["hosts"]),
            (&json!(false), &json!([]))
        );
    }

    #[test]
    fn an_unknown_service_is_an_empty_list() {
        let listed = list(
            &View::default(),
            &ServiceKey::new("", "G\"", "名"),
            &grouped(),
        );
        assert_eq!(
            (&listed["name"], &listed["hosts"], &listed["lastRefTime"]),
            (&json!("G\"@@名"), &json!([]), &json!(7))
        );
    }
}
