use std::collections::{BTreeMap, BTreeSet};

use super::http::ConfigRequest;
use super::http::LatencyClass;
use super::*;

fn metrics() -> Arc<Metrics> {
    let routes = [RouteLabel {
        route: "GET /v1/cs/configs",
        generation: "v1",
        class: LatencyClass::Read,
    }];
    Metrics::new(
        &routes,
        &[RequestType {
            class: "ConfigQueryRequest",
            module: "config",
        }],
    )
}

/// Samples by name and labels; panics on a line that is none, or that does not belong to the family before it.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let (mut families, mut family) = (BTreeSet::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} comes twice");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let suffix = name
                .split('{')
                .next()
                .unwrap()
                .strip_prefix(family.as_str())
                .expect("outside its family");
            assert!(
                matches!(suffix, "" | "_bucket" | "_sum" | "_count"),
                "{line}"
            );
            assert!(
                samples
                    .insert(name.to_owned(), value.parse().unwrap())
                    .is_none(),
                "{name} comes twice"
            );
        }
    }
    samples
}

#[test]
fn every_recording_moves_the_names_that_tell_of_it() {
    type Record = fn(&Metrics);
    let cases: &[(Record, &[&str])] = &[
        (
            |m| m.http.answered(0, 200, 5),
            &[
                "nacrite_http_requests_total{route=\"GET /v1/cs/configs\",generation=\"v1\",status=\"2xx\"}",
                "nacrite_http_request_duration_seconds_count{class=\"read\"}",
                "http_server_requests_seconds_count{method=\"GET\",uri=\"/v1/cs/configs\",status=\"2xx\",outcome=\"SUCCESS\"}",
                "http_server_requests_seconds_max{method=\"GET\",uri=\"/v1/cs/configs\",status=\"2xx\",outcome=\"SUCCESS\"}",
            ],
        ),
        (
            |m| m.grpc.answered(0, 0, 5),
            &[
                "grpc_server_requests_seconds_count{requestClass=\"ConfigQueryRequest\",success=\"true\",errorCode=\"0\",throwableClass=\"none\",module=\"config\"}",
                "grpc_server_executor{type=\"grpcSdkServer\",name=\"completedTaskCount\"}",
            ],
        ),
        (
            |m| m.grpc.answered(9, 302, 5),
            &[
                "grpc_server_requests_seconds_count{requestClass=\"none\",success=\"false\",errorCode=\"302\",throwableClass=\"none\",module=\"none\"}",
            ],
        ),
        (
            |m| m.grpc.connections.add(1),
            &[
                "nacrite_grpc_connections",
                "nacos_monitor{module=\"core\",name=\"longConnection\"}",
            ],
        ),
        (
            |m| m.push.sent.inc(),
            &[
                "nacrite_push_sent_total",
                "nacos_monitor{module=\"naming\",name=\"totalPush\"}",
            ],
        ),
        (
            |m| m.push.failed.inc(),
            &[
                "nacrite_push_failed_total",
                "nacos_monitor{module=\"naming\",name=\"failedPush\"}",
            ],
        ),
        (
            |m| m.push.empty.inc(),
            &[
                "nacrite_push_empty_total",
                "nacos_monitor{module=\"naming\",name=\"emptyPush\"}",
            ],
        ),
        (
            |m| {
                m.push.acked.set(1);
                m.push.cost_sum.set(7);
                m.push.cost_max.set(7);
            },
            &[
                "nacrite_push_acked_total",
                "nacrite_push_cost_milliseconds_total",
                "nacos_monitor{module=\"naming\",name=\"maxPushCost\"}",
                "nacos_monitor{module=\"naming\",name=\"avgPushCost\"}",
                "nacos_monitor{module=\"naming\",name=\"totalPushCostForAvg\"}",
            ],
        ),
        (
            |m| m.raft.proposals.inc(),
            &["nacrite_raft_proposals_total"],
        ),
        (
            |m| m.raft.fsync.record(900),
            &["nacrite_raft_fsync_seconds_count"],
        ),
        (
            |m| m.raft.leader.set(1),
            &[
                "nacrite_raft_leader",
                "nacos_monitor{module=\"naming\",name=\"leaderStatus\"}",
            ],
        ),
        (
            |m| m.queue.refused.inc(),
            &[
                "nacrite_queue_refused_total",
                "nacos_exception_total{module=\"config\",name=\"unhealth\"}",
            ],
        ),
        (|m| m.store.behind.set(4), &["nacrite_store_behind_bytes"]),
        (
            |m| m.http.config.read.record(3),
            &[
                "nacos_timer_seconds_count{module=\"config\",name=\"readConfigRt\"}",
                "nacos_timer_seconds_max{module=\"config\",name=\"readConfigRt\"}",
                "nacos_monitor{module=\"config\",name=\"getConfig\"}",
            ],
        ),
        (
            |m| m.http.config.write.record(3),
            &["nacos_monitor{module=\"config\",name=\"publish\"}"],
        ),
        (
            |m| m.http.polls_parked.add(1),
            &[
                "nacrite_http_polls_parked",
                "nacos_monitor{module=\"config\",name=\"longPolling\"}",
            ],
        ),
        (
            |m| m.totals.services.set(2),
            &[
                "nacrite_services",
                "nacos_monitor{module=\"naming\",name=\"serviceCount\"}",
            ],
        ),
        (
            |m| m.totals.subscribers_v1.set(2),
            &["nacos_naming_subscriber{version=\"v1\"}"],
        ),
        (
            |m| m.totals.publishers_v2.set(2),
            &["nacos_naming_publisher{version=\"v2\"}"],
        ),
        (
            |m| m.totals.listeners_v2.set(2),
            &["nacos_config_subscriber{version=\"v2\"}"],
        ),
        (
            |m| m.http.config_answered(ConfigRequest::Search, 400, 1),
            &[
                "nacos_monitor{module=\"config\",name=\"fuzzySearch\"}",
                "nacos_exception_total{module=\"config\",name=\"illegalArgument\"}",
            ],
        ),
        (
            |m| m.log_lines_dropped.inc(),
            &["nacrite_log_lines_dropped_total"],
        ),
        (|m| m.http.panics.inc(), &["nacrite_http_panics_total"]),
    ];
    for (record, names) in cases {
        let metrics = metrics();
        let before = samples(&metrics.render());
        record(&metrics);
        let after = samples(&metrics.render());
        for name in *names {
            let now = after
                .get(*name)
                .unwrap_or_else(|| panic!("{name} is missing"));
            assert_ne!(before.get(*name), Some(now), "{name} did not move");
        }
    }
}

#[test]
fn the_callback_fills_in_totals_before_each_scrape() {
    let metrics = metrics();
    metrics.on_scrape(|metrics| metrics.totals.configs.add(5));
    metrics.render();
    assert_eq!(samples(&metrics.render())["nacrite_configs"], 10.0);
}

#[test]
fn maxima_pass_and_the_uptime_grows() {
    let metrics = metrics();
    let start = Instant::now();
    metrics.http.config.read.record(3_000_000);
    let max = "nacos_timer_seconds_max{module=\"config\",name=\"readConfigRt\"}";
    let seen = [61, 62, 122, 200]
        .map(|seconds| samples(&metrics.render_at(start + Duration::from_secs(seconds)))[max]);
    assert_eq!(seen, [3.0, 3.0, 3.0, 0.0]);
    let uptime = |seconds| samples(&metrics.render_at(start + Duration::from_secs(seconds)))["process_uptime_seconds"];
    assert!(uptime(400) > uptime(300));
}
