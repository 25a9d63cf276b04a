//! What the hub tells of what it does: counters, gauges, events.

use std::sync::Arc;
use std::time::Duration;

use session_journal::{Appended, ErrorKind, SessionName};

use super::{Hub, Slot};
use crate::metrics::Kind;

impl Hub {
    pub(super) fn count_append(
        &self,
        appended: &[Appended],
        count: usize,
        bytes: usize,
        took: Duration,
    ) {
        let metrics = &self.inner.metrics;
        metrics.append_seconds.observe(took.as_secs_f64());
        if appended.iter().all(|one| !one.duplicate) {
            metrics.records.inc_by(count as u64);
            metrics.record_bytes.inc_by(bytes as u64);
        } else {
            metrics.records.inc_by(appended.iter().filter(|one| !one.duplicate).count() as u64);
        }
    }

    /// A session that its last error finished was given up.
    pub(super) fn tell_of_end(&self, name: &SessionName, error: &session_journal::Error) {
        let metrics = &self.inner.metrics;
        match error.kind() {
            ErrorKind::Closed => {}
            ErrorKind::Fenced => {
                metrics.fences.inc();
                tracing::warn!(session = name.to_string(), error = error.to_string(), "fenced");
            }
            kind => {
                metrics.poisonings.get_or_create(&Kind { kind: kind.code() }).inc();
                tracing::warn!(session = name.to_string(), error = error.to_string(), "given up");
            }
        }
    }

    /// Sets the gauges that are read rather than counted.
    pub fn measure(&self) {
        let slots: Vec<Arc<Slot>> = self.slots().values().map(Arc::clone).collect();
        let held = slots.iter().filter_map(|slot| slot.session.try_lock().ok()?.clone());
        let depths: Vec<usize> = held.map(|session| session.inbox_depth()).collect();
        let metrics = &self.inner.metrics;
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        metrics.sessions.set(gauge(depths.len()));
        metrics.inbox_depth.set(gauge(depths.iter().sum()));
        metrics.inbox_depth_max.set(gauge(depths.iter().copied().max().unwrap_or(0)));
        metrics.file_handles.set(gauge(self.inner.store.file_handles()));
    }
}
