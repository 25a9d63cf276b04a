//! What the machine itself does: the limits that everything else stands beside.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use session_journal::Durability;

use crate::Result;
use crate::candidate::{Asked, Candidate, Log, Role, Writer};
use crate::times::seconds;

/// What tables call the bare system calls.
pub(crate) const RAW: &str = "bare `write(2)`";

/// The bare system calls.
pub fn candidates() -> Vec<Candidate> {
    let told = "no format, no checksum; with `fdatasync` where durable";
    vec![Candidate { role: Role::Limit, name: RAW, told, open }]
}

struct Files {
    files: Vec<File>,
    durability: Durability,
}

struct Descriptor {
    file: File,
    syncs: bool,
}

fn open(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    let create =
        |n| OpenOptions::new().create_new(true).append(true).open(folder.join(format!("{n}.raw")));
    let files = (0..asked.sessions).map(create).collect::<std::io::Result<_>>()?;
    Ok(Some(Box::new(Files { files, durability: asked.durability })))
}

impl Log for Files {
    fn writer(&self, session: usize) -> Result<Box<dyn Writer>> {
        let syncs = self.durability == Durability::Durable;
        Ok(Box::new(Descriptor { file: self.files[session].try_clone()?, syncs }))
    }
}

impl Writer for Descriptor {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        self.file.write_all(payload)?;
        if self.syncs {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Reads a file once with `pread`, a mebibyte at a time. Seconds.
pub(crate) fn read_whole(path: &Path) -> Result<f64> {
    let file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    seconds(|| {
        let mut offset = 0;
        loop {
            match file.read_at(&mut buffer, offset)? {
                0 => return Ok(offset),
                read => offset += read as u64,
            }
        }
    })
}

/// Reads the last so many bytes of a file with one `open` and one `pread`. Seconds.
pub(crate) fn read_end(path: &Path, bytes: usize) -> Result<f64> {
    let mut buffer = vec![0; bytes];
    seconds(|| {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        file.read_exact_at(&mut buffer, end.saturating_sub(bytes as u64))?;
        Ok(())
    })
}

/// Checksums bytes that are in memory with `crc32fast` alone. Seconds.
pub(crate) fn checksum(bytes: &[u8]) -> Result<f64> {
    seconds(|| Ok(crc32fast::hash(std::hint::black_box(bytes))))
}

/// Copies a file out of a map of it, a mebibyte at a time. Seconds, the page faults included.
#[allow(unsafe_code, reason = "a map of a file that only this process knows, and does not change")]
pub(crate) fn copy_from_map(path: &Path) -> Result<f64> {
    let file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    seconds(|| {
        // Safe: the file is in a folder of this run, and nothing writes to it while it is mapped.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        for part in map.chunks(buffer.len()) {
            buffer[..part.len()].copy_from_slice(part);
            std::hint::black_box(&mut buffer);
        }
        Ok(())
    })
}

/// Gives the pages of a file back to the machine, so that whoever reads it next reads the disk.
pub(crate) fn forget_pages(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    // What is dirty stays.
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}
