//! A stretch of a file in memory, moved along as it is read.

use std::io;
use std::sync::Arc;

use memchr::memmem::Finder;

use crate::format::MAGIC;
use crate::mutation::{self, Mutation};
use crate::storage::Storage;

/// How much is read at once while scanning.
pub(crate) const CHUNK: usize = 256 << 10;

/// Reads a file in chunks, up to a limit. Grows to the largest frame that is asked for, and gives
/// that memory back when it moves on.
pub(crate) struct Window {
    file: Arc<dyn Storage>,
    base: u64,
    data: Vec<u8>,
    chunk: usize,
    limit: u64,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn Storage>, limit: u64, chunk: usize) -> Self {
        Self { file, base: 0, data: Vec::new(), chunk, limit }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The bytes there; `None` where they reach beyond the limit.
    pub(crate) fn get(&mut self, offset: u64, len: u64) -> io::Result<Option<&[u8]>> {
        let Some(end) = offset.checked_add(len).filter(|end| *end <= self.limit) else {
            return Ok(None);
        };
        if offset < self.base || end > self.base + self.data.len() as u64 {
            let want = len.max(self.chunk as u64).min(self.limit - offset);
            self.load(offset, usize::try_from(want).map_err(io::Error::other)?)?;
            if end > self.base + self.data.len() as u64 {
                // The file became shorter since its length was asked for.
                return Ok(None);
            }
        }
        let start = usize::try_from(offset - self.base).map_err(io::Error::other)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        Ok(self.data.get(start..start + len))
    }

    fn load(&mut self, offset: u64, len: usize) -> io::Result<()> {
        if self.data.capacity() > 4 * self.chunk.max(len) {
            self.data = Vec::new();
        }
        self.base = offset;
        self.data.resize(len, 0);
        let read = match self.file.read_at(offset, &mut self.data) {
            Err(_) if mutation::broken(Mutation::ReadErrorIsDamage) => {
                self.data.fill(0);
                len
            }
            read => read?,
        };
        self.data.truncate(read);
        Ok(())
    }

    /// The next place at or behind `from` where a frame could begin.
    pub(crate) fn find_magic(&mut self, from: u64) -> io::Result<Option<u64>> {
        let finder = Finder::new(&MAGIC);
        let mut at = from;
        while at + MAGIC.len() as u64 <= self.limit {
            let loaded = self.base..self.base + self.data.len() as u64;
            let len = if loaded.contains(&at) && loaded.end - at >= MAGIC.len() as u64 {
                loaded.end - at
            } else {
                (self.chunk as u64).min(self.limit - at)
            };
            let Some(bytes) = self.get(at, len)? else { return Ok(None) };
            if let Some(found) = finder.find(bytes) {
                return Ok(Some(at + found as u64));
            }
            // The magic may lie across the end of what was looked at.
            at += len - (MAGIC.len() as u64 - 1);
        }
        Ok(None)
    }
}
