//! pi, versions 1 to 3: one header, then entries that name their parents. `OpenClaw` writes the same
//! lines, and some of its own.

use std::path::{Path, PathBuf};

use super::{Facts, Mapped, Source, UNNAMED, folders};
use crate::attributes::Attributes;
use crate::format::Format;
use crate::lineage::{Lineage, Relation};
use crate::object::Object;
use crate::sources::Registries;

pub(super) struct Pi;

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
    ("session_info", "name"),
];

impl Source for Pi {
    fn format(&self) -> Format {
        Format::Pi
    }

    fn homes(&self, home: &Path) -> Vec<PathBuf> {
        folders([home.join(".pi/agent/sessions")])
    }

    fn recognises(&self, line: &Object<'_>) -> bool {
        match line.text("type").as_deref() {
            Some("session") => line.text("id").is_some(),
            Some(kind) => ENTRIES.iter().any(|(entry, field)| *entry == kind && line.has(field)),
            None => false,
        }
    }

    fn header(&self) -> Option<&'static str> {
        Some("session")
    }

    fn names_are_unique(&self) -> bool {
        true
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

    fn learn(&self, line: &Object<'_>, facts: &mut Facts) {
        match line.text("type").as_deref() {
            Some("session") if facts.header_id.is_none() => header(line, facts),
            Some("session_info") => facts.title = line.text("name").filter(|name| !name.is_empty()),
            Some("model_change") => {
                facts.provider = line.text("provider").or(facts.provider.take());
                facts.model = line.text("modelId").or(facts.model.take());
            }
            _ => {}
        }
    }

    fn describe(&self, _: &Path, facts: &Facts, _: &Registries, attributes: &mut Attributes) {
        forked(facts, attributes);
    }
}

fn header(line: &Object<'_>, facts: &mut Facts) {
    facts.header_id = line.text("id");
    facts.began_ms = line.time_ms("timestamp");
    facts.cwd = line.text("cwd");
    facts.parent_file = line.text("parentSession").or_else(|| line.text("branchedFrom"));
    // Version 1 had the model in the header.
    facts.provider = line.text("provider");
    facts.model = line.text("modelId").or_else(|| line.text("model"));
}

/// A header names the file that the session was forked from.
pub(super) fn forked(facts: &Facts, attributes: &mut Attributes) {
    if let Some(file) = &facts.parent_file {
        attributes.relate(Lineage::to_file(Relation::ForkOf, file.clone()).at(facts.began_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_header_and_entries() {
        let map = |line: &str| Pi.map(&Object::parse(line.as_bytes()).expect("an object"));
        let header = map(r#"{"type":"session","id":"s","timestamp":"2026-05-21T09:00:00.274Z"}"#);
        assert_eq!((header.kind.as_deref(), header.key), (Some("session"), None));
        assert_eq!(header.time_ms, Some(1_779_354_000_274));
        let entry = map(r#"{"type":"message","id":"b","parentId":"a","message":{}}"#);
        assert_eq!((entry.key.as_deref(), entry.parent.as_deref()), (Some("b"), Some("a")));
        let root = map(r#"{"type":"message","id":"b","parentId":null,"message":{}}"#);
        assert_eq!(root.parent, None);
        assert_eq!(map("{}").kind.as_deref(), Some(UNNAMED));
    }

    #[test]
    fn learns_about_the_session() {
        let mut facts = Facts::default();
        for line in [
            r#"{"type":"session","id":"s","cwd":"/w","parentSession":"/a.jsonl"}"#,
            r#"{"type":"session","id":"other"}"#,
            r#"{"type":"model_change","provider":"p","modelId":"m"}"#,
            r#"{"type":"session_info","name":"first"}"#,
            r#"{"type":"session_info","name":"last"}"#,
        ] {
            Pi.learn(&Object::parse(line.as_bytes()).expect("an object"), &mut facts);
        }
        assert_eq!(facts.header_id.as_deref(), Some("s"));
        assert_eq!((facts.model.as_deref(), facts.title.as_deref()), (Some("m"), Some("last")));
        assert_eq!(
            (facts.cwd.as_deref(), facts.parent_file.as_deref()),
            (Some("/w"), Some("/a.jsonl"))
        );
    }
}
