//! A stretch of a file in memory, moved along as it is read.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

use crate::ahead::{Ahead, Block};
use crate::format::{Codec, FrameHeader, MAGIC};
use crate::mutation::{self, Mutation};
use crate::storage::Storage;

/// How much is read at once while scanning.
pub(crate) const CHUNK: usize = 256 << 10;
/// How much is read first: who looks for one record needs little.
const FIRST: usize = 64 << 10;
/// Shorter ones are copied, or a record that somebody keeps would keep a block.
const SHARED_FROM: usize = 16 << 10;
/// So many reads in a row make it worth to read ahead.
const STEPS_BEFORE_AHEAD: u32 = 4;
/// Where that was no help, so many more before it is tried again, at most.
const STEPS_MAX: u32 = 256;

/// Reads a file in chunks, up to a limit. Grows to the largest frame that is asked for, and gives
/// that memory back when it moves on.
pub(crate) struct Window {
    file: Arc<dyn Storage>,
    /// Of the frames that are looked for in it, where they are.
    codec: Option<Codec>,
    block: Block,
    chunk: usize,
    limit: u64,
    /// Reads in a row, each where the one before ended.
    steps: u32,
    /// How many of them there are to be before what follows is read ahead.
    patience: u32,
    ahead: Option<Ahead>,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn Storage>, limit: u64, chunk: usize) -> Self {
        let (block, patience) = (Block::default(), STEPS_BEFORE_AHEAD);
        Self { file, codec: None, block, chunk, limit, steps: 0, patience, ahead: None }
    }

    /// A window over frames, to walk from one to the next.
    pub(crate) fn of_frames(file: Arc<dyn Storage>, limit: u64, codec: Codec) -> Self {
        Self { codec: Some(codec), ..Self::new(file, limit, CHUNK) }
    }

    /// Another one over the same frames.
    pub(crate) fn another(&self) -> Self {
        Self { codec: self.codec, ..Self::new(Arc::clone(&self.file), self.limit, self.chunk) }
    }

    /// The frame that stands here in its place and verifies, where that is known already of the bytes
    /// that are in memory.
    #[inline]
    pub(crate) fn sound(&mut self, at: u64) -> Option<&FrameHeader> {
        if at < self.block.from { None } else { self.block.sound.at(at) }
    }

    /// Walks from frame to frame, from one that begins here up to an offset, as far as frames are known to
    /// verify and are as wanted, in what was read ahead as well, and without moving there. Says how far it
    /// came, and false where it came upon one that is not as wanted.
    pub(crate) fn follow_ahead(
        &mut self,
        at: u64,
        end: u64,
        wanted: impl Fn(&FrameHeader) -> bool,
    ) -> (u64, bool) {
        if at < self.block.from {
            return (at, true);
        }
        match &mut self.ahead {
            Some(ahead) => ahead.follow(&self.block, at, end, wanted),
            None => self.block.sound.follow(at, end, &wanted),
        }
    }

    /// Takes note that this frame, in its place in memory, verifies.
    pub(crate) fn remember(&mut self, header: &FrameHeader) {
        if self.codec.is_some() && self.place(header.offset, header.frame_len()).is_some() {
            self.block.sound.remember(header);
        }
    }

    /// Whether what is in memory now goes as far as that.
    pub(crate) fn reaches(&self, end: u64) -> bool {
        end <= self.block.end()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Where in the block these bytes are. It never reaches beyond the limit.
    #[inline]
    fn place(&self, offset: u64, len: u64) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(offset.checked_sub(self.block.base)?).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (offset >= self.block.from && end <= self.block.bytes.len()).then_some(start..end)
    }

    /// The bytes there; `None` where they reach beyond the limit.
    #[inline]
    pub(crate) fn get(&mut self, offset: u64, len: u64) -> io::Result<Option<&[u8]>> {
        let place = match self.place(offset, len) {
            Some(place) => place,
            None => match self.bring(offset, len)? {
                Some(place) => place,
                None => return Ok(None),
            },
        };
        Ok(self.block.bytes.get(place))
    }

    /// The bytes there, where they are in memory.
    #[inline]
    pub(crate) fn shown(&self, offset: u64, len: u64) -> Option<&[u8]> {
        self.block.bytes.get(self.place(offset, len)?)
    }

    /// The same, to keep: shared with the block where that is not much more than what is kept, a copy
    /// otherwise.
    #[inline]
    pub(crate) fn keep(&self, offset: u64, len: u64) -> Option<Bytes> {
        let (place, bytes) = (self.place(offset, len)?, &self.block.bytes);
        if place.len() >= SHARED_FROM && place.len() >= bytes.len() / 4 {
            return Some(bytes.slice(place));
        }
        bytes.get(place).map(Bytes::copy_from_slice)
    }

    fn bring(&mut self, offset: u64, len: u64) -> io::Result<Option<std::ops::Range<usize>>> {
        if offset.checked_add(len).is_none_or(|end| end > self.limit) {
            return Ok(None);
        }
        if !self.take_what_was_read_ahead(offset, len) {
            let want = len.max(self.next_chunk()).min(self.limit - offset);
            self.load(offset, usize::try_from(want).map_err(io::Error::other)?)?;
        }
        // `None` where the file became shorter since its length was asked for.
        Ok(self.place(offset, len))
    }

    /// Whether the byte here is in memory.
    pub(crate) fn shows(&self, offset: u64) -> bool {
        self.place(offset, 1).is_some()
    }

    /// Loads what ends here, which a pass backwards needs next; or, where `offset` is further away than
    /// that, what begins there.
    pub(crate) fn load_before(&mut self, offset: u64, end: u64) -> io::Result<()> {
        let (end, chunk) = (end.min(self.limit), self.next_chunk());
        let before = end.saturating_sub(chunk);
        let (base, end) =
            if offset >= before { (before, end) } else { (offset, end.min(offset + chunk)) };
        let len = usize::try_from(end.saturating_sub(base)).map_err(io::Error::other)?;
        self.fill(base, len)?;
        // What a pass backwards needs next is not ahead.
        (self.steps, self.ahead) = (1, None);
        Ok(())
    }

    fn next_chunk(&self) -> u64 {
        (if self.steps == 0 { FIRST.min(self.chunk) } else { self.chunk }) as u64
    }

    fn load(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let goes_on = self.steps == 0 || (self.block.base < offset && offset <= self.block.end());
        self.fill(offset, len)?;
        self.steps = if goes_on { self.steps + 1 } else { 1 };
        if self.steps >= self.patience && self.ahead.is_none() {
            self.ahead = Ahead::begin(&self.file, self.codec, self.block.end(), self.limit);
        }
        Ok(())
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let Block { bytes: old, mut sound, .. } = std::mem::take(&mut self.block);
        let mut buffer = self.buffer(old, len);
        let read = match self.file.read_at(offset, &mut buffer) {
            Err(_) if mutation::broken(Mutation::ReadErrorIsDamage) => {
                buffer.fill(0);
                len
            }
            read => read?,
        };
        buffer.truncate(read);
        sound.clear();
        self.block = Block { base: offset, from: offset, bytes: buffer.freeze(), sound };
        Ok(())
    }

    /// A buffer of this length: the memory of the block before, where nobody keeps a part of it and it
    /// is neither too small nor much too large.
    fn buffer(&self, old: Bytes, len: usize) -> BytesMut {
        match old.try_into_mut() {
            Ok(mut buffer) if (len..=4 * self.chunk.max(len)).contains(&buffer.capacity()) => {
                buffer.resize(len, 0);
                buffer
            }
            _ => BytesMut::zeroed(len),
        }
    }

    /// Goes on in the block that was read ahead, where the bytes are in it.
    fn take_what_was_read_ahead(&mut self, offset: u64, len: u64) -> bool {
        let Some(ahead) = &mut self.ahead else { return false };
        let found = ahead.next(&mut self.block, offset, len).is_some();
        if !found {
            // A long frame is between two blocks: if all of them are long, this is no help.
            let helped = ahead.blocks() >= u64::from(STEPS_BEFORE_AHEAD);
            self.patience =
                if helped { STEPS_BEFORE_AHEAD } else { STEPS_MAX.min(2 * self.patience) };
            self.steps = 1;
            self.ahead = None;
        }
        found
    }

    /// The next place at or behind `from` where a frame could begin.
    pub(crate) fn find_magic(&mut self, from: u64) -> io::Result<Option<u64>> {
        let finder = Finder::new(&MAGIC);
        let mut at = from;
        while at + MAGIC.len() as u64 <= self.limit {
            let loaded = self.block.from..self.block.end();
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

#[cfg(test)]
mod tests;
