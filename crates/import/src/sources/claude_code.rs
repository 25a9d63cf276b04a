//! Claude Code: lines with `uuid` and `parentUuid`, and some without; agents of its own in folders
//! below a session's.

use std::path::{Path, PathBuf};

use super::{Facts, Mapped, Registries, Source, UNNAMED, folders, names_above};
use crate::attributes::Attributes;
use crate::format::Format;
use crate::lineage::{Lineage, Relation};
use crate::naming::file_name;
use crate::object::Object;

pub(super) struct ClaudeCode;

impl Source for ClaudeCode {
    fn format(&self) -> Format {
        Format::ClaudeCode
    }

    fn homes(&self, home: &Path) -> Vec<PathBuf> {
        folders([home.join(".claude/projects")])
    }

    fn owns(&self, folder: &Path) -> bool {
        let names = names_above(&folder.join("file"));
        names.windows(2).any(|two| two[0] == ".claude" && two[1] == "projects")
    }

    fn recognises(&self, line: &Object<'_>) -> bool {
        (line.has("uuid") && line.has("parentUuid"))
            || match line.text("type").as_deref() {
                Some("summary") => line.has("leafUuid"),
                Some("file-history-snapshot") => line.has("messageId"),
                Some("queue-operation" | "custom-title" | "last-prompt") => line.has("sessionId"),
                _ => false,
            }
    }

    fn names_are_unique(&self) -> bool {
        true
    }

    fn map(&self, line: &Object<'_>) -> Mapped {
        Mapped {
            kind: Some(line.text("type").unwrap_or_else(|| UNNAMED.to_owned())),
            key: line.text("uuid"),
            parent: line.text("parentUuid"),
            time_ms: line.time_ms("timestamp"),
        }
    }

    fn learn(&self, line: &Object<'_>, facts: &mut Facts) {
        if facts.header_id.is_none() {
            facts.header_id = line.text("sessionId");
        }
        match line.text("type").as_deref() {
            Some("custom-title") => {
                facts.title = line.text("customTitle").or_else(|| line.text("title"));
            }
            Some("summary") if facts.title.is_none() => facts.title = line.text("summary"),
            Some("assistant") => {
                let model = line.object("message").and_then(|message| message.text("model"));
                facts.model = model.or(facts.model.take());
            }
            Some("user") if facts.cwd.is_none() => facts.cwd = line.text("cwd"),
            _ => {}
        }
        facts.began_ms = facts.began_ms.or_else(|| line.time_ms("timestamp"));
    }

    fn describe(&self, place: &Path, facts: &Facts, _: &Registries, attributes: &mut Attributes) {
        let names = names_above(place);
        let is_agent = names.last().is_some_and(|name| name == "subagents");
        let file = file_name(place);
        // Older releases had them beside the session.
        if is_agent || file.starts_with("agent-") {
            let above = names.iter().rev().nth(1).filter(|_| is_agent).cloned();
            if let Some(id) = above.or_else(|| facts.header_id.clone()) {
                attributes.relate(Lineage { id: Some(id), ..Lineage::new(Relation::ChildOf) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(line: &str) -> Object<'_> {
        Object::parse(line.as_bytes()).expect("an object")
    }

    #[test]
    fn maps_the_tree() {
        let line = r#"{"type":"user","uuid":"b","parentUuid":"a","sessionId":"s","cwd":"/w",
            "timestamp":"2026-05-21T09:00:00.274Z"}"#;
        let mapped = ClaudeCode.map(&object(line));
        assert_eq!((mapped.key.as_deref(), mapped.parent.as_deref()), (Some("b"), Some("a")));
        assert_eq!(mapped.time_ms, Some(1_779_354_000_274));
        let mut facts = Facts::default();
        ClaudeCode.learn(&object(line), &mut facts);
        let model = r#"{"type":"assistant","uuid":"c","message":{"model":"m"}}"#;
        ClaudeCode.learn(&object(model), &mut facts);
        assert_eq!((facts.header_id.as_deref(), facts.cwd.as_deref()), (Some("s"), Some("/w")));
        assert_eq!(facts.model.as_deref(), Some("m"));
    }

    #[test]
    fn an_agent_is_a_child_of_its_session() {
        let place = Path::new("/u/.claude/projects/-w/s1/subagents/agent-1.jsonl");
        assert!(ClaudeCode.owns(place.parent().expect("a folder")));
        let mut attributes = Attributes::default();
        ClaudeCode.describe(place, &Facts::default(), &Registries::default(), &mut attributes);
        assert_eq!(attributes.lineage[0].relation, Relation::ChildOf);
        assert_eq!(attributes.lineage[0].id.as_deref(), Some("s1"));
    }
}
