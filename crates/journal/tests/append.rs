//! Appending: numbers, durability, limits, batches, group commit, full disks, failing syncs.

mod support;

use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Waker};

use session_journal::{
    AppendOptions, Cause, Durability, Error, ErrorKind, Journal, NewRecord, Options, Reader,
    Sequence,
};
use support::disk::{Call, EIO, ENOSPC, Op};
use support::{Bench, lazily, name, record, scribble, store_in};

fn durably() -> AppendOptions {
    AppendOptions { durability: Some(Durability::Durable), ..AppendOptions::default() }
}

#[test]
fn sequences_are_dense_from_one_and_durable_by_default() {
    let bench = Bench::new();
    let mut journal = bench.create();
    assert_eq!(journal.last_sequence(), Sequence::ZERO);
    let mut end = 0;
    for number in 1..=50 {
        let appended = journal.append(&record(&format!("{number}"))).unwrap();
        assert_eq!(appended.sequence.get(), number);
        assert!(appended.durable && !appended.duplicate);
        assert_eq!(journal.durable_through().get(), number);
        assert!(appended.offset.get() >= end, "frames stand one behind the other");
        end = appended.offset.get() + 1;
    }
    let syncs = bench.disk.count(Op::Sync);
    assert!(syncs >= 50, "every acknowledgement waited for a sync, there were {syncs}");
    assert_eq!(bench.texts(), (1..=50).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn written_says_that_it_is_not_durable_until_somebody_syncs() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    let before = bench.disk.count(Op::Sync);
    for _ in 0..10 {
        assert!(!journal.append(&record("x")).unwrap().durable);
    }
    assert_eq!(bench.disk.count(Op::Sync), before);
    assert_eq!(journal.durable_through(), Sequence::ZERO);
    journal.sync().unwrap();
    assert_eq!(journal.durable_through().get(), 10);

    journal.append(&record("y")).unwrap();
    let both = journal.append_all(&[record("z"), record("z")], &durably()).unwrap();
    assert!(both.iter().all(|one| one.durable));
    assert_eq!(journal.durable_through().get(), 13, "what was written before is durable with it");
}

#[test]
fn written_bytes_are_bounded_by_sync_bytes() {
    let bench = Bench::new();
    let options = Options { sync_bytes: 10_000, ..lazily(bench.options()) };
    let mut journal = bench.create_with(&options);
    let payload = NewRecord::new(vec![0; 920]);
    for _ in 0..100 {
        journal.append(&payload).unwrap();
        let waiting = journal.last_sequence().get() - journal.durable_through().get();
        // One sync is under way on another thread; sixteen times as much makes appends wait for it.
        assert!(waiting <= 160, "{waiting} records of 1,000 bytes wait for a sync");
    }
}

#[test]
fn payloads_of_every_size_come_back() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    let chunk = 256 << 10;
    let sizes =
        [0, 1, 79, 80, 81, 4015, 4016, 4095, 4096, 4097, chunk - 80, chunk, chunk + 1, 3 << 20];
    let payload = |size: usize| -> Vec<u8> { (0..=250).cycle().take(size).collect() };
    for size in sizes {
        journal.append(&NewRecord::new(payload(size))).unwrap();
    }
    let found = support::records(&bench.path);
    assert_eq!(found.len(), sizes.len());
    let reader = Reader::open(&bench.path).unwrap();
    for (size, one) in sizes.into_iter().zip(found) {
        assert_eq!(one.payload, payload(size), "{size} bytes");
        assert_eq!(reader.get(one.sequence).unwrap().as_ref(), Some(&one));
    }
}

