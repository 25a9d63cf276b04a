//! Compaction: the same records in a smaller file; a crash or a failure at any operation leaves a
//! journal that opens, old or new, with every record once.

mod support;

use std::fs;

use session_journal::format::FrameKind;
use session_journal::{
    Cause, ErrorKind, HistoryKind, Host, Item, Journal, Liveness, LocalHost, OpenReason, Options,
    Reader, Record, Takeover, history, info, verify,
};
use support::disk::{EIO, ENOSPC, Op};
use support::{
    Bench, Random, by_force, frames, lazily, name, overwrite, record, scribble, seed, store_in,
    text,
};

fn small_steps(bench: &Bench) -> Options {
    Options { checkpoint_records: 5, label: "owner".into(), ..bench.options() }
}

/// A journal with a past: two generations, a takeover, dead bytes, checkpoints, every field used.
fn with_a_past(bench: &Bench) -> Journal {
    let mut journal = bench.create_with(&small_steps(bench));
    for number in 1..=12 {
        let one = record(&format!("{number}")).key(format!("k{number}")).kind("turn");
        journal.append(&one.parent(format!("k{}", number - 1)).time_ms(1000 + number)).unwrap();
    }
    journal.close().unwrap();
    scribble(&bench.path, &[0xF5; 3000]);
    let mut journal = Journal::open(&bench.path, &small_steps(bench)).unwrap();
    journal.append(&record("13").kind("note")).unwrap();
    drop(journal);
    let options = Options { takeover: Takeover::Always, ..small_steps(bench) };
    let mut journal = Journal::open(&bench.path, &options).unwrap();
    for number in 14..=20 {
        journal.append(&record(&format!("{number}")).key(format!("k{number}"))).unwrap();
    }
    bench.disk.forget_calls();
    journal
}

/// A record without its place, which is the one thing that compaction changes.
fn facts(records: Vec<Record>) -> Vec<Record> {
    let place = session_journal::Offset::new(0);
    records.into_iter().map(|one| Record { offset: place, ..one }).collect()
}

fn all(bench: &Bench) -> Vec<Record> {
    facts(support::records(&bench.path))
}

/// C4, D6: sequences, generations, times, keys, kinds and the history of owners stay; dead bytes go.
#[test]
fn compaction_keeps_every_record_and_the_history_and_drops_dead_bytes() {
    let bench = Bench::new();
    let mut journal = with_a_past(&bench);
    let (before, mark) = (all(&bench), journal.mark());
    let events = |bench: &Bench| -> Vec<_> {
        let kept = [HistoryKind::Opening, HistoryKind::Release, HistoryKind::Repair];
        history(&bench.path)
            .unwrap()
            .into_iter()
            .filter(|one| kept.contains(&one.event))
            .map(|one| (one.event, one.generation, one.reason, one.owner, one.time_ms))
            .collect()
    };
    let past = events(&bench);
    let (created, len) = (Reader::open(&bench.path).unwrap().created_ms(), bench.len());

    let done = journal.compact().unwrap();
    assert_eq!((done.bytes_before, done.bytes_after), (len, bench.len()));
    assert!(done.bytes_after + 3000 < done.bytes_before);
    assert_eq!(done.records, 20);
    assert_eq!(all(&bench), before);
    assert_eq!(events(&bench), past);
    assert_eq!(journal.mark(), mark);
    let after = info(&bench.path, &LocalHost).unwrap();
    assert_eq!((after.void_bytes, after.compactions, after.records), (0, 1, 20));
    assert_eq!((after.created_ms, after.id), (created, journal.id()));
    assert_eq!(after.owner.unwrap().label, "owner");
    let verified = verify(&bench.path, &mut |_, _| {}).unwrap();
    assert!(verified.ok && verified.torn.is_empty() && verified.damage.is_empty());
    let reader = Reader::open(&bench.path).unwrap();
    for one in &before {
        let found = reader.get(one.sequence).unwrap().unwrap();
        assert_eq!(facts(vec![found]), std::slice::from_ref(one));
        if let Some(key) = &one.key {
            assert_eq!(reader.by_key(key).unwrap().unwrap().sequence, one.sequence);
        }
    }
    assert_eq!(bench.names(), ["a.journal"]);

    assert!(journal.append(&record("again").key("k3")).unwrap().duplicate);
    assert_eq!(journal.append(&record("21")).unwrap().sequence.get(), 21);
    journal.close().unwrap();
    let next = bench.open().unwrap();
    assert_eq!(next.opening().reason, OpenReason::Released);
    assert!(next.opening().report.is_clean());
    assert_eq!(all(&bench).len(), 21);
}

