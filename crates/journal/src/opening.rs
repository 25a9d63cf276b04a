//! From a path to an owner: create, or survey, decide, claim, settle, open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::chain::Chain;
use crate::error::{Cause, Error, Result, is_no_space};
use crate::format::{
    ClaimBody, Codec, FORMAT_VERSION, FrameHeader, FrameKind, HEADER_LEN, Identity, NUMBER_LIMIT,
    OpeningBody, PAGE_LEN, Slot, SlotState, Summary, encode_identity, encode_page,
};
use crate::identity::{JournalId, Liveness, Owner};
use crate::index::{Index, Source};
use crate::locate::{Located, Start, index_at, locate, start};
use crate::mutation::{self, Mutation};
use crate::name::SessionName;
use crate::options::Options;
use crate::position::Generation;
use crate::repair::{Decision, Facts, Holder, Sealed};
use crate::replace;
use crate::report::{OpenReason, Opening, RepairReport};
use crate::scan::ChainFrame;
use crate::storage::{Access, Attachment, Filesystem, Storage};
use crate::survey::{Standing, Survey, Visitor};
use crate::writer::{DurableThrough, Opened, Writer, control};

/// What a takeover needs on a full disk: a claim, and an opening without its report.
const RESERVED_BYTES: u64 = 4 << 10;
/// … and what a hole in the report takes.
const HOLE_BYTES: u64 = 33;
/// No owner lives to see so many generations and records: nothing below the limit is near it.
const NUMBERS_KEPT: u64 = 1 << 40;
/// How much is settled at once.
const SETTLE_CHUNK: u64 = 1 << 20;

impl Visitor for Index {
    fn frame(&mut self, frame: &ChainFrame, body: &[u8]) {
        self.note_frame(frame, body);
    }
}

// ---- creating ------------------------------------------------------------------------------

/// Creates a journal, whole or not at all, and owns its first generation.
pub(crate) fn create(
    path: &Path,
    name: &SessionName,
    options: &Options,
) -> Result<(Writer, Opening)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let folder = options.disk.canonical(folder).map_err(|e| Error::io(folder, "find", e))?;
    let file_name =
        path.file_name().ok_or_else(|| Error::invalid(path, "a file name is missing"))?;
    let path: Arc<Path> = Arc::from(folder.join(file_name));
    must_be_writable_here(&folder, &path, options)?;

    let io = |operation| move |e| (operation, e);
    let failed = |(operation, e): (&'static str, std::io::Error)| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            return Error::new(&path, Cause::AlreadyExists);
        }
        Error::io(&path, operation, e)
    };
    let mut random = [0; 24];
    options.host.fill_random(&mut random).map_err(io("find randomness")).map_err(failed)?;
    let (id, salt) = random.split_at(16);
    let identity = Identity {
        version: FORMAT_VERSION,
        journal: JournalId::from_bytes(id.try_into().unwrap_or_default()),
        salt: u64::from_le_bytes(salt.try_into().unwrap_or_default()),
        created_ms: options.host.now_ms(),
        compactions: 0,
        name: name.clone(),
    };
    let owner = options.host.owner(&options.label).map_err(io("say who we are")).map_err(failed)?;
    let content = first_content(&identity, &owner, options);
    let made = if mutation::broken(Mutation::CreateInPlace) {
        create_in_place(&path, &content, options)
    } else {
        options.disk.create(&path, &content)
    };
    let file = match made.map_err(io("create")) {
        Ok(file) => file,
        Err(error) => {
            options.host.retire(&owner);
            return Err(failed(error));
        }
    };
    info!(path = %path.display(), %name, "created");
    let codec = Codec::new(identity.salt);
    let source = Source { file, path, codec };
    let chain = chain_of_new(&source).inspect_err(|_| options.host.retire(&owner))?;
    let writer = Writer::new(Opened {
        index: Index::new(identity.journal, codec, &chain, None),
        source,
        identity,
        options: options.clone(),
        owner,
        generation: 1,
        sequence: 0,
        tail: chain.end,
        unsettled: false,
        durable: DurableThrough { offset: chain.end, sequence: 0 },
        summary: Summary { opening: PAGE_LEN, ..Summary::default() },
        chain,
        last_checksum: 0,
        slot_counter: 0,
        checkpoint: 0,
    });
    let opening = Opening {
        generation: Generation::new(1),
        previous_generation: Generation::new(0),
        previous_owner: None,
        reason: OpenReason::Created,
        report: RepairReport::default(),
    };
    Ok((writer, opening))
}

