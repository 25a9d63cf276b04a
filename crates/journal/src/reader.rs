//! Reading: forwards, backwards, by sequence, by key, along the parents. Opens read-only, writes
//! nothing, locks nothing, and stands beside a living writer. Memory: the largest record.

use std::path::Path;
use std::sync::Arc;

use crate::backwards::Backwards;
use crate::chain::Chain;
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::format::Purpose;
use crate::identity::JournalId;
use crate::index::{Index, KeyFound, Source};
use crate::locate::{Located, Start, index_at, locate, start};
use crate::name::SessionName;
use crate::path::PathToRoot;
use crate::position::Sequence;
use crate::record::{Mark, Record};
use crate::records::Records;
use crate::storage::{Access, Attachment, Disk, LocalDisk};
use crate::survey::Survey;
use crate::view::{View, record_of};

/// A view of a journal: what it held when it was opened or last refreshed.
pub struct Reader {
    view: Arc<View>,
    survey: Survey,
    index: Index,
    disk: Arc<dyn Disk>,
    /// As it was asked for; the file there may be replaced by a compacted one.
    path: Arc<Path>,
    /// How often the file was replaced while this reader was open.
    replacements: u32,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.path)
            .field("end", &self.view.end)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a journal read-only.
    ///
    /// # Errors
    /// `NotFound`, `NotAJournal`, `UnsupportedFormat`, `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Arc::new(LocalDisk))
    }

    /// Opens a journal on a disk of the caller's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, disk: Arc<dyn Disk>) -> Result<Self> {
        let path: Arc<Path> = Arc::from(path.as_ref());
        let file = disk.open(&path, Access::Read).map_err(|e| Error::io(&path, "open", e))?;
        let located = locate(&file, &path)?;
        let start = start(&*file, &path, &located)?;
        let source = Source { file, path: Arc::clone(&path), codec: located.codec };
        Self::at(source, &located, &start, disk, path)
    }

    fn at(
        source: Source,
        located: &Located,
        start: &Start,
        disk: Arc<dyn Disk>,
        path: Arc<Path>,
    ) -> Result<Self> {
        let mut survey = Survey::new(&source.file, &path, located, start);
        let mut index = index_at(located, start);
        survey.pass(&mut index)?;
        if survey.lost_at_end() > 0 {
            index.note_loss();
        }
        let view = View::new(source, located.identity.clone(), &survey, &index)?;
        Ok(Self { view: Arc::new(view), survey, index, disk, path, replacements: 0 })
    }

    /// The journal.
    #[must_use]
    pub fn id(&self) -> JournalId {
        self.view.identity.journal
    }

    /// The session that it holds.
    #[must_use]
    pub fn name(&self) -> &SessionName {
        &self.view.identity.name
    }

    /// The path that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the journal was created, in milliseconds since the epoch.
    #[must_use]
    pub fn created_ms(&self) -> i64 {
        self.view.identity.created_ms
    }

    /// The last record of this view.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        Sequence::new(self.view.last)
    }

    /// The place of the last record of this view.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let (journal, sequence) = (self.id(), self.last_sequence());
        Mark { journal, sequence, checksum: self.view.last_checksum }
    }

    /// Looks for what came since; true where the view changed. Cost: what came is read. Follows
    /// the journal where the file was replaced by a compacted one.
    ///
    /// # Errors
    /// `Detached` where the file is gone or another journal is at its path; `Shortened`; `Io`.
    pub fn refresh(&mut self) -> Result<bool> {
        let before = (self.view.end, self.view.last);
        let sealed = self.survey.seal.as_ref().map(|seal| seal.purpose);
        self.must_not_be_shorter()?;
        self.survey.pass(&mut self.index)?;
        let seal = self.survey.seal.as_ref().map(|seal| seal.purpose);
        if seal.is_some() || sealed.is_some() {
            self.go_behind_seal(seal.or(sealed))?;
        }
        if self.survey.chain.end == before.0 && self.survey.chain.sequence() == before.1 {
            return Ok(false);
        }
        let source = self.view.source.clone();
        let identity = self.view.identity.clone();
        self.view = Arc::new(View::new(source, identity, &self.survey, &self.index)?);
        Ok(true)
    }

    fn must_not_be_shorter(&self) -> Result<()> {
        let found = self.view.source.file.len().map_err(|e| Error::io(&self.path, "look at", e))?;
        let expected = self.view.end;
        if found < expected {
            return Err(Error::new(&self.path, Cause::Shortened { expected, found }));
        }
        Ok(())
    }

    /// The file ends with a seal: once its successor is in its place, go on there.
    fn go_behind_seal(&mut self, purpose: Option<Purpose>) -> Result<()> {
        let io = |e| Error::io(&self.path, "look at", e);
        match self.view.source.file.attachment().map_err(io)? {
            Attachment::Attached => return Ok(()),
            Attachment::Gone => {
                let how = match purpose {
                    Some(Purpose::Delete) => "it was deleted",
                    _ => "nothing is at its path any more",
                };
                return Err(Error::new(&self.path, Cause::Detached { how }));
            }
            Attachment::Replaced => {}
        }
        let next = Self::open_with(&self.path, Arc::clone(&self.disk))?;
        if next.id() != self.id() {
            let how = "another journal is at its path";
            return Err(Error::new(&self.path, Cause::Detached { how }));
        }
        *self = Self { replacements: self.replacements + 1, ..next };
        Ok(())
    }

    pub(crate) fn replacements(&self) -> u32 {
        self.replacements
    }

    /// Goes on in the new file where this one was replaced.
    ///
    /// # Errors
    /// `Detached` where the file left its path and no seal says what became of it.
    pub(crate) fn check_attached(&mut self) -> Result<()> {
        let io = |e| Error::io(&self.path, "look at", e);
        let how = match self.view.source.file.attachment().map_err(io)? {
            Attachment::Attached => return Ok(()),
            Attachment::Gone => "nothing is at its path any more",
            Attachment::Replaced => "another file is at its path",
        };
        // The seal may have come after the last look.
        self.survey.pass(&mut self.index)?;
        match self.survey.seal.as_ref().map(|seal| seal.purpose) {
            Some(purpose) => self.go_behind_seal(Some(purpose)),
            None => Err(Error::new(&self.path, Cause::Detached { how })),
        }
    }

    /// All records, in order; stops with `Corrupt` at the first gap.
    #[must_use]
    pub fn records(&self) -> Records {
        Records::new(Arc::clone(&self.view), Chain::empty(), Sequence::new(1))
    }

    /// The records from a sequence on.
    ///
    /// # Errors
    /// `Io`.
    pub fn records_from(&self, from: Sequence) -> Result<Records> {
        if from.get() <= 1 {
            return Ok(self.records());
        }
        let place = self.view.index.place(&self.view.source, from.get())?;
        let chain = Chain::before(place.offset, place.before);
        Ok(Records::new(Arc::clone(&self.view), chain, from))
    }

    /// The records behind a mark.
    ///
    /// # Errors
    /// `Diverged` where the journal does not hold the record of the mark: names the last record
    /// before it that is still there.
    pub fn records_after(&self, mark: &Mark) -> Result<Records> {
        if mark.journal != self.id() {
            let cause = Cause::Diverged { mark: *mark, last_common: None };
            return Err(Error::new(&self.path, cause));
        }
        let (index, source, end) = (&self.view.index, &self.view.source, self.view.end);
        let sequence = mark.sequence.get();
        let holds = sequence <= self.view.last
            && index.checksum_of(source, sequence, end)? == mark.checksum;
        if !holds {
            let last_common = self.mark_before(mark.sequence)?;
            let cause = Cause::Diverged { mark: *mark, last_common };
            return Err(Error::new(&self.path, cause));
        }
        self.records_from(mark.sequence.next())
    }

    /// The last record before a sequence: as much as can be said without the other side's records.
    fn mark_before(&self, sequence: Sequence) -> Result<Option<Mark>> {
        let before = sequence.get().saturating_sub(1).min(self.view.last);
        let found = match self.get(Sequence::new(before)) {
            // It is lost as well, and nothing can be said.
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            found => found?,
        };
        Ok(found.map(|record| record.mark(self.id())))
    }

    /// The last `n` records, in order. Cost: those records, and one step back per record.
    ///
    /// # Errors
    /// `Io`.
    pub fn last(&self, n: u64) -> Result<Records> {
        let mut from = self.view.last.saturating_sub(n) + 1;
        if self.view.records < self.view.last && n > 0 {
            // Sequences are missing somewhere: count records.
            for item in self.backwards().with_gaps().take_records(n) {
                from = item?.sequence.get();
            }
        }
        self.records_from(Sequence::new(from))
    }

    /// All records from the last to the first.
    #[must_use]
    pub fn backwards(&self) -> Backwards {
        Backwards::new(Arc::clone(&self.view))
    }

    /// One record; `None` where it is not there.
    ///
    /// # Errors
    /// `Corrupt` where it is lost; `Io`.
    pub fn get(&self, sequence: Sequence) -> Result<Option<Record>> {
        if sequence.get() == 0 || sequence.get() > self.view.last + self.view.lost_at_end {
            return Ok(None);
        }
        self.records_from(sequence)?.next().transpose()
    }

    /// The first record with a key; `None` where there is none.
    ///
    /// # Errors
    /// `Unknown` where damage may hide it; `Io`.
    pub fn by_key(&self, key: &str) -> Result<Option<Record>> {
        match self.view.index.find_key(&self.view.source, key)? {
            KeyFound::At(header, body) => Ok(record_of(&header, &body)),
            KeyFound::Absent => Ok(None),
            KeyFound::Hidden => {
                let why = format!("damage may hide the record with the key {key:?}");
                Err(Error::new(&self.path, Cause::Unknown { why }))
            }
        }
    }

    /// The records from the one with this key to the root, following the parent keys. Ends at a
    /// record without a parent, or whose parent is not there, and at a loop. Where damage may hide
    /// the parent, it ends with `Unknown` behind the record.
    ///
    /// # Errors
    /// `NotFound` where no record has the key; `Unknown` where damage may hide it; `Io`.
    pub fn path_to_root(&self, key: &str) -> Result<PathToRoot> {
        PathToRoot::begin(Arc::clone(&self.view), key)
    }
}