/// C4: compacting again and again neither grows the file nor changes it.
#[test]
fn compacting_a_compacted_journal_keeps_its_size() {
    let bench = Bench::new();
    let mut journal = with_a_past(&bench);
    let (before, first) = (all(&bench), journal.compact().unwrap().bytes_after);
    for _ in 0..5 {
        assert_eq!(journal.compact().unwrap().bytes_after, first);
    }
    assert_eq!(all(&bench), before);
    assert_eq!(info(&bench.path, &LocalHost).unwrap().compactions, 6);
}

/// B1: an owner that compacts at random moments is never fenced by itself.
#[test]
fn appends_with_compaction_at_random_points_are_never_refused() {
    let mut random = Random::new(seed("--test compact appends_with_compaction"));
    let bench = Bench::new();
    let mut journal = bench.create_with(&small_steps(&bench));
    let mut expected = Vec::new();
    for number in 1..=400_u64 {
        let payload = "x".repeat(usize::try_from(random.below(200)).unwrap());
        let appended = journal.append(&record(&payload).key(format!("{number}"))).unwrap();
        assert_eq!(appended.sequence.get(), number);
        expected.push(payload);
        match random.below(25) {
            0 => drop(journal.compact().unwrap()),
            1 => {
                drop(journal);
                journal = Journal::open(&bench.path, &small_steps(&bench)).unwrap();
            }
            2 => scribble(&bench.path, b"dead"),
            _ => {}
        }
    }
    assert_eq!(bench.texts(), expected);
}

/// Records that were lost before are declared, not reported as new damage, and their numbers stay.
#[test]
fn what_was_lost_before_stays_lost_and_is_no_damage_of_the_new_file() {
    let bench = Bench::new();
    drop(with_a_past(&bench));
    let tenth = frames(&bench.path).into_iter().find(|(_, one)| one.sequence == 10).unwrap().0;
    support::damage(&bench.path, tenth + 20);
    // It lies before the last checkpoint, so only who reads everything finds it.
    let options = Options { full_scan: true, ..bench.options() };
    let mut journal = Journal::open(&bench.path, &options).unwrap();
    assert_eq!(journal.opening().report.records_lost(), 1);
    journal.compact().unwrap();
    assert!(verify(&bench.path, &mut |_, _| {}).unwrap().ok);
    let reader = Reader::open(&bench.path).unwrap();
    let found: Vec<u64> = reader.records().map(|one| one.unwrap().sequence.get()).collect();
    assert_eq!(found, (1..=20).filter(|number| *number != 10).collect::<Vec<_>>());
    let mut back: Vec<u64> = reader.backwards().map(|one| one.unwrap().sequence.get()).collect();
    back.reverse();
    assert_eq!(back, found);
    assert_eq!(journal.append(&record("21")).unwrap().sequence.get(), 21);
}

// ---- failures at every operation -------------------------------------------------------------

#[derive(Clone, Copy, Debug)]
enum How {
    Fails(i32),
    Dies,
}

/// H15: fail, or die, at every single operation of a compaction.
#[test]
fn a_compaction_that_fails_or_dies_at_any_operation_loses_and_doubles_nothing() {
    let calls = {
        let bench = Bench::new();
        with_a_past(&bench).compact().unwrap();
        bench.disk.calls()
    };
    for op in [Op::CreateNew, Op::Append, Op::Sync, Op::SyncFolder, Op::Rename, Op::Open] {
        assert!(calls.iter().any(|call| call.op == op), "{op:?} is a step of it");
    }
    for (i, call) in calls.iter().enumerate() {
        for how in [How::Fails(EIO), How::Fails(ENOSPC), How::Dies] {
            one_failure(i as u64 + 1, call.op, how);
        }
    }
}