#[test]
fn what_is_above_a_limit_is_refused_and_names_both_sizes() {
    let bench = Bench::new();
    let options = Options { record_bytes_max: 100, batch_bytes_max: 1000, ..bench.options() };
    let mut journal = bench.create_with(&options);
    journal.append(&NewRecord::new(vec![0; 100])).unwrap();
    let most = record("x").kind("k".repeat(255)).key("q".repeat(1024)).parent("p".repeat(1024));
    let mut alone = Journal::create(bench.folder().join("b.journal"), &name("b"), &bench.options())
        .expect("a journal without the small limits");
    alone.append(&most).unwrap();
    let whole = Reader::open(alone.path()).unwrap().records().next().unwrap().unwrap();
    assert_eq!((whole.kind, whole.key, whole.parent), (most.kind, most.key, most.parent));

    let before = bench.bytes();
    let eleven: Vec<NewRecord> = (0..11).map(|_| NewRecord::new(vec![0; 11])).collect();
    let ten_bytes_more = 11 * 91;
    for (records, bytes, limit) in [
        (vec![NewRecord::new(vec![0; 101])], 101, 100),
        (vec![record("x").kind("k".repeat(256))], 256, 255),
        (vec![record("x").key("k".repeat(1025))], 1025, 1024),
        (vec![record("x").parent("k".repeat(1026))], 1026, 1024),
        (vec![record("fits"), NewRecord::new(vec![0; 200])], 200, 100),
        (eleven, ten_bytes_more, 1000),
    ] {
        let error = journal.append_all(&records, &AppendOptions::default()).unwrap_err();
        let Cause::TooLarge { bytes: found, limit: most, .. } = error.cause() else {
            panic!("{error}");
        };
        assert_eq!((*found, *most), (bytes, limit));
        let told = error.to_string();
        assert!(told.contains(&bytes.to_string()) && told.contains(&limit.to_string()), "{told}");
    }
    assert_eq!(bench.bytes(), before, "a refusal writes nothing");
    assert_eq!(journal.append(&record("next")).unwrap().sequence.get(), 2);
}

#[test]
fn an_empty_batch_is_no_append() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let before = bench.len();
    assert_eq!(journal.append_all(&[], &AppendOptions::default()).unwrap(), []);
    assert_eq!(bench.len(), before);
}

/// J1: a full disk at every byte of a frame leaves memory and disk in step; nothing glues on.
#[test]
fn a_short_write_at_every_byte_of_a_frame_stores_nothing_and_the_owner_goes_on() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let frame = 80 + 2 + 4 + 2 + 3 + 7;
    let one = || record("payload").kind("kind").key("key");
    let mut stored = 0;
    for bytes in 0..frame {
        bench.disk.short(1, bytes);
        let error = journal.append(&one()).unwrap_err();
        let Cause::NoSpace { needed, written, .. } = error.cause() else { panic!("{error}") };
        assert_eq!((*needed, *written), (frame as u64, bytes as u64), "J2: names the bytes");
        assert_eq!(error.path(), journal.path());
        stored += 1;
        let next = journal.append(&record("after")).unwrap();
        assert_eq!(next.sequence.get(), stored, "cut at byte {bytes}");
        assert_eq!(journal.reader().unwrap().by_key("key").unwrap(), None);
    }
    assert!(bench.texts().iter().all(|text| text == "after"));
    assert_eq!(bench.texts().len() as u64, stored);
    assert!(!journal.append(&one()).unwrap().duplicate);
}

/// C10, J1: a batch is there whole or not at all, also when the process dies on the full disk.
#[test]
fn a_batch_that_was_cut_at_any_byte_leaves_nothing_to_the_next_opening() {
    let batch: Vec<NewRecord> =
        (0..5).map(|i| record("step").key(format!("{i}")).kind("turn")).collect();
    let len = 5 * (80 + 2 + 4 + 2 + 1 + 4);
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&record("before")).unwrap();
    for bytes in (0..=len).filter(|bytes| bytes % 3 == 0 || *bytes == len) {
        if bytes < len {
            bench.disk.short(1, bytes);
            let error = journal.append_all(&batch, &AppendOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace);
        }
        drop(journal);
        journal = bench.open().unwrap();
        let found = journal.opening().report.holes.len();
        assert_eq!(found, usize::from(bytes > 0 && bytes < len), "torn, at byte {bytes}");
        assert_eq!(journal.last_sequence().get(), 1);
        assert_eq!(bench.texts(), ["before"]);
    }
    let stored = journal.append_all(&batch, &AppendOptions::default()).unwrap();
    assert_eq!(stored.iter().map(|one| one.sequence.get()).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    assert!(stored.iter().all(|one| !one.duplicate));
}

