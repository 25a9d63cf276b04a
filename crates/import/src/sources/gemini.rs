//! Gemini: a line about the session, then messages; the same id again is an update of the message.

use super::{Mapped, Source, UNNAMED};
use crate::object::Object;

pub(super) struct Gemini;

impl Source for Gemini {
    fn recognises(&self, line: &Object<'_>) -> bool {
        line.has("sessionId") && line.has("projectHash")
    }

    fn map(&self, line: &Object<'_>) -> Mapped {
        Mapped {
            kind: Some(line.text("type").unwrap_or_else(|| UNNAMED.to_owned())),
            key: line.text("id"),
            parent: None,
            time_ms: line.time_ms("timestamp"),
        }
    }

    fn session_id(&self, line: &Object<'_>) -> Option<String> {
        line.text("sessionId")
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
}
