//! Journals that get their names later, many at a time: for imports and restores.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::local::{folder_of, link_unnamed, open_unnamed, read_fully, repeated};
use super::{Access, Attachment, Disk, Filesystem, FolderLock, Landing, LocalDisk, Storage};
use crate::error::{Cause, Error, Result};

/// A disk on which new journals have no name yet.
///
/// A journal that is created here is a file without a name, and none of its syncs is done:
/// [`publish`](Self::publish) makes all that were filled since the last time durable with one sync,
/// gives each its name, and makes the names durable. Until then nobody finds them, and a crash or a
/// power loss leaves nothing of them. So thousands of journals are made about as fast as their bytes
/// can be written, and each is there whole or not at all.
///
/// For journals whose records can be had again: what is acknowledged here as durable is so only when
/// `publish` returned. Release a journal before it is published; whoever still has it open then is
/// refused. Each takes a file handle until it is published. Journals that have a name already cannot
/// be opened for writing here.
///
/// Linux only, and only on file systems that have files without a name; elsewhere
/// [`Journal::create`](crate::Journal::create) answers with an error of the kind
/// [`Io`](crate::ErrorKind::Io) whose source is `Unsupported`.
#[derive(Debug, Default)]
pub struct Staging {
    waiting: Mutex<Vec<Arc<Unnamed>>>,
}

/// A file that has no name yet.
#[derive(Debug)]
struct Unnamed {
    path: PathBuf,
    file: File,
    /// Where the next append goes: there is nobody else in it.
    end: Mutex<u64>,
    is_published: AtomicBool,
}

impl Staging {
    /// One in which nothing waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many journals wait for their names.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Whether a journal waits for this name.
    #[must_use]
    pub fn holds(&self, path: &Path) -> bool {
        self.waiting.lock().iter().any(|one| one.path == path)
    }

    /// Drops the journals that wait for other names than these, and their bytes.
    pub fn retain(&self, mut is_wanted: impl FnMut(&Path) -> bool) {
        self.waiting.lock().retain(|one| is_wanted(&one.path));
    }

    /// Makes everything durable that waits, then gives each its name, and makes the names durable.
    /// In the order in which they were created, each path is said with what became of it:
    ///
    /// - `Ok`: the journal is there and survives power loss;
    /// - `AlreadyExists`: somebody was faster; what is there was left alone, the journal is dropped;
    /// - another error of the system: where it is of the sync, the journal is dropped; where it is of
    ///   the folder's, the journal is there and may not survive power loss.
    ///
    /// On Linux before 5.8 each file is synced by itself: only since then does `syncfs` tell of writes
    /// that failed (syncfs(2)).
    pub fn publish(&self) -> Vec<(PathBuf, Result<()>)> {
        let all = std::mem::take(&mut *self.waiting.lock());
        let mut results: Vec<_> = sync_all(&all).into_iter().zip(&all).map(named).collect();
        sync_folders(&all, &mut results);
        all.iter().map(|one| one.path.clone()).zip(results).collect()
    }
}

/// Gives a file its name, if it is durable.
fn named((synced, one): (Result<()>, &Arc<Unnamed>)) -> Result<()> {
    one.is_published.store(true, Ordering::Release);
    synced?;
    link_unnamed(&one.file, &one.path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::new(&one.path, Cause::AlreadyExists),
        _ => Error::io(&one.path, "name", error),
    })
}

/// Makes all of them durable; with one call a file system, where that tells of every failure.
fn sync_all(all: &[Arc<Unnamed>]) -> Vec<Result<()>> {
    if !SyncFs::tells_of_failures() {
        return all.iter().map(|one| failed(&one.path, "sync", one.file.sync_all())).collect();
    }
    let mut systems = BTreeMap::new();
    let sync = |one: &Arc<Unnamed>| {
        let device = failed(&one.path, "look at", one.file.metadata())?.dev();
        let synced = *systems.entry(device).or_insert_with(|| SyncFs::run(&one.file));
        failed(&one.path, "sync", synced.map_err(io::Error::from))
    };
    all.iter().map(sync).collect()
}

