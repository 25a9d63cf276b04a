//! Files in memory, shared by processes that can each be killed at any call. No page cache: what was
//! written is there, and what was not synced can be cut off. The disk itself watches that nothing
//! behind the header page is ever overwritten with other bytes (I1).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_journal::format::PAGE_LEN;
use session_journal::storage::{
    Access, Attachment, Disk, Filesystem, FolderLock, Landing, Storage,
};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a file holds, and how much of it was synced.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) synced: usize,
    /// Which file it is: no two have the same.
    pub(crate) number: u64,
}

type Inode = Arc<Mutex<Content>>;

/// What may still befall a process.
#[derive(Debug)]
struct Fate {
    /// So many calls until it dies.
    calls_left: u64,
    /// The next append finds room for so many bytes only.
    room: Option<usize>,
    had_no_room: bool,
}

/// The disk as one process sees it. Clones are the same process.
#[derive(Clone, Debug)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, Inode>>>,
    made: Arc<AtomicU64>,
    fate: Arc<Mutex<Fate>>,
}

impl MemoryDisk {
    pub(crate) fn new() -> Self {
        Self { files: Arc::default(), made: Arc::default(), fate: Self::no_fate() }
    }

    fn no_fate() -> Arc<Mutex<Fate>> {
        Arc::new(Mutex::new(Fate { calls_left: u64::MAX, room: None, had_no_room: false }))
    }

    /// The same files for another process.
    pub(crate) fn process(&self) -> Self {
        Self { fate: Self::no_fate(), ..self.clone() }
    }

    /// From the call behind so many others on, nothing works for this process.
    pub(crate) fn die_after(&self, calls: u64) {
        locked(&self.fate).calls_left = calls;
    }

    pub(crate) fn is_dead(&self) -> bool {
        locked(&self.fate).calls_left == 0
    }

    /// The next append of this process finds room for so many bytes, or for everything.
    pub(crate) fn leave_room(&self, bytes: Option<usize>) {
        let mut fate = locked(&self.fate);
        (fate.room, fate.had_no_room) = (bytes, false);
    }

    /// Whether an append was cut short since then.
    pub(crate) fn had_no_room(&self) -> bool {
        locked(&self.fate).had_no_room
    }

    /// Puts a file there.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let inode = self.inode_of(bytes);
        locked(&self.files).insert(path.to_owned(), inode);
    }

    /// What a file holds, if it is there.
    pub(crate) fn content(&self, path: &Path) -> Option<Content> {
        let inode = self.inode(path).ok()?;
        let content = locked(&inode).clone();
        Some(content)
    }

    /// Changes a file as no program of ours would.
    pub(crate) fn meddle(&self, path: &Path, how: impl FnOnce(&mut Content)) {
        if let Ok(inode) = self.inode(path) {
            how(&mut locked(&inode));
        }
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        locked(&self.files).get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn call(&self) -> io::Result<()> {
        let mut fate = locked(&self.fate);
        fate.calls_left = fate.calls_left.saturating_sub(u64::from(fate.calls_left < u64::MAX));
        if fate.calls_left == 0 { Err(io::Error::other("this process is dead")) } else { Ok(()) }
    }

    fn file(&self, path: &Path, inode: Inode) -> Arc<dyn Storage> {
        Arc::new(MemoryFile { disk: self.clone(), path: path.to_owned(), inode })
    }

    fn inode_of(&self, bytes: Vec<u8>) -> Inode {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Arc::new(Mutex::new(Content { synced: bytes.len(), bytes, number }))
    }

    fn make(&self, path: &Path, bytes: Vec<u8>) -> io::Result<Arc<dyn Storage>> {
        let inode = self.inode_of(bytes);
        let mut files = locked(&self.files);
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.insert(path.to_owned(), Arc::clone(&inode));
        drop(files);
        Ok(self.file(path, inode))
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
    inode: Inode,
}

impl Storage for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<Landing> {
        self.disk.call()?;
        let mut fate = locked(&self.disk.fate);
        let written = bytes.len().min(fate.room.take().unwrap_or(usize::MAX));
        fate.had_no_room |= written < bytes.len();
        drop(fate);
        if written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut content = locked(&self.inode);
        let offset = content.bytes.len() as u64;
        content.bytes.extend_from_slice(&bytes[..written]);
        Ok(Landing { offset, written })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.call()?;
        let content = locked(&self.inode);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = content.bytes.get(from..).unwrap_or_default();
        let read = there.len().min(buffer.len());
        buffer[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call()?;
        Ok(locked(&self.inode).bytes.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call()?;
        let mut content = locked(&self.inode);
        content.synced = content.bytes.len();
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.call()?;
        let mut content = locked(&self.inode);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let place = content.bytes.get_mut(from..from.saturating_add(bytes.len()));
        let place = place.expect("nothing is written in place behind the end");
        assert!(offset < PAGE_LEN || place == bytes, "the history was overwritten");
        place.copy_from_slice(bytes);
        Ok(())
    }

    fn attachment(&self) -> io::Result<Attachment> {
        self.disk.call()?;
        Ok(match self.disk.inode(&self.path) {
            Ok(there) if Arc::ptr_eq(&there, &self.inode) => Attachment::Attached,
            Ok(_) => Attachment::Replaced,
            Err(_) => Attachment::Gone,
        })
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        self.disk.call()
    }
}

#[derive(Debug)]
struct NobodyElse;

impl FolderLock for NobodyElse {}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, _: Access) -> io::Result<Arc<dyn Storage>> {
        self.call()?;
        Ok(self.file(path, self.inode(path)?))
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn Storage>> {
        self.call()?;
        self.make(path, content.to_vec())
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        self.call()?;
        self.make(path, Vec::new())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        let mut files = locked(&self.files);
        let inode = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        locked(&self.files).remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.call()
    }

    fn lock_folder(&self, _: &Path) -> io::Result<Box<dyn FolderLock>> {
        self.call()?;
        Ok(Box::new(NobodyElse))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.call()?;
        if path.extension().is_some() {
            self.inode(path)?;
        }
        Ok(path.to_owned())
    }

    fn filesystem(&self, _: &Path) -> io::Result<Filesystem> {
        self.call()?;
        Ok(Filesystem::Local)
    }
}
