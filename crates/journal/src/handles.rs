//! A bound on open files: actors that nobody used lately give their descriptors back.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::actor::Actor;
use crate::error::Result;
use crate::mutation::races::{self, Race};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::writer::Writer;

/// A writer holds two descriptors: one that appends, one that does not.
const HANDLES_PER_WRITER: usize = 2;
/// Where every writer is at work, look again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
struct Open {
    leases: usize,
    actors: Vec<Weak<Actor>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Handles {
    writers_max: usize,
    open: Mutex<Open>,
    given_back: Condvar,
    clock: AtomicU64,
}

/// The right to hold one writer's descriptors; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Handles>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.open.lock().leases -= 1;
        self.0.given_back.notify_one();
    }
}

impl Handles {
    pub(crate) fn new(handles_max: usize) -> Arc<Self> {
        Arc::new(Self {
            writers_max: (handles_max / HANDLES_PER_WRITER).max(1),
            open: Mutex::default(),
            given_back: Condvar::new(),
            clock: AtomicU64::new(0),
        })
    }

    /// A time that rises with every use.
    pub(crate) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Writers that hold descriptors now.
    pub(crate) fn leases(&self) -> usize {
        self.open.lock().leases
    }

    /// Waits until one more writer may hold descriptors; sends the one away that was used longest
    /// ago.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        let mut open = self.open.lock();
        loop {
            if open.leases < self.writers_max {
                open.leases += 1;
                return Lease(Arc::clone(self));
            }
            let mut actors: Vec<Arc<Actor>> =
                open.actors.iter().filter_map(Weak::upgrade).collect();
            // Parking may sync, and ends a lease: not under this lock.
            let parked = MutexGuard::unlocked(&mut open, || {
                // Each key once: it changes while others are at work.
                actors.sort_by_cached_key(|actor| actor.last_used());
                let parked = actors.iter().any(|actor| actor.try_park());
                drop(actors);
                parked
            });
            if !parked && open.leases >= self.writers_max {
                self.given_back.wait_for(&mut open, LOOK_AGAIN);
            }
        }
    }

    /// An actor that holds a lease, and may be asked to end it.
    pub(crate) fn enlist(&self, actor: &Arc<Actor>) {
        let mut open = self.open.lock();
        open.actors.retain(|other| {
            other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(actor))
        });
        open.actors.push(Arc::downgrade(actor));
    }

    fn strike_off(&self, actor: &Actor) {
        let mut open = self.open.lock();
        open.actors.retain(|other| !std::ptr::eq(other.as_ptr(), actor));
    }

    /// Opens the descriptors of an actor that gave them back.
    pub(crate) fn bring_back(
        self: &Arc<Self>,
        actor: &Arc<Actor>,
        writer: &mut Writer,
    ) -> Result<()> {
        if writer.is_parked() {
            let brought = writer.unpark(self.lease());
            let is_back = !writer.is_parked() && !writer.is_finished();
            if is_back && !races::broken(Race::NeverAsked) {
                self.enlist(actor);
            }
            brought?;
        }
        Ok(())
    }

    /// This actor gave its descriptors back.
    pub(crate) fn parked(&self, actor: &Actor) {
        self.strike_off(actor);
    }
}
