//! A folder of sessions: names, listing, one actor per session, bounded file handles, and what
//! happens to a session whose descriptors were given back.

mod support;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use session_journal::{
    Cause, ErrorKind, Host, Liveness, LocalHost, Options, Owner, Session, SessionName, State,
    Store, StoreOptions,
};
use support::disk::{EIO, FaultDisk, Op};
use support::{Bench, by_force, cut, name, options_on, record, store_in, take_over};

fn store_with(bench: &Bench, file_handles_max: usize) -> Store {
    let options =
        StoreOptions { journal: bench.options(), file_handles_max, ..StoreOptions::default() };
    Store::open(bench.folder().join("store"), options).unwrap()
}

/// A clock that a test sets.
#[derive(Debug)]
struct Clock(AtomicI64);

impl Host for Clock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        LocalHost.fill_random(bytes)
    }

    fn owner(&self, label: &str) -> io::Result<Owner> {
        LocalHost.owner(label)
    }

    fn liveness(&self, owner: &Owner) -> Liveness {
        LocalHost.liveness(owner)
    }

    fn retire(&self, owner: &Owner) {
        LocalHost.retire(owner);
    }

    fn pid(&self) -> u32 {
        LocalHost.pid()
    }
}

// ---- names -----------------------------------------------------------------------------------

/// I5: whatever a session is called, it gets a file, and comes back under its name.
#[test]
fn names_of_any_kind_round_trip_through_a_listing() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let long = "long ".repeat(100);
    let ids = [
        "a",
        "A",
        "agent:main:main",
        "..",
        ".",
        ".hidden",
        "con",
        "nul.txt",
        "a/b/c",
        "/a",
        "a\\b",
        "😀 emoji",
        "ümlaut",
        "UPPER lower",
        "x.journal",
        "trailing.",
        "trailing ",
        "a%2fb",
        "~",
        "new\nline",
        "nul\0byte",
        "*?<>|\"",
        &long,
    ];
    let mut names: Vec<SessionName> = Vec::new();
    for agent in [None, Some("main"), Some("Main"), Some("ma:in"), Some("..")] {
        names.extend(ids.iter().map(|id| SessionName::new(agent, id).unwrap()));
    }
    for (i, name) in names.iter().enumerate() {
        assert!(!store.exists(name), "{name:?}");
        let session = store.create_blocking(name).unwrap();
        session.append_blocking(format!("{i}").into_bytes()).unwrap();
        assert!(session.path().starts_with(store.dir()), "{name:?} stays in the folder");
        session.close_blocking().unwrap();
    }
    let mut listed: Vec<SessionName> =
        store.list().unwrap().into_iter().map(|one| one.name).collect();
    listed.sort();
    let mut expected = names.clone();
    expected.sort();
    assert_eq!(listed, expected);
    for (i, name) in names.iter().enumerate() {
        assert!(store.exists(name));
        let reader = store.reader(name).unwrap();
        assert_eq!(reader.name(), name);
        let one = reader.records().next().unwrap().unwrap();
        assert_eq!(support::text(&one), format!("{i}"), "{name:?} has its own file");
    }
}

#[test]
fn a_name_or_its_beginning_means_one_session_or_is_refused() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let long = format!("long-{}", "x".repeat(300));
    for (agent, id) in [
        (Some("main"), "chat-1"),
        (Some("main"), "chat-2"),
        (Some("main"), "chat-10"),
        (Some("other"), "chat-2"),
        (None, "alone"),
        (Some("main"), "twin"),
        (Some("other"), "twin"),
        (None, &long),
    ] {
        let name = SessionName::new(agent, id).unwrap();
        store.create_blocking(&name).unwrap().close_blocking().unwrap();
    }
    let found = |text: &str| store.resolve(text).map(|name| name.to_string());
    let named = |text: &str| store.named(text).expect("lists").map(|name| name.to_string());
    assert_eq!(found("main/chat-1").unwrap(), "main/chat-1", "exactly, although chat-10 begins so");
    assert_eq!(found("chat-1").unwrap(), "main/chat-1", "a bare id exactly");
    assert_eq!(found("chat-10").unwrap(), "main/chat-10");
    for (text, name) in [("main/chat-1", "main/chat-1"), ("chat-1", "main/chat-1"), (&long, &long)]
    {
        assert_eq!(named(text).as_deref(), Some(name), "{text}");
    }
    for beginning in ["chat", "al", "main/chat", "twin", ""] {
        assert_eq!(named(beginning), None, "{beginning:?} is no name, or that of two");
    }
    assert_eq!(found("main/chat-10").unwrap(), "main/chat-10");
    assert_eq!(found("other/c").unwrap(), "other/chat-2");
    assert_eq!(found("al").unwrap(), "alone");
    assert_eq!(found("long").unwrap(), long, "also one whose file name had to be cut");
    for ambiguous in ["chat", "twin", "main/chat-", "main", ""] {
        let error = store.resolve(ambiguous).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{ambiguous:?}: {error}");
    }
    let told = store.resolve("twin").unwrap_err().to_string();
    assert!(told.contains("main/twin") && told.contains("other/twin"), "{told}");
    for missing in ["x", "main/x", "chat-3", "alone2", "../alone", "main/chat-1/"] {
        assert_eq!(store.resolve(missing).unwrap_err().kind(), ErrorKind::NotFound, "{missing:?}");
    }
}

