//! Paths that are no journal, or that may not be used.
#![allow(missing_docs, reason = "test names are sentences")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use session_journal::{Journal, Options, Reader, SessionName, Store, StoreOptions};
use session_journal_tests::{Driver, Place, Program, agree, is_root, names_in, skip};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// Opens for writing and for reading in a process of its own: what hangs there fails here.
fn refusal(path: &Path) -> String {
    let (driver, refused) = Driver::serve(DRIVER, path, "--takeover always");
    assert_eq!(refused["event"], "error", "{refused}");
    driver.leave();
    let error = Reader::open(path).unwrap_err();
    assert_eq!(error.code(), refused["code"], "reading says the same: {error}");
    refused["text"].as_str().unwrap().to_owned()
}

/// I7: what is no file says what it is, at once and for both sides; a FIFO keeps nobody waiting.
#[test]
fn what_is_no_file_is_refused_by_name_and_without_waiting() {
    let place = Place::new();
    let path = place.store.join("odd.journal");

    fs::create_dir(&path).unwrap();
    let text = refusal(&path);
    assert!(text.contains("directory"), "{text}");
    fs::remove_dir(&path).unwrap();

    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let text = refusal(&path);
    assert!(text.contains("FIFO"), "{text}");
    fs::remove_file(&path).unwrap();

    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    refusal(&path);
    fs::remove_file(&path).unwrap();

    symlink(&path, &path).unwrap();
    refusal(&path);
    fs::remove_file(&path).unwrap();

    symlink(place.store.join("nowhere"), &path).unwrap();
    refusal(&path);
    assert_eq!(names_in(&place.store), ["odd.journal"], "nothing is made at the other end");
    let (_, refused) = Driver::serve(DRIVER, Path::new("/dev/null"), "");
    assert_eq!(refused["event"], "error");
}

/// D11, D1: a file that is no journal is refused and not touched.
#[test]
fn what_is_no_journal_is_left_as_it_is() {
    let place = Place::new();
    let contents: [&[u8]; 5] =
        [b"", b"{\"type\":\"session\"}\n", &[0; 4096], &[0xff; 10_000], b"SJ"];
    for content in contents {
        fs::write(&place.path, content).unwrap();
        let (_, refused) = Driver::serve(DRIVER, &place.path, "--takeover always");
        assert_eq!(refused["code"], "not-a-journal", "{refused}");
        assert_eq!(fs::read(&place.path).unwrap(), content, "untouched");
    }
}

/// A symlink leads to the same journal: one owner, whichever name was used.
#[test]
fn a_symlink_to_a_journal_is_that_journal() {
    let place = Place::new();
    let link = place.folder.path().join("link.journal");
    let (mut a, _) = Driver::serve(DRIVER, &place.path, "--create yes");
    a.must("append a.0.0.1:10:plain");
    symlink(&place.path, &link).unwrap();
    assert_eq!(agree(&link).len(), 1);
    let (mut b, opened) = Driver::serve(DRIVER, &link, "--takeover always --label b");
    assert_eq!(opened["reason"], "taken-over");
    b.must("append b.0.0.1:10:plain");
    assert_eq!(a.ask("append a.1.0.1:10:plain")["code"], "fenced");
    b.must("compact");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "still a link");
    assert_eq!(agree(&place.path).len(), 2);
    b.must("delete");
    assert!(!place.path.exists());
}

/// Journals and their folders are for their owner alone, whatever the umask.
/// A file without a name could be made, and never named: every source failed.
#[test]
fn without_proc_an_import_and_a_session_are_made_all_the_same() {
    if !is_root() {
        return skip("a mount over /proc needs root");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (store, source) = (folder.path().join("store"), folder.path().join("a.jsonl"));
    fs::write(&source, "{}\n").expect("writes");
    let run = |arguments: &[&str]| {
        let inside = Program::beside(DRIVER).command(arguments);
        // As in a root that was changed to, in which nobody mounted it.
        let hidden = "mount -t tmpfs none /proc && ! ls /proc/self && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", hidden, "sh"]).arg(inside.get_program());
        command.args(inside.get_args()).env("SESSION_JOURNAL_STORE", &store).stdin(Stdio::null());
        let said = command.output().expect("unshare(1)");
        assert!(said.status.success(), "{arguments:?}: {said:?}");
    };
    run(&["import", "--verify", source.to_str().expect("text")]);
    run(&["append", "--create", "b"]);
    assert!(store.join("a.journal").is_file() && store.join("b.journal").is_file());
}

#[test]
fn files_are_0600_and_folders_0700() {
    let place = Place::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let dir = place.store.join("deep/store");
    let store = Store::open(&dir, StoreOptions::default()).unwrap();
    let name = SessionName::new(Some("agent"), "one").unwrap();
    let session = store.create_blocking(&name).unwrap();
    let path = store.path_of(&name);
    assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&dir)), (0o600, 0o700, 0o700));
    session.append_blocking("x").unwrap();
    session.compact_blocking().unwrap();
    assert_eq!(mode(&path), 0o600, "compacted");

    let wide = place.store.join("wide.journal");
    let wrapper = ["sh", "-c", "umask 0; exec \"$@\"", "sh"];
    let (_owner, _) = Driver::serve_in(DRIVER, &wrapper, &wide, "--create yes");
    assert_eq!(mode(&wide), 0o600, "with an umask of zero");
}

/// I7: who may not read or write is told so; nothing is made and nothing is changed.
#[test]
fn another_user_is_refused_with_a_reason() {
    let other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let allowed = is_root()
        && Command::new(other[0]).args(&other[1..]).arg("true").status().is_ok_and(|s| s.success());
    if !allowed {
        return skip("becoming another user needs root and setpriv(1)");
    }
    // The driver itself must be within their reach.
    let place = Place::new();
    let driver = place.folder.path().join("driver");
    fs::copy(DRIVER, &driver).unwrap();
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    chmod(place.folder.path(), 0o755);
    chmod(&place.store, 0o755);
    let driver = driver.to_str().unwrap();
    let as_other = |path: &Path, flags: &str| Driver::serve_in(driver, &other, path, flags).1;

    let name = SessionName::new(None, "one").unwrap();
    Journal::create(&place.path, &name, &Options::default()).unwrap().close().unwrap();
    let before = fs::read(&place.path).unwrap();
    for mode in [0o600, 0o644] {
        chmod(&place.path, mode);
        let refused = as_other(&place.path, "");
        assert_eq!(refused["code"], "io", "{refused}");
        let text = refused["text"].as_str().unwrap();
        assert!(text.to_lowercase().contains("permission denied"), "{text}");
    }
    let refused = as_other(&place.store.join("two.journal"), "--create yes");
    assert_eq!(refused["code"], "io", "{refused}");
    assert_eq!(names_in(&place.store), ["one.journal"], "never half created");
    assert_eq!(fs::read(&place.path).unwrap(), before);
}
