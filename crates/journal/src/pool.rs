//! The engine's own few threads for file work. A job is a turn of one actor; an actor with more to
//! do goes to the end of the queue, so one busy session keeps no other waiting.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::mutation::races::{self, Race};
use crate::sync::{Condvar, Mutex, thread};

/// What a thread does.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopped: bool,
    threads: usize,
    idle: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

/// Starts threads as they are needed, up to a limit; they end with the pool.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads_max: usize,
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

    /// Queues a job.
    pub(crate) fn submit(&self, job: Job) {
        let mut queue = self.shared.queue.lock();
        queue.jobs.push_back(job);
        if queue.idle < queue.jobs.len() && queue.threads < self.threads_max {
            let shared = Arc::clone(&self.shared);
            let name = format!("sj-io-{}", queue.threads);
            let started = thread::Builder::new().name(name).spawn(move || work(&shared));
            if started.is_ok() {
                queue.threads += 1;
            } else if queue.threads == 0 {
                // Not a single thread can be had: the caller's must do.
                let job = queue.jobs.pop_back();
                drop(queue);
                if let Some(job) = job {
                    job();
                }
                return;
            }
        }
        drop(queue);
        if !races::broken(Race::PoolAsleep) {
            self.shared.filled.notify_one();
        }
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
            loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.stopped {
                    queue.threads -= 1;
                    return;
                }
                queue.idle += 1;
                shared.filled.wait(&mut queue);
                queue.idle -= 1;
            }
        };
        // What a panic in it means is its owner's to find out; this thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
