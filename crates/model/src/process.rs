//! One process: where it is in the protocol, and what it knows. Everything here is its own memory.

use std::ops::Range;

use crate::bounds::Bounds;
use crate::file::{Slot, is_hole};
use crate::frame::{Author, Frame, Kind};
use crate::mutation::Mutation;
use crate::scan::{Chain, FIRST, Standing};

/// What a seal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// A compacted file takes the place of this one. The number tells it from a generation, which
    /// stands in its place where seals float.
    Replace = 100,
    /// The journal goes.
    Delete,
}

/// What a process is about to write, or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Draft {
    /// A claim, wherever it lands.
    Claim,
    /// The opening.
    Opening,
    /// A record, by its number at this process.
    Record(u8),
    /// A record that quotes a claim.
    Quote(u8),
    /// Two records, whole or not at all; the first one's number.
    Batch(u8),
    /// Two records in one write, each a batch.
    Group(u8),
    /// A release that says of everything that it is durable; its writer made it so.
    Release,
    /// A release that does not say so: nothing was synced before it.
    HurriedRelease,
    /// A checkpoint.
    Checkpoint,
    /// A seal.
    Seal(Purpose),
    /// A seal taken back.
    Reopen,
}

impl Draft {
    /// The records in it, as bits by their number.
    #[must_use]
    pub const fn records(self) -> u8 {
        match self {
            Self::Record(n) | Self::Quote(n) => 1 << n,
            Self::Batch(n) | Self::Group(n) => 3 << n,
            _ => 0,
        }
    }
}

/// What a process does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Has nothing open.
    #[default]
    Idle,
    /// Read to the end and decided to take it: the claim is next.
    Looked,
    /// Its claim stands there: looks again.
    Claimed(u8),
    /// Its claim, which stands there, won, and names the chain that was found: syncs it.
    Won(u8),
    /// Whoever comes later knows of the claim: reads what it inherited.
    Claimant(u8),
    /// Has read that, but for these cells, which were holes: writes it again, syncs, looks once more.
    Settling(u8, u64),
    /// Writes this at its tail.
    Ready(Draft),
    /// Is within the write: where that began, and how many cells of it are visible.
    Writing(Draft, u8, u8),
    /// What it wrote stands elsewhere: looks again. How many cells got into the file: all of them,
    /// or the disk was full.
    Displaced(Draft, bool),
    /// Asks for the file's length, to take that for its tail: no such thing in the protocol.
    Measuring(Draft),
    /// Cuts the file off behind the chain: no such thing in the protocol.
    Truncating,
    /// Owns the journal.
    Owner,
    /// Wrote its release, and syncs it.
    Releasing,
    /// Has a sealed file before it, its own seal or another's.
    Sealed(Purpose, bool),
    /// Saw that the path still leads to the sealed file: renames the successor over it.
    Placing(bool),
    /// Saw the same under the lock: removes the path.
    Removing,
}

/// A process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// What it does next.
    pub phase: Phase,
    /// The file that it has open.
    pub inode: u8,
    /// How often it has opened for writing.
    pub attempt: u8,
    /// How many records it has begun to append.
    pub begun: u8,
    /// The generation that it claims or owns.
    pub generation: u8,
    /// The generation that its claim replaces.
    pub replaces: u8,
    /// The end of the chain, as it knows it.
    pub chain: Chain,
    /// Who may write, as of there.
    pub settled: Standing,
    /// Where its survey began.
    pub start: Chain,
    /// How many frames of the chain it found behind that.
    pub frames: u8,
    /// The slot, as it was when it looked.
    pub slot: Option<Slot>,
    /// The last sequence in use; ahead of the chain where records at its end were lost.
    pub sequence: u8,
    /// The end of the bytes that it has read.
    pub tail: u8,
    /// Everything below is durable; while it opens, as others say.
    pub durable: u8,
    /// A checkpoint of its own; zero for none.
    pub checkpoint: u8,
    /// Its descriptor will be told of a sync that failed elsewhere.
    pub owes_error: bool,
    /// Records that were acknowledged, as bits by number, in each of two files. Where power may be
    /// lost: acknowledged as durable.
    pub acknowledged: [u8; 2],
    /// Records of which it was said that they are not stored.
    pub refused: u8,
}

impl Process {
    /// Forgets everything but what was told to callers.
    pub fn rest(&mut self) {
        *self = Self {
            attempt: self.attempt,
            begun: self.begun,
            acknowledged: self.acknowledged,
            refused: self.refused,
            ..Self::default()
        };
    }

    /// The last record that is known to be durable, in a chain that ends with this one.
    #[must_use]
    pub fn durable_sequence(&self, chain: u8) -> u8 {
        self.slot.map_or(chain, |slot| slot.sequence.max(chain))
    }

