//! The sessions that this gateway holds.
//!
//! Whoever needs a session asks the hub each time and keeps no handle over a pause: a session may be
//! released, lost to another gateway, or taken back meanwhile. Nothing here is locked for longer than
//! an opening or a release of that one session takes.

mod counting;
mod releasing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use session_journal::{
    AppendOptions, Appended, ErrorKind, LocalHost, NewRecord, Opening, Options, Reader, Session,
    SessionName, Store, Takeover,
};
use tokio::sync::{Semaphore, broadcast};

use crate::config::Config;
use crate::metrics::{Kind, Metrics};
use crate::problem::{Problem, Refusal, Result};

/// So many sessions are released at a time.
const RELEASES: usize = 64;
/// So many openings wait for whoever listens to them.
const OPENED: usize = 4096;
/// An append asks so often for a session that is released under it.
const ATTEMPTS: u32 = 8;

/// So many names are kept, whether or not they are held.
const SLOTS_KEPT: usize = 64;

/// How a request wants a session that is not held here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Whether it may be taken from another owner.
    pub takeover: Takeover,
    /// Whether to create it where it is not there.
    pub create: bool,
}

impl Ask {
    /// Takes it whoever has it.
    #[must_use]
    pub const fn always() -> Self {
        Self { takeover: Takeover::Always, create: false }
    }
}

/// See the module. Clones share everything.
#[derive(Clone, Debug)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    metrics: Metrics,
    slots: Mutex<HashMap<SessionName, Arc<Slot>>>,
    /// Reading a large file does not keep anybody from opening one.
    file_jobs: Arc<Semaphore>,
    opened: broadcast::Sender<SessionName>,
    openings: Arc<Semaphore>,
    closing: AtomicBool,
}

/// Where a session is held. The lock is held while it is opened or released.
#[derive(Debug, Default)]
struct Slot {
    session: Arc<tokio::sync::Mutex<Option<Session>>>,
    used: Mutex<Option<Instant>>,
}

type Place = tokio::sync::OwnedMutexGuard<Option<Session>>;

impl Hub {
    /// Opens the store, and holds nothing yet.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open(config: &Config, metrics: Metrics) -> session_journal::Result<Self> {
        let store = Store::open(&config.store, config.store_options())?;
        let inner = Inner {
            store,
            metrics,
            slots: Mutex::default(),
            file_jobs: Arc::new(Semaphore::new(config.limits.file_jobs_max)),
            opened: broadcast::Sender::new(OPENED),
            openings: Arc::new(Semaphore::new(config.limits.file_jobs_max)),
            closing: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    // ---- holding ---------------------------------------------------------------------------

    /// The session, held by this gateway from now on.
    ///
    /// # Errors
    /// As opening answers: `held-by`, `needs-repair`, `not-found`, …; `shutting-down`.
    pub async fn session(&self, name: &SessionName, ask: Ask) -> Result<Session> {
        let (slot, place) = self.place(name).await?;
        if let Some(session) = &*place {
            return Ok(session.clone());
        }
        let opened = self.start(name, place, move |store, name| open(store, name, ask)).await;
        drop(slot);
        opened
    }

    /// The sessions that this gateway opens from now on. Whoever falls behind misses some.
    #[must_use]
    pub fn openings(&self) -> broadcast::Receiver<SessionName> {
        self.inner.opened.subscribe()
    }

    /// Creates a session, and holds it.
    ///
    /// # Errors
    /// `already-exists`; as creating answers.
    pub async fn create(&self, name: &SessionName) -> Result<Session> {
        let (slot, place) = self.place(name).await?;
        let created = self.start(name, place, Store::create_blocking).await;
        drop(slot);
        created
    }

    /// Holds a session, taking it anew where another owner took it meanwhile and `ask` says so.
    ///
    /// # Errors
    /// As [`session`](Self::session); `fenced` where another owner took it and `ask` does not.
    pub async fn claim(&self, name: &SessionName, ask: Ask) -> Result<Session> {
        for _ in 1..ATTEMPTS {
            let session = self.session(name, ask).await?;
            // A fenced owner learns it when it writes. Nothing is to be written here: looks instead.
            let path = session.path().to_owned();
            let info = self.file_job(move |_| session_journal::info(path, &LocalHost)).await?;
            let info = info.map_err(|e| Problem::from(e).about(name))?;
            if info.generation == session.generation() && info.id == session.id() {
                return Ok(session);
            }
            if self.forget(name, &session).await {
                self.inner.metrics.fences.inc();
                tracing::warn!(
                    session = name.to_string(),
                    generation = info.generation.get(),
                    "fenced"
                );
            }
        }
        self.session(name, ask).await
    }

    /// The place of a session, for whoever opens or releases it.
    async fn place(&self, name: &SessionName) -> Result<(Arc<Slot>, Place)> {
        let slot = self.slot(name)?;
        let place = Arc::clone(&slot.session).lock_owned().await;
        slot.touch();
        Ok((slot, place))
    }

    /// Puts what is opened into its place. It is brought to its end although nobody may wait for it
    /// any more: a session that was opened is held.
    async fn start(
        &self,
        name: &SessionName,
        mut place: Place,
        open: impl FnOnce(&Store, &SessionName) -> session_journal::Result<Session> + Send + 'static,
    ) -> Result<Session> {
        let (hub, name) = (self.clone(), name.clone());
        let opened = self.job(&self.inner.openings, move |store| {
            if hub.is_closing() {
                return Err(shutting_down());
            }
            let opened = must_be_its(store, &name).and_then(|()| {
                open(store, &name).map_err(|error| Problem::from(error).about(&name))
            });
            let session = opened?;
            hub.tell_of(&name, session.opening());
            *place = Some(session.clone());
            Ok(session)
        });
        opened.await?
    }

    /// The session, if this gateway holds it.
    #[must_use]
    pub fn held(&self, name: &SessionName) -> Option<Session> {
        let slot = self.slots().get(name).map(Arc::clone)?;
        slot.session.try_lock().ok()?.clone()
    }

    fn slot(&self, name: &SessionName) -> Result<Arc<Slot>> {
        let mut slots = self.slots();
        if self.is_closing() {
            return Err(shutting_down());
        }
        // Names that could not be opened make room now and then, not at every call.
        if slots.len() >= SLOTS_KEPT && slots.len().is_power_of_two() {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_empty());
        }
        Ok(Arc::clone(slots.entry(name.clone()).or_default()))
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SessionName, Arc<Slot>>> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        self.inner.closing.load(Ordering::SeqCst)
    }

