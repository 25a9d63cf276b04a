//! Reading: forwards, backwards, by sequence, by key, along the parents. Opens read-only, writes
//! nothing, locks nothing, and stands beside a living writer. Memory: the largest record.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::chain::Chain;
use crate::error::{Cause, Error, Result};
use crate::format::{FrameHeader, FrameKind, Identity, Purpose};
use crate::identity::JournalId;
use crate::index::{Index, KeyFound, Source, meta_of};
use crate::locate::{Located, Start, index_at, locate, read_frame, start};
use crate::name::SessionName;
use crate::position::{Generation, Offset, Sequence};
use crate::record::{Gap, Mark, Record, Verdict};
use crate::scan::{ChainFrame, Scanner, Step};
use crate::storage::{Access, Attachment, Disk, LocalDisk};
use crate::survey::Survey;

/// What a tolerant reader gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Record(Record),
    /// Records that are missing here.
    Gap(Gap),
}

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

/// What the iterators share: a file up to a point, and how to find things in it.
#[derive(Debug)]
struct View {
    source: Source,
    identity: Identity,
    index: Index,
    /// The end of the chain.
    end: u64,
    last_offset: u64,
    last: u64,
    records: u64,
    /// Records behind the end that a slot knows were durable.
    lost_at_end: u64,
    last_checksum: u32,
    durable: u64,
    declared: Vec<(u64, u64)>,
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
        let found = self.get(Sequence::new(before))?;
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
            KeyFound::At(header) => self.view.record_at(header.offset),
            KeyFound::Absent => Ok(None),
            KeyFound::Hidden => {
                let why = format!("damage may hide the record with the key {key:?}");
                Err(Error::new(&self.path, Cause::Unknown { why }))
            }
        }
    }

    /// The records from the one with this key to the root, following the parent keys. Ends at a
    /// record without a parent, or whose parent is not there, and at a loop.
    ///
    /// # Errors
    /// `NotFound` where no record has the key.
    pub fn path_to_root(&self, key: &str) -> Result<PathToRoot> {
        let Some(record) = self.by_key(key)? else {
            let what = format!("no record with the key {key:?}");
            return Err(Error::new(&self.path, Cause::NotFound { what }));
        };
        Ok(PathToRoot { view: Arc::clone(&self.view), next: Some(record), left: self.view.last })
    }
}

impl View {
    fn new(source: Source, identity: Identity, survey: &Survey, index: &Index) -> Result<Self> {
        let chain = &survey.chain;
        let last = chain.sequence();
        let last_checksum = match survey.last_record_checksum {
            0 => index.checksum_of(&source, last, chain.end)?,
            known => known,
        };
        Ok(Self {
            declared: declared(&source, &identity)?,
            source,
            identity,
            index: index.clone(),
            end: chain.end,
            last_offset: chain.last_offset(),
            last,
            records: survey.summary.records,
            lost_at_end: survey.lost_at_end(),
            last_checksum,
            durable: survey.durable_through,
        })
    }

    fn record_at(&self, offset: u64) -> Result<Option<Record>> {
        let Source { file, path, codec } = &self.source;
        let frame = read_frame(&**file, path, codec, offset)?;
        Ok(frame.and_then(|(header, body)| record_of(&header, &Bytes::from(body))))
    }

    /// Whether a compaction has declared these records as lost before it.
    fn is_declared(&self, first: u64, records: u64) -> bool {
        self.declared
            .iter()
            .any(|(start, count)| *start <= first && first + records <= start + count)
    }

    fn gap_at_end(&self, first: u64, records: u64) -> Gap {
        Gap { verdict: Verdict::Corrupt, ..self.gap(first, records, self.end, self.end) }
    }

    fn gap(&self, first: u64, records: u64, offset: u64, end: u64) -> Gap {
        Gap {
            first: Sequence::new(first),
            records,
            offset: Offset::new(offset),
            bytes: end - offset,
            verdict: if end <= self.durable { Verdict::Corrupt } else { Verdict::Torn },
        }
    }
}

/// What the first frame of a compacted file declares.
fn declared(source: &Source, identity: &Identity) -> Result<Vec<(u64, u64)>> {
    if identity.compactions == 0 {
        return Ok(Vec::new());
    }
    let at = crate::format::PAGE_LEN;
    let first = read_frame(&*source.file, &source.path, &source.codec, at)?;
    let lost = first
        .filter(|(header, _)| header.kind == FrameKind::Compacted)
        .and_then(|(_, body)| crate::format::CompactedBody::decode(&body).ok());
    Ok(lost.map(|compacted| compacted.lost).unwrap_or_default())
}

/// The record of a frame; `None` where it is not one, or has not its shape.
fn record_of(header: &FrameHeader, body: &Bytes) -> Option<Record> {
    if header.kind != FrameKind::Record {
        return None;
    }
    let meta = meta_of(header, body)?;
    let text = |text: Option<&str>| text.map(str::to_owned);
    Some(Record {
        sequence: Sequence::new(header.sequence),
        generation: Generation::new(header.generation),
        offset: Offset::new(header.offset),
        time_ms: header.time_ms,
        kind: text(meta.kind),
        key: text(meta.key),
        parent: text(meta.parent),
        checksum: header.body_checksum,
        payload: body.slice(usize::from(header.meta_len)..),
    })
}

