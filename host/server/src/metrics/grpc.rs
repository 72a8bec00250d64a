//! What the gRPC edge counts: requests by type and outcome, connections.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::text::{Exposition, seconds};
use super::value::{Counter, Gauge, Timer};

/// One request type as the metrics name it. The edge speaks of it by its place in the list.
#[derive(Clone, Copy, Debug)]
pub struct RequestType {
    /// The type's name on the wire.
    pub class: &'static str,
    /// `naming`, `config`, `internal`, …
    pub module: &'static str,
}

/// Requests of an unknown type.
const NO_TYPE: RequestType = RequestType {
    class: "none",
    module: "none",
};
/// Pairs of type and error code that are told apart.
const MAX_ERRORS: usize = 1_024;

/// The counters of the gRPC edge.
#[derive(Debug)]
pub struct GrpcMetrics {
    types: Box<[(RequestType, Timer)]>,
    errors: Mutex<BTreeMap<(usize, i32), Timer>>,
    /// Open client connections.
    pub connections: Gauge,
    /// Connections beyond a limit.
    pub connections_refused: Counter,
    /// Requests under way.
    pub active: Gauge,
    /// Requests that arrived before their connection's setup.
    pub early: Counter,
}

impl GrpcMetrics {
    /// Metrics for the given types; others are counted as type `none`.
    pub fn new(types: &[RequestType]) -> Self {
        GrpcMetrics {
            types: types
                .iter()
                .chain([&NO_TYPE])
                .map(|&kind| (kind, Timer::default()))
                .collect(),
            errors: Mutex::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            active: Gauge::default(),
            early: Counter::default(),
        }
    }

    /// Counts an answer to the type at `kind` in the list given to [`new`](Self::new); `error_code` 0 is success.
    pub fn answered(&self, kind: usize, error_code: i32, micros: u64) {
        let kind = kind.min(self.types.len() - 1);
        if error_code == 0 {
            self.types[kind].1.record(micros);
            return;
        }
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let full = errors.len() >= MAX_ERRORS && !errors.contains_key(&(kind, error_code));
        errors
            .entry((kind, if full { -1 } else { error_code }))
            .or_default()
            .record(micros);
    }

    pub(super) fn rotate(&self) {
        self.types.iter().for_each(|(_, timer)| timer.rotate());
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .for_each(Timer::rotate);
    }

    pub(super) fn render(&self, text: &mut Exposition) {
        text.single(
            "nacrite_grpc_connections",
            "gauge",
            "Open gRPC connections.",
            self.connections.get(),
        );
        for (name, help, counter) in [
            (
                "nacrite_grpc_connections_refused_total",
                "gRPC connections beyond a limit.",
                &self.connections_refused,
            ),
            (
                "nacrite_grpc_early_requests_total",
                "Requests before their connection's setup.",
                &self.early,
            ),
        ] {
            text.single(name, "counter", help, counter.get());
        }
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let name = "grpc_server_requests_seconds";
        text.family(name, "summary", "gRPC requests by type and outcome.");
        let mut done = 0;
        self.each(&errors, |labels, timer| {
            text.timer(name, labels, timer);
            done += timer.count();
        });
        text.family(
            "grpc_server_requests_seconds_max",
            "gauge",
            "The longest gRPC request lately.",
        );
        self.each(&errors, |labels, timer| {
            text.sample(
                "grpc_server_requests_seconds_max",
                labels,
                seconds(timer.max()),
            );
        });
        let active = self.active.get();
        let name = "grpc_server_executor";
        text.family(name, "gauge", "Work of the gRPC server.");
        let done = i64::try_from(done).unwrap_or(i64::MAX);
        for (what, value) in [
            ("activeCount", active),
            ("completedTaskCount", done),
            ("taskCount", done.saturating_add(active)),
        ] {
            text.sample(name, &[("type", "grpcSdkServer"), ("name", what)], value);
        }
    }

    /// Calls `show` for everything that has happened at least once.
    fn each(
        &self,
        errors: &BTreeMap<(usize, i32), Timer>,
        mut show: impl FnMut(&[(&str, &str)], &Timer),
    ) {
        let good = self
            .types
            .iter()
            .filter(|(_, timer)| timer.count() > 0)
            .map(|(kind, timer)| (kind, 0, timer));
        let bad = errors
            .iter()
            .map(|(&(kind, code), timer)| (&self.types[kind].0, code, timer));
        for (kind, code, timer) in good.chain(bad) {
            let success = if code == 0 { "true" } else { "false" };
            let labels = [
                ("requestClass", kind.class),
                ("success", success),
                ("errorCode", &code.to_string()),
                ("throwableClass", "none"),
                ("module", kind.module),
            ];
            show(&labels, timer);
        }
    }
}