    /// An opening is counted and traced; the journal itself has it already.
    fn tell_of(&self, name: &SessionName, opening: &Opening) {
        let metrics = &self.inner.metrics;
        let (session, generation, reason) =
            (name.to_string(), opening.generation.get(), opening.reason.as_str());
        metrics.claims.get_or_create(&Kind { kind: reason }).inc();
        tracing::info!(session, generation, reason, "opened");
        // Where nobody listens, nobody wants to know.
        let _ = self.inner.opened.send(name.clone());
        if !opening.report.is_clean() {
            metrics.repairs.inc();
            metrics.records_lost.inc_by(opening.report.records_lost());
            tracing::warn!(session, generation, found = %opening.report, "repaired on opening");
        }
    }

    // ---- using -----------------------------------------------------------------------------

    /// Appends records as one batch. A session that was released meanwhile is opened again; one that
    /// was lost to another owner is taken again only where `ask` says so.
    ///
    /// # Errors
    /// As opening and appending answer. A finished session is given up before the error is returned.
    pub async fn append(
        &self,
        name: &SessionName,
        mut records: Vec<NewRecord>,
        options: AppendOptions,
        ask: Ask,
    ) -> Result<Vec<Appended>> {
        let (count, bytes) =
            (records.len(), records.iter().map(|r| r.payload.len()).sum::<usize>());
        let started = Instant::now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let session = self.session(name, ask).await?;
            let error = match session.append_all(records, options.clone()).await {
                Ok(appended) => {
                    self.count_append(&appended, count, bytes, started.elapsed());
                    return Ok(appended);
                }
                Err(rejected) => {
                    records = rejected.records;
                    rejected.error
                }
            };
            let again = self.give_up(name, &session, &error, ask).await;
            if !again || attempt == ATTEMPTS {
                return Err(Problem::from(error).about(name));
            }
        }
    }

    /// Appends a record that may as well be missing, and opens nothing for it: false where the session is
    /// not held at the moment. Where it cannot be stored the session is left as it is, so that whoever
    /// appends next learns why.
    pub(crate) async fn append_if_held(
        &self,
        name: &SessionName,
        record: NewRecord,
        options: AppendOptions,
    ) -> Result<bool> {
        let (bytes, started) = (record.payload.len(), Instant::now());
        let Some(session) = self.held(name) else { return Ok(false) };
        match session.append_all(vec![record], options).await {
            Ok(appended) => {
                self.count_append(&appended, 1, bytes, started.elapsed());
                Ok(true)
            }
            // Released meanwhile.
            Err(rejected) if rejected.error.kind() == ErrorKind::Closed => Ok(false),
            Err(rejected) => Err(Problem::from(rejected.error).about(name)),
        }
    }

    /// Lets a session go that its last error finished; true where it may be asked for again at once.
    async fn give_up(
        &self,
        name: &SessionName,
        session: &Session,
        error: &session_journal::Error,
        ask: Ask,
    ) -> bool {
        let is_finished = match error.kind() {
            // A failed sync finishes it, a key that damage may hide does not.
            ErrorKind::Unknown | ErrorKind::Io => session.sync().await.is_err(),
            kind => is_ending(kind),
        };
        if is_finished && self.forget(name, session).await {
            self.tell_of_end(name, error);
        }
        is_worth_asking_again(error, ask)
    }

    /// Whether it was this one that stood in its place.
    async fn forget(&self, name: &SessionName, session: &Session) -> bool {
        let Some(slot) = self.slots().get(name).map(Arc::clone) else { return false };
        let mut place = slot.session.lock().await;
        let is_it = place.as_ref().is_some_and(|held| is_same(held, session));
        if is_it {
            *place = None;
        }
        is_it
    }

    /// Runs file work with a reader of the session.
    ///
    /// # Errors
    /// As reading answers: `not-found`, `unsupported-format`, …
    pub async fn read<T: Send + 'static>(
        &self,
        name: &SessionName,
        run: impl FnOnce(Reader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let of = name.clone();
        let done = self.file_job(move |store| {
            must_be_its(store, &of)?;
            run(store.reader(&of).map_err(Problem::from)?)
        });
        done.await?.map_err(|problem| problem.about(name))
    }

    /// Runs file work on a thread for it; a bounded number at a time. It runs to its end also where
    /// nobody waits for it any more.
    ///
    /// # Errors
    /// `internal` where it panicked.
    pub async fn file_job<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T> {
        self.job(&self.inner.file_jobs, run).await
    }

    async fn job<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        run: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T> {
        let internal = || Problem::new(Refusal::Internal, "a file job did not come to its end");
        let permit = Arc::clone(places).acquire_owned().await;
        let permit = permit.map_err(|_| internal())?;
        let (store, span) = (self.inner.store.clone(), tracing::Span::current());
        let job = tokio::task::spawn_blocking(move || {
            // What is traced there belongs to the request.
            let done = span.in_scope(|| run(&store));
            drop(permit);
            done
        });
        job.await.map_err(|_| internal())
    }
}

