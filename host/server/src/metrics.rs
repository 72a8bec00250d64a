//! What the server counts of itself, and the text that Prometheus scrapes: our own names, and beside them the names that
//! dashboards made for the reference know.
//!
//! Recording is atomic additions through typed handles ([`Metrics`] and its parts). What the core or the store counts
//! anyway is asked for at each scrape, by the callback of [`Metrics::on_scrape`].

mod families;
pub mod grpc;
pub mod http;
mod nacos;
mod process;
mod text;
mod value;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use self::families::{
    EngineMetrics, PushMetrics, QueueMetrics, RaftMetrics, StoreMetrics, Totals,
};
use self::grpc::{GrpcMetrics, RequestType};
use self::http::{HttpMetrics, RouteLabel};
pub use self::nacos::{ConfigTimings, Exceptions};
use self::process::ProcessReader;
pub use self::text::CONTENT_TYPE;
use self::text::Exposition;
pub use self::value::{Counter, Gauge, Histogram, LATENCY_MICROS, Timer};

/// How long a maximum is shown, at least.
const MAX_WINDOW: Duration = Duration::from_secs(60);

/// Everything that is counted.
pub struct Metrics {
    /// The HTTP edge.
    pub http: Arc<HttpMetrics>,
    /// The gRPC edge.
    pub grpc: GrpcMetrics,
    /// Pushes to clients.
    pub push: PushMetrics,
    /// Consensus.
    pub raft: RaftMetrics,
    /// The queue of requests into the core.
    pub queue: QueueMetrics,
    /// The engine.
    pub engine: EngineMetrics,
    /// The store.
    pub store: StoreMetrics,
    /// Totals of the core, set at each scrape.
    pub totals: Totals,
    /// Log lines that were not written.
    pub log_lines_dropped: Arc<Counter>,
    process: Mutex<ProcessReader>,
    window: Mutex<Instant>,
    on_scrape: OnceLock<OnScrape>,
}

type OnScrape = Box<dyn Fn(&Metrics) + Send + Sync>;

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics for these HTTP routes and gRPC request types; both are spoken of by their place in the list.
    pub fn new(routes: &[RouteLabel], types: &[RequestType]) -> Arc<Self> {
        Arc::new(Metrics {
            http: HttpMetrics::new(routes),
            grpc: GrpcMetrics::new(types),
            push: PushMetrics::default(),
            raft: RaftMetrics::default(),
            queue: QueueMetrics::default(),
            engine: EngineMetrics::default(),
            store: StoreMetrics::default(),
            totals: Totals::default(),
            log_lines_dropped: Arc::default(),
            process: Mutex::new(ProcessReader::new(Instant::now())),
            window: Mutex::new(Instant::now()),
            on_scrape: OnceLock::new(),
        })
    }

    /// Sets the callback that fills in what is counted elsewhere, before each scrape. Only the first one counts; it
    /// must not hold the metrics (`Arc`), which would keep themselves alive.
    pub fn on_scrape(&self, callback: impl Fn(&Metrics) + Send + Sync + 'static) {
        let _ = self.on_scrape.set(Box::new(callback));
    }

    /// The exposition, to be answered with [`CONTENT_TYPE`]. Reads a few files of the system: not for a hot path.
    pub fn render(&self) -> String {
        self.render_at(Instant::now())
    }

    fn render_at(&self, now: Instant) -> String {
        if let Some(callback) = self.on_scrape.get() {
            callback(self);
        }
        let mut text = Exposition::default();
        self.http.render(&mut text);
        self.grpc.render(&mut text);
        self.push.render(&mut text);
        self.raft.render(&mut text);
        self.queue.render(&mut text);
        self.engine.render(&mut text);
        self.store.render(&mut text);
        self.totals.render(&mut text);
        let help = "Log lines dropped because the writer was slow.";
        text.single(
            "nacrite_log_lines_dropped_total",
            "counter",
            help,
            self.log_lines_dropped.get(),
        );
        nacos::render(self, &mut text);
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .render(now, &mut text);
        self.rotate(now);
        text.finish()
    }

    /// Lets maxima that are old enough go.
    fn rotate(&self, now: Instant) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(*window) >= MAX_WINDOW {
            *window = now;
            self.http.rotate();
            self.grpc.rotate();
        }
    }
}

#[cfg(test)]
mod tests;
