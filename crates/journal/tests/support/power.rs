//! A disk that can lose power: this machine's files, and beside them a model of what of their bytes
//! and names is on the medium. A sync takes what was written since to the medium; one that fails
//! leaves pages that are called clean and are not there. When power is lost the files become what
//! the medium holds; pages that were written in time of their own are chosen by the test.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_journal::storage::{
    Access, Attachment, Disk, Filesystem, FolderLock, Landing, LocalDisk, Storage,
};

use super::disk::EIO;

/// See the module. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct PowerDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: HashMap<PathBuf, Arc<Mutex<Medium>>>,
    /// Changes of names that are not durable, oldest first.
    names: Vec<NameChange>,
    /// The next sync of a file fails.
    sync_fails: bool,
    /// The next append says that it landed so many bytes later than it did.
    lies_by: u64,
}

/// What of one file is on the medium.
#[derive(Debug, Default)]
struct Medium {
    bytes: Vec<u8>,
    /// Written since the last sync.
    dirty: Vec<Range<u64>>,
}

impl Medium {
    /// Takes these bytes of the file to the medium.
    fn keep(&mut self, file: &[u8], range: &Range<u64>) {
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        let end = end.min(file.len());
        if start < end {
            self.bytes.resize(self.bytes.len().max(end), 0);
            self.bytes[start..end].copy_from_slice(&file[start..end]);
        }
    }
}

#[derive(Debug)]
enum NameChange {
    Made(PathBuf),
    Moved { from: PathBuf, to: PathBuf, before: PathBuf, medium: Arc<Mutex<Medium>> },
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PowerDisk {
    /// The next sync of a file fails, and its pages are called clean.
    pub(crate) fn fail_sync(&self) {
        lock(&self.0).sync_fails = true;
    }

    /// The next append lies about where it landed, as a descriptor that is shared does.
    pub(crate) fn lie_by(&self, bytes: u64) {
        lock(&self.0).lies_by = bytes;
    }

    /// These bytes reach the medium without being synced.
    pub(crate) fn write_back(&self, path: &Path, range: &Range<u64>) {
        let medium = Arc::clone(&lock(&self.0).files[path]);
        lock(&medium).keep(&fs::read(path).unwrap(), range);
    }

    /// Everything that is not on the medium is lost. Nobody may have a file open any more.
    pub(crate) fn lose_power(&self) {
        let mut state = lock(&self.0);
        for change in std::mem::take(&mut state.names).into_iter().rev() {
            match change {
                NameChange::Made(path) => {
                    state.files.remove(&path);
                    let _ = fs::remove_file(path);
                }
                NameChange::Moved { from, to, before, medium } => {
                    fs::rename(&to, &from).unwrap();
                    fs::rename(before, &to).unwrap();
                    let moved = state.files.insert(to, medium);
                    state.files.extend(moved.map(|medium| (from, medium)));
                }
            }
        }
        for (path, medium) in &state.files {
            let mut medium = lock(medium);
            medium.dirty.clear();
            fs::write(path, &medium.bytes).unwrap();
        }
    }

    fn wrap(&self, path: &Path, file: Arc<dyn Storage>) -> Arc<dyn Storage> {
        let mut state = lock(&self.0);
        // What the test put there itself is durable.
        let medium = state.files.entry(path.to_owned()).or_insert_with(|| {
            Arc::new(Mutex::new(Medium { bytes: fs::read(path).unwrap(), dirty: Vec::new() }))
        });
        let medium = Arc::clone(medium);
        Arc::new(PowerFile { disk: self.clone(), medium, file })
    }
}

#[derive(Debug)]
struct PowerFile {
    disk: PowerDisk,
    medium: Arc<Mutex<Medium>>,
    file: Arc<dyn Storage>,
}

impl PowerFile {
    fn wrote(&self, offset: u64, bytes: usize) {
        lock(&self.medium).dirty.push(offset..offset + bytes as u64);
    }
}

impl Storage for PowerFile {
    fn append(&self, bytes: &[u8]) -> io::Result<Landing> {
        let Landing { offset, written } = self.file.append(bytes)?;
        self.wrote(offset, written);
        let lie = std::mem::take(&mut lock(&self.disk.0).lies_by);
        Ok(Landing { offset: offset + lie, written })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn sync(&self) -> io::Result<()> {
        let fails = std::mem::take(&mut lock(&self.disk.0).sync_fails);
        let mut medium = lock(&self.medium);
        let dirty = std::mem::take(&mut medium.dirty);
        if fails {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let mut bytes = vec![0; usize::try_from(self.file.len()?).unwrap()];
        self.file.read_at(0, &mut bytes)?;
        for range in &dirty {
            medium.keep(&bytes, range);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)?;
        self.wrote(offset, bytes.len());
        Ok(())
    }

    fn attachment(&self) -> io::Result<Attachment> {
        self.file.attachment()
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.file.reserve(bytes)
    }
}

impl Disk for PowerDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        Ok(self.wrap(path, LocalDisk.open(path, access)?))
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn Storage>> {
        let file = LocalDisk.create(path, content)?;
        lock(&self.0).names.push(NameChange::Made(path.to_owned()));
        Ok(self.wrap(path, file))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        let file = LocalDisk.create_new(path)?;
        lock(&self.0).names.push(NameChange::Made(path.to_owned()));
        Ok(self.wrap(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let before = to.with_extension("before");
        fs::hard_link(to, &before)?;
        LocalDisk.rename(from, to)?;
        let mut state = lock(&self.0);
        let moved = state.files.remove(from).unwrap();
        let medium = state.files.insert(to.to_owned(), moved).unwrap();
        let (from, to) = (from.to_owned(), to.to_owned());
        state.names.push(NameChange::Moved { from, to, before, medium });
        Ok(())
    }

    /// Durable at once: no test needs more.
    fn remove(&self, path: &Path) -> io::Result<()> {
        lock(&self.0).files.remove(path);
        LocalDisk.remove(path)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        for change in std::mem::take(&mut lock(&self.0).names) {
            if let NameChange::Moved { before, .. } = change {
                fs::remove_file(before)?;
            }
        }
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
