//! The engine's own few threads for file work. A job is a turn of one actor; an actor with more to
//! do goes to the end of the queue, so one busy session keeps no other waiting.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::mutation::races::{self, Race};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, EXPLORED, Mutex, MutexGuard, thread};

/// What a thread does.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopped: bool,
    threads: usize,
    idle: usize,
    /// Threads whose jobs wait for a sync: they need no processor, and count as none.
    syncing: usize,
    /// So many of the idle ones look again and again for a while, and need no waking.
    lingering: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// How many jobs there are, to be looked at without the lock.
    queued: AtomicUsize,
    may_linger: bool,
}

/// How long a thread looks for another job before it sleeps. One that follows at once, as an append that
/// is awaited before the next one is made, then waits for nobody to wake up.
const LINGER: Duration = Duration::from_micros(50);

/// So many do so at a time, for one may be held up where there is much to do. They let others run.
const LINGERING_MAX: usize = 2;

/// So many threads of a pool may wait for syncs. A disk is given what it can take at once: ext4 makes
/// durable what many ask for with one commit.
pub(crate) const SYNCS_MAX: usize = 64;

/// Starts threads as they are needed, up to a limit; they end with the pool.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Threads at work at a time, those that wait for syncs not counted.
    threads_max: usize,
}

/// One of the pool's threads waits for a sync, until this is dropped.
pub(crate) struct Syncing<'a>(&'a Pool);

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        self.0.shared.queue.lock().syncing -= 1;
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads_max", &self.threads_max).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(threads_max: usize) -> Self {
        Self { shared: Arc::default(), threads_max: threads_max.max(1) }
    }

    /// One whose threads look for more for a while before they sleep.
    pub(crate) fn lingering(threads_max: usize) -> Self {
        let shared = Shared { may_linger: true, ..Shared::default() };
        Self { shared: Arc::new(shared), threads_max: threads_max.max(1) }
    }

    /// Queues a job. True where a thread is awake that will see it at once.
    pub(crate) fn submit(&self, job: Job) -> bool {
        let mut queue = self.shared.queue.lock();
        self.shared.push(&mut queue, job);
        self.start_where_needed(&mut queue);
        if queue.threads == 0 {
            // Not a single thread can be had: the caller's must do.
            let job = queue.jobs.pop_back();
            self.shared.queued.store(queue.jobs.len(), Ordering::Relaxed);
            drop(queue);
            if let Some(job) = job {
                job();
            }
            return true;
        }
        let is_seen = queue.jobs.len() <= queue.lingering;
        drop(queue);
        if !is_seen && !races::broken(Race::PoolAsleep) {
            self.shared.filled.notify_one();
        }
        is_seen
    }

    /// Starts a thread where a job waits for one, and there may be another.
    fn start_where_needed(&self, queue: &mut Queue) {
        let at_work = queue.threads.saturating_sub(queue.syncing);
        if queue.idle >= queue.jobs.len()
            || at_work >= self.threads_max
            || queue.threads >= self.threads_max.max(SYNCS_MAX)
        {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let name = format!("sj-io-{}", queue.threads);
        // Where none can be had, those that there are must do.
        if thread::Builder::new().name(name).spawn(move || work(&shared)).is_ok() {
            queue.threads += 1;
        }
    }

    /// Says that the thread of this pool which calls is going to wait for a sync: another one may work
    /// in its stead meanwhile.
    pub(crate) fn syncing(&self) -> Syncing<'_> {
        let mut queue = self.shared.queue.lock();
        queue.syncing += 1;
        self.start_where_needed(&mut queue);
        Syncing(self)
    }

    /// Queues a job of a thread of this pool that is about to look for one: it needs nobody else.
    pub(crate) fn again(&self, job: Job) {
        let mut queue = self.shared.queue.lock();
        if queue.threads == 0 {
            // It was run by whoever queued it, for want of threads.
            drop(queue);
            self.submit(job);
            return;
        }
        self.shared.push(&mut queue, job);
    }
}

impl Shared {
    fn push(&self, queue: &mut Queue, job: Job) {
        queue.jobs.push_back(job);
        self.queued.store(queue.jobs.len(), Ordering::Relaxed);
    }

    fn pop(&self, queue: &mut Queue) -> Option<Job> {
        let job = queue.jobs.pop_front();
        self.queued.store(queue.jobs.len(), Ordering::Relaxed);
        job
    }

    fn linger(&self) {
        let begun = Instant::now();
        while self.queued.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
            // No clock decides in an explored schedule: one look is as good as many.
            if EXPLORED || begun.elapsed() >= LINGER {
                return;
            }
        }
    }

    /// Waits until there may be a job. True where it was not asleep, and has to look again before it is.
    fn wait<'a>(&'a self, queue: &mut MutexGuard<'a, Queue>, has_lingered: bool) -> bool {
        queue.idle += 1;
        let lingers = self.may_linger && !has_lingered && queue.lingering < LINGERING_MAX;
        if lingers {
            queue.lingering += 1;
            MutexGuard::unlocked(queue, || self.linger());
            queue.lingering -= 1;
        }
        if !lingers || races::broken(Race::SleepsUnlooked) {
            self.filled.wait(queue);
        }
        queue.idle -= 1;
        lingers
    }
}

impl Drop for Pool {
    /// Lets what is queued finish; waits for nobody.
    fn drop(&mut self) {
        self.shared.queue.lock().stopped = true;
        self.shared.filled.notify_all();
    }
}

fn work(shared: &Shared) {
    loop {
        let job = {
            let mut queue = shared.queue.lock();
            let mut has_lingered = false;
            loop {
                if let Some(job) = shared.pop(&mut queue) {
                    break job;
                }
                if queue.stopped {
                    queue.threads -= 1;
                    return;
                }
                has_lingered = shared.wait(&mut queue, has_lingered);
            }
        };
        // What a panic in it means is its owner's to find out; this thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
