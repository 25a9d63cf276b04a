//! This machine's files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags};

use super::{Access, Attachment, Disk, Filesystem, FolderLock, Landing, Storage};

/// Journals are for their owner alone.
const FILE_MODE: u32 = 0o600;

/// The files of this machine, through system calls; nothing is mapped.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

#[derive(Debug)]
struct LocalFile {
    path: PathBuf,
    /// Reads and, with `O_APPEND`, appends.
    file: File,
    /// Writes in place. A second descriptor, for `pwrite` on one with `O_APPEND` appends on Linux
    /// (pwrite(2), BUGS).
    in_place: Option<File>,
    device: u64,
    inode: u64,
}

impl LocalFile {
    fn new(path: &Path, file: File, in_place: Option<File>, metadata: &Metadata) -> Self {
        let (device, inode) = (metadata.dev(), metadata.ino());
        Self { path: path.to_owned(), file, in_place, device, inode }
    }

    /// Where so many bytes went that were just appended.
    fn landed(&self, written: usize) -> io::Result<Landing> {
        // An append leaves the position behind its own last byte, whatever others appended since.
        let end = rustix::fs::tell(&self.file)?;
        let offset = end.checked_sub(written as u64).ok_or_else(|| {
            io::Error::other("the position after an append is before the bytes that it wrote")
        })?;
        Ok(Landing { offset, written })
    }
}

/// Calls again where a signal came first: nothing was done then, by definition of the error.
pub(super) fn repeated<T>(
    mut call: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            done => return done,
        }
    }
}

impl Storage for LocalFile {
    fn append(&self, bytes: &[u8]) -> io::Result<Landing> {
        self.landed(repeated(|| rustix::io::write(&self.file, bytes))?)
    }

    /// writev(2): its bytes stand together, as those of one write.
    fn append_parts(&self, first: &[u8], rest: &[u8]) -> io::Result<Landing> {
        let parts = [IoSlice::new(first), IoSlice::new(rest)];
        self.landed(repeated(|| rustix::io::writev(&self.file, &parts))?)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        read_fully(&self.file, offset, buffer)
    }

    fn begin_long_read(&self, from: u64) -> bool {
        // A hint: where the system does not take it, reading is as it was.
        let _ = rustix::fs::fadvise(&self.file, from, None, rustix::fs::Advice::Sequential);
        true
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match &self.in_place {
            Some(file) => file.write_all_at(bytes, offset),
            None => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        }
    }

    fn attachment(&self) -> io::Result<Attachment> {
        if self.file.metadata()?.nlink() == 0 {
            return Ok(match fs::metadata(&self.path) {
                Ok(_) => Attachment::Replaced,
                Err(_) => Attachment::Gone,
            });
        }
        match fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (self.device, self.inode) => {
                Ok(Attachment::Attached)
            }
            Ok(_) => Ok(Attachment::Replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Attachment::Gone),
            Err(error) => Err(error),
        }
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        reserve(&self.file, self.len()?, bytes)
    }

    #[cfg(feature = "mutations")]
    fn truncate(&self, len: u64) -> io::Result<()> {
        match &self.in_place {
            Some(file) => file.set_len(len),
            None => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
        }
    }
}

