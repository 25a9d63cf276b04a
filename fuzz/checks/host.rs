//! A host without chance: what runs on it runs the same way every time.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_journal::{Durability, Host, Incarnation, Liveness, Options, Owner, Takeover};

/// See the module. Its clock stands still, it waits for nothing, and knows which handles are left.
#[derive(Debug, Default)]
pub(crate) struct FixedHost {
    given: AtomicU64,
    alive: Mutex<BTreeSet<[u8; 16]>>,
}

impl FixedHost {
    /// A host whose random numbers are others than those of one with another seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { given: AtomicU64::new(seed), ..Self::default() }
    }

    fn alive(&self) -> std::sync::MutexGuard<'_, BTreeSet<[u8; 16]>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for FixedHost {
    fn now_ms(&self) -> i64 {
        1_000_000
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let seed = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        for (byte, i) in bytes.iter_mut().zip(1_u64..) {
            *byte = (seed.wrapping_mul(31).wrapping_add(i).wrapping_mul(0x9E37_79B9) >> 16) as u8;
        }
        Ok(())
    }

    fn owner(&self, label: &str) -> io::Result<Owner> {
        let mut incarnation = [0; 16];
        self.fill_random(&mut incarnation)?;
        self.alive().insert(incarnation);
        Ok(Owner {
            incarnation: Incarnation::from_bytes(incarnation),
            host: "here".to_owned(),
            boot_id: [1; 16],
            pid: 1,
            pid_namespace: 1,
            start_ticks: 1,
            started_ms: 1,
            program: "fuzz".to_owned(),
            label: label.to_owned(),
        })
    }

    fn liveness(&self, owner: &Owner) -> Liveness {
        if self.alive().contains(&owner.incarnation.to_bytes()) {
            Liveness::Alive
        } else {
            Liveness::Gone
        }
    }

    fn retire(&self, owner: &Owner) {
        self.alive().remove(&owner.incarnation.to_bytes());
    }

    fn pid(&self) -> u32 {
        1
    }

    fn pause(&self, _: Duration) {}

    fn run_aside(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

/// An owner that takes what it meets, and writes checkpoints often.
pub(crate) fn options(host: Arc<dyn Host>) -> Options {
    Options {
        takeover: Takeover::Always,
        durability: Durability::Written,
        checkpoint_records: 3,
        claim_attempts: 2,
        host,
        ..Options::default()
    }
}
