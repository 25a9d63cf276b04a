//! `OpenClaw` and pi, versions 1 to 3: one header, then entries that name their parents.

use super::{EXTENSION, Mapped, Source, UNNAMED};
use crate::object::Object;

pub(super) struct OpenClaw;

/// What is put behind `.jsonl` when a transcript is set aside by a delete, a reset, a rewrite or a
/// repair. It is a session's history all the same.
const SET_ASIDE: [&str; 4] = ["reset.", "deleted.", "bak", "corrupt-"];

/// The lines that every version of pi and `OpenClaw` writes. Newer types may come; one of these is
/// in every session.
const ENTRIES: [(&str, &str); 9] = [
    ("message", "message"),
    ("model_change", "timestamp"),
    ("thinking_level_change", "thinkingLevel"),
    ("compaction", "summary"),
    ("branch_summary", "fromId"),
    ("custom", "customType"),
    ("custom_message", "customType"),
    ("label", "targetId"),
    ("leaf", "targetId"),
];

impl Source for OpenClaw {
    fn finds(&self, file_name: &str) -> bool {
        if file_name.ends_with(EXTENSION) {
            return true;
        }
        let Some((_, rest)) = file_name.rsplit_once(".jsonl.") else { return false };
        let packed_or_unfinished = [".zst", ".gz", ".tmp", ".lock", ".json"];
        SET_ASIDE.iter().any(|begin| rest.starts_with(begin))
            && !packed_or_unfinished.iter().any(|end| rest.ends_with(end))
    }

    fn recognises(&self, line: &Object<'_>) -> bool {
        match line.text("type").as_deref() {
            Some("session") => line.text("id").is_some(),
            Some(kind) => ENTRIES.iter().any(|(entry, field)| *entry == kind && line.has(field)),
            None => false,
        }
    }

    fn map(&self, line: &Object<'_>) -> Mapped {
        let kind = line.text("type").unwrap_or_else(|| UNNAMED.to_owned());
        // The id in a header is the session's, and often that of another file's header too.
        let is_header = kind == "session";
        let entry = |name| if is_header { None } else { line.text(name) };
        Mapped {
            key: entry("id"),
            parent: entry("parentId"),
            time_ms: line.time_ms("timestamp"),
            kind: Some(kind),
        }
    }

    fn session_id(&self, line: &Object<'_>) -> Option<String> {
        (line.text("type")? == "session").then(|| line.text("id"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_transcripts_and_what_was_set_aside() {
        for name in [
            "a.jsonl",
            "a.trajectory.jsonl",
            "a.jsonl.reset.2026-11-22T11-58-16.575Z",
            "a.jsonl.deleted.2026-11-22T11-58-57.678Z",
            "a.jsonl.bak.2026-11-22T11-59-49.402Z",
            "a.jsonl.bak-12-1779354000685",
            "a.jsonl.corrupt-2026-07-05T10-00-07-946Z-5a083f0f.jsonl",
            "a.jsonl.corrupt-2026-07-05T10-00-07-946Z-5a083f0f",
        ] {
            assert!(OpenClaw.finds(name), "{name}");
        }
        for name in [
            "a.jsonl.lock",
            "a.jsonl.codex-app-server.json",
            "a.jsonl.deleted.2026-11-22T11-58-57.678Z.zst",
            "a.jsonl.repair.1.u.tmp",
            "sessions.json",
            "sessions.json.bak.1",
            "README.md",
        ] {
            assert!(!OpenClaw.finds(name), "{name}");
        }
    }

    #[test]
    fn maps_header_and_entries() {
        let map = |line: &str| OpenClaw.map(&Object::parse(line.as_bytes()).expect("an object"));
        let header = map(r#"{"type":"session","id":"s","timestamp":"2026-05-21T09:00:00.274Z"}"#);
        assert_eq!((header.kind.as_deref(), header.key), (Some("session"), None));
        assert_eq!(header.time_ms, Some(1_779_354_000_274));
        let entry = map(r#"{"type":"message","id":"b","parentId":"a","message":{}}"#);
        assert_eq!((entry.key.as_deref(), entry.parent.as_deref()), (Some("b"), Some("a")));
        let root = map(r#"{"type":"message","id":"b","parentId":null,"message":{}}"#);
        assert_eq!(root.parent, None);
        assert_eq!(map("{}").kind.as_deref(), Some(UNNAMED));
    }
}