/// Posts one append each while the actor is held up in a sync, so that all of them go into one
/// write; gives their answers.
fn in_one_group(
    bench: &Bench,
    session: &session_journal::Session,
    batches: Vec<Vec<NewRecord>>,
    prepare: impl FnOnce(),
) -> Vec<Result<Vec<u64>, Error>> {
    let (entered, at_sync) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    bench.disk.before(Op::Sync, 1, move || {
        entered.send(()).unwrap();
        wait.recv().unwrap();
    });
    let mut context = Context::from_waker(Waker::noop());
    let mut first = pin!(session.append("first"));
    assert!(first.as_mut().poll(&mut context).is_pending());
    at_sync.recv().unwrap();
    let mut posted: Vec<_> = batches
        .into_iter()
        .map(|records| Box::pin(session.append_all(records, AppendOptions::default())))
        .collect();
    for one in &mut posted {
        assert!(one.as_mut().poll(&mut context).is_pending());
    }
    prepare();
    go.send(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(first).unwrap();
    posted
        .into_iter()
        .map(|one| {
            let answer = runtime.block_on(one);
            answer
                .map(|all| all.iter().map(|one| one.sequence.get()).collect())
                .map_err(|rejected| rejected.error)
        })
        .collect()
}

#[test]
fn everything_that_waits_goes_into_one_write_and_one_sync() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let session = store.create_blocking(&name("a")).unwrap();
    let batches = (0..20).map(|i| vec![record(&format!("{i}a")), record(&format!("{i}b"))]);
    let disk = bench.disk.clone();
    let answers = in_one_group(&bench, &session, batches.collect(), move || disk.forget_calls());
    assert_eq!((bench.disk.count(Op::Append), bench.disk.count(Op::Sync)), (1, 1));
    for (i, answer) in answers.into_iter().enumerate() {
        let first = 2 + 2 * i as u64;
        assert_eq!(answer.unwrap(), [first, first + 1], "each producer hears of its own records");
    }
    let texts = support::texts(session.path());
    assert_eq!(&texts[..4], ["first", "0a", "0b", "1a"], "in the order of the inbox");
}

/// J1 for groups: whole batches before the cut are stored and acknowledged, the rest is not.
#[test]
fn a_short_write_in_a_group_acknowledges_exactly_the_whole_batches_before_it() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let session = store.create_blocking(&name("a")).unwrap();
    let frame = 80 + 4;
    let mut expected = Vec::new();
    for cut in (0..3 * 2 * frame).filter(|cut| cut % 7 == 0 || cut % (2 * frame) < 2) {
        let batches =
            (0..3).map(|i| (0..2).map(|j| record(&format!("{i}{j}xy"))).collect()).collect();
        let disk = bench.disk.clone();
        let answers = in_one_group(&bench, &session, batches, move || disk.short(1, cut));
        expected.push("first".to_owned());
        for (i, answer) in answers.into_iter().enumerate() {
            if cut >= (i + 1) * 2 * frame {
                let last = expected.len() as u64;
                assert_eq!(answer.unwrap(), [last + 1, last + 2], "batch {i}, cut at {cut}");
                expected.extend([format!("{i}0xy"), format!("{i}1xy")]);
            } else {
                assert_eq!(answer.unwrap_err().kind(), ErrorKind::NoSpace, "batch {i} at {cut}");
            }
        }
        session.append_blocking("on").unwrap();
        expected.push("on".to_owned());
    }
    assert_eq!(support::texts(session.path()), expected);
}

