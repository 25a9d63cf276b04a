//! The only code that appends: compare-and-swap on the tail, batches, poison. What makes them
//! durable, and what is due besides, stands in `durability`.
//!
//! The tail is the end of the bytes that this owner has **read**, in a scan that began at the end
//! of the last chain frame. A batch names its own offset, counted from the tail, and goes into the
//! file with one `write`. Where it landed tells everything: at the tail, it is in the chain; behind
//! it, it is dead and somebody else was there; before it, the file was shortened.

mod durability;
mod parking;

use std::io;
use std::path::{Path, PathBuf};

use tracing::{error, warn};

use crate::background::BackgroundSync;
use crate::chain::Chain;
use crate::error::{Cause, Error, Result, is_no_space};
use crate::format::{FrameHeader, FrameKind, HEADER_LEN, Identity, Meta, OpeningBody, Summary};
use crate::handles::Lease;
use crate::identity::Owner;
use crate::index::{Index, Source};
use crate::locate::locate;
use crate::mutation::{self, Mutation};
use crate::options::Options;
use crate::position::Generation;
use crate::scan::{KnownDurable, Scanner, Step};
use crate::storage::Landing;
use crate::survey::Standing;

/// Others may come in between so often before an append gives up.
const ATTEMPTS_MAX: u32 = 1000;
/// What the buffer keeps for the next append.
const BUFFER_KEPT: usize = 4 << 20;
/// A payload of this size at the end of a write is not copied into the buffer first.
const LONG_PAYLOAD: usize = 16 << 10;

/// A frame to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) meta: Meta<'a>,
    pub(crate) payload: &'a [u8],
    pub(crate) time_ms: i64,
}

impl Draft<'_> {
    pub(crate) fn frame_len(&self) -> u64 {
        (HEADER_LEN + self.meta.len() + self.payload.len()) as u64
    }
}

/// What is written of frames beside the buffer: the payload of the last one, where it is long.
fn beside<'a>(last: &Draft<'a>) -> &'a [u8] {
    if last.payload.len() < LONG_PAYLOAD { &[] } else { last.payload }
}

fn len_of(batches: &[&[Draft<'_>]]) -> usize {
    fits(batches.iter().copied().flatten().map(Draft::frame_len).sum::<u64>())
}

/// Where a frame goes.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    /// Where its batch begins.
    first: u64,
    batch_len: u64,
    previous: u64,
    sequence: u64,
}

/// How a write of several batches went.
#[derive(Debug)]
pub(crate) struct Landed {
    /// Where the first batch begins.
    pub(crate) start: u64,
    /// How many batches are in the chain now.
    pub(crate) stored: usize,
    /// Why not all of them.
    pub(crate) refused: Option<Error>,
}

/// What is durable: everything below an offset, and the last record there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DurableThrough {
    pub(crate) offset: u64,
    pub(crate) sequence: u64,
}

/// What an opening hands to its writer.
pub(crate) struct Opened {
    pub(crate) source: Source,
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) owner: Owner,
    pub(crate) generation: u64,
    pub(crate) chain: Chain,
    /// The last sequence in use; ahead of the chain where records at its end were lost.
    pub(crate) sequence: u64,
    pub(crate) tail: u64,
    pub(crate) unsettled: bool,
    pub(crate) durable: DurableThrough,
    pub(crate) index: Index,
    pub(crate) summary: Summary,
    pub(crate) last_checksum: u32,
    pub(crate) slot_counter: u64,
    pub(crate) checkpoint: u64,
}

