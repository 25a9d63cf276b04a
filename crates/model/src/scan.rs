//! The rule of evidence, as the engine's `chain`, `scan` and `survey` have it: what of the cells is
//! in the chain, and who may write.

use crate::file::Slot;
use crate::frame::{Author, Cell, Frame, Kind};
use crate::mutation::Mutation;

/// Where the frames begin: behind the header page.
pub const FIRST: u8 = 1;

/// The end of the chain, as far as it was read. Committed only past accepted frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Chain {
    /// The last frame of it.
    pub last: Option<Frame>,
    /// Where that ends, and looking goes on.
    pub end: u8,
}

impl Default for Chain {
    fn default() -> Self {
        Self { last: None, end: FIRST }
    }
}

impl Chain {
    /// The chain right behind a frame that is known to be in it.
    #[must_use]
    pub fn behind(frame: Frame) -> Self {
        Self { last: Some(frame), end: frame.end() }
    }

    /// The last frame's generation.
    #[must_use]
    pub fn generation(&self) -> u8 {
        self.last.map_or(0, |last| last.generation)
    }

    /// The last record's sequence.
    #[must_use]
    pub fn sequence(&self) -> u8 {
        self.last.map_or(0, |last| last.sequence)
    }

    /// Where the last frame stands; zero for none.
    #[must_use]
    pub fn last_offset(&self) -> u8 {
        self.last.map_or(0, |last| last.offset)
    }

    /// Whether it ends with a seal.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.last.is_some_and(|last| last.kind == Kind::Seal)
    }

    /// Whether a frame, sound, self-placed and of a batch that counts, is in the chain.
    #[must_use]
    pub fn admits(&self, frame: &Frame, mutation: Option<Mutation>) -> bool {
        let Some(last) = &self.last else { return true };
        // A higher generation proves that a reopen stood before it, which may be damaged.
        let higher = frame.generation > last.generation;
        let reopens = self.is_sealed() && (frame.kind == Kind::Reopen || higher);
        let behind = frame.sequence < last.sequence + u8::from(frame.is_record());
        if mutation == Some(Mutation::AcceptOlderGeneration) && frame.generation < last.generation {
            return true;
        }
        if frame.generation < last.generation || behind || (self.is_sealed() && !reopens) {
            return false;
        }
        if higher || reopens {
            return true;
        }
        last.kind != Kind::Release && frame.author == last.author
    }
}

/// Who may write, as far as was read: writers ask, readers do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Standing {
    /// The highest generation in any valid claim, chain frame or slot.
    pub generation: u8,
    /// The claim that took it, where no frame of that generation was seen yet.
    pub claim: Option<(u8, Author)>,
}

impl Standing {
    /// Held by a generation of which nothing else is known.
    #[must_use]
    pub const fn of(generation: u8) -> Self {
        Self { generation, claim: None }
    }

    /// A chain frame's writer had examined everything before it: whatever claims stand there, its
    /// generation is the current one.
    fn frame(&mut self, frame: &Frame, mutation: Option<Mutation>) {
        let lower = frame.generation < self.generation;
        let revived = lower && mutation == Some(Mutation::SlotRevivesClaim);
        if frame.generation != self.generation && !revived {
            *self = Self::of(frame.generation);
        }
    }

    /// A claim is a compare-and-swap on the generation: of those that replace one, the first wins.
    fn claim(&mut self, at: u8, claim: &Frame) -> bool {
        let valid = claim.body == self.generation
            && claim.generation > self.generation
            && at >= claim.offset;
        if valid {
            *self = Self { generation: claim.generation, claim: Some((at, claim.author)) };
        }
        valid
    }
}

/// What a scan knows before it begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begin {
    /// Where it begins.
    pub chain: Chain,
    /// Who may write, as of there.
    pub standing: Standing,
    /// The highest generation that a slot knows.
    pub slot_generation: u8,
    /// Known to be durable, from a slot: all chain frames below, and up to this sequence.
    pub durable: (u8, u8),
}

