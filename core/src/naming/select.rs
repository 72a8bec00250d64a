//! Which instances of a service a consumer is shown, and as what: the pipeline of Nacos `ServiceUtil`.
//!
//! It is pure and takes what the view holds; the caller renders the outcome.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use super::Labels;
use crate::model::{Instance, Selector, ServiceMetadata};

/// Who asks, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Comma-separated cluster filter, split without trimming; empty for all.
    pub clusters: &'a str,
    /// Leave unhealthy instances out.
    pub healthy_only: bool,
    /// Address of the consumer, for label selectors; empty if nobody in particular asks.
    pub consumer: &'a str,
    /// Labels of addresses.
    pub labels: &'a Labels,
}

/// What a consumer is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selected {
    /// Instances in the order they came in, each with the health to show.
    pub hosts: Vec<(Arc<Instance>, bool)>,
    /// Too few are healthy, so all are shown as healthy (`reachProtectionThreshold`).
    pub protected: bool,
}

/// Goes through cluster filter, disabled, health, selector and protection, in this order. Selector and protection
/// need service metadata, which a service made by registrations alone has not.
#[must_use]
pub fn select<'i>(
    instances: impl IntoIterator<Item = &'i Arc<Instance>>,
    metadata: Option<&ServiceMetadata>,
    wanted: Wanted<'_>,
) -> Selected {
    let mut healthy = 0_usize;
    let mut hosts: Vec<&Arc<Instance>> = Vec::new();
    for instance in instances {
        let of_cluster = wanted.clusters.is_empty()
            || wanted
                .clusters
                .split(',')
                .any(|c| *c == *instance.key.cluster);
        if !of_cluster || !instance.enabled {
            continue;
        }
        healthy += usize::from(instance.healthy);
        if instance.healthy || !wanted.healthy_only {
            hosts.push(instance);
        }
    }
    let mut protected = false;
    if let Some(metadata) = metadata {
        let before = hosts.len();
        if let Selector::Label { expression } = &metadata.selector {
            hosts = by_labels(hosts, expression, wanted);
        }
        if hosts.len() != before {
            healthy = hosts.iter().filter(|i| i.healthy).count();
        }
        let threshold = metadata.protect_threshold.max(0.0);
        // Of an empty list the ratio is no number, and nothing is protected.
        protected = healthy as f32 / hosts.len() as f32 <= threshold;
    }
    Selected {
        hosts: hosts
            .into_iter()
            .map(|i| (i.clone(), i.healthy || protected))
            .collect(),
        protected,
    }
}

/// Those whose labels equal the consumer's; all of them if none do, or if the expression says nothing.
fn by_labels<'i>(
    hosts: Vec<&'i Arc<Instance>>,
    expression: &str,
    wanted: Wanted<'_>,
) -> Vec<&'i Arc<Instance>> {
    let Ok(names) = label_names(expression) else {
        return hosts;
    };
    let Some(consumer) = wanted.labels.of(wanted.consumer) else {
        return hosts;
    };
    let fits = |instance: &Instance| {
        // Where no network holds the provider, what it says of itself counts.
        let provider = wanted
            .labels
            .of(&instance.key.ip)
            .unwrap_or(&instance.metadata);
        names.iter().all(|name| {
            consumer
                .get(name)
                .is_some_and(|value| !value.trim().is_empty() && provider.get(name) == Some(value))
        })
    };
    let kept: Vec<_> = hosts.iter().copied().filter(|i| fits(i)).collect();
    if kept.is_empty() { hosts } else { kept }
}