/// The wrong way: others meet the file before it is whole.
fn create_in_place(path: &Path, content: &[u8], options: &Options) -> io::Result<Arc<dyn Storage>> {
    let file = options.disk.create_new(path)?;
    file.append(content)?;
    Ok(file)
}

/// Header page and first opening.
fn first_content(identity: &Identity, owner: &Owner, options: &Options) -> Vec<u8> {
    let codec = Codec::new(identity.salt);
    let body = OpeningBody {
        identity: identity.clone(),
        previous_generation: 0,
        reason: OpenReason::Created,
        claim: 0,
        last_frame: 0,
        owner: owner.clone(),
        previous_owner: None,
        report: RepairReport::default(),
    }
    .encode();
    let now = options.host.now_ms();
    let header = alone(
        FrameKind::Opening,
        &codec,
        &body,
        FrameHeader {
            incarnation: owner.incarnation.short(),
            generation: 1,
            offset: PAGE_LEN,
            time_ms: now,
            ..BLANK
        },
    );
    let slot = Slot {
        counter: 0,
        generation: 1,
        state: SlotState::Open,
        sequence: 0,
        tail: header.end(),
        durable_through: header.end(),
        checkpoint: 0,
        opening: PAGE_LEN,
        records: 0,
        void_bytes: 0,
        records_lost: 0,
        updated_ms: now,
        owner: owner.clone(),
    };
    let mut content = encode_page(identity, &slot, &codec);
    content.extend_from_slice(&header.encode(&codec));
    content.extend_from_slice(&body);
    content
}

/// A header with nothing in it yet.
pub(crate) const BLANK: FrameHeader = FrameHeader {
    kind: FrameKind::Record,
    flags: 0,
    meta_len: 0,
    payload_len: 0,
    body_checksum: 0,
    incarnation: 0,
    generation: 0,
    sequence: 0,
    offset: 0,
    batch_before: 0,
    batch_len: 0,
    previous: 0,
    time_ms: 0,
    durable_through: 0,
};

/// The header of a frame that is a batch of its own, with this body.
pub(crate) fn alone(
    kind: FrameKind,
    codec: &Codec,
    body: &[u8],
    fields: FrameHeader,
) -> FrameHeader {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    FrameHeader {
        kind,
        payload_len: len,
        batch_len: len.saturating_add(u32::try_from(HEADER_LEN).unwrap_or(0)),
        body_checksum: codec.checksum(&[body]),
        ..fields
    }
}

fn chain_of_new(source: &Source) -> Result<Chain> {
    let first = crate::locate::read_frame(&*source.file, &source.path, &source.codec, PAGE_LEN)?;
    match first {
        Some((header, _)) => Ok(Chain::behind(&header)),
        None => {
            Err(Error::new(&source.path, Cause::Detached { how: "another file is at its path" }))
        }
    }
}

fn must_be_writable_here(at: &Path, path: &Path, options: &Options) -> Result<()> {
    if options.allow_any_filesystem {
        return Ok(());
    }
    match options.disk.filesystem(at).map_err(|e| Error::io(path, "ask for its file system", e))? {
        Filesystem::Local => Ok(()),
        Filesystem::Remote(filesystem) => {
            Err(Error::new(path, Cause::UnsupportedFilesystem { filesystem }))
        }
    }
}

// ---- opening -------------------------------------------------------------------------------

/// Opens a journal for writing: takes the next generation, or says why not.
pub(crate) fn open(path: &Path, options: &Options) -> Result<(Writer, Opening)> {
    let path = options.disk.canonical(path).map_err(|e| Error::io(path, "open", e))?;
    must_be_writable_here(&path, &path, options)?;
    let mut lost_to = None;
    for attempt in 0..options.claim_attempts.max(1) {
        if attempt > 0 {
            back_off(options, attempt);
        }
        // A fresh incarnation each time: no two claims are of one.
        let owner = options.host.owner(&options.label);
        let owner = owner.map_err(|e| Error::io(&path, "say who we are", e))?;
        let outcome = try_open(&path, options, &owner);
        if !matches!(outcome, Ok(Outcome::Opened(_))) {
            options.host.retire(&owner);
        }
        match outcome? {
            Outcome::Opened(opened) => return Ok(*opened),
            Outcome::Lost(error) => lost_to = Some(error),
            Outcome::Again => {}
        }
    }
    Err(lost_to.unwrap_or_else(|| {
        Error::new(&path, Cause::Detached { how: "it was replaced again and again" })
    }))
}