// ---- listing ---------------------------------------------------------------------------------

#[test]
fn a_listing_is_newest_first_and_reads_header_pages_only() {
    let bench = Bench::new();
    let clock = Arc::new(Clock(AtomicI64::new(1000)));
    let disk = FaultDisk::new();
    let journal = Options { host: Arc::clone(&clock) as Arc<dyn Host>, ..options_on(&disk) };
    let store = store_in(bench.folder(), journal);
    for id in ["first", "second", "third"] {
        clock.0.fetch_add(1000, Ordering::Relaxed);
        let session = store.create_blocking(&name(id)).unwrap();
        for _ in 0..50 {
            session.append_blocking(vec![b'x'; 1000]).unwrap();
        }
        clock.0.fetch_add(1000, Ordering::Relaxed);
        session.close_blocking().unwrap();
    }
    clock.0.fetch_add(1000, Ordering::Relaxed);
    let first = store.open_session_blocking(&name("first")).unwrap();
    disk.forget_calls();
    let listed = store.list().unwrap();
    let order: Vec<&str> = listed.iter().map(|one| one.name.id()).collect();
    assert_eq!(order, ["first", "third", "second"]);
    let reads: Vec<_> = disk.calls().into_iter().filter(|call| call.op == Op::ReadAt).collect();
    assert_eq!(reads.len(), 3, "one read a session");
    assert!(reads.iter().all(|call| call.offset + call.bytes <= 4096), "{reads:?}");

    assert_eq!(listed[0].state, State::Open);
    assert_eq!(listed[0].generation, first.generation());
    assert_eq!(listed[0].owner.as_ref().unwrap().pid, std::process::id());
    for one in &listed {
        assert_eq!((one.records, one.damaged), (50, false), "{one:?}");
        assert!(one.error.is_none());
        assert_eq!(one.bytes, fs::metadata(&one.path).unwrap().len());
    }
    assert_eq!((listed[2].state, listed[2].owner.is_none()), (State::Released, true));
    assert_eq!((listed[2].created_ms, listed[2].updated_ms), (4000, 5000));
    drop(first);
}

/// K5, L5: what cannot be read is listed with its error; what is no journal is not listed.
#[test]
fn a_listing_shows_unreadable_journals_and_nothing_else() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    store.create_blocking(&name("good")).unwrap().close_blocking().unwrap();
    fs::write(store.dir().join("empty.journal"), b"").unwrap();
    fs::write(store.dir().join("text.journal"), b"not a journal").unwrap();
    fs::write(store.dir().join("notes.txt"), b"x").unwrap();
    fs::write(store.dir().join(".good.0123.new"), b"x").unwrap();
    fs::create_dir_all(store.dir().join("agent/deeper")).unwrap();
    fs::write(store.dir().join("agent/deeper/x.journal"), b"x").unwrap();
    let listed = store.list().unwrap();
    let names: Vec<(&str, bool)> =
        listed.iter().map(|one| (one.name.id(), one.error.is_some())).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&("good", false)));
    assert!(names.contains(&("empty", true)) && names.contains(&("text", true)));
    for one in listed.iter().filter(|one| one.error.is_some()) {
        assert_eq!(one.error.as_ref().unwrap().kind(), ErrorKind::NotAJournal);
        assert!(one.id.is_none() && one.damaged);
    }
}

// ---- one actor per session -------------------------------------------------------------------

#[test]
fn opening_twice_in_one_process_joins() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let first = store.create_blocking(&name("a")).unwrap();
    let second = store.clone().open_session_blocking(&name("a")).unwrap();
    let third = store.open_or_create_blocking(&name("a")).unwrap();
    let forced = store.open_session_with(&name("a"), &by_force("x")).unwrap();
    for (i, one) in [&first, &second, &third, &forced].into_iter().enumerate() {
        assert_eq!(one.append_blocking("x").unwrap().sequence.get(), i as u64 + 1);
        assert_eq!(one.generation().get(), 1);
    }
    assert_eq!(first.mark(), forced.mark());
    assert_eq!(store.file_handles(), 2);
    let again = store.create_blocking(&name("a")).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert_eq!(first.append_blocking("x").unwrap().sequence.get(), 5, "and changes nothing");
}

