//! A source that is open: where it is, what part it plays, and its bytes.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use crate::attributes::Attributes;
use crate::content::{Content, PackedFile, PlainFile};
use crate::discover::Spec;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::lines::{Lines, Place};
use crate::naming::agent;
use crate::place::with_end;
use crate::role::{Role, Shape};
use crate::sources::{Copies, Facts, Registries, recognise, recognise_whole, source_of};
use crate::turn::Turns;

/// How much of a file is looked at to tell its format.
const HEAD_BYTES: u64 = 1 << 20;
/// How many lines of it.
const HEAD_LINES: usize = 64;

/// Lines that were cut are put together up to this length, to see what they say; each job has two.
pub(crate) const JOINED_BYTES: u64 = 8 << 20;

/// An open source.
#[derive(Debug)]
pub(crate) struct Original {
    path: PathBuf,
    place: PathBuf,
    root: PathBuf,
    pub(crate) shape: Shape,
    content: Box<dyn Content>,
    format: Option<Format>,
    /// What its file knows about it beside the bytes.
    known: Attributes,
    pub(crate) warnings: Vec<String>,
}

impl Original {
    /// Opens a source for reading.
    pub(crate) fn open(spec: &Spec, copies: &Copies) -> Result<Self> {
        match &spec.part {
            Some((format, name)) => Self::open_part(spec, *format, name, copies),
            None => Self::open_file(spec),
        }
    }

    fn open_part(spec: &Spec, format: Format, name: &str, copies: &Copies) -> Result<Self> {
        let opened = source_of(format).open_part(&spec.path, name, copies)?;
        let (content, known) = (opened.content, opened.attributes);
        let all = (content, known, Some(format), opened.warnings);
        Ok(Self::of(spec, Shape::Lines, all))
    }

    fn open_file(spec: &Spec) -> Result<Self> {
        let file = PlainFile::open(&spec.path, spec.links)?;
        let mut known = Attributes { role: spec.role, ..Attributes::default() };
        let is_packed = spec.path.to_string_lossy().ends_with(".zst") && begins_packed(&file);
        if !is_packed {
            return Ok(Self::of(spec, spec.shape, (Box::new(file), known, None, Vec::new())));
        }
        let packed = PackedFile(file);
        if packed.is_sound() {
            known.packed = Some("zstd".to_owned());
            let what = "it was packed; its lines are stored, and come back unpacked".to_owned();
            return Ok(Self::of(spec, spec.shape, (Box::new(packed), known, None, vec![what])));
        }
        let what = "it cannot be unpacked to its end, and is kept as it is".to_owned();
        known.role = Role::Document;
        Ok(Self::of(spec, Shape::Whole, (Box::new(packed.0), known, None, vec![what])))
    }

    fn of(
        spec: &Spec,
        shape: Shape,
        (content, known, format, warnings): (
            Box<dyn Content>,
            Attributes,
            Option<Format>,
            Vec<String>,
        ),
    ) -> Self {
        let place = match known.packed {
            Some(_) => unpacked(&spec.place()),
            None => spec.place(),
        };
        let (path, root) = (spec.shown(), spec.root.clone());
        Self { path, place, root, shape, content, format, known, warnings }
    }

    /// The path that the caller named.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its absolute path, links resolved; that of a part is below that of its file.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// What part it plays.
    pub(crate) fn role(&self) -> Role {
        self.known.role
    }