fn one_failure(nth: u64, op: Op, how: How) {
    let bench = Bench::new();
    let mut journal = with_a_past(&bench);
    let before = all(&bench);
    match how {
        How::Fails(errno) => bench.disk.fail_any(nth, errno),
        How::Dies => bench.disk.die_at_any(nth),
    }
    let done = journal.compact();
    let what = format!("{op:?}, operation {nth}, {how:?}");
    let mut expected = before.len();
    if let (Err(error), How::Fails(_)) = (&done, how) {
        // Unless the handle is finished, the old file goes on as if nothing had been tried.
        if journal.sync().is_ok() {
            expected += 1;
            assert_eq!(
                journal.append(&record("on")).unwrap().sequence.get(),
                21,
                "{what}: {error}"
            );
            journal.compact().unwrap();
        }
    }
    drop(journal);
    let mut next = Journal::open(&bench.path, &Options::default())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = all(&bench);
    assert_eq!(found.len(), expected, "{what}");
    assert_eq!(found[..20], before, "{what}");
    assert_eq!(next.append(&record("next")).unwrap().sequence.get(), expected as u64 + 1);
    assert_eq!(bench.names(), ["a.journal"], "{what}: nothing is left behind");
    next.compact().unwrap();
    assert_eq!(all(&bench)[..20], before, "{what}");
}

/// Dies once the seal is durable, before the rename. Gives the name of the successor.
fn sealed_only(bench: &Bench) -> String {
    let mut journal = with_a_past(bench);
    bench.disk.die_at(Op::Rename, 1);
    assert!(journal.compact().is_err());
    drop(journal);
    let names = bench.names();
    let successor = names.iter().find(|name| name.as_str() != "a.journal");
    successor.expect("the successor is complete").clone()
}

/// H15a: an opener that meets a seal finishes what it names.
#[test]
fn an_opener_that_meets_a_seal_puts_the_successor_in_its_place() {
    let bench = Bench::new();
    sealed_only(&bench);
    assert_eq!(info(&bench.path, &LocalHost).unwrap().state.as_str(), "sealed");
    assert_eq!(Reader::open(&bench.path).unwrap().records().count(), 20, "it is readable");
    let next = bench_open(&bench);
    assert_eq!(bench.names(), ["a.journal"]);
    assert_eq!(info(&bench.path, &LocalHost).unwrap().compactions, 1);
    assert!(next.generation().get() > 3);
    assert_eq!(all(&bench).len(), 20);
}

fn bench_open(bench: &Bench) -> Journal {
    Journal::open(&bench.path, &Options::default()).unwrap()
}

/// H15b: a seal whose successor does not exist, or is not whole, is taken back.
#[test]
fn a_seal_without_its_successor_is_taken_back() {
    for cut_only in [false, true] {
        let bench = Bench::new();
        let successor = bench.folder().join(sealed_only(&bench));
        if cut_only {
            support::cut(&successor, fs::metadata(&successor).unwrap().len() - 1);
        } else {
            fs::remove_file(&successor).unwrap();
        }
        let mut next = bench_open(&bench);
        assert_eq!(all(&bench).len(), 20);
        assert_eq!(next.append(&record("21")).unwrap().sequence.get(), 21);
        let events = history(&bench.path).unwrap();
        let seen = |kind| events.iter().filter(|one| one.event == kind).count();
        assert_eq!((seen(HistoryKind::Seal), seen(HistoryKind::Reopen)), (1, 1));
        assert_eq!(info(&bench.path, &LocalHost).unwrap().compactions, 0);
        next.compact().unwrap();
        assert_eq!(all(&bench).len(), 21);
    }
}

