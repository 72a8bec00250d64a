//! Nacos's rules without their recorded defects.

use super::*;

#[test]
fn odd_weights_count_as_documented() {
    let balancer = over(
        Policy::of("nacos-weighted"),
        weighted(&[f64::NAN, 3.0, -1.0, 0.0]),
    );
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 3.0, 0.0, 0.0]));
    let balancer = over(
        Policy::of("nacos-weighted"),
        weighted(&[f64::INFINITY, 10_000.0]),
    );
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 1.0]));
    let balancer = over(Policy::of("nacos-weighted"), weighted(&[0.0, -1.0]));
    assert_eq!(
        choose(&balancer, &mut Xoshiro256::new(1)),
        Err(NoPick::NoWeight)
    );
}

#[test]
fn shares_follow_changes_of_health_in_place() {
    let balancer = over(Policy::of("nacos-weighted"), weighted(&[1.0, 2.0, 4.0]));
    balancer.set_flag(2, Flags::HEALTHY, false);
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 2.0, 0.0]));
    balancer.set_flag(2, Flags::HEALTHY, true);
    assert!(follows(&counts(&balancer, 20_000), &[1.0, 2.0, 4.0]));
}

#[test]
fn the_own_cluster_widens_when_it_has_nobody() {
    let list = || {
        let clusters = ["HZ", "HZ", "SH", "SH"];
        weighted(&[1.0, 3.0, 1.0, 2.0])
            .into_iter()
            .zip(clusters)
            .map(|(one, cluster)| one.in_cluster(cluster))
            .collect()
    };
    for rule in ["NacosRule", "NacosLoadBalancer"] {
        let balancer = over(
            Policy {
                cluster: Some("HZ".to_string()),
                ..Policy::of(rule)
            },
            list(),
        );
        assert!(follows(&counts(&balancer, 20_000), &[1.0, 3.0, 0.0, 0.0]));
        balancer.set_flag(0, Flags::HEALTHY, false);
        balancer.set_flag(1, Flags::ENABLED, false);
        assert!(
            follows(&counts(&balancer, 20_000), &[0.0, 0.0, 1.0, 2.0]),
            "{rule}"
        );
    }
}