enum Outcome {
    Opened(Box<(Writer, Opening)>),
    /// Another claim was first; the error names its author.
    Lost(Error),
    /// The file was replaced meanwhile.
    Again,
}

/// Two willing takers alternate for ever unless one of them waits longer (H27).
fn back_off(options: &Options, attempt: u32) {
    let mut random = [0; 2];
    let _ = options.host.fill_random(&mut random);
    let most = 1_u64 << attempt.min(7);
    let wait = u64::from(u16::from_le_bytes(random)) % (most * 100);
    options.host.pause(Duration::from_micros(wait * 10));
}

/// What a second look at the file found.
enum Again {
    Same,
    Changed,
    /// A higher generation.
    TakenOver,
}

/// Everything that an opening knows of the file.
struct Look {
    source: Source,
    located: Located,
    start: Start,
    survey: Survey,
    index: Index,
    checkpoint: u64,
}

fn look(path: &Arc<Path>, options: &Options) -> Result<Look> {
    let file = options.disk.open(path, Access::Write);
    let file = file.map_err(|e| Error::io(path, "open", e))?;
    let located = locate(&file, path)?;
    let start = if options.full_scan {
        Start { chain: Chain::empty(), checkpoint: None }
    } else {
        start(&*file, path, &located)?
    };
    let checkpoint = start.checkpoint.as_ref().map_or(0, |_| start.chain.last_offset());
    let source = Source { file, path: Arc::clone(path), codec: located.codec };
    let mut survey = Survey::new(&source.file, path, &located, &start);
    let mut index = index_at(&located, &start);
    survey.pass(&mut index)?;
    Ok(Look { source, located, start, survey, index, checkpoint })
}

/// A file that was cut within its header page gets dead bytes up to its end: frames begin behind it.
fn fill_header_page(file: &Arc<dyn Storage>, path: &Path) -> Result<()> {
    let len = file.len().map_err(|e| Error::io(path, "look at", e))?;
    if len >= PAGE_LEN {
        return Ok(());
    }
    let zeros = vec![0; usize::try_from(PAGE_LEN - len).unwrap_or(0)];
    file.append(&zeros).map_err(|e| Error::io(path, "append to", e))?;
    Ok(())
}

impl Look {
    /// Looks again, after settling, at what the survey found before our claim. Pages whose sync failed
    /// once may leave the memory at any time, and come back as they were on the disk; settled ones
    /// stay (H9). In front of a sound release everything was synced.
    fn again(&mut self, claim: &Claim) -> Result<Again> {
        let Source { file, path, .. } = &self.source;
        let release = self.survey.chain.last.filter(|_| self.survey.chain.is_soundly_released());
        let start = release.map_or_else(
            || self.start.clone(),
            |last| Start { chain: Chain::before(last.offset, last.sequence), checkpoint: None },
        );
        let mut again = Survey::new(file, path, &self.located, &start);
        again.pass(&mut ())?;
        let found = |survey: &Survey| (survey.summary.records, survey.new_holes(claim.at));
        let same = release.is_some() || found(&again) == found(&self.survey);
        if again.standing.generation > claim.generation {
            self.survey.standing = again.standing;
            Ok(Again::TakenOver)
        } else if same && again.chain == self.survey.chain {
            Ok(Again::Same)
        } else {
            Ok(Again::Changed)
        }
    }

    fn holder(&self, options: &Options) -> Holder {
        let standing = &self.survey.standing;
        let released = self.survey.chain.is_released()
            && self.survey.chain.generation() == standing.generation;
        if released || standing.generation == 0 {
            return Holder::Nobody;
        }
        let liveness = |owner| options.host.liveness(owner);
        Holder::Somebody(standing.owner.as_ref().map_or(Liveness::Unknown, liveness))
    }

    fn sealed(&self) -> Sealed {
        match &self.survey.seal {
            None => Sealed::No,
            Some(seal) if seal.path == path_bytes(&self.source.path) => Sealed::Here,
            Some(_) => Sealed::Elsewhere,
        }
    }

