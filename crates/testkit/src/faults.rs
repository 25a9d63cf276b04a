//! Which faults and operations a run has, drawn at its beginning: runs with few kinds of either go
//! deeper than runs with all of them (swarm testing: Groce et al., ISSTA 2012).

use crate::choices::Choices;

/// How often each kind of fault comes: once in so many chances for it, zero for never.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a kind of fault, drawn by itself")]
pub(crate) struct Faults {
    /// The run is about openers that settle.
    pub(crate) settling: bool,
    /// A process is killed. Chances: its steps.
    pub(crate) kill: u32,
    /// A process is stopped, and continued later. Chances: its steps.
    pub(crate) stop: u32,
    /// The power fails for the whole machine. Chances: steps.
    pub(crate) power: u32,
    /// A write is cut short by a signal or a limit. Chances: writes.
    pub(crate) short: u32,
    /// The disk is full, and has room again later. Chances: steps.
    pub(crate) no_space: u32,
    /// A child that inherited the open file writes through it too, right behind its parent: so the
    /// descriptor's position tells the parent a place that is not its own (H21). Chances: writes.
    pub(crate) shared: u32,
    /// A write, read or sync fails with EIO. Chances: each of them.
    pub(crate) write_error: u32,
    pub(crate) read_error: u32,
    pub(crate) sync_error: u32,
    /// Pages whose sync failed leave the memory: what was last on the disk is read. Chances: steps.
    pub(crate) evict: u32,
    /// The system writes some pages back by itself. Chances: steps.
    pub(crate) write_back: u32,
    /// A bit is flipped in a frame. Chances: steps.
    pub(crate) flip: u32,
    /// A block is zeroed. Chances: steps.
    pub(crate) zero: u32,
    /// A stranger cuts the file. Chances: steps.
    pub(crate) cut: u32,
    /// Some fault destroys, or has destroyed, bytes that were safe.
    pub(crate) damages: bool,
    /// Damage hits the header page, and nothing else: with an opening gone too, nothing would tell
    /// the salt any more (H17).
    pub(crate) header: bool,
    /// A stranger moves a journal away, removes it, or puts an older copy of it into its place.
    /// Chances: steps.
    pub(crate) stranger: u32,
    /// A header slot is lost, or comes back as it was earlier. Chances: steps.
    pub(crate) slot: u32,
    /// A frame becomes visible page by page while it is written.
    pub(crate) paged: bool,
    /// … and its length before its bytes (kernels before January 2024, review H20).
    pub(crate) zeros_first: bool,
    /// Reads that see a length before the bytes.
    pub(crate) stale: u32,
    /// A sync takes a while, and covers what was there when it began.
    pub(crate) slow_sync: bool,
    /// Owners' processes cannot be looked at from one another (containers).
    pub(crate) foreign: bool,
    /// Bytes of a page of the simulated system.
    pub(crate) page: usize,
}

/// What the processes of a run do.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a kind of operation, drawn by itself")]
pub(crate) struct Workload {
    /// How many there are.
    pub(crate) processes: usize,
    /// How many sessions they share.
    pub(crate) sessions: usize,
    /// How many operations each of them has.
    pub(crate) operations: u32,
    /// The scheduler changes to another process once in so many steps.
    pub(crate) switch: u32,
    /// The size of the stretches between checkpoints, in bytes.
    pub(crate) checkpoint_bytes: u64,
    /// The kinds of operations.
    pub(crate) batches: bool,
    pub(crate) keys: bool,
    pub(crate) conditions: bool,
    pub(crate) written: bool,
    pub(crate) large: bool,
    pub(crate) quotes: bool,
    pub(crate) closes: bool,
    pub(crate) drops: bool,
    pub(crate) compactions: bool,
    pub(crate) deletions: bool,
    pub(crate) readers: bool,
    pub(crate) followers: bool,
    pub(crate) polite: bool,
    pub(crate) full_scans: bool,
    pub(crate) no_auto_repair: bool,
    /// Whoever has nothing else to do opens.
    pub(crate) openings: bool,
}

fn rate(choices: &mut Choices, on_once_in: u32, rates: &[u32]) -> u32 {
    if choices.once_in(on_once_in) { choices.one_of(rates) } else { 0 }
}

impl Faults {
    /// Draws them.
    pub(crate) fn draw(choices: &mut Choices) -> Self {
        let often = &[64, 24, 8];
        let rare = &[400, 150, 50];
        let damages = choices.once_in(4);
        let header = choices.once_in(8);
        let damaging = |choices: &mut Choices| if damages { rate(choices, 2, rare) } else { 0 };
        let sync_error = rate(choices, 4, often);
        // What of a file without a name is not safe is not asked then.
        let stranger = if damages || sync_error > 0 { 0 } else { rate(choices, 6, rare) };
        // Frames become visible as late as can be, between owners who displace each other.
        let late = choices.once_in(16);
        let drawn = Self {
            stranger,
            kill: rate(choices, 2, rare),
            stop: rate(choices, 2, often),
            power: rate(choices, 3, &[800, 300, 100]),
            short: rate(choices, 4, often),
            no_space: rate(choices, 4, rare),
            shared: rate(choices, 8, often),
            write_error: rate(choices, 5, often),
            read_error: rate(choices, 6, rare),
            sync_error,
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
            stale: rate(choices, 4, often),
            slow_sync: choices.once_in(2),
            foreign: choices.once_in(4),
            page: choices.one_of(&[4096, 512, 64]),
            settling: false,
        };
        if choices.once_in(10) {
            return drawn.of_openers_that_settle(choices);
        }
        if late {
            return Self { paged: true, zeros_first: true, stale: 8, page: 64, shared: 8, ..drawn };
        }
        drawn
    }

    /// Syncs fail, what they left leaves the memory, and whoever opens is stopped in the midst of it; next
    /// to nothing else.
    fn of_openers_that_settle(self, choices: &mut Choices) -> Self {
        Self {
            settling: true,
            sync_error: choices.one_of(&[16, 8]),
            evict: choices.one_of(&[16, 4]),
            stop: choices.one_of(&[16, 6]),
            power: rate(choices, 2, &[100, 30]),
            slow_sync: self.slow_sync,
            foreign: self.foreign,
            page: choices.one_of(&[512, 64]),
            ..Self::default()
        }
    }

    /// No byte that was safe is destroyed from now on.
    pub(crate) fn no_more_damage(&mut self) {
        (self.flip, self.zero, self.cut) = (0, 0, 0);
    }
}

impl Workload {
    /// Draws it.
    pub(crate) fn draw(choices: &mut Choices, faults: &Faults) -> Self {
        let drawn = Self::drawn(choices);
        if !faults.settling {
            return drawn;
        }
        Self {
            processes: choices.one_of(&[3, 4]),
            sessions: 1,
            operations: choices.one_of(&[4, 8]),
            switch: choices.one_of(&[2, 4]),
            checkpoint_bytes: 1 << 20,
            keys: true,
            closes: true,
            drops: true,
            openings: true,
            ..Self::default()
        }
    }

    fn drawn(choices: &mut Choices) -> Self {
        let mut maybe = |n| choices.once_in(n);
        let kinds = [2, 2, 2, 2, 3, 4, 2, 2, 3, 6, 2, 2, 2, 4, 8].map(&mut maybe);
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
            followers,
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
            followers,
            polite,
            full_scans,
            no_auto_repair,
            openings: false,
        }
    }
}
