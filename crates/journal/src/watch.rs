//! Waiting until a file may have changed: the system's own notices, and a look once a second in
//! case one is lost or there are none. Never spins.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::mutation::races::{self, Race};
use crate::sync::{Condvar, Mutex, Notify};

/// The longest that a change can go unnoticed where the system says nothing.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Wakes whoever waits for a file.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    blocking: Condvar,
    awaiting: Notify,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock() = !races::broken(Race::RingsUnheard);
        self.blocking.notify_all();
        self.awaiting.notify_one();
    }

    /// Waits until it rings, at most so long. Rings while nobody waited count.
    pub(crate) fn wait(&self, at_most: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.blocking.wait_for(&mut rung, at_most);
        }
        *rung = false;
    }

    /// Waits until it rings. Cancel-safe: a ring that nobody took counts for the next.
    pub(crate) async fn rings(&self) {
        self.awaiting.notified().await;
        *self.rung.lock() = false;
    }
}

/// A watch on one file. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct FileWatch {
    bell: Arc<Bell>,
    path: PathBuf,
}

impl FileWatch {
    /// A watch on the file that is at the path now, with a bell that others may ring too.
    pub(crate) fn new(path: &Path, bell: Arc<Bell>) -> Self {
        hub().lock().add(path, &bell);
        Self { bell, path: path.to_owned() }
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        hub().lock().remove(&self.path, &self.bell);
    }
}

/// The one watcher of this process, however many files are watched.
struct Hub {
    /// None where the system has no notices to give.
    watcher: Option<RecommendedWatcher>,
    bells: Bells,
}

/// The system's locks, whoever schedules the engine: the watcher's thread is not the engine's.
type Bells = Arc<parking_lot::Mutex<HashMap<PathBuf, Vec<Weak<Bell>>>>>;

fn hub() -> &'static parking_lot::Mutex<Hub> {
    static HUB: OnceLock<parking_lot::Mutex<Hub>> = OnceLock::new();
    HUB.get_or_init(|| {
        let bells = Bells::default();
        let told = Arc::clone(&bells);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event {
                ring_for(&told, &event);
            }
        });
        parking_lot::Mutex::new(Hub { watcher: watcher.ok(), bells })
    })
}

fn ring_for(bells: &Bells, event: &notify::Event) {
    // Opening, reading and closing a file changes nothing in it.
    if event.kind.is_access() {
        return;
    }
    let bells = bells.lock();
    let of_paths = event.paths.iter().filter_map(|path| bells.get(path));
    for bell in of_paths.flatten().filter_map(Weak::upgrade) {
        bell.ring();
    }
}

impl Hub {
    fn add(&mut self, path: &Path, bell: &Arc<Bell>) {
        self.bells.lock().entry(path.to_owned()).or_default().push(Arc::downgrade(bell));
        // Asked for anew each time: the file at the path may be another one by now.
        if let Some(watcher) = &mut self.watcher {
            let _ = watcher.watch(path, RecursiveMode::NonRecursive);
        }
    }

    fn remove(&mut self, path: &Path, bell: &Arc<Bell>) {
        let mut bells = self.bells.lock();
        let Some(of_path) = bells.get_mut(path) else { return };
        // One of each pair: a follower may hold an old and a new watch with one bell for a moment.
        let ours = of_path.iter().position(|one| std::ptr::eq(one.as_ptr(), Arc::as_ptr(bell)));
        if let Some(ours) = ours {
            of_path.swap_remove(ours);
        }
        if of_path.is_empty() {
            bells.remove(path);
            drop(bells);
            if let Some(watcher) = &mut self.watcher {
                let _ = watcher.unwatch(path);
            }
        }
    }
}
