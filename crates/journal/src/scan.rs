//! Facts about a file, in file order: the frames of the chain, claims, and the dead bytes between.
//! Never writes.
//!
//! What does not verify is looked at byte by byte from behind its magic; an announced length is
//! never trusted. An incomplete frame at the end is not there yet: the next pass looks at it again
//! from its start, and only a self-placed frame behind it makes it dead.
//!
//! **Batches.** A frame counts only if its whole batch is there. Where a batch is not whole, the
//! next self-placed frame behind it is the witness: its `previous` (or, where that points at
//! something that is lost as well, its sequence) says whether its writer still had the batch (then
//! it was damaged since, and its sound frames count) or did not (then it was torn, and nothing of
//! it counts). Without a witness it counts only where it ends below what is known to be durable.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::chain::{Chain, Measure};
use crate::error::{Cause, Error, Result};
use crate::format::{ClaimBody, Codec, FrameHeader, FrameKind, HEADER_LEN};
use crate::mutation::{self, Mutation};
use crate::record::{Record, RecordRef};
use crate::storage::Storage;
use crate::view::{described, shown_record};
use crate::window::Window;

/// A stretch of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// A frame of the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainFrame<'a> {
    pub(crate) header: &'a FrameHeader,
    pub(crate) body: &'a [u8],
    pub(crate) measure: &'a Measure,
    /// Dead bytes between the chain frame before and this one, claims left out.
    pub(crate) dead: &'a [Stretch],
    /// All bytes between the chain frame before and this one.
    pub(crate) skipped: u64,
}

/// A sound claim among bytes that are no frame of the chain (yet).
#[derive(Clone, Debug)]
pub(crate) struct ClaimFrame {
    pub(crate) at: u64,
    pub(crate) header: FrameHeader,
    pub(crate) body: ClaimBody,
}

/// What stands where the chain ends.
#[derive(Clone, Debug)]
pub(crate) struct ScanEnd {
    /// How far bytes were read: the only thing that may be called the tail.
    pub(crate) examined: u64,
    /// Dead or unfinished bytes behind the last chain frame, claims left out.
    pub(crate) dead: Vec<Stretch>,
}

pub(crate) enum Step {
    /// A frame of the chain, the last one of the scanner's. Its body is in memory until the next step.
    Frame,
    Claim(Box<ClaimFrame>),
    End(ScanEnd),
}

/// A batch that is not whole, and whether its sound frames count.
#[derive(Clone, Copy)]
struct Judged {
    first: u64,
    end: u64,
    counts: bool,
}

/// What is known to be durable without having been read: all chain frames below an offset, up to a
/// sequence.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KnownDurable {
    pub(crate) offset: u64,
    pub(crate) sequence: u64,
}

impl KnownDurable {
    /// A whole pass has accepted everything here before.
    pub(crate) const EVERYTHING: Self = Self { offset: u64::MAX, sequence: u64::MAX };
}

/// One pass from the end of the last chain frame to the end that the file had when it began.
pub(crate) struct Scanner {
    path: Arc<Path>,
    codec: Codec,
    chain: Chain,
    window: Window,
    durable: KnownDurable,
    /// Where the search goes on.
    probe: u64,
    /// Start of the dead bytes that are being walked over.
    dead_from: u64,
    dead: Vec<Stretch>,
    /// What there was before the last frame: its measure, the dead bytes and all of them.
    measure: Measure,
    dead_before: Vec<Stretch>,
    skipped: u64,
    /// A batch that was found whole: where it begins and ends.
    whole: (u64, u64),
    judged: Option<Judged>,
    /// What dead frames since the last chain frame announce reaches up to here.
    announced: u64,
    /// Of all frames that stand in their places, in the chain or not: whoever wrote one owned the
    /// journal, though damage may keep what it wrote out of our chain.
    highest_generation: u64,
}

impl Scanner {
    pub(crate) fn new(
        file: Arc<dyn Storage>,
        path: Arc<Path>,
        codec: Codec,
        chain: Chain,
        durable: KnownDurable,
    ) -> Result<Self> {
        let limit = file.len().map_err(|e| Error::io(&path, "ask for its length", e))?;
        Ok(Self::up_to(file, path, codec, chain, durable, limit))
    }

