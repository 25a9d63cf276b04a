//! The engine's view of the simulated machine: its files and its host.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use session_journal::storage::{
    Access, Attachment, Disk, Filesystem, FolderLock, Landing, Storage,
};

use crate::file::File;
use crate::world::{Actor, World};

/// Linux' number of "input/output error".
const EIO: i32 = 5;
/// Where the header page ends; behind it bytes never change.
const PAGE_LEN: usize = 4096;

/// The files, as one process sees them.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    world: Arc<World>,
    actor: Actor,
}

impl SimDisk {
    /// The disk of one process.
    #[must_use]
    pub(crate) fn new(world: &Arc<World>, actor: Actor) -> Self {
        Self { world: Arc::clone(world), actor }
    }

    fn file(&self, path: &Path, index: usize) -> Arc<dyn Storage> {
        self.file_for(path, index, Access::Write)
    }

    fn file_for(&self, path: &Path, index: usize, access: Access) -> Arc<dyn Storage> {
        let (world, actor) = (Arc::clone(&self.world), self.actor);
        let heard = world.with(|state| state.files[index].sync_errors);
        let heard = AtomicU32::new(heard);
        Arc::new(SimFile { world, actor, index, path: path.to_owned(), access, heard })
    }
}

#[derive(Debug)]
struct SimFile {
    world: Arc<World>,
    actor: Actor,
    index: usize,
    path: PathBuf,
    access: Access,
    /// Of so many failed syncs.
    heard: AtomicU32,
}

/// For so many steps a reader that races with an append may see its length and not its bytes.
const STALE_STEPS: u64 = 80;

