//! session journal
mod actor;
mod append;
mod background;
mod chain;
mod error;
mod follow;
mod fork;
pub mod format;
mod handles;
mod host;
mod identity;
mod index;
mod inspect;
mod journal;
mod locate;
mod name;
mod opening;
mod options;
mod pool;
mod position;
mod reader;
mod record;
mod repair;
mod replace;
mod report;
mod scan;
mod session;
pub mod storage;
mod store;
mod survey;
mod ticker;
mod timer;
mod watch;
mod window;
mod writer;

pub use error::{Came, Cause, Error, ErrorKind, Rejected, Result};
pub use follow::Follower;
pub use host::{Host, LocalHost};
pub use identity::{Incarnation, InvalidJournalId, JournalId, Liveness, Owner};
pub use inspect::{HistoryEvent, HistoryKind, Info, State, Verification, history, info, verify};
pub use journal::Journal;
pub use name::{EXTENSION, InvalidName, SessionName};
pub use options::{AppendOptions, Durability, Expect, Options, Takeover};
pub use position::{Generation, Offset, Sequence};
pub use reader::{Backwards, GapBackwards, GapRecords, Item, PathToRoot, Reader, Records};
pub use record::{Appended, Gap, Mark, NewRecord, Record, Verdict};
pub use replace::Compaction;
pub use report::{Hole, OpenReason, Opening, RepairReport};
pub use session::Session;
pub use store::{Listed, Store, StoreOptions};

/// The program on the README's first screen, compiled as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
