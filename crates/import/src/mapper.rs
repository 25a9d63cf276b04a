//! A line to a record: the payload is the line, the rest is what the line says about itself.

use session_journal::NewRecord;

use crate::notes::Notes;
use crate::object::Object;
use crate::receipt::TOOL_KIND_PREFIX;
use crate::sources::{Mapped, Source};

/// The kind of a line that is no JSON object.
pub(crate) const OPAQUE: &str = "opaque";

const KIND_BYTES_MAX: usize = 255;
const KEY_BYTES_MAX: usize = 1024;

/// Maps the lines of one source, one after the other.
pub(crate) struct Mapper {
    source: &'static dyn Source,
    line: u64,
    /// Lines that were no JSON objects.
    pub(crate) opaque: u64,
    /// The id that the source states, once a line stated it.
    pub(crate) header_id: Option<String>,
    /// What was noticed.
    pub(crate) notes: Notes,
}

impl Mapper {
    /// Begins behind this many lines.
    pub(crate) fn new(source: &'static dyn Source, lines_before: u64) -> Self {
        let notes = Notes::default();
        Self { source, line: lines_before, opaque: 0, header_id: None, notes }
    }

    /// The record of the next line.
    pub(crate) fn record(&mut self, line: Vec<u8>) -> NewRecord {
        self.line += 1;
        let mapped = self.map(&line);
        NewRecord {
            kind: self.kind(mapped.kind),
            key: self.name(mapped.key, "its id is too long for a key, and is in the payload only"),
            parent: self
                .name(mapped.parent, "its parent id is too long, and is in the payload only"),
            time_ms: mapped.time_ms,
            payload: line.into(),
        }
    }

    fn map(&mut self, line: &[u8]) -> Mapped {
        let Some(object) = Object::parse(line) else {
            self.opaque += 1;
            self.notes.add("not a JSON object, kept as it is", self.line);
            return Mapped { kind: Some(OPAQUE.to_owned()), ..Mapped::default() };
        };
        if self.header_id.is_none() {
            self.header_id = self.source.session_id(&object);
        }
        self.source.map(&object)
    }

    fn kind(&mut self, kind: Option<String>) -> Option<String> {
        let kind = kind.filter(|kind| !kind.is_empty())?;
        if kind.len() > KIND_BYTES_MAX || kind.starts_with(TOOL_KIND_PREFIX) {
            self.notes.add("its type cannot be a kind, and is in the payload only", self.line);
            return None;
        }
        Some(kind)
    }

    fn name(&mut self, name: Option<String>, too_long: &'static str) -> Option<String> {
        let name = name.filter(|name| !name.is_empty())?;
        if name.len() > KEY_BYTES_MAX {
            self.notes.add(too_long, self.line);
            return None;
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::sources::source_of;

    fn mapper() -> Mapper {
        Mapper::new(source_of(Format::OpenClaw), 0)
    }

    #[test]
    fn keeps_the_line_and_indexes_it() {
        let mut mapper = mapper();
        let line = b"{\"type\":\"message\",\"id\":\"b\",\"parentId\":\"a\"}\r".to_vec();
        let record = mapper.record(line.clone());
        assert_eq!(record.payload, line);
        assert_eq!(record.kind.as_deref(), Some("message"));
        assert_eq!((record.key.as_deref(), record.parent.as_deref()), (Some("b"), Some("a")));
        let record = mapper.record(b"\0\xff".to_vec());
        assert_eq!((record.kind.as_deref(), mapper.opaque), (Some(OPAQUE), 1));
    }

    #[test]
    fn leaves_out_what_does_not_fit() {
        let mut mapper = mapper();
        let long = "x".repeat(1025);
        let line = format!("{{\"type\":\"{long}\",\"id\":\"{long}\",\"parentId\":\"{long}\"}}");
        let record = mapper.record(line.into_bytes());
        assert_eq!((record.kind, record.key, record.parent), (None, None, None));
        assert_eq!(mapper.notes.sentences().count(), 3);
        let record = mapper.record(b"{\"type\":\"sj.import\",\"id\":\"\"}".to_vec());
        assert_eq!((record.kind, record.key), (None, None));
    }
}
