//! Records on their way to a journal: a batch for each MiB, written now and synced at the end.

use session_journal::{AppendOptions, Durability, Journal, NewRecord, Sequence};

const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 512;

/// Collects records and appends them batch by batch; without a journal it only counts.
pub(crate) struct Batch<'a> {
    journal: Option<&'a mut Journal>,
    waiting: Vec<NewRecord>,
    waiting_bytes: usize,
    /// The first record that it appended.
    pub(crate) first: Option<Sequence>,
    /// The last record that it appended.
    pub(crate) last: Option<Sequence>,
    /// How many records it was given.
    pub(crate) records: u64,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(journal: Option<&'a mut Journal>) -> Self {
        Self { journal, waiting: Vec::new(), waiting_bytes: 0, first: None, last: None, records: 0 }
    }

    /// Takes a record; appends what waits when it is enough.
    pub(crate) fn push(&mut self, record: NewRecord) -> session_journal::Result<()> {
        self.records += 1;
        let bytes = record.payload.len();
        if self.waiting_bytes + bytes > BATCH_BYTES || self.waiting.len() == BATCH_RECORDS {
            self.flush()?;
        }
        self.waiting_bytes += bytes;
        self.waiting.push(record);
        Ok(())
    }

    /// Appends what waits.
    pub(crate) fn flush(&mut self) -> session_journal::Result<()> {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let Some(journal) = self.journal.as_mut().filter(|_| !waiting.is_empty()) else {
            return Ok(());
        };
        let appended = journal.append_all(&waiting, &foreign(Durability::Written))?;
        self.first = self.first.or(appended.first().map(|one| one.sequence));
        self.last = appended.last().map(|one| one.sequence).or(self.last);
        Ok(())
    }
}

/// How to append lines that others wrote: their ids are not unique, and damage elsewhere in the
/// journal is no reason to refuse them.
pub(crate) fn foreign(durability: Durability) -> AppendOptions {
    AppendOptions {
        durability: Some(durability),
        allow_duplicate_keys: true,
        ignore_gaps: true,
        ..AppendOptions::default()
    }
}
