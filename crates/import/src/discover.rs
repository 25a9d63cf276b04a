//! Which files are meant: files as named, folders read recursively, links not followed.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::format::Format;
use crate::original::not_a_file;
use crate::sources::source_of;

/// Something met on the way.
#[derive(Debug)]
pub(crate) enum Found {
    /// A file to import, and its size.
    File(PathBuf, u64),
    /// Left out, and why.
    Skipped(PathBuf, String),
    /// A file or folder that cannot be read.
    Failed(PathBuf, Error),
}

/// Everything that these paths mean, in a stable order. A file that is named is taken whatever its
/// name; in a folder the name decides.
pub(crate) fn discover(paths: &[PathBuf]) -> Vec<Found> {
    let mut found = Vec::new();
    for path in paths {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => folder(path, &mut found),
            Ok(metadata) => found.push(Found::File(path.clone(), metadata.len())),
            Err(error) => found.push(failed(path, "look at it", error)),
        }
    }
    found
}

fn folder(root: &Path, found: &mut Vec<Found>) {
    let before = found.len();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
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
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => found.push(file(&entry)),
                Err(error) => found.push(failed(&entry.path(), "look at it", error)),
            }
        }
        waiting.extend(folders.into_iter().rev());
    }
    if found.len() == before {
        found.push(Found::Skipped(root.to_owned(), "the folder holds no files".to_owned()));
    }
}

fn file(entry: &DirEntry) -> Found {
    let path = entry.path();
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return failed(&path, "look at it", error),
    };
    if let Some(what) = not_a_file(metadata.file_type()) {
        return Found::Skipped(path, format!("is {what}; links and special files are left alone"));
    }
    let name = entry.file_name().to_string_lossy().into_owned();
    let is_session = Format::ALL.into_iter().any(|format| source_of(format).finds(&name));
    if is_session {
        Found::File(path, metadata.len())
    } else {
        Found::Skipped(path, why_not(&name).to_owned())
    }
}

/// Why files of these names are no sessions: how a name begins, how it ends, the reason.
const OTHERS: [(&str, &str, &str); 6] = [
    ("", ".lock", "a lock file: says who wrote to a session, holds nothing of it"),
    ("", ".tmp", "the temporary file of a write that was not finished"),
    ("sessions.json", "", "the registry of sessions, not a session"),
    ("", ".json", "a side file of a session, not a session"),
    ("", ".zst", "compressed: unpack it first"),
    ("", ".gz", "compressed: unpack it first"),
];

fn why_not(name: &str) -> &'static str {
    let fits = |begin: &str, end: &str| name.starts_with(begin) && name.ends_with(end);
    let other = OTHERS.iter().find(|(begin, end, _)| fits(begin, end));
    other
        .map_or("not named like a session; name the file itself to import it all the same", |o| o.2)
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
            Found::File(path, _) => ('f', name(path)),
            Found::Skipped(path, _) => ('s', name(path)),
            Found::Failed(path, _) => ('x', name(path)),
        };
        found.iter().map(kind).collect()
    }

    #[test]
    fn reads_folders() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |name: &str| fs::write(root.path().join(name), "").expect("writes");
        fs::create_dir_all(root.path().join("b/c")).expect("makes a folder");
        for name in ["b/c/x.jsonl", "b/x.jsonl.lock", "sessions.json", "z.jsonl", "notes.txt"] {
            write(name);
        }
        std::os::unix::fs::symlink(root.path(), root.path().join("loop")).expect("links");
        let found = discover(&[root.path().to_owned(), root.path().join("notes.txt")]);
        let expected = [
            ('s', "loop"),
            ('s', "notes.txt"),
            ('s', "sessions.json"),
            ('f', "z.jsonl"),
            ('s', "x.jsonl.lock"),
            ('f', "x.jsonl"),
            ('f', "notes.txt"),
        ];
        assert_eq!(kinds(&found), expected.map(|(kind, name)| (kind, name.to_owned())));
    }

    #[test]
    fn reports_what_is_not_there() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(kinds(&discover(&[root.path().join("none")])), [('x', "none".to_owned())]);
        assert!(matches!(discover(&[root.path().to_owned()])[..], [Found::Skipped(..)]));
    }
}
