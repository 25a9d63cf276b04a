//! The synchronous owner of one journal.

use std::path::Path;
use std::sync::Arc;

use crate::append::Batch;
use crate::creating;
use crate::error::Result;
use crate::identity::{JournalId, Owner};
use crate::name::SessionName;
use crate::opening;
use crate::options::{AppendOptions, Options};
use crate::position::{Generation, Sequence};
use crate::reader::Reader;
use crate::record::{Appended, Mark, NewRecord};
use crate::replace::Compaction;
use crate::report::Opening;
use crate::writer::Writer;

/// A journal that this handle owns: the only one that may append to it.
///
/// Every call blocks on the file and returns when what it says is true. Several handles in one
/// process, or in several, may compete for one journal; each newer one fences the older.
///
/// Dropping a `Journal` writes nothing, like a crash: the next opening finds it unreleased and
/// settles it. [`close`](Self::close) releases it.
#[derive(Debug)]
pub struct Journal {
    writer: Writer,
    opening: Opening,
}

impl Journal {
    /// Creates a journal, whole or not at all, and owns it. The folder must exist.
    ///
    /// # Errors
    /// `AlreadyExists` where the path is taken, and nothing is changed; of two processes that
    /// create one path at once, one gets this. `UnsupportedFilesystem`, `NoSpace`, `NotFound`, `Io`.
    pub fn create(path: impl AsRef<Path>, name: &SessionName, options: &Options) -> Result<Self> {
        let (writer, opening) = creating::create(path.as_ref(), name, options)?;
        Ok(Self { writer, opening })
    }

    /// Opens a journal for writing: takes the next generation, settles what an unclean owner left,
    /// and says what it found. Cost: what came since the last checkpoint is read, two syncs.
    ///
    /// # Errors
    /// `HeldBy` where the policy does not allow taking it, or another opening was faster each time;
    /// `NeedsRepair` where automatic repair is off; in both cases nothing is written. `Sealed`,
    /// `UnsupportedFormat`, `NotAJournal`, `UnsupportedFilesystem`, `NoSpace`, `NotFound`, `Io`.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let (writer, opening) = opening::open(path.as_ref(), options)?;
        Ok(Self { writer, opening })
    }

    /// Appends one record as the journal's options say.
    ///
    /// # Errors
    /// `Fenced`, `Detached`, `Shortened`, `Poisoned`: this handle is finished. `NoSpace`: nothing
    /// was stored, go on when there is room. `TooLarge`. `Unknown`: it may or may not be stored.
    pub fn append(&mut self, record: &NewRecord) -> Result<Appended> {
        let durability = self.writer.options.durability;
        self.writer.append_one(record, durability)
    }

    /// Appends records as one batch: all of them or none. Records whose keys are there already are
    /// answered, not stored.
    ///
    /// # Errors
    /// As [`append`](Self::append); `Conflict` and `Diverged` where the expectation fails.
    pub fn append_all(
        &mut self,
        records: &[NewRecord],
        options: &AppendOptions,
    ) -> Result<Vec<Appended>> {
        if records.is_empty() {
            self.writer.guard()?;
            return Ok(Vec::new());
        }
        self.writer.append_batch(Batch { records, options })
    }

    /// Makes everything durable that was appended.
    ///
    /// # Errors
    /// `Unknown` where the sync failed; the handle is finished then.
    pub fn sync(&mut self) -> Result<()> {
        self.writer.sync()
    }

    /// The place of the last record, to append conditionally later.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.writer.mark()
    }

    /// How this handle came to own the journal, and what it found.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The journal's identity.
    #[must_use]
    pub fn id(&self) -> JournalId {
        self.writer.identity.journal
    }

    /// The session that it holds.
    #[must_use]
    pub fn name(&self) -> &SessionName {
        &self.writer.identity.name
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.writer.path()
    }

    /// Who this handle is, as others see it.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.writer.owner
    }

    /// The generation that this handle holds.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation::new(self.writer.generation)
    }

    /// The last record.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        Sequence::new(self.writer.sequence)
    }

    /// Every record up to this one is durable.
    #[must_use]
    pub fn durable_through(&self) -> Sequence {
        Sequence::new(self.writer.durable.sequence)
    }

    /// A reader of this journal, as it is now.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn reader(&self) -> Result<Reader> {
        Reader::open_with(self.path(), Arc::clone(&self.writer.options.disk))
    }

    /// Replaces the file by one without dead bytes. Every record keeps its sequence, generation,
    /// time and bytes; the history of owners is kept too. A crash at any step leaves a journal that
    /// opens, old or new.
    ///
    /// # Errors
    /// As [`append`](Self::append); where it is not `Poisoned` the old file is as it was.
    pub fn compact(&mut self) -> Result<Compaction> {
        self.writer.guard()?;
        let copy = self.writer.begin_copy()()?;
        self.writer.finish_copy(copy)
    }

    /// Syncs and releases the journal: the next opening finds nothing to settle.
    ///
    /// # Errors
    /// As [`append`](Self::append). Nothing that was acknowledged is lost either way.
    pub fn close(mut self) -> Result<()> {
        self.writer.release()
    }

    /// Deletes the journal: seals it, then removes its name.
    ///
    /// # Errors
    /// As [`append`](Self::append); a deletion that was sealed is finished by the next opening.
    pub fn delete(mut self) -> Result<()> {
        self.writer.delete()
    }
}
