//! Which sources are meant: files as named, folders read recursively, links not followed, databases
//! session by session.

use std::fs::{self, DirEntry, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::content::{Links, not_a_file};
use crate::error::Error;
use crate::format::Format;
use crate::role::{Role, Shape};
use crate::shell::import_command;
use crate::sources::{Find, find, find_store};

/// How much of a file tells whether it is a database.
const MAGIC_BYTES: u64 = 16;

/// A source that is to be imported.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// The file, as it was named or found.
    pub(crate) path: PathBuf,
    /// The same, absolute, links resolved.
    pub(crate) real_path: PathBuf,
    /// The folder that was named; for a file that was named, its folder.
    pub(crate) root: PathBuf,
    /// The session in the file, where it holds several.
    pub(crate) part: Option<(Format, String)>,
    pub(crate) role: Role,
    pub(crate) shape: Shape,
    pub(crate) links: Links,
    /// How many bytes it has, or about how many.
    pub(crate) bytes: u64,
    /// The agent that its file states.
    pub(crate) agent: Option<String>,
}

/// Something met on the way.
#[derive(Debug)]
pub(crate) enum Found {
    /// A source to import.
    Source(Spec),
    /// Left out: why, what to do, and how many bytes it has.
    Skipped(PathBuf, String, String, u64),
    /// A file or folder that cannot be read.
    Failed(PathBuf, Error),
}

impl Spec {
    /// A file that was named: taken whatever its name.
    pub(crate) fn named(path: &Path, bytes: u64) -> Self {
        let (role, shape) = match find(path) {
            Some(Find::Take(role, shape)) => (role, shape),
            _ => (Role::Transcript, Shape::Lines),
        };
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let root = place.parent().unwrap_or(&place).to_owned();
        let (path, links, real_path) = (path.to_owned(), Links::Follow, place);
        Self { path, real_path, root, part: None, role, shape, links, bytes, agent: None }
    }

    /// The path to show: that of a part is below that of its file.
    pub(crate) fn shown(&self) -> PathBuf {
        self.with_part(self.path.clone())
    }

    /// The absolute path, links resolved.
    pub(crate) fn place(&self) -> PathBuf {
        self.with_part(self.real_path.clone())
    }

    fn with_part(&self, path: PathBuf) -> PathBuf {
        match &self.part {
            Some((_, name)) => path.join(name),
            None => path,
        }
    }
}

/// Everything that these paths mean, in a stable order. A file that is named is taken whatever its
/// name; in a folder the name decides, and the content where that says more.
///
/// The store itself is left out: it holds what was imported.
pub(crate) fn discover(paths: &[PathBuf], store: Option<&Path>) -> Vec<Found> {
    let mut found = Vec::new();
    let store = store.and_then(|store| store.canonicalize().ok());
    for path in paths {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => folder(path, store.as_deref(), &mut found),
            Ok(metadata) => {
                let spec = Spec::named(path, metadata.len());
                if metadata.is_file() {
                    sessions(spec, &mut found);
                } else {
                    found.push(Found::Source(spec));
                }
            }
            Err(error) => found.push(failed(path, "look at it", error)),
        }
    }
    found
}

fn folder(root: &Path, store: Option<&Path>, found: &mut Vec<Found>) {
    let before = found.len();
    let real_root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    // No link is followed below, so the real path grows along with the other one.
    let mut waiting = vec![(root.to_owned(), real_root.clone())];
    while let Some((path, real_path)) = waiting.pop() {
        if store == Some(&real_path) {
            found.push(skipped(&path, "the store itself", "nothing", 0));
            continue;
        }
        let entries = fs::read_dir(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                found.push(failed(&path, "read the folder", error));
                continue;
            }
        };
        entries.sort_unstable_by_key(DirEntry::file_name);
        let mut folders = Vec::new();
        for entry in entries {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    folders.push((entry.path(), real_path.join(entry.file_name())));
                }
                Ok(_) => file(&entry, &real_path, &real_root, found),
                Err(error) => found.push(failed(&entry.path(), "look at it", error)),
            }
        }
        waiting.extend(folders.into_iter().rev());
    }
    if found.len() == before {
        found.push(skipped(root, "the folder holds no files", "name another one", 0));
    }
}