impl Slot {
    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn idle(&self) -> Duration {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.map_or(Duration::ZERO, |used| used.elapsed())
    }

    fn is_empty(&self) -> bool {
        self.session.try_lock().is_ok_and(|place| place.is_none())
    }
}

fn is_same(one: &Session, other: &Session) -> bool {
    (one.id(), one.generation()) == (other.id(), other.generation())
}

/// Whether the session is finished behind an error of this kind, whatever was asked of it.
const fn is_ending(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Fenced
            | ErrorKind::Detached
            | ErrorKind::Shortened
            | ErrorKind::Poisoned
            | ErrorKind::Sealed
            | ErrorKind::Closed
    )
}

/// Whether nothing was stored and another try may go well: the session was released under the
/// request, or lost to another owner from whom it may be taken.
fn is_worth_asking_again(error: &session_journal::Error, ask: Ask) -> bool {
    match error.kind() {
        ErrorKind::Closed => true,
        ErrorKind::Fenced => ask.takeover == Takeover::Always,
        _ => false,
    }
}

fn open(store: &Store, name: &SessionName, ask: Ask) -> session_journal::Result<Session> {
    let options = Options { takeover: ask.takeover, ..store.options().clone() };
    match store.open_session_with(name, &options) {
        Err(error) if ask.create && error.kind() == ErrorKind::NotFound => {
            match store.create_with(name, &options) {
                // Another creator was faster: open what it made.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    store.open_session_with(name, &options)
                }
                created => created,
            }
        }
        opened => opened,
    }
}

/// A name that is too long to stand in a file's name is cut there and hashed: the file says whose it is.
fn must_be_its(store: &Store, name: &SessionName) -> Result<()> {
    let tells = SessionName::from_relative_path(&name.relative_path()).is_some();
    if tells || !store.exists(name) {
        return Ok(());
    }
    let reader = store.reader(name).map_err(|error| Problem::from(error).about(name))?;
    if reader.name() == name {
        return Ok(());
    }
    Err(Problem::new(Refusal::Invalid, "another session has the file of this name").about(name))
}

fn shutting_down() -> Problem {
    Problem::new(Refusal::ShuttingDown, "the gateway is shutting down")
}
