//! Which faults and operations a run has, drawn at its beginning: runs with few kinds of either go
//! deeper than runs with all of them (swarm testing: Groce et al., ISSTA 2012).

use crate::choices::Choices;

/// How often each kind of fault comes: once in so many chances for it, zero for never.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A process is killed. Chances: its steps.
    pub kill: u32,
    /// A process is stopped, and continued later. Chances: its steps.
    pub stop: u32,
    /// The power fails for the whole machine. Chances: steps.
    pub power: u32,
    /// A write is cut short by a signal or a limit. Chances: writes.
    pub short: u32,
    /// The disk is full, and has room again later. Chances: steps.
    pub no_space: u32,
    /// A write, read or sync fails with EIO. Chances: each of them.
    pub write_error: u32,
    #[allow(missing_docs, reason = "as above")]
    pub read_error: u32,
    #[allow(missing_docs, reason = "as above")]
    pub sync_error: u32,
    /// Pages whose sync failed leave the memory: what was last on the disk is read. Chances: steps.
    pub evict: u32,
    /// The system writes some pages back by itself. Chances: steps.
    pub write_back: u32,
    /// A bit is flipped in a frame. Chances: steps.
    pub flip: u32,
    /// A block is zeroed. Chances: steps.
    pub zero: u32,
    /// A stranger cuts the file. Chances: steps.
    pub cut: u32,
    /// Some fault destroys, or has destroyed, bytes that were safe.
    pub damages: bool,
    /// Damage hits the header page, and nothing else: with an opening gone too, nothing would tell
    /// the salt any more (H17).
    pub header: bool,
    /// A header slot is lost, or comes back as it was earlier. Chances: steps.
    pub slot: u32,
    /// A frame becomes visible page by page while it is written.
    pub paged: bool,
    /// … and its length before its bytes (kernels before January 2024, review H20).
    pub zeros_first: bool,
    /// A sync takes a while, and covers what was there when it began.
    pub slow_sync: bool,
    /// Owners' processes cannot be looked at from one another (containers).
    pub foreign: bool,
    /// Bytes of a page of the simulated system.
    pub page: usize,
}

/// What the processes of a run do.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a kind of operation, drawn by itself")]
pub struct Workload {
    /// How many there are.
    pub processes: usize,
    /// How many sessions they share.
    pub sessions: usize,
    /// How many operations each of them has.
    pub operations: u32,
    /// The scheduler changes to another process once in so many steps.
    pub switch: u32,
    /// The size of the stretches between checkpoints, in bytes.
    pub checkpoint_bytes: u64,
    /// The kinds of operations.
    pub batches: bool,
    #[allow(missing_docs, reason = "as above")]
    pub keys: bool,
    #[allow(missing_docs, reason = "as above")]
    pub conditions: bool,
    #[allow(missing_docs, reason = "as above")]
    pub written: bool,
    #[allow(missing_docs, reason = "as above")]
    pub large: bool,
    #[allow(missing_docs, reason = "as above")]
    pub quotes: bool,
    #[allow(missing_docs, reason = "as above")]
    pub closes: bool,
    #[allow(missing_docs, reason = "as above")]
    pub drops: bool,
    #[allow(missing_docs, reason = "as above")]
    pub compactions: bool,
    #[allow(missing_docs, reason = "as above")]
    pub deletions: bool,
    #[allow(missing_docs, reason = "as above")]
    pub readers: bool,
    #[allow(missing_docs, reason = "as above")]
    pub polite: bool,
    #[allow(missing_docs, reason = "as above")]
    pub full_scans: bool,
    #[allow(missing_docs, reason = "as above")]
    pub no_auto_repair: bool,
}

fn rate(choices: &mut Choices, on_once_in: u32, rates: &[u32]) -> u32 {
    if choices.once_in(on_once_in) { choices.one_of(rates) } else { 0 }
}

impl Faults {
    /// Draws them.
    pub fn draw(choices: &mut Choices) -> Self {
        let often = &[64, 24, 8];
        let rare = &[400, 150, 50];
        let damages = choices.once_in(4);
        let header = choices.once_in(8);
        let damaging = |choices: &mut Choices| if damages { rate(choices, 2, rare) } else { 0 };
        Self {
            kill: rate(choices, 2, rare),
            stop: rate(choices, 2, often),
            power: rate(choices, 3, &[800, 300, 100]),
            short: rate(choices, 4, often),
            no_space: rate(choices, 4, rare),
            write_error: rate(choices, 5, often),
            read_error: rate(choices, 6, rare),
            sync_error: rate(choices, 4, often),
            evict: rate(choices, 2, often),
            write_back: rate(choices, 2, often),
            flip: damaging(choices),
            zero: damaging(choices),
            cut: if header { 0 } else { damaging(choices) },
            header,
            damages,
            slot: if damages { 0 } else { rate(choices, 4, rare) },
            paged: choices.once_in(2),
            zeros_first: choices.once_in(4),
            slow_sync: choices.once_in(2),
            foreign: choices.once_in(4),
            page: choices.one_of(&[4096, 512, 64]),
        }
    }

    /// No byte that was safe is destroyed from now on.
    pub fn no_more_damage(&mut self) {
        (self.flip, self.zero, self.cut) = (0, 0, 0);
    }
}

impl Workload {
    /// Draws it.
    pub fn draw(choices: &mut Choices) -> Self {
        let mut maybe = |n| choices.once_in(n);
        let kinds = [2, 2, 2, 2, 3, 4, 2, 2, 3, 6, 2, 2, 4, 8].map(&mut maybe);
        let [
            batches,
            keys,
            conditions,
            written,
            large,
            quotes,
            closes,
            drops,
            compactions,
            deletions,
            readers,
            polite,
            full_scans,
            no_auto_repair,
        ] = kinds;
        Self {
            processes: choices.one_of(&[2, 3, 1, 4]),
            sessions: choices.one_of(&[1, 1, 2]),
            operations: choices.one_of(&[2, 4, 8, 14]),
            switch: choices.one_of(&[3, 8, 2, 20]),
            checkpoint_bytes: choices.one_of(&[1 << 20, 1000, 300]),
            batches,
            keys,
            conditions,
            written,
            large,
            quotes,
            closes,
            drops,
            compactions,
            deletions,
            readers,
            polite,
            full_scans,
            no_auto_repair,
        }
    }
}
