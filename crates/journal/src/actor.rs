//! One actor per journal: an inbox in front, the only writer behind. Its turns run on the engine's
//! threads, or on the thread of a blocking caller where nobody else is at it.
//!
//! One turn is one group commit: take what waits, write it, sync once, answer in order. What has
//! entered the inbox runs to its end here, so a caller that stops waiting leaves memory and disk
//! in step.

mod request;
mod rhythm;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::request::{Answered, Answers, Taken, refuse};
pub(crate) use self::request::{AppendRequest, Reply, Request};
use self::rhythm::Rhythm;
use crate::answer::Awaiting;
use crate::append::Batch;
use crate::error::{Cause, Error, Rejected, Result};
use crate::host::Host;
use crate::identity::Owner;
use crate::mutation::races::{self, Race};
use crate::options::{AppendOptions, Durability};
use crate::pool::Job;
use crate::record::Mark;
use crate::replace::Compaction;
use crate::report::Opening;
use crate::store::Shared;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::signal::Signal;
use crate::sync::{Condvar, EXPLORED, Mutex, Notify, thread};
use crate::watch::Bell;
use crate::writer::Writer;

/// So many turns a blocking caller serves one after the other, where more came meanwhile and none of them
/// waits for the disk.
const CALLER_TURNS: usize = 8;
/// … and no more behind so many requests: its own was answered long ago.
const CALLER_REQUESTS: usize = 64;
/// How long a thread looks for an answer that comes soon before it sleeps: some turns of one who serves on
/// another processor. Putting a thread to sleep and waking it takes as long.
const LOOK: Duration = Duration::from_micros(10);
/// So many requests are taken in one turn.
const TURN_REQUESTS: usize = 1024;

#[derive(Default)]
struct Inbox {
    requests: VecDeque<Request>,
    service: Service,
}

/// Who sees to what is in the inbox.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Service {
    #[default]
    Nobody,
    /// It waits for more, until the last who is expected comes, or whoever came first loses patience.
    Gathering,
    /// Somebody is at it, or is going to be.
    Somebody,
}

/// What is left behind a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    More,
    /// More, and the turn waited for the disk, or the next one is going to.
    MoreWithDisk,
}

/// What whoever put a request in has to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Serve,
    /// See that a turn begins although some who are expected do not come.
    Watch,
    Nothing,
}

/// What everybody may know without asking the actor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    pub(crate) mark: Mark,
    pub(crate) durable_sequence: u64,
}

/// Whose thread a turn runs on.
#[derive(Clone, Copy)]
enum Server {
    /// One of the engine's: it goes on by itself where there is more.
    Pool,
    /// A blocking caller's, who wants to go on with something else.
    Caller,
}

pub(crate) struct Actor {
    shared: Arc<Shared>,
    opening: Opening,
    path: std::path::PathBuf,
    durability: Durability,
    /// As whom it holds the journal.
    owner: (Arc<dyn Host>, Owner),
    /// Handles that callers have. Behind the last one the owner is gone, though a thread of the engine's may
    /// still be on its way out of here.
    held: AtomicUsize,
    inbox: Mutex<Inbox>,
    /// What threads sleep on who wait for an answer; in turn, so that a turn wakes hardly anybody who waits
    /// for the next one.
    signals: [Arc<Signal>; 2],
    turns: AtomicUsize,
    waiting: AtomicUsize,
    rhythm: Rhythm,
    freed: Condvar,
    freed_lock: Mutex<()>,
    freed_tasks: Notify,
    writer: Mutex<Writer>,
    published: Mutex<Published>,
    bells: Mutex<Vec<std::sync::Weak<Bell>>>,
    last_used: AtomicU64,
    watched: AtomicBool,
    finished: AtomicBool,
    /// A copy is under way.
    compacting: AtomicBool,
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actor").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Actor {
    pub(crate) fn new(shared: Arc<Shared>, writer: Writer, opening: Opening) -> Arc<Self> {
        let published =
            Published { mark: writer.mark(), durable_sequence: writer.durable.sequence };
        Arc::new(Self {
            path: writer.path().to_owned(),
            durability: writer.options.durability,
            owner: (Arc::clone(&writer.options.host), writer.owner.clone()),
            held: AtomicUsize::new(0),
            shared,
            opening,
            inbox: Mutex::default(),
            signals: Default::default(),
            turns: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            rhythm: Rhythm::default(),
            freed: Condvar::new(),
            freed_lock: Mutex::new(()),
            freed_tasks: Notify::new(),
            writer: Mutex::new(writer),
            published: Mutex::new(published),
            bells: Mutex::default(),
            last_used: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            compacting: AtomicBool::new(false),
        })
    }

