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
    /// Jobs that their callers run, for want of threads.
    borrowed: usize,
    /// So many of the idle ones look again and again for a while, and need no waking.
    lingering: usize,
}

struct Shared {
    /// Threads at work at a time, those that wait for syncs not counted.
    threads_max: usize,
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
    /// No thread can be had, as where the system refuses one.
    #[cfg(test)]
    refused: std::sync::atomic::AtomicBool,
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
        f.debug_struct("Pool")
            .field("threads_max", &self.shared.threads_max)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(threads_max: usize) -> Self {
        Self::with(threads_max, false)
    }

    /// One whose threads look for more for a while before they sleep.
    pub(crate) fn lingering(threads_max: usize) -> Self {
        Self::with(threads_max, true)
    }

    fn with(threads_max: usize, may_linger: bool) -> Self {
        let shared = Shared {
            threads_max: threads_max.max(1),
            queue: Mutex::default(),
            filled: Condvar::default(),
            queued: AtomicUsize::new(0),
            may_linger,
        };
        Self {
            shared: Arc::new(shared),
            #[cfg(test)]
            refused: std::sync::atomic::AtomicBool::default(),
        }
    }

    /// Queues a job. True where a thread is awake that will see it at once.
    pub(crate) fn submit(&self, job: Job) -> bool {
        let mut queue = self.shared.queue.lock();
        self.shared.push(&mut queue, job);
        self.start_where_needed(&mut queue);
        if queue.threads == 0 {
            // Not a single thread can be had: the caller's must do.
            drop(queue);
            self.run_here();
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
            || at_work >= self.shared.threads_max
            || queue.threads >= self.shared.threads_max.max(SYNCS_MAX)
        {
            return;
        }
        #[cfg(test)]
        if self.refused.load(std::sync::atomic::Ordering::SeqCst) {
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
        if !queue.jobs.is_empty() {
            // One that found enough others at work may go on.
            self.shared.filled.notify_one();
        }
        drop(queue);
        Syncing(self)
    }

    /// Runs what is queued on the thread of a caller, and what that queues, as long as no other can be had.
    fn run_here(&self) {
        let mut queue = self.shared.queue.lock();
        queue.borrowed += 1;
        while queue.threads == 0
            && let Some(job) = self.shared.pop(&mut queue)
        {
            // What a panic in it means is its owner's to find out.
            let run = || drop(catch_unwind(AssertUnwindSafe(job)));
            MutexGuard::unlocked(&mut queue, run);
        }
        queue.borrowed -= 1;
        drop(queue);
        // A thread that was started meanwhile goes on.
        self.shared.filled.notify_one();
    }

    /// Queues a job of a thread of this pool that is about to look for one: it needs nobody else.
    pub(crate) fn again(&self, job: Job) {
        let mut queue = self.shared.queue.lock();
        self.shared.push(&mut queue, job);
        if queue.borrowed > 0 {
            // It may be the thread of whoever queued it first, who looks for no other once one can be had.
            self.start_where_needed(&mut queue);
            drop(queue);
            self.shared.filled.notify_one();
        }
    }
}

impl Shared {
    /// The next job, unless enough threads are at work already: whoever of them is done next takes it.
    fn next(&self, queue: &mut Queue) -> Option<Job> {
        let at_work = queue.threads.saturating_sub(queue.idle + queue.syncing);
        // At the end nobody waits for anybody.
        let may = queue.stopped || at_work <= self.threads_max;
        if may { self.pop(queue) } else { None }
    }

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
                if let Some(job) = shared.next(&mut queue) {
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;

    use super::*;

    /// For what would never end.
    const LONG: Duration = Duration::from_secs(30);

    /// A job that its caller runs looks for no other: what it queues behind itself must wake the thread that
    /// could be had meanwhile.
    #[test]
    fn what_a_borrowed_thread_leaves_behind_wakes_the_one_that_sleeps() {
        let pool = Arc::new(Pool::new(1));
        pool.refused.store(true, std::sync::atomic::Ordering::SeqCst);
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel();
        let (done, is_done) = channel();
        let caller = {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || {
                let own = Arc::clone(&pool);
                pool.submit(Box::new(move || {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    own.again(Box::new(move || done.send(()).unwrap()));
                }));
            })
        };
        has_begun.recv_timeout(LONG).unwrap();
        pool.refused.store(false, std::sync::atomic::Ordering::SeqCst);
        let (other, other_done) = channel();
        pool.submit(Box::new(move || other.send(()).unwrap()));
        other_done.recv_timeout(LONG).unwrap();
        while pool.shared.queue.lock().idle == 0 {
            std::thread::yield_now();
        }
        go_on.send(()).unwrap();
        is_done.recv_timeout(LONG).expect("somebody runs it");
        caller.join().unwrap();
    }

    /// Where no thread can be had a session's turns follow each other on the thread of one caller, and not
    /// within each other.
    #[test]
    fn jobs_that_queue_more_jobs_do_not_pile_up_on_a_borrowed_thread() {
        fn again(pool: &Arc<Pool>, left: u32, done: std::sync::mpsc::Sender<()>) -> Job {
            let pool = Arc::clone(pool);
            Box::new(move || match left.checked_sub(1) {
                Some(left) => pool.again(again(&pool, left, done)),
                None => done.send(()).unwrap(),
            })
        }
        let pool = Arc::new(Pool::new(1));
        pool.refused.store(true, std::sync::atomic::Ordering::SeqCst);
        let (done, is_done) = channel();
        pool.submit(again(&pool, 100_000, done));
        is_done.recv_timeout(LONG).expect("all of them are run");
    }

    /// Threads that were started while others waited for syncs do not all work at once behind that.
    #[test]
    fn no_more_threads_work_at_once_than_may() {
        let pool = Arc::new(Pool::new(2));
        let together = Arc::new(std::sync::Barrier::new(8));
        let (done, is_done) = channel();
        for _ in 0..8 {
            let (pool, together, done) = (Arc::clone(&pool), Arc::clone(&together), done.clone());
            Arc::clone(&pool).submit(Box::new(move || {
                let syncing = pool.syncing();
                together.wait();
                drop(syncing);
                done.send(()).unwrap();
            }));
        }
        for _ in 0..8 {
            is_done.recv_timeout(LONG).expect("eight may wait at once");
        }
        let (at_work, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..100 {
            let (at_work, most, done) = (Arc::clone(&at_work), Arc::clone(&most), done.clone());
            pool.submit(Box::new(move || {
                most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
                at_work.fetch_sub(1, Ordering::SeqCst);
                done.send(()).unwrap();
            }));
        }
        for _ in 0..100 {
            is_done.recv_timeout(LONG).expect("all of them are run");
        }
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?} at once");
    }
}
