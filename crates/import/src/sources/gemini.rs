//! Gemini: a line about the session, then messages; the same id again is an update of the message.
//! Before that a session was one JSON text, which is kept whole.

#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "the programs write no other case"
)]

use std::path::{Path, PathBuf};

use super::{Facts, Find, Mapped, Registries, Source, UNNAMED, folders, names_above};
use crate::attributes::Attributes;
use crate::format::Format;
use crate::lineage::{Lineage, Relation};
use crate::naming::file_name;
use crate::object::Object;
use crate::role::{Role, Shape};

pub(super) struct Gemini;

impl Source for Gemini {
    fn format(&self) -> Format {
        Format::Gemini
    }

    fn homes(&self, home: &Path) -> Vec<PathBuf> {
        folders([home.join(".gemini/tmp")])
    }

    fn find(&self, path: &Path) -> Option<Find> {
        let name = file_name(path);
        let is_old = name.starts_with("session-") && name.ends_with(".json");
        let is_chat = is_old && names_above(path).iter().any(|name| name == "chats");
        is_chat.then_some(Find::Take(Role::Transcript, Shape::Whole))
    }

    fn owns(&self, folder: &Path) -> bool {
        let names = names_above(&folder.join("file"));
        names.windows(2).any(|two| two[0] == ".gemini" && two[1] == "tmp")
            && names.iter().any(|name| name == "chats")
    }

    fn recognises(&self, line: &Object<'_>) -> bool {
        line.has("sessionId") && line.has("projectHash")
    }

    fn recognises_file(&self, head: &[u8]) -> bool {
        let has = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
        has(b"\"sessionId\"") && has(b"\"projectHash\"")
    }

    fn map(&self, line: &Object<'_>) -> Mapped {
        Mapped {
            kind: Some(line.text("type").unwrap_or_else(|| UNNAMED.to_owned())),
            key: line.text("id"),
            parent: None,
            time_ms: line.time_ms("timestamp"),
        }
    }

    fn learn(&self, line: &Object<'_>, facts: &mut Facts) {
        if facts.header_id.is_none() {
            facts.header_id = line.text("sessionId");
            facts.began_ms = line.time_ms("startTime");
        }
        facts.title = line.text("summary").or(facts.title.take());
        facts.model = line.text("model").or(facts.model.take());
    }

    fn describe(&self, place: &Path, _: &Facts, _: &Registries, attributes: &mut Attributes) {
        // Agents of a session are in a folder of its name.
        let names = names_above(place);
        if let [.., chats, parent] = &names[..]
            && chats == "chats"
        {
            let id = Some(parent.clone());
            attributes.relate(Lineage { id, ..Lineage::new(Relation::ChildOf) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_messages() {
        let line = r#"{"id":"m1","timestamp":"2026-05-21T09:00:00.274Z","type":"user"}"#;
        let mapped = Gemini.map(&Object::parse(line.as_bytes()).expect("an object"));
        assert_eq!((mapped.kind.as_deref(), mapped.key.as_deref()), (Some("user"), Some("m1")));
        assert_eq!(mapped.time_ms, Some(1_779_354_000_274));
    }

    #[test]
    fn knows_the_old_files_too() {
        let whole = Some(Find::Take(Role::Transcript, Shape::Whole));
        let old = Path::new("/u/.gemini/tmp/p/chats/session-2025-10-01T10-00-abcd1234.json");
        assert_eq!(Gemini.find(old), whole);
        assert_eq!(Gemini.find(Path::new("/u/.gemini/tmp/p/logs.json")), None);
        assert!(Gemini.recognises_file(b"{\n  \"sessionId\": \"s\",\n  \"projectHash\": \"h\""));
        let agent = Path::new("/u/.gemini/tmp/p/chats/parent/a.jsonl");
        let mut attributes = Attributes::default();
        Gemini.describe(agent, &Facts::default(), &Registries::default(), &mut attributes);
        assert_eq!(attributes.lineage[0].id.as_deref(), Some("parent"));
    }
}
