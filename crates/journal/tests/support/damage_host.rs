//! A host without surprises: the clock stands still, randomness is counted, and every owner is gone.
//! So files come out the same each time, and nobody waits for anybody.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use session_journal::{Durability, Host, Incarnation, Liveness, Options, Owner, Takeover};

/// The clock begins here: 2026-01-02 03:04:05 UTC.
pub(crate) const EPOCH_MS: i64 = 1_767_323_045_000;

#[derive(Debug)]
pub(crate) struct StillHost {
    now_ms: AtomicI64,
    draws: AtomicU64,
    owners: AtomicU64,
}

impl StillHost {
    /// Hosts of different seeds make different journals.
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            now_ms: AtomicI64::new(EPOCH_MS),
            draws: AtomicU64::new(seed << 32),
            owners: AtomicU64::new(seed << 32),
        })
    }

    /// Moves the clock on.
    #[allow(dead_code, reason = "not every test moves it")]
    pub(crate) fn tick(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Host for StillHost {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut random = Random(self.draws.fetch_add(1, Ordering::Relaxed));
        bytes.fill_with(|| random.byte());
        Ok(())
    }

    fn owner(&self, label: &str) -> io::Result<Owner> {
        let mut random = Random(!self.owners.fetch_add(1, Ordering::Relaxed));
        let mut incarnation = [0; 16];
        incarnation.fill_with(|| random.byte());
        Ok(Owner {
            incarnation: Incarnation::from_bytes(incarnation),
            host: "still".to_owned(),
            boot_id: *b"boot-of-a-test-0",
            pid: 4242,
            pid_namespace: 4_026_531_836,
            start_ticks: 1000,
            started_ms: EPOCH_MS - 60_000,
            program: "damage".to_owned(),
            label: label.to_owned(),
        })
    }

    fn liveness(&self, _: &Owner) -> Liveness {
        Liveness::Gone
    }

    fn retire(&self, _: &Owner) {}

    fn pid(&self) -> u32 {
        4242
    }
}

/// Options that never sync on their own and always take over.
pub(crate) fn options(host: &Arc<StillHost>) -> Options {
    Options {
        durability: Durability::Written,
        takeover: Takeover::Always,
        sync_interval: Duration::from_hours(1),
        sync_bytes: u64::MAX,
        host: Arc::clone(host) as Arc<dyn Host>,
        ..Options::default()
    }
}

/// `SplitMix64`: small, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    /// A number below `end`, which is not zero.
    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }
}
