//! The names that dashboards made for the reference know (Nacos 2.x and 3.x `MetricsMonitor` of each module).
//! Of its names, those that mean something here: no thread pools that do not exist, no JVM.

use super::Metrics;
use super::text::{Exposition, seconds};
use super::value::{Counter, Timer};

/// What configs cost.
#[derive(Debug, Default)]
pub struct ConfigTimings {
    /// One read.
    pub read: Timer,
    /// One publish or removal.
    pub write: Timer,
    /// Searches by pattern.
    pub searches: Counter,
}

impl ConfigTimings {
    pub(super) fn rotate(&self) {
        self.read.rotate();
        self.write.rotate();
    }
}

/// Failures by the reference's kinds.
#[derive(Debug, Default)]
pub struct Exceptions {
    /// Config requests with illegal arguments.
    pub illegal_argument: Counter,
    /// Config requests that failed for another reason of the domain.
    pub nacos: Counter,
}

pub(super) fn render(metrics: &Metrics, text: &mut Exposition) {
    let (push, totals, config) = (&metrics.push, &metrics.totals, &metrics.http.config);
    let count = |counter: &Counter| counter.get() as i64;
    let (acked, millis) = (push.acked.get(), push.cost_sum.get());
    let naming = [
        ("serviceCount", totals.services.get()),
        ("ipCount", totals.instances.get()),
        (
            "subscriberCount",
            totals.subscribers_v1.get() + totals.subscribers_v2.get(),
        ),
        ("maxPushCost", push.cost_max.get()),
        (
            "avgPushCost",
            millis
                .checked_div(acked)
                .map_or(-1, |average| average as i64),
        ),
        ("leaderStatus", metrics.raft.leader.get()),
        ("totalPush", count(&push.sent)),
        ("failedPush", count(&push.failed)),
        ("emptyPush", count(&push.empty)),
        ("totalPushCountForAvg", acked as i64),
        ("totalPushCostForAvg", millis as i64),
        ("pushPendingTaskCount", push.pending.get()),
    ];
    let configs = [
        ("getConfig", config.read.count() as i64),
        ("publish", config.write.count() as i64),
        ("longPolling", metrics.http.polls_parked.get()),
        ("configCount", totals.configs.get()),
        ("fuzzySearch", count(&config.searches)),
    ];
    let core = [("longConnection", metrics.grpc.connections.get())];
    text.family("nacos_monitor", "gauge", "Totals by module.");
    for (module, values) in [
        ("naming", naming.as_slice()),
        ("config", &configs),
        ("core", &core),
    ] {
        for &(name, value) in values {
            text.sample(
                "nacos_monitor",
                &[("module", module), ("name", name)],
                value,
            );
        }
    }
    for (name, help, v1, v2) in [
        (
            "nacos_naming_publisher",
            "Clients with instances.",
            &totals.publishers_v1,
            &totals.publishers_v2,
        ),
        (
            "nacos_naming_subscriber",
            "Clients that subscribe to services.",
            &totals.subscribers_v1,
            &totals.subscribers_v2,
        ),
        (
            "nacos_config_subscriber",
            "Listened configs.",
            &totals.listeners_v1,
            &totals.listeners_v2,
        ),
    ] {
        text.family(name, "gauge", help);
        text.sample(name, &[("version", "v1")], v1.get());
        text.sample(name, &[("version", "v2")], v2.get());
    }
    let timers = [
        ("readConfigRt", &config.read),
        ("writeConfigRt", &config.write),
    ];
    text.family(
        "nacos_timer_seconds",
        "summary",
        "Times of the config module.",
    );
    for (name, timer) in timers {
        text.timer(
            "nacos_timer_seconds",
            &[("module", "config"), ("name", name)],
            timer,
        );
    }
    text.family(
        "nacos_timer_seconds_max",
        "gauge",
        "The longest of them lately.",
    );
    for (name, timer) in timers {
        text.sample(
            "nacos_timer_seconds_max",
            &[("module", "config"), ("name", name)],
            seconds(timer.max()),
        );
    }
    let exceptions = &metrics.http.exceptions;
    text.family("nacos_exception_total", "counter", "Failures by module.");
    for (name, counter) in [
        ("illegalArgument", &exceptions.illegal_argument),
        ("nacos", &exceptions.nacos),
        ("unhealth", &metrics.queue.refused),
    ] {
        text.sample(
            "nacos_exception_total",
            &[("module", "config"), ("name", name)],
            counter.get(),
        );
    }
    metrics.http.render_reference(text);
}
