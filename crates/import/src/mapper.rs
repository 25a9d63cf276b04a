//! A line to a record: the payload is the line, the rest is what the line says about itself.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde::Deserialize;
use serde::de::IgnoredAny;
use session_journal::NewRecord;

use crate::damage::{Damages, Oddity};
use crate::lines::Line;
use crate::object::Object;
use crate::original::JOINED_BYTES;
use crate::receipt::TOOL_KIND_PREFIX;
use crate::role::Role;
use crate::sources::{Facts, Mapped, Source, is_record};

/// The kind of a line that is no JSON object.
pub(crate) const OPAQUE: &str = "opaque";

const KIND_BYTES_MAX: usize = 255;
const KEY_BYTES_MAX: usize = 1024;

/// How many ids are remembered to tell repeated ones; 32 MiB of hashes.
const IDS_MAX: usize = 3_600_000;
/// Longer lines are not searched for whole records inside.
const SEARCHED_MAX: usize = 1 << 20;
/// So many beginnings are tried in one line.
const BEGINNINGS_MAX: usize = 32;

/// Maps the lines of one source, one after the other.
pub(crate) struct Mapper {
    source: &'static dyn Source,
    line: u64,
    ids: Ids,
    header: Header,
    /// Lines that were no JSON objects.
    pub(crate) opaque: u64,
    /// What the lines say about the session.
    pub(crate) facts: Facts,
    /// What was odd.
    pub(crate) damages: Damages,
}

/// Where a source stands with its header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    /// It has none, or its beginning was not looked at.
    Unasked,
    Expected,
    Seen,
    Missing,
}

impl Mapper {
    /// Begins behind this many lines. Traces and streams have neither header nor tree.
    pub(crate) fn new(source: &'static dyn Source, role: Role, lines_before: u64) -> Self {
        let is_whole = lines_before == 0 && role == Role::Transcript;
        let has_header = is_whole && source.header().is_some();
        Self {
            source,
            line: lines_before,
            ids: Ids::new(is_whole && source.names_are_unique()),
            header: if has_header { Header::Expected } else { Header::Unasked },
            opaque: 0,
            facts: Facts::default(),
            damages: Damages::default(),
        }
    }

    /// The record of the next line.
    pub(crate) fn record(&mut self, line: Line) -> NewRecord {
        self.line += 1;
        let mapped = self.map(&line);
        let key = self.name(mapped.key, Oddity::KeyUnfit);
        let parent = self.name(mapped.parent, Oddity::ParentUnfit);
        NewRecord {
            kind: self.kind(mapped.kind),
            key,
            parent,
            time_ms: mapped.time_ms,
            payload: line.bytes.into(),
        }
    }

    /// The record of the rest of a line that was cut. By itself it is no entry; it has the name, the
    /// parent and the time of the entry that it completes, so that this is found and followed.
    pub(crate) fn rest(&mut self, begin: &[u8], rest: Line) -> NewRecord {
        let is_short = (begin.len() + rest.bytes.len()) as u64 <= JOINED_BYTES;
        let whole = if is_short { [begin, &rest.bytes].concat() } else { Vec::new() };
        let record = self.record(rest);
        // White space behind an entry completes nothing.
        let object = Object::parse(&whole).filter(|_| Object::parse(begin).is_none());
        let Some(object) = object else { return record };
        let mapped = self.source.map(&object);
        self.source.learn(&object, &mut self.facts);
        NewRecord {
            key: self.name(mapped.key, Oddity::KeyUnfit),
            parent: self.name(mapped.parent, Oddity::ParentUnfit),
            time_ms: mapped.time_ms,
            ..record
        }
    }

    fn map(&mut self, line: &Line) -> Mapped {
        let Some(object) = Object::parse(&line.bytes) else {
            self.opaque += 1;
            self.tell_opaque(line);
            return Mapped { kind: Some(OPAQUE.to_owned()), ..Mapped::default() };
        };
        self.tell_bytes(&line.bytes);
        let mapped = self.source.map(&object);
        self.check_header(&object, &mapped);
        self.check_ids(&mapped);
        self.source.learn(&object, &mut self.facts);
        mapped
    }

    fn tell_opaque(&mut self, line: &Line) {
        let what = opaque(line);
        self.damages.add(what, self.line);
        let is_searched = matches!(what, Oddity::BrokenJson | Oddity::Torn | Oddity::Nul);
        if is_searched && holds_record(&line.bytes) {
            self.damages.add(Oddity::Embedded, self.line);
        }
        if what != Oddity::Blank {
            self.miss_header();
        }
    }

