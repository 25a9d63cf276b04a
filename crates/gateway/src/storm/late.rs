//! How late the storm itself is. Whoever measures on a busy machine waits for it as well, and what it then
//! takes for the time of a gateway may be its own.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// It means to wake so often.
const EVERY: Duration = Duration::from_millis(20);

/// The longest that it woke behind its time.
#[derive(Debug, Default)]
pub(super) struct Late {
    most_us: AtomicU64,
}

impl Late {
    pub(super) async fn watch(&self) -> Infallible {
        loop {
            let slept = Instant::now();
            tokio::time::sleep(EVERY).await;
            self.woke(slept.elapsed());
        }
    }

    fn woke(&self, behind: Duration) {
        let late = behind.saturating_sub(EVERY).as_micros();
        self.most_us.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn told(&self) -> Duration {
        Duration::from_micros(self.most_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_behind_is_told() {
        let late = Late::default();
        for ms in [20, 19, 95, 30] {
            late.woke(Duration::from_millis(ms));
        }
        assert_eq!(late.told(), Duration::from_millis(75));
    }
}
