//! What an opening found: the repair report, kept in the journal itself.

use std::fmt;

use crate::position::{Generation, Offset, Sequence};
use crate::record::Verdict;

/// A hole in the file: bytes that are no frame of the chain and no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Where it begins.
    pub offset: Offset,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it means.
    pub verdict: Verdict,
    /// The first record that it took with it; the next one to be written where it took none.
    pub first: Sequence,
    /// How many records it took with it.
    pub records_lost: u64,
}

/// Why the generation before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenReason {
    /// The journal was created.
    Created,
    /// The owner before released it.
    Released,
    /// The owner before is provably gone without a release.
    Crashed,
    /// It was taken from an owner that may be alive.
    TakenOver,
}

impl OpenReason {
    /// The word for it in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Released => "released",
            Self::Crashed => "crashed",
            Self::TakenOver => "taken-over",
        }
    }
}

impl fmt::Display for OpenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an opening found that no opening before had reported. Nothing was changed: dead bytes stay
/// where they are and every reader steps over them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// The holes, in file order, at most [`RepairReport::HOLES_MAX`].
    pub holes: Vec<Hole>,
    /// How many more there were.
    pub more_holes: u64,
    /// The header page did not verify; identity was found in the frames.
    pub header_damaged: bool,
    /// Bytes settled anew because the owner before did not release: written again, identical, and
    /// synced, for a failed sync may have left them in memory only.
    pub settled_bytes: u64,
}

impl RepairReport {
    /// The most holes that one report lists; the rest is counted.
    pub const HOLES_MAX: usize = 256;

    /// Nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.holes.is_empty() && self.more_holes == 0 && !self.header_damaged
    }

    /// Records that are lost, over all holes.
    #[must_use]
    pub fn records_lost(&self) -> u64 {
        self.holes.iter().map(|hole| hole.records_lost).sum()
    }

    /// Whether anything acknowledged as durable is lost.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.holes.iter().any(|hole| hole.verdict == Verdict::Corrupt)
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return write!(f, "nothing to repair");
        }
        let count = |verdict| self.holes.iter().filter(|hole| hole.verdict == verdict).count();
        let (torn, corrupt) = (count(Verdict::Torn), count(Verdict::Corrupt));
        write!(
            f,
            "{torn} torn and {corrupt} corrupt place(s), {} record(s) lost",
            self.records_lost()
        )?;
        if self.more_holes > 0 {
            write!(f, ", and {} more place(s)", self.more_holes)?;
        }
        if self.header_damaged {
            write!(f, ", header page damaged")?;
        }
        Ok(())
    }
}

/// How an opening for writing went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The generation that this opening took.
    pub generation: Generation,
    /// The generation before; zero where it was created.
    pub previous_generation: Generation,
    /// Who held the generation before, where that is known.
    pub previous_owner: Option<crate::identity::Owner>,
    /// Why it could be taken.
    pub reason: OpenReason,
    /// What was found.
    pub report: RepairReport,
}