/// A6: many openers at once in one process: one owner, no spurious error.
#[test]
fn many_openers_at_once_share_one_owner() {
    for _ in 0..10 {
        let bench = Bench::new();
        let store = store_in(bench.folder(), bench.options());
        let sessions: Vec<Session> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| store.open_or_create_blocking(&name("a")).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for session in &sessions {
            assert_eq!(session.generation().get(), 1);
            session.append_blocking("x").unwrap();
        }
        assert_eq!(support::texts(sessions[0].path()).len(), 8);
    }
}

/// Two stores on one folder are two owners, as two processes would be.
#[test]
fn two_stores_on_one_folder_compete_as_processes_do() {
    let bench = Bench::new();
    let (one, two) = (store_with(&bench, 8), store_with(&bench, 8));
    let held = one.create_blocking(&name("a")).unwrap();
    let error = two.open_session_blocking(&name("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HeldBy);
    held.append_blocking("one").unwrap();
    let taken = two.open_session_with(&name("a"), &by_force("two")).unwrap();
    taken.append_blocking("two").unwrap();
    let error = held.append_blocking("late").unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(support::texts(held.path()), ["one", "two"]);
}

/// What a failure finished stands in nobody's way, though somebody still holds a handle of it.
#[test]
fn a_poisoned_session_is_opened_again_beside_its_old_handle() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let old = store.create_blocking(&name("a")).unwrap();
    old.append_blocking("one").unwrap();
    bench.disk.fail(Op::Sync, 1, EIO);
    let error = old.append_blocking("unknown").unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::Unknown);
    let again = store.open_session_blocking(&name("a")).unwrap();
    again.append_blocking("two").unwrap();
    let error = old.append_blocking("late").unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    assert_eq!(support::texts(again.path()), ["one", "unknown", "two"]);
}

#[test]
fn what_does_not_exist_is_not_found_and_not_made() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let missing = SessionName::new(Some("agent"), "x").unwrap();
    assert_eq!(store.open_session_blocking(&missing).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.reader(&missing).unwrap_err().kind(), ErrorKind::NotFound);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let deleted = runtime.block_on(store.delete(&missing));
    assert_eq!(deleted.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read_dir(store.dir()).unwrap().count(), 0);
}

/// Folder and files are their owner's alone.
#[test]
fn folders_are_0700_and_files_0600() {
    let bench = Bench::new();
    let store = store_in(bench.folder(), bench.options());
    let session = store.create_blocking(&SessionName::new(Some("agent"), "a").unwrap()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.dir()), 0o700);
    assert_eq!(mode(session.path().parent().unwrap()), 0o700);
    assert_eq!(mode(session.path()), 0o600);
    session.append_blocking("x").unwrap();
    session.compact_blocking().unwrap();
    assert_eq!(mode(session.path()), 0o600, "also the file of a compaction");
    let error = Store::open(session.path(), StoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "a file is no store: {error}");
}

// ---- bounded handles -------------------------------------------------------------------------

/// Descriptors of this process that lead into a folder.
fn descriptors_into(folder: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.starts_with(folder))
        .count()
}

/// H26: two hundred sessions on sixteen handles; each works, none knows of the others.
#[test]
fn two_hundred_sessions_share_a_few_file_handles() {
    let bench = Bench::new();
    let store = store_with(&bench, 16);
    let sessions: Vec<Session> =
        (0..200).map(|i| store.create_blocking(&name(&format!("{i}"))).unwrap()).collect();
    for round in 1..=3 {
        for session in &sessions {
            assert_eq!(session.append_blocking("x").unwrap().sequence.get(), round);
        }
        assert!(store.file_handles() <= 16);
        assert!(descriptors_into(store.dir()) <= 16);
    }
    std::thread::scope(|scope| {
        for part in sessions.chunks(50) {
            scope.spawn(move || {
                for session in part {
                    session.append_blocking("x").unwrap();
                }
            });
        }
        for _ in 0..50 {
            assert!(store.file_handles() <= 16);
        }
    });
    for session in sessions {
        assert_eq!(session.generation().get(), 1, "parking is not a takeover");
        assert_eq!(support::texts(session.path()).len(), 4);
        session.close_blocking().unwrap();
    }
    assert_eq!(store.file_handles(), 0);
    assert_eq!(descriptors_into(store.dir()), 0);
    assert!(store.list().unwrap().iter().all(|one| one.state == State::Released));
}

/// A session that was parked: another one was used on the only handles that there are.
fn parked(bench: &Bench) -> (Store, Session) {
    let store = store_with(bench, 2);
    let session = store.create_blocking(&name("parked")).unwrap();
    session.append_blocking("one").unwrap();
    session.append_blocking("two").unwrap();
    let other = store.create_blocking(&name("other")).unwrap();
    other.append_blocking("x").unwrap();
    assert_eq!(descriptors_into(&session.path().canonicalize().unwrap()), 0);
    (store, session)
}

