//! Reading forwards.

use std::fmt;
use std::sync::Arc;

use crate::chain::Chain;
use crate::error::Result;
use crate::format::FrameKind;
use crate::position::Sequence;
use crate::record::{Gap, Record};
use crate::scan::{ChainFrame, Scanner, Step};
use crate::view::{Item, View, strictly};

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
        let item = if self.done { None } else { self.gaps.next() };
        strictly(item, &mut self.done, &self.gaps.view.source.path)
    }
}

impl GapRecords {
    #[inline]
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
            let is_record = frame.header.kind == FrameKind::Record;
            let record = if is_record { self.scanner.record(&frame.header)? } else { None };
            if let Some(gap) = self.gap_before(&frame, before) {
                self.waiting = record;
                return Ok(Some(Item::Gap(gap)));
            }
            if let Some(record) = record {
                return Ok(Some(Item::Record(record)));
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

    #[inline]
    fn gap_before(&self, frame: &ChainFrame, before: u64) -> Option<Gap> {
        let measure = frame.measure;
        if measure.missing == 0 {
            return None;
        }
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