/// The names of the labels that a selector's expression compares: `CONSUMER.label.A = PROVIDER.label.A & …`.
///
/// # Errors
/// The term that does not fit.
pub fn label_names(expression: &str) -> Result<Vec<String>, String> {
    let dense: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
    let name = |term: &str| {
        let (consumer, provider) = term.split_once('=')?;
        let name = consumer.strip_prefix("CONSUMER.label.")?;
        (provider.strip_prefix("PROVIDER.label.") == Some(name) && !name.is_empty())
            .then(|| name.to_string())
    };
    dense
        .split('&')
        .map(|term| {
            name(term).ok_or_else(|| {
                format!("`{term}` is not of the form CONSUMER.label.A = PROVIDER.label.A")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InstanceKey, Metadata, Weight};

    fn host(n: u8, cluster: &str, healthy: bool, enabled: bool) -> Arc<Instance> {
        Arc::new(Instance {
            key: InstanceKey::new(&format!("10.0.0.{n}"), 80, cluster),
            weight: Weight::default(),
            healthy,
            enabled,
            ephemeral: true,
            metadata: Metadata::default(),
            instance_id: Arc::from(""),
        })
    }

    fn run(
        hosts: &[Arc<Instance>],
        threshold: Option<f32>,
        clusters: &str,
        healthy_only: bool,
    ) -> (Vec<(u8, bool)>, bool) {
        let metadata = threshold.map(|protect_threshold| ServiceMetadata {
            protect_threshold,
            ..Default::default()
        });
        let labels = Labels::default();
        let out = select(
            hosts,
            metadata.as_ref(),
            Wanted {
                clusters,
                healthy_only,
                consumer: "",
                labels: &labels,
            },
        );
        let last = |ip: &str| ip.rsplit('.').next().unwrap().parse().unwrap();
        (
            out.hosts
                .iter()
                .map(|(i, shown)| (last(&i.key.ip), *shown))
                .collect(),
            out.protected,
        )
    }

    #[test]
    fn clusters_are_split_at_commas_and_not_trimmed() {
        let hosts = [
            host(1, "a", true, true),
            host(2, "b", true, true),
            host(3, "c", true, true),
        ];
        assert_eq!(run(&hosts, None, "a,c", false).0, [(1, true), (3, true)]);
        assert_eq!(run(&hosts, None, "a, c", false).0, [(1, true)]);
        assert_eq!(run(&hosts, None, "", false).0.len(), 3);
    }

    #[test]
    fn disabled_ones_are_never_shown_nor_counted() {
        let hosts = [
            host(1, "a", true, false),
            host(2, "a", false, true),
            host(3, "a", true, true),
        ];
        assert_eq!(
            run(&hosts, Some(0.4), "", false),
            (alloc::vec![(2, false), (3, true)], false)
        );
        assert_eq!(
            run(&hosts, Some(0.5), "", false),
            (alloc::vec![(2, true), (3, true)], true)
        );
    }

    #[test]
    fn protection_compares_with_less_or_equal() {
        let ill = [host(1, "a", false, true)];
        assert_eq!(
            run(&ill, None, "", false),
            (alloc::vec![(1, false)], false),
            "no metadata, no protection"
        );
        assert_eq!(
            run(&ill, Some(0.0), "", false),
            (alloc::vec![(1, true)], true),
            "0 of 1 is 0"
        );
        assert_eq!(
            run(&ill, Some(-1.0), "", false),
            (alloc::vec![(1, true)], true),
            "negative means 0"
        );
        assert!(
            run(&[host(1, "a", true, true)], Some(1.0), "", false).1,
            "1 protects always"
        );
        assert_eq!(
            run(&[], Some(1.0), "", false),
            (Vec::new(), false),
            "of nothing there is no ratio"
        );
    }

    #[test]
    fn healthy_only_protects_at_1_alone_and_brings_nobody_back() {
        let hosts = [host(1, "a", false, true), host(2, "a", true, true)];
        assert_eq!(
            run(&hosts, Some(0.9), "", true),
            (alloc::vec![(2, true)], false)
        );
        assert_eq!(
            run(&hosts, Some(1.0), "", true),
            (alloc::vec![(2, true)], true)
        );
        assert_eq!(run(&hosts[..1], Some(1.0), "", true), (Vec::new(), false));
    }

    fn zones(consumer: &str, expression: &str, hosts: &[Arc<Instance>]) -> Vec<u16> {
        let labels = Labels::parse(
            br#"[{"cidr":"10.0.0.1","labels":{"zone":"a"}},{"cidr":"10.0.0.2","labels":{"zone":"b"}},
                 {"cidr":"10.9.0.1","labels":{"zone":"a"}},{"cidr":"10.9.0.2","labels":{"zone":" "}},
                 {"cidr":"10.9.0.3","labels":{"zone":"z"}}]"#,
        )
        .unwrap();
        let metadata = ServiceMetadata {
            selector: Selector::Label {
                expression: Arc::from(expression),
            },
            ..Default::default()
        };
        let wanted = Wanted {
            clusters: "",
            healthy_only: false,
            consumer,
            labels: &labels,
        };
        select(hosts, Some(&metadata), wanted)
            .hosts
            .iter()
            .map(|(i, _)| u16::from(i.key.ip.as_bytes()[7] - b'0'))
            .collect()
    }

    #[test]
    fn a_label_selector_keeps_equal_labels_or_else_everybody() {
        let mut own = (*host(3, "a", true, true)).clone();
        own.metadata = [("zone", "a")].into_iter().collect();
        let hosts = [
            host(1, "a", true, true),
            host(2, "a", true, true),
            Arc::new(own),
        ];
        let zone = "CONSUMER.label.zone = PROVIDER.label.zone";
        assert_eq!(
            zones("10.9.0.1", zone, &hosts),
            [1, 3],
            "the third by its own metadata"
        );
        assert_eq!(
            zones("10.9.0.2", zone, &hosts),
            [1, 2, 3],
            "a blank label fits nobody"
        );
        assert_eq!(zones("10.9.0.3", zone, &hosts), [1, 2, 3], "nobody fits");
        assert_eq!(
            zones("10.9.0.9", zone, &hosts),
            [1, 2, 3],
            "an unknown consumer"
        );
        assert_eq!(
            zones("10.9.0.1", "zone = zone", &hosts),
            [1, 2, 3],
            "an expression that says nothing"
        );
        let both =
            "CONSUMER.label.zone=PROVIDER.label.zone & CONSUMER.label.rack=PROVIDER.label.rack";
        assert_eq!(zones("10.9.0.1", both, &hosts), [1, 2, 3]);
    }

    #[test]
    fn the_healthy_are_counted_again_after_a_selector() {
        let hosts = [
            host(1, "a", false, true),
            host(2, "a", true, true),
            host(2, "b", true, true),
        ];
        let labels = Labels::parse(
            br#"[{"cidr":"10.0.0.1","labels":{"z":"a"}},{"cidr":"10.9.0.1","labels":{"z":"a"}}]"#,
        )
        .unwrap();
        let metadata = ServiceMetadata {
            selector: Selector::Label {
                expression: Arc::from("CONSUMER.label.z=PROVIDER.label.z"),
            },
            ..Default::default()
        };
        let wanted = Wanted {
            clusters: "",
            healthy_only: false,
            consumer: "10.9.0.1",
            labels: &labels,
        };
        let out = select(&hosts, Some(&metadata), wanted);
        assert_eq!(
            (out.hosts.len(), out.protected, out.hosts[0].1),
            (1, true, true)
        );
    }

    #[test]
    fn label_names_must_be_equal_on_both_sides() {
        assert_eq!(
            label_names(" CONSUMER.label.a = PROVIDER.label.a & CONSUMER.label.b=PROVIDER.label.b")
                .unwrap(),
            ["a", "b"]
        );
        for bad in [
            "",
            "CONSUMER.label.a=PROVIDER.label.b",
            "CONSUMER.label.=PROVIDER.label.",
            "PROVIDER.label.a=CONSUMER.label.a",
        ] {
            assert!(label_names(bad).is_err(), "{bad}");
        }
    }
}
