//! Reading ahead: a long pass is done block by block, and two threads do blocks: the one of the pass, and
//! a helper. Doing a block is reading it and finding the frames in it that verify, which is nearly all
//! of the work. Each does the next block that nobody has begun, so whoever has time does more.
//!
//! A helper only for storage that says that it may be read by another thread. Whatever goes wrong here,
//! the pass goes on without it, and reads for itself what it needs: an error is told by its own read.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

use crate::format::{Codec, FrameHeader, HEADER_LEN};
use crate::sound::{Check, Sound, check};
use crate::storage::Storage;
use crate::sync::{Condvar, EXPLORED, Mutex, thread};

/// How much is read at once. It is walked over right behind that, in a core's own cache.
const BLOCK: usize = 256 << 10;
/// A frame may begin so far before the end of a block and still be whole in the next one.
const MARGIN: usize = 128 << 10;
/// So many blocks are done or begun at most before the pass takes the first of them.
const QUEUED_MAX: usize = 4;
/// So many more are held at most while the end of a batch is looked for.
const HELD_MAX: usize = 5;

/// A part of the file in memory.
#[derive(Default)]
pub(crate) struct Block {
    /// Offset of the first byte.
    pub(crate) base: u64,
    /// Before this offset it holds other bytes than the file.
    pub(crate) from: u64,
    pub(crate) bytes: Bytes,
    /// Frames that begin in it and verify, as far as they are known.
    pub(crate) sound: Sound,
}

impl Block {
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// The bytes from this offset on.
    fn rest(&self, at: u64) -> Option<&[u8]> {
        let start = at.max(self.from).checked_sub(self.base)?;
        self.bytes.get(usize::try_from(start).ok()?..)
    }
}

/// A block that was done, behind a margin.
#[derive(Default)]
struct Done {
    bytes: BytesMut,
    sound: Sound,
}

enum Entry {
    Begun,
    Done(Done),
    /// It could not be read.
    Failed,
}

#[derive(Default)]
struct Queue {
    /// The blocks that the pass has not taken, in file order.
    entries: VecDeque<Entry>,
    /// The number of the first of them.
    first: u64,
    /// Where the next block is that nobody has begun.
    next: u64,
    /// Memory for more.
    free: Vec<Done>,
    /// Nothing more is begun: a read failed, or the file ended, or the pass did.
    ended: bool,
}

struct Shared {
    file: Arc<dyn Storage>,
    codec: Option<Codec>,
    limit: u64,
    queue: Mutex<Queue>,
    /// For the pass: one more is done.
    done: Condvar,
    /// For the helper: there is room for more, or nothing more to do.
    room: Condvar,
}

/// A block that somebody has begun.
struct Work {
    number: u64,
    at: u64,
    memory: Done,
}

/// See the module. Waits for its helper when it is dropped, so that nothing holds the file then.
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    helper: Option<thread::JoinHandle<()>>,
    /// The process that has the helper; a forked child has not.
    pid: u32,
    /// Blocks that were taken, and looked into, and are not shown yet.
    held: VecDeque<Block>,
    /// Where the block begins that is taken next.
    next: u64,
    /// How many blocks were shown.
    blocks: u64,
}

/// Helpers of this process.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A helper: one for each processor at most, for more would take turns only. None where there is but
/// one.
fn help(shared: &Arc<Shared>) -> Option<thread::JoinHandle<()>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let more = |running| (processors > 1 && running < processors).then_some(running + 1);
    RUNNING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
    let theirs = Arc::clone(shared);
    let helper = thread::Builder::new().name("sj-ahead".to_owned()).spawn(move || theirs.help());
    if helper.is_err() {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
    helper.ok()
}

impl Ahead {
    /// Begins with what is at `next`; `None` where it is not worth it, or cannot be.
    pub(crate) fn begin(
        file: &Arc<dyn Storage>,
        codec: Option<Codec>,
        next: u64,
        limit: u64,
    ) -> Option<Self> {
        let worth = next >= MARGIN as u64 && limit.saturating_sub(next) > BLOCK as u64;
        if EXPLORED || !worth {
            return None;
        }
        let shared = Arc::new(Shared {
            file: Arc::clone(file),
            codec,
            limit,
            queue: Mutex::new(Queue { next, ..Queue::default() }),
            done: Condvar::new(),
            room: Condvar::new(),
        });
        let helper = if file.begin_long_read(next) { help(&shared) } else { None };
        let (held, pid) = (VecDeque::new(), crate::fork::pid());
        Some(Self { shared, helper, pid, held, next, blocks: 0 })
    }

