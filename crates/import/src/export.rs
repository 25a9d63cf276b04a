//! A session as lines; for an imported session the source, byte for byte.

use std::collections::HashMap;
use std::io::Write;

use session_journal::{Gap, GapRecords, ItemRef, Reader, Records, Sequence};

use crate::error::{Error, Result};
use crate::lines::Place;
use crate::receipt::{Gaps, Receipt, is_line, receipts};

/// An export of one session.
#[derive(Debug)]
pub struct Export<'a> {
    reader: &'a Reader,
    /// Records that are parts of one line: the first part, and the record that goes on with it.
    parts: HashMap<u64, u64>,
    /// The last record of the last import, where its line did not end in a line feed.
    unterminated: Option<u64>,
    /// Where the source is kept whole: its newest version. Older ones are not exported.
    newest: Option<u64>,
    /// Only these records, where only what was imported is wanted.
    ranges: Option<Vec<(u64, u64)>>,
    gaps: Gaps,
}

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Records that were missing, where that was allowed.
    pub gaps: Vec<Gap>,
}

impl<'a> Export<'a> {
    /// Prepares an export: reads the receipts of the session. It will stop at damage.
    ///
    /// # Errors
    /// What reading the journal answers.
    pub fn new(reader: &'a Reader) -> Result<Self> {
        Self::prepare(reader, Gaps::Stop)
    }

    /// Prepares an export that goes on behind damage; what is missing is in its answer.
    ///
    /// # Errors
    /// What reading the journal answers.
    pub fn over_gaps(reader: &'a Reader) -> Result<Self> {
        Self::prepare(reader, Gaps::StepOver)
    }

    /// Prepares an export of what was imported, without what was appended to it since.
    ///
    /// # Errors
    /// What reading the journal answers.
    pub fn imported(reader: &'a Reader) -> Result<Self> {
        let receipts = receipts(reader, Gaps::Stop)?;
        let ranges = receipts.iter().filter_map(|(_, one)| one.first_seq.zip(one.last_seq));
        let ranges = Some(ranges.collect());
        Ok(Self { ranges, ..Self::new(reader)? })
    }

    /// How many bytes it gives, and their SHA-256 in hexadecimal.
    pub(crate) fn digest(&self) -> Result<(u64, String)> {
        let mut place = Place::default();
        let done = self.write(&mut place, &mut |_| true)?;
        Ok((done.bytes, place.sha256()))
    }

    fn prepare(reader: &'a Reader, gaps: Gaps) -> Result<Self> {
        let receipts = receipts(reader, gaps)?;
        let parts = receipts.iter().filter_map(|(_, r)| Some((r.continues?, r.first_seq?)));
        let last = receipts.last().map(|(_, receipt)| receipt);
        let unterminated = last.and_then(|receipt| receipt.unterminated);
        // An empty version has no record; what comes behind its receipt is somebody's own.
        let begin = |(at, receipt): &(_, Receipt)| receipt.first_seq.unwrap_or(Sequence::get(*at));
        let newest = receipts.last().filter(|(_, receipt)| receipt.whole).map(begin);
        Ok(Self { reader, parts: parts.collect(), unterminated, newest, ranges: None, gaps })
    }

    /// Writes the lines. After each record `go_on` is told the bytes so far and may end it.
    ///
    /// # Errors
    /// [`Error::Output`] where the lines cannot be written, else what reading the journal answers.
    pub fn write(
        &self,
        out: &mut dyn Write,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Exported> {
        let mut done = Exported::default();
        let mut open: Option<u64> = None;
        let mut items = self.items();
        while let Some(item) = items.next_ref() {
            let record = match item? {
                ItemRef::Record(record) => record,
                ItemRef::Gap(gap) => {
                    done.gaps.push(gap);
                    continue;
                }
            };
            if !is_line(&record) || !self.is_wanted(record.sequence.get()) {
                continue;
            }
            let is_part = open.and_then(|before| self.parts.get(&before).copied());
            if open.is_some() && is_part != Some(record.sequence.get()) {
                done.put(out, b"\n")?;
            }
            done.put(out, record.payload)?;
            done.records += 1;
            open = Some(record.sequence.get());
            if !go_on(done.bytes) {
                return Ok(done);
            }
        }
        if open.is_some() && open != self.unterminated {
            done.put(out, b"\n")?;
        }
        out.flush().map_err(Error::Output)?;
        Ok(done)
    }

    fn is_wanted(&self, at: u64) -> bool {
        let is_older = self.newest.is_some_and(|newest| at < newest);
        // They are in order, and there may be as many as there were imports.
        let is_in = |ranges: &Vec<(u64, u64)>| {
            let next = ranges.partition_point(|(first, _)| *first <= at);
            next.checked_sub(1).is_some_and(|own| at <= ranges[own].1)
        };
        !is_older && self.ranges.as_ref().is_none_or(is_in)
    }

    fn items(&self) -> Items {
        let records = self.reader.records();
        match self.gaps {
            Gaps::Stop => Items::Strict(records),
            Gaps::StepOver => Items::OverGaps(records.with_gaps()),
        }
    }
}

/// Records, lent one after the other.
enum Items {
    Strict(Records),
    OverGaps(GapRecords),
}

impl Items {
    fn next_ref(&mut self) -> Option<session_journal::Result<ItemRef<'_>>> {
        match self {
            Self::Strict(records) => records.next_ref().map(|record| record.map(ItemRef::Record)),
            Self::OverGaps(items) => items.next_ref(),
        }
    }
}

impl Exported {
    fn put(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
        out.write_all(bytes).map_err(Error::Output)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
