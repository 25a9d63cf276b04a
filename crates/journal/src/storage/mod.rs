//! The only seam to the world: the file operations that the engine needs, each with what it must
//! keep. Tests put a disk of their own behind it.

mod local;
#[cfg(test)]
pub(crate) mod read_only;
mod staging;

pub use local::LocalDisk;
pub use staging::Staging;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where an append went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Offset of its first byte.
    pub offset: u64,
    /// Bytes written; fewer than meant where the disk is full.
    pub written: usize,
}

/// Whether an open file is still the one at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// It is.
    Attached,
    /// Nothing is at the path.
    Gone,
    /// Another file is at the path.
    Replaced,
}

/// What kind of file system a path is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// One machine's own, as far as can be told.
    Local,
    /// A network or FUSE file system, by name.
    Remote(String),
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only: the file is not changed in any way.
    Read,
    /// Appends, slot writes and reads.
    Write,
}

/// One open journal file.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Appends with **one** system call and says where the bytes went. The order of appends of all
    /// processes is the order of the bytes in the file; a call's bytes stand together.
    ///
    /// # Errors
    /// Where nothing is known to be written. A write that was cut short is no error.
    fn append(&self, bytes: &[u8]) -> io::Result<Landing>;

    /// The same for bytes that are in two places. The default copies them together first.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn append_parts(&self, first: &[u8], rest: &[u8]) -> io::Result<Landing> {
        self.append(&[first, rest].concat())
    }

    /// Fills `buffer` from `offset` on, going on after short reads; fewer bytes only at the end.
    ///
    /// # Errors
    /// As the system reports them; a read error is never damage.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The length of the file.
    ///
    /// # Errors
    /// As the system reports them.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// A long pass in file order begins here. True where [`read_at`](Self::read_at) may be called from
    /// another thread meanwhile, to read ahead. Default: false.
    fn begin_long_read(&self, _from: u64) -> bool {
        false
    }

    /// Makes everything durable that this file held when the call began.
    ///
    /// # Errors
    /// As the system reports them; afterwards nothing is known of what was not durable before.
    fn sync(&self) -> io::Result<()>;

    /// Writes in place: header slots, and bytes settled again identically.
    ///
    /// # Errors
    /// As the system reports them.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Whether the file is still the one at its path.
    ///
    /// # Errors
    /// As the system reports them.
    fn attachment(&self) -> io::Result<Attachment>;

    /// Sets room aside behind the end without moving it, so that a claim finds some on a full disk.
    /// Does nothing where the file system cannot.
    ///
    /// # Errors
    /// `StorageFull` where there is none.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// Cuts the file. No sound engine does; for the mutation that does.
    ///
    /// # Errors
    /// `Unsupported` where a disk does not offer it.
    #[cfg(feature = "mutations")]
    #[doc(hidden)]
    fn truncate(&self, _len: u64) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

/// Exclusive right to change names in a folder; given back on drop. Covers deletions and seals
/// that are taken back, never an append, a replacement or a takeover.
pub trait FolderLock: Send + fmt::Debug {}

/// A place where files are.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens an existing regular file; anything else is an error that says what it is. Does not
    /// wait, not even on a FIFO.
    ///
    /// # Errors
    /// As the system reports them.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>>;

    /// Makes a file with this content, whole or not at all: synced first, then given its name.
    ///
    /// # Errors
    /// `AlreadyExists` where the path is taken; nothing is changed then.
    fn create(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn Storage>>;

    /// Makes an empty file that must not exist, open for writing, readable by its owner alone.
    ///
    /// # Errors
    /// `AlreadyExists` where the path is taken.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn Storage>>;

    /// Puts `from` in the place of `to`.
    ///
    /// # Errors
    /// `NotFound` where `from` does not exist.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// As the system reports them.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As the system reports them.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Waits for the exclusive right to change names in a folder.
    ///
    /// # Errors
    /// As the system reports them.
    fn lock_folder(&self, folder: &Path) -> io::Result<Box<dyn FolderLock>>;

    /// The path without links and dots.
    ///
    /// # Errors
    /// `NotFound` where nothing is there.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;

    /// What kind of file system the path is on.
    ///
    /// # Errors
    /// As the system reports them.
    fn filesystem(&self, path: &Path) -> io::Result<Filesystem>;
}