/// See the module.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Writer {
    pub(crate) source: Source,
    folder: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) owner: Owner,
    pub(crate) generation: u64,
    pid: u32,
    pub(crate) chain: Chain,
    pub(crate) sequence: u64,
    pub(crate) tail: u64,
    /// Dead bytes before the tail were read, and nothing of ours has landed behind them since: a
    /// reader without a lock may have seen old zeros there (H20).
    unsettled: bool,
    pub(crate) durable: DurableThrough,
    folder_synced: bool,
    /// Since when there is something to sync.
    unsynced_since_ms: i64,
    last_check_ms: i64,
    pub(crate) index: Index,
    pub(crate) summary: Summary,
    pub(crate) last_checksum: u32,
    slot_counter: u64,
    checkpoint: u64,
    /// A sync that is under way, and what will be durable then.
    under_way: Option<(BackgroundSync, DurableThrough)>,
    /// A checkpoint that waits for a sync: where it begins and ends.
    fresh_checkpoint: Option<(u64, u64)>,
    /// The last frame as of the last look at the file: older than what is acknowledged next, so a
    /// rewrite in between shows.
    witness: Option<FrameHeader>,
    buffer: Vec<u8>,
    finished: Option<Error>,
    /// It was finished while neither its file nor a compacted one was at its path.
    nameless: bool,
    /// The right to hold descriptors, where they are bounded.
    lease: Option<Lease>,
    parked: bool,
}

