//! What can go wrong with a source; what goes wrong with a journal is the engine's error.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use session_journal::{ErrorKind, SessionName};

use crate::shell::{command, import_command, shell_path};

/// The result of every operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a source could not be imported, or a session not be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal refused.
    #[error(transparent)]
    Journal(#[from] session_journal::Error),
    /// Something is wrong with a source file or with the file exported to.
    #[error("{}: {problem}; {}", path.display(), problem.advice())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// An export could not be written.
    #[error("the output: could not write it: {0}; see the operating system's message")]
    Output(#[source] io::Error),
}

/// What is wrong with a source.
#[derive(Debug)]
pub enum Problem {
    /// It is not there.
    NotFound,
    /// It is something else than a file.
    NotAFile(&'static str),
    /// A line is longer than a record may be.
    LineTooLong {
        /// Counted from 1.
        line: u64,
        /// The most bytes a record may have.
        limit: u64,
    },
    /// It is kept whole, and is longer than a record may be.
    TooLong {
        /// The most bytes a record may have.
        limit: u64,
    },
    /// Its name cannot name a session.
    Name(String),
    /// It, or its session, changed whenever it was looked at.
    KeepsChanging,
    /// The database library refused.
    Database(rusqlite::Error),
    /// There is not enough room for what is to be imported.
    NoRoom {
        /// About how many bytes it takes.
        needed: u64,
        /// How many there are.
        free: u64,
    },
    /// It was imported in a format that has no pi form.
    NoPiForm(String),
    /// A folder holds something already.
    NotEmpty,
    /// What was stored is not what was read.
    Differs {
        /// The session.
        session: SessionName,
        /// How much it gives, and how much it should.
        how: String,
    },
    /// The caller asked to stop.
    Interrupted,
    /// The operating system refused.
    Io {
        /// What was tried.
        operation: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn file(path: &Path, problem: Problem) -> Self {
        Self::File { path: path.to_owned(), problem }
    }

    pub(crate) fn io(path: &Path, operation: &'static str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            return Self::file(path, Problem::NotFound);
        }
        Self::file(path, Problem::Io { operation, source })
    }

    /// What a caller can do about it, in the engine's words.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Journal(error) => error.kind(),
            Self::File { problem, .. } => problem.kind(),
            Self::Output(error) => kind_of(error),
        }
    }

    /// The stable code of its kind.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }

    /// What to do about it where it stopped the import of this source: a command that can be pasted
    /// where one helps, else words.
    #[must_use]
    pub fn next(&self, source: &Path) -> String {
        match self {
            Self::File { problem: Problem::KeepsChanging | Problem::Interrupted, .. } => {
                import_command(source)
            }
            Self::File { problem: Problem::Differs { session, .. }, .. } => {
                command("verify", &session.to_string())
            }
            Self::File { problem, .. } => problem.advice().to_owned(),
            Self::Journal(error) => next_of(error, source),
            Self::Output(_) => "see the operating system's message".to_owned(),
        }
    }

    /// Whether the caller asked to stop; nothing is wrong then.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::File { problem: Problem::Interrupted, .. })
    }
}

/// What to do about an error of a journal.
fn next_of(error: &session_journal::Error, source: &Path) -> String {
    let journal = || shell_path(error.path());
    match error.kind() {
        ErrorKind::HeldBy => format!("sjournal info {}", journal()),
        ErrorKind::Corrupt => format!("sjournal verify {}", journal()),
        ErrorKind::NeedsRepair => format!("sjournal repair {} --dry-run", journal()),
        // Somebody else did something to it meanwhile: what is there now is looked at anew.
        ErrorKind::Fenced
        | ErrorKind::Detached
        | ErrorKind::Shortened
        | ErrorKind::Sealed
        | ErrorKind::Conflict
        | ErrorKind::Unknown
        | ErrorKind::Busy => import_command(source),
        ErrorKind::NoSpace => {
            "free some space and run the import again; it goes on from there".to_owned()
        }
        _ => "look the code up in docs/operating.md, then run the import again".to_owned(),
    }
}

impl Problem {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::NotAFile(_) | Self::Name(_) | Self::NotEmpty | Self::NoPiForm(_) => {
                ErrorKind::Invalid
            }
            Self::LineTooLong { .. } | Self::TooLong { .. } => ErrorKind::TooLarge,
            Self::KeepsChanging => ErrorKind::Busy,
            Self::Database(_) => ErrorKind::Io,
            Self::NoRoom { .. } => ErrorKind::NoSpace,
            Self::Differs { .. } => ErrorKind::Corrupt,
            Self::Interrupted => ErrorKind::Closed,
            Self::Io { source, .. } => kind_of(source),
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NotFound => "check the path",
            Self::NotAFile(_) => "name a session file or a folder of them",
            Self::LineTooLong { .. } => "split the line, or leave this file out",
            Self::TooLong { .. } => "leave this file out, and keep it where it is",
            Self::Name(_) => "copy it under a shorter name",
            Self::KeepsChanging => "run the import again when it rests",
            Self::Database(_) => {
                "check it with its own program; the sessions of others are imported"
            }
            Self::NoRoom { .. } => "free some space, or name a --store on another disk",
            Self::NoPiForm(_) => "export it with --format original",
            Self::NotEmpty => "name a folder that is empty, or not there yet",
            Self::Differs { .. } => "verify the session, and import the source again",
            Self::Interrupted => "run the import again to go on from there",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "allow this user to read it, or run as its owner"
            }
            Self::Io { .. } => "see the operating system's message; the source was not touched",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => write!(f, "no such file or folder"),
            Self::NotAFile(what) => write!(f, "is {what}, not a file"),
            Self::LineTooLong { line, limit } => {
                write!(f, "line {line} is longer than a record may be ({limit} bytes)")
            }
            Self::TooLong { limit } => {
                write!(f, "is longer than a record may be ({limit} bytes)")
            }
            Self::Name(why) => write!(f, "cannot name a session: {why}"),
            Self::KeepsChanging => write!(f, "changed whenever it was looked at"),
            Self::Database(error) => write!(f, "could not read the database: {error}"),
            Self::NoRoom { needed, free } => {
                write!(f, "about {needed} bytes are needed, and {free} are free")
            }
            Self::NoPiForm(format) => {
                write!(f, "holds a session in the format {format}, which pi cannot read")
            }
            Self::NotEmpty => write!(f, "is not empty"),
            Self::Differs { how, .. } => write!(f, "its session does not give it back: {how}"),
            Self::Interrupted => write!(f, "stopped before its end"),
            Self::Io { operation, source } => write!(f, "could not {operation}: {source}"),
        }
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::NoSpace
        }
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_step_is_a_command_where_one_helps() {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, none) = (folder.path().join("a b.sqlite"), folder.path().join("none"));
        std::fs::write(&database, "").expect("writes");
        let next = |problem| {
            let source = database.join("s.jsonl");
            Error::file(&source, problem).next(&source)
        };
        let import = format!("sjournal import '{}'", database.display());
        assert_eq!(next(Problem::KeepsChanging), import, "a session of it is imported with it");
        assert_eq!(next(Problem::Interrupted), import);
        let session = SessionName::new(Some("main"), "-s").expect("a name");
        let differs = Problem::Differs { session, how: String::new() };
        assert_eq!(next(differs), "sjournal verify main/-s");
        assert_eq!(next(Problem::NotFound), "check the path");
        let missing = session_journal::Reader::open(&none).expect_err("it is not there");
        assert!(Error::from(missing).next(&none).starts_with("look the code up"));
    }
}
