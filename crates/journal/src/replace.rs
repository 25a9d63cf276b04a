//! Replacing a journal by a compacted one, and deleting it: both begin with a seal.
//!
//! Order is everything. The successor is complete and durable, its name too, before the seal; the
//! seal is durable before the rename; the rename is durable before anything is acknowledged on the
//! new file. Whoever meets a seal finishes what it names, so a crash at any step leaves a journal
//! that opens.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::chain::Chain;
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::format::{
    CompactedBody, FrameHeader, FrameKind, Identity, PAGE_LEN, Purpose, ReopenBody, SealBody, Slot,
    SlotState, Summary, encode_page, slot_offset,
};
use crate::identity::Owner;
use crate::index::{Index, Source, is_long};
use crate::locate::locate;
use crate::mutation::{self, Mutation};
use crate::opening::path_bytes;
use crate::options::Options;
use crate::scan::{ChainFrame, Scanner, Step};
use crate::storage::{Access, Attachment, Storage};
use crate::survey::Survey;
use crate::writer::{DurableThrough, Opened, Writer, control};

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Length of the file before, in bytes.
    pub bytes_before: u64,
    /// Length of the file after.
    pub bytes_after: u64,
    /// Records kept: all that there were.
    pub records: u64,
}

/// The word for a purpose in messages: "sealed to be …".
pub(crate) fn purpose_word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Replace => "replaced",
        Purpose::Delete => "deleted",
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

// ---- finishing what another began ----------------------------------------------------------