#[test]
fn a_full_disk_that_takes_nothing_is_no_space_until_there_is_room() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let before = bench.bytes();
    bench.disk.fail_always(Op::Append, ENOSPC);
    for _ in 0..3 {
        let error = journal.append(&record("x").key("k")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    }
    assert_eq!(bench.bytes(), before);
    bench.disk.heal();
    let appended = journal.append(&record("x").key("k")).unwrap();
    assert_eq!((appended.sequence.get(), appended.duplicate), (1, false));
}

#[test]
fn a_checkpoint_that_finds_no_room_does_not_fail_its_append() {
    for cut in [None, Some(0), Some(10), Some(100)] {
        let bench = Bench::new();
        let mut journal = bench.create_with(&Options { checkpoint_records: 2, ..bench.options() });
        for number in 1..=20 {
            if number % 3 == 0 {
                match cut {
                    None => bench.disk.fail(Op::Append, 2, ENOSPC),
                    Some(bytes) => bench.disk.short(2, bytes),
                }
            }
            let one = record(&format!("{number}")).key(format!("k{number}"));
            assert_eq!(journal.append(&one).unwrap().sequence.get(), number);
            bench.disk.heal();
        }
        assert_eq!(bench.texts().len(), 20);
        drop(journal);
        let journal = bench.open().unwrap();
        for number in 1..=20 {
            let found = journal.reader().unwrap().by_key(&format!("k{number}")).unwrap().unwrap();
            assert_eq!(found.sequence.get(), number);
        }
    }
}

fn assert_poisoned(journal: &mut Journal, bench: &Bench) {
    let before = bench.bytes();
    for _ in 0..3 {
        assert_eq!(journal.append(&record("late")).unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(journal.sync().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(journal.compact().unwrap_err().kind(), ErrorKind::Poisoned);
        let none = journal.append_all(&[], &AppendOptions::default());
        assert_eq!(none.unwrap_err().kind(), ErrorKind::Poisoned);
    }
    assert_eq!(bench.bytes(), before, "a poisoned owner writes nothing (H13)");
}

/// H9, H22: a failed sync is not "not stored", and the next owner does not trust the page cache.
#[test]
fn a_failed_sync_is_unknown_then_poisoned_and_the_next_opening_settles_the_record() {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&record("one")).unwrap();
    bench.disk.fail(Op::Sync, 1, EIO);
    let error = journal.append(&record("two").key("k")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_poisoned(&mut journal, &bench);
    assert_eq!(journal.close().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(bench.texts(), ["one", "two"], "it is in the chain for whoever opens next");

    bench.disk.forget_calls();
    let mut next = bench.open().unwrap();
    let two = support::records(&bench.path).remove(1).offset.get();
    let (calls, bytes) = (bench.disk.calls(), bench.bytes());
    let settled = |at: u64| {
        let covers = |c: &Call| c.op == Op::WriteAt && (c.offset..c.offset + c.bytes).contains(&at);
        bytes[usize::try_from(at).unwrap()] == 0 || calls.iter().any(covers)
    };
    let covered = (two..two + 84).all(settled);
    assert!(covered, "the record was written again in place before anything is acknowledged");
    let again = next.append(&record("two").key("k")).unwrap();
    assert!(again.duplicate && again.durable);
    assert_eq!(again.sequence.get(), 2);
    assert_eq!(bench.texts().len(), 2);
}

#[test]
fn a_failed_sync_of_the_folder_is_unknown_and_poisons_too() {
    let bench = Bench::new();
    let mut journal = bench.create();
    bench.disk.fail(Op::SyncFolder, 1, EIO);
    assert_eq!(journal.append(&record("x")).unwrap_err().kind(), ErrorKind::Unknown);
    assert_poisoned(&mut journal, &bench);
}

/// H22: an append that failed may have reached the file or not; the answer claims neither.
#[test]
fn a_write_error_is_unknown_whether_or_not_the_bytes_arrived() {
    for arrived in [false, true] {
        let bench = Bench::new();
        let mut journal = bench.create();
        journal.append(&record("one")).unwrap();
        if arrived {
            bench.disk.fail_after(Op::Append, 1, EIO);
        } else {
            bench.disk.fail(Op::Append, 1, EIO);
        }
        let error = journal.append(&record("two").key("k")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown);
        assert_poisoned(&mut journal, &bench);
        drop(journal);
        let mut next = bench.open().unwrap();
        assert_eq!(next.reader().unwrap().by_key("k").unwrap().is_some(), arrived);
        let again = next.append(&record("two").key("k")).unwrap();
        assert_eq!((again.duplicate, again.sequence.get()), (arrived, 2));
        assert_eq!(bench.texts(), ["one", "two"]);
    }
}

/// H20, H22: a record that landed in its place is in the chain, so a read error behind that is not
/// "not stored".
#[test]
fn a_read_error_behind_the_landing_is_unknown_and_not_refused() {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&record("one")).unwrap();
    // Dead bytes before and behind the first try: the second try must look at them once more.
    let path = bench.path.clone();
    bench.disk.before(Op::Append, 1, move || scribble(&path, b"dead"));
    let path = bench.path.clone();
    bench.disk.after(Op::Append, 1, move || scribble(&path, b"dead"));
    let disk = bench.disk.clone();
    bench.disk.after(Op::Append, 2, move || disk.fail(Op::ReadAt, 1, EIO));
    let error = journal.append(&record("two").key("k")).unwrap_err();
    assert_eq!(bench.texts(), ["one", "two"], "it is there for every reader");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_poisoned(&mut journal, &bench);
    drop(journal);
    assert!(bench.open().unwrap().append(&record("two").key("k")).unwrap().duplicate);
}

/// A failed write of a checkpoint comes behind the acknowledgement and takes nothing back (B5).
#[test]
fn a_broken_checkpoint_poisons_only_what_comes_later() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&Options { checkpoint_records: 1, ..bench.options() });
    bench.disk.fail(Op::Append, 2, EIO);
    assert!(journal.append(&record("one")).unwrap().durable);
    assert_eq!(journal.append(&record("two")).unwrap_err().kind(), ErrorKind::Poisoned);
    drop(journal);
    drop(bench.open().unwrap());
    assert_eq!(bench.texts(), ["one"]);
}

