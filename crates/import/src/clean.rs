//! An imported session as clean pi JSONL, version 3: what pi can read as it is, what it would
//! migrate migrated, and what is damaged left out and named.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;

use serde_json::{Value, json};
use session_journal::{ItemRef, Reader};

use crate::attributes::Attributes;
use crate::damage::{Damage, Damages, Oddity};
use crate::edit::Edit;
use crate::error::{Error, Problem, Result};
use crate::format::Format;
use crate::object::Object;
use crate::receipt::{Gaps, is_line, receipts};

/// The version that is written.
const VERSION: u64 = 3;

/// What a clean export wrote, and what it left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// What was left out, or mended, by the numbers of the session's lines.
    pub damage: Vec<Damage>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// Writes a session as clean pi JSONL.
///
/// # Errors
/// Where it is no session of pi or `OpenClaw`; [`Error::Output`] where the lines cannot be written;
/// else what reading the journal answers.
pub fn write_clean(
    reader: &Reader,
    out: &mut dyn Write,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Cleaned> {
    let format =
        receipts(reader, Gaps::StepOver)?.last().map(|(_, receipt)| receipt.format.clone());
    let is_pi = format.as_deref().is_none_or(|format| {
        let known = format.parse().ok();
        matches!(known, Some(Format::Pi | Format::OpenClaw | Format::OpenClawStore | Format::Jsonl))
    });
    if !is_pi {
        let format = format.unwrap_or_default();
        return Err(Error::file(reader.path(), Problem::NoPiForm(format)));
    }
    let known = Attributes::of(reader).ok().flatten().unwrap_or_default();
    let mut cleaner = Cleaner::new(out, &known, reader);
    let mut items = reader.records().with_gaps();
    while let Some(item) = items.next_ref() {
        match item? {
            ItemRef::Record(record) if is_line(&record) => cleaner.line(record.payload)?,
            ItemRef::Record(_) => {}
            ItemRef::Gap(gap) => {
                let note = format!("{} record(s) are missing from {} on", gap.records, gap.first);
                cleaner.done.notes.push(note);
            }
        }
        if !go_on(cleaner.done.bytes) {
            break;
        }
    }
    cleaner.finish()
}

/// How a session was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Entries have no ids: version 1.
    Linear,
    /// They name their parents: version 2 and later.
    Tree,
}

struct Cleaner<'a> {
    out: &'a mut dyn Write,
    known: &'a Attributes,
    fallback_id: String,
    line: u64,
    has_header: bool,
    /// How many lines of the session come before its first entry.
    header_lines: usize,
    shape: Shape,
    /// The ids that were made for entries of version 1, by their place in the file.
    made: Vec<String>,
    parents: Parents,
    damages: Damages,
    done: Cleaned,
}

impl<'a> Cleaner<'a> {
    fn new(out: &'a mut dyn Write, known: &'a Attributes, reader: &Reader) -> Self {
        Self {
            out,
            known,
            fallback_id: reader.name().id().to_owned(),
            line: 0,
            has_header: false,
            header_lines: 1,
            shape: Shape::Tree,
            made: Vec::new(),
            parents: Parents::default(),
            damages: Damages::default(),
            done: Cleaned::default(),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        self.line += 1;
        let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii();
        // As pi reads it: one bad character does not cost the line, and all that hangs on it.
        let text = String::from_utf8_lossy(line);
        let is_mended = matches!(text, Cow::Owned(_)) && Object::parse(text.as_bytes()).is_some();
        let line = if is_mended { text.as_bytes() } else { line };
        if is_mended {
            self.damages.add(Oddity::NotUtf8, self.line);
        }
        let Some(object) = Object::parse(line) else {
            self.damages.add(left_out(line), self.line);
            return Ok(());
        };
        let Some(kind) = object.text("type") else {
            self.damages.add(Oddity::NotAnEntry, self.line);
            return Ok(());
        };
        if kind == "session" {
            return self.header(line, &object);
        }
        if !self.has_header {
            self.damages.add(Oddity::HeaderMissing, self.line);
            self.make_header(&object)?;
        }
        match self.shape {
            Shape::Linear => self.linear(line, &object, &kind),
            Shape::Tree => self.entry(line, &object),
        }
    }

    fn header(&mut self, line: &[u8], object: &Object<'_>) -> Result<()> {
        if self.has_header {
            self.damages.add(Oddity::HeaderAgain, self.line);
            return Ok(());
        }
        self.has_header = true;
        let mut edit = Edit::of(line);
        let version = object.raw("version");
        if matches!(version, None | Some("1")) {
            self.shape = Shape::Linear;
        }
        if version != Some("3") {
            edit.set(object, "version", &VERSION.to_string());
        }
        if object.text("id").is_none() {
            edit.set(object, "id", &quoted(&self.id()));
        }
        self.put(&edit.done())
    }

    /// A header for a session that has none, of what is known of it.
    fn make_header(&mut self, first: &Object<'_>) -> Result<()> {
        self.has_header = true;
        self.header_lines = 0;
        let is_linear = !first.has("id") && !first.has("parentId");
        self.shape = if is_linear { Shape::Linear } else { Shape::Tree };
        let time = first.text("timestamp").unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned());
        let cwd = self.known.cwd.as_deref().unwrap_or("/");
        let header = json!({
            "type": "session", "version": VERSION, "id": self.id(), "timestamp": time, "cwd": cwd,
        });
        self.put(header.to_string().as_bytes())
    }

