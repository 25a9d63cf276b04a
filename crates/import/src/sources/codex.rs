//! Codex: linear rollouts of `{timestamp, type, payload}`; no names and no parents.

use super::{Mapped, Source, UNNAMED};
use crate::object::Object;

pub(super) struct Codex;

const TYPES: [&str; 6] =
    ["session_meta", "response_item", "event_msg", "turn_context", "compacted", "world_state"];

impl Source for Codex {
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

    fn session_id(&self, line: &Object<'_>) -> Option<String> {
        (line.text("type")? == "session_meta").then(|| line.object("payload")?.text("id"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_kind_and_time() {
        let line = r#"{"timestamp":"2026-05-21T09:00:00.274Z","type":"session_meta",
            "payload":{"id":"s"}}"#;
        let line = Object::parse(line.as_bytes()).expect("an object");
        let mapped = Codex.map(&line);
        assert_eq!(mapped.kind.as_deref(), Some("session_meta"));
        assert_eq!((mapped.key, mapped.time_ms), (None, Some(1_779_354_000_274)));
        assert_eq!(Codex.session_id(&line).as_deref(), Some("s"));
    }
}
