//! How a command ends: its exit code, and what it says on standard error.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use session_journal::ErrorKind;
use session_journal_import::Error as ImportError;

use crate::output::is_stopped;
use crate::text::printable;

/// How a command ended that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Done, with findings: damage, or some source that failed.
    Findings,
    /// Done with what could be done; the code says why the rest could not.
    Because(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Findings => Self::from(1),
            Exit::Because(code) => Self::from(code),
        }
    }
}

/// Why a command did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine refused.
    Engine(session_journal::Error),
    /// The import or export failed.
    Import(ImportError),
    /// Found out here; the message has the parts that the engine's have.
    Here(ErrorKind, String),
    /// Standard output cannot be written.
    Output(io::Error),
    /// A signal came.
    Interrupted,
}

impl Failure {
    /// A failure about a file: what is wrong with it, and what to do.
    pub(crate) fn about(kind: ErrorKind, path: &Path, what: &str, advice: &str) -> Self {
        Self::Here(kind, format!("{}: {what}; {advice}", path.display()))
    }

    /// Arguments that cannot be meant.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Here(ErrorKind::Invalid, what.into())
    }

    /// What kind of error it is; a signal is none.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Engine(error) => Some(error.kind()),
            Self::Import(error) => Some(error.kind()),
            Self::Here(kind, _) => Some(*kind),
            Self::Output(error) if error.kind() == io::ErrorKind::StorageFull => {
                Some(ErrorKind::NoSpace)
            }
            Self::Output(_) => Some(ErrorKind::Io),
            Self::Interrupted => None,
        }
    }

    /// Its code in brackets.
    pub(crate) fn code(&self) -> &'static str {
        self.kind().map_or("interrupted", ErrorKind::code)
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            other => other.kind().map_or(1, exit_code),
        }
    }

    /// Says on standard error what went wrong. Nobody left to read the answer is nothing wrong.
    pub(crate) fn report(&self) -> ExitCode {
        if self.exit() != 0 {
            complain(self);
        }
        ExitCode::from(self.exit())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Import(error) => error.fmt(f),
            Self::Here(_, message) => f.write_str(message),
            Self::Output(error) => {
                write!(f, "standard output: could not write: {error}; see where it goes")
            }
            Self::Interrupted => {
                f.write_str("stopped by a signal before the end; run it again to finish")
            }
        }
    }
}

impl From<session_journal::Error> for Failure {
    fn from(error: session_journal::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_stopped(&error) { Self::Interrupted } else { Self::Output(error) }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        if error.is_interrupted() {
            return Self::Interrupted;
        }
        match error {
            ImportError::Journal(error) => Self::Engine(error),
            ImportError::Output(error) => error.into(),
            file @ ImportError::File { .. } => Self::Import(file),
        }
    }
}

/// The exit code of an error, as scripts know it.
pub(crate) fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Corrupt | ErrorKind::NeedsRepair => 1,
        ErrorKind::TooLarge | ErrorKind::Invalid | ErrorKind::AlreadyExists => 2,
        ErrorKind::Fenced
        | ErrorKind::HeldBy
        | ErrorKind::Detached
        | ErrorKind::Shortened
        | ErrorKind::Sealed
        | ErrorKind::Conflict
        | ErrorKind::Diverged => 3,
        ErrorKind::NotFound | ErrorKind::NotAJournal => 4,
        ErrorKind::UnsupportedFormat => 6,
        // Disk full, permission, unsupported file system, and what follows from them.
        _ => 5,
    }
}

/// One line about a failure on standard error.
pub(crate) fn complain(failure: &Failure) {
    note(&format!("{failure} [{}]", failure.code()));
}

/// One line on standard error.
pub(crate) fn note(text: &str) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "sjournal: {}", printable(text));
}
