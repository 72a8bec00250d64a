//! What the HTTP edge counts: requests by route, their latency by class, connections and refusals.

use std::sync::Arc;

use super::nacos::{ConfigTimings, Exceptions};
use super::text::{Exposition, seconds};
use super::value::{Counter, Gauge, Histogram, Timer};

/// Kinds of request whose latencies do not belong into one histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyClass {
    /// Answered from memory.
    Read,
    /// Waits for the log's sync or for the core.
    Write,
    /// Parked by intent: long polls.
    Poll,
    /// Reads the store, or answers an operator.
    Admin,
}

impl LatencyClass {
    const ALL: [(LatencyClass, &'static str); 4] = [
        (LatencyClass::Read, "read"),
        (LatencyClass::Write, "write"),
        (LatencyClass::Poll, "poll"),
        (LatencyClass::Admin, "admin"),
    ];
}

/// One route as the metrics name it. The edge speaks of it by its place in the list.
#[derive(Clone, Copy, Debug)]
pub struct RouteLabel {
    /// Method and path pattern, without the context path.
    pub route: &'static str,
    /// API generation: `v1`, `v2`, `v3`, `own`.
    pub generation: &'static str,
    /// Which histogram its latencies go into.
    pub class: LatencyClass,
}

/// Requests that no route took.
const NO_ROUTE: RouteLabel = RouteLabel {
    route: "none",
    generation: "none",
    class: LatencyClass::Admin,
};

/// The counters of the HTTP edge.
#[derive(Debug)]
pub struct HttpMetrics {
    routes: Box<[Route]>,
    latency: [Histogram; LatencyClass::ALL.len()],
    /// Connections accepted.
    pub connections_accepted: Counter,
    /// Connections open now.
    pub connections_open: Gauge,
    /// Connections beyond a limit.
    pub connections_refused: Counter,
    /// Connections closed because the client was too slow or idle.
    pub connections_timed_out: Counter,
    /// Failed accepts that made the loop wait.
    pub accept_errors: Counter,
    /// Requests refused before a route saw them: URL, head, memory.
    pub requests_refused: Counter,
    /// Handlers that panicked.
    pub panics: Counter,
    /// Polls that are parked now.
    pub polls_parked: Gauge,
    /// Config reads and writes, as the reference times them.
    pub config: ConfigTimings,
    /// Failures of configs, as the reference counts them.
    pub exceptions: Exceptions,
}

/// What a request asks of configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigRequest {
    /// One config.
    Read,
    /// A publish or a removal.
    Write,
    /// Those that match a pattern.
    Search,
}

#[derive(Debug)]
struct Route {
    label: RouteLabel,
    /// By first digit of the status.
    by_status: [Timer; 5],
}

impl HttpMetrics {
    /// Metrics for the given routes; requests of no route are counted as route `none`.
    pub fn new(routes: &[RouteLabel]) -> Arc<Self> {
        let routes = routes.iter().chain([&NO_ROUTE]).map(|&label| Route {
            label,
            by_status: Default::default(),
        });
        Arc::new(HttpMetrics {
            routes: routes.collect(),
            latency: Default::default(),
            connections_accepted: Counter::default(),
            connections_open: Gauge::default(),
            connections_refused: Counter::default(),
            connections_timed_out: Counter::default(),
            accept_errors: Counter::default(),
            requests_refused: Counter::default(),
            panics: Counter::default(),
            polls_parked: Gauge::default(),
            config: ConfigTimings::default(),
            exceptions: Exceptions::default(),
        })
    }

    /// Counts an answer of the route at `route` in the list given to [`new`](Self::new); any other number means no route.
    pub fn answered(&self, route: usize, status: u16, micros: u64) {
        let route = &self.routes[route.min(self.routes.len() - 1)];
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        route.by_status[class].record(micros);
        self.latency[route.label.class as usize].record(micros);
    }

    /// Counts what a request did to configs; beside [`answered`](Self::answered).
    pub fn config_answered(&self, done: ConfigRequest, status: u16, micros: u64) {
        match done {
            ConfigRequest::Read => self.config.read.record(micros),
            ConfigRequest::Write => self.config.write.record(micros),
            ConfigRequest::Search => self.config.searches.inc(),
        }
        match status {
            400 => self.exceptions.illegal_argument.inc(),
            500.. => self.exceptions.nacos.inc(),
            _ => {}
        }
    }

    /// Counts a connection until the guard is dropped.
    pub fn connection_opened(self: &Arc<Self>) -> OpenConnection {
        self.connections_accepted.inc();
        self.connections_open.add(1);
        OpenConnection(self.clone())
    }

