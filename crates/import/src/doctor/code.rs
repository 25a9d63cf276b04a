//! The stable names of findings, and how much each matters.

use std::path::Path;

use super::Finding;
use crate::damage::Oddity;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know; nothing is wrong.
    Note,
    /// Something is not as it should be; an import keeps all of it.
    Warning,
    /// Its own program loses something here, or an import cannot take it.
    Error,
}

impl Severity {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What is found beside damaged lines, which have the names of [`Oddity`], and files that cannot be
/// read, which have the codes of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A lock whose process runs.
    LockHeld,
    /// The same, and it holds it for longer than it said, or than its program allows.
    LockOverdue,
    /// A lock whose process is gone.
    LockDeadOwner,
    /// A lock whose process is gone, and whose pid another process has.
    LockRecycledPid,
    /// A lock that does not say whose it is.
    LockBroken,
    /// A lock of whose process nothing can be known from here.
    LockUnknown,
    /// A registry that is not one JSON object.
    RegistryBroken,
    /// An entry of the registry whose file is not there.
    EntryWithoutFile,
    /// A transcript that the registry beside it does not know.
    FileWithoutEntry,
    /// A last line without a line feed.
    NoLineFeed,
    /// A file without bytes.
    Empty,
    /// A file that is no session.
    LeftOut,
    /// Something else that is worth knowing.
    Remark,
    /// What an import takes.
    ImportNeeds,
    /// What an import takes, and is not there.
    NoSpace,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::LockHeld,
        Self::LockOverdue,
        Self::LockDeadOwner,
        Self::LockRecycledPid,
        Self::LockBroken,
        Self::LockUnknown,
        Self::RegistryBroken,
        Self::EntryWithoutFile,
        Self::FileWithoutEntry,
        Self::NoLineFeed,
        Self::Empty,
        Self::LeftOut,
        Self::Remark,
        Self::ImportNeeds,
        Self::NoSpace,
    ];

    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LockHeld => "lock-held",
            Self::LockOverdue => "lock-overdue",
            Self::LockDeadOwner => "lock-dead-owner",
            Self::LockRecycledPid => "lock-recycled-pid",
            Self::LockBroken => "lock-broken",
            Self::LockUnknown => "lock-unknown",
            Self::RegistryBroken => "registry-broken",
            Self::EntryWithoutFile => "entry-without-file",
            Self::FileWithoutEntry => "file-without-entry",
            Self::NoLineFeed => "no-line-feed",
            Self::Empty => "empty",
            Self::LeftOut => "left-out",
            Self::Remark => "remark",
            Self::ImportNeeds => "import-needs",
            Self::NoSpace => "no-space",
        }
    }

    /// How much it matters.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::LockHeld
            | Self::LockUnknown
            | Self::Empty
            | Self::LeftOut
            | Self::Remark
            | Self::ImportNeeds => Severity::Note,
            Self::LockOverdue
            | Self::LockDeadOwner
            | Self::LockRecycledPid
            | Self::LockBroken
            | Self::EntryWithoutFile
            | Self::FileWithoutEntry
            | Self::NoLineFeed => Severity::Warning,
            Self::RegistryBroken | Self::NoSpace => Severity::Error,
        }
    }

    pub(super) fn about(
        self,
        path: &Path,
        what: impl Into<String>,
        next: impl Into<String>,
    ) -> Finding {
        let (what, next) = (what.into(), next.into());
        let (severity, code) = (self.severity(), self.as_str());
        Finding { path: path.to_owned(), severity, code, what, next }
    }
}

impl Oddity {
    /// How much it matters: an error where the source's own program loses lines to it.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::BrokenJson
            | Self::Torn
            | Self::NotUtf8
            | Self::Nul
            | Self::Embedded
            | Self::HeaderMissing
            | Self::Circle => Severity::Error,
            Self::NotAnObject
            | Self::HeaderAgain
            | Self::HeaderVersion
            | Self::IdAgain
            | Self::ParentMissing
            | Self::NotAnEntry => Severity::Warning,
            Self::Blank
            | Self::ByteOrderMark
            | Self::CarriageReturn
            | Self::HeaderWithoutVersion
            | Self::KindUnfit
            | Self::KeyUnfit
            | Self::ParentUnfit => Severity::Note,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