    /// The block that shows these bytes, which the pass moves on to, with the end of the one before from
    /// `offset` on in front of it. `None` where these bytes are in no block.
    pub(crate) fn next(&mut self, block: &mut Block, offset: u64, len: u64) -> Option<()> {
        if self.is_elsewhere() || offset < block.from {
            return None;
        }
        while offset + len > block.end() {
            if self.held.is_empty() {
                self.hold()?;
            }
            let start = block.end();
            let left = usize::try_from(start.saturating_sub(offset)).ok()?;
            if self.held.front()?.from != start || left > MARGIN {
                return None;
            }
            let mut next = self.held.pop_front()?;
            if left > 0 {
                let mut bytes = next.bytes.try_into_mut().ok()?;
                bytes.get_mut(MARGIN - left..MARGIN)?.copy_from_slice(block.rest(offset)?);
                next.bytes = bytes.freeze();
                next.from = offset;
            }
            self.blocks += 1;
            let old = std::mem::replace(block, next);
            // Nobody keeps a part of it: its memory is for another one.
            if let Ok(bytes) = old.bytes.try_into_mut() {
                self.shared.give(Done { bytes, sound: old.sound });
            }
        }
        Some(())
    }

    /// As [`Sound::follow`], in this block and those behind it.
    pub(crate) fn follow(
        &mut self,
        block: &Block,
        mut at: u64,
        end: u64,
        wanted: impl Fn(&FrameHeader) -> bool,
    ) -> (u64, bool) {
        if self.is_elsewhere() {
            return (at, true);
        }
        while at < end {
            let own = std::iter::once(block).chain(&self.held).find(|block| at < block.end());
            if let Some(own) = own {
                let (came, fits) = own.sound.follow(at, end, &wanted);
                if !fits || came >= end {
                    return (came, fits);
                }
                at = came;
            }
            match self.across(block, at) {
                Check::Sound(header) if wanted(&header) => at = header.end(),
                Check::Sound(_) => return (at, false),
                Check::Longer(_) if self.held.len() < HELD_MAX => {
                    if self.hold().is_none() {
                        break;
                    }
                }
                _ => break,
            }
        }
        (at, true)
    }

    /// What stands here, in the bytes that are held. The header may be cut.
    fn across(&self, block: &Block, at: u64) -> Check {
        let parts = std::iter::once(block).chain(&self.held).filter(|part| part.end() > at);
        let parts: Vec<&[u8]> = parts.filter_map(|part| part.rest(at)).collect();
        let codec = self.shared.codec;
        codec.map_or(Check::Nothing, |codec| across(&parts, at, &codec))
    }

    /// Takes one more block.
    fn hold(&mut self) -> Option<()> {
        let Done { bytes, sound } = self.shared.take()?;
        let (base, from) = (self.next - MARGIN as u64, self.next);
        self.next += (bytes.len() - MARGIN) as u64;
        self.held.push_back(Block { base, from, bytes: bytes.freeze(), sound });
        Some(())
    }