    /// A pass that looks at nothing from `limit` on.
    pub(crate) fn up_to(
        file: Arc<dyn Storage>,
        path: Arc<Path>,
        codec: Codec,
        chain: Chain,
        durable: KnownDurable,
        limit: u64,
    ) -> Self {
        let start = chain.end;
        Self {
            path,
            codec,
            chain,
            window: Window::of_frames(file, limit, codec),
            durable,
            probe: start,
            dead_from: start,
            dead: Vec::new(),
            measure: Measure::default(),
            dead_before: Vec::new(),
            skipped: 0,
            whole: (0, 0),
            judged: None,
            announced: 0,
            highest_generation: 0,
        }
    }

    pub(crate) fn highest_generation(&self) -> u64 {
        self.highest_generation
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    pub(crate) fn into_chain(self) -> Chain {
        self.chain
    }

    /// The header of the frame that the last step gave.
    #[inline]
    pub(crate) fn header(&self) -> &FrameHeader {
        self.chain.last.as_ref().unwrap_or(&FrameHeader::BLANK)
    }

    /// What is missing before it.
    #[inline]
    pub(crate) fn measure(&self) -> Measure {
        self.measure
    }

    /// All of it.
    #[inline]
    pub(crate) fn frame(&self) -> ChainFrame<'_> {
        let (header, body) = (self.header(), self.body());
        let (measure, dead, skipped) = (&self.measure, &*self.dead_before, self.skipped);
        ChainFrame { header, body, measure, dead, skipped }
    }

    /// Its body, which the step has left in memory.
    #[inline]
    pub(crate) fn body(&self) -> &[u8] {
        let header = self.header();
        let body = self.window.shown(header.offset + HEADER_LEN as u64, header.body_len());
        body.unwrap_or_default()
    }