    pub(super) fn render(&self, text: &mut Exposition) {
        let name = "nacrite_http_requests_total";
        text.family(
            name,
            "counter",
            "HTTP requests answered, by route, API generation and status class.",
        );
        for route in &self.routes {
            for (digit, timer) in (1..).zip(&route.by_status) {
                let count = timer.count();
                // Hundreds of routes: what never happened is left out.
                if count > 0 {
                    let status = format!("{digit}xx");
                    let labels = [
                        ("route", route.label.route),
                        ("generation", route.label.generation),
                        ("status", &status),
                    ];
                    text.sample(name, &labels, count);
                }
            }
        }
        let name = "nacrite_http_request_duration_seconds";
        text.family(
            name,
            "histogram",
            "Time from a request's head to its answer, by class.",
        );
        for (class, label) in LatencyClass::ALL {
            text.histogram(name, &[("class", label)], &self.latency[class as usize]);
        }
        text.single(
            "nacrite_http_connections",
            "gauge",
            "Open HTTP connections.",
            self.connections_open.get(),
        );
        for (name, help, counter) in [
            (
                "nacrite_http_connections_accepted_total",
                "HTTP connections accepted.",
                &self.connections_accepted,
            ),
            (
                "nacrite_http_connections_refused_total",
                "HTTP connections beyond a limit.",
                &self.connections_refused,
            ),
            (
                "nacrite_http_connections_timed_out_total",
                "HTTP connections closed for idleness or slowness.",
                &self.connections_timed_out,
            ),
            (
                "nacrite_http_accept_errors_total",
                "Failed accepts, such as descriptors that ran out.",
                &self.accept_errors,
            ),
            (
                "nacrite_http_requests_refused_total",
                "Requests refused for their size before a route saw them.",
                &self.requests_refused,
            ),
            (
                "nacrite_http_panics_total",
                "Request handlers that panicked: each is a bug.",
                &self.panics,
            ),
        ] {
            text.single(name, "counter", help, counter.get());
        }
        text.single(
            "nacrite_http_polls_parked",
            "gauge",
            "Long polls that wait for a change.",
            self.polls_parked.get(),
        );
    }
}

impl HttpMetrics {
    pub(super) fn rotate(&self) {
        self.routes
            .iter()
            .flat_map(|route| &route.by_status)
            .for_each(Timer::rotate);
        self.config.rotate();
    }

    /// The reference's own family for HTTP requests.
    pub(super) fn render_reference(&self, text: &mut Exposition) {
        let name = "http_server_requests_seconds";
        text.family(name, "summary", "HTTP requests by route and status class.");
        self.each(|labels, timer| text.timer(name, labels, timer));
        let name = "http_server_requests_seconds_max";
        text.family(name, "gauge", "The longest HTTP request lately.");
        self.each(|labels, timer| text.sample(name, labels, seconds(timer.max())));
    }

    fn each(&self, mut show: impl FnMut(&[(&str, &str)], &Timer)) {
        const OUTCOMES: [(&str, &str); 5] = [
            ("1xx", "INFORMATIONAL"),
            ("2xx", "SUCCESS"),
            ("3xx", "REDIRECTION"),
            ("4xx", "CLIENT_ERROR"),
            ("5xx", "SERVER_ERROR"),
        ];
        for route in &self.routes {
            let (method, uri) = route
                .label
                .route
                .split_once(' ')
                .unwrap_or(("none", route.label.route));
            for ((status, outcome), timer) in OUTCOMES.into_iter().zip(&route.by_status) {
                if timer.count() > 0 {
                    show(
                        &[
                            ("method", method),
                            ("uri", uri),
                            ("status", status),
                            ("outcome", outcome),
                        ],
                        timer,
                    );
                }
            }
        }
    }
}

/// An open connection, counted until dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<HttpMetrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_open.add(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route_and_status_class() {
        let routes = [RouteLabel {
            route: "GET /v1/cs/configs",
            generation: "v1",
            class: LatencyClass::Read,
        }];
        let metrics = HttpMetrics::new(&routes);
        metrics.answered(0, 200, 80);
        metrics.answered(0, 204, 80);
        metrics.answered(0, 404, 80);
        metrics.answered(usize::MAX, 404, 80);
        let open = metrics.connection_opened();
        let mut text = Exposition::default();
        metrics.render(&mut text);
        let text = text.finish();
        for line in [
            "nacrite_http_requests_total{route=\"GET /v1/cs/configs\",generation=\"v1\",status=\"2xx\"} 2",
            "nacrite_http_requests_total{route=\"GET /v1/cs/configs\",generation=\"v1\",status=\"4xx\"} 1",
            "nacrite_http_requests_total{route=\"none\",generation=\"none\",status=\"4xx\"} 1",
            "nacrite_http_request_duration_seconds_count{class=\"read\"} 3",
            "nacrite_http_request_duration_seconds_count{class=\"admin\"} 1",
            "nacrite_http_connections 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        drop(open);
        assert_eq!(metrics.connections_open.get(), 0);
    }
}
