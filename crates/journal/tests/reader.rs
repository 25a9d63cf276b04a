//! Reading beside a living writer: forwards, backwards, from anywhere; strict or with gaps; behind
//! what happens to the file.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_journal::format::FrameKind;
use session_journal::{
    Cause, ErrorKind, Item, Journal, NewRecord, Options, Reader, Record, Sequence, Verdict,
};
use support::disk::{EIO, FaultDisk, Op};
use support::{
    Bench, cut, damage, frames, lazily, name, options_on, record, scribble, take_over, text,
};

fn sequences(records: impl Iterator<Item = session_journal::Result<Record>>) -> Vec<u64> {
    records.map(|one| one.unwrap().sequence.get()).collect()
}

fn numbered(bench: &Bench, count: u64) -> Journal {
    let mut journal = bench.create();
    for number in 1..=count {
        journal.append(&record(&format!("{number}")).key(format!("k{number}"))).unwrap();
    }
    journal
}

#[test]
fn an_empty_journal_reads_as_nothing_in_every_direction() {
    let bench = Bench::new();
    let journal = bench.create();
    let mut reader = Reader::open(&bench.path).unwrap();
    assert_eq!(reader.last_sequence(), Sequence::ZERO);
    assert_eq!(reader.mark(), journal.mark());
    assert_eq!(reader.records().count(), 0);
    assert_eq!(reader.backwards().count(), 0);
    assert_eq!(reader.backwards().with_gaps().count(), 0);
    for n in [0, 1, u64::MAX] {
        assert_eq!(reader.last(n).unwrap().count(), 0);
        assert_eq!(reader.records_from(Sequence::new(n.min(1 << 40))).unwrap().count(), 0);
        assert_eq!(reader.get(Sequence::new(n)).unwrap(), None);
    }
    assert_eq!(reader.records_after(&reader.mark()).unwrap().count(), 0);
    assert_eq!(reader.by_key("k").unwrap(), None);
    assert_eq!(reader.path_to_root("k").unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!reader.refresh().unwrap());
}

#[test]
fn one_record_reads_the_same_in_every_direction() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let one = record("only").kind("k").key("a").parent("none").time_ms(-5);
    let appended = journal.append(&one).unwrap();
    let reader = Reader::open(&bench.path).unwrap();
    let read = reader.get(Sequence::new(1)).unwrap().unwrap();
    assert_eq!((read.offset, read.generation), (appended.offset, appended.generation));
    assert_eq!((read.kind.as_deref(), read.time_ms), (Some("k"), -5));
    assert_eq!((read.key.as_deref(), read.parent.as_deref()), (Some("a"), Some("none")));
    assert_eq!(read.payload, one.payload);
    assert_eq!(read.mark(reader.id()), journal.mark());
    for mut way in [
        reader.records(),
        reader.last(1).unwrap(),
        reader.last(9).unwrap(),
        reader.records_from(Sequence::ZERO).unwrap(),
        reader.records_from(Sequence::new(1)).unwrap(),
    ] {
        assert_eq!(way.next().unwrap().unwrap(), read);
        assert!(way.next().is_none() && way.next().is_none());
    }
    let mut back = reader.backwards();
    assert_eq!(back.next().unwrap().unwrap(), read);
    assert!(back.next().is_none() && back.next().is_none());
    assert_eq!(reader.by_key("a").unwrap().unwrap(), read);
    assert_eq!(reader.path_to_root("a").unwrap().count(), 1, "the parent does not exist");
}

#[test]
fn many_records_read_from_any_place_in_any_direction() {
    let bench = Bench::new();
    drop(numbered(&bench, 100));
    let reader = Reader::open(&bench.path).unwrap();
    assert_eq!(sequences(reader.records()), (1..=100).collect::<Vec<_>>());
    assert_eq!(sequences(reader.backwards()), (1..=100).rev().collect::<Vec<_>>());
    for n in [1, 2, 50, 99, 100, 101, u64::MAX] {
        let first = 100_u64.saturating_sub(n) + 1;
        assert_eq!(sequences(reader.last(n).unwrap()), (first..=100).collect::<Vec<_>>());
    }
    for from in 1..=101 {
        let found = sequences(reader.records_from(Sequence::new(from)).unwrap());
        assert_eq!(found, (from..=100).collect::<Vec<_>>());
        if from <= 100 {
            let mark = reader.get(Sequence::new(from)).unwrap().unwrap().mark(reader.id());
            let behind = sequences(reader.records_after(&mark).unwrap());
            assert_eq!(behind, (from + 1..=100).collect::<Vec<_>>());
        }
    }
}