fn assert_finished(session: &Session, kind: ErrorKind) {
    for _ in 0..2 {
        let error = session.append_blocking("late").unwrap_err().error;
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn a_parked_session_goes_on_where_it_was() {
    let bench = Bench::new();
    let (_store, session) = parked(&bench);
    assert_eq!(session.append_blocking(record("three").key("k")).unwrap().sequence.get(), 3);
    assert_eq!(support::texts(session.path()), ["one", "two", "three"]);
}

/// H26: written bytes are synced before their descriptor is closed.
#[test]
fn what_is_written_is_synced_before_a_session_is_parked() {
    let bench = Bench::new();
    let journal = support::lazily(bench.options());
    let options = StoreOptions { journal, file_handles_max: 2, ..StoreOptions::default() };
    let store = Store::open(bench.folder().join("store"), options).unwrap();
    let session = store.create_blocking(&name("a")).unwrap();
    session.append_blocking("one").unwrap();
    assert_eq!(session.durable_through().get(), 0);
    drop(store.create_blocking(&name("b")).unwrap());
    assert_eq!(session.durable_through().get(), 1);
}

#[test]
fn a_parked_session_that_was_taken_over_is_fenced() {
    for compacted in [false, true] {
        let bench = Bench::new();
        let (_store, session) = parked(&bench);
        let mut other = take_over(session.path(), "elsewhere");
        other.append(&record("three")).unwrap();
        if compacted {
            other.compact().unwrap();
        }
        let error = session.append_blocking("late").unwrap_err().error;
        let Cause::Fenced { held, current, owner } = error.cause() else { panic!("{error}") };
        assert_eq!((held.get(), current.get()), (1, 2));
        assert_eq!(owner.as_ref().unwrap().label, "elsewhere");
        assert_finished(&session, ErrorKind::Fenced);
        assert_eq!(support::texts(session.path()), ["one", "two", "three"]);
    }
}

#[test]
fn a_parked_session_whose_file_is_gone_or_another_is_detached() {
    let bench = Bench::new();
    let (store, session) = parked(&bench);
    fs::remove_file(session.path()).unwrap();
    assert_finished(&session, ErrorKind::Detached);
    assert!(!session.path().exists(), "nothing is made in its place");

    let bench = Bench::new();
    let (_other_store, session) = parked(&bench);
    fs::copy(store.path_of(&name("other")), session.path()).unwrap();
    let before = fs::read(session.path()).unwrap();
    assert_finished(&session, ErrorKind::Detached);
    assert_eq!(fs::read(session.path()).unwrap(), before);
}

#[test]
fn a_parked_session_whose_file_was_shortened_says_so() {
    for keep in [0, 100, 4096, 4200] {
        let bench = Bench::new();
        let (_store, session) = parked(&bench);
        cut(session.path(), keep);
        let before = fs::read(session.path()).unwrap();
        assert_finished(&session, ErrorKind::Shortened);
        assert_eq!(fs::read(session.path()).unwrap(), before, "{keep} bytes were left");
    }
    let bench = Bench::new();
    let (_store, session) = parked(&bench);
    cut(session.path(), fs::metadata(session.path()).unwrap().len() - 1);
    assert_finished(&session, ErrorKind::Shortened);
}

/// H26: an older copy of the same journal was put in its place.
#[test]
fn a_parked_session_whose_file_was_restored_from_a_backup_appends_nothing_to_it() {
    let bench = Bench::new();
    let store = store_with(&bench, 2);
    let session = store.create_blocking(&name("parked")).unwrap();
    session.append_blocking("one").unwrap();
    let backup = bench.folder().join("backup");
    fs::copy(session.path(), &backup).unwrap();
    session.append_blocking("two").unwrap();
    drop(store.create_blocking(&name("other")).unwrap());
    fs::rename(&backup, session.path()).unwrap();
    let before = fs::read(session.path()).unwrap();
    let error = session.append_blocking("late").unwrap_err().error;
    assert!(matches!(error.kind(), ErrorKind::Shortened | ErrorKind::Detached), "{error}");
    assert_eq!(fs::read(session.path()).unwrap(), before);
}

/// B8: the same bytes in another inode, other times, another mode: no effect on a parked session.
#[test]
fn a_parked_session_does_not_care_about_inodes_and_times() {
    let bench = Bench::new();
    let (_store, session) = parked(&bench);
    let copy = bench.folder().join("copy");
    fs::copy(session.path(), &copy).unwrap();
    fs::rename(&copy, session.path()).unwrap();
    fs::File::open(session.path())
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(session.append_blocking("three").unwrap().sequence.get(), 3);
    assert_eq!(support::texts(session.path()), ["one", "two", "three"]);
}
