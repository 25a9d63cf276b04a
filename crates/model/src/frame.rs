//! What stands in a file: frames, cut into cells. A cell is what becomes visible in one step, and
//! what is on the medium or not: a page, say.

/// What a frame is for. As in the format, but for records that quote a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// What a caller appended.
    Record,
    /// A record whose payload quotes a claim, as one that reads a copy of this journal does (H18).
    Quote,
    /// Takes a generation; the only frame that floats.
    Claim,
    /// The first frame of a generation.
    Opening,
    /// The last one.
    Release,
    /// Names a durable place to begin reading at.
    Checkpoint,
    /// Nothing counts behind it.
    Seal,
    /// Takes a seal back.
    Reopen,
    /// The front of a compacted file.
    Compacted,
}

/// One opening for writing: what the engine calls an incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Author {
    /// Whose.
    pub process: u8,
    /// Its how-manieth, from 1.
    pub attempt: u8,
}

impl Author {
    /// Nobody in this journal: who is quoted.
    pub const STRANGER: Self = Self { process: u8::MAX, attempt: 0 };
}

/// A frame's header, and what of its body the protocol looks at. Offsets count cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Who wrote it.
    pub author: Author,
    /// As who.
    pub generation: u8,
    /// The last record's number; its own, for a record.
    pub sequence: u8,
    /// Where its writer expected it to stand. For a claim: how far its author had read.
    pub offset: u8,
    /// Where the chain frame before it stands; zero for none.
    pub previous: u8,
    /// Cells of its batch before it.
    pub batch_before: u8,
    /// Cells of its batch.
    pub batch_len: u8,
    /// Everything below was synced before this was written.
    pub durable_through: u8,
    /// A claim: the generation that it replaces. A record: its number at its producer. A seal: its
    /// purpose.
    pub body: u8,
}

impl Frame {
    /// How many cells it takes.
    #[must_use]
    pub const fn len_of(kind: Kind) -> u8 {
        if matches!(kind, Kind::Quote) { 4 } else { 2 }
    }

    /// How many cells it takes, as it announces.
    #[must_use]
    pub const fn len(&self) -> u8 {
        Self::len_of(self.kind)
    }

    /// No frame is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Where it ends, if it stands where it says.
    #[must_use]
    pub const fn end(&self) -> u8 {
        self.offset + self.len()
    }

    /// Whether it takes a sequence.
    #[must_use]
    pub const fn is_record(&self) -> bool {
        matches!(self.kind, Kind::Record | Kind::Quote)
    }

    /// Where its batch begins.
    #[must_use]
    pub const fn batch_first(&self) -> u8 {
        self.offset.saturating_sub(self.batch_before)
    }

    /// Where its batch ends.
    #[must_use]
    pub const fn batch_end(&self) -> u8 {
        self.batch_first() + self.batch_len
    }

    /// A release that says of everything before it that it was synced (H13).
    #[must_use]
    pub fn is_sound_release(&self) -> bool {
        self.kind == Kind::Release && self.durable_through == self.offset
    }

    /// The claim that a quoting record holds: of the next generation, from a copy that went on.
    fn quoted(&self) -> Self {
        Self {
            kind: Kind::Claim,
            author: Author::STRANGER,
            generation: self.generation + 1,
            offset: 1,
            body: self.generation,
            ..*self
        }
    }

    /// The cells behind its first, as its checksum knows them.
    #[must_use]
    pub fn rest(&self) -> ([Cell; 3], usize) {
        let len = usize::from(self.len()) - 1;
        match self.kind {
            Kind::Quote => ([Cell::Head(self.quoted()), Cell::Rest, Cell::Rest], len),
            _ => ([Cell::Rest; 3], len),
        }
    }

    /// All its cells.
    pub fn cells(self) -> impl Iterator<Item = Cell> {
        let (rest, len) = self.rest();
        std::iter::once(Cell::Head(self)).chain(rest.into_iter().take(len))
    }
}

/// What can become visible, or be lost, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cell {
    /// The header page.
    Page,
    /// The first part of a frame.
    Head(Frame),
    /// What follows one.
    Rest,
    /// Zeros, where something was lost.
    Hole,
}
