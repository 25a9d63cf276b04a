//! The bytes of one source, wherever they are kept: read from the beginning as often as one likes,
//! never written, and watched for changes.

use std::fmt::Debug;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::{Error, Problem, Result};

/// How much is read at a time.
const CHUNK_BYTES: usize = 1 << 18;

/// The bytes of one source.
pub trait Content: Debug + Send + Sync {
    /// Reads them from an offset on. One reader at a time.
    ///
    /// # Errors
    /// What the operating system, or the library that unpacks them, answers.
    fn read_from(&self, offset: u64) -> io::Result<Box<dyn BufRead + '_>>;

    /// Whether they are what they were when they were opened, and still where they were found.
    fn is_unchanged(&self) -> bool;

    /// When they were last changed, in milliseconds since the epoch.
    fn modified_ms(&self) -> Option<i64>;

    /// The permissions of their file.
    fn mode(&self) -> Option<u32>;
}

/// A file as it is.
#[derive(Debug)]
pub(crate) struct PlainFile {
    path: PathBuf,
    file: File,
    stamp: Stamp,
    mode: u32,
}

/// What shows that a file was not changed. It is compared within one run, never stored.
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

/// Whether a symbolic link may stand where a file was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// The user named it, and may mean what it leads to.
    Follow,
    /// It was met in a folder; what it leads to is somebody else's.
    Refuse,
}

impl PlainFile {
    /// Opens a file for reading. Anything that is no file is refused before it could block.
    pub(crate) fn open(path: &Path, links: Links) -> Result<Self> {
        let fail = |operation| move |source| Error::io(path, operation, source);
        let refuse = |what| Error::file(path, Problem::NotAFile(what));
        let look = |path: &Path| match links {
            Links::Follow => path.metadata(),
            Links::Refuse => path.symlink_metadata(),
        };
        let metadata = look(path).map_err(fail("look at it"))?;
        not_a_file(metadata.file_type()).map_or(Ok(()), |what| Err(refuse(what)))?;
        let flags = match links {
            Links::Follow => OFlags::empty(),
            Links::Refuse => OFlags::NOFOLLOW,
        };
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits().cast_signed());
        let file = options.open(path).map_err(fail("open it"))?;
        let metadata = file.metadata().map_err(fail("look at it"))?;
        not_a_file(metadata.file_type()).map_or(Ok(()), |what| Err(refuse(what)))?;
        let (stamp, mode) = (Stamp::of(&metadata), metadata.mode() & 0o777);
        Ok(Self { path: path.to_owned(), file, stamp, mode })
    }
}

impl Content for PlainFile {
    /// Up to where it ended when it was opened: who appends faster than this reads would not let it
    /// come to an end.
    fn read_from(&self, offset: u64) -> io::Result<Box<dyn BufRead + '_>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        // Some file systems say of every file that it has no bytes, and give them all the same.
        let end = if self.stamp.bytes == 0 { u64::MAX } else { self.stamp.bytes };
        let rest = file.take(end.saturating_sub(offset));
        Ok(Box::new(BufReader::with_capacity(CHUNK_BYTES, rest)))
    }

    fn is_unchanged(&self) -> bool {
        let is_same = |metadata: Metadata| Stamp::of(&metadata) == self.stamp;
        self.file.metadata().is_ok_and(is_same) && self.path.metadata().is_ok_and(is_same)
    }

    fn modified_ms(&self) -> Option<i64> {
        let (seconds, nanoseconds) = self.stamp.modified;
        Some(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000))
    }

    fn mode(&self) -> Option<u32> {
        Some(self.mode)
    }
}

/// A file that was packed with zstd: what it was before.
#[derive(Debug)]
pub(crate) struct PackedFile(pub(crate) PlainFile);

/// How files that zstd packed begin.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

impl PackedFile {
    /// Whether these bytes begin like a packed file.
    pub(crate) fn recognises(head: &[u8]) -> bool {
        head.starts_with(&ZSTD_MAGIC)
    }

    /// Whether it can be unpacked to its end.
    pub(crate) fn is_sound(&self) -> bool {
        self.read_from(0).is_ok_and(|mut input| io::copy(&mut input, &mut io::sink()).is_ok())
    }
}

impl Content for PackedFile {
    fn read_from(&self, offset: u64) -> io::Result<Box<dyn BufRead + '_>> {
        let mut input = zstd::stream::read::Decoder::with_buffer(self.0.read_from(0)?)?;
        io::copy(&mut (&mut input).take(offset), &mut io::sink())?;
        Ok(Box::new(BufReader::with_capacity(CHUNK_BYTES, input)))
    }

    fn is_unchanged(&self) -> bool {
        self.0.is_unchanged()
    }

    fn modified_ms(&self) -> Option<i64> {
        self.0.modified_ms()
    }

    fn mode(&self) -> Option<u32> {
        self.0.mode()
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

    fn open(path: &Path) -> Result<PlainFile> {
        PlainFile::open(path, Links::Refuse)
    }

    #[test]
    fn refuses_what_is_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = open(folder.path()).expect_err("a folder is no file");
        assert!(error.to_string().contains("is a folder, not a file"), "{error}");
        let error = open(&folder.path().join("none")).expect_err("not there");
        assert_eq!(error.code(), "not-found");
        let error = open(Path::new("/dev/null")).expect_err("a device");
        assert_eq!(error.code(), "invalid");
    }

    #[test]
    fn follows_a_link_only_where_it_was_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        std::fs::write(&path, "a").expect("writes");
        std::os::unix::fs::symlink(&path, &link).expect("links");
        assert!(open(&link).is_err());
        assert!(PlainFile::open(&link, Links::Follow).is_ok());
    }

    #[test]
    fn sees_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "a").expect("writes");
        let file = open(&path).expect("opens");
        assert!(file.is_unchanged());
        std::fs::write(&path, "ab").expect("writes");
        assert!(!file.is_unchanged());
    }

    /// A writer that was faster than the import kept it reading for as long as it wrote.
    #[test]
    fn gives_what_it_had_when_it_was_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "abc").expect("writes");
        let file = open(&path).expect("opens");
        let mut writer = OpenOptions::new().append(true).open(&path).expect("opens");
        let from = |offset| {
            let mut input = file.read_from(offset).expect("reads");
            let mut all = Vec::new();
            while let Some(byte) = input.by_ref().bytes().next().transpose().expect("reads") {
                all.push(byte);
                assert!(all.len() < 100, "it does not end");
                io::Write::write_all(&mut writer, b"more").expect("writes");
            }
            all
        };
        let [whole, rest, none] = [0, 2, 5].map(from);
        assert_eq!((&whole[..], &rest[..], &none[..]), (&b"abc"[..], &b"c"[..], &b""[..]));
        assert!(!file.is_unchanged());
    }

    #[test]
    fn unpacks_from_any_offset_and_tells_a_torn_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jsonl.zst");
        let packed = zstd::encode_all(&b"{\"a\":1}\n{\"b\":2}\n"[..], 1).expect("packs");
        assert!(PackedFile::recognises(&packed));
        std::fs::write(&path, &packed).expect("writes");
        let file = PackedFile(open(&path).expect("opens"));
        let mut rest = String::new();
        file.read_from(8).expect("reads").read_to_string(&mut rest).expect("unpacks");
        assert_eq!(rest, "{\"b\":2}\n");
        assert!(file.is_sound());
        std::fs::write(&path, &packed[..packed.len() - 3]).expect("writes");
        assert!(!PackedFile(open(&path).expect("opens")).is_sound());
    }
}