fn file(entry: &DirEntry, folder: &Path, root: &Path, found: &mut Vec<Found>) {
    let (path, real_path) = (entry.path(), folder.join(entry.file_name()));
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return found.push(failed(&path, "look at it", error)),
    };
    if let Some(what) = not_a_file(metadata.file_type()) {
        let why = format!("is {what}; links and special files are left alone");
        // A link that leads to something has a command that takes it.
        let next = match path.canonicalize() {
            Ok(target) if target.is_file() => import_command(&target),
            _ => "name what it leads to, if that is meant".to_owned(),
        };
        return found.push(skipped(&path, &why, &next, 0));
    }
    let bytes = metadata.len();
    let take = |path: &Path, role, shape| Spec {
        path: path.to_owned(),
        real_path: real_path.clone(),
        root: root.to_owned(),
        part: None,
        role,
        shape,
        links: Links::Refuse,
        bytes,
        agent: None,
    };
    match find(&real_path) {
        Some(Find::Leave(why, next)) => found.push(skipped(&path, why, next, bytes)),
        Some(Find::Take(role, shape)) if role != Role::Document => {
            found.push(Found::Source(take(&path, role, shape)));
        }
        Some(Find::Take(role, shape)) => sessions(take(&path, role, shape), found),
        None => match head(&path) {
            Ok(head) if find_store(&head).is_some() => {
                sessions(take(&path, Role::Document, Shape::Whole), found);
            }
            _ => {
                let why = "not named like a session";
                found.push(skipped(&path, why, &import_command(&path), bytes));
            }
        },
    }
}

/// The sessions of a file: those in it where it is a database, else the file.
fn sessions(spec: Spec, found: &mut Vec<Found>) {
    let head = head(&spec.path).unwrap_or_default();
    let Some(source) = find_store(&head) else { return found.push(Found::Source(spec)) };
    let parts = match source.parts(&spec.path) {
        Ok(parts) => parts,
        Err(error) => return found.push(Found::Failed(spec.path, error)),
    };
    let (why, next) = if parts.is_empty() {
        ("a database that holds no sessions of OpenClaw", "nothing")
    } else {
        (
            "a database: its sessions follow, one by one; its other tables hold none",
            "keep it for as long as its program needs it",
        )
    };
    found.push(skipped(&spec.path, why, next, 0));
    found.extend(parts.into_iter().map(|part| {
        Found::Source(Spec {
            part: Some((source.format(), part.name)),
            role: part.role,
            shape: Shape::Lines,
            bytes: part.bytes,
            agent: part.agent,
            ..spec.clone()
        })
    }));
}

fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(MAGIC_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

fn skipped(path: &Path, why: &str, next: &str, bytes: u64) -> Found {
    Found::Skipped(path.to_owned(), why.to_owned(), next.to_owned(), bytes)
}

fn failed(path: &Path, operation: &'static str, error: std::io::Error) -> Found {
    Found::Failed(path.to_owned(), Error::io(path, operation, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(found: &[Found]) -> Vec<(char, String)> {
        let name =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = |found: &Found| match found {
            Found::Source(spec) if spec.shape == Shape::Whole => ('d', name(&spec.path)),
            Found::Source(spec) => ('f', name(&spec.path)),
            Found::Skipped(path, ..) => ('s', name(path)),
            Found::Failed(path, _) => ('x', name(path)),
        };
        found.iter().map(kind).collect()
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for name in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("makes folders");
            fs::write(path, "").expect("writes");
        }
        root
    }

    #[test]
    fn reads_folders() {
        let files = ["b/c/x.jsonl", "b/x.jsonl.lock", "sessions.json", "z.jsonl", "notes.txt"];
        let root = tree(&files);
        std::os::unix::fs::symlink(root.path(), root.path().join("loop")).expect("links");
        let found = discover(&[root.path().to_owned(), root.path().join("notes.txt")], None);
        let expected = [
            ('s', "loop"),
            ('s', "notes.txt"),
            ('d', "sessions.json"),
            ('f', "z.jsonl"),
            ('s', "x.jsonl.lock"),
            ('f', "x.jsonl"),
            ('f', "notes.txt"),
        ];
        assert_eq!(kinds(&found), expected.map(|(kind, name)| (kind, name.to_owned())));
    }

    #[test]
    fn keeps_every_file_of_a_folder_that_a_program_owns() {
        let root = tree(&["agents/main/sessions/odd.bin", "agents/main/other.bin"]);
        let found = discover(&[root.path().to_owned()], None);
        let expected = [('s', "other.bin"), ('d', "odd.bin")];
        assert_eq!(kinds(&found), expected.map(|(kind, name)| (kind, name.to_owned())));
    }

    #[test]
    fn reports_what_is_not_there() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(kinds(&discover(&[root.path().join("none")], None)), [('x', "none".to_owned())]);
        assert!(matches!(discover(&[root.path().to_owned()], None)[..], [Found::Skipped(..)]));
    }
}
