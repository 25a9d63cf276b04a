//! A folder of journals: names, listing, one actor per session, file handles bounded.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::actor::Actor;
use crate::creating;
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::handles::Handles;
use crate::host::Host;
use crate::identity::{JournalId, Owner};
use crate::inspect::{Glance, State, glance};
use crate::mutation::races::{self, Race};
use crate::name::{EXTENSION, SessionName};
use crate::opening;
use crate::options::Options;
use crate::pool::Pool;
use crate::position::Generation;
use crate::reader::Reader;
use crate::report::Opening;
use crate::session::Session;
use crate::storage::Disk;
use crate::sync::{Mutex, oneshot};
use crate::timer::Timer;
use crate::writer::Writer;

/// Others may delete and create in between so often.
const OPEN_OR_CREATE_ATTEMPTS: u32 = 16;

/// Settings of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How journals are opened, unless a call says otherwise.
    pub journal: Options,
    /// The most file handles that open sessions hold at a time; two each. Default: 256. Sessions
    /// that nobody used lately give theirs back and open the file again when they are used.
    pub file_handles_max: usize,
    /// The most threads that do file work at a time. Default: 8. Those that wait for a sync are not
    /// counted; 64 of these can be under way before sessions wait for each other.
    pub threads_max: usize,
    /// The most requests that wait in the inbox of one session; more wait in front of it.
    /// Default: 1,024.
    pub inbox_max: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { journal: Options::default(), file_handles_max: 256, threads_max: 8, inbox_max: 1024 }
    }
}

/// What the actors of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) handles: Arc<Handles>,
    pub(crate) timer: Timer,
    pub(crate) inbox_max: usize,
    journal: Options,
    pid: u32,
}

impl Shared {
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.journal.disk)
    }

    pub(crate) fn is_forked(&self, path: &Path) -> Option<Error> {
        if self.journal.host.pid() == self.pid {
            return None;
        }
        let why = "it belongs to the process that this one was forked from".to_owned();
        Some(Error::new(path, Cause::Poisoned { why }))
    }
}

/// A folder of journals, one per session. Clones share everything.
///
/// A session is `<id>.journal`, or `<agent>/<id>.journal`, with names that every file system can
/// hold. There is nothing else in the folder: no lock, no index, no sidecar.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    shared: Arc<Shared>,
    /// Sessions that this process has open. Opening one again gives the same actor.
    open: Mutex<HashMap<PathBuf, Arc<Mutex<Place>>>>,
    /// Agents whose folders are known to be durable.
    settled: Mutex<HashSet<String>>,
}

/// Where the actor of a path is kept.
#[derive(Debug, Default)]
struct Place {
    actor: Weak<Actor>,
    /// As whom it holds the journal.
    owner: Option<(Arc<dyn Host>, Owner)>,
}

impl Place {
    /// The actor, where there is one that can still be used.
    fn actor(&self) -> Option<Arc<Actor>> {
        self.actor.upgrade().filter(|actor| !actor.is_finished() && actor.is_held())
    }

    /// Ends the owner before, where its actor is finished or gone. Another thread may be dropping the
    /// last of it at this moment: whoever opens the journal next is not to be told that it is alive.
    fn vacate(&mut self) {
        if races::broken(Race::OwnerLingers) || self.actor().is_some() {
            return;
        }
        if let Some((host, owner)) = self.owner.take() {
            host.retire(&owner);
        }
    }
}

/// A session in a listing: what its header page tells. Counts and times are as of its last
/// checkpoint, opening or release.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The session, as its file is named.
    pub name: SessionName,
    /// The file.
    pub path: PathBuf,
    /// The journal; none where it could not be read.
    pub id: Option<JournalId>,
    /// The newest generation that the header knows.
    pub generation: Generation,
    /// How it stands.
    pub state: State,
    /// Who holds it.
    pub owner: Option<Owner>,
    /// How many records it has.
    pub records: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// When it was created, ms since the epoch.
    pub created_ms: i64,
    /// When the header was written last, ms since the epoch.
    pub updated_ms: i64,
    /// The header page is damaged, the file is shorter than it was, or records are known to be lost.
    pub damaged: bool,
    /// Why it could not be read.
    pub error: Option<Error>,
}