/// A loop of parents ends; a parent that stands later in the file is found.
#[test]
fn a_path_to_the_root_ends_at_a_loop_and_follows_parents_in_any_order() {
    let bench = Bench::new();
    let mut journal = bench.create();
    for (key, parent) in [("a", "c"), ("b", "a"), ("c", "b"), ("self", "self"), ("late", "later")] {
        journal.append(&record(key).key(key).parent(parent)).unwrap();
    }
    journal.append(&record("later").key("later")).unwrap();
    let reader = journal.reader().unwrap();
    let path = |key: &str| -> Vec<String> {
        reader.path_to_root(key).unwrap().map(|one| text(&one.unwrap())).collect()
    };
    assert_eq!(path("late"), ["late", "later"]);
    assert_eq!(path("self"), ["self"]);
    let looped = path("c");
    assert_eq!(&looped[..3], ["c", "b", "a"]);
    assert!(looped.len() <= 6, "a loop ends: {looped:?}");
}

/// D3: the record behind a hole is whole, and belongs to the path.
#[test]
fn a_path_to_the_root_gives_all_behind_a_hole_before_it_says_so() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let keys = ["k1", "k2", "k3", "k4", "k5"];
    for (key, parent) in keys.into_iter().zip(["none", "k1", "k2", "k3", "k4"]) {
        journal.append(&record(key).key(key).parent(parent)).unwrap();
    }
    journal.close().unwrap();
    let (at, _) = frames(&bench.path).into_iter().find(|(_, one)| one.sequence == 3).unwrap();
    damage(&bench.path, at + 81);
    let reader = Reader::open(&bench.path).unwrap();
    for (leaf, behind) in [("k5", &["k5", "k4"][..]), ("k4", &["k4"])] {
        let mut path = reader.path_to_root(leaf).unwrap();
        let given = path.by_ref().map_while(Result::ok).map(|one| text(&one));
        // What ends it is the error, which is taken by that.
        assert_eq!(given.collect::<Vec<_>>(), behind);
        assert!(path.next().is_none());
        let end = reader.path_to_root(leaf).unwrap().last().unwrap();
        assert_eq!(end.unwrap_err().kind(), ErrorKind::Unknown);
    }
}

/// D3, D4: strict stops at the gap and says where; tolerant goes on and says how much.
#[test]
fn strict_stops_at_damage_and_tolerant_steps_over_it() {
    let bench = Bench::new();
    numbered(&bench, 10).close().unwrap();
    let of = |sequence: u64| {
        let found = frames(&bench.path);
        found.into_iter().find(|(_, one)| one.sequence == sequence).unwrap()
    };
    let (at, fourth) = of(4);
    damage(&bench.path, at + 20);
    damage(&bench.path, of(5).0 + 82);
    let reader = Reader::open(&bench.path).unwrap();

    let mut strict = reader.records();
    for number in 1..=3 {
        assert_eq!(strict.next().unwrap().unwrap().sequence.get(), number);
    }
    let error = strict.next().unwrap().unwrap_err();
    let Cause::Corrupt { sequence, records, offset } = error.cause() else { panic!("{error}") };
    assert_eq!((sequence.get(), *records, offset.get()), (4, 2, at));
    assert!(strict.next().is_none());
    assert_eq!(reader.get(Sequence::new(4)).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(reader.get(Sequence::new(5)).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(reader.get(Sequence::new(6)).unwrap().unwrap().sequence.get(), 6);

    let items: Vec<Item> = reader.records().with_gaps().map(Result::unwrap).collect();
    assert_eq!(items.len(), 9);
    let Item::Gap(gap) = &items[3] else { panic!("{items:?}") };
    assert_eq!((gap.first.get(), gap.records, gap.offset.get()), (4, 2, at));
    assert_eq!(gap.bytes, of(6).0 - at);
    assert_eq!(gap.verdict, Verdict::Corrupt, "it was released, so it was durable");
    assert_eq!(fourth.frame_len() * 2, gap.bytes);
    let mut back: Vec<Item> = reader.backwards().with_gaps().map(Result::unwrap).collect();
    back.reverse();
    assert_eq!(back, items, "backwards tells the same");
    let mut strict = reader.backwards();
    assert_eq!(strict.by_ref().take(5).flatten().count(), 5);
    assert_eq!(strict.next().unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(strict.next().is_none());
}

/// A gap at the front and one at the end of what is asked for.
#[test]
fn a_gap_at_the_place_where_reading_begins_is_told() {
    let bench = Bench::new();
    numbered(&bench, 6).close().unwrap();
    for number in [1, 2] {
        let found = frames(&bench.path);
        let (at, _) = found.into_iter().find(|(_, one)| one.sequence == number).unwrap();
        damage(&bench.path, at + 81);
    }
    let reader = Reader::open(&bench.path).unwrap();
    let first = reader.records().with_gaps().next().unwrap().unwrap();
    assert!(matches!(first, Item::Gap(gap) if gap.first.get() == 1 && gap.records == 2));
    let second = reader.records_from(Sequence::new(2)).unwrap().with_gaps().next().unwrap();
    assert!(matches!(second.unwrap(), Item::Gap(gap) if gap.first.get() == 2 && gap.records == 1));
    let last = reader.backwards().with_gaps().last().unwrap().unwrap();
    assert!(matches!(last, Item::Gap(gap) if gap.first.get() == 1 && gap.records == 2));
}

/// C2: what a reader sees of a growing journal is always a prefix of it.
#[test]
fn a_reader_beside_a_living_writer_sees_a_growing_prefix() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = Reader::open(&bench.path).unwrap();
            let mut last = 0;
            loop {
                let finished = done.load(Ordering::Acquire);
                let before = reader.last_sequence().get();
                let changed = reader.refresh().unwrap();
                let found = sequences(reader.records());
                let now = found.len() as u64;
                assert_eq!(found, (1..=now).collect::<Vec<_>>());
                assert!(now >= last && now == reader.last_sequence().get());
                assert_eq!(reader.mark().sequence.get(), now);
                assert!(changed || now == before);
                last = now;
                if finished {
                    assert_eq!(last, 3000);
                    return;
                }
            }
        });
        for number in 1..=3000_u32 {
            let size = usize::try_from(number * 37 % 300).unwrap();
            journal.append(&NewRecord::new(vec![b'x'; size])).unwrap();
        }
        done.store(true, Ordering::Release);
    });
}

