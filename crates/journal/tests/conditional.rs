//! Conditional appends: what must not have come in between, and what a refusal tells.

mod support;

use session_journal::{
    Came, Cause, Error, ErrorKind, Expect, Journal, Mark, NewRecord, Options, Reader, Sequence,
    Session,
};
use support::{Bench, cut, expecting, lazily, name, record, store_in, take_over};

fn append_if(journal: &mut Journal, expect: Expect) -> Result<u64, Error> {
    journal
        .append_all(&[record("conditional").kind("answer")], &expecting(expect))
        .map(|all| all[0].sequence.get())
}

fn came(error: &Error) -> (u64, u64, Vec<Came>) {
    let Cause::Conflict { since, last, came } = error.cause() else { panic!("{error}") };
    (since.get(), last.get(), came.clone())
}

fn one(sequence: u64, kind: &str, key: &str) -> Came {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Came { sequence: Sequence::new(sequence), kind: text(kind), key: text(key) }
}

#[test]
fn nothing_since_holds_until_any_record_comes() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let start = journal.mark();
    assert_eq!((start.sequence, start.checksum), (Sequence::ZERO, 0));
    assert_eq!(append_if(&mut journal, Expect::NothingSince(start)).unwrap(), 1);
    let mark = journal.mark();
    assert_eq!(append_if(&mut journal, Expect::NothingSince(mark)).unwrap(), 2);

    journal.append(&record("x").kind("note").key("n1")).unwrap();
    let before = bench.bytes();
    let error = append_if(&mut journal, Expect::NothingSince(mark)).unwrap_err();
    assert_eq!(came(&error), (1, 3, vec![one(2, "answer", ""), one(3, "note", "n1")]));
    let error = append_if(&mut journal, Expect::NothingSince(start)).unwrap_err();
    assert_eq!(came(&error).2.len(), 3);
    assert_eq!(bench.bytes(), before, "a conflict writes nothing");
}

/// B2, B3: delivery mirrors, settings and announcements are no conflict where the caller says so.
#[test]
fn only_kinds_since_lets_those_kinds_pass_and_names_only_the_others() {
    let bench = Bench::new();
    let mut journal = bench.create();
    journal.append(&record("prompt").kind("prompt")).unwrap();
    let mark = journal.mark();
    let kinds = || vec!["mirror".to_owned(), "setting".to_owned(), "answer".to_owned()];
    for kind in ["mirror", "setting", "mirror"] {
        journal.append(&record("x").kind(kind)).unwrap();
    }
    assert_eq!(append_if(&mut journal, Expect::OnlyKindsSince(mark, kinds())).unwrap(), 5);
    journal.append(&record("x").kind("prompt").key("p2")).unwrap();
    journal.append(&record("a record without a kind")).unwrap();
    let error = append_if(&mut journal, Expect::OnlyKindsSince(mark, kinds())).unwrap_err();
    assert_eq!(came(&error), (1, 7, vec![one(6, "prompt", "p2"), one(7, "", "")]));
    let none = Expect::OnlyKindsSince(journal.mark(), Vec::new());
    assert_eq!(append_if(&mut journal, none).unwrap(), 8);
}

/// C5: the parent of an append is what the caller saw last, or the append is refused.
#[test]
fn last_is_holds_for_the_last_record_only() {
    let bench = Bench::new();
    let mut journal = bench.create();
    assert_eq!(append_if(&mut journal, Expect::LastIs(Sequence::ZERO)).unwrap(), 1);
    assert_eq!(append_if(&mut journal, Expect::LastIs(Sequence::new(1))).unwrap(), 2);
    for wrong in [0, 1, 3, 100] {
        let error = append_if(&mut journal, Expect::LastIs(Sequence::new(wrong))).unwrap_err();
        let (since, last, _) = came(&error);
        assert_eq!((since, last), (wrong, 2));
    }
    assert_eq!(append_if(&mut journal, Expect::LastIs(Sequence::new(2))).unwrap(), 3);
}

/// Two conditional appends on one mark: exactly one of them goes in.
#[test]
fn of_two_appends_under_one_mark_one_is_stored() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let session = store.create_blocking(&name("a")).unwrap();
    for _ in 0..50 {
        let mark = session.mark();
        let stored: usize = std::thread::scope(|scope| {
            let one = |_| {
                scope.spawn(|| {
                    session
                        .append_all_blocking(
                            vec![record("x")],
                            expecting(Expect::NothingSince(mark)),
                        )
                        .is_ok()
                })
            };
            let threads: Vec<_> = (0..3).map(one).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(stored, 1);
    }
    assert_eq!(session.last_sequence().get(), 50);
}

#[test]
fn a_refusal_hands_the_records_back() {
    let bench = Bench::new();
    let session = store_in(bench.folder(), bench.options()).create_blocking(&name("a")).unwrap();
    let mark = session.mark();
    session.append_blocking("other").unwrap();
    let records: Vec<NewRecord> =
        vec![record("one").kind("k").key("x").parent("p").time_ms(5), record("two")];
    let rejected = session
        .append_all_blocking(records.clone(), expecting(Expect::NothingSince(mark)))
        .unwrap_err();
    assert_eq!(rejected.error.kind(), ErrorKind::Conflict);
    assert_eq!(rejected.records, records);
    let now = expecting(Expect::NothingSince(session.mark()));
    assert_eq!(session.append_all_blocking(rejected.records, now).unwrap()[1].sequence.get(), 3);
}

/// A mark is a value: it outlives the handle, a crash, a takeover and a compaction.
#[test]
fn a_mark_holds_across_reopening_takeover_and_compaction() {
    let bench = Bench::new();
    let options = Options { checkpoint_records: 4, ..bench.options() };
    let mut journal = bench.create_with(&options);
    for number in 1..=10 {
        journal.append(&record(&format!("{number}")).kind("n")).unwrap();
    }
    let mark = journal.mark();
    assert_eq!(Reader::open(&bench.path).unwrap().mark(), mark, "a reader says the same");
    journal.close().unwrap();
    let journal = Journal::open(&bench.path, &options).unwrap();
    assert_eq!(journal.mark(), mark);
    drop(journal);
    let mut journal = Journal::open(&bench.path, &options).unwrap();
    assert_eq!(append_if(&mut journal, Expect::NothingSince(mark)).unwrap(), 11);
    journal.compact().unwrap();
    let error = append_if(&mut journal, Expect::NothingSince(mark)).unwrap_err();
    assert_eq!(came(&error), (10, 11, vec![one(11, "answer", "")]));
    let later = journal.mark();
    let mut other = take_over(&bench.path, "other");
    assert_eq!(other.mark(), later);
    assert_eq!(append_if(&mut other, Expect::NothingSince(later)).unwrap(), 12);
    let fenced = append_if(&mut journal, Expect::NothingSince(later)).unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Fenced);
}