impl SimFile {
    fn failing(
        &self,
        what: &'static str,
        rate: impl Fn(&crate::faults::Faults) -> u32,
    ) -> io::Result<()> {
        if self.world.fault(self.actor, what, rate) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    /// From where on this read sees zeros: it takes no lock, and before a change of the kernel in January
    /// 2024 nothing on some processors kept it from seeing a length before the bytes (H20). What stands
    /// before an append of its own it sees. Only owners are asked what they make of that: of records
    /// that a reader does not see yet nobody promises anything.
    fn stale_from(&self) -> usize {
        let Actor::Process(process) = self.actor else { return usize::MAX };
        if self.access == Access::Read {
            return usize::MAX;
        }
        self.world.with(|state| {
            if !state.has_chance(|faults| faults.stale) {
                return usize::MAX;
            }
            let since = state.step.saturating_sub(STALE_STEPS);
            let recent = state.files[self.index].appends_since(since, process);
            if recent.is_empty() { usize::MAX } else { state.choices.one_of(&recent) }
        })
    }

    /// How much of a write of so many bytes takes place.
    fn room_for(&self, len: usize) -> io::Result<usize> {
        if self.actor == Actor::Checker {
            return Ok(len);
        }
        let short = self.world.fault(self.actor, "short write", |faults| faults.short);
        self.world.with(|state| {
            let mut room = len;
            if short {
                room = 1 + state.choices.below(u32::try_from(len).unwrap_or(1)) as usize;
            }
            if let Some(space) = state.space {
                if space == 0 {
                    state.went_wrong("no space");
                    return Err(io::ErrorKind::StorageFull.into());
                }
                if space < room {
                    state.went_wrong("write cut short by a full disk");
                }
                room = room.min(space);
                state.space = Some(space - room);
            }
            Ok(room.min(len))
        })
    }

    /// The kernel's way of writing: page by page, seen by readers as it goes on.
    fn write_pages(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        if self.world.with(|state| state.faults.zeros_first) {
            let zeros = vec![0; bytes.len()];
            self.world.with(|state| state.files[self.index].write(at, &zeros));
            self.world.step_in_kernel(self.actor)?;
        }
        let mut done = 0;
        while done < bytes.len() {
            let end = self.world.with(|state| {
                let file = &mut state.files[self.index];
                let end = (file.page_end(at + done) - at).min(bytes.len());
                file.write(at + done, &bytes[done..end]);
                end
            });
            done = end;
            if done < bytes.len() {
                self.world.step_in_kernel(self.actor)?;
            }
        }
        Ok(())
    }
}

impl SimFile {
    /// Where the descriptor stands behind an append: behind its last byte, or behind those of a child
    /// that has the same open file. A child may write anything, and what its parent wrote once more.
    fn position_behind(&self, at: usize, bytes: &[u8]) -> usize {
        let shared = self.world.fault(self.actor, "write of a child", |faults| faults.shared);
        self.world.with(|state| {
            let state = &mut *state;
            let step = state.step;
            let file = &mut state.files[self.index];
            if !shared {
                return at + bytes.len();
            }
            let end = file.len();
            let len = 1 + state.choices.below(200) as usize;
            let again = state.choices.below(2) == 1;
            let child = if again { bytes.to_vec() } else { vec![b'x'; len] };
            file.appends(end, &child, step);
            file.write(end, &child);
            file.len()
        })
    }
}

impl Storage for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<Landing> {
        self.world.step(self.actor, "append")?;
        self.failing("write error", |faults| faults.write_error)?;
        self.world.wait_for(self.actor, |state| {
            let file = &mut state.files[self.index];
            !std::mem::replace(&mut file.busy, true)
        })?;
        let written = self.room_for(bytes.len());
        let landed = written.and_then(|written| {
            let at = self.world.with(|state| {
                if let Actor::Process(process) = self.actor {
                    state.processes[process].file = self.index;
                }
                let step = state.step;
                let file = &mut state.files[self.index];
                let at = file.len();
                file.appends(at, &bytes[..written], step);
                if let Actor::Process(process) = self.actor {
                    file.seen.insert(process, at + written);
                }
                at
            });
            if self.actor != Actor::Checker && self.world.with(|state| state.faults.paged) {
                self.write_pages(at, &bytes[..written])?;
            } else {
                self.world.with(|state| state.files[self.index].write(at, &bytes[..written]));
            }
            self.world.with(|state| state.tell(|| format!("  {written} bytes at {at}")));
            let position = self.position_behind(at, &bytes[..written]);
            Ok(Landing { offset: (position - written) as u64, written })
        });
        self.world.with(|state| state.files[self.index].busy = false);
        landed
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.step(self.actor, "read")?;
        self.failing("read error", |faults| faults.read_error)?;
        let stale = self.stale_from();
        self.world.with(|state| {
            let bytes = state.files[self.index].bytes();
            let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = begin.saturating_add(buffer.len()).min(bytes.len());
            buffer[..end - begin].copy_from_slice(&bytes[begin..end]);
            let stale = stale.clamp(begin, end);
            if stale < end {
                state.went_wrong("old zeros read");
                buffer[stale - begin..end - begin].fill(0);
            }
            Ok(end - begin)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.world.step(self.actor, "length")?;
        Ok(self.world.with(|state| state.files[self.index].len() as u64))
    }

    fn sync(&self) -> io::Result<()> {
        self.world.step(self.actor, "sync")?;
        if self.world.fault(self.actor, "sync error", |faults| faults.sync_error) {
            self.world.with(|state| {
                let state = &mut *state;
                state.files[self.index].fail_sync(&mut state.choices);
                state.sync_failed.push(self.index);
            });
        }
        let snapshot = self.world.with(|state| state.files[self.index].snapshot());
        if self.actor != Actor::Checker && self.world.with(|state| state.faults.slow_sync) {
            self.world.step_in_kernel(self.actor)?;
        }
        // Of one that failed for another process meanwhile it hears as well.
        let errors = self.world.with(|state| state.files[self.index].sync_errors);
        if self.heard.swap(errors, Ordering::Relaxed) < errors {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.world.with(|state| state.files[self.index].sync(&snapshot));
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.world.step(self.actor, "write in place")?;
        self.failing("write error", |faults| faults.write_error)?;
        self.world.with(|state| {
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            // Damage can come between reading and writing.
            let same = state.faults.damages || state.files[self.index].has_had(at, bytes);
            if at + bytes.len() > PAGE_LEN && !same {
                let until = at + bytes.len();
                state.violated(format!("bytes {at} to {until} of a file were changed in place"));
            }
            state.files[self.index].write(at, bytes);
            Ok(())
        })
    }

    fn attachment(&self) -> io::Result<Attachment> {
        self.world.step(self.actor, "attachment")?;
        self.world.with(|state| {
            Ok(match state.names.get(&self.path) {
                Some(index) if *index == self.index => Attachment::Attached,
                Some(_) => Attachment::Replaced,
                None => Attachment::Gone,
            })
        })
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.world.step(self.actor, "reserve")?;
        let space = self.world.with(|state| state.space);
        match space {
            Some(space) if (space as u64) < bytes && self.actor != Actor::Checker => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    #[cfg(feature = "mutations")]
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.world.step(self.actor, "truncate")?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.world.with(|state| state.files[self.index].cut(len));
        Ok(())
    }
}

#[derive(Debug)]
struct SimFolderLock(Arc<World>);

impl FolderLock for SimFolderLock {}

impl Drop for SimFolderLock {
    fn drop(&mut self) {
        self.0.with(|state| state.folder_is_locked = false);
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        self.world.step(self.actor, "open")?;
        let index = self.world.with(|state| state.find(path))?;
        Ok(self.file_for(path, index, access))
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn Storage>> {
        self.world.step(self.actor, "create")?;
        let index = self.world.with(|state| {
            if state.names.contains_key(path) {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            let file = File::durable(state.faults.page, content);
            state.files.push(file);
            let index = state.files.len() - 1;
            if let Actor::Process(process) = self.actor {
                state.processes[process].file = index;
            }
            state.put_name(path, index);
            Ok(index)
        })?;
        Ok(self.file(path, index))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        self.world.step(self.actor, "create")?;
        let index = self.world.with(|state| {
            if state.names.contains_key(path) {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            state.files.push(File::new(state.faults.page));
            let index = state.files.len() - 1;
            state.put_name(path, index);
            Ok(index)
        })?;
        Ok(self.file(path, index))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world.step(self.actor, "rename")?;
        self.world.with(|state| state.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.world.step(self.actor, "remove")?;
        self.world.with(|state| state.remove_name(path).map(drop))
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.world.step(self.actor, "sync folder")?;
        if self.world.fault(self.actor, "sync error", |faults| faults.sync_error) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.world.with(crate::world::State::sync_names);
        Ok(())
    }

    fn lock_folder(&self, _: &Path) -> io::Result<Box<dyn FolderLock>> {
        self.world.step(self.actor, "lock folder")?;
        self.world
            .wait_for(self.actor, |state| !std::mem::replace(&mut state.folder_is_locked, true))?;
        Ok(Box::new(SimFolderLock(Arc::clone(&self.world))))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        // The one folder that there is has no entry of its own.
        if path.extension().is_some() {
            self.world.with(|state| state.find(path))?;
        }
        Ok(path.to_owned())
    }

    fn filesystem(&self, _: &Path) -> io::Result<Filesystem> {
        Ok(Filesystem::Local)
    }
}
