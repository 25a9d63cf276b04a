//! The one small set of errors: what is wrong, with which file, and what to do about it.
//!
//! [`Error::kind`] is what programs decide by; the same codes serve Rust and the command line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::identity::Owner;
use crate::position::{Generation, Offset, Sequence};
use crate::record::{Mark, NewRecord};
use crate::report::RepairReport;

/// The result of every operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not complete. Cheap to move and to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    path: PathBuf,
    cause: Cause,
}

/// What a caller can do about an error. Its [`code`](ErrorKind::code) is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another owner took over; this handle is finished.
    Fenced,
    /// The caller's policy does not allow taking it from its owner.
    HeldBy,
    /// A conditional append found records that it did not expect. Nothing was stored.
    Conflict,
    /// Acknowledged bytes no longer verify.
    Corrupt,
    /// The journal needs repair and automatic repair is off. Nothing was written.
    NeedsRepair,
    /// The disk is full, or a quota or size limit is reached. The owner stays usable.
    NoSpace,
    /// A network or FUSE file system, where the protocol's assumptions do not hold.
    UnsupportedFilesystem,
    /// A sound file of a newer version.
    UnsupportedFormat,
    /// A file that is no journal.
    NotAJournal,
    /// No such session or file.
    NotFound,
    /// A record, key or batch above its limit.
    TooLarge,
    /// An earlier failure finished this handle; open again.
    Poisoned,
    /// The file is no longer the one at its path.
    Detached,
    /// Somebody else shortened or rewrote the file in place.
    Shortened,
    /// The journal is being deleted or replaced.
    Sealed,
    /// It may or may not be stored.
    Unknown,
    /// The journal does not hold the record that the mark names.
    Diverged,
    /// The operating system refused; see the source.
    Io,
    /// The session or journal exists already.
    AlreadyExists,
    /// The handle was closed.
    Closed,
    /// An argument that cannot be meant.
    Invalid,
    /// The inbox is full; try again or wait.
    Busy,
}

impl ErrorKind {
    /// The stable code of this kind, the same in every interface.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::HeldBy => "held-by",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::NeedsRepair => "needs-repair",
            Self::NoSpace => "no-space",
            Self::UnsupportedFilesystem => "unsupported-filesystem",
            Self::UnsupportedFormat => "unsupported-format",
            Self::NotAJournal => "not-a-journal",
            Self::NotFound => "not-found",
            Self::TooLarge => "too-large",
            Self::Poisoned => "poisoned",
            Self::Detached => "detached",
            Self::Shortened => "shortened",
            Self::Sealed => "sealed",
            Self::Unknown => "unknown",
            Self::Diverged => "diverged",
            Self::Io => "io",
            Self::AlreadyExists => "already-exists",
            Self::Closed => "closed",
            Self::Invalid => "invalid",
            Self::Busy => "busy",
        }
    }
}

