//! Session files of coding agents to session journals, and back, byte for byte.
//!
//! Every line of a source becomes one record whose payload is the bytes between two line feeds,
//! whatever they are: carriage returns, byte order marks, NULs, blank lines and torn JSON stay as
//! they were. Kind, key, parent and time are read from the line where its format has them, and are
//! only an index to it. A receipt behind the records says which bytes they came from, so that an
//! import can be run again at any time: it does nothing, or goes on where the last one stopped.
//! [`Export`] gives the source back, [`Tree`] all of them under their names.
//!
//! What is known of a session beside its lines (its key, model and counters, and where it comes
//! from) is kept beside the receipt: see [`Attributes`] and [`Catalogue`]. A file that is no lines
//! is kept whole, a record for each of its versions.
//!
//! Each program that writes sessions is a [`Source`]: it finds its files, identifies its lines,
//! reads what holds several sessions, and maps what a line says.
//!
//! ```no_run
//! use session_journal_import::{Import, ImportOptions};
//!
//! let import = Import::new("sessions", ImportOptions::default());
//! let summary = import.run(&["old".into()], &mut |report| assert!(report.error.is_none()));
//! assert_eq!(summary.failed, 0);
//! ```
//!
//! A source is opened read-only and never changed, moved or locked.

mod attempt;
mod attributes;
mod batch;
mod catalogue;
mod clean;
mod content;
mod control;
mod copy;
mod damage;
mod discover;
mod doctor;
mod edit;
mod error;
mod export;
mod fingerprint;
mod format;
mod import;
mod lineage;
mod lines;
mod mapper;
mod naming;
mod object;
mod offer;
mod original;
mod place;
mod receipt;
mod report;
mod role;
mod rollback;
mod sample;
mod shell;
mod sources;
mod space;
mod stored;
mod tree;
mod turn;
mod whole;
mod worker;

pub use attributes::{ATTRIBUTES_KIND, Attributes};
pub use catalogue::{Catalogue, Entry, Step};
pub use clean::{Cleaned, write_clean};
pub use content::Content;
pub use control::Control;
pub use damage::{Damage, Oddity};
pub use doctor::{Code, Doctor, Finding, Severity};
pub use error::{Error, Problem, Result};
pub use export::{Export, Exported};
pub use format::{Format, UnknownFormat};
pub use import::{Import, ImportOptions, Plan};
pub use lineage::{Lineage, Relation};
pub use object::Object;
pub use offer::{Offer, offers};
pub use place::readable;
pub use receipt::{RECEIPT_KIND, Receipt, TOOL_KIND_PREFIX};
pub use report::{Outcome, SourceReport, Summary};
pub use role::{Role, Shape};
pub use rollback::{RolledBack, is_cut_short, roll_back};
pub use shell::{command, shell_path, shell_word};
pub use sources::{
    Copies, Facts, Find, Mapped, Opened, Part, Registries, Registry, Source, source_of,
};
pub use space::Space;
pub use tree::{Leaf, Tree};
