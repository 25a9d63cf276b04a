//! Reading ahead: while one block of a long pass is looked at, a thread reads the next one.
//!
//! Only for storage that says that it may be read by another thread. Whatever goes wrong here, the pass
//! goes on without it, and reads for itself what it needs: an error is told by its own read.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

use crate::storage::Storage;
use crate::sync::{Condvar, EXPLORED, Mutex, thread};

/// How much is read at once.
const BLOCK: usize = 512 << 10;
/// A frame may begin so far before the end of a block and still be whole in the next one.
const MARGIN: usize = 128 << 10;
/// So many blocks are ready at most: while one side is waking up, the other one goes on.
const READY_MAX: usize = 4;

/// A part of the file in memory.
#[derive(Default)]
pub(crate) struct Block {
    /// Offset of the first byte.
    pub(crate) base: u64,
    /// Before this offset it holds other bytes than the file.
    pub(crate) from: u64,
    pub(crate) bytes: Bytes,
}

impl Block {
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

#[derive(Default)]
struct Blocks {
    /// What was read, in file order, each behind a margin.
    ready: VecDeque<BytesMut>,
    /// Memory for more.
    free: Vec<BytesMut>,
    /// Nothing more will be ready: a read failed, or the file ended.
    ended: bool,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    blocks: Mutex<Blocks>,
    /// For the pass: one more is ready, or none will be.
    more: Condvar,
    /// For the thread: there is room for more.
    room: Condvar,
}

/// See the module. Waits for its thread when it is dropped, so that nothing holds the file then.
pub(crate) struct Ahead {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
    /// The process that has the thread; a forked child has not.
    pid: u32,
    /// Where the block begins that is taken next.
    next: u64,
    /// How many blocks were taken.
    blocks: u64,
}

/// Passes of this process that have a thread read ahead.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// One thread for each processor: more would take turns only. None where there is but one.
fn may_start() -> bool {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let more = |running| (processors > 1 && running < processors).then_some(running + 1);
    RUNNING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

impl Ahead {
    /// Begins with what is at `next`; `None` where it is not worth it, or cannot be.
    pub(crate) fn begin(file: &Arc<dyn Storage>, next: u64, limit: u64) -> Option<Self> {
        let worth = next >= MARGIN as u64 && limit.saturating_sub(next) > BLOCK as u64;
        if EXPLORED || !worth || !file.begin_long_read(next) || !may_start() {
            return None;
        }
        let shared = Arc::<Shared>::default();
        let (theirs, file) = (Arc::clone(&shared), Arc::clone(file));
        let thread = thread::Builder::new().name("sj-ahead".to_owned());
        let Ok(thread) = thread.spawn(move || theirs.read(&*file, next, limit)) else {
            RUNNING.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        Some(Self { shared, thread: Some(thread), pid: crate::fork::pid(), next, blocks: 0 })
    }

    /// The block behind this one, with the end of this one from `offset` on in front of it; gives it
    /// back where these bytes are not in there.
    pub(crate) fn next(&mut self, old: Block, offset: u64, len: u64) -> Result<Block, Block> {
        let left = self.next.checked_sub(offset).and_then(|left| usize::try_from(left).ok());
        let Some(left) = left.filter(|left| *left <= MARGIN) else { return Err(old) };
        if old.end() != self.next || offset < old.from || self.is_elsewhere() {
            return Err(old);
        }
        let Some(mut buffer) = self.shared.take() else { return Err(old) };
        let end = self.next + (buffer.len() - MARGIN) as u64;
        let rest = old.bytes.len().checked_sub(left).and_then(|at| old.bytes.get(at..));
        let (Some(rest), Some(margin)) = (rest, buffer.get_mut(MARGIN - left..MARGIN)) else {
            return Err(old);
        };
        if offset + len > end {
            return Err(old);
        }
        margin.copy_from_slice(rest);
        let base = self.next - MARGIN as u64;
        self.next = end;
        self.blocks += 1;
        // Nobody keeps a part of it: its memory is for the next one.
        if let Ok(memory) = old.bytes.try_into_mut() {
            self.shared.give(memory);
        }
        Ok(Block { base, from: offset, bytes: buffer.freeze() })
    }

    /// How many blocks it was good for.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    fn is_elsewhere(&self) -> bool {
        self.pid != crate::fork::pid()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if self.is_elsewhere() {
            std::mem::forget(self.thread.take());
            return;
        }
        self.shared.blocks.lock().stopped = true;
        self.shared.room.notify_one();
        // It has no panics of its own to tell of.
        let _ = self.thread.take().map(thread::JoinHandle::join);
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Waits for the next block; `None` where there will be none.
    fn take(&self) -> Option<BytesMut> {
        let mut blocks = self.blocks.lock();
        loop {
            if let Some(block) = blocks.ready.pop_front() {
                // Not for each block: waking up takes longer than reading one.
                if blocks.ready.len() == READY_MAX / 2 {
                    self.room.notify_one();
                }
                return Some(block);
            }
            if blocks.ended {
                return None;
            }
            self.more.wait(&mut blocks);
        }
    }

    /// Memory of a block that nobody needs any more.
    fn give(&self, memory: BytesMut) {
        if memory.capacity() >= MARGIN + BLOCK {
            self.blocks.lock().free.push(memory);
        }
    }

    /// What the thread does.
    fn read(&self, file: &dyn Storage, mut at: u64, limit: u64) {
        let mut blocks = self.blocks.lock();
        while at < limit {
            while blocks.ready.len() >= READY_MAX && !blocks.stopped {
                self.room.wait(&mut blocks);
            }
            if blocks.stopped {
                return;
            }
            let memory = blocks.free.pop();
            drop(blocks);
            let len = usize::try_from(limit - at).unwrap_or(usize::MAX).min(BLOCK);
            let mut buffer = memory.unwrap_or_else(|| BytesMut::zeroed(MARGIN + BLOCK));
            buffer.resize(MARGIN + len, 0);
            let read = read_behind_margin(file, at, &mut buffer);
            blocks = self.blocks.lock();
            let Ok(read) = read else { break };
            buffer.truncate(MARGIN + read);
            blocks.ready.push_back(buffer);
            self.more.notify_one();
            at += read as u64;
            if read < len {
                break;
            }
        }
        blocks.ended = true;
        self.more.notify_one();
    }
}

fn read_behind_margin(file: &dyn Storage, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let place = buffer.get_mut(MARGIN..).unwrap_or_default();
    let read = catch_unwind(AssertUnwindSafe(|| file.read_at(offset, place)));
    read.unwrap_or_else(|_| Err(io::Error::other("a panic in a read")))
}
