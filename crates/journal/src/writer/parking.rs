//! Giving descriptors back while nobody uses them, and opening them again.

use std::io;
use std::sync::Arc;

use super::Writer;
use crate::error::{Cause, Error, Result};
use crate::handles::Lease;
use crate::index::Source;
use crate::locate::{Located, locate, start};
use crate::storage::{Access, Attachment, Landing, Storage};
use crate::survey::Survey;

impl Writer {
    pub(crate) fn set_lease(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    pub(super) fn give_descriptors_back(&mut self) {
        self.source.file = Arc::new(GivenBack);
        self.lease = None;
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.parked && self.finished.is_none()
    }

    /// Gives the descriptors back. Closing a file loses what the system has to say of writes that
    /// fail later, so everything is synced first (H26).
    pub(crate) fn park(&mut self) {
        if self.parked || self.finished.is_some() {
            return;
        }
        let settled = self.unsynced_bytes() == 0 && self.under_way.is_none();
        if !settled && self.sync().is_err() {
            return;
        }
        self.give_descriptors_back();
        self.parked = true;
    }

    /// Opens the descriptors again, and looks whether it is still the journal that was left.
    pub(crate) fn unpark(&mut self, lease: Lease) -> Result<()> {
        self.guard()?;
        let detached = |how| Error::new(&self.source.path, Cause::Detached { how });
        let path = Arc::clone(&self.source.path);
        let file = match self.options.disk.open(&path, Access::Write) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let error = detached("nothing is at its path any more");
                return Err(self.finish(error));
            }
            Err(error) => return Err(Error::io(&path, "open", error)),
        };
        let len = file.len().map_err(|error| Error::io(&path, "look at", error))?;
        let located = match locate(&file, &path) {
            Ok(located) => located,
            Err(_) if len < self.tail => return Err(self.shortened(self.tail, len)),
            Err(error) => return Err(error),
        };
        if located.identity.journal != self.identity.journal {
            let error = detached("another journal is at its path");
            return Err(self.finish(error));
        }
        if located.identity.compactions != self.identity.compactions {
            return Err(self.was_replaced(file, &located));
        }
        self.source.file = file;
        self.lease = Some(lease);
        self.parked = false;
        self.verify_last_frame()?;
        let seen = self.look_again()?;
        self.judge(&seen, None)
    }

    /// Only an owner replaces a file, so there is one after us.
    pub(crate) fn was_replaced(&mut self, file: Arc<dyn Storage>, located: &Located) -> Error {
        let source = Source { file, ..self.source.clone() };
        let standing = start(&*source.file, &source.path, located).and_then(|start| {
            let mut survey = Survey::new(&source.file, &source.path, located, &start);
            survey.pass(&mut ()).map(|()| survey.standing)
        });
        match standing {
            Ok(standing) if standing.generation > self.generation => self.fenced(&standing),
            Ok(_) => {
                let how = "another file of this journal is at its path";
                let error = Error::new(self.path(), Cause::Detached { how });
                self.finish(error)
            }
            Err(error) => error,
        }
    }
}

/// In the place of a file whose descriptors were given back; nobody gets to it.
#[derive(Debug)]
struct GivenBack;

impl GivenBack {
    fn refuse<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::NotConnected, "the descriptors were given back"))
    }
}

impl Storage for GivenBack {
    fn append(&self, _: &[u8]) -> io::Result<Landing> {
        Self::refuse()
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Self::refuse()
    }

    fn len(&self) -> io::Result<u64> {
        Self::refuse()
    }

    fn sync(&self) -> io::Result<()> {
        Self::refuse()
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Self::refuse()
    }

    fn attachment(&self) -> io::Result<Attachment> {
        Self::refuse()
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Self::refuse()
    }
}