/// Finishes what a seal names, or takes it back where its successor does not exist.
pub(crate) fn finish_seal(
    source: &Source,
    survey: &Survey,
    seal: &SealBody,
    owner: &Owner,
    options: &Options,
) -> Result<()> {
    let path = &*source.path;
    let folder = folder_of(path);
    let io = |operation| move |e| Error::io(path, operation, e);
    info!(path = %path.display(), purpose = purpose_word(seal.purpose), "finishing a seal");
    let successor = folder.join(OsStr::from_bytes(&seal.successor));
    if seal.purpose == Purpose::Replace && is_successor(&successor, source, survey, seal, options)?
    {
        // Without the lock: nobody waits here for another opener that was stopped half way.
        put_in_place(source, &successor, options)
            .map_err(io("put the compacted file in place of"))?;
        return options.disk.sync_folder(folder).map_err(io("sync the folder of"));
    }
    let _names = options.disk.lock_folder(folder).map_err(io("lock the folder of"))?;
    if source.file.attachment().map_err(io("look at"))? != Attachment::Attached
        && !mutation::broken(Mutation::BlindUnlink)
    {
        // Somebody else was faster; the path leads elsewhere now.
        return Ok(());
    }
    if seal.purpose == Purpose::Delete {
        options.disk.remove(path).map_err(io("remove"))?;
        return options.disk.sync_folder(folder).map_err(io("sync the folder of"));
    }
    warn!(path = %path.display(), "a seal without its successor is taken back");
    // What is there under that name must never be put in place any more.
    match options.disk.remove(&successor) {
        Ok(()) => options.disk.sync_folder(folder).map_err(io("sync the folder of"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io(path, "remove the unfinished successor of", error)),
    }
    reopen(source, survey, owner, options)
}

/// Renames a complete successor over the sealed file, unless somebody else did. Needs no lock: the
/// name of a successor is used once, so it is there only while the path still leads to the sealed
/// file (H4). Not over a file that a stranger put there.
fn put_in_place(source: &Source, successor: &Path, options: &Options) -> std::io::Result<()> {
    if source.file.attachment()? != Attachment::Attached {
        return Ok(());
    }
    match options.disk.rename(successor, &source.path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

/// Whether the file that a seal names is there and complete. What cannot be told now is an error:
/// only what is surely not there is taken for missing.
fn is_successor(
    path: &Path,
    source: &Source,
    survey: &Survey,
    seal: &SealBody,
    options: &Options,
) -> Result<bool> {
    let file = match options.disk.open(path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io(path, "open", error)),
    };
    let here = locate(survey.file(), &source.path)?;
    let there = match locate(&file, path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotAJournal => return Ok(false),
        Err(error) => return Err(error),
    };
    let len = file.len().map_err(|error| Error::io(path, "look at", error))?;
    Ok(!there.header_damaged
        && there.identity.journal == here.identity.journal
        && there.identity.compactions == here.identity.compacted().compactions
        && len == seal.successor_len)
}

fn reopen(source: &Source, survey: &Survey, owner: &Owner, options: &Options) -> Result<()> {
    let located = locate(&source.file, &source.path)?;
    let chain = survey.chain.clone();
    let mut writer = Writer::new(Opened {
        source: source.clone(),
        index: Index::new(located.identity.journal, source.codec, &chain, None),
        identity: located.identity,
        options: options.clone(),
        owner: owner.clone(),
        generation: chain.generation(),
        sequence: chain.sequence(),
        tail: survey.examined,
        // A claim behind the seal does not matter here: whoever opens looks again behind this.
        unsettled: false,
        durable: DurableThrough { offset: survey.durable_through, sequence: 0 },
        chain,
        summary: survey.summary,
        last_checksum: 0,
        slot_counter: located.slot_counter,
        checkpoint: 0,
    });
    let body = ReopenBody { owner: owner.clone() }.encode();
    let now = options.host.now_ms();
    let landed = match writer.land(&[&[control(FrameKind::Reopen, &body, now)]]) {
        // Somebody came between the look and this frame, which is dead then: look again.
        Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Poisoned) => {
            return Ok(());
        }
        landed => landed?,
    };
    landed.refused.map_or(Ok(()), Err)?;
    source.file.sync().map_err(|e| Error::io(&source.path, "sync", e))
}

// ---- deleting ------------------------------------------------------------------------------

impl Writer {
    /// Seals the journal and removes its name.
    pub(crate) fn delete(&mut self) -> Result<()> {
        self.seal(Purpose::Delete, &[], 0)?;
        self.remove_sealed().map_err(|error| self.ended_by(error))?;
        info!(path = %self.path().display(), "deleted");
        let closed = Error::new(self.path(), Cause::Closed);
        self.finish(closed);
        Ok(())
    }

    fn remove_sealed(&self) -> Result<()> {
        let path = &*self.source.path;
        let io = |operation| move |e| Error::io(path, operation, e);
        let folder = folder_of(path);
        let disk = &self.options.disk;
        let _names = disk.lock_folder(folder).map_err(io("lock the folder of"))?;
        // A slow deleter must not remove what somebody else created here meanwhile (H4).
        if self.source.file.attachment().map_err(io("look at"))? == Attachment::Attached
            || mutation::broken(Mutation::BlindUnlink)
        {
            disk.remove(path).map_err(io("remove"))?;
        } else if self.is_elsewhere()? {
            let how = "another file of this journal is at its path";
            return Err(Error::new(path, Cause::Detached { how }));
        }
        // Who was faster may have failed to make it durable.
        disk.sync_folder(folder).map_err(io("sync the folder of"))
    }

    /// A stranger put a copy of this journal at its path: that one is not deleted.
    fn is_elsewhere(&self) -> Result<bool> {
        let path = self.path();
        let file = match self.options.disk.open(path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io(path, "open", error)),
        };
        match locate(&file, path) {
            Ok(there) => Ok(there.identity.journal == self.identity.journal),
            Err(error) if matches!(error.kind(), ErrorKind::Io) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Appends a seal at the tail, durable.
    fn seal(&mut self, purpose: Purpose, successor: &[u8], successor_len: u64) -> Result<()> {
        self.guard()?;
        // Behind the seal a file without its name was finished by whoever met it; before, it was not.
        self.check()?;
        let body = SealBody {
            purpose,
            path: path_bytes(&self.source.path),
            successor: successor.to_vec(),
            successor_len,
        }
        .encode();
        let now = self.options.host.now_ms();
        let landed = self.land(&[&[control(FrameKind::Seal, &body, now)]])?;
        landed.refused.map_or(Ok(()), Err)?;
        info!(path = %self.path().display(), purpose = purpose_word(purpose), "sealed");
        self.sync().map_err(|error| self.ended_by(error))?;
        self.write_slot(SlotState::Sealed);
        Ok(())
    }

    /// Behind a seal or a release every failure ends the handle: what it would append is void.
    pub(crate) fn ended_by(&mut self, error: Error) -> Error {
        let why = format!("sealed or released, and then: {}", error.cause());
        let ended = Error::new(self.path(), Cause::Poisoned { why });
        self.finish(ended);
        error
    }
}

// ---- compacting ----------------------------------------------------------------------------

/// A copy of a journal under way: every live frame so far, none of the dead bytes.
#[derive(Debug)]
pub(crate) struct Copy {
    source: Source,
    options: Options,
    path: PathBuf,
    target: Source,
    identity: Identity,
    /// How far the original was read.
    read: Chain,
    written: Chain,
    index: Index,
    summary: Summary,
    checkpoint: u64,
    last_checksum: u32,
    buffer: Vec<u8>,
    /// So many bytes of it are in the file.
    flushed: u64,
    /// It is in its place now, and must not be removed.
    placed: bool,
}

/// So much is written at once.
const COPY_BUFFER: usize = 1 << 20;

impl Copy {
    /// Begins a copy beside the original and copies what the chain holds now. Does not keep its
    /// owner from appending.
    pub(crate) fn begin(
        source: Source,
        identity: &Identity,
        owner: &Owner,
        options: &Options,
        end: u64,
    ) -> Result<Self> {
        let lost = lost_ranges(&source, end)?;
        let first = first_frame(&source, end)?;
        let identity = identity.compacted();
        let path = successor_path(&source.path, &identity, owner);
        let file = options.disk.create_new(&path).map_err(|e| Error::io(&path, "create", e))?;
        let target = Source { file, path: Arc::from(path.as_path()), codec: source.codec };
        let mut copy = Self {
            index: Index::new(identity.journal, source.codec, &Chain::empty(), None),
            source,
            options: options.clone(),
            path,
            target,
            identity,
            read: Chain::empty(),
            written: Chain::empty(),
            summary: Summary::default(),
            checkpoint: 0,
            last_checksum: 0,
            buffer: Vec::new(),
            flushed: 0,
            placed: false,
        };
        copy.write_front(owner, &first, end, lost)?;
        copy.advance(end)?;
        Ok(copy)
    }

    fn write_front(
        &mut self,
        owner: &Owner,
        first: &FrameHeader,
        replaced_len: u64,
        lost: Vec<(u64, u64)>,
    ) -> Result<()> {
        let slot = self.slot(0, owner, 0);
        self.buffer = encode_page(&self.identity, &slot, &self.target.codec);
        let identity = self.identity.clone();
        let body = CompactedBody { identity, replaced_len, lost }.encode();
        let header = FrameHeader::alone(
            FrameKind::Compacted,
            &self.target.codec,
            &body,
            FrameHeader {
                incarnation: first.incarnation,
                generation: first.generation,
                offset: PAGE_LEN,
                time_ms: self.options.host.now_ms(),
                ..FrameHeader::BLANK
            },
        );
        self.put(&header, &body)
    }

    /// Copies what the chain holds up to `end`.
    pub(crate) fn advance(&mut self, end: u64) -> Result<()> {
        let chain = std::mem::replace(&mut self.read, Chain::empty());
        let mut scanner = self.source.scanner(chain, end);
        loop {
            match scanner.step()? {
                Step::Frame => self.copy_frame(&mut scanner)?,
                Step::Claim(_) => {}
                Step::End(_) => break,
            }
        }
        self.read = scanner.into_chain();
        self.flush()
    }

    fn copy_frame(&mut self, scanner: &mut Scanner) -> Result<()> {
        if scanner.measure().missing > 0 {
            self.index.note_loss();
        }
        // Checkpoints are written anew; seals that were taken back meant the old file.
        let kept = matches!(
            scanner.header().kind,
            FrameKind::Record | FrameKind::Opening | FrameKind::Release
        );
        if !kept {
            return Ok(());
        }
        let ChainFrame { header, body, .. } = scanner.frame();
        let offset = self.written.end;
        let header = FrameHeader {
            offset,
            batch_before: 0,
            batch_len: u32::try_from(header.frame_len()).unwrap_or(u32::MAX),
            previous: self.written.last_offset(),
            durable_through: match header.kind {
                FrameKind::Release => offset,
                _ => 0,
            },
            ..*header
        };
        self.put(&header, body)?;
        match header.kind {
            FrameKind::Record => {
                let key = crate::index::meta_of(&header, body).and_then(|meta| meta.key);
                self.index.note(header.sequence, offset, key);
                self.summary.records += 1;
                self.last_checksum = header.body_checksum;
            }
            FrameKind::Opening => self.summary.opening = offset,
            _ => {}
        }
        let recent = self.written.end - self.index.recent_start();
        if header.kind != FrameKind::Release
            && (recent >= self.options.checkpoint_bytes
                || self.index.recent_records() >= self.options.checkpoint_records)
            && self.put_checkpoint()?
        {
            self.put_checkpoint()?;
        }
        Ok(())
    }

    fn put(&mut self, header: &FrameHeader, body: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(&header.encode(&self.target.codec));
        self.buffer.extend_from_slice(body);
        self.written = Chain::behind(header);
        if self.buffer.len() >= COPY_BUFFER { self.flush() } else { Ok(()) }
    }

    /// True where it is to be followed by another one.
    fn put_checkpoint(&mut self) -> Result<bool> {
        // Merging reads the tables of older checkpoints from the file.
        self.flush()?;
        let Some(last) = self.written.last else { return Ok(false) };
        let at = self.written.end;
        let checkpoint = self.index.checkpoint(&self.target, at, last.sequence, self.summary)?;
        let body = checkpoint.encode(&self.target.codec);
        let header = FrameHeader::alone(
            FrameKind::Checkpoint,
            &self.target.codec,
            &body,
            FrameHeader { offset: at, previous: last.offset, durable_through: 0, ..last },
        );
        let header = FrameHeader { meta_len: 0, flags: 0, batch_before: 0, ..header };
        self.put(&header, &body)?;
        let is_long = is_long(&checkpoint);
        self.checkpoint = at;
        self.index.checkpointed(checkpoint.runs, &self.written);
        Ok(is_long)
    }

    fn flush(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        let mut rest = bytes.as_slice();
        // Going on after a short write is right here: nobody else is meant to write this file.
        while !rest.is_empty() {
            let landing = self.target.file.append(rest);
            let landing = landing.map_err(|e| Error::io(&self.path, "write", e))?;
            if landing.written == 0 {
                let needed = rest.len() as u64;
                let cause = Cause::NoSpace { needed, written: 0, source: None };
                return Err(Error::new(&self.path, cause));
            }
            if landing.offset != self.flushed {
                let why = std::io::Error::other("something else writes into the copy");
                return Err(Error::io(&self.path, "write", why));
            }
            self.flushed += landing.written as u64;
            rest = &rest[landing.written..];
        }
        self.buffer = bytes;
        self.buffer.clear();
        Ok(())
    }

    fn slot(&self, counter: u64, owner: &Owner, generation: u64) -> Slot {
        Slot {
            counter,
            generation,
            state: SlotState::Open,
            sequence: self.written.sequence(),
            tail: self.written.end,
            durable_through: self.written.end,
            checkpoint: self.checkpoint,
            opening: self.summary.opening,
            records: self.summary.records,
            void_bytes: 0,
            records_lost: 0,
            updated_ms: self.options.host.now_ms(),
            owner: owner.clone(),
        }
    }

    /// Everything is there: leaves a slot and makes file and name durable.
    fn complete(&mut self, writer: &Writer) -> Result<u64> {
        self.flush()?;
        let io = |operation| {
            let path = self.path.clone();
            move |e| Error::io(&path, operation, e)
        };
        let slot = self.slot(1, &writer.owner, writer.generation);
        let bytes = slot.encode(&self.target.codec);
        let file = &self.target.file;
        file.write_at(slot_offset(1), &bytes).map_err(io("write"))?;
        if !mutation::broken(Mutation::UnsyncedSuccessor) {
            file.sync().map_err(io("sync"))?;
        }
        let folder = folder_of(&self.path);
        self.options.disk.sync_folder(folder).map_err(io("sync the folder of"))?;
        file.len().map_err(io("look at"))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if !self.placed {
            let _ = self.options.disk.remove(&self.path);
        }
    }
}

/// The name of a copy: who makes it, of what, for the how-manieth time. No other owner ever uses it,
/// and whoever follows this owner can tell what it may have left.
fn successor_path(path: &Path, identity: &Identity, owner: &Owner) -> PathBuf {
    let Identity { journal, compactions, .. } = identity;
    folder_of(path).join(format!(".{journal}.{}.{compactions}.compact", owner.incarnation))
}

/// Removes the copies that owners may have left who did not come to their end. Their successor calls
/// this: a copy that no seal names is worthless then, whatever its maker still means to do with it. The
/// slots name owners too: damage may have taken the opening, and the seal with it, and the copy
/// would take the place of all that is appended now.
pub(crate) fn remove_left_overs<'a>(
    path: &Path,
    identity: &Identity,
    owners: impl Iterator<Item = &'a Owner>,
    options: &Options,
) {
    if mutation::broken(Mutation::FloatingSeal) {
        return;
    }
    let copies: BTreeSet<PathBuf> =
        owners.map(|owner| successor_path(path, &identity.compacted(), owner)).collect();
    for copy in copies {
        if options.disk.remove(&copy).is_ok() {
            info!(path = %path.display(), ?copy, "removed what a compaction left behind");
        }
    }
}

/// Records that are missing in the original, as ranges.
fn lost_ranges(source: &Source, end: u64) -> Result<Vec<(u64, u64)>> {
    let mut scanner = source.scanner(Chain::empty(), end);
    let mut lost: Vec<(u64, u64)> = Vec::new();
    loop {
        match scanner.step()? {
            Step::Frame if scanner.measure().missing > 0 => {
                lost.push((scanner.measure().first_missing, scanner.measure().missing));
            }
            Step::Frame | Step::Claim(_) => {}
            Step::End(_) => return Ok(lost),
        }
    }
}

fn first_frame(source: &Source, end: u64) -> Result<FrameHeader> {
    let mut scanner = source.scanner(Chain::empty(), end);
    loop {
        match scanner.step()? {
            Step::Frame => return Ok(*scanner.header()),
            Step::Claim(_) => {}
            Step::End(_) => {
                return Err(Error::invalid(&source.path, "there is nothing to compact"));
            }
        }
    }
}

impl Writer {
    /// Begins a compaction; the copy goes on while this owner appends.
    pub(crate) fn begin_copy(&self) -> impl FnOnce() -> Result<Copy> + Send + use<> {
        let (source, identity) = (self.source.clone(), self.identity.clone());
        let (owner, options, end) = (self.owner.clone(), self.options.clone(), self.chain.end);
        move || Copy::begin(source, &identity, &owner, &options, end)
    }

    /// Copies the rest, seals this file, and goes on with the new one in its place.
    pub(crate) fn finish_copy(&mut self, mut copy: Copy) -> Result<Compaction> {
        self.guard()?;
        if copy.identity.compactions != self.identity.compacted().compactions {
            return Err(Error::invalid(self.path(), "it was compacted meanwhile"));
        }
        let bytes_before = self.tail;
        copy.advance(self.chain.end)?;
        let len = copy.complete(self)?;
        let successor = copy.path.file_name().unwrap_or_default().as_bytes().to_vec();
        self.seal(Purpose::Replace, &successor, len)?;
        // From here on an opener finishes what we began, so the copy is no longer ours to remove.
        copy.placed = true;
        let path = Arc::clone(&self.source.path);
        let disk = Arc::clone(&self.options.disk);
        if let Err(error) = put_in_place(&self.source, &copy.path, &self.options) {
            return Err(self.stranded(&error));
        }
        let named = if mutation::broken(Mutation::UnsyncedRename) {
            Ok(())
        } else {
            disk.sync_folder(folder_of(&path))
        };
        let placed = named.and_then(|()| disk.open(&path, Access::Write));
        let file: Arc<dyn Storage> = match placed {
            Ok(file) => file,
            Err(error) => return Err(self.stranded(&error)),
        };
        let there = locate(&file, &path).map_err(|error| self.ended_by(error))?;
        if there.identity.journal != copy.identity.journal {
            let other = std::io::Error::other("another journal is at its path");
            return Err(self.stranded(&other));
        }
        if there.identity.compactions != copy.identity.compactions {
            // Somebody took it over, and took the seal back or compacted it again.
            return Err(self.was_replaced(file, &there));
        }
        self.adopt(file, &copy);
        self.check().map_err(|error| self.ended_by(error))?;
        let records = self.summary.records;
        info!(path = %path.display(), bytes_before, bytes_after = len, records, "compacted");
        Ok(Compaction { bytes_before, bytes_after: len, records })
    }

    fn stranded(&mut self, error: &std::io::Error) -> Error {
        let why = format!("sealed, but the compacted file could not take its place: {error}");
        let error = Error::new(self.path(), Cause::Poisoned { why });
        self.finish(error)
    }

    fn adopt(&mut self, file: Arc<dyn Storage>, copy: &Copy) {
        self.source.file = file;
        self.identity = copy.identity.clone();
        self.chain = copy.written.clone();
        self.tail = copy.written.end;
        self.index = copy.index.clone();
        self.summary = copy.summary;
        self.set_adopted(copy.checkpoint);
    }
}