/// H15d: a hard link of a sealed file elsewhere is only read; nobody unlinks or changes it.
#[test]
fn a_hard_link_of_a_sealed_file_answers_sealed_and_is_not_touched() {
    let bench = Bench::new();
    let successor = bench.folder().join(sealed_only(&bench));
    let backup = bench.folder().join("backup.journal");
    fs::hard_link(&bench.path, &backup).unwrap();
    let before = fs::read(&backup).unwrap();
    for takeover in [Takeover::IfGone, Takeover::Always, Takeover::Never] {
        let options = Options { takeover, ..Options::default() };
        let error = Journal::open(&backup, &options).unwrap_err();
        let Cause::Sealed { path, .. } = error.cause() else { panic!("{error}") };
        assert_eq!(*path, bench.path.canonicalize().unwrap(), "it says where to go");
    }
    assert!(successor.exists());
    drop(bench_open(&bench));
    assert_eq!(Journal::open(&backup, &Options::default()).unwrap_err().kind(), ErrorKind::Sealed);
    assert_eq!(fs::read(&backup).unwrap(), before);
    assert_eq!(Reader::open(&backup).unwrap().records().count(), 20);
    assert_eq!(bench.names(), ["a.journal", "backup.journal"]);
}

/// A power loss may take from a sealed file what was written and not synced. The copy that its seal names was
/// synced before, so the next opening brings it back, where it stood.
#[test]
fn what_power_took_from_a_sealed_file_comes_back_with_its_copy() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    let appended = ["1", "2", "3"].map(|one| journal.append(&record(one)).unwrap());
    bench.disk.fail(Op::Rename, 1, EIO);
    journal.compact().unwrap_err();
    drop(journal);
    let lost = appended[1].offset.get()..appended[2].offset.get();
    let zeros = vec![0; usize::try_from(lost.end - lost.start).unwrap()];
    overwrite(&bench.path, lost.start, &zeros);
    let sealed = Reader::open(&bench.path).unwrap();
    let read = sealed.records().with_gaps().map(Result::unwrap);
    assert!(read.into_iter().any(|item| matches!(item, Item::Gap(gap) if gap.records == 1)));
    let mut next = bench_open(&bench);
    assert_eq!(next.append(&record("4")).unwrap().sequence.get(), 4);
    let texts: Vec<_> = all(&bench).iter().map(text).collect();
    assert_eq!(texts, ["1", "2", "3", "4"]);
}

// ---- others meanwhile ------------------------------------------------------------------------

/// H3: an owner whose file was replaced by another owner's compaction is fenced, whatever it does.
#[test]
fn an_owner_on_the_old_file_is_fenced() {
    for what in ["append", "compact"] {
        let bench = Bench::new();
        let mut old = with_a_past(&bench);
        let mut new = Journal::open(&bench.path, &by_force("new")).unwrap();
        new.compact().unwrap();
        let refused = match what {
            "append" => old.append(&record("late")).map(drop),
            _ => old.compact().map(drop),
        };
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Fenced, "{what}");
        assert_eq!(old.append(&record("late")).unwrap_err().kind(), ErrorKind::Fenced);
        new.append(&record("21")).unwrap();
        drop(old);
        assert_eq!(all(&bench).len(), 21, "{what}");
        assert_eq!(bench.names(), ["a.journal"], "{what}");
    }
}

