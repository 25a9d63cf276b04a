//! What the name of a file in a sessions folder tells: what part it plays, and which file it was or
//! belongs to.

#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "the programs write no other case"
)]

use crate::lineage::{Lineage, Relation};
use crate::role::{Role, Shape};
use crate::sources::Find;

/// What a name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) find: Find,
    /// How it relates to the other file.
    pub(crate) relation: Option<Relation>,
    /// The other file.
    pub(crate) of: Option<String>,
    /// When that came about.
    pub(crate) at_ms: Option<i64>,
}

const LINES: Find = Find::Take(Role::Transcript, Shape::Lines);

const LOCK: Find = Find::Leave(
    "a lock file: it says who wrote to a session, and holds nothing of it",
    "nothing; journals need no lock files",
);

const DATABASE_SIDE: Find = Find::Leave(
    "belongs to the database beside it, and is read with that",
    "nothing; import the database",
);

impl FileName {
    /// A name that tells nothing.
    pub(crate) const PLAIN: Self = Self { find: LINES, relation: None, of: None, at_ms: None };

    fn is(find: Find) -> Self {
        Self { find, ..Self::PLAIN }
    }

    fn related(find: Find, relation: Relation, of: &str) -> Self {
        Self { find, relation: Some(relation), of: Some(of.to_owned()), at_ms: None }
    }

    /// The relation that it tells.
    pub(crate) fn lineage(&self) -> Option<Lineage> {
        Some(Lineage::to_file(self.relation?, self.of.clone()?).at(self.at_ms))
    }
}

/// Reads a name; `None` where it is not one of `OpenClaw`'s.
pub(crate) fn read(name: &str) -> Option<FileName> {
    if name.ends_with(".lock") {
        return Some(FileName::is(LOCK));
    }
    if name.ends_with(".sqlite-wal") || name.ends_with(".sqlite-shm") {
        return Some(FileName::is(DATABASE_SIDE));
    }
    registry(name).or_else(|| set_aside(name)).or_else(|| side(name)).or_else(|| transcript(name))
}

fn registry(name: &str) -> Option<FileName> {
    let find = Find::Take(Role::Registry, Shape::Whole);
    let rest = name.strip_prefix("sessions.json")?;
    if rest.is_empty() {
        return Some(FileName::is(find));
    }
    let is_copy = rest.starts_with(".bak") || rest.ends_with(".tmp");
    is_copy.then(|| FileName::related(find, Relation::BackupOf, "sessions.json"))
}

/// The move to a database sets every file aside, those included that it did not take over.
const IMPORTED: &str = "imported-";

/// What was put behind `.jsonl` when a transcript was set aside; it is a session's history all the
/// same.
const SET_ASIDE: [(&str, Relation); 8] = [
    ("reset.", Relation::SetAsideByReset),
    ("deleted.", Relation::Deleted),
    ("bak.", Relation::BackupOf),
    ("bak-", Relation::BackupOf),
    ("pre-doctor-branch-repair-", Relation::BackupOf),
    (IMPORTED, Relation::BackupOf),
    ("corrupt-", Relation::RepairOf),
    ("repair.", Relation::RepairOf),
];

fn set_aside(name: &str) -> Option<FileName> {
    // A repair names its temporary file after the whole name, or after the name without its end.
    let (of, rest) = match name.rfind(".jsonl.") {
        Some(at) => (&name[..at + ".jsonl".len()], &name[at + ".jsonl.".len()..]),
        None => return unfinished_repair(name),
    };
    if rest == "bak" {
        return Some(FileName::related(LINES, Relation::BackupOf, of));
    }
    let (begin, relation) = SET_ASIDE.iter().find(|(begin, _)| rest.starts_with(begin))?;
    if rest.ends_with(".json") {
        return None;
    }
    let at_ms = time(&rest[begin.len()..]);
    // The move to a database put the key, or the tier, in front of the name.
    let behind_key = || of.split_once('.').map(|(_, name)| name).filter(|name| *name != "jsonl");
    let of = if *begin == IMPORTED { behind_key().unwrap_or(of) } else { of };
    let find = side(of).map_or(LINES, |side| side.find);
    Some(FileName { at_ms, ..FileName::related(find, *relation, of) })
}

fn unfinished_repair(name: &str) -> Option<FileName> {
    let (of, _) = name.strip_suffix(".tmp")?.split_once(".repair.")?;
    Some(FileName::related(LINES, Relation::RepairOf, &format!("{of}.jsonl")))
}

fn side(name: &str) -> Option<FileName> {
    let part = Relation::PartOf;
    let binding = Find::Take(Role::Binding, Shape::Whole);
    if let Some(stem) = name.strip_suffix(".trajectory.jsonl") {
        let find = Find::Take(Role::Trajectory, Shape::Lines);
        return Some(FileName::related(find, part, &format!("{stem}.jsonl")));
    }
    if let Some(stem) = name.strip_suffix(".acp-stream.jsonl") {
        let find = Find::Take(Role::Stream, Shape::Lines);
        return Some(FileName::related(find, part, &format!("{stem}.jsonl")));
    }
    if let Some(stem) = name.strip_suffix(".trajectory-path.json") {
        return Some(FileName::related(binding, part, &format!("{stem}.jsonl")));
    }
    let of = name.strip_suffix(".codex-app-server.json")?;
    Some(FileName::related(binding, part, of))
}

