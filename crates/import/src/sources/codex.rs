//! Codex: linear rollouts of `{timestamp, type, payload}`; no names and no parents.

use std::path::{Path, PathBuf};

use super::{Facts, Mapped, Registries, Source, UNNAMED, folders};
use crate::attributes::Attributes;
use crate::format::Format;
use crate::lineage::{Lineage, Relation};
use crate::object::Object;

pub(super) struct Codex;

/// The environment variable that moves Codex' folder.
const HOME_VARIABLE: &str = "CODEX_HOME";

const TYPES: [&str; 6] =
    ["session_meta", "response_item", "event_msg", "turn_context", "compacted", "world_state"];

impl Source for Codex {
    fn format(&self) -> Format {
        Format::Codex
    }

    fn homes(&self, home: &Path) -> Vec<PathBuf> {
        let moved = std::env::var_os(HOME_VARIABLE).filter(|folder| !folder.is_empty());
        let root = moved.map_or_else(|| home.join(".codex"), PathBuf::from);
        folders([root.join("sessions"), root.join("archived_sessions")])
    }

    fn recognises(&self, line: &Object<'_>) -> bool {
        line.has("payload") && line.text("type").is_some_and(|kind| TYPES.contains(&kind.as_str()))
    }

    fn map(&self, line: &Object<'_>) -> Mapped {
        Mapped {
            kind: Some(line.text("type").unwrap_or_else(|| UNNAMED.to_owned())),
            time_ms: line.time_ms("timestamp"),
            ..Mapped::default()
        }
    }

    fn learn(&self, line: &Object<'_>, facts: &mut Facts) {
        let Some(payload) = line.object("payload") else { return };
        match line.text("type").as_deref() {
            // A fork repeats the meta of the session that it began as, behind its own.
            Some("session_meta") if facts.header_id.is_none() => {
                facts.header_id = payload.text("id");
                facts.cwd = payload.text("cwd");
                facts.provider = payload.text("model_provider");
                let parent = ["forked_from_id", "parent_thread_id"];
                facts.parent_id = parent.iter().find_map(|name| payload.text(name));
                facts.began_ms = payload.time_ms("timestamp").or_else(|| line.time_ms("timestamp"));
            }
            Some("turn_context") => facts.model = payload.text("model").or(facts.model.take()),
            _ => {}
        }
    }

    fn describe(&self, _: &Path, facts: &Facts, _: &Registries, attributes: &mut Attributes) {
        if facts.parent_id.is_some() {
            let id = facts.parent_id.clone();
            attributes.relate(Lineage { id, ..Lineage::new(Relation::ForkOf) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_kind_and_time() {
        let line = r#"{"timestamp":"2026-05-21T09:00:00.274Z","type":"session_meta",
            "payload":{"id":"s","cwd":"/w","forked_from_id":"p"}}"#;
        let line = Object::parse(line.as_bytes()).expect("an object");
        let mapped = Codex.map(&line);
        assert_eq!(mapped.kind.as_deref(), Some("session_meta"));
        assert_eq!((mapped.key, mapped.time_ms), (None, Some(1_779_354_000_274)));
        let mut facts = Facts::default();
        Codex.learn(&line, &mut facts);
        assert_eq!(
            (facts.header_id.as_deref(), facts.parent_id.as_deref()),
            (Some("s"), Some("p"))
        );
    }
}
