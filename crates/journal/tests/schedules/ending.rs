//! Ends of a session, and what races with them: closing, the last handle, deletion, another owner.

use session_journal::{AppendOptions, ErrorKind, Options, Session, StoreOptions};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use super::explore::explore;
use super::machine::{Machine, Told, kind, name, record, written_soon_synced};

/// Appends until it is told that the session ended, and for that reason.
fn appending_until(
    machine: &Machine,
    session: &Session,
    told: &Told,
    producer: &'static str,
    texts: &'static [&'static str],
    ends: &'static [ErrorKind],
) -> JoinHandle<()> {
    let (machine, session, told) = (machine.clone(), session.clone(), told.clone());
    thread::spawn(move || {
        for (nth, text) in texts.iter().enumerate() {
            let records = vec![record(text)];
            let options = AppendOptions::default();
            // Both ways in, in turn.
            let answer = if nth % 2 == 0 {
                session.append_all_blocking(records, options)
            } else {
                block_on(session.append_all(records, options))
            };
            match answer {
                Ok(appended) => {
                    machine.heard(&session, &appended[0]);
                    told.stored(producer, text);
                }
                Err(refused) => {
                    assert!(ends.contains(&kind(&refused)), "{}", refused.error);
                    assert_eq!(refused.records.len(), 1, "what was not stored comes back");
                    return;
                }
            }
        }
    })
}

pub(crate) fn closing(machine: &Machine) {
    let store = machine.store(1);
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    let closed: &[ErrorKind] = &[ErrorKind::Closed];
    let producers = [
        appending_until(machine, &session, &told, "one", &["a1", "a2"], closed),
        appending_until(machine, &session, &told, "two", &["b1", "b2"], closed),
    ];
    let closer = thread::spawn(move || block_on(session.close()).unwrap());
    closer.join().unwrap();
    // Joins nobody who is closed; what it appends is behind everything that was acknowledged.
    let again = store.open_session_blocking(&name()).unwrap();
    again.append_blocking(record("again")).unwrap();
    for producer in producers {
        producer.join().unwrap();
    }
    told.stored("again", "again");
    told.check(&machine.texts(&store, &name()), &[]);
}

#[test]
fn appends_that_race_with_a_close_are_stored_or_refused_as_closed() {
    explore("appends_that_race_with_a_close", closing);
}

pub(crate) fn the_last_handle(machine: &Machine) {
    let store = machine.store(1);
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    let users = [("one", "a1"), ("two", "b1")].map(|(user, text)| {
        let (session, told) = (session.clone(), told.clone());
        thread::spawn(move || {
            block_on(session.append(record(text))).unwrap();
            told.stored(user, text);
        })
    });
    drop(session);
    let opener = {
        let (store, told) = (store.clone(), told.clone());
        thread::spawn(move || {
            let session = store.open_session_blocking(&name()).unwrap();
            session.append_blocking(record("c1")).unwrap();
            told.stored("three", "c1");
        })
    };
    for user in users {
        user.join().unwrap();
    }
    // Nobody here holds it any more, but for the opener.
    let session = store.open_session_blocking(&name()).unwrap();
    opener.join().unwrap();
    drop(session);
    assert_eq!(told.count(), 3);
    told.check(&machine.texts(&store, &name()), &[]);
}

#[test]
fn whoever_opens_a_session_while_its_last_handle_is_dropped_gets_it() {
    explore("whoever_opens_a_session", the_last_handle);
}

pub(crate) fn deleting(machine: &Machine) {
    let store = machine.store(1);
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    let closed: &[ErrorKind] = &[ErrorKind::Closed];
    let producers = [
        appending_until(machine, &session, &told, "one", &["a1", "a2"], closed),
        appending_until(machine, &session, &told, "two", &["b1"], closed),
    ];
    let deleter = thread::spawn(move || session.delete_blocking().unwrap());
    deleter.join().unwrap();
    for producer in producers {
        producer.join().unwrap();
    }
    assert_eq!(machine.disk.names(), [] as [&std::path::Path; 0]);
    let fresh = store.open_or_create_blocking(&name()).unwrap();
    assert_eq!(fresh.append_blocking(record("first")).unwrap().sequence.get(), 1);
}

#[test]
fn appends_that_race_with_a_deletion_are_answered_and_the_journal_is_gone() {
    explore("appends_that_race_with_a_deletion", deleting);
}

pub(crate) fn fencing(machine: &Machine) {
    // One place: some wait in front of it.
    let store = machine.store_with(StoreOptions { inbox_max: 1, ..machine.settings(1) });
    let other = machine.store(2);
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    let fenced: &[ErrorKind] = &[ErrorKind::Fenced];
    let producers = [
        appending_until(machine, &session, &told, "one", &["a1", "a2"], fenced),
        appending_until(machine, &session, &told, "two", &["b1", "b2"], fenced),
    ];
    let taker = {
        let (machine, told) = (machine.clone(), told.clone());
        thread::spawn(move || {
            let session = block_on(other.take_over(&name())).unwrap();
            let appended = session.append_blocking(record("c1")).unwrap();
            machine.heard(&session, &appended);
            told.stored("three", "c1");
            session.close_blocking().unwrap();
        })
    };
    for producer in producers {
        producer.join().unwrap();
    }
    taker.join().unwrap();
    let late = session.append_blocking(record("late")).unwrap_err();
    assert_eq!(kind(&late), ErrorKind::Fenced);
    told.check(&machine.texts(&store, &name()), &[]);
}

