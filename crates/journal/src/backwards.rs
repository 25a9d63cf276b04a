//! Reading backwards: from frame to frame as each points at the one before it, and by reading
//! forwards where nothing sound stands there.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::chain::Chain;
use crate::error::{Error, Result};
use crate::format::{FrameHeader, FrameKind, PAGE_LEN};
use crate::locate::frame_in;
use crate::record::{Gap, Record};
use crate::scan::Step;
use crate::view::{Item, View, record_in, strictly};
use crate::window::{CHUNK, Window};

/// Records from the last to the first. Strict: at a gap it gives `Corrupt` once and ends.
#[derive(Debug)]
pub struct Backwards {
    gaps: GapBackwards,
    done: bool,
}

/// Records from the last to the first, and the gaps between them.
pub struct GapBackwards {
    view: Arc<View>,
    window: Window,
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

impl fmt::Debug for GapBackwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backwards").field("behind", &self.behind).finish_non_exhaustive()
    }
}

impl Backwards {
    pub(crate) fn new(view: Arc<View>) -> Self {
        let gaps = GapBackwards {
            window: Window::new(Arc::clone(&view.source.file), view.end, CHUNK),
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
        let item = if self.done { None } else { self.gaps.next() };
        strictly(item, &mut self.done, &self.gaps.view.source.path)
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
    pub(crate) fn take_records(self, n: u64) -> impl Iterator<Item = Result<Record>> {
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
            let Some(header) = self.frame_before()? else {
                return Ok(self.gap_to(0, PAGE_LEN).map(Item::Gap));
            };
            let gap = self.gap_to(header.sequence, header.end());
            self.behind = header.offset;
            self.expected = header.sequence;
            if header.kind == FrameKind::Record {
                let record = record_in(&mut self.window, &header);
                self.waiting = record.map_err(|error| self.io(error))?;
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
    fn frame_before(&mut self) -> Result<Option<FrameHeader>> {
        if let Some(at) = self.found.pop() {
            let frame = self.frame(at)?;
            if let Some(header) = &frame
                && self.found.is_empty()
            {
                self.next = header.previous;
            }
            return Ok(frame);
        }
        if self.behind <= PAGE_LEN {
            return Ok(None);
        }
        if self.next != 0
            && self.next < self.behind
            && let Some(header) = self.frame(self.next)?
            && (header.is_alone() || self.is_known_whole(&header))
            && !self.something_may_be_between(&header)
        {
            self.next = header.previous;
            return Ok(Some(header));
        }
        self.read_forwards()?;
        if self.found.is_empty() { Ok(None) } else { self.frame_before() }
    }

    /// The frame that stands here, before the one that was given last.
    fn frame(&mut self, at: u64) -> Result<Option<FrameHeader>> {
        let codec = self.view.source.codec;
        if !self.window.shows(at) {
            self.window.load_before(at, self.behind).map_err(|error| self.io(error))?;
        }
        frame_in(&mut self.window, &codec, at).map_err(|error| self.io(error))
    }

    fn io(&self, error: io::Error) -> Error {
        Error::io(&self.view.source.path, "read", error)
    }

    /// Records are missing behind this frame, and there are bytes in which they may stand: the writer of
    /// the next frame had not seen them, and an opener that had has written them again since.
    fn something_may_be_between(&self, header: &FrameHeader) -> bool {
        header.sequence < self.expected && header.end() < self.behind
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
                    Step::Frame if scanner.header().offset < self.behind => {
                        self.found.push(scanner.header().offset);
                    }
                    Step::Claim(_) => {}
                    Step::Frame | Step::End(_) => break,
                }
            }
            if !self.found.is_empty() || place.offset <= PAGE_LEN {
                return Ok(());
            }
            limit = place.offset;
        }
    }
}