    fn tell_bytes(&mut self, line: &[u8]) {
        if line.starts_with("\u{feff}".as_bytes()) {
            self.damages.add(Oddity::ByteOrderMark, self.line);
        }
        if line.ends_with(b"\r") {
            self.damages.add(Oddity::CarriageReturn, self.line);
        }
    }

    fn check_header(&mut self, object: &Object<'_>, mapped: &Mapped) {
        if self.header == Header::Unasked {
            return;
        }
        if mapped.kind.as_deref() != self.source.header() {
            self.miss_header();
        } else if matches!(self.header, Header::Expected) {
            self.header = Header::Seen;
            self.check_version(object);
        } else {
            self.damages.add(Oddity::HeaderAgain, self.line);
        }
    }

    fn miss_header(&mut self) {
        if self.header == Header::Expected {
            self.header = Header::Missing;
            self.damages.add(Oddity::HeaderMissing, self.line);
        }
    }

    fn check_version(&mut self, header: &Object<'_>) {
        match header.raw("version") {
            None => self.damages.add(Oddity::HeaderWithoutVersion, self.line),
            Some("1" | "2" | "3" | "4") => {}
            Some(_) => self.damages.add(Oddity::HeaderVersion, self.line),
        }
    }

    fn check_ids(&mut self, mapped: &Mapped) {
        if let Some(parent) = &mapped.parent
            && !self.ids.has(parent)
        {
            self.damages.add(Oddity::ParentMissing, self.line);
        }
        if let Some(key) = &mapped.key
            && !self.ids.add(key)
        {
            self.damages.add(Oddity::IdAgain, self.line);
        }
    }

    fn kind(&mut self, kind: Option<String>) -> Option<String> {
        let kind = kind.filter(|kind| !kind.is_empty())?;
        if kind.len() > KIND_BYTES_MAX || kind.starts_with(TOOL_KIND_PREFIX) {
            self.damages.add(Oddity::KindUnfit, self.line);
            return None;
        }
        Some(kind)
    }

    /// Keys that begin like those of the tools would hide theirs.
    fn name(&mut self, name: Option<String>, unfit: Oddity) -> Option<String> {
        let name = name.filter(|name| !name.is_empty())?;
        if name.len() > KEY_BYTES_MAX || name.starts_with(TOOL_KIND_PREFIX) {
            self.damages.add(unfit, self.line);
            return None;
        }
        Some(name)
    }
}

/// What a line is that is no JSON object.
fn opaque(line: &Line) -> Oddity {
    let bytes = &line.bytes;
    if bytes.contains(&0) {
        return Oddity::Nul;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return if line.terminated || !is_cut_within_a_character(bytes) {
            Oddity::NotUtf8
        } else {
            Oddity::Torn
        };
    };
    if text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{feff}').is_empty() {
        return Oddity::Blank;
    }
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Oddity::NotAnObject;
    }
    if line.terminated { Oddity::BrokenJson } else { Oddity::Torn }
}

/// Whether only the last character is not whole.
fn is_cut_within_a_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Whether a whole record shares the line with something else: at its beginning, or at its end.
fn holds_record(line: &[u8]) -> bool {
    if line.len() > SEARCHED_MAX {
        return false;
    }
    let begins_one = |bytes: &[u8]| {
        let mut values = serde_json::Deserializer::from_slice(bytes);
        let object = Object::deserialize(&mut values);
        object.is_ok_and(|object| is_record(&object))
    };
    let beginnings = line.windows(2).enumerate().filter(|(_, two)| two == b"{\"");
    beginnings.take(BEGINNINGS_MAX).any(|(at, _)| begins_one(&line[at..]))
}

/// The ids that were met, as hashes.
struct Ids {
    hasher: RandomState,
    seen: Option<HashSet<u64>>,
}

impl Ids {
    fn new(is_wanted: bool) -> Self {
        Self { hasher: RandomState::new(), seen: is_wanted.then(HashSet::new) }
    }

