//! The same surface on `shuttle`: before each of these calls another thread may go on.
//!
//! `parking_lot`'s locks are built from shuttle's. `tokio`'s channels are taken as they are, each call
//! one step: they wake whoever waits through its waker, which is shuttle's. What is not modelled is
//! weak memory, every atomic operation counts as sequentially consistent, and time: see
//! [`Condvar::wait_for`].

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use shuttle::sync::{Condvar as Waiting, Mutex as Lock, MutexGuard as Locked};

pub(crate) use shuttle::sync::atomic;
pub(crate) use shuttle::thread;

/// A scheduler decides who runs, and no clock rings.
pub(crate) const EXPLORED: bool = true;

/// A wait of so long is a look in case a notice was lost; it never ends by itself here, so that a
/// notice that was lost leaves somebody waiting for ever, which the scheduler reports.
const LAST_RESORT: Duration = crate::watch::LOOK_INTERVAL;

/// As in `parking_lot`: a panic in its holder does not poison it.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(Lock<T>);

/// Empty only within [`MutexGuard::unlocked`] and [`Condvar::wait`].
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    lock: &'a Lock<T>,
    locked: Option<Locked<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Lock::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: &self.0, locked: Some(take(&self.0)) }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let locked = match self.0.try_lock() {
            Ok(locked) => locked,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { lock: &self.0, locked: Some(locked) })
    }
}

fn take<T>(lock: &Lock<T>) -> Locked<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> MutexGuard<'_, T> {
    pub(crate) fn unlocked<R>(guard: &mut Self, run: impl FnOnce() -> R) -> R {
        drop(guard.locked.take());
        let result = run();
        guard.locked = Some(take(guard.lock));
        result
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.locked.as_deref().expect("a guard in use is locked")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.locked.as_deref_mut().expect("a guard in use is locked")
    }
}

/// As in `parking_lot`: it takes the guard by reference.
#[derive(Debug, Default)]
pub(crate) struct Condvar(Waiting);

/// How a wait with a limit ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let locked = guard.locked.take().expect("a guard in use is locked");
        guard.locked = Some(self.0.wait(locked).unwrap_or_else(PoisonError::into_inner));
    }

    /// A short wait may end at any moment, notice or none: whoever depends on being told in time is
    /// wrong. A long one ends with a notice alone.
    pub(crate) fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        at_most: Duration,
    ) -> WaitTimeoutResult {
        if at_most >= LAST_RESORT {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        MutexGuard::unlocked(guard, thread::yield_now);
        WaitTimeoutResult(true)
    }

    /// As [`wait_for`](Self::wait_for), of a short wait.
    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _end: Instant,
    ) -> WaitTimeoutResult {
        self.wait_for(guard, Duration::ZERO)
    }
}

/// `tokio`'s, with a step before each call.
#[derive(Debug, Default)]
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        step();
        Notified(Box::pin(self.0.notified()))
    }

    pub(crate) fn notify_one(&self) {
        step();
        self.0.notify_one();
    }

    pub(crate) fn notify_waiters(&self) {
        step();
        self.0.notify_waiters();
    }
}

#[derive(Debug)]
pub(crate) struct Notified<'a>(Pin<Box<tokio::sync::futures::Notified<'a>>>);

impl Notified<'_> {
    pub(crate) fn enable(mut self: Pin<&mut Self>) -> bool {
        step();
        self.0.as_mut().enable()
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        step();
        self.0.as_mut().poll(context)
    }
}

/// `tokio`'s, with a step before each call.
pub(crate) mod oneshot {
    use super::{Context, Pin, Poll, step};

    #[derive(Debug)]
    pub(crate) struct Sender<T>(tokio::sync::oneshot::Sender<T>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(tokio::sync::oneshot::Receiver<T>);

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(self, value: T) -> Result<(), T> {
            step();
            self.0.send(value)
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn try_recv(&mut self) -> Result<T, tokio::sync::oneshot::error::TryRecvError> {
            step();
            self.0.try_recv()
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, tokio::sync::oneshot::error::RecvError>;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            step();
            Pin::new(&mut self.0).poll(context)
        }
    }
}

/// Another thread may go on here.
fn step() {
    thread::sleep(Duration::ZERO);
}