/// Makes the names durable of all that were given one.
fn sync_folders(all: &[Arc<Unnamed>], results: &mut [Result<()>]) {
    let mut folders: BTreeMap<&Path, Result<()>> = BTreeMap::new();
    for (one, result) in all.iter().zip(results).filter(|(_, result)| result.is_ok()) {
        let folder = folder_of(&one.path);
        let sync = || failed(folder, "sync the folder", LocalDisk.sync_folder(folder));
        result.clone_from(folders.entry(folder).or_insert_with(sync));
    }
}

fn failed<T>(path: &Path, operation: &'static str, result: io::Result<T>) -> Result<T> {
    result.map_err(|error| Error::io(path, operation, error))
}

/// `syncfs`, which makes everything durable that one file system holds.
struct SyncFs;

#[cfg(target_os = "linux")]
impl SyncFs {
    /// A kernel that does not say its version is taken for an old one.
    fn tells_of_failures() -> bool {
        let system = rustix::system::uname();
        let release = system.release().to_string_lossy();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        let mut next = || numbers.next().and_then(std::result::Result::ok).unwrap_or(0);
        (next(), next()) >= (5, 8)
    }

    fn run(file: &File) -> rustix::io::Result<()> {
        rustix::fs::syncfs(file)
    }
}

#[cfg(not(target_os = "linux"))]
impl SyncFs {
    fn tells_of_failures() -> bool {
        false
    }

    fn run(_file: &File) -> rustix::io::Result<()> {
        Err(rustix::io::Errno::NOSYS)
    }
}

impl Unnamed {
    fn may_change(&self) -> io::Result<()> {
        if self.is_published.load(Ordering::Acquire) {
            // Others may append to it by now, and only an owner who opened it by its name sees them.
            return Err(io::Error::other("it was published; open it by its name"));
        }
        Ok(())
    }
}

impl Storage for Unnamed {
    fn append(&self, bytes: &[u8]) -> io::Result<Landing> {
        self.append_parts(bytes, &[])
    }

    fn append_parts(&self, first: &[u8], rest: &[u8]) -> io::Result<Landing> {
        self.may_change()?;
        let mut end = self.end.lock();
        let parts = [IoSlice::new(first), IoSlice::new(rest)];
        let written = repeated(|| rustix::io::pwritev(&self.file, &parts, *end))?;
        let landing = Landing { offset: *end, written };
        *end += written as u64;
        Ok(landing)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_fully(&self.file, offset, buffer)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// For all of them at once when they are published.
    fn sync(&self) -> io::Result<()> {
        self.may_change()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.may_change()?;
        self.file.write_all_at(bytes, offset)
    }

    /// Nobody can take from it the name that it does not have.
    fn attachment(&self) -> io::Result<Attachment> {
        self.may_change()?;
        Ok(Attachment::Attached)
    }

    /// Room is set aside for whoever takes it over on a full disk; nobody can.
    fn reserve(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    #[cfg(feature = "mutations")]
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

impl Disk for Staging {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        match access {
            Access::Read => LocalDisk.open(path, access),
            Access::Write => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn Storage>> {
        let is_taken = fs::symlink_metadata(path).is_ok() || self.holds(path);
        if is_taken {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let file = open_unnamed(folder_of(path))?;
        file.write_all_at(content, 0)?;
        let one = Arc::new(Unnamed {
            path: path.to_owned(),
            file,
            end: Mutex::new(content.len() as u64),
            is_published: AtomicBool::new(false),
        });
        self.waiting.lock().push(Arc::clone(&one));
        Ok(one)
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        self.create(path, &[])
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }

    /// For all of them at once when they are published.
    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock_folder(&self, folder: &Path) -> io::Result<Box<dyn FolderLock>> {
        LocalDisk.lock_folder(folder)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        LocalDisk.canonical(path)
    }

    fn filesystem(&self, path: &Path) -> io::Result<Filesystem> {
        LocalDisk.filesystem(path)
    }
}
