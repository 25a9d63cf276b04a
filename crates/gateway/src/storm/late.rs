//! How late the storm itself is. Whoever measures on a busy machine waits for it as well, and what it then
//! takes for the time of a gateway may be its own. One task stands for all of them: it runs where they run,
//! as long as they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// It means to wake so often.
const EVERY: Duration = Duration::from_millis(20);

/// A task that wakes and sleeps among the storm's own. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Watch {
    late: Arc<Late>,
    ended: CancellationToken,
    task: JoinSet<()>,
}

impl Watch {
    pub(super) fn begin() -> Self {
        let (late, ended) = (Arc::new(Late::default()), CancellationToken::new());
        let mut task = JoinSet::new();
        task.spawn({
            let (late, ended) = (Arc::clone(&late), ended.clone());
            async move { late.watch(ended).await }
        });
        Self { late, ended, task }
    }

    /// The longest that it woke behind its time.
    pub(super) async fn end(mut self) -> Duration {
        self.ended.cancel();
        while self.task.join_next().await.is_some() {}
        self.late.told()
    }
}

/// The longest time behind.
#[derive(Debug, Default)]
struct Late {
    most_us: AtomicU64,
}

impl Late {
    async fn watch(&self, ended: CancellationToken) {
        loop {
            let slept = Instant::now();
            let goes_on = tokio::select! {
                () = tokio::time::sleep(EVERY) => true,
                () = ended.cancelled() => false,
            };
            self.woke(slept.elapsed());
            if !goes_on {
                return;
            }
        }
    }

    fn woke(&self, behind: Duration) {
        let late = behind.saturating_sub(EVERY).as_micros();
        self.most_us.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn told(&self) -> Duration {
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

    /// The one worker is taken by somebody else, and the test's own thread is not.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn it_is_as_late_as_the_tasks_that_it_stands_for() {
        let watch = Watch::begin();
        // Behind it in the worker's queue, so that it sleeps already.
        tokio::spawn(async { std::thread::sleep(EVERY * 5) }).await.expect("no panic");
        assert!(watch.end().await >= EVERY * 2, "nobody woke for five times as long as it slept");
    }
}
