//! What the fuzz targets of the engine check, one target a file, and what they share.
#![allow(dead_code, reason = "a fuzz target runs one of the checks")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "an input is decoded into whatever fits of its numbers"
)]

pub(crate) mod canary;
pub(crate) mod frame;
pub(crate) mod open;
pub(crate) mod operations;
pub(crate) mod page;
pub(crate) mod scan;

mod edits;
mod frames;
mod host;
mod memory;
mod model;
mod readers;
