//! Claude Code: lines with `uuid` and `parentUuid`, and some without.

use super::{Mapped, Source, UNNAMED};
use crate::object::Object;

pub(super) struct ClaudeCode;

impl Source for ClaudeCode {
    fn recognises(&self, line: &Object<'_>) -> bool {
        (line.has("uuid") && line.has("parentUuid"))
            || match line.text("type").as_deref() {
                Some("summary") => line.has("leafUuid"),
                Some("file-history-snapshot") => line.has("messageId"),
                Some("queue-operation" | "custom-title" | "last-prompt") => line.has("sessionId"),
                _ => false,
            }
    }

    fn map(&self, line: &Object<'_>) -> Mapped {
        Mapped {
            kind: Some(line.text("type").unwrap_or_else(|| UNNAMED.to_owned())),
            key: line.text("uuid"),
            parent: line.text("parentUuid"),
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
    fn maps_the_tree() {
        let line = r#"{"type":"user","uuid":"b","parentUuid":"a","sessionId":"s",
            "timestamp":"2026-05-21T09:00:00.274Z"}"#;
        let line = Object::parse(line.as_bytes()).expect("an object");
        let mapped = ClaudeCode.map(&line);
        assert_eq!((mapped.key.as_deref(), mapped.parent.as_deref()), (Some("b"), Some("a")));
        assert_eq!(mapped.time_ms, Some(1_779_354_000_274));
        assert_eq!(ClaudeCode.session_id(&line).as_deref(), Some("s"));
    }
}
