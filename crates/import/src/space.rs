//! How much room an import takes, and whether there is so much.

use std::fs::Metadata;
use std::path::Path;

use crate::discover::Spec;
use crate::error::{Error, Problem, Result};
use crate::naming::session_name;
use crate::sample::Sample;
use crate::stored::Stored;

/// What the journal of an empty session takes, its receipt and attributes included.
const JOURNAL_BYTES: u64 = 12 << 10;

/// The most that a record takes beside its line: its frame, its place in the index, and what it
/// repeats of the line (kind, key and parent).
const RECORD_BYTES: u64 = 120;

/// About how much room an import takes, and how much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the sources that are not here yet, or have grown.
    pub sources: u64,
    /// About how many bytes their journals take.
    pub needed: u64,
    /// Bytes that are free where the store is.
    pub free: u64,
}

impl Space {
    pub(crate) fn of<'a>(store: &Path, specs: impl Iterator<Item = &'a Spec>) -> Self {
        let mut space = Self { free: free(store), ..Self::default() };
        for spec in specs {
            let missing = missing(store, spec);
            if missing > 0 || spec.bytes == 0 {
                space.sources += missing;
                space.needed = space.needed.saturating_add(needed(spec, missing));
            }
        }
        space
    }

    pub(crate) fn check(&self, store: &Path) -> Result<()> {
        if self.needed <= self.free {
            return Ok(());
        }
        let (needed, free) = (self.needed, self.free);
        Err(Error::file(store, Problem::NoRoom { needed, free }))
    }
}

/// How much room so many bytes of a source take. Around long lines there is little, around short
/// ones more than they have themselves: their number is judged by some of them.
fn needed(spec: &Spec, missing: u64) -> u64 {
    let sample = if missing > 0 { Sample::of(spec) } else { Sample::default() };
    let bytes = sample.unpacked(missing);
    let around = sample.lines(bytes).saturating_mul(RECORD_BYTES);
    JOURNAL_BYTES.saturating_add(bytes).saturating_add(around.max(bytes / 3))
}

/// What of a source is not stored yet, going by what stands under its name: whether that is of this
/// source is found out when it is read.
fn missing(store: &Path, spec: &Spec) -> u64 {
    let Ok(name) = session_name(&spec.place(), spec.agent.as_deref()) else { return spec.bytes };
    let path = store.join(name.relative_path());
    let Ok(journal) = path.metadata() else { return spec.bytes };
    let is_older = |source: Metadata| Some(source.modified().ok()? < journal.modified().ok()?);
    let source = spec.path.metadata().ok();
    if source.and_then(is_older) == Some(true) {
        // It was not touched since; thousands of journals need not be opened for that.
        return spec.bytes.saturating_sub(journal.len());
    }
    let receipt = Stored::open(name, path).ok().and_then(Result::ok);
    let taken = receipt.and_then(|stored| Some(stored.receipt()?.1.bytes));
    spec.bytes.saturating_sub(taken.unwrap_or(0))
}

/// Bytes that are free for this user, at a place or at the nearest folder above it that is there.
fn free(place: &Path) -> u64 {
    let there = place.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    rustix::fs::statvfs(there)
        .map_or(u64::MAX, |facts| facts.f_bavail.saturating_mul(facts.f_frsize))
}