/// Fills the buffer, going on after short reads.
pub(super) fn read_fully(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(target_os = "linux")]
fn reserve(file: &File, end: u64, bytes: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    use rustix::io::Errno;
    loop {
        // Without KEEP_SIZE the next append would land behind zeros.
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, end, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _end: u64, _bytes: u64) -> io::Result<()> {
    Ok(())
}

#[derive(Debug)]
struct LocalFolderLock {
    /// The lock goes with the descriptor.
    _folder: File,
}

impl FolderLock for LocalFolderLock {}

impl Disk for LocalDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn Storage>> {
        let write = access == Access::Write;
        // Not to wait for the other end of a FIFO, and not to be given a terminal.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .append(write)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let metadata = file.metadata()?;
        must_be_regular(&metadata)?;
        let in_place = if write { Some(open_in_place(path, &file)?) } else { None };
        Ok(Arc::new(LocalFile::new(path, file, in_place, &metadata)))
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<Arc<dyn Storage>> {
        match create_unnamed(path, content) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => return Err(error),
            Ok(()) => return self.open(path, Access::Write),
        }
        let name = temporary_name(path)?;
        let made = create_named(&name, path, content);
        // On success the temporary name is a second one; on failure nobody needs it.
        let removed = fs::remove_file(&name);
        made?;
        removed?;
        self.open(path, Access::Write)
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)?;
        let in_place = open_in_place(path, &file)?;
        let metadata = file.metadata()?;
        Ok(Arc::new(LocalFile::new(path, file, Some(in_place), &metadata)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn lock_folder(&self, folder: &Path) -> io::Result<Box<dyn FolderLock>> {
        let folder = File::open(folder)?;
        loop {
            match rustix::fs::flock(&folder, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Box::new(LocalFolderLock { _folder: folder })),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn filesystem(&self, path: &Path) -> io::Result<Filesystem> {
        filesystem_of(path)
    }
}

fn must_be_regular(metadata: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "it is a directory"
    } else if kind.is_fifo() {
        "it is a FIFO"
    } else if kind.is_socket() {
        "it is a socket"
    } else {
        "it is a device"
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// A descriptor without `O_APPEND` of the same file, whatever became of its name meanwhile: a
/// compaction may have replaced it, or a successor removed a copy under way. Without `/proc` the name
/// is all there is.
fn open_in_place(path: &Path, file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Ok(second) = OpenOptions::new().write(true).open(itself) {
        return Ok(second);
    }
    let second = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let (a, b) = (file.metadata()?, second.metadata()?);
    if (a.dev(), a.ino()) == (b.dev(), b.ino()) {
        Ok(second)
    } else {
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the file was replaced while it was opened",
        ))
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file without a name, then gives it one: a creator that is killed leaves nothing.
fn create_unnamed(path: &Path, content: &[u8]) -> io::Result<()> {
    let file = open_unnamed(folder_of(path))?;
    file.write_all_at(content, 0)?;
    file.sync_all()?;
    link_unnamed(&file, path)
}

/// A file in this folder that has no name; `Unsupported` where there are none.
#[cfg(target_os = "linux")]
pub(super) fn open_unnamed(folder: &Path) -> io::Result<File> {
    use rustix::fs::Mode;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::from_raw_mode(FILE_MODE));
    Ok(File::from(opened.map_err(unsupported_or)?))
}

/// Gives it a name that must be free. open(2): how that is done without privileges.
#[cfg(target_os = "linux")]
pub(super) fn link_unnamed(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD};
    use std::os::fd::AsRawFd;
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    let linked = rustix::fs::linkat(CWD, from.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW);
    linked.map_err(unsupported_or)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open_unnamed(_folder: &Path) -> io::Result<File> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn link_unnamed(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Whether the file system has no unnamed files, or `/proc` is not there to link one.
#[cfg(target_os = "linux")]
fn unsupported_or(error: rustix::io::Errno) -> io::Error {
    use rustix::io::Errno;
    let is_unsupported =
        matches!(error, Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS)
            || (error == Errno::NOENT && !can_name());
    if is_unsupported { io::Error::from(io::ErrorKind::Unsupported) } else { error.into() }
}

/// Whether a file without a name can be given one: that goes by `/proc`, which may not be mounted.
pub(super) fn can_name() -> bool {
    Path::new("/proc/self/fd").exists()
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let short: String = name.chars().take(32).collect();
    Ok(folder_of(path).join(format!(".{short}.{:016x}.new", u64::from_le_bytes(random))))
}

fn create_named(name: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(name)?;
    file.write_all_at(content, 0)?;
    file.sync_all()?;
    fs::hard_link(name, path)
}

#[cfg(target_os = "linux")]
fn filesystem_of(path: &Path) -> io::Result<Filesystem> {
    // Numbers from statfs(2) and the kernel's include/uapi/linux/magic.h.
    let name = match rustix::fs::statfs(path)?.f_type.cast_unsigned() & 0xFFFF_FFFF {
        0x6969 => "NFS",
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9P",
        0x00C3_6400 => "Ceph",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0BD0_0BD0 => "Lustre",
        0x786F_4256 => "VirtualBox shared folders",
        0x4750_4653 => "GPFS",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        _ => return Ok(Filesystem::Local),
    };
    Ok(Filesystem::Remote(name.to_owned()))
}

#[cfg(not(target_os = "linux"))]
fn filesystem_of(_path: &Path) -> io::Result<Filesystem> {
    Ok(Filesystem::Local)
}