    /// Whether it was met; true where that is not known.
    fn has(&self, id: &str) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen.contains(&self.hasher.hash_one(id)))
    }

    /// False where it was met before.
    fn add(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        let Some(seen) = &mut self.seen else { return true };
        let is_new = seen.insert(hash);
        if seen.len() > IDS_MAX {
            self.seen = None;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::sources::source_of;

    fn mapper() -> Mapper {
        Mapper::new(source_of(Format::OpenClaw), Role::Transcript, 0)
    }

    fn line(bytes: impl Into<Vec<u8>>) -> Line {
        Line { bytes: bytes.into(), terminated: true }
    }

    fn oddities(lines: &[&[u8]]) -> Vec<(&'static str, Vec<u64>)> {
        let mut mapper = mapper();
        let last = lines.len() - 1;
        for (at, bytes) in lines.iter().enumerate() {
            mapper.record(Line { bytes: bytes.to_vec(), terminated: at < last });
        }
        mapper.damages.into_all().into_iter().map(|one| (one.what.as_str(), one.lines)).collect()
    }

    const HEADER: &[u8] = b"{\"type\":\"session\",\"version\":3,\"id\":\"s\"}";
    const ROOT: &[u8] =
        b"{\"type\":\"message\",\"id\":\"a\",\"parentId\":null,\"message\":{\"type\":\"text\"}}";

    #[test]
    fn keeps_the_line_and_indexes_it() {
        let mut mapper = mapper();
        let bytes = b"{\"type\":\"message\",\"id\":\"b\",\"parentId\":\"a\"}\r".to_vec();
        let record = mapper.record(line(bytes.clone()));
        assert_eq!(record.payload, bytes);
        assert_eq!(record.kind.as_deref(), Some("message"));
        assert_eq!((record.key.as_deref(), record.parent.as_deref()), (Some("b"), Some("a")));
        let record = mapper.record(line(*b"\0\xff"));
        assert_eq!((record.kind.as_deref(), mapper.opaque), (Some(OPAQUE), 1));
    }

    #[test]
    fn leaves_out_what_does_not_fit() {
        let mut mapper = mapper();
        let long = "x".repeat(1025);
        let text = format!("{{\"type\":\"{long}\",\"id\":\"{long}\",\"parentId\":\"{long}\"}}");
        let record = mapper.record(line(text));
        assert_eq!((record.kind, record.key, record.parent), (None, None, None));
        let text = "{\"type\":\"sj.import\",\"id\":\"sj.attributes/1\"}";
        let record = mapper.record(line(text));
        assert_eq!((record.kind, record.key), (None, None));
        let all = mapper.damages.into_all();
        let unfit: Vec<_> = all.iter().filter(|one| one.what.as_str().ends_with("unfit")).collect();
        assert_eq!(unfit.len(), 3);
    }

    #[test]
    fn names_what_is_odd() {
        assert_eq!(oddities(&[HEADER, ROOT, b"{\"ty"]), [("torn", vec![3])]);
        assert_eq!(oddities(&[HEADER, ROOT, b"{\"a\":\"\xf0\x9f"]), [("torn", vec![3])]);
        assert_eq!(oddities(&[HEADER, b"{\"ty", ROOT]), [("broken-json", vec![2])]);
        assert_eq!(
            oddities(&[HEADER, b"\xff", b" \r", b"7", ROOT]),
            [("not-utf8", vec![2]), ("blank", vec![3]), ("not-an-object", vec![4]),]
        );
        assert_eq!(oddities(&[b"\0\0"]), [("nul", vec![1]), ("header-missing", vec![1])]);
        let glued = [b"{\"ty".as_slice(), ROOT].concat();
        assert_eq!(
            oddities(&[HEADER, &glued, b"{}"]),
            [("broken-json", vec![2]), ("embedded", vec![2])]
        );
        let behind = [ROOT, b"{\"ty"].concat();
        assert_eq!(oddities(&[HEADER, &behind])[1], ("embedded", vec![2]));
        let block =
            b"{\"type\":\"message\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"\"}],";
        assert_eq!(oddities(&[HEADER, block]), [("torn", vec![2])]);
        assert_eq!(
            oddities(&[HEADER, HEADER, ROOT, ROOT]),
            [("header-again", vec![2]), ("id-again", vec![4])]
        );
        let orphan = b"{\"type\":\"message\",\"id\":\"b\",\"parentId\":\"z\"}";
        assert_eq!(oddities(&[orphan]), [("header-missing", vec![1]), ("parent-missing", vec![1])]);
        assert_eq!(
            oddities(&[b"{\"type\":\"session\",\"id\":\"s\"}"])[0].0,
            "header-without-version"
        );
        let future = b"{\"type\":\"session\",\"version\":99,\"id\":\"s\"}";
        assert_eq!(oddities(&[future])[0].0, "header-version");
    }
}
