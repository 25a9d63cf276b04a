//! Reading forwards.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::chain::Chain;
use crate::error::Result;
use crate::format::FrameKind;
use crate::position::Sequence;
use crate::record::{Gap, Record, RecordRef};
use crate::scan::{Scanner, Step};
use crate::view::{Item, ItemRef, View, corrupt};

/// Records in order. Strict: at a gap it gives `Corrupt` once and ends.
///
/// As an iterator it gives records that are the caller's own; [`next_ref`](Self::next_ref) lends them, which
/// costs no memory and less time. Both go on where the other one was.
pub struct Records {
    path: Arc<Path>,
    gaps: GapRecords,
    done: bool,
}

/// Records in order, and the gaps between them; lent by [`next_ref`](Self::next_ref) as well.
pub struct GapRecords {
    view: Arc<View>,
    scanner: Scanner,
    from: u64,
    /// The record that the scanner stands at waits behind a gap that was just given.
    waiting: bool,
    ended: bool,
}

/// What comes next.
enum Found {
    /// The record that the scanner stands at.
    Record,
    Gap(Gap),
    End,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.gaps.fmt(f)
    }
}

impl fmt::Debug for GapRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Records {
    pub(crate) fn new(view: Arc<View>, chain: Chain, from: Sequence) -> Self {
        // A whole pass has accepted everything below the end of the view.
        let scanner = view.source.scanner(chain, view.end);
        let path = Arc::clone(&view.source.path);
        let gaps = GapRecords { view, scanner, from: from.get(), waiting: false, ended: false };
        Self { path, gaps, done: false }
    }

    /// Goes on behind damage, and says what is missing.
    #[must_use]
    pub fn with_gaps(self) -> GapRecords {
        self.gaps
    }

    /// The next record, lent until the next call: looked at where it was read, and not copied.
    ///
    /// ```
    /// # use session_journal::{Journal, NewRecord, Options, Reader, SessionName};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("chat.journal");
    /// # let name = SessionName::new(None, "chat")?;
    /// # let mut journal = Journal::create(&path, &name, &Options::default())?;
    /// # journal.append(&NewRecord::new("hello"))?;
    /// let mut records = Reader::open(&path)?.records();
    /// let mut bytes = 0;
    /// while let Some(record) = records.next_ref() {
    ///     bytes += record?.payload.len();
    /// }
    /// # assert_eq!(bytes, 5);
    /// # journal.close()?; Ok(()) }
    /// ```
    pub fn next_ref(&mut self) -> Option<Result<RecordRef<'_>>> {
        if self.done {
            return None;
        }
        let error = match self.gaps.next_ref() {
            Some(Ok(ItemRef::Record(record))) => return Some(Ok(record)),
            Some(Ok(ItemRef::Gap(gap))) => Some(corrupt(&self.path, &gap)),
            Some(Err(error)) => Some(error),
            None => None,
        };
        self.done = true;
        error.map(Err)
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let error = match self.gaps.next() {
            Some(Ok(Item::Record(record))) => return Some(Ok(record)),
            Some(Ok(Item::Gap(gap))) => Some(corrupt(&self.path, &gap)),
            Some(Err(error)) => Some(error),
            None => None,
        };
        self.done = true;
        error.map(Err)
    }
}

impl GapRecords {
    /// The next record or gap; a record is lent until the next call.
    pub fn next_ref(&mut self) -> Option<Result<ItemRef<'_>>> {
        match self.find_shaped() {
            Ok(Found::Record) => Some(Ok(ItemRef::Record(self.scanner.record_ref()?))),
            Ok(Found::Gap(gap)) => Some(Ok(ItemRef::Gap(gap))),
            Ok(Found::End) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// As [`find`](Self::find), over what is no record as records are made.
    #[inline]
    fn find_shaped(&mut self) -> Result<Found> {
        loop {
            match self.find()? {
                Found::Record if self.scanner.record_ref().is_none() => {}
                found => return Ok(found),
            }
        }
    }

    #[inline]
    fn find(&mut self) -> Result<Found> {
        if std::mem::replace(&mut self.waiting, false) {
            return Ok(Found::Record);
        }
        loop {
            match self.scanner.step()? {
                Step::Frame => {}
                Step::Claim(_) => continue,
                Step::End(_) => return Ok(self.gap_at_end().map_or(Found::End, Found::Gap)),
            }
            if self.scanner.header().sequence < self.from {
                continue;
            }
            let is_record = self.scanner.header().kind == FrameKind::Record;
            if let Some(gap) = self.gap_before() {
                self.waiting = is_record;
                return Ok(Found::Gap(gap));
            }
            if is_record {
                return Ok(Found::Record);
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

    /// What is missing before the frame that the scanner stands at.
    #[inline]
    fn gap_before(&self) -> Option<Gap> {
        let measure = self.scanner.measure();
        if measure.missing == 0 {
            return None;
        }
        let end = measure.first_missing + measure.missing;
        let first = measure.first_missing.max(self.from);
        if first >= end || self.view.is_declared(first, end - first) {
            return None;
        }
        let at = self.scanner.header().offset;
        Some(self.view.gap(first, end - first, at - self.scanner.skipped(), at))
    }
}

impl Iterator for GapRecords {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.find() {
                Ok(Found::Record) => {
                    // One that has not the shape of a record is stepped over.
                    if let Some(record) = self.scanner.record() {
                        return Some(Ok(Item::Record(record)));
                    }
                }
                Ok(Found::Gap(gap)) => return Some(Ok(Item::Gap(gap))),
                Ok(Found::End) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