/// A long payload at the end of a write goes into the file from where it is. The bytes are those of
/// a disk that is given them in one piece.
#[test]
fn long_payloads_at_any_place_of_a_batch_give_the_bytes_that_short_ones_give() {
    let sizes = [0, 1, (16 << 10) - 1, 16 << 10, (16 << 10) + 1, 1 << 20];
    let bench = Bench::new();
    let by_parts = bench.folder().join("parts.journal");
    let mut parts = Journal::create(&by_parts, &name("a"), &Options::default()).unwrap();
    let mut whole = bench.create();
    let (mut expected, mut frames) = (Vec::new(), 0);
    for (round, first) in sizes.into_iter().enumerate() {
        for second in sizes {
            let payload = |size: usize| vec![b'a' + u8::try_from(round).unwrap(); size];
            let record = |size| NewRecord::new(payload(size)).kind("kind");
            parts.append(&record(second)).unwrap();
            whole.append(&record(second)).unwrap();
            let batch = [record(first), record(second)];
            parts.append_all(&batch, &durably()).unwrap();
            whole.append_all(&batch, &durably()).unwrap();
            expected.extend([payload(second), payload(first), payload(second)]);
            frames += 3;
        }
    }
    parts.close().unwrap();
    whole.close().unwrap();
    for path in [&by_parts, &bench.path] {
        let records = Reader::open(path).unwrap().records();
        let payloads: Vec<_> = records.map(|record| record.unwrap().payload.to_vec()).collect();
        assert_eq!(payloads.len(), frames);
        assert!(payloads == expected, "every payload as it was given");
        let verified = session_journal::verify(path, &mut |_, _| {}).unwrap();
        assert!(verified.ok && verified.void_bytes == 0, "{verified:?}");
    }
    assert_eq!(std::fs::metadata(&by_parts).unwrap().len(), bench.len());
}