/// A view is a value: iterators and answers stay as they were until it is refreshed.
#[test]
fn a_view_does_not_move_until_it_is_refreshed() {
    let bench = Bench::new();
    let mut journal = numbered(&bench, 3);
    let mut reader = Reader::open(&bench.path).unwrap();
    let open = reader.records();
    journal.append(&record("4").key("k4")).unwrap();
    assert_eq!(reader.records().count(), 3);
    assert_eq!(reader.get(Sequence::new(4)).unwrap(), None);
    assert_eq!(reader.by_key("k4").unwrap(), None);
    assert!(reader.refresh().unwrap());
    assert!(!reader.refresh().unwrap());
    assert_eq!(reader.records().count(), 4);
    assert_eq!(text(&reader.by_key("k4").unwrap().unwrap()), "4");
    assert_eq!(open.count(), 3, "an iterator keeps the view that it began with");
}

/// L5: reading needs no right to write and writes nothing.
#[test]
fn a_read_only_file_is_read_and_nothing_is_written() {
    let bench = Bench::new();
    numbered(&bench, 5).close().unwrap();
    scribble(&bench.path, b"torn");
    fs::set_permissions(&bench.path, fs::Permissions::from_mode(0o400)).unwrap();
    let (before, disk) = (bench.bytes(), FaultDisk::new());
    let mut reader = Reader::open_with(&bench.path, options_on(&disk).disk).unwrap();
    assert_eq!(reader.records().count(), 5);
    assert_eq!(reader.backwards().count(), 5);
    reader.refresh().unwrap();
    assert!(reader.by_key("k2").unwrap().is_some());
    for op in [Op::Append, Op::WriteAt, Op::Reserve, Op::Sync, Op::LockFolder, Op::Create] {
        assert_eq!(disk.count(op), 0, "{op:?}");
    }
    assert_eq!(bench.bytes(), before);
}

#[test]
fn a_reader_follows_the_journal_through_a_compaction() {
    let bench = Bench::new();
    let mut journal = numbered(&bench, 20);
    let mut reader = Reader::open(&bench.path).unwrap();
    let half_way = reader.records();
    let mark = reader.get(Sequence::new(7)).unwrap().unwrap().mark(reader.id());
    journal.compact().unwrap();
    journal.append(&record("21")).unwrap();
    assert_eq!(half_way.count(), 20, "what was opened before is still readable");
    assert!(reader.refresh().unwrap());
    assert_eq!(sequences(reader.records()), (1..=21).collect::<Vec<_>>());
    assert_eq!(sequences(reader.records_after(&mark).unwrap()).first(), Some(&8));
    journal.compact().unwrap();
    journal.compact().unwrap();
    journal.append(&record("22")).unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.last_sequence().get(), 22);
}

#[test]
fn a_reader_of_a_deleted_journal_is_detached_and_keeps_what_it_has() {
    let bench = Bench::new();
    let journal = numbered(&bench, 5);
    let mut reader = Reader::open(&bench.path).unwrap();
    journal.delete().unwrap();
    assert_eq!(reader.refresh().unwrap_err().kind(), ErrorKind::Detached);
    assert_eq!(reader.records().count(), 5, "the view is still there");
    let mut new = Journal::create(&bench.path, &name("a"), &Options::default()).unwrap();
    new.append(&record("another")).unwrap();
    let error = reader.refresh().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Detached, "and never turns into another journal");
    assert_eq!(Reader::open(&bench.path).unwrap().records().count(), 1);
}

