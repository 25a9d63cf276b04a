//! One module per source, behind one trait: find its files, identify its lines, read what its files
//! hold, map what a line says. To add a source, add its file and its line in [`SOURCES`].

mod claude_code;
mod codex;
mod document;
mod gemini;
mod jsonl;
mod openclaw;
mod openclaw_store;
mod pi;

use std::path::{Path, PathBuf};

use crate::attributes::Attributes;
use crate::content::Content;
use crate::error::Result;
use crate::format::Format;
use crate::naming::file_name;
use crate::object::Object;
use crate::place::readable;
use crate::role::{Role, Shape};

pub(crate) use openclaw::names::{FileName, read as file_name_of};
pub use openclaw::registry::{Registries, Registry};
pub use openclaw_store::Copies;

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

/// What lines say about their session as a whole. The first id counts, of the rest the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The id that the source states.
    pub header_id: Option<String>,
    /// When it says that it began, in milliseconds since the epoch.
    pub began_ms: Option<i64>,
    /// What it is called.
    pub title: Option<String>,
    /// The provider of the model.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The folder in which it worked.
    pub cwd: Option<String>,
    /// The file of which it is a fork.
    pub parent_file: Option<String>,
    /// The id of the session of which it is a fork.
    pub parent_id: Option<String>,
    /// The key under which a registry has it, where the lines themselves tell.
    pub session_key: Option<String>,
}

/// What a source makes of a file that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// It is one of its files.
    Take(Role, Shape),
    /// It is one of its files, and holds nothing of a session: why, and what to do with it.
    Leave(&'static str, &'static str),
}

/// A session inside a file that holds several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in the file, like that of a file.
    pub name: String,
    /// What part it plays.
    pub role: Role,
    /// About how many bytes it has.
    pub bytes: u64,
    /// The agent whose file it is.
    pub agent: Option<String>,
}

/// A part that was opened: its bytes, and what its file knows about it.
#[derive(Debug)]
pub struct Opened {
    /// The bytes.
    pub content: Box<dyn Content>,
    /// What is known beside them.
    pub attributes: Attributes,
    /// What is worth knowing about how it was read.
    pub warnings: Vec<String>,
}

/// A program that writes sessions.
pub trait Source: Sync {
    /// Its format.
    fn format(&self) -> Format;

    /// Find: the folders below a home folder where the program keeps its sessions.
    fn homes(&self, _home: &Path) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Find: what a file of this name is, where it can be one of this source's.
    fn find(&self, _path: &Path) -> Option<Find> {
        None
    }

    /// Find: whether everything in this folder belongs to the source, files that it does not know
    /// included.
    fn owns(&self, _folder: &Path) -> bool {
        false
    }

    /// Identify: whether this line can only come from this source.
    fn recognises(&self, line: &Object<'_>) -> bool;

    /// Identify: whether a file that begins like this can only come from this source, where it is
    /// not lines.
    fn recognises_file(&self, _head: &[u8]) -> bool {
        false
    }

    /// Read: the sessions of a file that holds several.
    ///
    /// # Errors
    /// Where the file cannot be read.
    fn parts(&self, _path: &Path) -> Result<Vec<Part>> {
        Ok(Vec::new())
    }

    /// Read: one of these sessions.
    ///
    /// # Errors
    /// Where it is not there, or cannot be read.
    fn open_part(&self, path: &Path, _name: &str, _copies: &Copies) -> Result<Opened> {
        Err(crate::error::Error::file(path, crate::error::Problem::NotFound))
    }

    /// Map: the kind of the line that every session begins with.
    fn header(&self) -> Option<&'static str> {
        None
    }

    /// Map: whether a line whose name was there before is odd, and one whose parent was not.
    fn names_are_unique(&self) -> bool {
        false
    }

