//! Claims that others have built on, and that were lost before they were durable: their sync failed,
//! or power went. What the exhaustive model found (`crates/model`: `UnverifiedClaim`), on a file.

mod support;

use std::ops::Range;
use std::path::Path;

use session_journal::format::{FrameKind, PAGE_LEN};
use session_journal::{ErrorKind, Journal, Options};
use support::disk::{EIO, FaultDisk, Op};
use support::{Bench, by_force, cut, frames, last_frame, options_on, overwrite, record};

/// Claims the next generation and goes no further: the sync of its claim fails. Gives where the
/// claim stands.
fn claim_and_go(path: &Path) -> Range<u64> {
    let disk = FaultDisk::new();
    disk.fail(Op::Sync, 1, EIO);
    let options = Options { disk: options_on(&disk).disk, ..by_force("gone") };
    assert_eq!(Journal::open(path, &options).unwrap_err().kind(), ErrorKind::Io);
    let (at, claim) = frames(path).into_iter().rfind(|(_, f)| f.kind == FrameKind::Claim).unwrap();
    at..at + claim.frame_len()
}

fn lose(path: &Path, range: &Range<u64>) {
    let len = usize::try_from(range.end - range.start).unwrap();
    overwrite(path, range.start, &vec![0; len]);
}

/// A released journal behind whose release a claim stands that was never durable; gives where.
fn released_and_claimed(bench: &Bench) -> Range<u64> {
    let mut first = bench.create();
    first.append(&record("one")).unwrap();
    first.close().unwrap();
    bench.disk.forget_calls();
    claim_and_go(&bench.path)
}

/// How often an opener of such a journal has read when it begins to settle.
fn reads_until_settling() -> u64 {
    let bench = Bench::new();
    released_and_claimed(&bench);
    bench.open().unwrap();
    let calls = bench.disk.calls();
    let settles = calls.iter().position(|call| call.op == Op::WriteAt).unwrap();
    calls[..settles].iter().filter(|call| call.op == Op::ReadAt).count() as u64
}

/// I8, H9, H11: behind a sound release too, what a claim counts by is made durable with it.
#[test]
fn a_generation_that_was_opened_is_not_claimed_again_where_the_claim_before_it_was_lost() {
    let bench = Bench::new();
    let base = released_and_claimed(&bench);
    let page = bench.bytes()[..usize::try_from(PAGE_LEN).unwrap()].to_vec();

    // The page of the claim that could not be synced leaves the memory once the next one has won.
    let path = bench.path.clone();
    bench.disk.before(Op::ReadAt, reads_until_settling(), move || lose(&path, &base));
    let opened = bench.open().unwrap();
    let generation = opened.generation();
    drop(opened);

    // Power takes the opening and the slot, which were not synced.
    let opening = last_frame(&bench.path, FrameKind::Opening);
    assert_eq!(opening.generation, generation.get());
    cut(&bench.path, opening.offset);
    overwrite(&bench.path, 0, &page);
    let next = Journal::open(&bench.path, &by_force("next")).unwrap();
    assert!(next.generation() > generation, "{} again behind {generation}", next.generation());
}
