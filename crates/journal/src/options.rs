//! Settings, each with its unit, its default and what it costs.

use std::sync::Arc;
use std::time::Duration;

use crate::host::{Host, LocalHost};
use crate::storage::{Disk, LocalDisk};

/// When an append is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// After `fdatasync`: survives power loss. The default.
    #[default]
    Durable,
    /// After the write: survives a crash of the process, not power loss. A sync follows within
    /// [`Options::sync_interval`] or [`Options::sync_bytes`], whichever is first. A power loss
    /// before it may take some records of a batch and leave others, with a gap that is told.
    Written,
}

/// Whether an opening may take a journal that another owner has not released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Takeover {
    /// Always; the owner so far is fenced at its next append, hung or not.
    Always,
    /// Only if its owner is provably gone: same host, boot and pid namespace, and the process is
    /// dead or another one. What cannot be told counts as held. The default.
    #[default]
    IfGone,
    /// Only if it was released.
    Never,
}

/// How to open a journal for writing.
#[derive(Clone, Debug)]
pub struct Options {
    /// When an append is acknowledged, unless it says otherwise. Default: `Durable`.
    pub durability: Durability,
    /// Whether an unreleased journal may be taken. Default: `IfGone`.
    pub takeover: Takeover,
    /// Open a journal with holes without asking. Default: true. Where false, a journal with holes
    /// that nobody has reported yet answers `NeedsRepair` and is left as it is.
    pub auto_repair: bool,
    /// Read the whole file when opening instead of starting at the last checkpoint. Default: false.
    /// Costs a full read, and finds damage in the history too.
    pub full_scan: bool,
    /// What this owner says about itself, at most 255 bytes. Default: empty.
    pub label: String,
    /// Largest payload of a record in bytes. Default: 256 MiB; at most 1 GiB.
    pub record_bytes_max: u64,
    /// Largest batch in bytes on disk. Default: 1 GiB, which is also the most.
    pub batch_bytes_max: u64,
    /// A checkpoint is written when this many bytes were appended since the last. Default: 4 MiB.
    /// Smaller: openings after a crash read less, the file grows a little faster.
    pub checkpoint_bytes: u64,
    /// … or when this many records were appended since the last. Default: 4,096.
    pub checkpoint_records: u64,
    /// The longest that a written record waits for its sync while the owner is active.
    /// Default: 1 s.
    pub sync_interval: Duration,
    /// The most written bytes that wait for a sync. Default: 4 MiB.
    pub sync_bytes: u64,
    /// How often two willing takers try again before giving up, with random pauses of up to an eighth
    /// of a second in between. Default: 64.
    pub claim_attempts: u32,
    /// Write on a network or FUSE file system all the same. Default: false. The protocol stands on
    /// the atomic append order of a local file system.
    pub allow_any_filesystem: bool,
    /// The file operations. Default: this machine's.
    pub disk: Arc<dyn Disk>,
    /// Clock, randomness, and who we are. Default: this machine's.
    pub host: Arc<dyn Host>,
}

impl Options {
    /// The largest payload that can be allowed: 1 GiB.
    pub const RECORD_BYTES_LIMIT: u64 = 1 << 30;
    /// The largest batch that can be allowed: 1 GiB and a little for the frames around it.
    pub const BATCH_BYTES_LIMIT: u64 = (1 << 30) + (1 << 20);
    /// The largest payload by default: 256 MiB.
    pub const RECORD_BYTES_DEFAULT: u64 = 256 << 20;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            takeover: Takeover::default(),
            auto_repair: true,
            full_scan: false,
            label: String::new(),
            record_bytes_max: Self::RECORD_BYTES_DEFAULT,
            batch_bytes_max: Self::BATCH_BYTES_LIMIT,
            checkpoint_bytes: 4 << 20,
            checkpoint_records: 4096,
            sync_interval: Duration::from_secs(1),
            sync_bytes: 4 << 20,
            claim_attempts: 64,
            allow_any_filesystem: false,
            disk: Arc::new(LocalDisk),
            host: Arc::new(LocalHost),
        }
    }
}

/// What one append asks for beyond its records.
#[derive(Clone, Debug, Default)]
pub struct AppendOptions {
    /// When to acknowledge; the journal's own setting where absent.
    pub durability: Option<Durability>,
    /// What must not have come in between.
    pub expect: Expect,
    /// Store a record although its key is there already. For copies of foreign histories, whose
    /// ids are not unique; look-ups by key then find the first one. Default: false.
    pub allow_duplicate_keys: bool,
    /// Store a keyed record although damage may hide an earlier one of that key. Default: false;
    /// then such an append answers `Unknown`.
    pub ignore_gaps: bool,
}

/// The condition of a conditional append. A turn takes a mark before its prompt and appends its
/// answer under one of these.
#[derive(Clone, Debug, Default)]
pub enum Expect {
    /// None: append at the end, whatever came.
    #[default]
    Anything,
    /// No record at all came since the mark.
    NothingSince(crate::record::Mark),
    /// Only records of these kinds came since the mark.
    OnlyKindsSince(crate::record::Mark, Vec<String>),
    /// The last record is this one.
    LastIs(crate::position::Sequence),
}

impl Expect {
    /// The last record that it knows of; zero for none.
    pub(crate) fn sequence(&self) -> crate::position::Sequence {
        match self {
            Self::Anything => crate::position::Sequence::ZERO,
            Self::NothingSince(mark) | Self::OnlyKindsSince(mark, _) => mark.sequence,
            Self::LastIs(sequence) => *sequence,
        }
    }
}
