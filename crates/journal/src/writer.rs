//! The only code that appends: compare-and-swap on the tail, batches, sync, poison.
//!
//! The tail is the end of the bytes that this owner has **read**, in a scan that began at the end
//! of the last chain frame. A batch names its own offset, counted from the tail, and goes into the
//! file with one `write`. Where it landed tells everything: at the tail, it is in the chain; behind
//! it, it is dead and somebody else was there; before it, the file was shortened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{error, warn};

use crate::background::BackgroundSync;
use crate::chain::Chain;
use crate::error::{Cause, Error, Result, is_no_space};
use crate::format::{
    Checkpoint, FrameHeader, FrameKind, HEADER_LEN, Identity, Meta, OpeningBody, Slot, SlotState,
    Summary, slot_offset,
};
use crate::handles::Lease;
use crate::identity::Owner;
use crate::index::{Index, Source};
use crate::locate::{Located, locate, start};
use crate::options::Options;
use crate::position::Generation;
use crate::scan::{Scanner, Step};
use crate::storage::{Access, Attachment, Landing, Storage};
use crate::survey::{Standing, Survey};

/// How long a written append may go unacquainted with what happened to the file's name.
const CHECK_INTERVAL_MS: i64 = 250;
/// Others may come in between so often before an append gives up.
const ATTEMPTS_MAX: u32 = 1000;
/// A checkpoint is worth its bytes at closing only behind so much.
const CLOSING_CHECKPOINT_BYTES: u64 = 64 << 10;
/// Written appends wait for the disk where so many times `sync_bytes` are not synced.
const FAR_BEHIND: u64 = 16;
/// What the buffer keeps for the next append.
const BUFFER_KEPT: usize = 4 << 20;

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
    /// The right to hold descriptors, where they are bounded.
    lease: Option<Lease>,
    parked: bool,
}

