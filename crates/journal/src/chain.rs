//! The rule of evidence: which frames are in the chain. Pure; every reader, the writer and repair
//! decide by it.
//!
//! A frame that stands at the offset that it names proves that its writer had examined everything
//! before it, and so its own right to be there. A self-placed frame of a whole batch is in the
//! chain exactly when
//!
//! - its generation is not below that of the chain frame before it, and within one generation all
//!   frames are of one incarnation;
//! - its sequence is not behind that of the chain frame before it, for a record above it;
//! - it stands behind no seal (but a reopen does) and behind no release of its own generation.
//!
//! Claims are not in the chain: readers ignore them. Predecessor and `sequence + 1` do not decide
//! membership, they measure: where they do not fit, something between is missing.

use crate::format::{FrameHeader, FrameKind, PAGE_LEN};
use crate::mutation::{self, Mutation};

/// The end of the chain, as far as it was read. Committed only past accepted frames, so reading on
/// as the file grows ends where reading from the start ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The last frame of it.
    pub(crate) last: Option<FrameHeader>,
    /// The last record before the first frame that is looked at.
    start: u64,
    /// Where the last frame ends; the first frame begins behind the header page.
    pub(crate) end: u64,
    /// Stands behind a seal.
    pub(crate) sealed: bool,
}

/// Why a self-placed frame is not in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Void {
    OlderGeneration,
    OtherIncarnation,
    SequenceBehind,
    BehindSeal,
    BehindRelease,
}

/// What an accepted frame says about the place before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Records missing before it.
    pub(crate) missing: u64,
    /// The first of them, or the next record where none is missing.
    pub(crate) first_missing: u64,
    /// Its writer had another frame before it, which is not there.
    pub(crate) frame_lost: bool,
}

impl Chain {
    pub(crate) fn empty() -> Self {
        Self { last: None, start: 0, end: PAGE_LEN, sealed: false }
    }

    /// The chain in front of a frame that is known to be in it: only where it begins, and which
    /// record came last before it.
    pub(crate) fn before(offset: u64, sequence: u64) -> Self {
        Self { last: None, start: sequence, end: offset, sealed: false }
    }

    /// The chain as it is right behind this frame, which is known to be in it.
    #[inline]
    pub(crate) fn behind(header: &FrameHeader) -> Self {
        let sealed = header.kind == FrameKind::Seal;
        Self { last: Some(*header), start: header.sequence, end: header.end(), sealed }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.last.map_or(0, |last| last.generation)
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.last.map_or(self.start, |last| last.sequence)
    }

    /// Offset of the last frame; zero for none.
    pub(crate) fn last_offset(&self) -> u64 {
        self.last.map_or(0, |last| last.offset)
    }

    pub(crate) fn is_released(&self) -> bool {
        self.last.is_some_and(|last| last.kind == FrameKind::Release)
    }

    /// The last frame is a release that says of everything before it that it was synced. Pages
    /// reach the disk in any order: another release proves nothing.
    pub(crate) fn is_soundly_released(&self) -> bool {
        self.last.is_some_and(|last| {
            last.kind == FrameKind::Release && last.durable_through == last.offset
        })
    }

    /// Whether the frame, sound, self-placed and of a whole batch, is in the chain.
    #[inline]
    pub(crate) fn admits(&self, frame: &FrameHeader) -> Result<(), Void> {
        let Some(last) = &self.last else { return Ok(()) };
        if frame.kind == FrameKind::Seal && mutation::broken(Mutation::FloatingSeal) {
            return Ok(());
        }
        // A higher generation proves that a reopen stood before it, which may be damaged: nobody
        // opens one behind a seal.
        let reopens =
            self.sealed && (frame.kind == FrameKind::Reopen || frame.generation > last.generation);
        let behind = if frame.kind == FrameKind::Record {
            frame.sequence <= last.sequence
        } else {
            frame.sequence < last.sequence
        };
        if frame.generation < last.generation && !mutation::broken(Mutation::OlderGenerations) {
            Err(Void::OlderGeneration)
        } else if behind {
            Err(Void::SequenceBehind)
        } else if self.sealed && !reopens {
            Err(Void::BehindSeal)
        } else if frame.generation != last.generation || reopens {
            Ok(())
        } else if last.kind == FrameKind::Release {
            Err(Void::BehindRelease)
        } else if frame.incarnation != last.incarnation {
            Err(Void::OtherIncarnation)
        } else {
            Ok(())
        }
    }

    /// Whether the frame, sound, self-placed and of a whole batch, is one more record of the owner that the
    /// last record is of. Then it is in the chain; others may be as well.
    #[inline]
    pub(crate) fn goes_on_with(&self, frame: &FrameHeader) -> bool {
        self.last.as_ref().is_some_and(|last| {
            (last.kind, frame.kind) == (FrameKind::Record, FrameKind::Record)
                && (last.generation, last.incarnation) == (frame.generation, frame.incarnation)
                && last.sequence < frame.sequence
        })
    }

    /// Takes an admitted frame and says what is missing before it.
    #[inline]
    pub(crate) fn accept(&mut self, frame: &FrameHeader) -> Measure {
        let next = self.sequence() + 1;
        let missing = match frame.kind {
            FrameKind::Record => frame.sequence.saturating_sub(next),
            _ => (frame.sequence + 1).saturating_sub(next),
        };
        let frame_lost = self.last.is_some() && frame.previous != self.last_offset();
        *self = Self::behind(frame);
        Measure { missing, first_missing: next, frame_lost }
    }
}

#[cfg(test)]
mod tests;
