//! Counters, gauges and histograms, as Prometheus reads them.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the latency histograms, in seconds.
const SECONDS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// … of those of turns.
const TURN_SECONDS: [f64; 12] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// Which route, and with which status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answer {
    pub(crate) method: String,
    pub(crate) route: String,
    pub(crate) status: u16,
}

/// One word that tells kinds apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Kind {
    pub(crate) kind: &'static str,
}

/// See the module. Clones share everything.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: std::sync::Arc<Registry>,
    pub(crate) requests: Family<Answer, Counter>,
    pub(crate) request_seconds: Histogram,
    pub(crate) append_seconds: Histogram,
    pub(crate) records: Counter,
    pub(crate) record_bytes: Counter,
    pub(crate) claims: Family<Kind, Counter>,
    pub(crate) repairs: Counter,
    pub(crate) records_lost: Counter,
    pub(crate) fences: Counter,
    pub(crate) poisonings: Family<Kind, Counter>,
    pub(crate) connections: Gauge,
    pub(crate) streams: Gauge,
    pub(crate) events: Counter,
    /// Turns that ended, by how.
    pub(crate) turns: Family<Kind, Counter>,
    pub(crate) turn_seconds: Histogram,
    pub(crate) turn_reruns: Counter,
    pub(crate) contexts_with_loss: Counter,
    pub(crate) turns_running: Gauge,
    /// Attempts to deliver, by what became of them.
    pub(crate) deliveries: Family<Kind, Counter>,
    /// Set when they are read.
    pub(crate) sessions: Gauge,
    pub(crate) file_handles: Gauge,
    pub(crate) inbox_depth: Gauge,
    pub(crate) inbox_depth_max: Gauge,
}

/// Counted as open as long as it lives.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Open {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&mut |_| {})
    }
}

impl Metrics {
    /// All of them, at zero; `more` registers what else is to be told.
    pub fn new(more: &mut dyn FnMut(&mut Registry)) -> Self {
        let mut metrics = Self {
            registry: std::sync::Arc::default(),
            requests: Family::default(),
            request_seconds: Histogram::new(SECONDS),
            append_seconds: Histogram::new(SECONDS),
            records: Counter::default(),
            record_bytes: Counter::default(),
            claims: Family::default(),
            repairs: Counter::default(),
            records_lost: Counter::default(),
            fences: Counter::default(),
            poisonings: Family::default(),
            connections: Gauge::default(),
            streams: Gauge::default(),
            events: Counter::<u64, AtomicU64>::default(),
            turns: Family::default(),
            turn_seconds: Histogram::new(TURN_SECONDS),
            turn_reruns: Counter::default(),
            contexts_with_loss: Counter::default(),
            turns_running: Gauge::default(),
            deliveries: Family::default(),
            sessions: Gauge::default(),
            file_handles: Gauge::default(),
            inbox_depth: Gauge::default(),
            inbox_depth_max: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("session_journal");
        metrics.register(&mut registry);
        more(&mut registry);
        metrics.registry = std::sync::Arc::new(registry);
        metrics
    }

    fn register(&self, to: &mut Registry) {
        to.register("requests", "Requests answered", self.requests.clone());
        to.register(
            "request_seconds",
            "From a request's head to the head of its answer",
            self.request_seconds.clone(),
        );
        to.register("append_seconds", "Appends, their syncs included", self.append_seconds.clone());
        to.register("records", "Records appended", self.records.clone());
        to.register("record_bytes", "Bytes of payload appended", self.record_bytes.clone());
        to.register(
            "claims",
            "Sessions opened for writing, by why they could be",
            self.claims.clone(),
        );
        to.register("repairs", "Openings that found holes", self.repairs.clone());
        to.register("records_lost", "Records that openings found lost", self.records_lost.clone());
        to.register("fences", "Sessions lost to another owner", self.fences.clone());
        to.register("poisonings", "Sessions that a failure finished", self.poisonings.clone());
        to.register("connections", "Connections open", self.connections.clone());
        to.register("streams", "Event streams open", self.streams.clone());
        to.register("events", "Events sent on streams", self.events.clone());
        to.register("turns", "Turns that ended, by how", self.turns.clone());
        to.register("turn_seconds", "Turns, their models included", self.turn_seconds.clone());
        to.register("turn_reruns", "Models asked again for what came", self.turn_reruns.clone());
        to.register(
            "contexts_with_loss",
            "Contexts that left out lost records",
            self.contexts_with_loss.clone(),
        );
        to.register("turns_running", "Turns under way", self.turns_running.clone());
        to.register(
            "deliveries",
            "Attempts to deliver, by what became of them",
            self.deliveries.clone(),
        );
        to.register("sessions", "Sessions held", self.sessions.clone());
        to.register("file_handles", "File handles of the sessions held", self.file_handles.clone());
        to.register("inbox_depth", "Requests waiting, over all sessions", self.inbox_depth.clone());
        to.register(
            "inbox_depth_max",
            "Requests waiting for the session with most",
            self.inbox_depth_max.clone(),
        );
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