    /// All bytes between the chain frame before and this one.
    #[inline]
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Its record, lent; `None` where it is none, or has not its shape.
    #[inline]
    pub(crate) fn record_ref(&self) -> Option<RecordRef<'_>> {
        described(self.header(), self.body())
    }

    /// The same, to keep.
    #[inline]
    pub(crate) fn record(&self) -> Option<Record> {
        shown_record(&self.window, self.header())
    }

    /// The next fact.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<Step> {
        if self.goes_on() {
            return Ok(Step::Frame);
        }
        self.find().map_err(|fault| match fault {
            Fault::Io(error) => Error::io(&self.path, "read", error),
            Fault::NewerKind(kind) => Error::new(&self.path, Cause::UnknownFrame { kind }),
            Fault::Shortened(found) => {
                let expected = self.window.limit();
                Error::new(&self.path, Cause::Shortened { expected, found })
            }
        })
    }

    /// Takes the next frame where nothing has to be judged: it is known to verify, its batch to be
    /// whole, and it goes on right where the chain ends.
    #[inline]
    fn goes_on(&mut self) -> bool {
        if self.probe != self.chain.end {
            return false;
        }
        let Some(next) = self.window.sound(self.probe) else { return false };
        let is_whole = next.is_alone() || (next.batch_first(), next.batch_end()) == self.whole;
        if !is_whole || !self.chain.goes_on_with(next) {
            return false;
        }
        self.highest_generation = self.highest_generation.max(next.generation);
        self.measure = self.chain.accept(next);
        (self.probe, self.dead_from) = (self.chain.end, self.chain.end);
        (self.skipped, self.announced) = (0, 0);
        self.dead_before.clear();
        true
    }

    fn find(&mut self) -> Result<Step, Fault> {
        loop {
            let at = self.probe;
            match self.look(at)? {
                Look::Frame(header) => {
                    self.take(&header);
                    return Ok(Step::Frame);
                }
                Look::Claim(claim) => {
                    self.end_dead(at);
                    self.dead_from = at + claim.header.frame_len();
                    self.probe = self.dead_from;
                    return Ok(Step::Claim(claim));
                }
                Look::Nothing => {
                    self.note_announced(at)?;
                    let mut from = at + 1;
                    if mutation::broken(Mutation::TrustLength) {
                        from = from.max(self.announced);
                    }
                    let Some(next) = self.window.find_magic(from)? else {
                        return Ok(Step::End(self.end()));
                    };
                    self.probe = next;
                }
            }
        }
    }

    fn end(&mut self) -> ScanEnd {
        let examined = self.window.limit().max(self.chain.end);
        self.probe = examined;
        self.end_dead(examined);
        self.dead_from = examined;
        ScanEnd { examined, dead: std::mem::take(&mut self.dead) }
    }

    fn end_dead(&mut self, at: u64) {
        if self.dead_from < at {
            self.dead.push(Stretch { start: self.dead_from, end: at });
        }
    }

    fn take(&mut self, header: &FrameHeader) {
        self.end_dead(header.offset);
        self.skipped = header.offset - self.chain.end;
        self.measure = self.chain.accept(header);
        self.dead_before = std::mem::take(&mut self.dead);
        self.probe = header.end();
        self.dead_from = self.probe;
        self.announced = 0;
    }

    /// What stands at this very offset.
    fn look(&mut self, at: u64) -> Result<Look, Fault> {
        let Some(header) = self.sound_frame(at)? else { return Ok(Look::Nothing) };
        if header.kind == FrameKind::Claim {
            let quoted = at < self.announced && header.offset != at;
            if quoted && !mutation::broken(Mutation::QuotesCount) {
                return Ok(Look::Nothing);
            }
            let body = self.window.get(at + HEADER_LEN as u64, header.body_len())?;
            let claim = body.and_then(|body| ClaimBody::decode(body).ok());
            return Ok(match claim {
                Some(body) => Look::Claim(Box::new(ClaimFrame { at, header, body })),
                None => Look::Nothing,
            });
        }
        if !header.is_self_placed(at) {
            return Ok(Look::Nothing);
        }
        if let FrameKind::Unknown(kind) = header.kind {
            return Err(Fault::NewerKind(kind));
        }
        self.highest_generation = self.highest_generation.max(header.generation);
        if self.batch_counts(&header)? && self.chain.admits(&header).is_ok() {
            // Whoever looked for the rest of its batch may have moved on.
            let body = self.window.get(at + HEADER_LEN as u64, header.body_len())?;
            body.ok_or(Fault::Shortened(at))?;
            return Ok(Look::Frame(header));
        }
        Ok(Look::Nothing)
    }

    /// A torn payload may quote a copy of this journal that went on, claims and all. A claim that
    /// stands within what a dead frame announces counts only in its place: its author had read up
    /// to there. One that raced with the torn write is void for everybody alike, its author sees
    /// that, and claims again.
    fn note_announced(&mut self, at: u64) -> io::Result<()> {
        let Some(bytes) = self.window.get(at, HEADER_LEN as u64)? else { return Ok(()) };
        if let Ok(header) = FrameHeader::decode(bytes, &self.codec)
            && header.kind != FrameKind::Claim
        {
            self.announced = self.announced.max(at + header.frame_len());
        }
        Ok(())
    }

    /// A frame whose header and body verify, wherever it says that it stands.
    fn sound_frame(&mut self, at: u64) -> io::Result<Option<FrameHeader>> {
        if let Some(header) = self.window.sound(at) {
            return Ok(Some(*header));
        }
        if self.window.get(at, HEADER_LEN as u64)?.is_none() {
            return Ok(None);
        }
        // It may have moved on to where more is known.
        if let Some(header) = self.window.sound(at) {
            return Ok(Some(*header));
        }
        let Some(bytes) = self.window.get(at, HEADER_LEN as u64)? else { return Ok(None) };
        let Ok(header) = FrameHeader::decode(bytes, &self.codec) else { return Ok(None) };
        let header = self.placed(header, at);
        // A claim floats, so its body tells; any other frame is worth reading only in its place.
        if header.kind != FrameKind::Claim && !header.is_self_placed(at) {
            return Ok(None);
        }
        let codec = self.codec;
        let body = self.window.get(at + HEADER_LEN as u64, header.body_len())?;
        let sound = body.is_some_and(|body| codec.checksum(&[body]) == header.body_checksum);
        Ok(sound.then_some(header))
    }

    /// The header as it is. Only a broken engine takes a frame for one that was meant to stand
    /// where it was found.
    #[inline]
    fn placed(&self, header: FrameHeader, at: u64) -> FrameHeader {
        let quoted = at < self.announced;
        let older = header.generation < self.chain.generation();
        let taken = (quoted && mutation::broken(Mutation::QuotesCount))
            || (!quoted && mutation::broken(Mutation::MisplacedFrames))
            || (!quoted && older && mutation::broken(Mutation::OlderGenerations))
            || (header.kind == FrameKind::Seal && mutation::broken(Mutation::FloatingSeal));
        let floats = header.kind == FrameKind::Claim;
        if taken && !floats { FrameHeader { offset: at, ..header } } else { header }
    }

    fn batch_counts(&mut self, header: &FrameHeader) -> io::Result<bool> {
        let (first, end) = (header.batch_first(), header.batch_end());
        if header.is_alone()
            || self.whole == (first, end)
            || mutation::broken(Mutation::BatchWithoutWitness)
        {
            return Ok(true);
        }
        if let Some(judged) = self.judged.filter(|j| (j.first, j.end) == (first, end)) {
            return Ok(judged.counts);
        }
        if header.batch_before == 0 && self.is_whole(header)? {
            self.whole = (first, end);
            return Ok(true);
        }
        let evidence = self.evidence(header)?;
        let counts = evidence.counts(end, &self.durable);
        self.judged = Some(Judged { first, end, counts });
        Ok(counts)
    }

    /// Every frame of the batch that begins with this one is there and sound.
    fn is_whole(&mut self, first: &FrameHeader) -> io::Result<bool> {
        let end = first.batch_end();
        if end > self.window.limit() {
            return Ok(false);
        }
        let (at, fits) =
            self.window.follow_ahead(first.end(), end, |next| is_of_batch(next, first));
        if !fits {
            return Ok(false);
        }
        if at >= end || self.window.reaches(end) {
            return self.is_whole_from(at, first);
        }
        // The pass stays where it is.
        let another = self.window.another();
        let own = std::mem::replace(&mut self.window, another);
        let is_whole = self.is_whole_from(at, first);
        self.window = own;
        is_whole
    }

    fn is_whole_from(&mut self, mut at: u64, first: &FrameHeader) -> io::Result<bool> {
        let end = first.batch_end();
        while at < end {
            match self.sound_frame(at)? {
                Some(next) if is_of_batch(&next, first) => {
                    self.window.remember(&next);
                    at = next.end();
                }
                _ => return Ok(false),
            }
        }
        Ok(at == end)
    }

    fn evidence(&mut self, of: &FrameHeader) -> io::Result<Evidence> {
        let mut at = of.end();
        let mut last = of.offset;
        // As far as headers tell of the batch, whatever became of the bodies behind them.
        let mut known = *of;
        let mut witness = None;
        while let Some(next) = self.window.find_magic(at)? {
            at = next + 1;
            if let Some(header) = self.header_of_batch(next, of)? {
                known = header;
            }
            let Some(frame) = self.sound_frame(next)? else { continue };
            if is_of_batch(&frame, of) {
                last = frame.offset;
            } else if frame.kind != FrameKind::Claim && frame.generation >= of.generation {
                witness = Some(frame);
                break;
            }
        }
        // Where the batch went on behind that, it had at least one record more.
        let highest = known.sequence + u64::from(known.end() < of.batch_end());
        Ok(Evidence { witness, highest, last })
    }

    /// The header of a frame of this batch that stands here in its place; its body may be lost.
    fn header_of_batch(&mut self, at: u64, of: &FrameHeader) -> io::Result<Option<FrameHeader>> {
        let Some(bytes) = self.window.get(at, HEADER_LEN as u64)? else { return Ok(None) };
        let header = FrameHeader::decode(bytes, &self.codec).ok();
        Ok(header.filter(|header| header.is_self_placed(at) && is_of_batch(header, of)))
    }
}

