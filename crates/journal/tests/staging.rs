//! Journals that get their names later, many at a time.
#![allow(missing_docs, reason = "test names are sentences")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_journal::storage::Staging;
use session_journal::{
    AppendOptions, Durability, ErrorKind, Journal, NewRecord, Options, Reader, SessionName,
    Takeover,
};

fn options(staging: &Arc<Staging>) -> Options {
    Options { disk: Arc::clone(staging) as _, ..Options::default() }
}

fn create(staging: &Arc<Staging>, folder: &Path, name: &str) -> (PathBuf, Journal) {
    let name: SessionName = name.parse().expect("a name");
    let path = folder.canonicalize().expect("a folder").join(name.relative_path());
    let journal = Journal::create(&path, &name, &options(staging)).expect("creates");
    (path, journal)
}

fn fill(journal: &mut Journal, records: usize) {
    for number in 0..records {
        let record = NewRecord::new(format!("record {number}")).key(format!("key {number}"));
        journal.append(&record).expect("appends");
    }
}

fn payloads(path: &Path) -> Vec<String> {
    let records = Reader::open(path).expect("opens").records();
    let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
    records.map(|record| text(&record.expect("reads").payload)).collect()
}

#[test]
fn nobody_finds_them_before_and_everybody_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let staging = Arc::new(Staging::new());
    let mut paths = Vec::new();
    for records in [0, 1, 1000] {
        let (path, mut journal) = create(&staging, folder.path(), &format!("s{records}"));
        fill(&mut journal, records);
        journal.close().expect("closes");
        assert!(staging.holds(&path));
        paths.push(path);
    }
    assert_eq!(staging.waiting(), 3);
    assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 0, "no name yet");

    let published = staging.publish();
    let names: Vec<_> = published.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(names, paths, "in the order in which they were created");
    assert!(published.iter().all(|(_, result)| result.is_ok()), "{published:?}");
    assert_eq!((staging.waiting(), staging.publish().len()), (0, 0));
    for (path, records) in paths.iter().zip([0, 1, 1000]) {
        assert_eq!(payloads(path).len(), records);
        let verified = session_journal::verify(path, &mut |_, _| {}).expect("verifies");
        assert!(verified.ok, "{verified:?}");
        // It was released: whoever comes next takes it without a word.
        let options = Options { takeover: Takeover::Never, ..Options::default() };
        let mut next = Journal::open(path, &options).expect("opens");
        next.append(&NewRecord::new("next")).expect("appends");
        assert_eq!(next.generation().get(), 2);
        next.close().expect("closes");
        assert_eq!(payloads(path).len(), records + 1);
    }
}

#[test]
fn a_name_that_somebody_else_took_meanwhile_is_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let staging = Arc::new(Staging::new());
    let (taken, mut ours) = create(&staging, folder.path(), "taken");
    fill(&mut ours, 2);
    ours.close().expect("closes");
    let (free, other) = create(&staging, folder.path(), "free");
    other.close().expect("closes");
    let mut theirs =
        Journal::create(&taken, &"taken".parse().expect("a name"), &Options::default())
            .expect("creates");
    theirs.append(&NewRecord::new("theirs")).expect("appends");

    let published = staging.publish();
    let error = published[0].1.as_ref().expect_err("taken");
    assert_eq!((error.kind(), error.path()), (ErrorKind::AlreadyExists, &*taken));
    assert!(published[1].1.is_ok() && free.exists(), "the others are there");
    theirs.append(&NewRecord::new("theirs, too")).expect("appends");
    theirs.close().expect("closes");
    assert_eq!(payloads(&taken), ["theirs", "theirs, too"]);

    let again = Journal::create(&taken, &"taken".parse().expect("a name"), &options(&staging));
    assert_eq!(again.expect_err("taken").kind(), ErrorKind::AlreadyExists);
}

/// By then others append to the file; whoever filled it would not see them.
#[test]
fn whoever_still_has_one_open_when_it_is_published_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let staging = Arc::new(Staging::new());
    let (path, mut journal) = create(&staging, folder.path(), "open");
    fill(&mut journal, 3);
    assert!(staging.publish().iter().all(|(_, result)| result.is_ok()));
    let written =
        AppendOptions { durability: Some(Durability::Written), ..AppendOptions::default() };
    let error = journal.append_all(&[NewRecord::new("late")], &written).expect_err("refused");
    assert!(error.to_string().contains("it was published"), "{error}");
    let error = journal.append(&NewRecord::new("later")).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    drop(journal);
    assert_eq!(payloads(&path), ["record 0", "record 1", "record 2"]);
    let (durable, mut journal) = create(&staging, folder.path(), "durable");
    staging.publish();
    // What is written before is not called durable behind it.
    assert!(journal.sync().is_err());
    drop(journal);
    assert!(payloads(&durable).is_empty());
}

#[test]
fn what_is_not_wanted_any_more_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let staging = Arc::new(Staging::new());
    let (kept, journal) = create(&staging, folder.path(), "kept");
    journal.close().expect("closes");
    let (dropped, mut journal) = create(&staging, folder.path(), "dropped");
    fill(&mut journal, 10);
    drop(journal);
    staging.retain(|path| path == kept);
    assert!(!staging.holds(&dropped));
    assert_eq!(staging.publish().len(), 1);
    assert!(kept.exists() && !dropped.exists());
    // A journal that is there is not opened for writing by this way.
    let error = Journal::open(&kept, &options(&staging)).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn a_folder_that_is_gone_fails_its_own_journals_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let staging = Arc::new(Staging::new());
    for agent in ["a", "b"] {
        fs::create_dir(folder.path().join(agent)).expect("makes a folder");
        let (_, journal) = create(&staging, folder.path(), &format!("{agent}/one"));
        journal.close().expect("closes");
    }
    fs::remove_dir(folder.path().join("a")).expect("removes");
    let published = staging.publish();
    assert_eq!(published[0].1.as_ref().expect_err("gone").kind(), ErrorKind::NotFound);
    assert!(published[1].1.is_ok(), "{published:?}");
}
