//! Facts about a journal for people and scripts: who owns it, where it ends, what is wrong with it,
//! what happened to it. Writes nothing and works on a live file.

use std::path::Path;
use std::sync::Arc;

use crate::chain::Chain;
use crate::error::{Error, Result};
use crate::format::{FORMAT_VERSION, FrameKind, OpeningBody, SlotState};
use crate::host::Host;
use crate::identity::{JournalId, Liveness, Owner};
use crate::index::Source;
use crate::locate::{Located, Start, locate, start};
use crate::name::SessionName;
use crate::position::{Generation, Offset, Sequence};
use crate::record::Verdict;
use crate::report::{Hole, OpenReason, RepairReport};
use crate::scan::{ChainFrame, ClaimFrame};
use crate::storage::{Access, Disk, LocalDisk};
use crate::survey::{Survey, Visitor};

/// How a journal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Owned, by an owner that is alive or of which nothing is known here.
    Open,
    /// Released by its last owner.
    Released,
    /// Not released, and its owner is provably gone.
    Orphaned,
    /// Being deleted or replaced.
    Sealed,
}

impl State {
    /// The word for it in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "released",
            Self::Orphaned => "orphaned",
            Self::Sealed => "sealed",
        }
    }

    /// The state of a generation whose slot or chain says this of it.
    pub(crate) fn of(sealed: bool, released: bool, liveness: Option<Liveness>) -> Self {
        if sealed {
            Self::Sealed
        } else if released {
            Self::Released
        } else if liveness == Some(Liveness::Gone) {
            Self::Orphaned
        } else {
            Self::Open
        }
    }
}

/// One journal, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The journal.
    pub id: JournalId,
    /// The session that it holds.
    pub name: SessionName,
    /// Version of its format.
    pub format: u32,
    /// When it was created, ms since the epoch.
    pub created_ms: i64,
    /// Time of its last frame, ms since the epoch.
    pub updated_ms: i64,
    /// The current generation.
    pub generation: Generation,
    /// How it stands.
    pub state: State,
    /// Who holds, or held, the current generation; none once it was released.
    pub owner: Option<Owner>,
    /// What is known of the owner's process.
    pub liveness: Option<Liveness>,
    /// How many records there are.
    pub records: u64,
    /// The last record.
    pub last_sequence: Sequence,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// End of the chain.
    pub tail: Offset,
    /// Bytes that are no frame of the chain: claims, torn writes, what came too late.
    pub void_bytes: u64,
    /// Everything below was synced, as far as the file knows.
    pub durable_through: Offset,
    /// The header page does not verify; identity was found in the frames.
    pub header_damaged: bool,
    /// Torn places: never acknowledged as durable.
    pub torn: Vec<Hole>,
    /// Damaged places: acknowledged as durable once.
    pub damage: Vec<Hole>,
    /// How often the file was replaced by a compacted one.
    pub compactions: u32,
}

/// What reading every byte found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Nothing acknowledged is damaged, and the header page verifies.
    pub ok: bool,
    /// How many records there are.
    pub records: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Bytes that are no frame of the chain.
    pub void_bytes: u64,
    /// The header page does not verify.
    pub header_damaged: bool,
    /// Torn places.
    pub torn: Vec<Hole>,
    /// Damaged places.
    pub damage: Vec<Hole>,
}

struct Opened {
    source: Source,
    located: Located,
}

fn open(path: &Path, disk: &dyn Disk) -> Result<Opened> {
    let file = disk.open(path, Access::Read).map_err(|e| Error::io(path, "open", e))?;
    let located = locate(&file, path)?;
    Ok(Opened { source: Source { file, path: Arc::from(path), codec: located.codec }, located })
}