    fn id(&self) -> String {
        self.known.header_id.clone().unwrap_or_else(|| self.fallback_id.clone())
    }

    /// An entry that names its parent.
    fn entry(&mut self, line: &[u8], object: &Object<'_>) -> Result<()> {
        let Some(id) = object.text("id") else {
            // pi would give it no place in the tree.
            self.damages.add(Oddity::NotAnEntry, self.line);
            return Ok(());
        };
        let parent = object.text("parentId");
        let is_circle = self.parents.add(&id, parent.as_deref());
        let was_hook = object
            .object("message")
            .is_some_and(|message| message.text("role").as_deref() == Some("hookMessage"));
        if !is_circle && !was_hook {
            return self.put(line);
        }
        let mut edit = Edit::of(line);
        if is_circle {
            self.damages.add(Oddity::Circle, self.line);
            edit.replace(object.raw("parentId"), "null");
        }
        rename_hook(&mut edit, object);
        self.put(&edit.done())
    }

    /// An entry of version 1: it follows the one before, and gets an id.
    fn linear(&mut self, line: &[u8], object: &Object<'_>, kind: &str) -> Result<()> {
        let mut edit = Edit::of(line);
        if kind == "compaction"
            && let Some(kept) = self.kept(object)
        {
            edit.set(object, "firstKeptEntryId", &quoted(kept));
        }
        rename_hook(&mut edit, object);
        let id = format!("{:08x}", self.made.len() + 1);
        edit.set(object, "id", &quoted(&id));
        let parent = self.made.last().map_or("null".to_owned(), |parent| quoted(parent));
        edit.set(object, "parentId", &parent);
        self.made.push(id);
        self.put(&edit.done())
    }

    /// Version 1 told the first kept entry by its place in the file, the header included.
    fn kept(&self, compaction: &Object<'_>) -> Option<&str> {
        let index: usize = compaction.raw("firstKeptEntryIndex")?.parse().ok()?;
        self.made.get(index.checked_sub(self.header_lines)?).map(String::as_str)
    }

    fn put(&mut self, line: &[u8]) -> Result<()> {
        self.out.write_all(line).and_then(|()| self.out.write_all(b"\n")).map_err(Error::Output)?;
        self.done.bytes += line.len() as u64 + 1;
        self.done.lines += 1;
        Ok(())
    }

    fn finish(self) -> Result<Cleaned> {
        self.out.flush().map_err(Error::Output)?;
        Ok(Cleaned { damage: self.damages.into_all(), ..self.done })
    }
}

/// Why a line that is no object is left out.
fn left_out(line: &[u8]) -> Oddity {
    match std::str::from_utf8(line) {
        _ if line.contains(&0) => Oddity::Nul,
        Err(_) => Oddity::NotUtf8,
        Ok("") => Oddity::Blank,
        Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            Oddity::NotAnObject
        }
        Ok(_) => Oddity::BrokenJson,
    }
}

/// Before version 3 the messages of extensions had another role.
fn rename_hook(edit: &mut Edit<'_>, entry: &Object<'_>) {
    if let Some(message) = entry.object("message")
        && message.text("role").as_deref() == Some("hookMessage")
    {
        edit.replace(message.raw("role"), &quoted("custom"));
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The parents of the entries, as hashes: an entry must not come from itself.
#[derive(Default)]
struct Parents {
    hasher: RandomState,
    parent_of: HashMap<u64, Option<u64>>,
    /// Parents that were named before they were there.
    awaited: HashSet<u64>,
}

impl Parents {
    /// Adds an entry, and tells whether it would come from itself.
    fn add(&mut self, id: &str, parent: Option<&str>) -> bool {
        let id = self.hasher.hash_one(id);
        let parent = parent.map(|parent| self.hasher.hash_one(parent));
        // Only an entry that others name already can close a circle, or one that is there again.
        let can_close = self.awaited.contains(&id) || self.parent_of.contains_key(&id);
        let is_circle =
            parent.is_some_and(|parent| parent == id || (can_close && self.leads_to(parent, id)));
        self.awaited.extend(parent.filter(|parent| !self.parent_of.contains_key(parent)));
        self.parent_of.insert(id, parent.filter(|_| !is_circle));
        is_circle
    }

    fn leads_to(&self, from: u64, id: u64) -> bool {
        let mut at = Some(from);
        for _ in 0..=self.parent_of.len() {
            match at {
                None => return false,
                Some(at) if at == id => return true,
                Some(next) => at = self.parent_of.get(&next).copied().flatten(),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_circles() {
        let mut parents = Parents::default();
        assert!(parents.add("self", Some("self")));
        assert!(!parents.add("a", Some("c")));
        assert!(!parents.add("b", Some("a")));
        assert!(parents.add("c", Some("b")));
        assert!(!parents.add("d", Some("c")));
        assert!(!parents.add("d", Some("c")), "the same again is no circle");
        assert!(parents.add("a", Some("b")), "a again, below itself");
        assert!(!parents.add("x", Some("z")));
        assert!(!parents.add("z", Some("y")));
        assert!(parents.add("y", Some("x")), "each names the next one");
    }

    #[test]
    fn tells_why_a_line_is_left_out() {
        for (line, what) in [
            (&b""[..], Oddity::Blank),
            (b"\0", Oddity::Nul),
            (b"\xff", Oddity::NotUtf8),
            (b"null", Oddity::NotAnObject),
            (b"{\"a\"", Oddity::BrokenJson),
        ] {
            assert_eq!(left_out(line), what);
        }
    }
}