/// The facts behind an error.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields say what they are")]
pub enum Cause {
    Fenced { held: Generation, current: Generation, owner: Option<Owner> },
    HeldBy { generation: Generation, owner: Option<Owner>, alive: Option<bool> },
    Conflict { since: Sequence, last: Sequence, came: Vec<Came> },
    Corrupt { sequence: Sequence, records: u64, offset: Offset },
    NeedsRepair { report: RepairReport },
    NoSpace { needed: u64, written: u64, source: Option<io::Error> },
    UnsupportedFilesystem { filesystem: String },
    UnsupportedFormat { found: u32, supported: u32 },
    UnknownFrame { kind: u8 },
    NotAJournal { why: &'static str },
    NotFound { what: String },
    TooLarge { what: &'static str, bytes: u64, limit: u64 },
    Poisoned { why: String },
    Detached { how: &'static str },
    Shortened { expected: u64, found: u64 },
    Sealed { purpose: &'static str, path: PathBuf },
    Unknown { why: String },
    Diverged { mark: Mark, last_common: Option<Mark> },
    Io { operation: &'static str, source: io::Error },
    AlreadyExists,
    Closed,
    Invalid { what: String },
    Busy { waiting: usize },
}

/// A record that came although a conditional append expected none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// Its number.
    pub sequence: Sequence,
    /// What kind of record it is.
    pub kind: Option<String>,
    /// Its unique name.
    pub key: Option<String>,
}

impl Error {
    pub(crate) fn new(path: &Path, cause: Cause) -> Self {
        Self(Arc::new(Inner { path: path.to_owned(), cause }))
    }

    pub(crate) fn io(path: &Path, operation: &'static str, source: io::Error) -> Self {
        if is_no_space(&source) {
            return Self::new(path, Cause::NoSpace { needed: 0, written: 0, source: Some(source) });
        }
        if source.kind() == io::ErrorKind::NotFound {
            return Self::new(path, Cause::NotFound { what: "no such file".to_owned() });
        }
        Self::new(path, Cause::Io { operation, source })
    }

    pub(crate) fn invalid(path: &Path, what: impl Into<String>) -> Self {
        Self::new(path, Cause::Invalid { what: what.into() })
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.0.cause {
            Cause::Fenced { .. } => ErrorKind::Fenced,
            Cause::HeldBy { .. } => ErrorKind::HeldBy,
            Cause::Conflict { .. } => ErrorKind::Conflict,
            Cause::Corrupt { .. } => ErrorKind::Corrupt,
            Cause::NeedsRepair { .. } => ErrorKind::NeedsRepair,
            Cause::NoSpace { .. } => ErrorKind::NoSpace,
            Cause::UnsupportedFilesystem { .. } => ErrorKind::UnsupportedFilesystem,
            Cause::UnsupportedFormat { .. } | Cause::UnknownFrame { .. } => {
                ErrorKind::UnsupportedFormat
            }
            Cause::NotAJournal { .. } => ErrorKind::NotAJournal,
            Cause::NotFound { .. } => ErrorKind::NotFound,
            Cause::TooLarge { .. } => ErrorKind::TooLarge,
            Cause::Poisoned { .. } => ErrorKind::Poisoned,
            Cause::Detached { .. } => ErrorKind::Detached,
            Cause::Shortened { .. } => ErrorKind::Shortened,
            Cause::Sealed { .. } => ErrorKind::Sealed,
            Cause::Unknown { .. } => ErrorKind::Unknown,
            Cause::Diverged { .. } => ErrorKind::Diverged,
            Cause::Io { .. } => ErrorKind::Io,
            Cause::AlreadyExists => ErrorKind::AlreadyExists,
            Cause::Closed => ErrorKind::Closed,
            Cause::Invalid { .. } => ErrorKind::Invalid,
            Cause::Busy { .. } => ErrorKind::Busy,
        }
    }

    /// The stable code of its kind.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }

    /// The file or folder that it is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The facts behind it.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self.kind() {
            ErrorKind::Fenced => "open the journal again if you still mean to write",
            ErrorKind::HeldBy => "read it, wait for its owner, or take it over explicitly",
            ErrorKind::Conflict => "read what came, then decide whether to append again",
            ErrorKind::Corrupt => {
                "read with gaps to go on behind the damage, and restore the missing records from a backup"
            }
            ErrorKind::NeedsRepair => "look at the report, then repair it explicitly",
            ErrorKind::NoSpace => {
                "free some space; the owner can go on, nothing acknowledged is lost"
            }
            ErrorKind::UnsupportedFilesystem => {
                "move the journal to a local file system, or allow this one explicitly"
            }
            ErrorKind::UnsupportedFormat => "use a newer release; the file was not touched",
            ErrorKind::NotAJournal => "check the path; the file was not touched",
            ErrorKind::NotFound => "check the name, or create it",
            ErrorKind::TooLarge => "split it, or raise the limit",
            ErrorKind::Poisoned | ErrorKind::Closed => "open the journal again",
            ErrorKind::Detached => {
                "look at what replaced or moved the file, then open the path again"
            }
            ErrorKind::Shortened => {
                "somebody rewrote the file in place: keep a copy, then open it again to see what is left"
            }
            ErrorKind::Sealed => "open it at the path that its seal names to finish what was begun",
            ErrorKind::Unknown => "open the journal again and look whether it is there",
            ErrorKind::Diverged => "start over from the last common record",
            ErrorKind::Io => "see the operating system's message; nothing acknowledged is lost",
            ErrorKind::AlreadyExists => "open it instead, or choose another name",
            ErrorKind::Invalid => "correct the argument",
            ErrorKind::Busy => "wait for the inbox to drain",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.0.path.display(), self.0.cause, self.advice())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { held, current, owner } => {
                write!(f, "fenced: generation {current} took over from {held}")?;
                by(f, owner.as_ref())
            }
            Self::HeldBy { generation, owner, alive } => {
                write!(f, "held at generation {generation}")?;
                by(f, owner.as_ref())?;
                match alive {
                    Some(true) => write!(f, ", which is alive"),
                    Some(false) => write!(f, ", which is gone"),
                    None => write!(f, ", of which nothing is known here"),
                }
            }
            Self::Conflict { since, last, .. } if last < since => {
                write!(f, "the last record is {last}, not {since}")
            }
            Self::Conflict { since, last, came } => {
                let records = last.get().saturating_sub(since.get());
                write!(f, "{records} record(s) came since {since}:")?;
                for one in came.iter().take(8) {
                    write!(f, " {}", one.sequence)?;
                    if let Some(kind) = &one.kind {
                        write!(f, " ({kind})")?;
                    }
                }
                if came.len() > 8 { write!(f, " …") } else { Ok(()) }
            }
            Self::Corrupt { sequence, records, offset } => {
                write!(f, "{records} record(s) from {sequence} on are corrupt, at offset {offset}")
            }
            Self::NeedsRepair { report } => write!(f, "needs repair: {report}"),
            Self::NoSpace { needed, written, .. } if *needed > 0 => {
                write!(f, "no space: {written} of {needed} bytes could be written")
            }
            Self::NoSpace { .. } => write!(f, "no space"),
            Self::UnsupportedFilesystem { filesystem } => {
                write!(f, "cannot be written safely on {filesystem}")
            }
            Self::UnsupportedFormat { found, supported } => {
                write!(f, "format {found} is newer than {supported}, the newest known here")
            }
            Self::UnknownFrame { kind } => {
                write!(f, "it holds a frame of kind {kind}, which is not known here")
            }
            Self::NotAJournal { why } => write!(f, "not a session journal: {why}"),
            Self::NotFound { what } | Self::Invalid { what } => write!(f, "{what}"),
            Self::TooLarge { what, bytes, limit } => {
                write!(f, "{what} of {bytes} bytes is above the limit of {limit}")
            }
            Self::Poisoned { why } => write!(f, "this handle is finished: {why}"),
            Self::Detached { how } => write!(f, "detached: {how}"),
            Self::Shortened { expected, found } => {
                write!(
                    f,
                    "shortened or rewritten in place: expected {expected} bytes, found {found}"
                )
            }
            Self::Sealed { purpose, path } => {
                write!(f, "sealed to be {purpose} at {}", path.display())
            }
            Self::Unknown { why } => write!(f, "may or may not be stored: {why}"),
            Self::Diverged { mark, last_common } => {
                write!(f, "does not hold record {} as the mark has it", mark.sequence)?;
                match last_common {
                    Some(common) => write!(f, "; the last common one is {}", common.sequence),
                    None => Ok(()),
                }
            }
            Self::Io { operation, source } => write!(f, "could not {operation}: {source}"),
            Self::AlreadyExists => write!(f, "exists already"),
            Self::Closed => write!(f, "the handle is closed"),
            Self::Busy { waiting } => write!(f, "{waiting} appends are waiting already"),
        }
    }
}

fn by(f: &mut fmt::Formatter<'_>, owner: Option<&Owner>) -> fmt::Result {
    owner.map_or(Ok(()), |owner| write!(f, " by {owner}"))
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("path", &self.0.path).field("cause", &self.0.cause).finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.cause {
            Cause::Io { source, .. } | Cause::NoSpace { source: Some(source), .. } => Some(source),
            _ => None,
        }
    }
}

/// A refused append: why, and everything that was not stored, given back.
///
/// Where the kind is `Unknown` the records may be stored all the same. Where it is `Detached` or
/// `Shortened` they may stand in the file that left its place; at the path they are not. With every
/// other kind they are not stored.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub error: Error,
    /// What was not stored.
    pub records: Vec<NewRecord>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        rejected.error
    }
}

/// Whether the system says that there is no room: disk, quota, or the file size limit.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
