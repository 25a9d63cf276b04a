//! One append-only journal per agent session.
//!
//! A journal is one file. One owner at a time appends to it; who that is stands in the file itself,
//! as a *generation*. Taking a journal over is one append, a compare-and-swap on the generation;
//! appending is a compare-and-swap on the tail. So there is no lock file, no lease and no
//! heartbeat: an owner that hangs, or comes back from a stop, is *fenced* at its next append and
//! told by whom, and what it wrote too late is seen by nobody. Nothing that was written is ever
//! overwritten or cut off.
//!
//! ```
//! use session_journal::{Journal, NewRecord, Options, Reader, SessionName};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("chat.journal");
//! let name = SessionName::new(Some("main"), "chat")?;
//! let mut journal = Journal::create(&path, &name, &Options::default())?;
//! journal.append(&NewRecord::new(r#"{"role":"user"}"#).kind("message").key("m1"))?;
//! let again = journal.append(&NewRecord::new(r#"{"role":"user"}"#).key("m1"))?;
//! assert!(again.duplicate);
//! journal.close()?;
//!
//! let mut journal = Journal::open(&path, &Options::default())?;
//! journal.append(&NewRecord::new(r#"{"role":"assistant"}"#).parent("m1"))?;
//! for record in Reader::open(&path)?.records() {
//!     println!("{:?}", record?.payload);
//! }
//! # journal.close()?; Ok(()) }
//! ```
//!
//! # What survives when an append returns
//!
//! | | the process is killed | power is lost | the disk is full | a sync fails |
//! |---|---|---|---|---|
//! | [`Durability::Durable`] | stored | stored | `NoSpace`, not stored, the owner goes on | `Unknown`: open again and look |
//! | [`Durability::Written`] | stored | the last second or few MiB may go | the same | the next append says so |
//!
//! A batch is stored whole or not at all. A record with a key is stored once, however often its
//! append is tried.
//!
//! # Where to begin
//!
//! - [`Journal`]: the synchronous owner of one file.
//! - [`Store`] and [`Session`]: a folder of journals and clonable async handles, many producers on
//!   one session; [`Session::mark`] and [`Expect`] for turns that think while others write.
//! - [`Reader`] and [`Follower`]: forwards, backwards, by sequence, by key, along the parents, and
//!   as it grows; read-only, beside a living writer, from any process.
//! - [`info`], [`verify`], [`history`]: who owns a journal, whether it is sound, what happened to it.
//! - [`ErrorKind`]: what can go wrong, and its stable codes.
//!
//! # What it stands on
//!
//! Appends to one file by several processes are ordered by the kernel (`O_APPEND` on a local file
//! system), what is written is seen by every reader, and `fdatasync` does what it says. On network
//! and FUSE file systems opening for writing is refused. Linux is what is tested.

/// The code in the embedding guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct EmbeddingGuide;

mod actor;
mod ahead;
mod answer;
mod append;
mod background;
mod backwards;
mod chain;
mod creating;
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
#[cfg(not(feature = "mutations"))]
mod mutation;
#[cfg(feature = "mutations")]
#[doc(hidden)]
pub mod mutation;
mod name;
mod opening;
mod options;
mod path;
mod pool;
mod position;
mod reader;
mod record;
mod records;
mod repair;
mod replace;
mod report;
mod scan;
mod session;
mod settling;
mod sound;
pub mod storage;
mod store;
mod survey;
mod sync;
mod takeover;
mod ticker;
mod timer;
mod view;
mod watch;
mod window;
mod writer;

pub use backwards::{Backwards, GapBackwards};
pub use error::{Came, Cause, Error, ErrorKind, Rejected, Result};
pub use follow::Follower;
pub use host::{Host, LocalHost};
pub use identity::{Incarnation, InvalidJournalId, JournalId, Liveness, Owner};
pub use inspect::{
    HistoryEvent, HistoryKind, Info, State, Verification, history, info, verify, verify_with,
};
pub use journal::Journal;
pub use name::{EXTENSION, InvalidName, SessionName};
pub use options::{AppendOptions, Durability, Expect, Options, Takeover};
pub use path::PathToRoot;
pub use position::{Generation, Offset, Sequence};
pub use reader::Reader;
pub use record::{Appended, Gap, Mark, NewRecord, Record, RecordRef, Verdict};
pub use records::{GapRecords, Records};
pub use replace::Compaction;
pub use report::{Hole, OpenReason, Opening, RepairReport};
pub use session::Session;
pub use store::{Listed, Store, StoreOptions};
pub use view::{Item, ItemRef};

/// The program on the README's first screen, compiled as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