    fn held_by(&self, holder: Holder) -> Error {
        let alive = match holder {
            Holder::Somebody(Liveness::Alive) => Some(true),
            Holder::Somebody(Liveness::Gone) => Some(false),
            _ => None,
        };
        let standing = &self.survey.standing;
        let generation = Generation::new(standing.generation);
        let owner = standing.owner.clone();
        Error::new(&self.source.path, Cause::HeldBy { generation, owner, alive })
    }
}

/// A path as the bytes that a seal keeps.
pub(crate) fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// The path that a seal keeps.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

fn try_open(path: &Path, options: &Options, owner: &Owner) -> Result<Outcome> {
    let path: Arc<Path> = Arc::from(path);
    let mut look = look(&path, options)?;
    let holder = look.holder(options);
    let mut report = look.survey.new_holes(u64::MAX);
    report.header_damaged = look.located.header_damaged;
    let facts = Facts {
        sealed: look.sealed(),
        new_holes: !report.is_clean(),
        auto_repair: options.auto_repair,
        holder,
        policy: options.takeover,
    };
    let reason = match facts.decide() {
        Decision::Open(reason) => reason,
        Decision::FinishSeal => {
            let Some(seal) = look.survey.seal.clone() else { return Ok(Outcome::Again) };
            replace::finish_seal(&look.source, &look.survey, &seal, owner, options)?;
            return Ok(Outcome::Again);
        }
        Decision::RefuseSealed => {
            let seal = look.survey.seal.as_ref();
            let there = seal.map(|seal| path_from_bytes(&seal.path)).unwrap_or_default();
            let purpose = seal.map_or("replaced", |seal| replace::purpose_word(seal.purpose));
            return Err(Error::new(&path, Cause::Sealed { purpose, path: there }));
        }
        Decision::RefuseHeld => return Err(look.held_by(holder)),
        Decision::RefuseUnrepaired => {
            return Err(Error::new(&path, Cause::NeedsRepair { report }));
        }
    };
    take(&mut look, reason, owner, options)
}

/// Claims the generation, settles what was inherited, and writes the opening.
fn take(look: &mut Look, reason: OpenReason, owner: &Owner, options: &Options) -> Result<Outcome> {
    let path = Arc::clone(&look.source.path);
    let file = Arc::clone(&look.source.file);
    // Not to claim a file that left its name since it was opened.
    if file.attachment().map_err(|e| Error::io(&path, "look at", e))? != Attachment::Attached {
        return Ok(Outcome::Again);
    }
    let holes = look.survey.new_holes(u64::MAX).holes.len() as u64;
    let room = RESERVED_BYTES + holes * HOLE_BYTES;
    file.reserve(room).map_err(|e| Error::io(&path, "reserve room in", e))?;

    let previous = look.survey.standing.clone();
    let generation = previous.generation.max(look.located.slot_generation) + 1;
    let inherited = look.survey.durable_through;
    let sequence = look.survey.chain.sequence() + look.survey.lost_at_end();
    if generation.max(sequence) >= NUMBER_LIMIT - NUMBERS_KEPT {
        return Err(Error::invalid(&path, "its numbers are used up: a slot or a frame of it lies"));
    }
    #[cfg(feature = "mutations")]
    truncate_torn_tail(look)?;
    fill_header_page(&file, &path)?;
    let claim = write_claim(look, generation, owner, options)?;

    look.survey.pass(&mut look.index)?;
    if look.survey.seal.is_some() {
        // Sealed since we looked: what we claimed goes with the file.
        return Ok(Outcome::Again);
    }
    if !has_won(&look.survey, &claim, owner) {
        return Ok(Outcome::Lost(lost(look, options)));
    }
    let released = look.survey.chain.is_soundly_released();
    let from = if mutation::broken(Mutation::NoSettling) { claim.at } else { inherited };
    let settled = settle(&look.source, from, claim.end)?;
    // Between a claim that others have seen and its opening there must be no power loss that takes
    // the claim: a generation is never claimed twice (H11).
    if !(released && mutation::broken(Mutation::UnsyncedClaim)) {
        file.sync().map_err(|e| Error::io(&path, "sync the claim in", e))?;
    }
    // Nor one that takes the name of a compacted file, whose owner may not have synced the folder:
    // the file before it would come back, and give the same generation away.
    if look.located.identity.compactions > 0 {
        let folder = path.parent().unwrap_or(Path::new("."));
        let synced = options.disk.sync_folder(folder);
        synced.map_err(|e| Error::io(&path, "sync the folder of", e))?;
    }
    let unverified = [
        Mutation::UnverifiedSettling,
        Mutation::IncompleteIsDead,
        Mutation::NoSettling,
        Mutation::NoSecondLook,
    ];
    if !unverified.into_iter().any(mutation::broken) {
        match look.again(&claim)? {
            Again::Same => {}
            Again::Changed => return Ok(Outcome::Again),
            Again::TakenOver => return Ok(Outcome::Lost(lost(look, options))),
        }
    }
    let mut report = look.survey.new_holes(claim.at);
    report.header_damaged = look.located.header_damaged;
    report.settled_bytes = if released { 0 } else { settled };
    if report.header_damaged {
        restore_identity(look)?;
    }
    if look.survey.lost_at_end() > 0 {
        look.index.note_loss();
    }
    announce(&path, reason, generation, &report);
    open_generation(look, reason, owner, options, &previous, &claim, report)
}

