//! One thread that sees to it that written records are synced in time although nobody appends.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::actor::Actor;
use crate::mutation::races::{self, Race};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// How often actors with unsynced bytes are looked at.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Watched {
    actors: Vec<Weak<Actor>>,
    started: bool,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

/// See the module. Its thread starts with the first actor, and sleeps while there is none.
#[derive(Default)]
pub(crate) struct Timer(Arc<Shared>);

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

impl Timer {
    /// Looks at this actor once, soon.
    pub(crate) fn watch_over(&self, actor: &Arc<Actor>) {
        if actor.set_watched(true) {
            return;
        }
        let mut watched = self.0.watched.lock();
        watched.actors.push(Arc::downgrade(actor));
        if !watched.started {
            let shared = Arc::clone(&self.0);
            let thread = thread::Builder::new().name("sj-timer".to_owned());
            // Without it records are synced by the appends that come.
            watched.started = thread.spawn(move || run(&shared)).is_ok();
        }
        drop(watched);
        self.0.changed.notify_one();
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.watched.lock().stopped = true;
        self.0.changed.notify_one();
    }
}

/// Has an actor look what is due. Where it is in the middle of a turn it may have looked already, and
/// have found itself watched over: then somebody has to come again.
fn must_look_again(actor: &Arc<Actor>) -> bool {
    actor.set_watched(false);
    let began_a_turn = actor.tick() || races::broken(Race::LooksOnce);
    !began_a_turn && !actor.set_watched(true)
}

fn run(shared: &Shared) {
    let mut watched = shared.watched.lock();
    loop {
        while watched.actors.is_empty() && !watched.stopped {
            shared.changed.wait(&mut watched);
        }
        let end = Instant::now() + LOOK;
        while !watched.stopped && !shared.changed.wait_until(&mut watched, end).timed_out() {}
        if watched.stopped {
            return;
        }
        let mut due = std::mem::take(&mut watched.actors);
        MutexGuard::unlocked(&mut watched, || {
            due.retain(|actor| actor.upgrade().is_some_and(|actor| must_look_again(&actor)));
        });
        watched.actors.append(&mut due);
    }
}