fn corrupt(view: &View, gap: &Gap) -> Error {
    let cause = Cause::Corrupt { sequence: gap.first, records: gap.records, offset: gap.offset };
    Error::new(&view.source.path, cause)
}

// ---- forwards ------------------------------------------------------------------------------

/// Records in order. Strict: at a gap it gives `Corrupt` once and ends.
pub struct Records {
    gaps: GapRecords,
    done: bool,
}

/// Records in order, and the gaps between them.
pub struct GapRecords {
    view: Arc<View>,
    scanner: Scanner,
    from: u64,
    /// A record that waits behind a gap that was just given.
    waiting: Option<Record>,
    ended: bool,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.gaps.fmt(f)
    }
}

impl std::fmt::Debug for GapRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Records {
    fn new(view: Arc<View>, chain: Chain, from: Sequence) -> Self {
        // A whole pass has accepted everything below the end of the view.
        let scanner = view.source.scanner(chain, view.end);
        let gaps = GapRecords { view, scanner, from: from.get(), waiting: None, ended: false };
        Self { gaps, done: false }
    }

    /// Goes on behind damage, and says what is missing.
    #[must_use]
    pub fn with_gaps(self) -> GapRecords {
        self.gaps
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.gaps.next()? {
            Ok(Item::Record(record)) => Some(Ok(record)),
            Ok(Item::Gap(gap)) => {
                self.done = true;
                Some(Err(corrupt(&self.gaps.view, &gap)))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

impl GapRecords {
    fn step(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(record) = self.waiting.take() {
                return Ok(Some(Item::Record(record)));
            }
            let before = self.scanner.chain().end;
            let frame = match self.scanner.step()? {
                Step::Frame(frame) => frame,
                Step::Claim(_) => continue,
                Step::End(_) => return Ok(self.gap_at_end().map(Item::Gap)),
            };
            if frame.header.sequence < self.from {
                continue;
            }
            if frame.header.kind == FrameKind::Record {
                let body = Bytes::copy_from_slice(self.scanner.body(&frame.header)?);
                self.waiting = record_of(&frame.header, &body);
            }
            if let Some(gap) = self.gap_before(&frame, before) {
                return Ok(Some(Item::Gap(gap)));
            }
        }
    }

    /// What the end of the file lost, told once.
    fn gap_at_end(&mut self) -> Option<Gap> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let first = (self.view.last + 1).max(self.from);
        let records = (self.view.last + 1 + self.view.lost_at_end).saturating_sub(first);
        (records > 0).then(|| self.view.gap_at_end(first, records))
    }

    fn gap_before(&self, frame: &ChainFrame, before: u64) -> Option<Gap> {
        let measure = frame.measure;
        let end = measure.first_missing + measure.missing;
        let first = measure.first_missing.max(self.from);
        if first >= end || self.view.is_declared(first, end - first) {
            return None;
        }
        Some(self.view.gap(first, end - first, before, frame.header.offset))
    }
}

impl Iterator for GapRecords {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

// ---- backwards -----------------------------------------------------------------------------

/// Records from the last to the first. Strict: at a gap it gives `Corrupt` once and ends.
#[derive(Debug)]
pub struct Backwards {
    gaps: GapBackwards,
    done: bool,
}

/// Records from the last to the first, and the gaps between them.
#[derive(Debug)]
pub struct GapBackwards {
    view: Arc<View>,
    /// Where the frame to look at next begins; zero for none.
    next: u64,
    /// The frame behind it begins here, and has this sequence before it.
    behind: u64,
    expected: u64,
    /// Frames that were found by reading forwards, in file order.
    found: Vec<u64>,
    waiting: Option<Record>,
    begun: bool,
}

impl Backwards {
    fn new(view: Arc<View>) -> Self {
        let gaps = GapBackwards {
            next: view.last_offset,
            behind: view.end,
            expected: view.last,
            found: Vec::new(),
            waiting: None,
            begun: false,
            view,
        };
        Self { gaps, done: false }
    }

    /// Goes on before damage, and says what is missing.
    #[must_use]
    pub fn with_gaps(self) -> GapBackwards {
        self.gaps
    }
}

impl Iterator for Backwards {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.gaps.next()? {
            Ok(Item::Record(record)) => Some(Ok(record)),
            Ok(Item::Gap(gap)) => {
                self.done = true;
                Some(Err(corrupt(&self.gaps.view, &gap)))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

impl Iterator for GapBackwards {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

impl GapBackwards {
    /// So many records, without the gaps.
    fn take_records(self, n: u64) -> impl Iterator<Item = Result<Record>> {
        let records = self.filter_map(|item| match item {
            Ok(Item::Record(record)) => Some(Ok(record)),
            Ok(Item::Gap(_)) => None,
            Err(error) => Some(Err(error)),
        });
        records.take(usize::try_from(n).unwrap_or(usize::MAX))
    }

    fn step(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(record) = self.waiting.take() {
                return Ok(Some(Item::Record(record)));
            }
            if !std::mem::replace(&mut self.begun, true) && self.view.lost_at_end > 0 {
                let gap = self.view.gap_at_end(self.view.last + 1, self.view.lost_at_end);
                return Ok(Some(Item::Gap(gap)));
            }
            let Some((header, body)) = self.frame_before()? else {
                return Ok(self.gap_to(0, crate::format::PAGE_LEN).map(Item::Gap));
            };
            let gap = self.gap_to(header.sequence, header.end());
            self.behind = header.offset;
            self.expected = header.sequence;
            if header.kind == FrameKind::Record {
                self.waiting = record_of(&header, &Bytes::from(body));
                self.expected = self.expected.saturating_sub(1);
            }
            if let Some(gap) = gap {
                return Ok(Some(Item::Gap(gap)));
            }
        }
    }

    /// The records above `sequence` that should have come first.
    fn gap_to(&mut self, sequence: u64, end: u64) -> Option<Gap> {
        let records = self.expected.saturating_sub(sequence);
        self.expected = self.expected.min(sequence);
        if records == 0 || self.view.is_declared(sequence + 1, records) {
            return None;
        }
        Some(self.view.gap(sequence + 1, records, end.min(self.behind), self.behind))
    }

    /// The chain frame before the one that was given last: where it points, or, where nothing sound
    /// stands there, by reading forwards from the nearest known place.
    fn frame_before(&mut self) -> Result<Option<(FrameHeader, Vec<u8>)>> {
        let Source { file, path, codec } = self.view.source.clone();
        if let Some(at) = self.found.pop() {
            let frame = read_frame(&*file, &path, &codec, at)?;
            if let Some((header, _)) = &frame
                && self.found.is_empty()
            {
                self.next = header.previous;
            }
            return Ok(frame);
        }
        if self.behind <= crate::format::PAGE_LEN {
            return Ok(None);
        }
        if self.next != 0
            && self.next < self.behind
            && let Some((header, body)) = read_frame(&*file, &path, &codec, self.next)?
            && (header.is_alone() || self.is_known_whole(&header))
        {
            self.next = header.previous;
            return Ok(Some((header, body)));
        }
        self.read_forwards()?;
        if self.found.is_empty() { Ok(None) } else { self.frame_before() }
    }

    /// A frame that a later one of the chain points at was in the chain; so was its batch.
    fn is_known_whole(&self, header: &FrameHeader) -> bool {
        header.batch_end() <= self.view.end
    }

    /// Collects the frames of a stretch before the one that was given last.
    fn read_forwards(&mut self) -> Result<()> {
        let source = &self.view.source;
        let mut limit = self.behind;
        loop {
            let place = self.view.index.place_before(source, limit)?;
            // Up to the end of the view: the witness of a torn batch may be what was given last.
            let chain = Chain::before(place.offset, place.before);
            let mut scanner = source.scanner(chain, self.view.end);
            loop {
                match scanner.step()? {
                    Step::Frame(frame) if frame.header.offset < self.behind => {
                        self.found.push(frame.header.offset);
                    }
                    Step::Claim(_) => {}
                    Step::Frame(_) | Step::End(_) => break,
                }
            }
            if !self.found.is_empty() || place.offset <= crate::format::PAGE_LEN {
                return Ok(());
            }
            limit = place.offset;
        }
    }
}

// ---- along the parents ---------------------------------------------------------------------

/// Records from one to its root, following parent keys. Cost per record: one look at the record
/// before it in the file, which usually is the parent; otherwise one look-up by key.
#[derive(Debug)]
pub struct PathToRoot {
    view: Arc<View>,
    next: Option<Record>,
    /// A path cannot have more records than the journal: a loop ends there.
    left: u64,
}

impl PathToRoot {
    fn parent_of(&self, record: &Record) -> Result<Option<Record>> {
        let Some(parent) = record.parent.as_deref() else { return Ok(None) };
        if record.key.as_deref() == Some(parent) {
            return Ok(None);
        }
        let Source { file, path, codec } = &self.view.source;
        if let Some((header, _)) = read_frame(&**file, path, codec, record.offset.get())?
            && let Some(before) = self.view.record_at(header.previous)?
            && before.key.as_deref() == Some(parent)
        {
            return Ok(Some(before));
        }
        match self.view.index.find_key(&self.view.source, parent)? {
            KeyFound::At(header) => self.view.record_at(header.offset),
            KeyFound::Absent => Ok(None),
            KeyFound::Hidden => {
                let why = format!("damage may hide the record with the key {parent:?}");
                Err(Error::new(path, Cause::Unknown { why }))
            }
        }
    }
}

impl Iterator for PathToRoot {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.next.take()?;
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            match self.parent_of(&record) {
                Ok(parent) => self.next = parent,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        Some(Ok(record))
    }
}
