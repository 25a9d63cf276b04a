//! Taking the next generation: claim, settle what was inherited, open.

use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};

use crate::chain::Chain;
use crate::error::{Cause, Error, Result, is_no_space};
use crate::format::{
    ClaimBody, FrameHeader, FrameKind, NUMBER_LIMIT, OpeningBody, PAGE_LEN, SlotState,
    encode_identity,
};
use crate::identity::{Incarnation, Liveness, Owner};
use crate::index::Source;
use crate::locate::Start;
use crate::mutation::{self, Mutation};
use crate::opening::{Look, Outcome};
use crate::options::Options;
use crate::position::Generation;
use crate::repair::Holder;
use crate::replace;
use crate::report::{OpenReason, Opening, RepairReport};
use crate::settling::settle;
use crate::storage::{Attachment, Storage};
use crate::survey::{Standing, Survey};
use crate::writer::{DurableThrough, Opened, Writer, control};

/// What a takeover needs on a full disk: a claim, and an opening without its report.
const RESERVED_BYTES: u64 = 4 << 10;
/// … and what a hole in the report takes.
const HOLE_BYTES: u64 = 33;
/// Left free below the limit of numbers: no owner lives to use so many.
const NUMBERS_KEPT: u64 = 1 << 40;
/// What is being taken over, and by whom.
pub(crate) struct Takeover<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) options: &'a Options,
    /// Who held it before.
    pub(crate) previous: Standing,
    pub(crate) holder: Holder,
    pub(crate) reason: OpenReason,
}

/// A claim that took its generation and does not name all that its author would have to settle. Its
/// author claims again, still in the place of whoever held the journal before it.
#[derive(Debug)]
pub(crate) struct Superseded {
    pub(crate) incarnation: Incarnation,
    pub(crate) previous: Standing,
    pub(crate) holder: Holder,
}

impl Takeover<'_> {
    /// What its claim was, to whoever claims again behind it.
    fn superseded(&self) -> Superseded {
        let (previous, holder) = (self.previous.clone(), self.holder);
        Superseded { incarnation: self.owner.incarnation, previous, holder }
    }
}

/// Nothing that this owner began is still under way. A local file system is mounted by one kernel at a
/// time, so an owner of another boot ended with that.
fn is_surely_gone(other: &Owner, taking: &Takeover<'_>) -> bool {
    let Takeover { owner, options, .. } = taking;
    let known = |boot: [u8; 16]| boot != [0; 16];
    let other_boot = known(owner.boot_id)
        && known(other.boot_id)
        && owner.boot_id != other.boot_id
        && !options.allow_any_filesystem;
    other_boot || options.host.liveness(other) == Liveness::Gone
}

/// A claim of ours.
struct Claim {
    generation: u64,
    incarnation: Incarnation,
    at: u64,
    end: u64,
    /// How far we had read when we wrote it, and what the chain ended with.
    examined: u64,
    chain: Chain,
}

impl Claim {
    /// Whether whoever reads it knows which chain we found.
    fn names(&self, survey: &Survey) -> bool {
        let unnamed = [
            Mutation::UnnamedSettling,
            Mutation::NoSecondLook,
            Mutation::EveryClaimWins,
            Mutation::IncompleteIsDead,
        ];
        (self.at == self.examined && self.chain == survey.chain)
            || unnamed.into_iter().any(mutation::broken)
    }
}

/// What a second look at the file found.
enum Again {
    Same,
    Changed,
    /// A higher generation.
    TakenOver,
}

