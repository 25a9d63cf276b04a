//! File systems whose appends are not known to be atomic.
#![allow(missing_docs, reason = "test names are sentences")]

use session_journal::{ErrorKind, Journal, Options, SessionName, Store, StoreOptions};
use session_journal_tests::{
    Mount, Place, Program, Spec, agree, is_root, names_in, skip, wait_until,
};

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// I2, G6: on FUSE an opening for writing is refused by name, before anything is touched; reading
/// works. The file system is served by a driver.
#[test]
fn a_fuse_mount_can_be_read_and_is_refused_for_writing() {
    let place = Place::new();
    let at = place.folder.path().join("fuse");
    std::fs::create_dir(&at).unwrap();
    let name = SessionName::new(None, "one").unwrap();
    let mut journal = Journal::create(&place.path, &name, &Options::default()).unwrap();
    for n in 0..100 {
        let spec = Spec { id: format!("a.{n}.0.1"), size: 3000, keyed: true };
        journal.append(&spec.record()).unwrap();
    }
    journal.close().unwrap();
    if !is_root() {
        return skip("a FUSE mount needs root");
    }
    // Unmounted last, when its server is gone.
    let _unmounts = Mount::at(&at);
    let flags = format!("--at {}", at.display());
    let _server = place.start(DRIVER, "fuse", "fuse", &flags);
    let says = || std::fs::read_to_string(place.says("fuse")).unwrap_or_default();
    wait_until("the server says whether it is mounted", || says().ends_with('\n'));
    if !says().contains("true") {
        return skip("there is no FUSE here, or it may not be mounted");
    }

    let there = at.join("one.journal");
    assert_eq!(agree(&there).len(), 100);
    let before = std::fs::read(&place.path).unwrap();
    let refused = Journal::open(&there, &Options::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnsupportedFilesystem, "{refused}");
    assert!(refused.to_string().to_lowercase().contains("fuse"), "by name: {refused}");
    let refused = Journal::create(at.join("two.journal"), &name, &Options::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnsupportedFilesystem, "{refused}");
    let store = Store::open(&at, StoreOptions::default()).unwrap();
    let refused = store.open_session_blocking(&name).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnsupportedFilesystem, "{refused}");

    let (done, _, errors) = Program::beside(DRIVER).run(&["claim", "--takeover=always"], &there);
    assert!(!done && errors.contains("[unsupported-filesystem]"), "{errors}");

    // Who allows it gets as far as the file system lets him: this one cannot be written.
    let options = Options { allow_any_filesystem: true, ..Options::default() };
    let refused = Journal::open(&there, &options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
    assert_eq!(std::fs::read(&place.path).unwrap(), before);
    assert_eq!(names_in(&place.store), ["one.journal"]);
}