impl Store {
    /// Opens a store; makes the folder, for its owner alone, where it does not exist.
    ///
    /// # Errors
    /// `Io` where the folder cannot be made, or is none.
    pub fn open(dir: impl Into<PathBuf>, options: StoreOptions) -> Result<Self> {
        let dir = dir.into();
        make_folder(&dir)?;
        let dir = fs::canonicalize(&dir).map_err(|e| Error::io(&dir, "open", e))?;
        let shared = Shared {
            pool: Pool::lingering(options.threads_max),
            handles: Handles::new(options.file_handles_max),
            timer: Timer::default(),
            inbox_max: options.inbox_max.max(1),
            pid: options.journal.host.pid(),
            journal: options.journal,
        };
        let inner = Inner {
            dir,
            shared: Arc::new(shared),
            open: Mutex::default(),
            settled: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Where a session's journal is, or would be.
    #[must_use]
    pub fn path_of(&self, name: &SessionName) -> PathBuf {
        self.inner.dir.join(name.relative_path())
    }

    /// Whether a session is there.
    #[must_use]
    pub fn exists(&self, name: &SessionName) -> bool {
        self.path_of(name).exists()
    }

    /// File handles that open sessions hold now.
    #[must_use]
    pub fn file_handles(&self) -> usize {
        self.inner.shared.handles.leases() * 2
    }

    // ---- sessions --------------------------------------------------------------------------

    /// Creates a session and owns it.
    ///
    /// # Errors
    /// See [`Journal::create`](crate::Journal::create).
    pub async fn create(&self, name: &SessionName) -> Result<Session> {
        self.on_pool(name, Self::create_blocking).await
    }

    /// Opens a session for writing. Where this process has it open already, the handle joins it.
    ///
    /// # Errors
    /// See [`Journal::open`](crate::Journal::open).
    pub async fn open_session(&self, name: &SessionName) -> Result<Session> {
        self.on_pool(name, Self::open_session_blocking).await
    }

    /// Opens a session, or creates it where it does not exist.
    ///
    /// # Errors
    /// As [`open_session`](Self::open_session).
    pub async fn open_or_create(&self, name: &SessionName) -> Result<Session> {
        self.on_pool(name, Self::open_or_create_blocking).await
    }

    /// Takes a session whatever its owner does, and joins it.
    ///
    /// # Errors
    /// As [`open_session`](Self::open_session).
    pub async fn take_over(&self, name: &SessionName) -> Result<Session> {
        self.on_pool(name, |store, name| {
            let takeover = crate::options::Takeover::Always;
            store.open_session_with(name, &Options { takeover, ..store.options().clone() })
        })
        .await
    }

    /// Deletes a session: takes it as the options allow, seals it, removes its name.
    ///
    /// # Errors
    /// As [`open_session`](Self::open_session).
    pub async fn delete(&self, name: &SessionName) -> Result<()> {
        self.open_session(name).await?.delete().await
    }

    async fn on_pool(
        &self,
        name: &SessionName,
        run: impl FnOnce(&Self, &SessionName) -> Result<Session> + Send + 'static,
    ) -> Result<Session> {
        let (reply, answer) = oneshot::channel();
        let (store, name) = (self.clone(), name.clone());
        let path = self.path_of(&name);
        if let Some(error) = self.inner.shared.is_forked(&path) {
            return Err(error);
        }
        self.inner.shared.pool.submit(Box::new(move || {
            // Whoever asked may have gone; then the session goes like any that is dropped.
            drop(reply.send(run(&store, &name)));
        }));
        answer.await.unwrap_or_else(|_| Err(Error::new(&path, Cause::Closed)))
    }

    /// How this store opens journals.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.inner.shared.journal
    }

    /// The blocking twin of [`create`](Self::create).
    ///
    /// # Errors
    /// As there.
    pub fn create_blocking(&self, name: &SessionName) -> Result<Session> {
        self.create_with(name, self.options())
    }

    /// Creates a session under options of its own. Blocks.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(&self, name: &SessionName, options: &Options) -> Result<Session> {
        let path = self.path_of(name);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        self.settle_folder(name, options)?;
        let place = self.place(&path);
        let mut place = place.lock();
        self.start(&mut place, || creating::create(&path, name, options))
    }

    /// The blocking twin of [`open_session`](Self::open_session).
    ///
    /// # Errors
    /// As there.
    pub fn open_session_blocking(&self, name: &SessionName) -> Result<Session> {
        self.open_session_with(name, self.options())
    }

