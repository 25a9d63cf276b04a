//! How large a configuration is, and which faults it has.

/// What may happen in one exploration, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fault or operation, on or off")]
pub struct Bounds {
    /// Processes; the first one owns the journal when it begins.
    pub processes: u8,
    /// How often one may open for writing, all together, behind the first one's creating it.
    pub opens: u8,
    /// Records that may be appended, all together.
    pub records: u8,
    /// A frame becomes visible cell by cell; otherwise a write is one step.
    pub cell_by_cell: bool,
    /// Kills, of any process at any step.
    pub kills: u8,
    /// Writes cut short by a full disk.
    pub short_writes: u8,
    /// Owners release.
    pub releases: bool,
    /// Two records go into one batch, or into one write as two batches.
    pub batches: bool,
    /// Payloads quote claims.
    pub quotes: bool,
    /// Compactions, deletions.
    pub seals: u8,
    /// A stranger removes a compacted file before it is in its place.
    pub lost_successors: u8,
    /// Power losses: any subset of what is not synced is lost.
    pub power_losses: u8,
    /// Syncs that fail, and leave pages that are called clean.
    pub failing_syncs: u8,
    /// Checkpoints, each owner one.
    pub checkpoints: bool,
    /// Longer files are not looked at: two processes of which neither can see the other's claim any
    /// more, because a page of it was dropped, may displace each other for ever.
    pub cells: u8,
}

impl Bounds {
    /// Nothing but owners and takeovers.
    pub const NONE: Self = Self {
        processes: 2,
        opens: 1,
        records: 1,
        cell_by_cell: true,
        kills: 0,
        short_writes: 0,
        releases: false,
        batches: false,
        quotes: false,
        seals: 0,
        lost_successors: 0,
        power_losses: 0,
        failing_syncs: 0,
        checkpoints: false,
        cells: u8::MAX,
    };

    /// Whether syncs mean anything: what was not synced may be lost.
    #[must_use]
    pub const fn has_power(&self) -> bool {
        self.power_losses + self.failing_syncs > 0
    }
}