    /// Its bytes from an offset on.
    pub(crate) fn read_from(&self, offset: u64) -> Result<Box<dyn BufRead + '_>> {
        self.content.read_from(offset).map_err(|e| self.failed("read it", e))
    }

    /// Its lines from a place on.
    pub(crate) fn lines_from<'a>(
        &'a self,
        place: Place,
        limit: u64,
        turns: &'a Turns,
    ) -> Result<Lines<'a, Box<dyn BufRead + 'a>>> {
        Ok(Lines::new(self.read_from(place.offset)?, place, limit, turns))
    }

    /// What stands between the last line feed before an offset and that offset; nothing where it is
    /// long.
    pub(crate) fn line_up_to(&self, end: u64) -> Result<Vec<u8>> {
        for most in [16 << 10, 1 << 20, JOINED_BYTES] {
            let from = end.saturating_sub(most);
            let mut bytes = Vec::new();
            let input = self.read_from(from)?;
            input
                .take(end - from)
                .read_to_end(&mut bytes)
                .map_err(|e| self.failed("read it", e))?;
            if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
                return Ok(bytes.split_off(at + 1));
            }
            if from == 0 {
                return Ok(bytes);
            }
        }
        Ok(Vec::new())
    }

    /// Its format, told by its first lines, and between `OpenClaw` and pi by its folder.
    pub(crate) fn recognise(&self) -> Result<Format> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let mut head = self.read_from(0)?.take(HEAD_BYTES);
        if self.shape == Shape::Whole {
            let mut bytes = Vec::new();
            head.read_to_end(&mut bytes).map_err(|e| self.failed("read it", e))?;
            return Ok(recognise_whole(&bytes));
        }
        let pi = if self.is_openclaws() { Format::OpenClaw } else { Format::Pi };
        let mut failed = None;
        // Mostly the first line tells; no more is read then.
        let lines = head.split(b'\n').take(HEAD_LINES);
        let lines = lines.map_while(|line| line.map_err(|error| failed = Some(error)).ok());
        let format = recognise(lines, pi);
        failed.map_or(Ok(format), |error| Err(self.failed("read it", error)))
    }

    fn is_openclaws(&self) -> bool {
        let folder = self.place.parent().unwrap_or(&self.place);
        source_of(Format::OpenClaw).owns(folder)
    }

    /// What is known of it: from its lines, its place, and before.
    pub(crate) fn attributes(
        &self,
        format: Format,
        facts: &Facts,
        before: Option<Attributes>,
        registries: &Registries,
    ) -> Attributes {
        let mut attributes = before.unwrap_or_default();
        let own = &self.known;
        let or = |new: &Option<String>, old: &mut Option<String>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        attributes.role = own.role;
        attributes.place(&self.place, &self.root);
        attributes.packed.clone_from(&own.packed);
        attributes.mode = self.content.mode();
        attributes.modified_ms = self.content.modified_ms();
        attributes.header_id = attributes.header_id.or_else(|| facts.header_id.clone());
        let agent = agent(&self.place);
        or(&agent, &mut attributes.agent);
        or(&facts.session_key, &mut attributes.session_key);
        or(&facts.title, &mut attributes.title);
        or(&facts.provider, &mut attributes.provider);
        or(&facts.model, &mut attributes.model);
        or(&facts.cwd, &mut attributes.cwd);
        self.overlay(&mut attributes);
        // A run that reads no lines knows the id from the one before.
        let facts = Facts { header_id: attributes.header_id.clone(), ..facts.clone() };
        let describe = |format, attributes: &mut Attributes| {
            source_of(format).describe(&self.place, &facts, registries, attributes);
        };
        describe(format, &mut attributes);
        // An empty transcript, or a binding, does not say whose it is; its folder does.
        let is_unsaid = matches!(format, Format::Pi | Format::Jsonl | Format::Document);
        if is_unsaid && self.is_openclaws() {
            describe(Format::OpenClaw, &mut attributes);
        }
        attributes
    }

    /// What the source's own file knows of it counts more than its lines.
    fn overlay(&self, attributes: &mut Attributes) {
        let own = &self.known;
        let fields = [
            (&own.header_id, &mut attributes.header_id),
            (&own.session_key, &mut attributes.session_key),
            (&own.title, &mut attributes.title),
            (&own.agent, &mut attributes.agent),
            (&own.channel, &mut attributes.channel),
            (&own.provider, &mut attributes.provider),
            (&own.model, &mut attributes.model),
            (&own.status, &mut attributes.status),
        ];
        for (new, old) in fields {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        attributes.updated_ms = own.updated_ms.or(attributes.updated_ms);
        if !own.counters.is_empty() {
            attributes.counters.clone_from(&own.counters);
        }
        own.lineage.iter().for_each(|one| attributes.relate(one.clone()));
    }

    /// Whether it is what it was when it was opened, and still where it was found.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.content.is_unchanged()
    }

    /// An error about this source.
    pub(crate) fn failed(&self, operation: &'static str, source: std::io::Error) -> Error {
        Error::io(&self.path, operation, source)
    }
}

fn begins_packed(file: &PlainFile) -> bool {
    file.read_from(0).is_ok_and(|mut input| {
        let head = input.fill_buf();
        head.is_ok_and(PackedFile::recognises)
    })
}

/// What a packed file was called before.
fn unpacked(place: &Path) -> PathBuf {
    let is_packed = place.extension().is_some_and(|extension| extension == "zst");
    if is_packed { place.with_extension("") } else { place.to_owned() }
}

/// Whether a source that is known by its place is still there.
pub(crate) fn is_there(place: &Path) -> bool {
    let packed = || with_end(place, ".zst");
    // A part is below its file, which is no folder.
    let is_part = || place.parent().is_some_and(Path::is_file);
    place.exists() || is_part() || packed().exists()
}