    /// Whether it is still in this attempt: if not, it writes nothing more in its name.
    #[must_use]
    pub fn is_still(&self, attempt: u8) -> bool {
        self.phase != Phase::Idle && self.attempt == attempt
    }

    /// Whether the chain that it found ends with a release that says that everything is durable.
    #[must_use]
    pub fn found_release(&self, mutation: Option<Mutation>) -> bool {
        let believed = mutation == Some(Mutation::BelieveUnsoundRelease);
        let released = self.chain.last.filter(|last| last.kind == Kind::Release);
        released.is_some_and(|last| last.is_sound_release() || believed)
    }

    /// What it has to settle behind a claim that stands there.
    #[must_use]
    pub fn inherited(&self, claim: u8, mutation: Option<Mutation>) -> Range<u8> {
        let release = self.chain.last.filter(|_| self.found_release(mutation));
        let from = match release {
            Some(release) if mutation == Some(Mutation::BelieveUnsoundRelease) => release.end(),
            _ => self.durable.max(FIRST),
        };
        from..claim + Frame::len_of(Kind::Claim)
    }

    /// Whether it is about to write the cell there again, which it has read.
    #[must_use]
    pub fn has_read(&self, at: u8, mutation: Option<Mutation>) -> bool {
        let Phase::Settling(claim, holes) = self.phase else { return false };
        self.inherited(claim, mutation).contains(&at) && !is_hole(holes, at)
    }

    /// Whether it may append frames of its generation.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        matches!(
            self.phase,
            Phase::Owner
                | Phase::Ready(_)
                | Phase::Displaced(..)
                | Phase::Measuring(_)
                | Phase::Writing(..)
        ) && !matches!(self.phase, Phase::Ready(Draft::Reopen) | Phase::Writing(Draft::Claim, ..))
    }

    /// Whether its opening stands in the chain.
    #[must_use]
    pub fn has_opened(&self) -> bool {
        let opening = matches!(
            self.phase,
            Phase::Ready(Draft::Opening)
                | Phase::Displaced(Draft::Opening, _)
                | Phase::Measuring(Draft::Opening)
                | Phase::Writing(Draft::Opening, ..)
        );
        self.is_owner() && !opening
    }

    /// The frames of a draft, as they are encoded for the tail.
    #[must_use]
    pub fn encode(
        &self,
        process: u8,
        draft: Draft,
        bounds: &Bounds,
        mutation: Option<Mutation>,
    ) -> Vec<Frame> {
        let frame = Frame {
            kind: kind_of(draft),
            author: Author { process, attempt: self.attempt },
            generation: self.generation,
            sequence: self.chain.sequence().max(self.sequence),
            offset: self.tail,
            previous: self.chain.last_offset(),
            batch_before: 0,
            batch_len: Frame::len_of(kind_of(draft)),
            durable_through: if bounds.has_power() { self.durable } else { 0 },
            body: 0,
        };
        match draft {
            Draft::Claim => vec![Frame { body: self.replaces, ..frame }],
            Draft::Release => vec![Frame { durable_through: frame.offset, ..frame }],
            Draft::Seal(Purpose::Replace) if mutation == Some(Mutation::FloatingSeal) => {
                vec![Frame { body: self.replaces, ..frame }]
            }
            Draft::Seal(purpose) => vec![Frame { body: purpose as u8, ..frame }],
            Draft::Record(n) | Draft::Quote(n) => vec![numbered(frame, n)],
            Draft::Group(n) => {
                let first = numbered(frame, n);
                vec![first, next(&first)]
            }
            Draft::Batch(n) => {
                let first = Frame { batch_len: 2 * frame.len(), ..numbered(frame, n) };
                vec![first, Frame { batch_before: first.len(), ..next(&first) }]
            }
            _ => vec![frame],
        }
    }
}

const fn kind_of(draft: Draft) -> Kind {
    match draft {
        Draft::Claim => Kind::Claim,
        Draft::Opening => Kind::Opening,
        Draft::Record(_) | Draft::Batch(_) | Draft::Group(_) => Kind::Record,
        Draft::Quote(_) => Kind::Quote,
        Draft::Release | Draft::HurriedRelease => Kind::Release,
        Draft::Checkpoint => Kind::Checkpoint,
        Draft::Seal(_) => Kind::Seal,
        Draft::Reopen => Kind::Reopen,
    }
}

const fn numbered(frame: Frame, number: u8) -> Frame {
    Frame { body: number, sequence: frame.sequence + 1, ..frame }
}

const fn next(frame: &Frame) -> Frame {
    let following = Frame { offset: frame.end(), previous: frame.offset, ..*frame };
    numbered(following, frame.body + 1)
}
