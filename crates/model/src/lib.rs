//! The protocol as a model that is explored exhaustively within bounds: every interleaving of a few
//! processes, each stopped, killed or cut short anywhere, on files of a few frames.
//!
//! One file is a sequence of *cells*. A frame takes two; each becomes visible by itself, and each is
//! lost or kept by itself when power goes. What the engine computes with bytes and checksums is
//! here a comparison of cells. The rest is the engine's: the rule of evidence ([`scan`]), the
//! compare-and-swap on the tail (`appending`), the one on the generation (`takeover`), seals and
//! names (`names`), syncs and what they leave behind (`power`).
//!
//! [`properties`] says what must hold. [`Mutation`] breaks one rule at a time; each must make a
//! property fail, or the model would not be able to tell.
//!
//! What it leaves out: policies (they stand above the mechanism: everybody always takes), bytes that
//! change or vanish without a power loss or a failed sync, pages of one failed sync that leave the
//! memory one by one (they go together), shared descriptors, lists of holes, the index, the one
//! look that is repeated for kernels that show a length before the bytes (H20).

mod appending;
mod bounds;
pub mod configurations;
pub mod explore;
mod file;
mod frame;
mod model;
mod mutation;
mod names;
mod power;
mod process;
pub mod properties;
pub mod scan;
mod takeover;
mod world;

pub use bounds::Bounds;
pub use file::{File, Medium, Slot};
pub use frame::{Author, Cell, Frame, Kind};
pub use model::{Action, Protocol};
pub use mutation::Mutation;
pub use process::{Draft, Phase, Process, Purpose};
pub use world::World;