impl Writer {
    pub(crate) fn new(opened: Opened) -> Self {
        let now = opened.options.host.now_ms();
        let folder = opened.source.path.parent().unwrap_or(Path::new(".")).to_owned();
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
            tail: opened.tail,
            unsettled: opened.unsettled,
            durable: opened.durable,
            folder_synced: false,
            unsynced_since_ms: now,
            last_check_ms: now,
            index: opened.index,
            summary: opened.summary,
            last_checksum: opened.last_checksum,
            slot_counter: opened.slot_counter,
            checkpoint: opened.checkpoint,
            under_way: None,
            fresh_checkpoint: None,
            buffer: Vec::new(),
            finished: None,
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

    fn poison(&mut self, why: String) -> Error {
        error!(path = %self.path().display(), generation = self.generation, why, "poisoned");
        let poisoned = Error::new(self.path(), Cause::Poisoned { why: why.clone() });
        self.finish(poisoned);
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
            owner = owner.as_ref().map(tracing::field::display),
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
        self.must_not_be_sealed(batches)?;
        for _ in 0..ATTEMPTS_MAX {
            let last = self.encode(batches);
            let meant = self.buffer.len();
            let landing = match self.source.file.append(&self.buffer) {
                Ok(landing) => landing,
                Err(error) if is_no_space(&error) => {
                    let refused = Some(self.no_space(meant, 0, Some(error))?);
                    return Ok(Landed { start: self.tail, stored: 0, refused });
                }
                Err(error) => return Err(self.poison(format!("an append failed: {error}"))),
            };
            if landing.offset < self.tail {
                return Err(self.shortened(self.tail, landing.offset));
            }
            if landing.offset == self.tail {
                self.settle_dead_bytes()?;
                let start = self.tail;
                if landing.written == meant {
                    self.advance(batches, batches.len(), last, meant as u64);
                    return Ok(Landed { start, stored: batches.len(), refused: None });
                }
                let stored = self.keep_whole(batches, landing.written);
                let refused = Some(self.no_space(meant, landing.written, None)?);
                return Ok(Landed { start, stored, refused });
            }
            if self.was_displaced(landing.offset + landing.written as u64)? {
                let start = self.tail;
                self.advance(batches, batches.len(), last, meant as u64);
                return Ok(Landed { start, stored: batches.len(), refused: None });
            }
            if landing.written < meant {
                let refused = Some(self.no_space(meant, landing.written, None)?);
                return Ok(Landed { start: self.tail, stored: 0, refused });
            }
        }
        Err(self.poison("others never stopped coming in between".to_owned()))
    }

    /// Nothing but a reopen is valid behind a seal.
    fn must_not_be_sealed(&self, batches: &[&[Draft<'_>]]) -> Result<()> {
        let reopens = batches.iter().copied().flatten().all(|d| d.kind == FrameKind::Reopen);
        if !self.chain.sealed || reopens {
            return Ok(());
        }
        let why = "its file is sealed".to_owned();
        Err(Error::new(self.path(), Cause::Poisoned { why }))
    }

    /// Encodes the batches at the tail into the buffer; gives the last frame's header.
    fn encode(&mut self, batches: &[&[Draft<'_>]]) -> Option<FrameHeader> {
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer.shrink_to(BUFFER_KEPT);
        }
        let mut last = None;
        let mut at = self.tail;
        let mut previous = self.chain.last_offset();
        let mut sequence = self.sequence;
        for batch in batches {
            let first = at;
            let batch_len = batch.iter().map(Draft::frame_len).sum::<u64>();
            for draft in *batch {
                if draft.kind == FrameKind::Record {
                    sequence += 1;
                }
                let begin = self.buffer.len();
                self.buffer.extend_from_slice(&[0; HEADER_LEN]);
                draft.meta.encode(&mut self.buffer);
                self.buffer.extend_from_slice(draft.payload);
                let body = &self.buffer[begin + HEADER_LEN..];
                let header = FrameHeader {
                    kind: draft.kind,
                    flags: draft.meta.flags(),
                    meta_len: fits(body.len() - draft.payload.len()),
                    payload_len: fits(draft.payload.len()),
                    body_checksum: self.source.codec.checksum(&[body]),
                    incarnation: self.owner.incarnation.short(),
                    generation: self.generation,
                    sequence,
                    offset: at,
                    batch_before: fits(at - first),
                    batch_len: fits(batch_len),
                    previous,
                    time_ms: draft.time_ms,
                    // A release says of everything before it that it is synced; `release` made it so.
                    durable_through: match draft.kind {
                        FrameKind::Release => at,
                        _ => self.durable.offset,
                    },
                };
                let encoded = header.encode(&self.source.codec);
                self.buffer[begin..begin + HEADER_LEN].copy_from_slice(&encoded);
                previous = at;
                at = header.end();
                last = Some(header);
            }
        }
        last
    }

    /// Takes `stored` batches, which stand at the tail now, into the chain.
    fn advance(
        &mut self,
        batches: &[&[Draft<'_>]],
        stored: usize,
        last: Option<FrameHeader>,
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
        self.chain = Chain::behind(&last);
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
        self.advance(batches, stored, last, whole);
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
        if !self.unsettled {
            return Ok(());
        }
        let seen = self.scan_up_to(Some(self.tail))?;
        // What we wrote stands in its place, so a reader may take it for good all the same.
        self.judge(&seen, None).map_err(|error| {
            Error::new(self.path(), Cause::Unknown { why: error.cause().to_string() })
        })?;
        self.unsettled = false;
        Ok(())
    }

    /// Something landed between the tail and our bytes. True where the chain holds our batch after
    /// all (a shared descriptor lied about the position); false where it is dead and the new tail
    /// is known.
    fn was_displaced(&mut self, our_end: u64) -> Result<bool> {
        self.verify_last_frame()?;
        let seen = self.look_again()?;
        let tail = self.tail;
        let ours = FrameHeader::decode(&self.buffer, &self.source.codec).ok();
        if ours.is_some()
            && seen.frames.first() == ours.as_ref()
            && ours.map(|f| f.offset) == Some(tail)
        {
            self.tail = tail;
            return Ok(true);
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
        let chain = self.chain.clone();
        let mut scanner = match limit {
            Some(limit) => Scanner::up_to(file, path, codec, chain, 0, limit),
            None => Scanner::new(file, path, codec, chain, 0)?,
        };
        let mut standing = Standing {
            generation: self.generation,
            owner: Some(self.owner.clone()),
            ..Standing::default()
        };
        let mut frames = Vec::new();
        loop {
            match scanner.step()? {
                Step::Frame(frame) => {
                    standing.frame(&frame.header);
                    if frame.header.kind == FrameKind::Opening {
                        let body = scanner.body(&frame.header)?;
                        if let Ok(opening) = OpeningBody::decode(body) {
                            standing.owner = Some(opening.owner);
                        }
                    }
                    if frames.len() < 2 {
                        frames.push(frame.header);
                    }
                }
                Step::Claim(claim) => {
                    standing.claim(&claim);
                }
                Step::End(end) => {
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
        self.tail = seen.examined;
        Ok(())
    }

    // ---- durability ------------------------------------------------------------------------

    /// Makes everything durable that is in the chain. Says so only where the file is still the one
    /// at its path.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.guard()?;
        self.await_sync()?;
        if self.durable.offset >= self.chain.end && self.folder_synced {
            return Ok(());
        }
        let through = self.everything();
        let result = if self.unsynced_bytes() > 0 { self.source.file.sync() } else { Ok(()) };
        self.synced_and_checked(result, through)
    }

    fn everything(&self) -> DurableThrough {
        DurableThrough { offset: self.chain.end, sequence: self.sequence }
    }

    /// Waits for the sync that is under way, if there is one.
    fn await_sync(&mut self) -> Result<()> {
        match self.under_way.take() {
            Some((sync, through)) => self.synced(sync.wait(), through),
            None => Ok(()),
        }
    }

    /// What is durable now, and its name with it; then whether it is still the file at its path.
    /// `Fenced` from here means that everything asked for is durable, and stands before the claim.
    fn synced_and_checked(
        &mut self,
        result: io::Result<()>,
        through: DurableThrough,
    ) -> Result<()> {
        self.synced(result, through)?;
        self.check()?;
        if let Some((checkpoint, _)) =
            self.fresh_checkpoint.take_if(|(_, end)| *end <= self.durable.offset)
        {
            self.checkpoint = checkpoint;
            self.write_slot(SlotState::Open);
        }
        Ok(())
    }

    /// What a sync said.
    fn synced(&mut self, result: io::Result<()>, through: DurableThrough) -> Result<()> {
        if let Err(error) = result {
            return Err(self.poison(format!("a sync failed: {error}")));
        }
        if !self.folder_synced {
            // The name of the file must be as durable as what is acknowledged under it.
            if let Err(error) = self.options.disk.sync_folder(&self.folder) {
                return Err(self.poison(format!("a sync of the folder failed: {error}")));
            }
            self.folder_synced = true;
        }
        self.durable = through;
        Ok(())
    }

    /// Sees to it that written records become durable in time, without waiting for it: unless so
    /// much is waiting already that the disk cannot follow.
    fn sync_in_time(&mut self, now_ms: i64) -> Result<()> {
        let far_behind =
            self.unsynced_bytes() >= self.options.sync_bytes.saturating_mul(FAR_BEHIND);
        if let Some((sync, through)) =
            self.under_way.take_if(|(sync, _)| far_behind || sync.is_done())
        {
            self.synced_and_checked(sync.wait(), through)?;
        }
        if self.under_way.is_some() || self.unsynced_bytes() == 0 {
            return Ok(());
        }
        let waited = u128::from(now_ms.abs_diff(self.unsynced_since_ms));
        if self.unsynced_bytes() >= self.options.sync_bytes
            || waited >= self.options.sync_interval.as_millis()
        {
            self.unsynced_since_ms = now_ms;
            self.under_way = Some((BackgroundSync::begin(&self.source.file), self.everything()));
        }
        Ok(())
    }

    /// Compares the descriptor with its path, and the last frame with what was written there.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.last_check_ms = self.options.host.now_ms();
        let attachment = self.source.file.attachment();
        let how = match attachment {
            Ok(Attachment::Attached) => {
                let len =
                    self.source.file.len().map_err(|e| Error::io(self.path(), "look at", e))?;
                if len < self.tail {
                    return Err(self.shortened(self.tail, len));
                }
                let witness = std::mem::replace(&mut self.witness, self.chain.last);
                self.verify_frame(witness)?;
                return self.verify_last_frame();
            }
            Ok(Attachment::Gone) => "nothing is at its path any more",
            Ok(Attachment::Replaced) => "another file is at its path",
            Err(error) => return Err(Error::io(self.path(), "look at", error)),
        };
        // Who took it over and then moved it is the better answer.
        let seen = self.look_again()?;
        if seen.standing.generation > self.generation {
            return Err(self.fenced(&seen.standing));
        }
        error!(path = %self.path().display(), how, "detached");
        let error = Error::new(self.path(), Cause::Detached { how });
        Err(self.finish(error))
    }

    /// Nobody has taken the journal, as far as the file says now.
    pub(crate) fn still_owns(&mut self) -> Result<()> {
        let seen = self.look_again()?;
        self.judge(&seen, None)
    }

    fn verify_last_frame(&mut self) -> Result<()> {
        self.verify_frame(self.chain.last)
    }

    /// The frame still stands where it was written.
    fn verify_frame(&mut self, frame: Option<FrameHeader>) -> Result<()> {
        let Some(last) = frame else { return Ok(()) };
        let mut bytes = [0; HEADER_LEN];
        let read = self.source.file.read_at(last.offset, &mut bytes);
        let read = read.map_err(|e| Error::io(self.path(), "read", e))?;
        if read == HEADER_LEN && bytes == last.encode(&self.source.codec) {
            return Ok(());
        }
        Err(self.shortened(self.tail, last.offset + read as u64))
    }

    /// Before a written append is acknowledged: look at the name now and then.
    pub(crate) fn check_if_due(&mut self, now_ms: i64) -> Result<()> {
        // A clock that was set back makes it due as well.
        if now_ms.abs_diff(self.last_check_ms) < CHECK_INTERVAL_MS.unsigned_abs() {
            return Ok(());
        }
        self.check()
    }

    /// Bytes in the chain that are not durable.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.chain.end.saturating_sub(self.durable.offset)
    }

    /// What is due after an append was acknowledged: a checkpoint, a sync in time. Its failure
    /// takes nothing back; it shows at the next append.
    pub(crate) fn keep_up(&mut self, now_ms: i64) {
        if self.is_finished() {
            return;
        }
        let recent = self.chain.end - self.index.recent_start().min(self.chain.end);
        if recent >= self.options.checkpoint_bytes
            || self.index.recent_records() >= self.options.checkpoint_records
        {
            self.write_checkpoint(now_ms);
        }
        // Its failure shows at the next append.
        let _ = self.sync_in_time(now_ms);
    }

    fn write_checkpoint(&mut self, now_ms: i64) {
        if let Err(error) = self.try_checkpoint(now_ms) {
            warn!(path = %self.path().display(), %error, "no checkpoint");
        }
    }

    fn try_checkpoint(&mut self, now_ms: i64) -> Result<()> {
        let at = self.tail;
        let checkpoint: Checkpoint =
            self.index.checkpoint(&self.source, at, self.sequence, self.summary)?;
        let payload = checkpoint.encode(&self.source.codec);
        let landed = self.land(&[&[control(FrameKind::Checkpoint, &payload, now_ms)]])?;
        if let Some(refused) = landed.refused {
            return Err(refused);
        }
        // One that landed elsewhere names a wrong place for its own tables; nobody will use it.
        if landed.start == at {
            self.index.checkpointed(checkpoint, &self.chain);
            self.fresh_checkpoint = Some((at, self.chain.end));
        }
        Ok(())
    }

    /// Writes a hint for the next opener and for listings. Losing it costs time only.
    pub(crate) fn write_slot(&mut self, state: SlotState) {
        self.slot_counter += 1;
        let slot = Slot {
            counter: self.slot_counter,
            generation: self.generation,
            state,
            sequence: self.durable.sequence,
            tail: self.chain.end,
            durable_through: self.durable.offset,
            checkpoint: self.checkpoint,
            opening: self.summary.opening,
            records: self.summary.records,
            void_bytes: self.summary.void_bytes,
            records_lost: self.summary.records_lost,
            updated_ms: self.options.host.now_ms(),
            owner: self.owner.clone(),
        };
        let bytes = slot.encode(&self.source.codec);
        if let Err(error) = self.source.file.write_at(slot_offset(slot.counter), &bytes) {
            warn!(path = %self.path().display(), %error, "no slot");
        }
    }

    /// This owner goes on with a new file, all of which is durable.
    pub(crate) fn set_adopted(&mut self, checkpoint: u64) {
        self.durable = DurableThrough { offset: self.chain.end, sequence: self.sequence };
        self.unsettled = false;
        self.witness = self.chain.last;
        self.checkpoint = checkpoint;
        self.fresh_checkpoint = None;
        self.slot_counter = 1;
    }

    // ---- descriptors -----------------------------------------------------------------------

    pub(crate) fn set_lease(&mut self, lease: Lease) {
        self.lease = Some(lease);
    }

    fn give_descriptors_back(&mut self) {
        self.source.file = Arc::new(GivenBack);
        self.lease = None;
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.parked && self.finished.is_none()
    }

    /// Gives the descriptors back. Closing a file loses what the system has to say of writes that
    /// fail later, so everything is synced first (H26).
    pub(crate) fn park(&mut self) {
        if self.parked || self.finished.is_some() {
            return;
        }
        let settled = self.unsynced_bytes() == 0 && self.under_way.is_none();
        if !settled && self.sync().is_err() {
            return;
        }
        self.give_descriptors_back();
        self.parked = true;
    }

    /// Opens the descriptors again, and looks whether it is still the journal that was left.
    pub(crate) fn unpark(&mut self, lease: Lease) -> Result<()> {
        self.guard()?;
        let detached = |how| Error::new(&self.source.path, Cause::Detached { how });
        let path = Arc::clone(&self.source.path);
        let file = match self.options.disk.open(&path, Access::Write) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let error = detached("nothing is at its path any more");
                return Err(self.finish(error));
            }
            Err(error) => return Err(Error::io(&path, "open", error)),
        };
        let len = file.len().map_err(|error| Error::io(&path, "look at", error))?;
        let located = match locate(&file, &path) {
            Ok(located) => located,
            Err(_) if len < self.tail => return Err(self.shortened(self.tail, len)),
            Err(error) => return Err(error),
        };
        if located.identity.journal != self.identity.journal {
            let error = detached("another journal is at its path");
            return Err(self.finish(error));
        }
        if located.identity.compactions != self.identity.compactions {
            return Err(self.was_replaced(file, &located));
        }
        self.source.file = file;
        self.lease = Some(lease);
        self.parked = false;
        self.verify_last_frame()?;
        let seen = self.look_again()?;
        self.judge(&seen, None)
    }

    /// Only an owner replaces a file, so there is one after us.
    fn was_replaced(&mut self, file: Arc<dyn Storage>, located: &Located) -> Error {
        let source = Source { file, ..self.source.clone() };
        let standing = start(&*source.file, &source.path, located).and_then(|start| {
            let mut survey = Survey::new(&source.file, &source.path, located, &start);
            survey.pass(&mut ()).map(|()| survey.standing)
        });
        match standing {
            Ok(standing) if standing.generation > self.generation => self.fenced(&standing),
            Ok(_) => {
                let how = "another file of this journal is at its path";
                let error = Error::new(self.path(), Cause::Detached { how });
                self.finish(error)
            }
            Err(error) => error,
        }
    }

    // ---- the end ---------------------------------------------------------------------------

    /// Syncs, releases, syncs, and leaves a slot that says so. Poisoned and fenced owners write
    /// nothing.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.guard()?;
        let now = self.options.host.now_ms();
        let recent = self.chain.end - self.index.recent_start().min(self.chain.end);
        if recent >= CLOSING_CHECKPOINT_BYTES {
            self.write_checkpoint(now);
        }
        self.sync()?;
        let landed = self.land(&[&[control(FrameKind::Release, &[], now)]])?;
        if let Some(refused) = landed.refused {
            return Err(refused);
        }
        self.sync()?;
        self.write_slot(SlotState::Released);
        let closed = Error::new(self.path(), Cause::Closed);
        self.finish(closed);
        Ok(())
    }
}

/// In the place of a file whose descriptors were given back; nobody gets to it.
#[derive(Debug)]
struct GivenBack;

impl GivenBack {
    fn refuse<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::NotConnected, "the descriptors were given back"))
    }
}

impl Storage for GivenBack {
    fn append(&self, _: &[u8]) -> io::Result<Landing> {
        Self::refuse()
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Self::refuse()
    }

    fn len(&self) -> io::Result<u64> {
        Self::refuse()
    }

    fn sync(&self) -> io::Result<()> {
        Self::refuse()
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Self::refuse()
    }

    fn attachment(&self) -> io::Result<Attachment> {
        Self::refuse()
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Self::refuse()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.options.host.retire(&self.owner);
    }
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