impl Begin {
    /// From here, with what a slot says.
    #[must_use]
    pub fn with(chain: Chain, standing: Standing, slot: Option<Slot>) -> Self {
        Self {
            chain,
            standing,
            slot_generation: slot.map_or(0, |slot| slot.generation),
            durable: slot.map_or((0, 0), |slot| (slot.durable_through, slot.sequence)),
        }
    }
}

/// What a scan found.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The end of the chain.
    pub chain: Chain,
    /// Who may write, as of the last chain frame.
    pub settled: Standing,
    /// Who may write, as of the end.
    pub standing: Standing,
    /// How far was read: the only thing that may be called the tail.
    pub examined: u8,
    /// The chain frames.
    pub frames: Vec<Frame>,
    /// Claims that took a generation.
    pub won: Vec<(u8, Author)>,
    /// Claims behind the last chain frame whose authors may be settling still, and the last record
    /// that each had read.
    pub pending: Vec<(Author, u8)>,
    /// The highest durable-through of any chain frame.
    pub durable_through: u8,
    /// The highest generation of any frame in its place, in the chain or not: whoever wrote it owned
    /// the journal.
    pub highest: u8,
    /// A frame was accepted behind a claim that had taken a higher generation.
    pub overtaken: bool,
}

struct Scanner<'a> {
    cells: &'a [Cell],
    mutation: Option<Mutation>,
    durable: (u8, u8),
    /// Up to here reaches what dead frames since the last chain frame announce.
    announced: u8,
    /// The last batch that was judged: where it begins and ends, and whether it counts.
    judged: Option<(u8, u8, bool)>,
    seen: Seen,
}

/// Scans from where `begin` says to the end of what is visible.
#[must_use]
pub fn scan(cells: &[Cell], begin: Begin, mutation: Option<Mutation>) -> Seen {
    let mut scanner = Scanner {
        cells,
        mutation,
        durable: begin.durable,
        announced: 0,
        judged: None,
        seen: Seen {
            chain: begin.chain,
            settled: begin.standing,
            standing: begin.standing,
            examined: len(cells).max(begin.chain.end),
            frames: Vec::new(),
            won: Vec::new(),
            pending: Vec::new(),
            durable_through: 0,
            highest: 0,
            overtaken: false,
        },
    };
    scanner.run(begin.slot_generation);
    scanner.seen
}

/// The length of what is visible.
///
/// # Panics
/// Where a file has more than 255 cells; the bounds keep them shorter.
#[must_use]
pub fn len(cells: &[Cell]) -> u8 {
    u8::try_from(cells.len()).expect("the bounds keep files short")
}

