//! Schedules around one append: what came before it, what it is told, and what it asked for.

use session_journal::format::FrameKind;
use session_journal::{AppendOptions, ErrorKind, Expect, NewRecord, Options, Reader, Sequence};

use super::Outcome;
use super::told::{Told, claim_only, must, owned, take_without_slot, taker};
use crate::support::disk::{EIO, Op};
use crate::support::power::PowerDisk;
use crate::support::{Bench, damage, expecting, last_frame, options_on, record, scribble};

/// Bytes that nobody knows come in right before the next append.
fn displace(bench: &Bench) {
    let path = bench.path.clone();
    bench.disk.before(Op::Append, 1, move || scribble(&path, b"rubbish"));
}

/// I7: an owner that was displaced looks; before it has its new tail it is taken over.
pub(crate) fn a_takeover_between_the_look_and_the_tail() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut old) = owned(&bench);
    displace(&bench);
    let (_other, hook) = taker(&bench);
    bench.disk.after(Op::Len, 1, hook);
    told.append(&mut old, "late");
    told.is_there(&bench.path)
}

/// I7.
pub(crate) fn foreign_bytes_right_before_an_append() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut journal) = owned(&bench);
    displace(&bench);
    told.append(&mut journal, "three");
    told.append(&mut journal, "four");
    told.is_there(&bench.path)
}

/// H2: half of a claim is visible while a displaced owner looks, and half of an opening the next
/// time. In between the owner's bytes land behind the whole of each.
pub(crate) fn a_claim_and_an_opening_seen_by_halves() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut old) = owned(&bench);
    displace(&bench);
    let (path, disk) = (bench.path.clone(), bench.disk.clone());
    bench.disk.after(Op::Append, 1, move || {
        let (start, _) = claim_only(&path);
        disk.show_up_to(Some(start + 40));
    });
    let (path, disk) = (bench.path.clone(), bench.disk.clone());
    bench.disk.after(Op::Append, 2, move || {
        drop(take_without_slot(&path));
        disk.show_up_to(Some(last_frame(&path, FrameKind::Opening).offset + 40));
    });
    for nth in [2, 3] {
        let disk = bench.disk.clone();
        bench.disk.before(Op::Append, nth, move || disk.show_up_to(None));
    }
    told.append(&mut old, "late");
    told.is_there(&bench.path)
}

/// H20: a reader without a lock sees old zeros where a whole takeover stands; the next append lands
/// right behind it.
pub(crate) fn a_takeover_that_was_read_as_zeros() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut old) = owned(&bench);
    displace(&bench);
    let (path, disk) = (bench.path.clone(), bench.disk.clone());
    bench.disk.after(Op::Append, 1, move || {
        let start = std::fs::metadata(&path).unwrap().len();
        drop(take_without_slot(&path));
        disk.blank(Some(start..std::fs::metadata(&path).unwrap().len()));
    });
    let disk = bench.disk.clone();
    bench.disk.before(Op::Append, 2, move || disk.blank(None));
    told.append(&mut old, "late");
    told.is_there(&bench.path)
}

/// H21: the record stands at the offset that its append was told.
pub(crate) fn a_descriptor_that_lies_about_the_position() -> Outcome {
    let (bench, disk) = (Bench::new(), PowerDisk::default());
    let options = Options { disk: std::sync::Arc::new(disk.clone()), ..Options::default() };
    let mut journal = bench.create_with(&options);
    disk.lie_by(10);
    let appended = journal.append(&record("one")).unwrap();
    let found = Reader::open(&bench.path).unwrap().get(appended.sequence).unwrap();
    let found = found.map(|record| record.offset);
    must(found == Some(appended.offset), || {
        format!("acknowledged at {}, found at {found:?}", appended.offset)
    })
}

/// H10, A7: what cannot be read is not what is not there.
pub(crate) fn a_read_error_while_looking_who_came() -> Outcome {
    for nth in 1..=4 {
        let bench = Bench::new();
        let (mut told, mut old) = owned(&bench);
        let (_other, hook) = taker(&bench);
        bench.disk.before(Op::Append, 1, hook);
        bench.disk.fail(Op::ReadAt, nth, EIO);
        told.append(&mut old, "late");
        told.is_there(&bench.path)?;
    }
    Ok(())
}

pub(crate) fn a_condition_that_does_not_hold() -> Outcome {
    let bench = Bench::new();
    let (_, mut journal) = owned(&bench);
    let one = expecting(Expect::LastIs(Sequence::new(1)));
    let answer = journal.append_all(&[record("behind the first")], &one);
    must(answer.is_err(), || "stored behind another record than expected".to_owned())
}

/// H22: the record is there, so nobody may be told that it is not.
pub(crate) fn a_sync_that_fails_behind_a_write() -> Outcome {
    let bench = Bench::new();
    let (mut told, mut journal) = owned(&bench);
    bench.disk.fail(Op::Sync, 1, EIO);
    told.append(&mut journal, "three");
    told.is_there(&bench.path)
}

fn keyed() -> NewRecord {
    record("once").key("key")
}

/// H22: the record was acknowledged, and nobody can see any more that it was.
pub(crate) fn a_key_whose_record_is_damaged() -> Outcome {
    let bench = Bench::new();
    let mut journal = bench.create();
    let first = journal.append(&keyed()).unwrap();
    journal.append(&record("two")).unwrap();
    journal.close().unwrap();
    damage(&bench.path, first.offset.get() + 20);
    let again = bench.open().unwrap().append(&keyed());
    must(again.is_err_and(|error| error.kind() == ErrorKind::Unknown), || {
        "a key that was acknowledged is stored again".to_owned()
    })
}

/// H22: the append that nobody answered is tried again by whoever comes next.
pub(crate) fn a_retry_by_the_next_owner() -> Outcome {
    let bench = Bench::new();
    let mut journal = bench.create();
    bench.disk.fail(Op::Sync, 1, EIO);
    assert!(journal.append(&keyed()).is_err());
    drop(journal);
    let mut told = Told::default();
    let mut next = session_journal::Journal::open(&bench.path, &options_on(&bench.disk)).unwrap();
    told.all(&mut next, &[keyed()], &AppendOptions::default());
    told.is_there(&bench.path)
}