    /// Opens a session under options of its own, which count where this process does not have it
    /// open already. Blocks.
    ///
    /// # Errors
    /// As [`open_session`](Self::open_session).
    pub fn open_session_with(&self, name: &SessionName, options: &Options) -> Result<Session> {
        let path = self.path_of(name);
        self.settle_folder(name, options)?;
        let place = self.place(&path);
        let mut place = place.lock();
        match place.actor().and_then(Session::join) {
            Some(joined) => Ok(joined),
            None => self.start(&mut place, || opening::open(&path, options)),
        }
    }

    /// The blocking twin of [`open_or_create`](Self::open_or_create).
    ///
    /// # Errors
    /// As there.
    pub fn open_or_create_blocking(&self, name: &SessionName) -> Result<Session> {
        let mut refused = Error::new(&self.path_of(name), Cause::AlreadyExists);
        for _ in 0..OPEN_OR_CREATE_ATTEMPTS {
            match self.open_session_blocking(name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => return opened,
            }
            match self.create_blocking(name) {
                // Another creator was faster: open what it made.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => refused = error,
                created => return created,
            }
        }
        // It is there and it is not: a link that leads nowhere, or somebody who deletes and creates.
        Err(refused)
    }

    /// The folder of an agent must be as durable as what is in it: once per process.
    fn settle_folder(&self, name: &SessionName, options: &Options) -> Result<()> {
        let Some(agent) = name.agent() else { return Ok(()) };
        if self.inner.settled.lock().contains(agent) {
            return Ok(());
        }
        let synced = options.disk.sync_folder(&self.inner.dir);
        synced.map_err(|e| Error::io(&self.inner.dir, "sync", e))?;
        self.inner.settled.lock().insert(agent.to_owned());
        Ok(())
    }

    /// Where the actor of a path is kept. Its lock is held while the journal is opened, so two
    /// openings of one session in one process join.
    fn place(&self, path: &Path) -> Arc<Mutex<Place>> {
        let mut sessions = self.inner.open.lock();
        // Those that are gone make room now and then, not at every call.
        if sessions.len().is_power_of_two() {
            sessions.retain(|_, place| {
                // None where somebody is at it.
                let Some(place) = Arc::get_mut(place) else { return true };
                let place = place.get_mut();
                place.vacate();
                place.actor.strong_count() > 0
            });
        }
        if races::broken(Race::OpensUnplaced) {
            return Arc::default();
        }
        Arc::clone(sessions.entry(path.to_owned()).or_default())
    }

    fn start(
        &self,
        place: &mut Place,
        open: impl FnOnce() -> Result<(Writer, Opening)>,
    ) -> Result<Session> {
        let shared = &self.inner.shared;
        let lease = shared.handles.lease();
        place.vacate();
        let (mut writer, opening) = open()?;
        let owner = (Arc::clone(&writer.options.host), writer.owner.clone());
        writer.set_lease(lease);
        let started = Actor::new(Arc::clone(shared), writer, opening);
        shared.handles.enlist(&started);
        *place = Place { actor: Arc::downgrade(&started), owner: Some(owner) };
        Ok(Session::new(started))
    }

    // ---- reading ---------------------------------------------------------------------------

    /// A reader of a session.
    ///
    /// # Errors
    /// See [`Reader::open`].
    pub fn reader(&self, name: &SessionName) -> Result<Reader> {
        Reader::open_with(self.path_of(name), self.inner.shared.disk())
    }