/// Claims the generation, settles what was inherited, and writes the opening.
pub(crate) fn take(look: &mut Look, taking: &Takeover<'_>) -> Result<Outcome> {
    let Takeover { owner, options, .. } = *taking;
    let path = Arc::clone(&look.source.path);
    let file = Arc::clone(&look.source.file);
    // Not to claim a file that left its name since it was opened.
    if file.attachment().map_err(|e| Error::io(&path, "look at", e))? != Attachment::Attached {
        return Ok(Outcome::Again(None));
    }
    let holes = look.survey.new_holes(u64::MAX).holes.len() as u64;
    let room = RESERVED_BYTES + holes * HOLE_BYTES;
    file.reserve(room).map_err(|e| Error::io(&path, "reserve room in", e))?;

    let inherited = look.survey.durable_through;
    #[cfg(feature = "mutations")]
    truncate_torn_tail(look)?;
    fill_header_page(&file, &path)?;
    let claim = write_claim(look, owner, options)?;

    look.survey.pass(&mut look.index)?;
    if look.survey.seal.is_some() {
        // Sealed since we looked: what we claimed goes with the file.
        return Ok(Outcome::Again(None));
    }
    if !has_won(&look.survey, &claim, owner) {
        return Ok(Outcome::Lost(lost(look, options)));
    }
    let released = look.survey.chain.is_soundly_released();
    if !released {
        if !claim.names(&look.survey) {
            return Ok(Outcome::Superseded(taking.superseded()));
        }
        let unsynced = [Mutation::UnnamedSettling, Mutation::UnsyncedClaim];
        if !unsynced.into_iter().any(mutation::broken) {
            sync_claim(&*file, &path)?;
        }
    }
    let from = if mutation::broken(Mutation::NoSettling) { claim.at } else { inherited };
    let settled = settle(&look.source, from, claim.end)?;
    // Between a claim that others have seen and its opening there must be no power loss that takes
    // the claim: a generation is never claimed twice (H11).
    if !(released && mutation::broken(Mutation::UnsyncedClaim)) {
        sync_claim(&*file, &path)?;
    }
    // Nor one that takes the name of a compacted file, whose owner may not have synced the folder:
    // the file before it would come back, and give the same generation away.
    if look.located.identity.compactions > 0 {
        let folder = path.parent().unwrap_or(Path::new("."));
        let synced = options.disk.sync_folder(folder);
        synced.map_err(|e| Error::io(&path, "sync the folder of", e))?;
    }
    // Asked before the last look, which sees all that was written by whoever is gone by then.
    let may_come_back = look.survey.may_come_back(|other| is_surely_gone(other, taking));
    match look.again(&claim)? {
        Again::Same => {}
        Again::Changed => return Ok(Outcome::Again(Some(taking.superseded()))),
        Again::TakenOver => return Ok(Outcome::Lost(lost(look, options))),
    }
    if !mutation::broken(Mutation::PendingForgotten) {
        look.survey.expect_back(may_come_back);
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
    announce(&path, taking.reason, claim.generation, &report);
    open_generation(look, taking, &claim, report)
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

fn sync_claim(file: &dyn Storage, path: &Path) -> Result<()> {
    file.sync().map_err(|e| Error::io(path, "sync the claim in", e))
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

impl Look {
    /// Looks again, after settling, at what the survey found before our claim. Pages whose sync failed
    /// once may leave the memory at any time, and come back as they were on the disk; settled ones
    /// stay (H9). In front of a sound release everything was synced.
    fn again(&mut self, claim: &Claim) -> Result<Again> {
        let unverified = [
            Mutation::UnverifiedSettling,
            Mutation::IncompleteIsDead,
            Mutation::NoSettling,
            Mutation::NoSecondLook,
        ];
        if unverified.into_iter().any(mutation::broken) {
            return Ok(Again::Same);
        }
        let unasked = [Mutation::UnverifiedClaim, Mutation::EveryClaimWins];
        let unasked = unasked.into_iter().any(mutation::broken);
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
        } else if same
            && again.chain == self.survey.chain
            && (again.standing.claim == Some((claim.at, claim.incarnation)) || unasked)
        {
            Ok(Again::Same)
        } else {
            Ok(Again::Changed)
        }
    }
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

fn must_have_numbers_left(path: &Path, number: u64) -> Result<()> {
    if number < NUMBER_LIMIT - NUMBERS_KEPT {
        return Ok(());
    }
    Err(Error::invalid(path, "its numbers are used up: a slot or a frame of it lies"))
}

fn write_claim(look: &Look, owner: &Owner, options: &Options) -> Result<Claim> {
    let Look { source, survey, .. } = look;
    let replaces = survey.standing.generation;
    let generation = replaces.max(look.located.slot_generation) + 1;
    let sequence = survey.chain.sequence() + survey.lost_at_end();
    must_have_numbers_left(&source.path, generation.max(sequence))?;
    let body = ClaimBody { replaces, owner: owner.clone() }.encode();
    let header = FrameHeader::alone(
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
            ..FrameHeader::BLANK
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
    Ok(Claim {
        generation,
        incarnation: owner.incarnation,
        at: landing.offset,
        end: landing.offset + frame.len() as u64,
        examined: survey.examined,
        chain: survey.chain.clone(),
    })
}

fn no_space(path: &Path, needed: usize, written: usize) -> Error {
    let (needed, written) = (needed as u64, written as u64);
    Error::new(path, Cause::NoSpace { needed, written, source: None })
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
    taking: &Takeover<'_>,
    claim: &Claim,
    report: RepairReport,
) -> Result<Outcome> {
    let Takeover { owner, options, previous, reason, .. } = taking;
    let (owner, options, reason) = (*owner, *options, *reason);
    let survey = &look.survey;
    let mut sequence = survey.chain.sequence() + survey.lost_at_end();
    if mutation::broken(Mutation::ReuseSequenceAfterLoss) {
        sequence = survey.chain.sequence();
    }
    must_have_numbers_left(&look.source.path, sequence)?;
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
        durable: DurableThrough { offset: claim.end, sequence: survey.durable_sequence() },
        index: look.index.clone(),
        summary: survey.summary,
        last_checksum: last_checksum(look)?,
        slot_counter: look.located.slot_counter,
        checkpoint: look.checkpoint,
    });
    let now = options.host.now_ms();
    let landed = match writer.land(&[&[control(FrameKind::Opening, &body, now)]]) {
        Ok(landed) => landed,
        Err(error) => return not_opened(&writer, error, taking),
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
    if reason != OpenReason::Released {
        let slots = &look.located.slot_owners;
        replace::remove_left_overs(
            &look.source.path,
            &look.located.identity,
            previous.owner.iter().chain(slots).filter(|one| one.incarnation != owner.incarnation),
            options,
        );
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

/// An opening that does not stand, or not behind the claim that was the highest: somebody else was
/// faster, or wrote where we had seen nothing. There is no record of ours that could be unknown.
fn not_opened(writer: &Writer, error: Error, taking: &Takeover<'_>) -> Result<Outcome> {
    match writer.guard() {
        Err(fenced) if matches!(fenced.cause(), Cause::Fenced { .. }) => Ok(Outcome::Lost(fenced)),
        _ if matches!(error.cause(), Cause::Poisoned { .. }) => {
            Ok(Outcome::Again(Some(taking.superseded())))
        }
        _ => Err(error),
    }
}