/// Who owns a journal, where its end is, what is wrong with it. Reads from the last checkpoint on:
/// for damage in the history use [`verify`].
///
/// # Errors
/// `NotFound`, `NotAJournal`, `UnsupportedFormat`, `Io`.
pub fn info(path: impl AsRef<Path>, host: &dyn Host) -> Result<Info> {
    let Opened { source, located } = open(path.as_ref(), &LocalDisk)?;
    let start = start(&*source.file, &source.path, &located)?;
    let mut survey = Survey::new(&source.file, &source.path, &located, &start);
    survey.pass(&mut ())?;

    let (torn, damage) = survey.all_holes().into_iter().partition(|h| h.verdict == Verdict::Torn);
    let standing = &survey.standing;
    let released = survey.chain.is_released() && survey.chain.generation() == standing.generation;
    let owner = if released { None } else { standing.owner.clone() };
    let liveness = owner.as_ref().map(|owner| host.liveness(owner));
    let tail_void = survey.examined.saturating_sub(survey.chain.end);
    Ok(Info {
        id: located.identity.journal,
        name: located.identity.name,
        format: u32::from(located.identity.version),
        created_ms: located.identity.created_ms,
        updated_ms: survey.last_frame_ms,
        generation: Generation::new(standing.generation),
        state: State::of(survey.seal.is_some(), released, liveness),
        owner,
        liveness,
        records: survey.summary.records,
        last_sequence: Sequence::new(survey.chain.sequence()),
        bytes: survey.examined,
        tail: Offset::new(survey.chain.end),
        void_bytes: survey.summary.void_bytes + tail_void,
        durable_through: Offset::new(survey.durable_through),
        header_damaged: located.header_damaged,
        torn,
        damage,
        compactions: located.identity.compactions,
    })
}

/// Reads every byte. `progress` is told now and then how many bytes were read, and of how many.
///
/// # Errors
/// `NotFound`, `NotAJournal`, `UnsupportedFormat`, `Io`. Damage is no error but a finding.
pub fn verify(path: impl AsRef<Path>, progress: &mut dyn FnMut(u64, u64)) -> Result<Verification> {
    verify_with(path, &LocalDisk, progress)
}

/// [`verify`], with file operations of the caller's own.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    path: impl AsRef<Path>,
    disk: &dyn Disk,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verification> {
    let Opened { source, located } = open(path.as_ref(), disk)?;
    let of = source.file.len().map_err(|e| Error::io(&source.path, "look at", e))?;
    let start = Start { chain: Chain::empty(), checkpoint: None };
    let mut survey = Survey::new(&source.file, &source.path, &located, &start);
    survey.pass(&mut Progress { of, next: 0, tell: progress })?;
    progress(of, of);

    let (torn, damage): (Vec<Hole>, Vec<Hole>) =
        survey.all_holes().into_iter().partition(|hole| hole.verdict == Verdict::Torn);
    let tail_void = survey.examined.saturating_sub(survey.chain.end);
    Ok(Verification {
        ok: damage.is_empty() && !located.header_damaged,
        records: survey.summary.records,
        bytes: survey.examined,
        void_bytes: survey.summary.void_bytes + tail_void,
        header_damaged: located.header_damaged,
        torn,
        damage,
    })
}

/// So many bytes pass between two tellings.
const PROGRESS_STEP: u64 = 4 << 20;

struct Progress<'a> {
    of: u64,
    next: u64,
    tell: &'a mut dyn FnMut(u64, u64),
}

impl Visitor for Progress<'_> {
    fn frame(&mut self, frame: &ChainFrame<'_>) {
        let end = frame.header.end();
        if end >= self.next {
            self.next = end + PROGRESS_STEP;
            (self.tell)(end, self.of);
        }
    }
}

// ---- history -------------------------------------------------------------------------------

/// What happened to the ownership of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HistoryKind {
    /// A claim took a generation.
    Claim,
    /// A claim came too late, or was for a generation that was not current any more.
    VoidClaim,
    /// An owner opened its generation.
    Opening,
    /// An opening found something that nobody had reported before.
    Repair,
    /// An owner released the journal.
    Release,
    /// The journal was sealed, to be replaced or deleted.
    Seal,
    /// A seal was taken back.
    Reopen,
    /// The file was written by a compaction.
    Compacted,
}

impl HistoryKind {
    /// The word for it in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::VoidClaim => "void-claim",
            Self::Opening => "opening",
            Self::Repair => "repair",
            Self::Release => "release",
            Self::Seal => "seal",
            Self::Reopen => "reopen",
            Self::Compacted => "compacted",
        }
    }
}

/// One event of a journal's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// When, ms since the epoch, by the clock of who wrote it.
    pub time_ms: i64,
    /// Where it stands in the file.
    pub offset: Offset,
    /// What happened.
    pub event: HistoryKind,
    /// The generation that it is about.
    pub generation: Generation,
    /// The generation before, for claims and openings.
    pub previous_generation: Option<Generation>,
    /// Why the generation before ended, for openings.
    pub reason: Option<OpenReason>,
    /// Who did it, where the event says so.
    pub owner: Option<Owner>,
    /// What was found, for repairs.
    pub report: Option<RepairReport>,
}