/// Whether this claim is the one that took its generation, and no higher one stands in what was
/// read (H1).
fn has_won(survey: &Survey, claim: &Claim, owner: &Owner) -> bool {
    let standing = &survey.standing;
    if standing.generation > claim.generation {
        return mutation::broken(Mutation::NoSecondLook);
    }
    if mutation::broken(Mutation::EveryClaimWins) {
        return standing.generation == claim.generation;
    }
    let is_first = standing.claim == Some((claim.at, owner.incarnation));
    // Where damage hid what this claim replaces, another one may have opened the same generation.
    let is_open = survey.chain.generation() >= claim.generation;
    standing.generation == claim.generation && is_first && !is_open
}

/// Only with [`Mutation::TruncateTornTail`]: what others appended since the look goes too.
#[cfg(feature = "mutations")]
fn truncate_torn_tail(look: &mut Look) -> Result<()> {
    if look.survey.tail_dead.is_empty() || !mutation::broken(Mutation::TruncateTornTail) {
        return Ok(());
    }
    let cut = look.source.file.truncate(look.survey.chain.end);
    cut.map_err(|e| Error::io(&look.source.path, "truncate", e))?;
    look.survey.pass(&mut look.index)
}

/// Writes the identity into the header page again, as the frames repeat it: the same bytes that
/// stood there. The slots are not touched.
fn restore_identity(look: &Look) -> Result<()> {
    let bytes = encode_identity(&look.located.identity);
    let restored = look.source.file.write_at(0, &bytes);
    restored.map_err(|e| Error::io(&look.source.path, "restore the header page of", e))
}

fn lost(look: &Look, options: &Options) -> Error {
    look.held_by(look.holder(options))
}

fn announce(path: &Path, reason: OpenReason, generation: u64, report: &RepairReport) {
    info!(path = %path.display(), generation, %reason, "claimed");
    if !report.is_clean() {
        warn!(path = %path.display(), generation, %report, "repaired");
    }
}

struct Claim {
    generation: u64,
    at: u64,
    end: u64,
}

fn write_claim(look: &Look, generation: u64, owner: &Owner, options: &Options) -> Result<Claim> {
    let Look { source, survey, .. } = look;
    let replaces = survey.standing.generation;
    let body = ClaimBody { replaces, owner: owner.clone() }.encode();
    let header = alone(
        FrameKind::Claim,
        &source.codec,
        &body,
        FrameHeader {
            incarnation: owner.incarnation.short(),
            generation,
            sequence: survey.chain.sequence(),
            offset: survey.examined,
            previous: survey.chain.last_offset(),
            time_ms: options.host.now_ms(),
            durable_through: survey.durable_through,
            ..BLANK
        },
    );
    let mut frame = header.encode(&source.codec).to_vec();
    frame.extend_from_slice(&body);
    let landing = source.file.append(&frame).map_err(|error| {
        if is_no_space(&error) {
            no_space(&source.path, frame.len(), 0)
        } else {
            Error::io(&source.path, "append a claim to", error)
        }
    })?;
    if landing.written < frame.len() {
        return Err(no_space(&source.path, frame.len(), landing.written));
    }
    if landing.offset < survey.examined {
        let (expected, found) = (survey.examined, landing.offset);
        return Err(Error::new(&source.path, Cause::Shortened { expected, found }));
    }
    Ok(Claim { generation, at: landing.offset, end: landing.offset + frame.len() as u64 })
}