/// H11: a record that was written but not durable is lost, and its number used again: the old mark
/// is of another history.
#[test]
fn a_mark_whose_record_was_lost_and_its_number_used_again_has_diverged() {
    let bench = Bench::new();
    let mut journal = bench.create_with(&lazily(bench.options()));
    journal.append(&record("durable")).unwrap();
    journal.sync().unwrap();
    let end = bench.len();
    let good = journal.mark();
    journal.append(&record("lost")).unwrap();
    let lost = journal.mark();
    drop(journal);
    cut(&bench.path, end);

    let mut journal = bench.open().unwrap();
    let ahead = append_if(&mut journal, Expect::NothingSince(lost)).unwrap_err();
    assert_eq!(ahead.kind(), ErrorKind::Diverged, "the journal ends before the mark");
    journal.append(&record("other").kind("k")).unwrap();
    for expect in [Expect::NothingSince(lost), Expect::OnlyKindsSince(lost, vec!["k".into()])] {
        let error = append_if(&mut journal, expect).unwrap_err();
        let Cause::Diverged { mark, .. } = error.cause() else { panic!("{error}") };
        assert_eq!(*mark, lost);
    }
    journal.append(&record("third")).unwrap();
    let error = append_if(&mut journal, Expect::NothingSince(lost)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged, "also further back");
    assert_eq!(
        append_if(&mut journal, Expect::OnlyKindsSince(good, vec![])).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(bench.texts(), ["durable", "other", "third"]);
}

/// L1: whoever reads the file knows more of it than an owner that was taken over and has not noticed.
/// What is expected beyond that owner's end is no other history, and no conflict to try again.
#[test]
fn an_owner_that_was_taken_over_says_so_where_more_is_expected_than_it_knows() {
    for expects_mark in [true, false] {
        let bench = Bench::new();
        let mut first = bench.create();
        first.append(&record("one")).unwrap();
        let mut second = bench.take_over("second");
        second.append(&record("two")).unwrap();
        let mark = Reader::open(&bench.path).unwrap().mark();
        let expect =
            if expects_mark { Expect::NothingSince(mark) } else { Expect::LastIs(mark.sequence) };
        let error = append_if(&mut first, expect).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        assert_eq!(append_if(&mut first, Expect::Anything).unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(bench.texts(), ["one", "two"]);
    }
}

/// B10, C7: a mark of another journal is refused, whatever its number.
#[test]
fn a_mark_of_another_journal_has_diverged() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let mut other =
        Journal::create(bench.folder().join("b.journal"), &name("b"), &bench.options()).unwrap();
    for one in [&mut journal, &mut other] {
        one.append(&record("same")).unwrap();
    }
    let foreign = other.mark();
    let error = append_if(&mut journal, Expect::NothingSince(foreign)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
    let start = Mark { sequence: Sequence::ZERO, checksum: 0, ..foreign };
    let error = append_if(&mut journal, Expect::NothingSince(start)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
}

/// C8: after a refusal memory and disk agree, and the next append works.
#[test]
fn a_refused_append_leaves_no_trace_in_memory() {
    let bench = Bench::new();
    let mut journal = bench.create();
    let mark = journal.mark();
    journal.append(&record("one")).unwrap();
    let batch = [record("x").key("x"), record("y").key("y").parent("x")];
    let error = journal.append_all(&batch, &expecting(Expect::NothingSince(mark))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let stored = journal.append_all(&batch, &expecting(Expect::Anything)).unwrap();
    assert!(stored.iter().all(|one| !one.duplicate));
    let reader = journal.reader().unwrap();
    assert_eq!(reader.path_to_root("y").unwrap().count(), 2);
    assert_eq!(bench.texts(), ["one", "x", "y"]);
}

/// B3, B4: what other producers append is never an error for an unconditional append.
#[test]
fn unconditional_appends_never_fail_for_what_others_append() {
    let bench = Bench::new();
    let session = store_in(bench.folder(), bench.options()).create_blocking(&name("a")).unwrap();
    let producer = |session: &Session, number: usize| {
        for i in 0..100 {
            session.append_blocking(format!("{number} {i}").into_bytes()).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for number in 0..4 {
            let session = &session;
            scope.spawn(move || producer(session, number));
        }
    });
    let texts = support::texts(session.path());
    assert_eq!(texts.len(), 400);
    for number in 0..4 {
        let own: Vec<&String> =
            texts.iter().filter(|text| text.starts_with(&format!("{number} "))).collect();
        let order: Vec<String> = (0..100).map(|i| format!("{number} {i}")).collect();
        assert_eq!(own, order.iter().collect::<Vec<_>>(), "each producer's order is kept");
    }
}
