//! A source file: opened read-only, and watched for changes while it is read.

use std::fs::{File, FileType, Metadata};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Problem, Result};
use crate::format::Format;
use crate::lines::{Lines, Place};
use crate::sources::recognise;

/// How much of a file is looked at to tell its format.
const HEAD_BYTES: u64 = 1 << 20;
/// How many lines of it.
const HEAD_LINES: usize = 64;
/// How much is read at a time.
const CHUNK_BYTES: usize = 1 << 18;

/// An open source file.
#[derive(Debug)]
pub(crate) struct Original {
    path: PathBuf,
    place: PathBuf,
    file: File,
    stamp: Stamp,
}

/// What shows that a file was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Original {
    /// Opens a file for reading. Anything that is no file is refused before it could block.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fail = |operation| move |source| Error::io(path, operation, source);
        let refuse = |what| Error::file(path, Problem::NotAFile(what));
        let metadata = path.metadata().map_err(fail("look at it"))?;
        not_a_file(metadata.file_type()).map_or(Ok(()), |what| Err(refuse(what)))?;
        let file = File::open(path).map_err(fail("open it"))?;
        let metadata = file.metadata().map_err(fail("look at it"))?;
        not_a_file(metadata.file_type()).map_or(Ok(()), |what| Err(refuse(what)))?;
        let place = path.canonicalize().map_err(fail("find its folder"))?;
        Ok(Self { path: path.to_owned(), place, file, stamp: Stamp::of(&metadata) })
    }

    /// The path that the caller named.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its absolute path, links resolved.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// When it was last modified, in milliseconds since the epoch.
    pub(crate) fn modified_ms(&self) -> i64 {
        let (seconds, nanoseconds) = self.stamp.modified;
        seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
    }

    /// Its bytes from an offset on.
    pub(crate) fn read_from(&self, offset: u64) -> Result<BufReader<&File>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset)).map_err(|e| self.failed("read it", e))?;
        Ok(BufReader::with_capacity(CHUNK_BYTES, file))
    }

    /// Its lines from a place on.
    pub(crate) fn lines_from(&self, place: Place, limit: u64) -> Result<Lines<BufReader<&File>>> {
        Ok(Lines::new(self.read_from(place.offset)?, place, limit))
    }

    /// Its format, told by its first lines.
    pub(crate) fn recognise(&self) -> Result<Format> {
        let mut head = Vec::new();
        let input = self.read_from(0)?;
        input.take(HEAD_BYTES).read_to_end(&mut head).map_err(|e| self.failed("read it", e))?;
        Ok(recognise(head.split(|byte| *byte == b'\n').take(HEAD_LINES)))
    }

    /// Whether it is what it was when it was opened, and still what its path names.
    pub(crate) fn is_unchanged(&self) -> bool {
        let is_same = |metadata: Metadata| Stamp::of(&metadata) == self.stamp;
        self.file.metadata().is_ok_and(is_same) && self.path.metadata().is_ok_and(is_same)
    }

    /// An error about this file.
    pub(crate) fn failed(&self, operation: &'static str, source: std::io::Error) -> Error {
        Error::io(&self.path, operation, source)
    }
}

/// What a file type is called where it is no regular file's.
pub(crate) fn not_a_file(file_type: FileType) -> Option<&'static str> {
    match file_type {
        file if file.is_file() => None,
        folder if folder.is_dir() => Some("a folder"),
        link if link.is_symlink() => Some("a symbolic link"),
        pipe if pipe.is_fifo() => Some("a pipe"),
        socket if socket.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Original::open(folder.path()).expect_err("a folder is no file");
        assert!(error.to_string().contains("is a folder, not a file"), "{error}");
        let error = Original::open(&folder.path().join("none")).expect_err("not there");
        assert_eq!(error.code(), "not-found");
        let error = Original::open(Path::new("/dev/null")).expect_err("a device");
        assert_eq!(error.code(), "invalid");
    }

    #[test]
    fn sees_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "a").expect("writes");
        let original = Original::open(&path).expect("opens");
        assert!(original.is_unchanged());
        std::fs::write(&path, "ab").expect("writes");
        assert!(!original.is_unchanged());
    }
}