    /// How many blocks it was good for.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    fn is_elsewhere(&self) -> bool {
        self.helper.is_some() && self.pid != crate::fork::pid()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let elsewhere = self.is_elsewhere();
        let Some(helper) = self.helper.take() else { return };
        if elsewhere {
            std::mem::forget(helper);
            return;
        }
        self.shared.queue.lock().ended = true;
        self.shared.room.notify_one();
        // It has no panics of its own to tell of.
        let _ = helper.join();
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What stands at the beginning of these parts, which follow each other.
fn across(parts: &[&[u8]], at: u64, codec: &Codec) -> Check {
    let head: Vec<u8> = parts
        .iter()
        .flat_map(|part| part.iter().take(HEADER_LEN))
        .take(HEADER_LEN)
        .copied()
        .collect();
    if head.len() < HEADER_LEN {
        return Check::Longer(FrameHeader::BLANK);
    }
    let header = match check(&head, at, codec) {
        Check::Longer(header) => header,
        whole => return whole,
    };
    let (mut skip, mut left) =
        (HEADER_LEN, usize::try_from(header.body_len()).unwrap_or(usize::MAX));
    let mut body = Vec::with_capacity(parts.len());
    for part in parts {
        let (head, part) = part.split_at(skip.min(part.len()));
        let (part, _) = part.split_at(left.min(part.len()));
        (skip, left) = (skip - head.len(), left - part.len());
        body.push(part);
    }
    match left {
        0 if codec.checksum(&body) == header.body_checksum => Check::Sound(header),
        0 => Check::Nothing,
        _ => Check::Longer(header),
    }
}

impl Queue {
    /// Begins the next block.
    fn begin(&mut self, limit: u64) -> Option<Work> {
        if self.ended || self.next >= limit || self.entries.len() >= QUEUED_MAX {
            return None;
        }
        let (number, at) = (self.first + self.entries.len() as u64, self.next);
        self.entries.push_back(Entry::Begun);
        self.next = limit.min(at + BLOCK as u64);
        Some(Work { number, at, memory: self.free.pop().unwrap_or_default() })
    }

    /// Puts what became of it in its place. A pass that is over has taken the places away.
    fn end(&mut self, number: u64, entry: Entry) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(place) = place.and_then(|place| self.entries.get_mut(place)) {
            *place = entry;
        }
    }
}

impl Shared {
    /// The next block, done by whoever; `None` where there will be none.
    fn take(&self) -> Option<Done> {
        let mut queue = self.queue.lock();
        loop {
            match queue.entries.front() {
                Some(Entry::Done(_)) => break,
                Some(Entry::Failed) => return None,
                begun => {
                    let nothing_is_begun = begun.is_none();
                    if let Some(work) = queue.begin(self.limit) {
                        drop(queue);
                        let (number, entry) = self.work(work);
                        queue = self.queue.lock();
                        queue.end(number, entry);
                    } else if nothing_is_begun {
                        return None;
                    } else {
                        self.done.wait(&mut queue);
                    }
                }
            }
        }
        queue.first += 1;
        let taken = queue.entries.pop_front();
        // Not for each block: waking up takes longer than doing one.
        if queue.entries.len() == QUEUED_MAX / 2 {
            self.room.notify_one();
        }
        match taken {
            Some(Entry::Done(done)) => Some(done),
            _ => None,
        }
    }

    /// Memory of a block that nobody needs any more.
    fn give(&self, memory: Done) {
        // Nor that of a long frame, or it would be kept until the pass ends.
        let fits = MARGIN + BLOCK..=2 * (MARGIN + BLOCK);
        if fits.contains(&memory.bytes.capacity()) {
            self.queue.lock().free.push(memory);
        }
    }

    /// What the helper does.
    fn help(&self) {
        let mut queue = self.queue.lock();
        while !queue.ended && queue.next < self.limit {
            let Some(work) = queue.begin(self.limit) else {
                self.room.wait(&mut queue);
                continue;
            };
            drop(queue);
            let (number, entry) = self.work(work);
            queue = self.queue.lock();
            queue.end(number, entry);
            if number == queue.first {
                self.done.notify_one();
            }
        }
    }

    /// Does a block.
    fn work(&self, work: Work) -> (u64, Entry) {
        let Work { number, at, memory: Done { mut bytes, mut sound } } = work;
        let len = usize::try_from(self.limit - at).unwrap_or(usize::MAX).min(BLOCK);
        bytes.resize(MARGIN + len, 0);
        let place = bytes.get_mut(MARGIN..).unwrap_or_default();
        let read = catch_unwind(AssertUnwindSafe(|| self.file.read_at(at, place)));
        let entry = match read.unwrap_or_else(|_| Err(io::Error::other("a panic in a read"))) {
            Ok(read) if read == len => {
                sound.clear();
                if let Some(codec) = &self.codec {
                    sound.walk(place, at, codec);
                }
                Entry::Done(Done { bytes, sound })
            }
            // The pass finds out for itself what is there.
            Ok(_) | Err(_) => Entry::Failed,
        };
        (number, entry)
    }
}
