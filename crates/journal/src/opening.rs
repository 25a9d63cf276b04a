//! From a path to an owner: survey, decide, and take the journal or say why not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::chain::Chain;
use crate::error::{Cause, Error, Result};
use crate::identity::{Liveness, Owner};
use crate::index::{Index, Source};
use crate::locate::{Located, Start, index_at, locate, start};
use crate::options::Options;
use crate::position::Generation;
use crate::repair::{Decision, Facts, Holder, Sealed};
use crate::replace;
use crate::report::Opening;
use crate::scan::ChainFrame;
use crate::storage::{Access, Filesystem};
use crate::survey::{Standing, Survey, Visitor};
use crate::takeover::{Superseded, Takeover, take};
use crate::writer::Writer;

/// So many claims of one opener follow each other at most, whatever comes in between.
const CLAIMS_MAX: u32 = 1000;

impl Visitor for Index {
    fn frame(&mut self, frame: &ChainFrame<'_>) {
        self.note_frame(frame);
    }
}

pub(crate) fn must_be_writable_here(at: &Path, path: &Path, options: &Options) -> Result<()> {
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

/// Opens a journal for writing: takes the next generation, or says why not.
pub(crate) fn open(path: &Path, options: &Options) -> Result<(Writer, Opening)> {
    let path = options.disk.canonical(path).map_err(|e| Error::io(path, "open", e))?;
    must_be_writable_here(&path, &path, options)?;
    let mut lost_to = None;
    let mut superseded = None;
    let mut at_once = true;
    let (mut attempts, mut claims) = (0, 0);
    while attempts < options.claim_attempts.max(1) && claims < CLAIMS_MAX {
        if !std::mem::replace(&mut at_once, false) {
            back_off(options, attempts);
        }
        claims += 1;
        // A fresh incarnation each time: no two claims are of one.
        let owner = options.host.owner(&options.label);
        let owner = owner.map_err(|e| Error::io(&path, "say who we are", e))?;
        let outcome = try_open(&path, options, &owner, superseded.take());
        if !matches!(outcome, Ok(Outcome::Opened(_))) {
            options.host.retire(&owner);
        }
        match outcome? {
            Outcome::Opened(opened) => return Ok(*opened),
            Outcome::Superseded(claim) => {
                (superseded, at_once) = (Some(claim), true);
                continue;
            }
            Outcome::Lost(error) => lost_to = Some(error),
            Outcome::Again(claim) => superseded = claim,
        }
        attempts += 1;
    }
    Err(lost_to.unwrap_or_else(|| {
        Error::new(&path, Cause::Detached { how: "it was replaced or changed again and again" })
    }))
}

/// What came of an attempt.
pub(crate) enum Outcome {
    Opened(Box<(Writer, Opening)>),
    /// We hold it by a claim that somebody's bytes came before: to be claimed again.
    Superseded(Superseded),
    /// Another claim was first; the error names its author.
    Lost(Error),
    /// The file was replaced, sealed or changed meanwhile; behind a claim of ours, if there is one.
    Again(Option<Superseded>),
}

/// Two willing takers alternate for ever unless one of them waits longer (H27).
fn back_off(options: &Options, attempt: u32) {
    let mut random = [0; 2];
    let _ = options.host.fill_random(&mut random);
    let most = 1_u64 << attempt.min(7);
    let wait = u64::from(u16::from_le_bytes(random)) % (most * 100);
    options.host.pause(Duration::from_micros(wait * 10));
}

/// Everything that an opening knows of the file.
pub(crate) struct Look {
    pub(crate) source: Source,
    pub(crate) located: Located,
    pub(crate) start: Start,
    pub(crate) survey: Survey,
    pub(crate) index: Index,
    pub(crate) checkpoint: u64,
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

impl Look {
    pub(crate) fn holder(&self, options: &Options) -> Holder {
        let standing = &self.survey.standing;
        let released = self.survey.chain.is_released()
            && self.survey.chain.generation() == standing.generation;
        if released || standing.generation == 0 {
            return Holder::Nobody;
        }
        let liveness = |owner| options.host.liveness(owner);
        Holder::Somebody(standing.owner.as_ref().map_or(Liveness::Unknown, liveness))
    }

    /// Who held the journal, and what is known of them. A claim of our own that we are about to claim
    /// again stands for whoever it replaced.
    fn whom_to_replace(
        &self,
        options: &Options,
        superseded: Option<Superseded>,
    ) -> (Standing, Holder) {
        let standing = &self.survey.standing;
        let ours = |own: &Superseded| standing.claim.map(|(_, by)| by) == Some(own.incarnation);
        match superseded.filter(ours) {
            Some(own) => (own.previous, own.holder),
            None => (standing.clone(), self.holder(options)),
        }
    }

    fn sealed(&self) -> Sealed {
        match &self.survey.seal {
            None => Sealed::No,
            Some(seal) if seal.path == path_bytes(&self.source.path) => Sealed::Here,
            Some(_) => Sealed::Elsewhere,
        }
    }

    pub(crate) fn held_by(&self, holder: Holder) -> Error {
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

fn try_open(
    path: &Path,
    options: &Options,
    owner: &Owner,
    superseded: Option<Superseded>,
) -> Result<Outcome> {
    let path: Arc<Path> = Arc::from(path);
    let mut look = look(&path, options)?;
    let (previous, holder) = look.whom_to_replace(options, superseded);
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
            let Some(seal) = look.survey.seal.clone() else { return Ok(Outcome::Again(None)) };
            replace::finish_seal(&look.source, &look.survey, &seal, owner, options)?;
            return Ok(Outcome::Again(None));
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
    take(&mut look, &Takeover { owner, options, previous, holder, reason })
}