/// H3: taken over at each step of its own compaction, the old owner loses, and no record is lost.
#[test]
fn a_takeover_at_any_step_of_a_compaction_loses_no_record() {
    let steps = [
        (Op::CreateNew, 1),
        (Op::SyncFolder, 1),
        (Op::Sync, 1),
        (Op::Sync, 2),
        // The look behind the seal's sync: the new owner has put the copy in place by then.
        (Op::Attachment, 1),
        (Op::Attachment, 2),
        (Op::WriteAt, 1),
        (Op::WriteAt, 2),
        (Op::Rename, 1),
    ];
    // The new owner may compact as well, and then the file at the path is another one still.
    for ((op, nth), compactions) in steps.iter().flat_map(|step| [0, 1, 2].map(|n| (*step, n))) {
        let bench = Bench::new();
        let mut old = with_a_past(&bench);
        let path = bench.path.clone();
        bench.disk.before(op, nth, move || {
            let mut new = Journal::open(&path, &by_force("new")).unwrap();
            new.append(&record("21 of the new owner")).unwrap();
            for _ in 0..compactions {
                new.compact().unwrap();
            }
        });
        let compacted = old.compact().map_err(|error| error.kind());
        let told = matches!(compacted, Ok(_) | Err(ErrorKind::Fenced));
        assert!(told, "{op:?} {nth}: {compacted:?}");
        let late = old.append(&record("late")).map_err(|refused| refused.kind());
        assert_eq!(late, Err(ErrorKind::Fenced), "{op:?} {nth}: taken over, {compacted:?}");
        drop(old);
        let mut next = bench_open(&bench);
        assert_eq!(next.append(&record("22")).unwrap().sequence.get(), 22, "{op:?} {nth}");
        let found = all(&bench);
        assert_eq!(text(&found[20]), "21 of the new owner", "{op:?} {nth}");
        assert_eq!(found.len(), 22);
        next.compact().unwrap();
        assert_eq!(bench.names(), ["a.journal"], "{op:?} {nth}");
    }
}

/// A8, A9: appends go on while a session is compacted, from within its steps too, and are kept.
#[test]
fn appends_go_on_during_a_compaction_and_are_in_the_new_file() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), small_steps(&bench));
    let session = store.create_blocking(&name("a")).unwrap();
    for number in 1..=50 {
        session.append_blocking(format!("{number}").into_bytes()).unwrap();
    }
    let inside = session.clone();
    bench.disk.after(Op::CreateNew, 1, move || {
        for number in 51..=60 {
            // The copy is under way on this very thread: nothing holds the append path.
            let appended = inside.append_blocking(format!("{number}").into_bytes()).unwrap();
            assert_eq!(appended.sequence.get(), number);
        }
    });
    let done = session.compact_blocking().unwrap();
    assert_eq!(done.records, 60);
    session.append_blocking("61").unwrap();
    let expected: Vec<String> = (1..=61).map(|number| number.to_string()).collect();
    assert_eq!(support::texts(session.path()), expected);
}

#[test]
fn producers_and_compactions_at_once_lose_and_double_nothing() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), support::lazily(small_steps(&bench)));
    let session = store.create_blocking(&name("a")).unwrap();
    std::thread::scope(|scope| {
        for producer in 0..3 {
            let session = &session;
            scope.spawn(move || {
                for i in 0..150 {
                    session.append_blocking(format!("{producer} {i}").into_bytes()).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..10 {
                session.compact_blocking().unwrap();
            }
        });
    });
    let texts = support::texts(session.path());
    assert_eq!(texts.len(), 450);
    for producer in 0..3 {
        let own = texts.iter().filter(|text| text.starts_with(&format!("{producer} ")));
        let order: Vec<String> = (0..150).map(|i| format!("{producer} {i}")).collect();
        assert!(own.eq(order.iter()));
    }
}

/// The slots of the new file know of the owner, so a crash right behind a compaction is one.
#[test]
fn a_crash_right_behind_a_compaction_is_an_ordinary_crash() {
    let bench = Bench::new();
    let mut journal = with_a_past(&bench);
    journal.compact().unwrap();
    let owner = journal.owner().clone();
    assert_eq!(info(&bench.path, &LocalHost).unwrap().owner, Some(owner.clone()));
    let held = Journal::open(&bench.path, &Options::default()).unwrap_err();
    assert!(matches!(held.cause(), Cause::HeldBy { alive: Some(true), .. }), "{held}");
    drop(journal);
    assert_eq!(LocalHost.liveness(&owner), Liveness::Gone);
    let next = bench_open(&bench);
    assert_eq!(next.opening().previous_owner, Some(owner));
    assert!(frames(&bench.path).iter().any(|(_, one)| one.kind == FrameKind::Compacted));
}
