//! A sample on a bench: copies of it are damaged in every way and looked at.

use std::path::{Path, PathBuf};

use session_journal::Options;
use session_journal::format::FrameKind;
use tempfile::TempDir;

use super::checks;
use super::sample::{Ending, Sample, Span};

/// A sample, and a file for its damaged copies.
pub(crate) struct Bench {
    _folder: TempDir,
    pub(crate) sample: Sample,
    copy: PathBuf,
}

impl Bench {
    pub(crate) fn new(make: impl FnOnce(&Path) -> Sample) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sample = make(folder.path());
        let copy = folder.path().join("copy.journal");
        Self { _folder: folder, sample, copy }
    }

    pub(crate) fn closed() -> Self {
        Self::new(|folder| Sample::build(folder, Ending::Closed, |_| ()))
    }

    pub(crate) fn killed() -> Self {
        Self::new(|folder| Sample::build(folder, Ending::Killed, |_| ()))
    }

    /// Enough checkpoints for one that merges sixteen.
    pub(crate) fn indexed() -> Self {
        let often = |options: &mut Options| {
            options.checkpoint_records = 2;
            options.sync_bytes = 1;
        };
        Self::new(|folder| Sample::build(folder, Ending::Closed, often))
    }

    pub(crate) fn len(&self) -> usize {
        self.sample.bytes.len()
    }

    pub(crate) fn put(&self, bytes: &[u8]) -> &Path {
        std::fs::write(&self.copy, bytes).expect("write a copy");
        &self.copy
    }

    pub(crate) fn readers(&self, damaged: &[u8], what: &str) {
        checks::readers(&self.sample, self.put(damaged), damaged, what);
    }

    /// At every byte the forward reader and `verify` look; at every 16th, and at and beside the
    /// boundaries, the others too.
    pub(crate) fn every_byte(&self, what: &str, damage: impl Fn(usize) -> Vec<u8>) {
        let closer = self.sample.places(16);
        for at in 0..self.len() {
            let (damaged, what) = (damage(at), format!("{what} at {at}"));
            if closer.contains(&at) {
                self.readers(&damaged, &what);
            } else {
                checks::forwards(&self.sample, self.put(&damaged), &damaged, &what);
            }
        }
    }

    pub(crate) fn owner(&self, damaged: &[u8], what: &str) {
        checks::owner(&self.sample, self.put(damaged), damaged, what);
    }

    pub(crate) fn flipped(&self, at: usize) -> Vec<u8> {
        let mut damaged = self.sample.bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        damaged
    }

    pub(crate) fn zeroed(&self, at: usize, len: usize) -> Vec<u8> {
        let mut damaged = self.sample.bytes.clone();
        let end = (at + len).min(damaged.len());
        damaged[at..end].fill(0);
        damaged
    }

    /// The frames of records, in order.
    pub(crate) fn record(&self, sequence: u64) -> &Span {
        let is = |span: &&Span| span.is_record() && span.header.sequence == sequence;
        self.sample.frames.iter().find(is).expect("the sample has it")
    }

    pub(crate) fn frame(&self, kind: FrameKind, generation: u64) -> &Span {
        let is = |span: &&Span| span.header.kind == kind && span.header.generation == generation;
        self.sample.frames.iter().find(is).expect("the sample has it")
    }
}
