//! The engine as a candidate: the owner of a file, and the handle in front of its actor.

use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use session_journal::{
    Durability, Journal, NewRecord, Options, Session, SessionName, Store, StoreOptions,
};

use crate::Result;
use crate::candidate::{Asked, Candidate, Log, Role, Writer};

/// The synchronous owner of one file.
pub(crate) const JOURNAL: &str = "session-journal, `Journal`";
/// The blocking twin of the clonable handle.
pub(crate) const SESSION: &str = "session-journal, `Session`";

/// The engine's ways to append from a thread.
pub fn candidates() -> Vec<Candidate> {
    let role = Role::Engine;
    let journal = Candidate {
        role,
        name: JOURNAL,
        told: "the synchronous owner; what is written is synced in the background, within 1 s or 4 MiB",
        open: open_journals,
    };
    let session = Candidate {
        role,
        name: SESSION,
        told: "the handle, its blocking twin; synced in the background as well",
        open: open_sessions,
    };
    vec![journal, session]
}

/// The name of a session that is measured.
pub(crate) fn name(id: usize) -> Result<SessionName> {
    Ok(SessionName::new(Some("bench"), &id.to_string())?)
}

pub(crate) fn options(durability: Durability) -> Options {
    Options { durability, ..Options::default() }
}

pub(crate) fn store(folder: &Path, durability: Durability) -> Result<Store> {
    let options = StoreOptions { journal: options(durability), ..StoreOptions::default() };
    Ok(Store::open(folder.join("store"), options)?)
}

struct Journals(Mutex<Vec<Option<Journal>>>);

fn open_journals(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    if asked.is_shared() {
        return Ok(None);
    }
    let create = |n| {
        let path = folder.join(format!("{n}.journal"));
        Ok(Some(Journal::create(path, &name(n)?, &options(asked.durability))?))
    };
    let journals = (0..asked.sessions).map(create).collect::<Result<_>>()?;
    Ok(Some(Box::new(Journals(Mutex::new(journals)))))
}

impl Log for Journals {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        let mut journals = self.0.lock().map_err(|_| "a producer panicked")?;
        let journal = journals[session].take().ok_or("a journal has one writer")?;
        Ok(Box::new(Owner(journal)))
    }
}

struct Owner(Journal);

impl Writer for Owner {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        self.0.append(&NewRecord::new(payload.clone()))?;
        Ok(())
    }
}

struct Sessions(Vec<Session>);

fn open_sessions(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    sessions_with(folder, asked, StoreOptions::default().file_handles_max).map(Some)
}

/// Sessions of a store that may hold so many file handles.
pub(crate) fn sessions_with(folder: &Path, asked: Asked, handles: usize) -> Result<Box<dyn Log>> {
    let journal = options(asked.durability);
    let options = StoreOptions { journal, file_handles_max: handles, ..StoreOptions::default() };
    let store = Store::open(folder.join("store"), options)?;
    let create = |n| Ok(store.create_blocking(&name(n)?)?);
    let sessions = (0..asked.sessions).map(create).collect::<Result<_>>()?;
    Ok(Box::new(Sessions(sessions)))
}

impl Log for Sessions {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Handle(self.0[session].clone())))
    }
}

struct Handle(Session);

impl Writer for Handle {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        self.0.append_blocking(payload.clone())?;
        Ok(())
    }
}
