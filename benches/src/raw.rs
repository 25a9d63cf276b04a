//! What the machine itself does: the limits that everything else stands beside.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use session_journal::Durability;

use crate::Result;
use crate::candidate::{Asked, Candidate, Log, Role, Writer};
use crate::times::seconds;

/// What tables call the bare system calls.
pub(crate) const RAW: &str = "bare `write(2)`";
/// … and those that an append with a header cannot do without, whoever makes it.
pub(crate) const FRAME: &str = "bare write of a frame, and `lseek`";
/// … and those of whoever writes within a file instead of appending to it.
pub(crate) const IN_PLACE: &str = "bare `pwrite` + `fdatasync` in place";

/// The bare system calls.
pub fn candidates() -> Vec<Candidate> {
    let role = Role::Limit;
    let told = "no format, no checksum; with `fdatasync` where durable";
    let bare = Candidate { role, name: RAW, told, open };
    let told =
        "what no append can do without: 80 bytes of a header before it, and where they landed";
    let frame = Candidate { role, name: FRAME, told, open: open_for_frames };
    let told = "as a database does in its log: nothing grows, so the file system has no size to make durable";
    let in_place = Candidate { role, name: IN_PLACE, told, open: open_in_place };
    vec![bare, frame, in_place]
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

/// As long as the header of a frame.
const HEADER_BYTES: usize = 80;
/// A payload from this size on is not copied behind its header first.
const LONG_BYTES: usize = 16 << 10;

#[allow(clippy::unnecessary_wraps, reason = "what a candidate answers")]
fn open_for_frames(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    if asked.producers > 1 || asked.sessions > 1 || asked.durability == Durability::Durable {
        return Ok(None);
    }
    Ok(Some(Box::new(OneFile { path: folder.join("0.raw"), writer: frames })))
}

#[allow(clippy::unnecessary_wraps, reason = "what a candidate answers")]
fn open_in_place(folder: &Path, asked: Asked) -> Result<Option<Box<dyn Log>>> {
    if asked.producers > 1 || asked.sessions > 1 || asked.durability == Durability::Written {
        return Ok(None);
    }
    Ok(Some(Box::new(OneFile { path: folder.join("0.raw"), writer: in_place })))
}

/// One file, for one writer.
struct OneFile {
    path: PathBuf,
    writer: fn(&Path) -> Result<Box<dyn Writer>>,
}

impl Log for OneFile {
    fn writer(&self, _session: usize) -> Result<Box<dyn Writer>> {
        (self.writer)(&self.path)
    }
}

fn frames(path: &Path) -> Result<Box<dyn Writer>> {
    let file = OpenOptions::new().create_new(true).append(true).open(path)?;
    Ok(Box::new(Frames { file, buffer: Vec::new() }))
}

struct Frames {
    file: File,
    buffer: Vec<u8>,
}

impl Writer for Frames {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[7; HEADER_BYTES]);
        let written = if payload.len() < LONG_BYTES {
            self.buffer.extend_from_slice(payload);
            self.file.write(&self.buffer)?
        } else {
            self.file.write_vectored(&[IoSlice::new(&self.buffer), IoSlice::new(payload)])?
        };
        std::hint::black_box(rustix::fs::tell(&self.file)?);
        match written {
            whole if whole == HEADER_BYTES + payload.len() => Ok(()),
            part => Err(format!("{part} bytes were written").into()),
        }
    }
}

/// So long is a file that does not grow.
const PLACE_BYTES: u64 = 16 << 20;

fn in_place(path: &Path) -> Result<Box<dyn Writer>> {
    let file = OpenOptions::new().create_new(true).write(true).open(path)?;
    // Written, and not only reserved: what was only reserved has something to make durable.
    file.write_all_at(&vec![7; usize::try_from(PLACE_BYTES)?], 0)?;
    file.sync_all()?;
    Ok(Box::new(InPlace { file, offset: 0 }))
}

struct InPlace {
    file: File,
    offset: u64,
}

impl Writer for InPlace {
    fn append(&mut self, payload: &Bytes) -> Result<()> {
        let bytes = payload.len() as u64;
        if self.offset + bytes > PLACE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(payload, self.offset)?;
        self.file.sync_data()?;
        self.offset += bytes;
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