/// H6: a file that was shortened below a reader says so.
#[test]
fn a_shortened_file_is_told() {
    let bench = Bench::new();
    drop(numbered(&bench, 5));
    let mut reader = Reader::open(&bench.path).unwrap();
    cut(&bench.path, bench.len() - 1);
    assert_eq!(reader.refresh().unwrap_err().kind(), ErrorKind::Shortened);
}

/// A7: a read error ends the reading with `Io`; it is neither a gap nor the end.
#[test]
fn a_read_error_is_io_and_not_a_gap() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    for _ in 0..50 {
        journal.append(&NewRecord::new(vec![1; 20_000])).unwrap();
    }
    drop(journal);
    let disk = FaultDisk::new();
    let reader = Reader::open_with(&bench.path, options_on(&disk).disk).unwrap();
    disk.fail(Op::ReadAt, 3, EIO);
    let found: Vec<_> = reader.records().collect();
    assert!(found.len() < 50);
    assert_eq!(found.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Io);
    disk.fail(Op::ReadAt, 5, EIO);
    let found: Vec<_> = reader.backwards().collect();
    assert_eq!(found.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(reader.records().count(), 50);
}

/// A payload is one shared piece of memory: cloning a record copies none of it.
#[test]
fn payloads_are_shared_not_copied() {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&NewRecord::new(vec![7; 1 << 20]).key("big")).unwrap();
    let reader = Reader::open(&bench.path).unwrap();
    let one = reader.get(Sequence::new(1)).unwrap().unwrap();
    let copy = one.clone();
    assert_eq!(one.payload.as_ptr(), copy.payload.as_ptr());
    assert_eq!(one.payload.slice(5..10).as_ptr(), one.payload[5..].as_ptr());
}

/// Memory: a long journal is read in pieces, not as a whole.
#[test]
fn a_long_journal_is_read_in_bounded_pieces() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    for _ in 0..400 {
        journal.append(&NewRecord::new(vec![1; 20_000])).unwrap();
    }
    let disk = FaultDisk::new();
    let reader = Reader::open_with(&bench.path, options_on(&disk).disk).unwrap();
    assert_eq!(reader.records().count() + reader.backwards().count(), 800);
    let most = disk.calls().into_iter().map(|call| call.bytes).max().unwrap();
    assert!(most <= 1 << 20, "one read took {most} bytes of {}", bench.len());
}

#[test]
fn what_is_no_journal_is_said_to_be_none() {
    let bench = Bench::new();
    let kind = |path| Reader::open(path).unwrap_err().kind();
    assert_eq!(kind(bench.path.clone()), ErrorKind::NotFound);
    fs::write(&bench.path, b"").unwrap();
    assert_eq!(kind(bench.path.clone()), ErrorKind::NotAJournal);
    fs::write(&bench.path, b"{\"type\":\"session\"}\n".repeat(1000)).unwrap();
    assert_eq!(kind(bench.path.clone()), ErrorKind::NotAJournal);
    assert_eq!(kind(bench.folder().to_owned()), ErrorKind::Io);
}

/// Many readers at once, one of them slow: no reader holds anything that another needs.
#[test]
fn readers_on_many_threads_share_a_view() {
    let bench = Bench::new();
    drop(numbered(&bench, 200));
    let reader = Arc::new(Reader::open(&bench.path).unwrap());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let reader = Arc::clone(&reader);
            std::thread::spawn(move || reader.records().zip(reader.backwards()).count())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 200);
    }
    assert!(frames(&bench.path).iter().any(|(_, one)| one.kind == FrameKind::Opening));
}

/// A torn write may be a gigabyte, and stands between two frames: stepping over it backwards reads the frames,
/// and not what is between them.
#[test]
fn a_step_back_over_dead_bytes_does_not_read_them() {
    const DEAD: usize = 8 << 20;
    let bench = Bench::new();
    let mut journal = numbered(&bench, 3);
    journal.sync().unwrap();
    drop(journal);
    scribble(&bench.path, &vec![0; DEAD]);
    let mut journal = take_over(&bench.path, "next");
    journal.append(&record("4").key("k4")).unwrap();
    journal.close().unwrap();
    let disk = FaultDisk::new();
    let reader = Reader::open_with(&bench.path, options_on(&disk).disk).unwrap();
    disk.forget_calls();
    assert_eq!(sequences(reader.backwards()), [4, 3, 2, 1]);
    let read = disk.bytes(Op::ReadAt);
    assert!(read < DEAD as u64 / 4, "{read} bytes");
}
