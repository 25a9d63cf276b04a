//! How much is measured.

use std::time::Duration;

/// How much is measured: the whole bar, the bar with what takes long, or hardly anything.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Turns of each candidate.
    pub rounds: usize,
    /// The longest turn.
    pub turn: Duration,
    /// The most appends in a turn.
    pub appends: usize,
    /// Rounds of what takes milliseconds: openings and look-ups.
    pub looks: usize,
    /// Sizes of the journals that are read, in bytes, rising.
    pub sizes: Vec<u64>,
    /// Records of the histories that are read beside other stores.
    pub read_beside: u64,
    /// Entries of the history whose path to the root is read.
    pub history: u64,
    /// Sizes of the stores that are listed.
    pub lists: Vec<usize>,
    /// Takeovers of each kind.
    pub takeovers: usize,
    /// Records that are followed.
    pub followed: usize,
    /// Records with keys that are appended while memory is watched.
    pub keyed: u64,
    /// Appends whose bytes on disk are counted.
    pub counted: usize,
    /// One of so many events of the mix.
    pub mix_one_in: usize,
    /// Sessions at once, where they are many.
    pub many_sessions: usize,
    /// How long the burst lasts.
    pub burst: Duration,
    /// Files that are imported, and lines in each.
    pub import: (usize, usize),
}

const MIB: u64 = 1 << 20;

impl Scale {
    /// The bar, in under ten minutes on two cores.
    pub fn whole() -> Self {
        Self {
            rounds: 7,
            turn: Duration::from_millis(200),
            appends: 20_000,
            looks: 61,
            sizes: vec![MIB, 10 * MIB, 100 * MIB, 400 * MIB],
            read_beside: 100_000,
            history: 1_000_000,
            lists: vec![100, 1000, 14_000],
            takeovers: 200,
            followed: 1000,
            keyed: 270_000,
            counted: 50_000,
            mix_one_in: 10,
            many_sessions: 1000,
            burst: Duration::from_secs(10),
            import: (64, 700),
        }
    }

    /// The bar, with the journal of 8 GB and the burst of 200 s.
    pub fn long() -> Self {
        let mut scale = Self { burst: Duration::from_secs(200), ..Self::whole() };
        scale.sizes.push(8192 * MIB);
        scale
    }

    /// Everything once, so small that its figures mean nothing: shows that it runs.
    pub fn tiny() -> Self {
        Self {
            rounds: 2,
            turn: Duration::from_millis(20),
            appends: 200,
            looks: 3,
            sizes: vec![MIB / 4, MIB],
            read_beside: 500,
            history: 2000,
            lists: vec![3, 20],
            takeovers: 3,
            followed: 10,
            keyed: 5000,
            counted: 5000,
            mix_one_in: 400,
            many_sessions: 20,
            burst: Duration::from_millis(300),
            import: (3, 50),
        }
    }
}