    /// One more handle of a caller who has one, or of whoever started it.
    pub(crate) fn hold(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    /// One more handle, unless the last one was given up already: then the owner is gone.
    pub(crate) fn try_hold(&self) -> bool {
        let more = |held| (held > 0).then_some(held + 1);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire) > 0
    }

    /// A handle is given up. What is under way runs to its end; whoever opens the journal next is not told
    /// that its owner is alive.
    pub(crate) fn let_go(&self) {
        if self.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            let (host, owner) = &self.owner;
            host.retire(owner);
        }
    }

    pub(crate) fn opening(&self) -> &Opening {
        &self.opening
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    pub(crate) fn published(&self) -> Published {
        *self.published.lock()
    }

    /// Whether an append with these options is answered behind its write.
    pub(crate) fn is_answered_soon(&self, options: &AppendOptions) -> bool {
        options.durability.unwrap_or(self.durability) == Durability::Written
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// Requests that wait.
    pub(crate) fn depth(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether the handle has ended: fenced, poisoned, closed. Known before whoever ended it hears.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Whether the timer watches over it; gives what was set before.
    pub(crate) fn set_watched(&self, watched: bool) -> bool {
        self.watched.swap(watched, Ordering::AcqRel)
    }

    pub(crate) fn add_bell(&self, bell: &Arc<Bell>) {
        let mut bells = self.bells.lock();
        bells.retain(|bell| bell.strong_count() > 0);
        bells.push(Arc::downgrade(bell));
    }

    // ---- the way in ------------------------------------------------------------------------

    /// Takes a place in the inbox, where there is one.
    pub(crate) fn try_enter(&self) -> bool {
        let most = self.shared.inbox_max;
        let enter = |waiting| (waiting < most).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    /// Waits for a place in the inbox.
    pub(crate) async fn enter(&self) {
        // Registering for what hardly ever comes costs more than the place.
        if self.try_enter() {
            return;
        }
        loop {
            if races::broken(Race::LooksThenRegisters) && self.try_enter() {
                return;
            }
            let mut freed = std::pin::pin!(self.freed_tasks.notified());
            freed.as_mut().enable();
            if !races::broken(Race::LooksThenRegisters) && self.try_enter() {
                return;
            }
            freed.await;
        }
    }

    /// Waits for a place in the inbox, on this thread.
    pub(crate) fn enter_blocking(&self) {
        if self.try_enter() {
            return;
        }
        let mut lock = self.freed_lock.lock();
        while !self.try_enter() {
            self.freed.wait(&mut lock);
        }
    }

    fn leave(&self, places: usize) {
        let before = self.waiting.fetch_sub(places, Ordering::AcqRel);
        // Nobody waits for a place while there are plenty.
        if before >= self.shared.inbox_max && !races::broken(Race::FreedInSilence) {
            if !races::broken(Race::FreedUnlocked) {
                drop(self.freed_lock.lock());
            }
            self.freed.notify_all();
            // All of them look again: whoever goes back to wait saw a full inbox.
            self.freed_tasks.notify_waiters();
        }
    }

    /// What a thread sleeps on whose request is put in now.
    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signals[self.turns.load(Ordering::Relaxed) % self.signals.len()]
    }

    /// Puts a request in, whose place was taken before, and sees that somebody serves it. True where a
    /// thread that is awake does so at once.
    pub(crate) fn post(self: &Arc<Self>, request: Request) -> bool {
        self.push(request, false) == Next::Serve && self.schedule()
    }

    /// As [`post`](Self::post), but serves it on this thread where nobody is at it.
    pub(crate) fn post_and_serve<T>(
        self: &Arc<Self>,
        request: Request,
        awaited: &Awaiting<T>,
        is_soon: bool,
    ) {
        match self.push(request, true) {
            Next::Serve => self.serve(Server::Caller),
            Next::Watch => self.watch(awaited),
            Next::Nothing if is_soon => awaited.look(LOOK),
            Next::Nothing => {}
        }
    }

    fn push(&self, request: Request, is_thread: bool) -> Next {
        // Nobody gathers for what needs no sync.
        let gathers = is_thread && self.waits(&request);
        let mut inbox = self.inbox.lock();
        inbox.requests.push_back(request);
        let is_whole = inbox.requests.len() >= self.rhythm.expected();
        let (service, next) = match inbox.service {
            Service::Somebody => (Service::Somebody, Next::Nothing),
            // The pool's threads gather by themselves.
            Service::Nobody if gathers && !is_whole => (Service::Gathering, Next::Watch),
            Service::Gathering if !is_whole => (Service::Gathering, Next::Nothing),
            Service::Gathering if races::broken(Race::WholeUnserved) => {
                (Service::Somebody, Next::Nothing)
            }
            Service::Nobody | Service::Gathering => (Service::Somebody, Next::Serve),
        };
        inbox.service = service;
        next
    }

    /// Sees that a turn begins. Whoever comes last begins it, and this thread sleeps until it is answered;
    /// where nobody came while patience lasted, it begins the turn itself.
    fn watch<T>(self: &Arc<Self>, awaited: &Awaiting<T>) {
        let mut there = 1;
        while !races::broken(Race::GathersUnwatched) && !awaited.wait_for(self.rhythm.patience()) {
            let mut inbox = self.inbox.lock();
            if inbox.service != Service::Gathering {
                return;
            }
            let now_there = inbox.requests.len();
            if now_there <= there || EXPLORED {
                inbox.service = Service::Somebody;
                drop(inbox);
                return self.serve(Server::Caller);
            }
            there = now_there;
        }
    }

    fn schedule(self: &Arc<Self>) -> bool {
        self.shared.pool.submit(self.next_turn())
    }

    fn next_turn(self: &Arc<Self>) -> Job {
        let actor = Arc::clone(self);
        Box::new(move || actor.serve(Server::Pool))
    }

    /// Has somebody look whether a sync or a check is due; false where somebody is at it already, who
    /// may have looked before.
    pub(crate) fn tick(self: &Arc<Self>) -> bool {
        let mut inbox = self.inbox.lock();
        if inbox.service != Service::Nobody {
            return false;
        }
        inbox.service = Service::Somebody;
        drop(inbox);
        self.schedule();
        true
    }

    // ---- a turn ----------------------------------------------------------------------------

    /// A turn; then the next actor's, and this one's again behind it if more came.
    fn serve(self: &Arc<Self>, server: Server) {
        match server {
            Server::Pool => {
                self.gather();
                if self.serve_once(server, &mut 0) != Left::Nothing {
                    self.shared.pool.again(self.next_turn());
                }
            }
            Server::Caller => {
                // What came meanwhile is served sooner here than by a thread that has to be woken.
                let mut served = 0;
                for _ in 0..CALLER_TURNS {
                    match self.serve_once(server, &mut served) {
                        Left::Nothing => return,
                        Left::More if served < CALLER_REQUESTS => {}
                        Left::More | Left::MoreWithDisk => break,
                    }
                }
                if !races::broken(Race::LeavesTheRest) {
                    self.schedule();
                }
            }
        }
    }

    /// One turn; adds how many requests were served.
    fn serve_once(self: &Arc<Self>, server: Server, served: &mut usize) -> Left {
        let requests = self.take();
        let (taken, waits) = (requests.len(), self.is_to_wait(&requests));
        *served += taken;
        let is_pool = matches!(server, Server::Pool);
        let syncing = (is_pool && waits).then(|| self.shared.pool.syncing());
        let mut answers = Answers::default();
        // A panic in a caller's disk or host must not leave everybody waiting.
        if catch_unwind(AssertUnwindSafe(|| self.turn(requests, &mut answers))).is_err() {
            self.end_after_panic();
        }
        drop(syncing);
        self.leave(taken);
        if is_pool && !answers.are_for_threads() {
            // Tasks come back at once, and find this thread still at it.
            std::mem::take(&mut answers).send();
        }
        let left = self.what_is_left(waits);
        // Threads come back to an inbox that is theirs again, where that can be.
        answers.send();
        left
    }

    fn take(&self) -> Taken {
        let mut inbox = self.inbox.lock();
        self.turns.fetch_add(1, Ordering::Relaxed);
        match inbox.requests.len().min(TURN_REQUESTS) {
            1 => Taken::One(inbox.requests.pop_front()),
            taken => Taken::Many(inbox.requests.drain(..taken).collect()),
        }
    }

    /// Whether whoever is at it has to go on; else nobody is at it any more.
    fn what_is_left(&self, has_waited: bool) -> Left {
        let mut inbox = self.inbox.lock();
        if inbox.requests.is_empty() || races::broken(Race::ClearedBlindly) {
            inbox.service = Service::Nobody;
            return Left::Nothing;
        }
        let mut next = inbox.requests.iter().take(TURN_REQUESTS);
        let with_disk = has_waited || next.any(|request| self.waits(request));
        if with_disk { Left::MoreWithDisk } else { Left::More }
    }

    /// Whether its thread is going to wait for the disk in this turn.
    fn is_to_wait(&self, requests: &Taken) -> bool {
        let waits = |request: &Request| self.waits(request);
        match requests {
            Taken::One(request) => request.iter().any(waits),
            Taken::Many(requests) => requests.iter().any(waits),
        }
    }

    fn waits(&self, request: &Request) -> bool {
        match request {
            Request::Append(append) => !self.is_answered_soon(&append.options),
            Request::Sync(_) | Request::Close(_) | Request::Delete(_) | Request::Compacted(..) => {
                true
            }
            Request::BeginCompaction(_) => false,
        }
    }

    /// Producers that waited for one sync come back one after the other, and the first of them would
    /// sync for itself alone while the others wait for that: waits for as many as there were, for as long
    /// as they keep coming. Threads that come back do so without a thread of the pool.
    fn gather(&self) {
        let expected = self.rhythm.expected();
        if expected == 0 {
            return;
        }
        let patience = self.rhythm.patience();
        let (mut there, mut last_came) = (self.depth(), Instant::now());
        while there > 0 && there < expected && (EXPLORED || last_came.elapsed() < patience) {
            thread::yield_now();
            if EXPLORED {
                // No clock decides in an explored schedule.
                return;
            }
            let now_there = self.depth();
            if now_there > there {
                (there, last_came) = (now_there, Instant::now());
            }
        }
    }

    fn end_after_panic(&self) {
        let why = "a panic in the middle of its work".to_owned();
        let mut writer = self.writer.lock();
        writer.finish(Error::new(&self.path, Cause::Poisoned { why }));
        self.publish(&writer);
    }

    fn turn(self: &Arc<Self>, requests: Taken, answers: &mut Answers) {
        self.last_used.store(self.shared.handles.tick(), Ordering::Relaxed);
        let mut writer = self.writer.lock();
        if requests.is_empty() && writer.is_parked() {
            return;
        }
        if let Err(error) = self.shared.handles.bring_back(self, &mut writer) {
            self.publish(&writer);
            refuse(requests, &error);
            return;
        }
        if requests.is_empty() {
            let now = writer.options.host.now_ms();
            // A failure shows at the next append.
            let _ = writer.check_if_due(now);
            writer.keep_up(now);
        }
        match requests {
            Taken::One(Some(Request::Append(append))) => {
                answers.one = Some(self.append_one(&mut writer, append));
            }
            Taken::One(Some(other)) => {
                // Nobody who appends waits for it, and comes back.
                self.rhythm.note(0, None);
                self.other(&mut writer, other);
            }
            Taken::One(None) => {}
            Taken::Many(requests) => self.serve_in_order(&mut writer, requests, answers),
        }
        if races::broken(Race::PublishesLate) {
            std::mem::take(answers).send();
        }
        // What was acknowledged is to be seen by whoever hears of it.
        self.publish(&writer);
        if writer.unsynced_bytes() > 0 && !writer.is_finished() {
            self.shared.timer.watch_over(self);
        }
    }

    /// Appends that follow one another together, everything else in its turn.
    fn serve_in_order(
        self: &Arc<Self>,
        writer: &mut Writer,
        requests: Vec<Request>,
        answers: &mut Answers,
    ) {
        answers.many.reserve(requests.len());
        let mut appends = Vec::with_capacity(requests.len());
        let mut is_appended = false;
        for request in requests {
            match request {
                Request::Append(append) => appends.push(append),
                other => {
                    is_appended |= !appends.is_empty();
                    self.append(writer, std::mem::take(&mut appends), answers);
                    // Whoever was answered does not wait for the disk with the one behind.
                    self.publish(writer);
                    std::mem::take(answers).send();
                    self.other(writer, other);
                }
            }
        }
        if !is_appended && appends.is_empty() {
            // Nobody who appends waits for these, and comes back.
            self.rhythm.note(0, None);
        }
        self.append(writer, appends, answers);
    }

    /// One that nobody else waits beside.
    fn append_one(&self, writer: &mut Writer, request: AppendRequest) -> Answered {
        let AppendRequest { records, options, reply } = request;
        let answer = writer.append_batch(Batch { records: &records, options: &options });
        self.rhythm.note(1, None);
        (reply, answer.map_err(|error| Rejected { error, records }))
    }

    fn append(&self, writer: &mut Writer, requests: Vec<AppendRequest>, answers: &mut Answers) {
        if requests.is_empty() {
            return;
        }
        let batches: Vec<Batch<'_>> = requests
            .iter()
            .map(|AppendRequest { records, options, .. }| Batch { records, options })
            .collect();
        let own = writer.options.durability;
        let syncs = batches
            .iter()
            .any(|batch| batch.options.durability.unwrap_or(own) == Durability::Durable);
        let begun = syncs.then(Instant::now);
        let outcomes = writer.append_group(&batches);
        self.rhythm.note(batches.len(), begun);
        answers.many.extend(requests.into_iter().zip(outcomes).map(|(request, outcome)| {
            let AppendRequest { records, reply, .. } = request;
            (reply, outcome.map_err(|error| Rejected { error, records }))
        }));
    }

    fn other(self: &Arc<Self>, writer: &mut Writer, request: Request) {
        match request {
            Request::Append(append) => {
                let (reply, answer) = self.append_one(writer, append);
                self.publish(writer);
                reply.send(answer);
            }
            Request::Sync(reply) => self.answer(reply, writer, Writer::sync),
            Request::Close(reply) => self.answer(reply, writer, Writer::release),
            Request::Delete(reply) => self.answer(reply, writer, Writer::delete),
            Request::BeginCompaction(reply) => self.begin_compaction(writer, reply),
            Request::Compacted(copy, reply) => {
                self.compacting.store(false, Ordering::Release);
                let finish =
                    |writer: &mut Writer| (*copy).and_then(|copy| writer.finish_copy(copy));
                self.answer(reply, writer, finish);
            }
        }
    }

    /// What came of it is to be seen by whoever hears the answer.
    fn answer<T>(&self, reply: Reply<T>, writer: &mut Writer, act: impl FnOnce(&mut Writer) -> T) {
        let answer = act(writer);
        self.publish(writer);
        reply.send(answer);
    }

    /// Copies on another thread while appends go on here; the rest is copied in a later turn.
    fn begin_compaction(self: &Arc<Self>, writer: &mut Writer, reply: Reply<Result<Compaction>>) {
        if let Err(error) = writer.guard() {
            reply.send(Err(error));
            return;
        }
        // Two copies of one file would each take the other's place.
        if self.compacting.swap(true, Ordering::AcqRel) && !races::broken(Race::CopiesTwice) {
            let what = "it is being compacted already";
            reply.send(Err(Error::invalid(&self.path, what)));
            return;
        }
        let (actor, copy) = (Arc::clone(self), writer.begin_copy());
        self.shared.pool.submit(Box::new(move || {
            // Whatever becomes of it, the actor hears: it keeps others from compacting until then.
            let copy = catch_unwind(AssertUnwindSafe(copy)).unwrap_or_else(|_| {
                let why = "a panic while it was copied".to_owned();
                Err(Error::new(&actor.path, Cause::Unknown { why }))
            });
            let copy = Box::new(copy);
            // Takes no place in the inbox from anybody; it leaves one that it did not take.
            actor.waiting.fetch_add(1, Ordering::AcqRel);
            actor.post(Request::Compacted(copy, reply));
        }));
    }

    fn publish(&self, writer: &Writer) {
        self.finished.store(writer.is_finished(), Ordering::Release);
        let next = Published { mark: writer.mark(), durable_sequence: writer.durable.sequence };
        let before = std::mem::replace(&mut *self.published.lock(), next);
        if before.mark != next.mark {
            for bell in self.bells.lock().iter().filter_map(std::sync::Weak::upgrade) {
                bell.ring();
            }
        }
    }

    /// Gives the descriptors back, where nobody is at it. True where it did.
    pub(crate) fn try_park(&self) -> bool {
        let Some(mut writer) = self.writer.try_lock() else { return false };
        writer.park();
        self.publish(&writer);
        // One that could not be synced keeps its descriptors, and may be asked again.
        let parked = writer.is_parked() || writer.is_finished();
        // Struck off under the writer's lock: behind it a turn may open the file again, and whoever is
        // struck off after that holds descriptors that nobody can ask for.
        let held = (!races::broken(Race::StruckOffLate)).then_some(writer);
        if parked {
            self.shared.handles.parked(self);
        }
        drop(held);
        parked
    }
}

/// An actor that went away without an answer.
pub(crate) fn gone(path: &std::path::Path) -> Error {
    Error::new(path, Cause::Closed)
}