impl Writer {
    pub(crate) fn new(opened: Opened) -> Self {
        let now = opened.options.host.now_ms();
        let folder = opened.source.path.parent().unwrap_or(Path::new(".")).to_owned();
        let tail = tail_behind(opened.tail, &opened.source);
        Self {
            witness: opened.chain.last,
            folder,
            pid: opened.options.host.pid(),
            source: opened.source,
            identity: opened.identity,
            options: opened.options,
            owner: opened.owner,
            generation: opened.generation,
            chain: opened.chain,
            sequence: opened.sequence,
            tail,
            unsettled: opened.unsettled,
            durable: opened.durable,
            folder_synced: false,
            unsynced_since_ms: now,
            // An opener looked before its claim: who knows how long ago.
            last_check_ms: i64::MIN,
            index: opened.index,
            summary: opened.summary,
            last_checksum: opened.last_checksum,
            slot_counter: opened.slot_counter,
            checkpoint: opened.checkpoint,
            under_way: None,
            fresh_checkpoint: None,
            buffer: Vec::new(),
            finished: None,
            nameless: false,
            lease: None,
            parked: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.source.path
    }

    /// Whether this handle may still be used.
    pub(crate) fn guard(&self) -> Result<()> {
        if let Some(finished) = &self.finished {
            return Err(finished.clone());
        }
        if self.options.host.pid() != self.pid {
            let why = "it belongs to the process that this one was forked from".to_owned();
            return Err(Error::new(self.path(), Cause::Poisoned { why }));
        }
        Ok(())
    }

    /// Ends this handle: every later call answers with this error.
    pub(crate) fn finish(&mut self, error: Error) -> Error {
        if self.finished.is_none() {
            self.finished = Some(error.clone());
            self.give_descriptors_back();
        }
        error
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Why it has ended, in words.
    pub(crate) fn ended_why(&self) -> Option<String> {
        self.finished.as_ref().map(|error| error.cause().to_string())
    }

    fn poison(&mut self, why: String) -> Error {
        error!(path = %self.path().display(), generation = self.generation, why, "poisoned");
        let poisoned = Error::new(self.path(), Cause::Poisoned { why: why.clone() });
        self.finish(poisoned.clone());
        if mutation::broken(Mutation::RefusedNotUnknown) {
            return poisoned;
        }
        // Of what is under way nobody can say whether it is stored.
        Error::new(self.path(), Cause::Unknown { why })
    }

    fn shortened(&mut self, expected: u64, found: u64) -> Error {
        error!(path = %self.path().display(), expected, found, "shortened by somebody else");
        let error = Error::new(self.path(), Cause::Shortened { expected, found });
        self.finish(error)
    }

    fn fenced(&mut self, standing: &Standing) -> Error {
        let current = Generation::new(standing.generation);
        let held = Generation::new(self.generation);
        let owner = standing.owner.clone();
        warn!(
            path = %self.path().display(),
            held = held.get(),
            current = current.get(),
            owner = owner.as_ref().map(ToString::to_string),
            "fenced"
        );
        let error = Error::new(self.path(), Cause::Fenced { held, current, owner });
        self.finish(error)
    }

    // ---- appending -------------------------------------------------------------------------

    /// Writes batches, each whole or not at all, with one system call (again, where others came in
    /// between). Says how many are in the chain.
    pub(crate) fn land(&mut self, batches: &[&[Draft<'_>]]) -> Result<Landed> {
        self.guard()?;
        self.must_not_have_ended(batches)?;
        for _ in 0..ATTEMPTS_MAX {
            let (last, beside) = self.encode(batches);
            let landing = self.append_buffer(beside);
            if let Some(landed) = self.landed(batches, last, landing)? {
                return Ok(landed);
            }
        }
        Err(self.poison("others never stopped coming in between".to_owned()))
    }

    /// Writes one frame as a batch of its own: the short way of [`land`](Self::land), which it
    /// leaves where anything is not as usual. Its caller has asked [`guard`](Self::guard).
    pub(crate) fn land_one(&mut self, draft: Draft<'_>) -> Result<Landed> {
        if self.unsettled || self.has_ended() {
            return self.land(&[&[draft]]);
        }
        self.clear_buffer();
        let sequence = self.sequence + u64::from(draft.kind == FrameKind::Record);
        let (offset, previous) = (self.tail, self.chain.last_offset());
        let place =
            Place { offset, first: offset, batch_len: draft.frame_len(), previous, sequence };
        let beside = beside(&draft);
        let header = self.put(&draft, place, beside.is_empty());
        let landing = self.append_buffer(beside);
        let batches: &[&[Draft<'_>]] = &[&[draft]];
        match landing {
            Ok(Landing { offset, written })
                if offset == self.tail && written == self.buffer.len() + beside.len() =>
            {
                self.advance(batches, 1, Some(&header), written as u64);
                Ok(Landed { start: offset, stored: 1, refused: None })
            }
            landing => match self.landed(batches, Some(header), landing)? {
                Some(landed) => Ok(landed),
                None => self.land(batches),
            },
        }
    }

    /// Writes the buffer, and the payload that is beside it, with one system call.
    fn append_buffer(&self, beside: &[u8]) -> io::Result<Landing> {
        let landing = match beside {
            [] => self.source.file.append(&self.buffer)?,
            _ => self.source.file.append_parts(&self.buffer, beside)?,
        };
        if mutation::broken(Mutation::SkipLandingCheck)
            || (mutation::broken(Mutation::FloatingSeal) && self.is_sealing())
        {
            return Ok(Landing { offset: self.tail, ..landing });
        }
        Ok(landing)
    }

    /// What is to be written is a seal.
    fn is_sealing(&self) -> bool {
        FrameHeader::decode(&self.buffer, &self.source.codec)
            .is_ok_and(|header| header.kind == FrameKind::Seal)
    }

    /// What a landing means; `None` where everything is to be written again at the new tail.
    fn landed(
        &mut self,
        batches: &[&[Draft<'_>]],
        last: Option<FrameHeader>,
        landing: io::Result<Landing>,
    ) -> Result<Option<Landed>> {
        let meant = len_of(batches);
        let landing = match landing {
            Ok(landing) => landing,
            Err(error) if is_no_space(&error) => {
                let refused = Some(self.no_space(meant, 0, Some(error))?);
                return Ok(Some(Landed { start: self.tail, stored: 0, refused }));
            }
            Err(error) => return Err(self.poison(format!("an append failed: {error}"))),
        };
        if landing.offset < self.tail {
            return Err(self.shortened(self.tail, landing.offset));
        }
        let in_place = if landing.offset == self.tail {
            self.settle_dead_bytes().map_err(|error| self.unsettled_by(&error))?;
            true
        } else {
            let our_end = landing.offset + landing.written as u64;
            self.was_displaced(our_end).map_err(|error| self.displaced_by(error))?
        };
        let start = self.tail;
        if in_place && landing.written == meant {
            self.advance(batches, batches.len(), last.as_ref(), meant as u64);
            return Ok(Some(Landed { start, stored: batches.len(), refused: None }));
        }
        if landing.written == meant {
            return Ok(None);
        }
        let stored = if in_place { self.keep_whole(batches, landing.written) } else { 0 };
        let refused = Some(self.no_space(meant, landing.written, None)?);
        Ok(Some(Landed { start, stored, refused }))
    }

    /// Nothing of this generation is valid any more behind what the chain ends with.
    fn has_ended(&self) -> bool {
        self.chain.sealed
            || (self.chain.is_released() && self.chain.generation() == self.generation)
    }

    fn must_not_have_ended(&self, batches: &[&[Draft<'_>]]) -> Result<()> {
        let reopens = batches.iter().copied().flatten().all(|d| d.kind == FrameKind::Reopen);
        if !self.has_ended() || reopens {
            return Ok(());
        }
        let why = "its generation was released, or its file sealed".to_owned();
        Err(Error::new(self.path(), Cause::Poisoned { why }))
    }

    /// Encodes the batches at the tail into the buffer; gives the last frame's header, and the payload
    /// that goes behind the buffer.
    fn encode<'a>(&mut self, batches: &[&[Draft<'a>]]) -> (Option<FrameHeader>, &'a [u8]) {
        self.clear_buffer();
        let mut drafts = batches.iter().copied().flatten();
        let beside = drafts.next_back().map_or(&[][..], beside);
        let mut in_buffer = drafts.count() + 1 - usize::from(!beside.is_empty());
        let mut last = None;
        let mut offset = self.tail;
        let mut previous = self.chain.last_offset();
        let mut sequence = self.sequence;
        for batch in batches {
            let first = offset;
            let batch_len = batch.iter().map(Draft::frame_len).sum::<u64>();
            for draft in *batch {
                sequence += u64::from(draft.kind == FrameKind::Record);
                let place = Place { offset, first, batch_len, previous, sequence };
                let header = self.put(draft, place, in_buffer > 0);
                in_buffer = in_buffer.saturating_sub(1);
                previous = offset;
                offset = header.end();
                last = Some(header);
            }
        }
        (last, beside)
    }

    fn clear_buffer(&mut self) {
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer.shrink_to(BUFFER_KEPT);
        }
    }

    /// Encodes one frame behind what is in the buffer, with its payload or without.
    #[inline]
    fn put(&mut self, draft: &Draft<'_>, place: Place, with_payload: bool) -> FrameHeader {
        let begin = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEADER_LEN]);
        draft.meta.encode(&mut self.buffer);
        let meta_len = self.buffer.len() - begin - HEADER_LEN;
        let beside = if with_payload {
            self.buffer.extend_from_slice(draft.payload);
            &[]
        } else {
            draft.payload
        };
        let body = &self.buffer[begin + HEADER_LEN..];
        let header = FrameHeader {
            kind: draft.kind,
            flags: draft.meta.flags(),
            meta_len: fits(meta_len),
            payload_len: fits(draft.payload.len()),
            body_checksum: self.source.codec.checksum(&[body, beside]),
            incarnation: self.owner.incarnation.short(),
            generation: self.generation,
            sequence: place.sequence,
            offset: place.offset,
            batch_before: fits(place.offset - place.first),
            batch_len: fits(place.batch_len),
            previous: place.previous,
            time_ms: draft.time_ms,
            // A release says of everything before it that it is synced; `release` made it so.
            durable_through: match draft.kind {
                FrameKind::Release => place.offset,
                _ => self.durable.offset,
            },
        };
        if let Some(place) = self.buffer[begin..].first_chunk_mut() {
            header.encode_into(&self.source.codec, place);
        }
        header
    }

    /// Takes `stored` batches, which stand at the tail now, into the chain.
    fn advance(
        &mut self,
        batches: &[&[Draft<'_>]],
        stored: usize,
        last: Option<&FrameHeader>,
        bytes: u64,
    ) {
        let Some(last) = last else { return };
        if self.unsynced_bytes() == 0 {
            self.unsynced_since_ms = self.options.host.now_ms();
        }
        self.summary.void_bytes += self.tail - self.chain.end;
        let mut at = self.tail;
        for draft in batches[..stored].iter().copied().flatten() {
            if draft.kind == FrameKind::Record {
                self.sequence += 1;
                self.summary.records += 1;
                self.index.note(self.sequence, at, draft.meta.key);
            }
            at += draft.frame_len();
        }
        if last.kind == FrameKind::Record {
            self.last_checksum = last.body_checksum;
        }
        self.chain = Chain::behind(last);
        self.tail += bytes;
    }

    /// After a short write: the batches that are whole are in the chain, the rest is dead.
    fn keep_whole(&mut self, batches: &[&[Draft<'_>]], written: usize) -> usize {
        let mut whole = 0;
        let mut stored = 0;
        let mut last = None;
        for batch in batches {
            let len = batch.iter().map(Draft::frame_len).sum::<u64>();
            if whole + len > written as u64 {
                break;
            }
            let frame = batch.last().map_or(0, Draft::frame_len);
            let begin = usize::try_from(whole + len - frame).unwrap_or(usize::MAX);
            last = self
                .buffer
                .get(begin..)
                .and_then(|bytes| FrameHeader::decode(bytes, &self.source.codec).ok());
            whole += len;
            stored += 1;
        }
        self.advance(batches, stored, last.as_ref(), whole);
        self.tail += written as u64 - whole;
        stored
    }

    fn no_space(
        &mut self,
        needed: usize,
        written: usize,
        source: Option<io::Error>,
    ) -> Result<Error> {
        // Whatever got into the file without our knowing is behind the tail: read it first.
        if source.is_some() {
            let seen = self.look_again()?;
            self.judge(&seen, None)?;
        }
        let cause = Cause::NoSpace { needed: needed as u64, written: written as u64, source };
        Ok(Error::new(self.path(), cause))
    }

    /// Dead bytes that were read before anything of ours stood behind them are read once more
    /// before what followed them is acknowledged (H20).
    fn settle_dead_bytes(&mut self) -> Result<()> {
        if !self.unsettled
            || mutation::broken(Mutation::NoReread)
            || mutation::broken(Mutation::TailIsFileLength)
        {
            return Ok(());
        }
        let seen = self.scan_up_to(Some(self.tail))?;
        self.judge(&seen, None)?;
        self.unsettled = false;
        Ok(())
    }

    /// What we wrote stands in its place, so a reader may take it for good: whatever fails now ends
    /// the handle, and nobody can say whether it is stored.
    fn unsettled_by(&mut self, error: &Error) -> Error {
        let why = error.cause().to_string();
        if self.is_finished() {
            return Error::new(self.path(), Cause::Unknown { why });
        }
        self.poison(why)
    }

    /// Whether a shared descriptor lied about the position cannot be told where the look at the file
    /// fails: what we wrote may stand in its place.
    fn displaced_by(&mut self, error: Error) -> Error {
        if self.is_finished() { error } else { self.unsettled_by(&error) }
    }

    /// Something landed between the tail and our bytes. True where the chain holds our batch after
    /// all (a shared descriptor lied about the position); false where it is dead and the new tail
    /// is known.
    fn was_displaced(&mut self, our_end: u64) -> Result<bool> {
        self.verify_last_frame()?;
        let mut seen = self.look_again()?;
        // Damage may have taken the frames of whoever displaced us; its slot is somewhere else.
        let slot_generation = match locate(&self.source.file, self.path()) {
            Ok(located) => located.slot_generation,
            Err(error) if matches!(error.cause(), Cause::Io { .. }) => return Err(error),
            Err(_) => 0,
        };
        let unread = [Mutation::ScanFromTail, Mutation::NoReread].into_iter().any(mutation::broken);
        if seen.standing.generation < slot_generation && !unread {
            seen.standing = Standing { generation: slot_generation, ..Standing::default() };
        }
        let tail = self.tail;
        let ours = FrameHeader::decode(&self.buffer, &self.source.codec).ok();
        if ours.is_some()
            && seen.frames.first() == ours.as_ref()
            && ours.map(|f| f.offset) == Some(tail)
        {
            if !mutation::broken(Mutation::DisplacedRetried) {
                self.tail = tail;
                return Ok(true);
            }
            seen.frames.clear();
        }
        self.judge(&seen, Some(our_end))?;
        Ok(false)
    }

    /// What stands behind the last chain frame now.
    fn look_again(&self) -> Result<Seen> {
        self.scan_up_to(None)
    }

    fn scan_up_to(&self, limit: Option<u64>) -> Result<Seen> {
        let Source { file, path, codec } = self.source.clone();
        let mut chain = self.chain.clone();
        if mutation::broken(Mutation::ScanFromTail) {
            chain.end = self.tail;
        }
        let nothing = KnownDurable::default();
        let mut scanner = match limit {
            Some(limit) => Scanner::up_to(file, path, codec, chain, nothing, limit),
            None => Scanner::new(file, path, codec, chain, nothing)?,
        };
        let mut standing = Standing {
            generation: self.generation,
            owner: Some(self.owner.clone()),
            ..Standing::default()
        };
        let mut frames = Vec::new();
        loop {
            match scanner.step()? {
                Step::Frame => {
                    let header = *scanner.header();
                    standing.frame(&header);
                    if header.kind == FrameKind::Opening
                        && let Ok(opening) = OpeningBody::decode(scanner.body())
                    {
                        standing.owner = Some(opening.owner);
                    }
                    if frames.len() < 2 {
                        frames.push(header);
                    }
                }
                Step::Claim(claim) => {
                    standing.claim(&claim);
                }
                Step::End(end) => {
                    if standing.generation < scanner.highest_generation() {
                        let generation = scanner.highest_generation();
                        standing = Standing { generation, ..Standing::default() };
                    }
                    return Ok(Seen { standing, frames, examined: end.examined });
                }
            }
        }
    }

    /// What another look means for this owner. Where it may go on, the tail is what was examined.
    fn judge(&mut self, seen: &Seen, our_end: Option<u64>) -> Result<()> {
        if seen.standing.generation > self.generation {
            return Err(self.fenced(&seen.standing));
        }
        if let Some(frame) = seen.frames.first() {
            let why = format!(
                "a frame of generation {} that this owner did not write stands at offset {}",
                frame.generation, frame.offset
            );
            self.poison(why);
            return self.guard();
        }
        if seen.examined < self.tail {
            return Err(self.shortened(self.tail, seen.examined));
        }
        self.unsettled = seen.examined > our_end.unwrap_or(self.chain.end);
        self.tail = tail_behind(seen.examined, &self.source);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.options.host.retire(&self.owner);
    }
}

/// The tail behind a look: the end of what it examined, whatever came since.
fn tail_behind(examined: u64, source: &Source) -> u64 {
    if mutation::broken(Mutation::TailIsFileLength) {
        return source.file.len().unwrap_or(examined);
    }
    examined
}

/// What another look found.
struct Seen {
    standing: Standing,
    /// The first chain frames that were not known.
    frames: Vec<FrameHeader>,
    examined: u64,
}

/// A frame of the engine's own.
pub(crate) fn control(kind: FrameKind, payload: &[u8], time_ms: i64) -> Draft<'_> {
    Draft { kind, meta: Meta::default(), payload, time_ms }
}

/// Lengths were bounded before; what does not fit would not verify when read.
fn fits<T: TryFrom<u64> + Default>(value: impl TryInto<u64>) -> T {
    value.try_into().ok().and_then(|value: u64| T::try_from(value).ok()).unwrap_or_default()
}
