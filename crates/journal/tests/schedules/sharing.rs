//! What several users and sessions share: one owner a journal, few file handles, one copy at a time.

use session_journal::{ErrorKind, Session, Store, StoreOptions};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use super::explore::explore;
use super::machine::{Machine, Told, kind, name, named, record, written_soon_synced};

pub(crate) fn many_openers(machine: &Machine) {
    let store = machine.store(1);
    let told = Told::default();
    let openers: Vec<JoinHandle<_>> = ["a1", "b1", "c1"]
        .into_iter()
        .map(|text| {
            let (store, told) = (store.clone(), told.clone());
            thread::spawn(move || {
                let session = if text == "a1" {
                    block_on(store.open_or_create(&name())).unwrap()
                } else {
                    store.open_or_create_blocking(&name()).unwrap()
                };
                session.append_blocking(record(text)).unwrap();
                told.stored(text, text);
                session
            })
        })
        .collect();
    let sessions: Vec<_> = openers.into_iter().map(|opener| opener.join().unwrap()).collect();
    for session in &sessions {
        assert_eq!(session.generation().get(), 1, "all of them share one owner");
        assert_eq!(session.last_sequence().get(), 3);
    }
    told.check(&machine.texts(&store, &name()), &[]);
}

#[test]
fn of_many_who_open_or_create_at_once_all_share_one_owner() {
    explore("of_many_who_open_or_create", many_openers);
}

/// Appends to a session of its own, and sees that the bound on file handles holds.
fn busy(
    store: &Store,
    told: &Told,
    id: &'static str,
    texts: &'static [&'static str],
) -> JoinHandle<Session> {
    let (store, told) = (store.clone(), told.clone());
    thread::spawn(move || {
        let session = store.open_or_create_blocking(&named(id)).unwrap();
        for text in texts {
            block_on(session.append(record(text))).unwrap();
            told.stored(id, text);
            assert!(store.file_handles() <= 2, "no more than one session's");
        }
        // Not only what it was told: what is in the file when the handles were given back.
        session.sync_blocking().unwrap();
        session
    })
}

pub(crate) fn few_handles(machine: &Machine) {
    let settings = machine.settings(1);
    let journal = written_soon_synced(settings.journal.clone());
    let store = machine.store_with(StoreOptions { file_handles_max: 2, journal, ..settings });
    let told = Told::default();
    let threads =
        [busy(&store, &told, "a", &["a1", "a2"]), busy(&store, &told, "b", &["b1", "b2"])];
    // Held, all of them, so that nobody gets the handles of one that ended.
    let sessions = threads.map(|thread| thread.join().unwrap());
    assert!(sessions.iter().all(|session| session.last_sequence().get() == 2));
    let mut texts = machine.texts(&store, &named("a"));
    texts.extend(machine.texts(&store, &named("b")));
    assert_eq!(told.count(), 4);
    told.check(&texts, &[]);
}

#[test]
fn sessions_that_share_few_file_handles_all_go_on() {
    explore("sessions_that_share_few_file_handles", few_handles);
}

/// Three sessions share one session's handles, and another process takes one of them.
pub(crate) fn few_handles_and_another_owner(machine: &Machine) {
    let store = machine.store_with(StoreOptions { file_handles_max: 2, ..machine.settings(1) });
    let other = machine.store(2);
    let told = Told::default();
    let taken = store.create_blocking(&named("a")).unwrap();
    let threads = [busy(&store, &told, "b", &["b1"]), busy(&store, &told, "c", &["c1"])];
    let taker = thread::spawn(move || {
        let name = named("a");
        let session = block_on(other.take_over(&name)).unwrap();
        session.append_blocking(record("a2")).unwrap();
    });
    match taken.append_blocking(record("a1")) {
        Ok(_) => told.stored("a", "a1"),
        Err(refused) => assert_eq!(kind(&refused), ErrorKind::Fenced),
    }
    taker.join().unwrap();
    told.stored("other", "a2");
    let late = taken.append_blocking(record("late")).unwrap_err();
    assert_eq!(kind(&late), ErrorKind::Fenced);
    let sessions = threads.map(|thread| thread.join().unwrap());
    let mut texts = machine.texts(&store, &named("a"));
    for (session, id) in sessions.iter().zip(["b", "c"]) {
        assert_eq!(session.last_sequence().get(), 1);
        texts.extend(machine.texts(&store, &named(id)));
    }
    told.check(&texts, &[]);
    assert!(store.file_handles() <= 2);
}

#[test]
fn a_session_that_is_fenced_while_its_handles_are_given_back_keeps_none() {
    explore("a_session_that_is_fenced_while", few_handles_and_another_owner);
}

/// A compaction, or the reason why there was none.
fn compacting(session: &Session) -> JoinHandle<bool> {
    let session = session.clone();
    thread::spawn(move || match block_on(session.compact()) {
        Ok(_) => true,
        Err(error) => {
            let refused = [ErrorKind::Invalid, ErrorKind::Closed];
            assert!(refused.contains(&error.kind()), "{error}");
            false
        }
    })
}

pub(crate) fn compactions(machine: &Machine) {
    let store = machine.store(1);
    let session = store.create_blocking(&name()).unwrap();
    let told = Told::default();
    session.append_blocking(record("first")).unwrap();
    told.stored("zero", "first");
    let copies = [compacting(&session), compacting(&session)];
    let producer = {
        let (session, machine, told) = (session.clone(), machine.clone(), told.clone());
        thread::spawn(move || {
            for text in ["a1", "a2"] {
                match block_on(session.append(record(text))) {
                    Ok(appended) => {
                        machine.heard(&session, &appended);
                        told.stored("one", text);
                    }
                    Err(refused) => return assert_eq!(kind(&refused), ErrorKind::Closed),
                }
            }
        })
    };
    producer.join().unwrap();
    session.close_blocking().unwrap();
    for copy in copies {
        copy.join().unwrap();
    }
    told.check(&machine.texts(&store, &name()), &[]);
    let again = store.open_session_blocking(&name()).unwrap();
    again.append_blocking(record("again")).unwrap();
    assert_eq!(machine.disk.names().len(), 1, "no copy is left beside the journal");
}

#[test]
fn compactions_that_race_with_appends_and_a_close_lose_nothing() {
    explore("compactions_that_race", compactions);
}
