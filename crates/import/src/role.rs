//! What part a file plays among the files of its program.

use serde::{Deserialize, Serialize};

/// What part a source plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// What was said in a session.
    #[default]
    Transcript,
    /// A trace of what a program did meanwhile.
    Trajectory,
    /// What a child of the session sent.
    Stream,
    /// The list of sessions.
    Registry,
    /// A note that binds a session to something else.
    Binding,
    /// Any other file that belongs to the sessions.
    Document,
}

impl Role {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transcript => "transcript",
            Self::Trajectory => "trajectory",
            Self::Stream => "stream",
            Self::Registry => "registry",
            Self::Binding => "binding",
            Self::Document => "document",
        }
    }
}

/// How the bytes of a source become records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A record a line; it grows line by line.
    #[default]
    Lines,
    /// One record; the file is written anew whenever it changes, and so is the record.
    Whole,
}
