//! Files in memory. Every call but a read is a step of the schedule; none fails, and no power is lost:
//! those are the simulator's.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_journal::storage::{
    Access, Attachment, Disk, Filesystem, FolderLock, Landing, Storage,
};
use shuttle::thread;

/// One file, whatever its name.
#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// So many of them were synced.
    synced: usize,
}

type Shared<T> = Arc<Mutex<T>>;

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, Shared<File>>,
    /// Every file that ever had a name, under each of its names.
    ever: Vec<(PathBuf, Shared<File>)>,
    folder_is_locked: bool,
    syncs: usize,
    panics: bool,
}

/// See the module. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Shared<State>);

/// Another thread may go on here.
pub(crate) fn step() {
    thread::sleep(Duration::ZERO);
}

/// Never held across a step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl State {
    fn name(&mut self, path: &Path, file: &Shared<File>) {
        self.names.insert(path.to_owned(), Arc::clone(file));
        self.ever.push((path.to_owned(), Arc::clone(file)));
    }
}

impl MemoryDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    /// Whether the byte at this place of a file that is at the path, or was there, was synced.
    pub(crate) fn is_synced(&self, path: &Path, offset: u64) -> bool {
        let state = self.state();
        let mut files = state.ever.iter().filter(|(name, _)| name == path);
        files.any(|(_, file)| offset < lock(file).synced as u64)
    }

    /// How many syncs of files there were.
    pub(crate) fn syncs(&self) -> usize {
        self.state().syncs
    }

    /// The next append is the last thing that its thread does.
    pub(crate) fn panic_at_the_next_append(&self) {
        self.state().panics = true;
    }

    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    fn handle(&self, path: &Path, file: &Shared<File>) -> Arc<dyn Storage> {
        let (disk, path, file) = (self.clone(), path.to_owned(), Arc::clone(file));
        Arc::new(Open { disk, path, file })
    }

    fn add(&self, path: &Path, bytes: Vec<u8>) -> io::Result<Arc<dyn Storage>> {
        step();
        let synced = bytes.len();
        let file = Arc::new(Mutex::new(File { bytes, synced }));
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.name(path, &file);
        drop(state);
        Ok(self.handle(path, &file))
    }
}

#[derive(Debug)]
struct Open {
    disk: MemoryDisk,
    path: PathBuf,
    file: Shared<File>,
}

impl Storage for Open {
    fn append(&self, bytes: &[u8]) -> io::Result<Landing> {
        step();
        if std::mem::take(&mut self.disk.state().panics) {
            // A panic without a report: it is meant.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        let mut file = lock(&self.file);
        let offset = file.bytes.len() as u64;
        file.bytes.extend_from_slice(bytes);
        Ok(Landing { offset, written: bytes.len() })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = lock(&self.file);
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(file.bytes.len());
        let there = &file.bytes[begin..];
        let read = there.len().min(buffer.len());
        buffer[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.file).bytes.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        // What is written while it is under way is not in it.
        step();
        let through = lock(&self.file).bytes.len();
        step();
        let mut file = lock(&self.file);
        file.synced = file.synced.max(through);
        self.disk.state().syncs += 1;
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        step();
        let mut file = lock(&self.file);
        let begin = usize::try_from(offset).expect("files here are small");
        let end = begin + bytes.len();
        if file.bytes.len() < end {
            file.bytes.resize(end, 0);
        }
        file.bytes[begin..end].copy_from_slice(bytes);
        Ok(())
    }

    fn attachment(&self) -> io::Result<Attachment> {
        step();
        Ok(match self.disk.state().names.get(&self.path) {
            None => Attachment::Gone,
            Some(there) if Arc::ptr_eq(there, &self.file) => Attachment::Attached,
            Some(_) => Attachment::Replaced,
        })
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Locked(MemoryDisk);

impl FolderLock for Locked {}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.state().folder_is_locked = false;
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, _: Access) -> io::Result<Arc<dyn Storage>> {
        step();
        let file = self.state().names.get(path).cloned().ok_or_else(missing)?;
        Ok(self.handle(path, &file))
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn Storage>> {
        self.add(path, content.to_vec())
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        self.add(path, Vec::new())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        step();
        let mut state = self.state();
        let file = state.names.remove(from).ok_or_else(missing)?;
        state.name(to, &file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        step();
        self.state().names.remove(path).map(drop).ok_or_else(missing)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        step();
        Ok(())
    }

    fn lock_folder(&self, _: &Path) -> io::Result<Box<dyn FolderLock>> {
        while std::mem::replace(&mut self.state().folder_is_locked, true) {
            thread::yield_now();
        }
        Ok(Box::new(Locked(self.clone())))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        // The folder is a real one.
        let is_there = self.state().names.contains_key(path) || path.is_dir();
        is_there.then(|| path.to_owned()).ok_or_else(missing)
    }

    fn filesystem(&self, _: &Path) -> io::Result<Filesystem> {
        Ok(Filesystem::Local)
    }
}
