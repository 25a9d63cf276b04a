//! The configurations that are explored, and the one that shows each mutation.

use crate::bounds::Bounds;
use crate::mutation::Mutation;

/// Bounds with a name.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// What it is about.
    pub name: &'static str,
    /// How large.
    pub bounds: Bounds,
}

const fn named(name: &'static str, bounds: Bounds) -> Configuration {
    Configuration { name, bounds }
}

const TAKEOVERS: Bounds =
    Bounds { opens: 2, records: 2, kills: 1, short_writes: 1, ..Bounds::NONE };
const THREE: Bounds = Bounds { processes: 3, ..TAKEOVERS };
const RELEASES: Bounds = Bounds { releases: true, records: 1, ..TAKEOVERS };
const BATCHES: Bounds = Bounds { batches: true, ..TAKEOVERS };
const QUOTES: Bounds = Bounds { quotes: true, ..TAKEOVERS };
const SEALS: Bounds = Bounds { short_writes: 0, seals: 1, lost_successors: 1, ..TAKEOVERS };
/// Writes are one step here: what power takes shows in the cells that it leaves.
const POWER: Bounds =
    Bounds { opens: 2, records: 2, cell_by_cell: false, power_losses: 1, ..Bounds::NONE };
const FAILING: Bounds = Bounds { records: 1, failing_syncs: 1, releases: true, cells: 16, ..POWER };
/// Power stays on: there is more to see of who is stopped between reading and writing again.
const SETTLING: Bounds = Bounds { records: 2, power_losses: 0, releases: false, ..FAILING };
const CHECKPOINTS: Bounds = Bounds { releases: false, checkpoints: true, ..FAILING };

/// What the tests explore.
pub const BRIEF: [Configuration; 10] = [
    named("takeovers", TAKEOVERS),
    named("three processes", THREE),
    named("releases", RELEASES),
    named("batches", BATCHES),
    named("quoted claims", QUOTES),
    named("seals", SEALS),
    named("power loss", POWER),
    named("failing syncs", FAILING),
    named("stopped while settling", SETTLING),
    named("checkpoints", CHECKPOINTS),
];

/// What takes a minute or two.
pub const USUAL: [Configuration; 10] = [
    named("takeovers", Bounds { opens: 3, ..TAKEOVERS }),
    named("three processes", Bounds { opens: 3, kills: 0, short_writes: 0, ..THREE }),
    named("releases", Bounds { records: 2, ..RELEASES }),
    named("batches", Bounds { records: 3, ..BATCHES }),
    named("quoted claims", QUOTES),
    named("seals", Bounds { opens: 3, records: 1, ..SEALS }),
    named("power loss", Bounds { opens: 3, ..POWER }),
    named("failing syncs", Bounds { opens: 3, releases: false, cells: 20, ..FAILING }),
    named("stopped while settling", Bounds { opens: 3, cells: 24, ..SETTLING }),
    named("checkpoints", Bounds { cells: 18, ..CHECKPOINTS }),
];

/// What takes a quarter of an hour or more.
pub const LONG: [Configuration; 10] = [
    named("takeovers", Bounds { opens: 4, short_writes: 0, kills: 0, ..TAKEOVERS }),
    named("three processes", Bounds { opens: 3, short_writes: 0, ..THREE }),
    named("releases", Bounds { opens: 3, short_writes: 0, ..RELEASES }),
    named("batches", Bounds { opens: 3, records: 3, kills: 0, ..BATCHES }),
    named("quoted claims", Bounds { opens: 3, ..QUOTES }),
    named("seals", Bounds { opens: 3, records: 2, ..SEALS }),
    named("power loss", Bounds { opens: 3, power_losses: 2, ..POWER }),
    named("failing syncs", Bounds { opens: 3, ..FAILING }),
    named("stopped while settling", Bounds { processes: 3, opens: 3, cells: 22, ..SETTLING }),
    named("checkpoints", Bounds { opens: 3, failing_syncs: 0, cells: 18, ..CHECKPOINTS }),
];

/// Where a mutation shows. Owners that do not see each other displace each other for ever, so files
/// are bounded here.
#[must_use]
pub fn showing(mutation: Mutation) -> Configuration {
    let Configuration { name, bounds } = shown_by(mutation);
    named(name, Bounds { cells: bounds.cells.min(30), ..bounds })
}

const fn shown_by(mutation: Mutation) -> Configuration {
    use Mutation as M;
    match mutation {
        M::FloatingSeal | M::UnlinkWithoutComparing => named("seals", SEALS),
        M::CountPartOfBatch => named("batches", BATCHES),
        M::BelieveQuotedClaims => named("quoted claims", QUOTES),
        M::GoOnBehindRelease => named("releases", RELEASES),
        M::AcknowledgeBeforeSync | M::SkipClaimSync => named("power loss", POWER),
        M::SlotRevivesClaim => named("power loss", Bounds { opens: 3, ..POWER }),
        M::SkipSettling | M::UnverifiedSettling | M::BelieveUnsoundRelease => {
            named("failing syncs", FAILING)
        }
        M::UnnamedSettling | M::PendingForgotten => named("stopped while settling", SETTLING),
        M::SettleHoles => {
            named("stopped while settling", Bounds { opens: 3, records: 1, cells: 20, ..SETTLING })
        }
        M::UnverifiedClaim => named("failing syncs", Bounds { opens: 3, records: 0, ..FAILING }),
        M::TrustCheckpointBeyondDurable => named("checkpoints", CHECKPOINTS),
        _ => named("takeovers", TAKEOVERS),
    }
}
