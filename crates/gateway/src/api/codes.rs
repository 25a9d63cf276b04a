//! The codes of problems, by what may answer them. A route names the groups that apply to it.

/// Looking at a session.
pub(super) const READING: &[&str] =
    &["not-found", "detached", "shortened", "unsupported-format", "not-a-journal"];

/// … holding it.
pub(super) const OPENING: &[&str] = &[
    "held-by",
    "fenced",
    "needs-repair",
    "sealed",
    "unsupported-filesystem",
    "no-space",
    "closed",
    "poisoned",
    "unknown",
    "shutting-down",
];

/// … appending to it.
pub(super) const APPENDING: &[&str] = &["busy", "too-large"];

/// … under a condition.
pub(super) const EXPECTING: &[&str] = &["conflict", "diverged"];

/// … asking a model.
pub(super) const ASKING: &[&str] = &["provider"];

/// … in a turn.
pub(super) const TURNING: &[&str] = &["cancelled", "corrupt"];

/// All that a turn may answer.
pub(super) const TURN: &[&[&str]] = &[READING, OPENING, APPENDING, EXPECTING, ASKING, TURNING];