/// What tells whether a batch that is not whole was whole once.
struct Evidence {
    /// The next self-placed frame behind it.
    witness: Option<FrameHeader>,
    /// The last record that the batch is known to have had.
    highest: u64,
    /// Where the last of its sound frames stands.
    last: u64,
}

impl Evidence {
    /// Whether the batch, which ends here, was in the chain of whoever wrote behind it.
    fn counts(&self, end: u64, durable: &KnownDurable) -> bool {
        let Some(witness) = &self.witness else {
            return end <= durable.offset && self.highest <= durable.sequence;
        };
        // What the witness had right before it may be lost as well. A sequence that was used twice
        // proves that the batch was torn; otherwise its frames stand in nobody's way.
        let taken = u64::from(witness.kind == FrameKind::Record);
        let unused = witness.sequence.saturating_sub(taken) >= self.highest;
        if witness.batch_first() < end {
            // It stands where the batch announced frames, so the batch was not whole: its writer had
            // what there was of it, durable before the file was cut, and names the last of it; or it
            // was torn.
            unused && witness.previous == self.last
        } else {
            unused && witness.previous >= self.last
        }
    }
}

#[inline]
fn is_of_batch(frame: &FrameHeader, of: &FrameHeader) -> bool {
    frame.batch_first() == of.batch_first()
        && frame.batch_len == of.batch_len
        && frame.generation == of.generation
        && frame.incarnation == of.incarnation
}

enum Look {
    Frame(FrameHeader),
    Claim(Box<ClaimFrame>),
    Nothing,
}

enum Fault {
    Io(io::Error),
    NewerKind(u8),
    /// A frame was there, and is not any more.
    Shortened(u64),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests;