#[test]
fn every_producer_of_a_fenced_owner_hears_of_it_and_nobody_waits_for_ever() {
    explore("every_producer_of_a_fenced_owner", fencing);
}

pub(crate) fn a_panic(machine: &Machine) {
    panics(machine, machine.options(1));
}

/// One that looks for its answer before it sleeps.
pub(crate) fn a_panic_behind_a_look(machine: &Machine) {
    panics(machine, written_soon_synced(machine.options(1)));
}

fn panics(machine: &Machine, journal: Options) {
    let store = machine.store_with(StoreOptions { inbox_max: 1, journal, ..machine.settings(1) });
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    machine.disk.panic_at_the_next_append();
    let ended: &[ErrorKind] = &[ErrorKind::Poisoned, ErrorKind::Unknown];
    let producers = [("one", ["a1", "a2"]), ("two", ["b1", "b2"])].map(|(producer, texts)| {
        let (session, told) = (session.clone(), told.clone());
        thread::spawn(move || {
            for text in texts {
                match block_on(session.append(record(text))) {
                    Ok(_) => told.stored(producer, text),
                    Err(refused) => assert!(ended.contains(&kind(&refused)), "{}", refused.error),
                }
            }
        })
    });
    for producer in producers {
        producer.join().unwrap();
    }
    assert_eq!(told.count(), 0, "the first append of all ended the session");
    // The old handle is still held; what is finished does not stand in the way.
    let again = store.open_session_blocking(&name()).unwrap();
    again.append_blocking(record("again")).unwrap();
    told.stored("again", "again");
    told.check(&machine.texts(&store, &name()), &[]);
    assert_eq!(kind(&session.append_blocking(record("late")).unwrap_err()), ErrorKind::Poisoned);
}

#[test]
fn a_panic_in_a_turn_ends_the_session_and_leaves_nobody_waiting() {
    explore("a_panic_in_a_turn", a_panic);
}

#[test]
fn a_panic_in_a_turn_whose_answer_is_looked_for_leaves_nobody_waiting() {
    explore("a_panic_behind_a_look", a_panic_behind_a_look);
}

pub(crate) fn deleters_and_openers(machine: &Machine) {
    let store = machine.store(1);
    store.create_blocking(&name()).unwrap().append_blocking(record("first")).unwrap();
    let deleters = [(); 2].map(|()| {
        let store = store.clone();
        thread::spawn(move || match block_on(store.delete(&name())) {
            Ok(()) => {}
            // Another deleter was faster.
            Err(error) => {
                let answers = [ErrorKind::NotFound, ErrorKind::Closed];
                assert!(answers.contains(&error.kind()), "{error}");
            }
        })
    });
    let opener = {
        let store = store.clone();
        thread::spawn(move || {
            let session = store.open_or_create_blocking(&name()).unwrap();
            match session.append_blocking(record("second")) {
                Ok(_) => {}
                Err(refused) => assert_eq!(kind(&refused), ErrorKind::Closed),
            }
        })
    };
    for deleter in deleters {
        deleter.join().unwrap();
    }
    opener.join().unwrap();
    let session = store.open_or_create_blocking(&name()).unwrap();
    session.append_blocking(record("last")).unwrap();
    let stored = machine.texts(&store, &name());
    assert!(stored == ["last"] || stored == ["second", "last"], "{stored:?}");
}

#[test]
fn of_many_who_delete_and_open_a_session_each_is_answered() {
    explore("of_many_who_delete_and_open", deleters_and_openers);
}

pub(crate) fn a_compaction_is_fenced(machine: &Machine) {
    let (store, other) = (machine.store(1), machine.store(2));
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    let fenced: &[ErrorKind] = &[ErrorKind::Fenced];
    let producer = appending_until(machine, &session, &told, "one", &["a1", "a2"], fenced);
    let copy = thread::spawn(move || match block_on(session.compact()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Fenced, "{error}"),
    });
    let taker = {
        let told = told.clone();
        thread::spawn(move || {
            let session = block_on(other.take_over(&name())).unwrap();
            session.append_blocking(record("b1")).unwrap();
            told.stored("two", "b1");
        })
    };
    for thread in [producer, copy, taker] {
        thread.join().unwrap();
    }
    told.check(&machine.texts(&store, &name()), &[]);
}

#[test]
fn a_compaction_that_is_fenced_loses_nothing_and_nobody_waits_for_ever() {
    explore("a_compaction_that_is_fenced", a_compaction_is_fenced);
}
