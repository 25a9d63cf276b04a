//! The steps of the file system. The real one ran on Node.js: one thread for all of its own code, and
//! four, libuv's default, on which every call of the file system is made and awaited by itself. Between
//! two of them everybody else goes on, and four callers' steps at most are under way at once. How many
//! steps each of these takes follows from the system calls that were counted of the real one: a lock,
//! an append and a release are 4 openat, 7 statx, 8 readlink, 4 close, 2 mkdir and 1 unlink.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::runtime::{Builder, Runtime};

/// libuv's default.
const THREADS: usize = 4;

/// One thread for the gateway with lock files, and four for its files.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(THREADS).build()
}

/// A step: one call, on one of the four threads, in the order in which they were asked for.
async fn step<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}

/// Device and inode.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Where a folder really is: a step, however many links it reads.
pub(super) async fn real(folder: &Path) -> io::Result<PathBuf> {
    let folder = folder.to_owned();
    step(move || fs::canonicalize(folder)).await
}

/// Makes a folder; where something is there already, a second step looks what it is.
pub(super) async fn make_folder(folder: &Path) -> io::Result<()> {
    let path = folder.to_owned();
    match step(move || fs::create_dir(path)).await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => stat(folder).await.map(drop),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let path = folder.to_owned();
            step(move || fs::create_dir_all(path)).await
        }
        made => made,
    }
}

pub(super) async fn create_new(path: &Path) -> io::Result<File> {
    let path = path.to_owned();
    step(move || File::options().write(true).create_new(true).open(path)).await
}

pub(super) async fn write(mut file: File, bytes: Vec<u8>) -> io::Result<File> {
    step(move || file.write_all(&bytes).map(|()| file)).await
}

/// What a file is that is open.
pub(super) async fn stat_open(file: File) -> io::Result<(File, Metadata)> {
    step(move || file.metadata().map(|metadata| (file, metadata))).await
}

pub(super) async fn close(file: File) -> io::Result<()> {
    step(move || {
        drop(file);
        Ok(())
    })
    .await
}

pub(super) async fn stat(path: &Path) -> io::Result<Metadata> {
    let path = path.to_owned();
    step(move || fs::metadata(path)).await
}

/// The same, of a link itself.
pub(super) async fn stat_link(path: &Path) -> io::Result<Metadata> {
    let path = path.to_owned();
    step(move || fs::symlink_metadata(path)).await
}

/// Four steps: open, look how much it is, read, close.
pub(super) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_from(path, 0).await
}

/// The same, from a place on.
pub(super) async fn read_from(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    let file = step(move || File::open(path)).await?;
    let (mut file, _) = stat_open(file).await?;
    let (file, bytes) = step(move || {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)?;
        Ok((file, bytes))
    })
    .await?;
    close(file).await?;
    Ok(bytes)
}

/// Three steps: open, write, close. Nothing is synced.
pub(super) async fn append(path: &Path, bytes: Vec<u8>) -> io::Result<()> {
    let path = path.to_owned();
    let file = step(move || File::options().append(true).create(true).open(path)).await?;
    close(write(file, bytes).await?).await
}

/// Writes a whole file anew in its place, in the same three steps.
pub(super) async fn overwrite(path: &Path, bytes: Vec<u8>) -> io::Result<()> {
    let path = path.to_owned();
    let file = step(move || File::create(path)).await?;
    close(write(file, bytes).await?).await
}

/// Removes a file, whoever it is of: a look and an unlink. One that is gone is as good.
pub(super) async fn remove(path: &Path) -> io::Result<()> {
    let gone_is_well = |done: io::Result<()>| match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    };
    if let Err(error) = stat_link(path).await {
        return gone_is_well(Err(error));
    }
    let path = path.to_owned();
    gone_is_well(step(move || fs::remove_file(path)).await)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A fifth step waits although nothing keeps its caller from asking for it.
    #[test]
    fn four_steps_are_under_way_at_once_and_no_more() {
        let runtime = runtime().expect("a runtime");
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all = (0..64).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            step(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        });
        runtime.block_on(futures_util::future::join_all(all));
        assert!((1..=THREADS).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn what_is_gone_is_removed_and_a_folder_that_is_there_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, deep) = (folder.path().join("f"), folder.path().join("a/b"));
        runtime().expect("a runtime").block_on(async {
            append(&file, b"one ".to_vec()).await.expect("appends");
            append(&file, b"two".to_vec()).await.expect("appends");
            assert_eq!(read(&file).await.expect("reads"), b"one two");
            assert_eq!(read_from(&file, 4).await.expect("reads"), b"two");
            overwrite(&file, b"new".to_vec()).await.expect("writes");
            assert_eq!(read(&file).await.expect("reads"), b"new");
            for _ in 0..2 {
                remove(&file).await.expect("removed");
                make_folder(&deep).await.expect("made");
            }
            assert_eq!(read(&file).await.expect_err("gone").kind(), ErrorKind::NotFound);
        });
    }
}
