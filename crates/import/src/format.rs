//! The names of the formats, as the command line and the receipts spell them.

use std::fmt;
use std::str::FromStr;

/// The format of a session file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `OpenClaw`'s JSONL, up to the releases that moved to a database.
    OpenClaw,
    /// pi's JSONL, versions 1 to 3; `OpenClaw` shares it.
    Pi,
    /// Claude Code's JSONL.
    ClaudeCode,
    /// Codex's rollout files.
    Codex,
    /// Gemini's chat files.
    Gemini,
    /// Any other file of lines.
    Jsonl,
    /// `OpenClaw`'s database, one per agent.
    OpenClawStore,
    /// A file that is kept whole, in one record.
    Document,
}

impl Format {
    /// Every format, in the order in which they are offered.
    pub const ALL: [Self; 8] = [
        Self::OpenClaw,
        Self::Pi,
        Self::ClaudeCode,
        Self::Codex,
        Self::Gemini,
        Self::Jsonl,
        Self::OpenClawStore,
        Self::Document,
    ];

    /// Its name in receipts and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenClaw => "openclaw",
            Self::Pi => "pi",
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Jsonl => "jsonl",
            Self::OpenClawStore => "openclaw-sqlite",
            Self::Document => "document",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(UnknownFormat)
    }
}

/// No format has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a format is one of openclaw, pi, claude-code, codex, gemini, jsonl, openclaw-sqlite, document"
)]
pub struct UnknownFormat;
