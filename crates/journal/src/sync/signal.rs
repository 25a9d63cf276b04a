//! What many threads wait for at once, and what wakes all of them with one system call.

use std::time::Duration;

use super::atomic::{AtomicU32, AtomicUsize, Ordering};

/// A number that threads wait on until it changes.
///
/// Whoever waits reads the number first, looks then whether what it waits for has come, and sleeps only
/// while the number is still the same. Whoever lets it come changes the number afterwards.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    changes: AtomicU32,
    sleepers: AtomicUsize,
    bed: Bed,
}

impl Signal {
    /// To be read before looking for what is waited for.
    pub(crate) fn seen(&self) -> u32 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Sleeps until the number is not the one that was seen, and not longer than that where it is said.
    /// May end for no reason.
    pub(crate) fn wait(&self, seen: u32, at_most: Option<Duration>) {
        // Before the number is compared: whoever changes it sees the sleeper, or the sleeper the change.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        self.bed.sleep(&self.changes, seen, at_most);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Changes the number, and wakes all who wait for that.
    pub(crate) fn change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        // Where nobody sleeps yet there is no call to make.
        if self.has_sleepers() {
            self.bed.wake(&self.changes);
        }
    }

    /// Known for certain only behind a change: before it somebody may be about to sleep.
    pub(crate) fn has_sleepers(&self) -> bool {
        self.sleepers.load(Ordering::SeqCst) > 0
    }
}

/// The system's own: it compares the number itself, and knows who sleeps on it.
#[cfg(all(target_os = "linux", not(shuttle)))]
#[derive(Debug, Default)]
struct Bed;

#[cfg(all(target_os = "linux", not(shuttle)))]
impl Bed {
    #[allow(clippy::unused_self, reason = "elsewhere it has something")]
    fn sleep(&self, number: &AtomicU32, seen: u32, at_most: Option<Duration>) {
        use rustix::thread::futex;

        let at_most = at_most.and_then(|time| time.try_into().ok());
        // Changed already, interrupted, too late: whoever waits looks again in any case.
        let _ = futex::wait(number, futex::Flags::PRIVATE, seen, at_most.as_ref());
    }

    #[allow(clippy::unused_self, reason = "elsewhere it has something")]
    fn wake(&self, number: &AtomicU32) {
        use rustix::thread::futex;

        const ALL: u32 = i32::MAX.unsigned_abs();
        let _ = futex::wake(number, futex::Flags::PRIVATE, ALL);
    }
}

/// Where the system has no such call, and under explored schedules.
#[cfg(any(shuttle, not(target_os = "linux")))]
#[derive(Debug, Default)]
struct Bed {
    lock: super::Mutex<()>,
    changed: super::Condvar,
}

#[cfg(any(shuttle, not(target_os = "linux")))]
impl Bed {
    fn sleep(&self, number: &AtomicU32, seen: u32, at_most: Option<Duration>) {
        let mut locked = self.lock.lock();
        if number.load(Ordering::SeqCst) != seen {
            return;
        }
        match at_most {
            None => self.changed.wait(&mut locked),
            Some(time) => drop(self.changed.wait_for(&mut locked, time)),
        }
    }

    fn wake(&self, _: &AtomicU32) {
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}