/// Every claim, opening, release, repair and seal, in file order. Reads every byte. Claims do not
/// survive a compaction; openings and releases do.
///
/// # Errors
/// As [`verify`].
pub fn history(path: impl AsRef<Path>) -> Result<Vec<HistoryEvent>> {
    let Opened { source, located } = open(path.as_ref(), &LocalDisk)?;
    let start = Start { chain: Chain::empty(), checkpoint: None };
    let mut survey = Survey::new(&source.file, &source.path, &located, &start);
    let mut history = History(Vec::new());
    survey.pass(&mut history)?;
    Ok(history.0)
}

struct History(Vec<HistoryEvent>);

impl Visitor for History {
    fn frame(&mut self, frame: &ChainFrame<'_>) {
        let ChainFrame { header, body, .. } = *frame;
        let event = match header.kind {
            FrameKind::Opening => HistoryKind::Opening,
            FrameKind::Release => HistoryKind::Release,
            FrameKind::Seal => HistoryKind::Seal,
            FrameKind::Reopen => HistoryKind::Reopen,
            FrameKind::Compacted => HistoryKind::Compacted,
            FrameKind::Record
            | FrameKind::Claim
            | FrameKind::Checkpoint
            | FrameKind::Unknown(_) => return,
        };
        let mut event = HistoryEvent {
            time_ms: header.time_ms,
            offset: Offset::new(header.offset),
            event,
            generation: Generation::new(header.generation),
            previous_generation: None,
            reason: None,
            owner: None,
            report: None,
        };
        if header.kind == FrameKind::Reopen {
            event.owner = crate::format::ReopenBody::decode(body).ok().map(|reopen| reopen.owner);
        }
        let opening = (header.kind == FrameKind::Opening).then(|| OpeningBody::decode(body).ok());
        if let Some(opening) = opening.flatten() {
            event.previous_generation = Some(Generation::new(opening.previous_generation));
            event.reason = Some(opening.reason);
            event.owner = Some(opening.owner);
            if !opening.report.is_clean() {
                let (kind, report) = (HistoryKind::Repair, Some(opening.report));
                let repair = HistoryEvent { event: kind, report, ..event.clone() };
                self.0.push(repair);
            }
        }
        self.0.push(event);
    }

    fn claim(&mut self, claim: &ClaimFrame, valid: bool) {
        self.0.push(HistoryEvent {
            time_ms: claim.header.time_ms,
            offset: Offset::new(claim.at),
            event: if valid { HistoryKind::Claim } else { HistoryKind::VoidClaim },
            generation: Generation::new(claim.header.generation),
            previous_generation: Some(Generation::new(claim.body.replaces)),
            reason: None,
            owner: Some(claim.body.owner.clone()),
            report: None,
        });
    }
}

// ---- listing -------------------------------------------------------------------------------

/// A session as its header page tells: hints, read without the frames.
#[derive(Clone, Debug)]
pub(crate) struct Glance {
    pub(crate) name: SessionName,
    pub(crate) id: JournalId,
    pub(crate) generation: Generation,
    pub(crate) state: State,
    pub(crate) owner: Option<Owner>,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) damaged: bool,
}

/// Reads the header page of a journal, and nothing else unless that is damaged.
pub(crate) fn glance(path: &Path, disk: &dyn Disk, host: &dyn Host) -> Result<Glance> {
    let Opened { source, located } = open(path, disk)?;
    let bytes = source.file.len().map_err(|e| Error::io(path, "look at", e))?;
    let slot = located.slot;
    let identity = located.identity;
    let released = slot.as_ref().is_some_and(|slot| slot.state == SlotState::Released);
    let sealed = slot.as_ref().is_some_and(|slot| slot.state == SlotState::Sealed);
    let owner = slot.as_ref().filter(|_| !released).map(|slot| slot.owner.clone());
    let liveness = owner.as_ref().map(|owner| host.liveness(owner));
    let cut = slot.as_ref().is_some_and(|slot| slot.durable_through > bytes);
    debug_assert!(identity.version <= FORMAT_VERSION);
    Ok(Glance {
        id: identity.journal,
        name: identity.name,
        generation: Generation::new(located.slot_generation),
        state: State::of(sealed, released, liveness),
        owner,
        records: slot.as_ref().map_or(0, |slot| slot.records),
        bytes,
        created_ms: identity.created_ms,
        updated_ms: slot.as_ref().map_or(identity.created_ms, |slot| slot.updated_ms),
        damaged: located.header_damaged
            || cut
            || slot.as_ref().is_none_or(|slot| slot.records_lost > 0),
    })
}