    /// Map: what a line says about itself.
    fn map(&self, line: &Object<'_>) -> Mapped;

    /// Map: what a line says about the session.
    fn learn(&self, _line: &Object<'_>, _facts: &mut Facts) {}

    /// Map: what the source's place tells about it: its name, and the registry beside it.
    fn describe(
        &self,
        _place: &Path,
        _facts: &Facts,
        _registries: &Registries,
        _attributes: &mut Attributes,
    ) {
    }
}

/// Every source. The special ones first: a pi line is told by the least.
static SOURCES: [&dyn Source; 8] = [
    &openclaw_store::OpenClawStore,
    &codex::Codex,
    &claude_code::ClaudeCode,
    &gemini::Gemini,
    &openclaw::OpenClaw,
    &pi::Pi,
    &jsonl::Jsonl,
    &document::Document,
];

/// Every source, in the order in which they are asked.
pub(crate) fn sources() -> impl Iterator<Item = &'static dyn Source> {
    SOURCES.iter().copied()
}

/// How the name of a session file ends, in every format; their programs write no other case.
pub(crate) const EXTENSION: &str = ".jsonl";

/// The same, packed.
pub(crate) const PACKED_EXTENSION: &str = ".jsonl.zst";

/// The name of a registry.
pub(crate) const REGISTRY_NAME: &str = "sessions.json";

/// The kind of a JSON object that does not say what it is.
pub(crate) const UNNAMED: &str = "line";

/// The source that reads a format.
///
/// # Panics
/// Never: every format has a source.
#[must_use]
pub fn source_of(format: Format) -> &'static dyn Source {
    sources().find(|source| source.format() == format).unwrap_or(&jsonl::Jsonl)
}

/// What a file is that lies in a folder; `None` where no source knows it.
pub(crate) fn find(path: &Path) -> Option<Find> {
    sources().find_map(|source| source.find(path)).or_else(|| {
        let folder = path.parent()?;
        let is_owned = sources().any(|source| source.owns(folder));
        is_owned.then_some(Find::Take(Role::Document, Shape::Whole))
    })
}

/// The source that keeps several sessions in a file that begins like this.
pub(crate) fn find_store(head: &[u8]) -> Option<&'static dyn Source> {
    sources().find(|source| source.recognises_file(head) && !is_text(head))
}

/// The format of a file that is one JSON text and begins like this.
pub(crate) fn recognise_whole(head: &[u8]) -> Format {
    let known = sources().find(|source| is_text(head) && source.recognises_file(head));
    known.map_or(Format::Document, Source::format)
}

fn is_text(head: &[u8]) -> bool {
    !head.contains(&0)
}

/// Tells the format by the first line that only one source can have written; never by a name. Lines
/// of pi are of the format `pi`.
pub(crate) fn recognise<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>, pi: Format) -> Format {
    let mut format = None;
    for line in lines {
        let Some(line) = Object::parse(line.as_ref()) else { continue };
        let found = sources().find(|source| source.recognises(&line)).map(Source::format);
        let found = if found == Some(Format::Pi) { Some(pi) } else { found };
        // pi's lines are OpenClaw's too; one that is OpenClaw's alone settles it.
        match (format, found) {
            (_, None) => {}
            (None, found) => format = found,
            (Some(Format::Pi), Some(Format::OpenClaw)) => format = found,
            _ => {}
        }
        if format.is_some_and(|format| format != Format::Pi) {
            break;
        }
    }
    format.unwrap_or(Format::Jsonl)
}

/// Whether an object is a line that some source can have written, and not a part of one.
pub(crate) fn is_record(object: &Object<'_>) -> bool {
    sources().any(|source| source.recognises(object))
}

/// What a file is that ends like lines of JSON.
pub(crate) fn find_lines(path: &Path) -> Option<Find> {
    let name = file_name(path);
    let is_one = name.ends_with(EXTENSION) || name.ends_with(PACKED_EXTENSION);
    is_one.then_some(Find::Take(Role::Transcript, Shape::Lines))
}

/// The folders that exist, of those that a program may use.
pub(crate) fn folders(candidates: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    candidates.into_iter().filter(|folder| folder.is_dir()).collect()
}

/// The names of the folders that lead to a place.
pub(crate) fn names_above(place: &Path) -> Vec<String> {
    let parent = place.parent().unwrap_or(place);
    parent.iter().map(readable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(text: &str) -> Format {
        recognise(text.split('\n').map(str::as_bytes), Format::Pi)
    }

    #[test]
    fn tells_formats_by_their_lines() {
        let delivered =
            r#"{"type":"message","message":{"role":"assistant","provider":"openclaw"}}"#;
        for (text, format) in [
            (r#"{"type":"session","id":"s","timestamp":"2026-05-21T09:00:00Z"}"#, Format::Pi),
            ("garbage\n\n{\"type\":\"message\",\"message\":{}}", Format::Pi),
            (&format!("{{\"type\":\"session\",\"id\":\"s\"}}\n{delivered}"), Format::OpenClaw),
            (r#"{"type":"leaf","targetId":"x"}"#, Format::OpenClaw),
            (r#"{"traceSchema":"openclaw-trajectory","type":"session.started"}"#, Format::OpenClaw),
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

    #[test]
    fn every_format_has_its_source() {
        for format in Format::ALL {
            assert_eq!(source_of(format).format(), format);
        }
    }
}
