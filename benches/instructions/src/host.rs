//! The machine, with a clock that stands still and randomness that repeats itself: what is due by
//! time never comes due in the middle of a count. Reading the clock is done, and counted.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use session_journal::{Host, Liveness, LocalHost, Owner};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steady;

/// 22 November 2026.
const NOW_MS: i64 = 1_795_305_600_000;

impl Host for Steady {
    fn now_ms(&self) -> i64 {
        std::hint::black_box(LocalHost.now_ms());
        NOW_MS
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        static GIVEN: AtomicU64 = AtomicU64::new(1);
        for chunk in bytes.chunks_mut(8) {
            let value = GIVEN.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            chunk.copy_from_slice(&value.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }

    fn owner(&self, label: &str) -> io::Result<Owner> {
        LocalHost.owner(label)
    }

    fn liveness(&self, owner: &Owner) -> Liveness {
        LocalHost.liveness(owner)
    }

    fn retire(&self, owner: &Owner) {
        LocalHost.retire(owner);
    }

    fn pid(&self) -> u32 {
        LocalHost.pid()
    }
}
