//! From written to durable, and what is due now and then: syncs in time, a look at the file's name,
//! checkpoints, slots, the release.

use std::io;

use tracing::{error, warn};

use super::{DurableThrough, Writer, control};
use crate::background::BackgroundSync;
use crate::chain::Chain;
use crate::error::{Cause, Error, Result};
use crate::format::{Checkpoint, FrameHeader, FrameKind, HEADER_LEN, Slot, SlotState, slot_offset};
use crate::index::is_long;
use crate::locate::locate;
use crate::mutation::{self, Mutation};
use crate::scan::Step;
use crate::storage::{Access, Attachment};

/// How long a written append may go unacquainted with what happened to the file's name.
const CHECK_INTERVAL_MS: i64 = 250;
/// A checkpoint is worth its bytes at closing only behind so much.
const CLOSING_CHECKPOINT_BYTES: u64 = 64 << 10;
/// Written appends wait for the disk where so many times `sync_bytes` are not synced.
const FAR_BEHIND: u64 = 16;

impl Writer {
    /// Whether this owner has synced the folder.
    pub(crate) fn name_is_durable(&self) -> bool {
        self.folder_synced
    }

    /// Makes everything durable that is in the chain. Says so only where the file is still the one
    /// at its path.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.guard()?;
        self.await_sync()?;
        if self.durable.offset >= self.chain.end && self.folder_synced {
            return self.check();
        }
        let through = self.everything();
        let result = if self.unsynced_bytes() > 0 { self.source.file.sync() } else { Ok(()) };
        self.synced_and_checked(result, through)
    }

    pub(super) fn everything(&self) -> DurableThrough {
        DurableThrough { offset: self.chain.end, sequence: self.sequence }
    }

    /// Waits for the sync that is under way, if there is one.
    pub(super) fn await_sync(&mut self) -> Result<()> {
        match self.under_way.take() {
            Some((sync, through)) => self.synced(sync.wait(), through),
            None => Ok(()),
        }
    }

    /// What is durable now, and its name with it; then whether it is still the file at its path.
    /// `Fenced` from here means that everything asked for is durable, and stands before the claim.
    pub(super) fn synced_and_checked(
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
    pub(super) fn synced(&mut self, result: io::Result<()>, through: DurableThrough) -> Result<()> {
        let again = result.is_err() && mutation::broken(Mutation::RetryFailedSync);
        let result = if again { self.source.file.sync() } else { result };
        if let Err(error) = result {
            return Err(self.poison(format!("a sync failed: {error}")));
        }
        if !self.folder_synced && !mutation::broken(Mutation::UnsyncedName) {
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
    pub(super) fn sync_in_time(&mut self, now_ms: i64) -> Result<()> {
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
            self.under_way = Some((
                BackgroundSync::begin(&self.source.file, &*self.options.host),
                self.everything(),
            ));
        }
        Ok(())
    }

    /// Compares the descriptor with its path, and the last frame with what was written there.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.last_check_ms = self.options.host.now_ms();
        let mut attachment = self.source.file.attachment();
        if mutation::broken(Mutation::DetachedUnnoticed) {
            attachment = Ok(Attachment::Attached);
        }
        let how = match attachment {
            Ok(Attachment::Attached) => {
                let len =
                    self.source.file.len().map_err(|e| Error::io(self.path(), "look at", e))?;
                if len < self.tail {
                    return Err(self.shortened(self.tail, len));
                }
                self.verify_frame(self.witness)?;
                self.verify_frame(self.chain.last)?;
                self.witness = self.chain.last;
                return Ok(());
            }
            Ok(Attachment::Gone) => "nothing is at its path any more",
            Ok(Attachment::Replaced) => "another file is at its path",
            Err(error) => return Err(Error::io(self.path(), "look at", error)),
        };
        if self.chain.last.is_some_and(|last| last.kind == FrameKind::Seal) {
            // Whoever meets our seal finishes in our stead what it names. A claim behind it is void.
            return self.verify_frame(self.chain.last);
        }
        // Who took it over and then moved it is the better answer.
        let seen = self.look_again()?;
        if seen.standing.generation > self.generation {
            self.nameless = !self.was_compacted();
            return Err(self.fenced(&seen.standing));
        }
        error!(path = %self.path().display(), how, "detached");
        let error = Error::new(self.path(), Cause::Detached { how });
        Err(self.finish(error))
    }

    /// Whether a compacted file of this journal is at the path: what stood before the claim of whoever
    /// made it is in there.
    fn was_compacted(&self) -> bool {
        let file = self.options.disk.open(self.path(), Access::Read);
        let there = file.ok().and_then(|file| locate(&file, self.path()).ok());
        there.is_some_and(|there| {
            there.identity.journal == self.identity.journal
                && there.identity.compactions > self.identity.compactions
        })
    }

    /// Whether this handle ended in a file that nobody finds any more.
    pub(crate) fn is_nameless(&self) -> bool {
        self.nameless
    }

    /// The last frame still stands where it was written, to its last byte: where a stranger cut it,
    /// others may have written within it, and whoever reads on behind it would not see them.
    pub(super) fn verify_last_frame(&mut self) -> Result<()> {
        self.verify_frame(self.chain.last)?;
        let Some(last) = self.chain.last else { return Ok(()) };
        let record = u64::from(last.kind == FrameKind::Record);
        let chain = Chain::before(last.offset, last.sequence.saturating_sub(record));
        let mut scanner = self.source.scanner(chain, last.end());
        let is_whole = match scanner.step()? {
            Step::Frame => *scanner.header() == last,
            Step::Claim(_) | Step::End(_) => false,
        };
        if is_whole || mutation::broken(Mutation::SkipLandingCheck) {
            return Ok(());
        }
        Err(self.shortened(self.tail, last.offset))
    }

    /// The frame still stands where it was written.
    pub(super) fn verify_frame(&mut self, frame: Option<FrameHeader>) -> Result<()> {
        let Some(last) = frame else { return Ok(()) };
        if mutation::broken(Mutation::SkipLandingCheck)
            || (last.kind == FrameKind::Seal && mutation::broken(Mutation::FloatingSeal))
        {
            return Ok(());
        }
        let mut bytes = [0; HEADER_LEN];
        let read = self.source.file.read_at(last.offset, &mut bytes);
        let read = read.map_err(|e| Error::io(self.path(), "read", e))?;
        if read == HEADER_LEN && bytes == last.encode(&self.source.codec) {
            return Ok(());
        }
        Err(self.shortened(self.tail, last.offset + read as u64))
    }

    /// Looks whether somebody took over since this owner read the file last.
    pub(crate) fn must_not_be_taken_over(&mut self) -> Result<()> {
        let seen = self.look_again()?;
        if seen.standing.generation > self.generation {
            return Err(self.fenced(&seen.standing));
        }
        Ok(())
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

    pub(super) fn write_checkpoint(&mut self, now_ms: i64) {
        if let Err(error) = self.try_checkpoint(now_ms) {
            warn!(path = %self.path().display(), %error, "no checkpoint");
        }
    }

    pub(super) fn try_checkpoint(&mut self, now_ms: i64) -> Result<()> {
        if self.put_checkpoint(now_ms)? {
            self.put_checkpoint(now_ms)?;
        }
        Ok(())
    }

    /// True where it is to be followed by another one.
    fn put_checkpoint(&mut self, now_ms: i64) -> Result<bool> {
        let at = self.tail;
        let checkpoint: Checkpoint =
            self.index.checkpoint(&self.source, at, self.sequence, self.summary)?;
        let payload = checkpoint.encode(&self.source.codec);
        let landed = self.land(&[&[control(FrameKind::Checkpoint, &payload, now_ms)]])?;
        if let Some(refused) = landed.refused {
            return Err(refused);
        }
        // One that landed elsewhere names a wrong place for its own tables; nobody will use it.
        if landed.start != at {
            return Ok(false);
        }
        let is_long = is_long(&checkpoint);
        self.index.checkpointed(checkpoint.runs, &self.chain);
        self.fresh_checkpoint = Some((at, self.chain.end));
        if mutation::broken(Mutation::SlotBeyondDurable) {
            self.checkpoint = at;
            self.write_slot(SlotState::Open);
        }
        Ok(is_long)
    }

    /// Writes a hint for the next opener and for listings. Losing it costs time only.
    pub(crate) fn write_slot(&mut self, state: SlotState) {
        self.slot_counter += 1;
        let mut durable = self.durable;
        if mutation::broken(Mutation::SlotBeyondDurable) {
            durable = self.everything();
        }
        let slot = Slot {
            counter: self.slot_counter,
            generation: self.generation,
            state,
            sequence: durable.sequence,
            tail: self.chain.end,
            durable_through: durable.offset,
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

    /// Syncs, releases, syncs, and leaves a slot that says so. Poisoned and fenced owners write
    /// nothing.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.guard()?;
        let now = self.options.host.now_ms();
        let recent = self.chain.end - self.index.recent_start().min(self.chain.end);
        if recent >= CLOSING_CHECKPOINT_BYTES {
            self.write_checkpoint(now);
        }
        if !mutation::broken(Mutation::UnsoundRelease) {
            self.sync()?;
        }
        let landed = self.land(&[&[control(FrameKind::Release, &[], now)]])?;
        if let Some(refused) = landed.refused {
            return Err(refused);
        }
        self.sync().map_err(|error| self.ended_by(error))?;
        self.write_slot(SlotState::Released);
        let closed = Error::new(self.path(), Cause::Closed);
        self.finish(closed);
        Ok(())
    }
}