    /// All sessions, the one that changed last first. Reads header pages only.
    ///
    /// # Errors
    /// `Io` where the folder cannot be read. A journal that cannot be read is listed with its error.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut listed: Vec<Listed> =
            self.journals()?.into_iter().map(|path| self.look_at(path)).collect();
        listed.sort_by(|a, b| b.updated_ms.cmp(&a.updated_ms).then_with(|| a.name.cmp(&b.name)));
        Ok(listed)
    }

    fn look_at(&self, path: PathBuf) -> Listed {
        let options = self.options();
        let by_path = path.strip_prefix(&self.inner.dir).ok();
        let by_path = by_path.and_then(SessionName::from_relative_path);
        match glance(&path, &*options.disk, &*options.host) {
            Ok(Glance {
                name,
                id,
                generation,
                state,
                owner,
                records,
                bytes,
                created_ms,
                updated_ms,
                damaged,
            }) => Listed {
                name: by_path.unwrap_or(name),
                path,
                id: Some(id),
                generation,
                state,
                owner,
                records,
                bytes,
                created_ms,
                updated_ms,
                damaged,
                error: None,
            },
            Err(error) => Listed {
                name: by_path.unwrap_or_else(|| unreadable_name(&path)),
                bytes: fs::metadata(&path).map_or(0, |metadata| metadata.len()),
                path,
                id: None,
                generation: Generation::default(),
                state: State::Open,
                owner: None,
                records: 0,
                created_ms: 0,
                updated_ms: 0,
                damaged: true,
                error: Some(error),
            },
        }
    }

    /// The journal files in the folder and in its agents' folders.
    fn journals(&self) -> Result<Vec<PathBuf>> {
        let mut journals = Vec::new();
        for entry in entries(&self.inner.dir)? {
            if entry.is_folder {
                let inside = entries(&entry.path)?;
                journals.extend(inside.into_iter().filter(Entry::is_journal).map(|e| e.path));
            } else if entry.is_journal() {
                journals.push(entry.path);
            }
        }
        Ok(journals)
    }

    /// The session of this very name: `agent/id`, or the id alone.
    ///
    /// # Errors
    /// `Invalid` where several agents have a session of this id, with their names; `Io` where the folder
    /// cannot be read.
    pub fn named(&self, text: &str) -> Result<Option<SessionName>> {
        if let Some(exact) = self.of_this_name(text) {
            return Ok(Some(exact));
        }
        let mut names = self.names()?;
        names.retain(|name| name.id() == text);
        match names.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            several => Err(self.may_mean(text, several)),
        }
    }

    fn of_this_name(&self, text: &str) -> Option<SessionName> {
        text.parse().ok().filter(|name| self.exists(name))
    }

    fn names(&self) -> Result<Vec<SessionName>> {
        Ok(self.journals()?.into_iter().filter_map(|path| self.name_of(&path)).collect())
    }

    /// The session that a name or an unambiguous beginning of one means: `agent/id`, or the id
    /// alone where no two agents have it.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` where several begin so, with their names.
    pub fn resolve(&self, text: &str) -> Result<SessionName> {
        if let Some(exact) = self.named(text)? {
            return Ok(exact);
        }
        let mut names = self.names()?;
        names.retain(|name| name.id().starts_with(text) || name.to_string().starts_with(text));
        match names.as_slice() {
            [only] => Ok(only.clone()),
            [] => {
                let what = format!("no session {text:?}");
                Err(Error::new(&self.inner.dir, Cause::NotFound { what }))
            }
            several => Err(self.may_mean(text, several)),
        }
    }

    fn may_mean(&self, text: &str, several: &[SessionName]) -> Error {
        let mut names: Vec<String> = several.iter().take(5).map(ToString::to_string).collect();
        if several.len() > 5 {
            names.push("…".to_owned());
        }
        Error::invalid(&self.inner.dir, format!("{text:?} may mean {}", names.join(", ")))
    }

    fn name_of(&self, path: &Path) -> Option<SessionName> {
        let relative = path.strip_prefix(&self.inner.dir).ok()?;
        SessionName::from_relative_path(relative).or_else(|| {
            let options = self.options();
            glance(path, &*options.disk, &*options.host).ok().map(|glance| glance.name)
        })
    }
}

struct Entry {
    path: PathBuf,
    is_folder: bool,
}

impl Entry {
    fn is_journal(&self) -> bool {
        !self.is_folder && self.path.extension().is_some_and(|extension| extension == EXTENSION)
    }
}

fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let read = |e| Error::io(folder, "list", e);
    fs::read_dir(folder)
        .map_err(read)?
        .map(|entry| {
            let entry = entry.map_err(read)?;
            let is_folder = entry.file_type().map_err(read)?.is_dir();
            Ok(Entry { path: entry.path(), is_folder })
        })
        .collect()
}

fn make_folder(dir: &Path) -> Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let what = io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder");
            Err(Error::io(dir, "use as a store", what))
        }
        Err(error) => Err(Error::io(dir, "make the folder", error)),
    }
}

/// What a listing calls a file whose name is no session's and whose header cannot be read.
fn unreadable_name(path: &Path) -> SessionName {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let fallback = || SessionName::new(None, "unreadable");
    match SessionName::new(None, &stem).or_else(|_| fallback()) {
        Ok(name) => name,
        Err(_) => unreachable!("a constant name is valid"),
    }
}
