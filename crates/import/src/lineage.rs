//! Where a session comes from: what it is a fork, a topic, a checkpoint or an older version of.

use serde::{Deserialize, Serialize};

/// How a session relates to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Relation {
    /// It began as a copy of the other.
    ForkOf,
    /// It took the place of the other, which was reset.
    ResetFrom,
    /// It goes on where the other was rotated or compacted.
    Continues,
    /// It is a topic, or a thread, of the other.
    TopicOf,
    /// It was started by the other.
    ChildOf,
    /// It is a copy of the other, taken before a compaction.
    CheckpointOf,
    /// It is the other, set aside by a reset.
    SetAsideByReset,
    /// It is the other, set aside when it was deleted.
    Deleted,
    /// It is a copy of the other, taken before it was trimmed or overwritten.
    BackupOf,
    /// It is what a repair of the other left.
    RepairOf,
    /// It is the other's source after it was rewritten.
    RewriteOf,
    /// It belongs to the other: a trace, a stream, a binding.
    PartOf,
}

impl Relation {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForkOf => "fork-of",
            Self::ResetFrom => "reset-from",
            Self::Continues => "continues",
            Self::TopicOf => "topic-of",
            Self::ChildOf => "child-of",
            Self::CheckpointOf => "checkpoint-of",
            Self::SetAsideByReset => "set-aside-by-reset",
            Self::Deleted => "deleted",
            Self::BackupOf => "backup-of",
            Self::RepairOf => "repair-of",
            Self::RewriteOf => "rewrite-of",
            Self::PartOf => "part-of",
        }
    }
}

/// A relation to another session, which is told by whatever the source knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// How they relate.
    pub relation: Relation,
    /// The other's file: its path, or its name in the same folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The id that the other states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The key that the other has in the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The other's session here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// When it came about, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
    /// Nothing says it; times and names do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub inferred: bool,
}

impl Lineage {
    /// A relation to something that is still to be named.
    #[must_use]
    pub fn new(relation: Relation) -> Self {
        Self {
            relation,
            file: None,
            id: None,
            key: None,
            session: None,
            at_ms: None,
            inferred: false,
        }
    }

    /// A relation to a file.
    pub(crate) fn to_file(relation: Relation, file: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..Self::new(relation) }
    }

    /// The same, at a time.
    pub(crate) fn at(self, at_ms: Option<i64>) -> Self {
        Self { at_ms, ..self }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