fn no_space(path: &Path, needed: usize, written: usize) -> Error {
    let (needed, written) = (needed as u64, written as u64);
    Error::new(path, Cause::NoSpace { needed, written, source: None })
}

/// Writes inherited bytes again, identical, in place, so that the next sync makes them durable: one
/// that failed for an owner or a claimer before left pages in memory that the kernel calls clean
/// (H9). Says how many.
fn settle(source: &Source, from: u64, to: u64) -> Result<u64> {
    let io = |operation| move |e| Error::io(&source.path, operation, e);
    let from = from.max(PAGE_LEN);
    let mut at = from;
    let mut bytes = Vec::new();
    while at < to {
        let len = usize::try_from((to - at).min(SETTLE_CHUNK)).unwrap_or(0);
        bytes.resize(len, 0);
        let read = source.file.read_at(at, &mut bytes).map_err(io("read"))?;
        if read == 0 {
            break;
        }
        source.file.write_at(at, &bytes[..read]).map_err(io("settle"))?;
        at += read as u64;
    }
    Ok(at.saturating_sub(from))
}

/// The checksum of the last record, which may stand before the checkpoint that we began at.
fn last_checksum(look: &Look) -> Result<u32> {
    let (survey, last) = (&look.survey, look.survey.chain.sequence());
    if survey.lost_at_end() > 0 {
        // The mark is of a record that nobody can read any more.
        return Ok(0);
    }
    if survey.last_record_checksum != 0 {
        return Ok(survey.last_record_checksum);
    }
    look.index.checksum_of(&look.source, last, survey.chain.end)
}

fn open_generation(
    look: &mut Look,
    reason: OpenReason,
    owner: &Owner,
    options: &Options,
    previous: &Standing,
    claim: &Claim,
    report: RepairReport,
) -> Result<Outcome> {
    let survey = &look.survey;
    let mut sequence = survey.chain.sequence() + survey.lost_at_end();
    if mutation::broken(Mutation::ReuseSequenceAfterLoss) {
        sequence = survey.chain.sequence();
    }
    let body = OpeningBody {
        identity: look.located.identity.clone(),
        previous_generation: previous.generation,
        reason,
        claim: claim.at,
        last_frame: survey.chain.last_offset(),
        owner: owner.clone(),
        previous_owner: previous.owner.clone(),
        report: report.clone(),
    }
    .encode();
    let mut writer = Writer::new(Opened {
        source: look.source.clone(),
        identity: look.located.identity.clone(),
        options: options.clone(),
        owner: owner.clone(),
        generation: claim.generation,
        chain: survey.chain.clone(),
        sequence,
        tail: survey.examined,
        unsettled: survey.examined > claim.end,
        // The claim was synced, and everything before it with it.
        durable: DurableThrough { offset: claim.end, sequence },
        index: look.index.clone(),
        summary: survey.summary,
        last_checksum: last_checksum(look)?,
        slot_counter: look.located.slot_counter,
        checkpoint: look.checkpoint,
    });
    let now = options.host.now_ms();
    let landed = match writer.land(&[&[control(FrameKind::Opening, &body, now)]]) {
        Ok(landed) => landed,
        Err(error) if matches!(error.cause(), Cause::Fenced { .. }) => {
            return Ok(Outcome::Lost(error));
        }
        Err(error) => return Err(error),
    };
    if let Some(refused) = landed.refused {
        return Err(refused);
    }
    writer.summary.opening = landed.start;
    writer.summary.records_lost += look.survey.lost_at_end();
    // A slot vouches for the batches that end below its durable-through, and torn ones may stand
    // before the claim: until the opening is durable it vouches for the chain before it only.
    writer.durable.offset = look.survey.chain.end;
    writer.write_slot(SlotState::Open);
    if let Some(owner) = previous.owner.as_ref().filter(|_| reason != OpenReason::Released) {
        replace::remove_left_over(&look.source.path, &look.located.identity, owner, options);
    }
    let opening = Opening {
        generation: Generation::new(writer.generation),
        previous_generation: Generation::new(previous.generation),
        previous_owner: previous.owner.clone(),
        reason,
        report,
    };
    Ok(Outcome::Opened(Box::new((writer, opening))))
}
