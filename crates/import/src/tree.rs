//! All sessions of a store as the files that they were, names included.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use session_journal::{Reader, SessionName};
use sha2::{Digest, Sha256};

use crate::attributes::Attributes;
use crate::catalogue::{Catalogue, Entry};
use crate::error::{Error, Problem, Result};
use crate::export::{Export, Exported};
use crate::naming::number;
use crate::place::with_end;
use crate::receipt::{Gaps, receipts};

/// What the file of a session that was not imported is called.
const EXTENSION: &str = "jsonl";

/// A session, and the file that it became.
#[derive(Debug)]
pub struct Leaf {
    /// The session.
    pub session: SessionName,
    /// The file.
    pub file: PathBuf,
    /// What was written.
    pub exported: Exported,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
    /// Whether it is its source, byte for byte; `None` where it has none, or records of its own
    /// behind it.
    pub is_source: Option<bool>,
}

/// Where every session of a catalogue goes.
#[derive(Debug)]
pub struct Tree<'a> {
    folder: PathBuf,
    plan: Vec<(&'a Entry, PathBuf)>,
}

impl<'a> Tree<'a> {
    /// Plans an export to this folder. It is made; what is in it already is never overwritten, so it
    /// must be empty.
    ///
    /// # Errors
    /// Where the folder is not empty, or cannot be made.
    pub fn new(catalogue: &'a Catalogue, folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let made = fs::create_dir_all(&folder);
        made.map_err(|error| Error::io(&folder, "make the folder", error))?;
        let entries = fs::read_dir(&folder);
        let mut entries = entries.map_err(|error| Error::io(&folder, "read the folder", error))?;
        if entries.next().is_some() {
            return Err(Error::file(&folder, Problem::NotEmpty));
        }
        let plan = plan(catalogue);
        Ok(Self { folder, plan })
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.plan.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty()
    }

    /// Writes the files, and hands over what became of each. `go_on` may end it. What was written is
    /// synced in the end.
    ///
    /// # Errors
    /// Where the folder cannot be synced. A session that cannot be exported is handed over with its
    /// error, and stops no other.
    pub fn write(
        &self,
        over_gaps: bool,
        each: &mut dyn FnMut(&SessionName, Result<Leaf>),
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<()> {
        for (entry, file) in &self.plan {
            if !go_on() {
                break;
            }
            each(&entry.name, self.write_one(entry, file, over_gaps));
        }
        let synced = File::open(&self.folder).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        synced.map_err(|error| Error::io(&self.folder, "sync it", error))
    }

    fn write_one(&self, entry: &Entry, file: &Path, over_gaps: bool) -> Result<Leaf> {
        let reader = Reader::open(&entry.path)?;
        let prepare = if over_gaps { Export::over_gaps } else { Export::new };
        let export = prepare(&reader)?;
        let path = self.folder.join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, "make the folder", e))?;
        }
        // Until it is whole it has another name.
        let unfinished = with_end(&path, ".unfinished");
        let fail = |operation| {
            let path = path.clone();
            move |error| Error::io(&path, operation, error)
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let out = options.open(&unfinished).map_err(fail("make it"))?;
        let mut out = Hashed { out: BufWriter::new(out), hash: Sha256::new() };
        let written = export.write(&mut out, &mut |_| true);
        let exported = match written {
            Ok(exported) => exported,
            Err(error) => {
                let _ = fs::remove_file(&unfinished);
                return Err(match error {
                    Error::Output(error) => Error::io(&path, "write it", error),
                    other => other,
                });
            }
        };
        restore(&unfinished, &entry.attributes).map_err(fail("restore its mode and time"))?;
        fs::rename(&unfinished, &path).map_err(fail("name it"))?;
        let sha256 = format!("{:x}", out.hash.finalize());
        let is_source = is_source(&reader, &exported, &sha256)?;
        Ok(Leaf { session: entry.name.clone(), file: path, exported, sha256, is_source })
    }
}

/// Whether an export is the source of the last receipt; `None` where there is no telling.
fn is_source(reader: &Reader, exported: &Exported, sha256: &str) -> Result<Option<bool>> {
    if !exported.gaps.is_empty() {
        return Ok(Some(false));
    }
    let receipts = receipts(reader, Gaps::StepOver)?;
    let Some((_, receipt)) = receipts.last() else { return Ok(None) };
    if exported.bytes == receipt.bytes {
        return Ok(Some(receipt.sha256 == sha256));
    }
    Ok((exported.bytes < receipt.bytes).then_some(false))
}

fn restore(path: &Path, attributes: &Attributes) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let file = File::options().write(true).open(path)?;
    if let Some(modified) = attributes.modified_ms.and_then(|ms| u64::try_from(ms).ok()) {
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(modified))?;
    }
    if let Some(mode) = attributes.mode {
        file.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
    }
    Ok(())
}

struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The file of each session below the folder. What was imported from one folder comes back as that
/// folder was; from several, below the folder that they have in common.
fn plan(catalogue: &Catalogue) -> Vec<(&Entry, PathBuf)> {
    let base = common(catalogue.entries().iter().map(|one| one.attributes.root_path()));
    let mut taken = HashSet::new();
    let mut plan = Vec::new();
    for entry in catalogue.entries() {
        let place = original_place(&entry.attributes, &base).map(|place| {
            // A source that was rewritten is several sessions; what it was last has the name.
            if catalogue.is_outdated(entry) {
                with_end(&place, &format!(".version-{}", number(&entry.name)))
            } else {
                place
            }
        });
        let own = || entry.name.relative_path().with_extension(EXTENSION);
        let mut place = place.unwrap_or_else(own);
        while !taken.insert(place.clone()) {
            place = with_end(&place, ".again");
        }
        plan.push((entry, place));
    }
    plan
}

fn original_place(attributes: &Attributes, base: &Path) -> Option<PathBuf> {
    if attributes.source.is_empty() || attributes.root.is_empty() {
        return None;
    }
    let source = attributes.source_path();
    let below = source.strip_prefix(base).ok()?;
    // Whatever a journal says: nothing is written outside the folder.
    let is_inside = below.components().all(|part| matches!(part, Component::Normal(_)));
    (is_inside && !below.as_os_str().is_empty()).then(|| below.to_owned())
}

fn common(paths: impl Iterator<Item = PathBuf>) -> PathBuf {
    let mut paths = paths.filter(|path| !path.as_os_str().is_empty());
    let mut common = paths.next().unwrap_or_default();
    for path in paths {
        while !path.starts_with(&common) && common.pop() {}
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_a_beginning_in_common() {
        let common = |paths: &[&str]| common(paths.iter().map(PathBuf::from));
        assert_eq!(common(&["/a/b/c"]), Path::new("/a/b/c"));
        assert_eq!(common(&["/a/b/c", "", "/a/b/d", "/a/b"]), Path::new("/a/b"));
        assert_eq!(common(&["/a/b", "/c"]), Path::new("/"));
        assert_eq!(common(&[]), Path::new(""));
    }

    #[test]
    fn nothing_leads_outside() {
        let place = |source: &str| {
            let root = "/a".to_owned();
            let attributes =
                Attributes { source: source.to_owned(), root, ..Attributes::default() };
            original_place(&attributes, Path::new("/a"))
        };
        assert_eq!(place("/a/b/x.jsonl"), Some(PathBuf::from("b/x.jsonl")));
        for odd in ["/a/../etc/x", "/b/x", "/a", "", "../x"] {
            assert_eq!(place(odd), None, "{odd}");
        }
    }
}
