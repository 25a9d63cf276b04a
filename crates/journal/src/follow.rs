//! Following a journal as it grows, from any process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Cause, Error, Result};
use crate::reader::Reader;
use crate::record::{Gap, Mark, Record};
use crate::ticker::ring_every_second;
use crate::view::Item;
use crate::watch::{Bell, FileWatch, LOOK_INTERVAL};

/// So many records are read ahead at once; fewer where they are large.
const AHEAD_RECORDS: usize = 64;
const AHEAD_BYTES: usize = 1 << 20;

/// Gives the records behind a mark as they come, without spinning: it waits for the system to say
/// that the file changed, and looks once a second besides. Goes on in the new file where the
/// journal was compacted, and gives nothing twice.
#[derive(Debug)]
pub struct Follower {
    reader: Reader,
    /// The last record that was given.
    mark: Mark,
    ahead: VecDeque<Item>,
    bell: Arc<Bell>,
    /// Set by the first wait: who only asks what is there needs none. With it, how often the file was
    /// replaced by then.
    watch: Option<(FileWatch, u32)>,
    ticking: bool,
    /// The last missing record that was told of.
    told: u64,
}

impl Follower {
    /// Follows a journal from behind a mark.
    ///
    /// # Errors
    /// `Diverged` where the journal does not hold the record of the mark.
    pub fn new(reader: Reader, after: Mark) -> Result<Self> {
        reader.records_after(&after)?;
        Ok(Self {
            reader,
            mark: after,
            ahead: VecDeque::new(),
            bell: Arc::new(Bell::default()),
            watch: None,
            ticking: false,
            told: 0,
        })
    }

    /// Rung, it looks at the file: for those who know of a change before the system says so.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// The place of the last record that was given: resume here.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// The next record that is there already; `None` where nothing came.
    ///
    /// # Errors
    /// `Corrupt` at a gap, once; the next call goes on behind it. `Detached` where the journal was
    /// deleted or replaced by another one, `Shortened`, `Diverged`, `Io`.
    pub fn try_next(&mut self) -> Result<Option<Record>> {
        if self.ahead.is_empty() {
            self.read_ahead()?;
        }
        match self.ahead.pop_front() {
            None => Ok(None),
            Some(Item::Record(record)) => {
                self.mark = record.mark(self.reader.id());
                Ok(Some(record))
            }
            Some(Item::Gap(gap)) => {
                self.told = last_of(&gap);
                Err(self.corrupt(&gap))
            }
        }
    }

    fn corrupt(&self, gap: &Gap) -> Error {
        let Gap { first: sequence, records, offset, .. } = *gap;
        Error::new(self.reader.path(), Cause::Corrupt { sequence, records, offset })
    }

    fn read_ahead(&mut self) -> Result<()> {
        self.reader.refresh()?;
        if self.reader.last_sequence() <= self.mark.sequence {
            self.reader.check_attached()?;
        }
        if self.watch.as_ref().is_some_and(|(_, of)| *of != self.reader.replacements()) {
            self.watch();
        }
        if self.reader.last_sequence() <= self.mark.sequence {
            return Ok(());
        }
        let mut bytes = 0;
        for item in self.reader.records_after(&self.mark)?.with_gaps() {
            let item = item?;
            // What the end of the file lost is told where the next frame measures it.
            if matches!(&item, Item::Gap(gap) if gap.first > self.reader.last_sequence()) {
                break;
            }
            if matches!(&item, Item::Gap(gap) if last_of(gap) <= self.told) {
                continue;
            }
            let record_bytes = match &item {
                Item::Record(record) => Some(record.payload.len()),
                Item::Gap(_) => None,
            };
            self.ahead.push_back(item);
            // Not to stop at a gap, which would be found again.
            bytes += record_bytes.unwrap_or(0);
            if record_bytes.is_some() && (self.ahead.len() >= AHEAD_RECORDS || bytes >= AHEAD_BYTES)
            {
                break;
            }
        }
        Ok(())
    }

    /// Has the bell rung when the file that is at the path now changes.
    fn watch(&mut self) {
        let watch = FileWatch::new(self.reader.path(), Arc::clone(&self.bell));
        self.watch = Some((watch, self.reader.replacements()));
    }

    /// Before a look behind which it waits, so that no change comes between the two.
    fn watch_from_now_on(&mut self) {
        if self.watch.is_none() {
            self.watch();
        }
    }

    /// The next record; `None` where nothing came in that time.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub fn next_timeout(&mut self, at_most: Duration) -> Result<Option<Record>> {
        let end = Instant::now().checked_add(at_most);
        self.watch_from_now_on();
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(Some(record));
            }
            let left =
                end.map_or(LOOK_INTERVAL, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            self.bell.wait(left.min(LOOK_INTERVAL));
        }
    }

    /// The next record, whenever it comes. Cancel-safe: a dropped future loses none.
    ///
    /// Reading happens on the calling thread, a few records at a time.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub async fn next(&mut self) -> Result<Record> {
        self.watch_from_now_on();
        if !self.ticking {
            ring_every_second(&self.bell);
            self.ticking = true;
        }
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(record);
            }
            self.bell.rings().await;
        }
    }
}

/// The last record that is missing there.
fn last_of(gap: &Gap) -> u64 {
    gap.first.get() + gap.records.saturating_sub(1)
}