impl Scanner<'_> {
    fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn run(&mut self, slot_generation: u8) {
        let mut at = self.seen.chain.end;
        while at < len(self.cells) {
            at = self.look(at, slot_generation);
        }
        if self.seen.standing.generation < slot_generation {
            self.seen.standing = Standing::of(slot_generation);
        }
        if self.breaks(Mutation::CommitPastDeadBytes) {
            self.seen.chain.end = self.seen.examined;
        }
    }

    /// Looks at one place; gives the next.
    fn look(&mut self, at: u8, slot_generation: u8) -> u8 {
        let Some(Cell::Head(frame)) = self.cells.get(usize::from(at)).copied() else {
            return at + 1;
        };
        if self.is_sound(at, &frame) {
            if frame.kind == Kind::Claim {
                if self.claim(at, &frame, slot_generation) {
                    return at + frame.len();
                }
            } else if let Some(placed) = self.in_place(at, &frame) {
                self.seen.highest = self.seen.highest.max(placed.generation);
                if self.batch_counts(&placed) && self.seen.chain.admits(&placed, self.mutation) {
                    self.accept(placed);
                    return placed.end();
                }
            }
        }
        if frame.kind != Kind::Claim {
            self.announced = self.announced.max(at + frame.len());
        }
        // What does not verify is looked at from behind its magic; its length is not trusted.
        if self.breaks(Mutation::TrustAnnouncedLength) { at + frame.len() } else { at + 1 }
    }

    /// Whole, wherever it stands.
    fn is_sound(&self, at: u8, frame: &Frame) -> bool {
        let (rest, count) = frame.rest();
        let from = usize::from(at) + 1;
        self.cells.get(from..from + count) == Some(&rest[..count])
    }

    /// The frame as one that stands here, where it may.
    fn in_place(&self, at: u8, frame: &Frame) -> Option<Frame> {
        let seal = self.breaks(Mutation::FloatingSeal)
            && frame.kind == Kind::Seal
            && frame.body == self.seen.standing.generation;
        if seal {
            return Some(Frame { offset: at, sequence: self.seen.chain.sequence(), ..*frame });
        }
        let placed = frame.offset == at || self.breaks(Mutation::AcceptMisplaced);
        placed.then_some(Frame { offset: at, ..*frame })
    }

    /// Takes note of a sound claim; false where it does not count as one.
    fn claim(&mut self, at: u8, claim: &Frame, slot_generation: u8) -> bool {
        let believed = self.breaks(Mutation::BelieveQuotedClaims);
        if at < self.announced && claim.offset != at && !believed {
            return false;
        }
        let standing = &mut self.seen.standing;
        // A slot that is ahead of every frame is evidence like a frame.
        if standing.generation < slot_generation && claim.body == slot_generation {
            *standing = Standing::of(slot_generation);
        }
        // One that another claim was faster than was void for its author as well.
        if claim.body >= standing.generation {
            self.seen.pending.push((claim.author, claim.sequence));
        }
        if standing.claim(at, claim) {
            self.seen.won.push((at, claim.author));
        }
        true
    }

    fn accept(&mut self, frame: Frame) {
        let seen = &mut self.seen;
        // A reopen is of the generation that was sealed, whoever claimed meanwhile.
        seen.overtaken |= frame.kind != Kind::Reopen && frame.generation < seen.standing.generation;
        seen.chain = Chain::behind(frame);
        seen.standing.frame(&frame, self.mutation);
        seen.settled = seen.standing;
        seen.durable_through = seen.durable_through.max(frame.durable_through);
        seen.frames.push(frame);
        seen.pending.clear();
        self.announced = 0;
    }

    fn batch_counts(&mut self, frame: &Frame) -> bool {
        let (first, end) = (frame.batch_first(), frame.batch_end());
        if frame.batch_len == frame.len() || self.breaks(Mutation::CountPartOfBatch) {
            return true;
        }
        if let Some((_, _, counts)) = self.judged.filter(|j| (j.0, j.1) == (first, end)) {
            return counts;
        }
        let whole = frame.batch_before == 0 && self.is_whole(frame);
        let counts = whole || self.was_whole(frame);
        self.judged = Some((first, end, counts));
        counts
    }

    /// The sound, self-placed frame at a place.
    fn frame_at(&self, at: u8) -> Option<Frame> {
        match self.cells.get(usize::from(at)) {
            Some(Cell::Head(frame)) if frame.offset == at && self.is_sound(at, frame) => {
                Some(*frame)
            }
            _ => None,
        }
    }

    fn is_whole(&self, first: &Frame) -> bool {
        let mut at = first.end();
        while at < first.batch_end() {
            match self.frame_at(at) {
                Some(next) if is_of_batch(&next, first) => at = next.end(),
                _ => return false,
            }
        }
        at == first.batch_end()
    }

    /// Whether a batch that is not whole was in the chain of whoever wrote the next sound frame
    /// behind it (decision 1).
    fn was_whole(&self, of: &Frame) -> bool {
        let (mut highest, mut last) = (of.sequence, of.offset);
        for at in of.end()..len(self.cells) {
            let Some(frame) = self.frame_at(at) else { continue };
            if is_of_batch(&frame, of) {
                highest = highest.max(frame.sequence);
                last = at;
            } else if frame.kind != Kind::Claim && frame.generation >= of.generation {
                let unused = frame.sequence - u8::from(frame.is_record()) >= highest;
                let had = if frame.batch_first() < of.batch_end() {
                    frame.previous == last
                } else {
                    frame.previous >= last
                };
                return unused && had;
            }
        }
        of.batch_end() <= self.durable.0 && highest <= self.durable.1
    }
}

fn is_of_batch(frame: &Frame, of: &Frame) -> bool {
    (frame.batch_first(), frame.batch_len, frame.generation, frame.author)
        == (of.batch_first(), of.batch_len, of.generation, of.author)
}
