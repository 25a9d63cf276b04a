//! One module per source, behind one trait: which files are its own, how to recognise its lines,
//! and what a line says about itself.

mod claude_code;
mod codex;
mod gemini;
mod jsonl;
mod openclaw;

use crate::format::Format;
use crate::object::Object;

/// What a line says about itself. It indexes the record; the payload is the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// What kind of line it is.
    pub kind: Option<String>,
    /// Its name within the session.
    pub key: Option<String>,
    /// The name of the line that it follows.
    pub parent: Option<String>,
    /// When it was written, in milliseconds since the epoch.
    pub time_ms: Option<i64>,
}

/// A program that writes sessions as files of lines.
pub trait Source: Sync {
    /// Whether a file of this name, met in a folder, may be a session of this source.
    fn finds(&self, file_name: &str) -> bool {
        file_name.ends_with(EXTENSION)
    }

    /// Whether this line can only come from this source.
    fn recognises(&self, line: &Object<'_>) -> bool;

    /// What a line says about itself.
    fn map(&self, line: &Object<'_>) -> Mapped;

    /// The id of the session where this line states it.
    fn session_id(&self, _line: &Object<'_>) -> Option<String> {
        None
    }
}

/// How the name of a session file ends, in every format; their programs write no other case.
pub(crate) const EXTENSION: &str = ".jsonl";

/// The kind of a JSON object that does not say what it is.
pub(crate) const UNNAMED: &str = "line";

/// The source that reads a format.
#[must_use]
pub fn source_of(format: Format) -> &'static dyn Source {
    match format {
        Format::OpenClaw | Format::Pi => &openclaw::OpenClaw,
        Format::ClaudeCode => &claude_code::ClaudeCode,
        Format::Codex => &codex::Codex,
        Format::Gemini => &gemini::Gemini,
        Format::Jsonl => &jsonl::Jsonl,
    }
}

/// Tells the format by the first line that only one source can have written; never by a name.
pub(crate) fn recognise<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Format {
    lines
        .into_iter()
        .filter_map(Object::parse)
        .find_map(|line| only(&line))
        .unwrap_or(Format::Jsonl)
}

fn only(line: &Object<'_>) -> Option<Format> {
    // The special ones first: a pi line is told by the least.
    [Format::Codex, Format::ClaudeCode, Format::Gemini, Format::OpenClaw]
        .into_iter()
        .find(|format| source_of(*format).recognises(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(text: &str) -> Format {
        recognise(text.split('\n').map(str::as_bytes))
    }

    #[test]
    fn tells_formats_by_their_lines() {
        for (text, format) in [
            (r#"{"type":"session","id":"s","timestamp":"2026-05-21T09:00:00Z"}"#, Format::OpenClaw),
            ("garbage\n\n{\"type\":\"message\",\"message\":{}}", Format::OpenClaw),
            (r#"{"type":"user","uuid":"u","parentUuid":null,"sessionId":"s"}"#, Format::ClaudeCode),
            (r#"{"type":"summary","summary":"x","leafUuid":"u"}"#, Format::ClaudeCode),
            (r#"{"timestamp":"t","type":"session_meta","payload":{"id":"s"}}"#, Format::Codex),
            (r#"{"sessionId":"s","projectHash":"h","startTime":"t"}"#, Format::Gemini),
            (r#"{"traceSchema":"x","type":"session.started"}"#, Format::Jsonl),
            ("", Format::Jsonl),
            ("\0\0\0", Format::Jsonl),
        ] {
            assert_eq!(format_of(text), format, "{text}");
        }
    }
}
