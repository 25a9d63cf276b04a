//! What a window shows is what stands in the file, however it is walked and whoever reads ahead.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::storage::read_only::ReadOnly;

/// A file in memory, which may be read ahead. From an offset on reads fail where they are told to.
#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    fails_on_other_threads: bool,
    shortened_to: AtomicU64,
    home: std::thread::ThreadId,
    elsewhere: AtomicU64,
}

impl Memory {
    fn new(len: usize) -> Self {
        let mut state = 7_u32;
        let byte = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        };
        Self {
            bytes: (0..len).map(byte).collect(),
            fails_on_other_threads: false,
            shortened_to: AtomicU64::new(u64::MAX),
            home: std::thread::current().id(),
            elsewhere: AtomicU64::new(0),
        }
    }

    fn window(self: &Arc<Self>) -> Window {
        Window::new(Arc::clone(self) as Arc<dyn Storage>, self.bytes.len() as u64, CHUNK)
    }

    fn stretch(&self, at: u64, len: u64) -> &[u8] {
        &self.bytes[usize::try_from(at).unwrap()..usize::try_from(at + len).unwrap()]
    }
}

impl ReadOnly for Memory {
    fn bytes_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if std::thread::current().id() != self.home {
            self.elsewhere.fetch_add(1, Ordering::Relaxed);
            if self.fails_on_other_threads {
                return Err(io::Error::other("as it was told to"));
            }
        }
        let len = self.shortened_to.load(Ordering::Relaxed).min(self.bytes.len() as u64);
        let left = usize::try_from(len.saturating_sub(offset)).unwrap();
        let read = left.min(buffer.len());
        buffer[..read].copy_from_slice(self.stretch(offset, read as u64));
        Ok(read)
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn may_be_shared(&self) -> bool {
        true
    }
}

fn kept_by(window: &mut Window, at: u64, len: u64) -> Bytes {
    assert!(window.get(at, len).unwrap().is_some());
    window.keep(at, len).unwrap()
}

const LONG: usize = 9 << 20;

/// Walks in steps of these lengths, again and again: a head, then the whole, like frames.
fn walk(memory: &Arc<Memory>, steps: &[u64]) {
    let mut window = memory.window();
    let mut at = 0;
    for step in steps.iter().cycle() {
        if at + step > memory.bytes.len() as u64 {
            break;
        }
        let head = 80.min(*step);
        assert_eq!(window.get(at, head).unwrap(), Some(memory.stretch(at, head)), "head at {at}");
        assert_eq!(window.get(at, *step).unwrap(), Some(memory.stretch(at, *step)), "at {at}");
        at += step;
    }
}

#[test]
fn a_long_pass_shows_what_is_there_and_is_read_ahead() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // The threads for it are few, and other tests may have them.
    for _ in 0..200 {
        let memory = Arc::new(Memory::new(LONG));
        walk(&memory, &[1104]);
        if processors == 1 || memory.elsewhere.load(Ordering::Relaxed) >= 6 {
            return;
        }
    }
    panic!("nothing was read ahead");
}

#[test]
fn long_frames_between_short_ones_are_shown_whole() {
    let memory = Arc::new(Memory::new(LONG));
    walk(&memory, &[1104, 90, 700_000, 1104, 130_000, 80]);
    walk(&memory, &[3 << 20, 100]);
}

#[test]
fn a_read_ahead_that_fails_is_made_up_for() {
    let memory = Memory { fails_on_other_threads: true, ..Memory::new(LONG) };
    walk(&Arc::new(memory), &[1104, 5000]);
}

#[test]
fn what_a_file_lost_meanwhile_is_not_shown() {
    let memory = Arc::new(Memory::new(LONG));
    let mut window = memory.window();
    let mut at = 0;
    while at < 3 << 20 {
        assert!(window.get(at, 1000).unwrap().is_some());
        at += 1000;
    }
    memory.shortened_to.store(3 << 20, Ordering::Relaxed);
    while window.get(at, 1000).unwrap().is_some() {
        at += 1000;
    }
    // Two blocks may have been read before.
    assert!(at < (3 << 20) + (3 << 20), "{at}");
    assert!(window.get(at, 1000).unwrap().is_none());
}

#[test]
fn looking_around_shows_what_is_there() {
    let memory = Arc::new(Memory::new(LONG));
    let mut window = memory.window();
    let mut random = 1_u64;
    for _ in 0..2000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (random >> 20) % (LONG as u64 - 2000);
        let len = random % 2000;
        assert_eq!(window.get(at, len).unwrap(), Some(memory.stretch(at, len)));
        if random.is_multiple_of(7) {
            window.load_before(at, at + 1000).unwrap();
            assert!(window.shows(at) && window.shows(at + 999));
            assert_eq!(window.get(at, 1000).unwrap(), Some(memory.stretch(at, 1000)));
        }
    }
}

#[test]
fn what_is_kept_stays_as_it_is_when_the_window_moves_on() {
    let memory = Arc::new(Memory::new(LONG));
    let mut window = memory.window();
    let mut kept = Vec::new();
    for (at, len) in
        (0..LONG as u64 - 400_000).step_by(300_000).zip([100, 70_000, 300_000].iter().cycle())
    {
        kept.push((at, *len, kept_by(&mut window, at, *len)));
    }
    for (at, len, bytes) in kept {
        assert_eq!(bytes, memory.stretch(at, len));
    }
}

#[test]
fn nothing_beyond_the_limit_is_shown() {
    let memory = Arc::new(Memory::new(100_000));
    let mut window = Window::new(Arc::clone(&memory) as Arc<dyn Storage>, 50_000, CHUNK);
    assert!(window.get(49_000, 1000).unwrap().is_some());
    assert!(window.get(49_001, 1000).unwrap().is_none());
    assert!(window.get(u64::MAX, 10).unwrap().is_none());
}
