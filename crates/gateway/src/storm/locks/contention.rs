//! Contention for one lock, measured as the real one was: so many contenders that take it, append a
//! line of 1 KiB and let it go, each beginning anew at once, or at a pace.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use super::lock::{LockError, Locks, Times};
use super::{Toll, steps};

/// What a line has beside its frame, so that it is of 1 KiB.
const LINE_BYTES: usize = 1024;

/// Who contends, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contention {
    /// So many at once, in this process.
    pub contenders: usize,
    /// Each takes the lock so often; without it, again and again.
    pub every: Option<Duration>,
    /// How long it goes on.
    pub lasts: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contended {
    /// How often the lock was taken.
    pub acquired: u64,
    /// How often somebody else held it already.
    pub overlaps: u64,
    /// How often it was refused as stale.
    pub stale: u64,
    /// How long each attempt took, from asking for the lock to having let it go; sorted.
    pub times: Vec<Duration>,
}

impl Contended {
    /// The time that so many of a thousand attempts are within.
    #[must_use]
    pub fn within(&self, thousandths: usize) -> Duration {
        let at = (self.times.len() * thousandths / 1000).min(self.times.len().saturating_sub(1));
        self.times.get(at).copied().unwrap_or_default()
    }

    /// How many attempts took longer.
    #[must_use]
    pub fn longer_than(&self, time: Duration) -> usize {
        self.times.len() - self.times.partition_point(|took| *took <= time)
    }

    fn add(&mut self, other: Self) {
        self.acquired += other.acquired;
        self.overlaps += other.overlaps;
        self.stale += other.stale;
        self.times.extend(other.times);
    }
}

/// Lets them contend for the lock of `file`, with the times of the real one, on a
/// [runtime](super::runtime) with the threads that it had. Other processes may contend as well, if
/// their command lines have the word `program`.
///
/// # Errors
/// The system refused; a lock was held for a minute.
pub async fn contend(
    file: &Path,
    program: &str,
    contention: Contention,
) -> Result<Contended, LockError> {
    let locks = Arc::new(Locks::new(Times::REAL, program));
    let mut all = JoinSet::new();
    for _ in 0..contention.contenders {
        all.spawn(contender(Arc::clone(&locks), file.to_owned(), contention));
    }
    let mut contended = Contended::default();
    for one in all.join_all().await {
        contended.add(one?);
    }
    contended.times.sort_unstable();
    Ok(contended)
}

async fn contender(
    locks: Arc<Locks>,
    file: PathBuf,
    Contention { every, lasts, .. }: Contention,
) -> Result<Contended, LockError> {
    let (begun, mut contended, mut toll) = (Instant::now(), Contended::default(), Toll::default());
    // Each at a time of its own.
    let first = |every: Duration| tokio::time::Instant::now() + every.mul_f64(fastrand::f64());
    let mut pace = every.map(|every| interval_at(first(every), every));
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    while begun.elapsed() < lasts {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let asked = Instant::now();
        match locks.acquire(&file, locks.times.hold, &mut toll).await {
            Ok(held) => {
                steps::append(&file, line()).await?;
                locks.release(held).await?;
            }
            Err(LockError::Stale) => contended.stale += 1,
            Err(other) => return Err(other),
        }
        contended.times.push(asked.elapsed());
    }
    (contended.acquired, contended.overlaps) = (toll.acquired, toll.overlaps);
    Ok(contended)
}

fn line() -> Vec<u8> {
    let mut line = vec![b'x'; LINE_BYTES - 1];
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_how_many_are_within() {
        let times = (1..=1000).map(Duration::from_millis).collect();
        let contended = Contended { times, ..Contended::default() };
        assert_eq!(contended.within(500), Duration::from_millis(501));
        assert_eq!(contended.within(990), Duration::from_millis(991));
        assert_eq!(contended.within(1000), Duration::from_secs(1));
        assert_eq!(contended.longer_than(Duration::from_millis(50)), 950);
        assert_eq!(Contended::default().within(500), Duration::ZERO);
    }
}