fn transcript(name: &str) -> Option<FileName> {
    let stem = name.strip_suffix(".jsonl")?;
    if let Some((of, _)) = stem.split_once(".checkpoint.") {
        return Some(FileName::related(LINES, Relation::CheckpointOf, &format!("{of}.jsonl")));
    }
    if let Some((of, _)) =
        stem.split_once("-topic-").filter(|(of, topic)| !of.is_empty() && !topic.is_empty())
    {
        return Some(FileName::related(LINES, Relation::TopicOf, &format!("{of}.jsonl")));
    }
    Some(FileName::is(LINES))
}

/// The time in a name: ISO 8601 with `-` where file names cannot have `:`, or milliseconds at the
/// end.
fn time(text: &str) -> Option<i64> {
    let iso = text.split_once('Z').map(|(iso, _)| iso).and_then(|iso| {
        let (date, clock) = iso.split_once('T')?;
        let mut parts = clock.splitn(4, ['-', '.', ':']);
        let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
        let fraction = parts.next().unwrap_or("0");
        let text = format!("{date}T{hour}:{minute}:{second}.{fraction}Z");
        Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())
    });
    let digits = || text.rsplit(['-', '.']).find_map(|part| part.parse::<i64>().ok());
    iso.or_else(|| digits().filter(|number| *number > 1_000_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> (Find, Option<Relation>, Option<String>, bool) {
        let name = read(name).expect("is known");
        (name.find, name.relation, name.of, name.at_ms.is_some())
    }

    const TRANSCRIPT: Find = Find::Take(Role::Transcript, Shape::Lines);

    fn tells(name: &str, find: Find, relation: Option<(Relation, &str)>, has_time: bool) {
        let of = relation.map(|(_, of)| of.to_owned());
        let expected = (find, relation.map(|(relation, _)| relation), of, has_time);
        assert_eq!(told(name), expected, "{name}");
    }

    #[test]
    fn knows_transcripts_and_what_was_set_aside_of_them() {
        tells("a.jsonl", TRANSCRIPT, None, false);
        tells("2026-11-22T12-00-50-763Z_u.jsonl", TRANSCRIPT, None, false);
        for (name, relation, has_time) in [
            ("a-topic-42.jsonl", Relation::TopicOf, false),
            ("a.checkpoint.u.jsonl", Relation::CheckpointOf, false),
            ("a.jsonl.reset.2026-11-22T11-58-16.575Z", Relation::SetAsideByReset, true),
            ("a.jsonl.deleted.2026-11-22T11-58-57Z", Relation::Deleted, true),
            ("a.jsonl.deleted.2026-11-22T11-58-57Z.zst", Relation::Deleted, true),
            ("a.jsonl.bak.2026-11-22T11-59-49.402Z", Relation::BackupOf, true),
            ("a.jsonl.bak-12-1779354000685", Relation::BackupOf, true),
            ("a.jsonl.bak", Relation::BackupOf, false),
            ("a.jsonl.pre-doctor-branch-repair-2026-11-22T11-59-49Z.bak", Relation::BackupOf, true),
            ("agent_main_main.a.jsonl.imported-1795348996671", Relation::BackupOf, true),
            ("a.jsonl.corrupt-2026-07-05T10-00-07-946Z-5a083f0f.jsonl", Relation::RepairOf, true),
            ("a.repair.1.u.tmp", Relation::RepairOf, false),
            ("a.jsonl.repair.1.u.tmp", Relation::RepairOf, false),
        ] {
            tells(name, TRANSCRIPT, Some((relation, "a.jsonl")), has_time);
        }
    }

    #[test]
    fn a_trace_that_was_set_aside_is_a_trace() {
        let trace = Find::Take(Role::Trajectory, Shape::Lines);
        let of = Some((Relation::BackupOf, "a.trajectory.jsonl"));
        tells("archive-tier.a.trajectory.jsonl.imported-1795348996671", trace, of, true);
    }

    #[test]
    fn knows_what_else_is_in_the_folder() {
        let lines = |role| Find::Take(role, Shape::Lines);
        let whole = |role| Find::Take(role, Shape::Whole);
        for (name, find) in [
            ("a.trajectory.jsonl", lines(Role::Trajectory)),
            ("a.acp-stream.jsonl", lines(Role::Stream)),
            ("a.trajectory-path.json", whole(Role::Binding)),
            ("a.jsonl.codex-app-server.json", whole(Role::Binding)),
        ] {
            tells(name, find, Some((Relation::PartOf, "a.jsonl")), false);
        }
        let registry = whole(Role::Registry);
        tells("sessions.json", registry, None, false);
        for name in ["sessions.json.bak.1", "sessions.json.42.u.tmp"] {
            tells(name, registry, Some((Relation::BackupOf, "sessions.json")), false);
        }
        tells("a.jsonl.lock", LOCK, None, false);
        tells("x.sqlite-wal", DATABASE_SIDE, None, false);
        for name in ["README.md", "sessions.jsonx", "a.json", "MANIFEST.json"] {
            assert_eq!(read(name), None, "{name}");
        }
    }

    #[test]
    fn reads_times_in_names() {
        assert_eq!(time("2026-05-21T09-00-00.274Z"), Some(1_779_354_000_274));
        assert_eq!(time("2026-05-21T09-00-00-274Z-5a083f0f.jsonl"), Some(1_779_354_000_274));
        assert_eq!(time("2026-05-21T09-00-00Z"), Some(1_779_354_000_000));
        assert_eq!(time("12-1779354000685"), Some(1_779_354_000_685));
        assert_eq!((time("12-3"), time("soon")), (None, None));
    }
}
