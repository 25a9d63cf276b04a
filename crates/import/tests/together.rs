//! New journals get their names many at a time: what others, and stops, see of it.
#![allow(missing_docs, reason = "test names are sentences")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use session_journal::Reader;
use session_journal_import::{Import, ImportOptions, Outcome, SourceReport};

const SOURCES: usize = 300;

fn make_sources(folder: &Path) {
    fs::create_dir(folder).expect("makes a folder");
    for number in 0..SOURCES {
        let line = format!("{{\"type\":\"message\",\"id\":\"{number}\"}}\n");
        fs::write(folder.join(format!("s{number}.jsonl")), line.repeat(1 + number % 3))
            .expect("writes");
    }
}

/// What is compared of a report.
#[derive(Debug)]
struct Kept {
    outcome: Outcome,
    session: Option<String>,
    verified: Option<bool>,
}

impl Kept {
    fn of(report: &SourceReport) -> Self {
        let session = report.session.as_ref().map(ToString::to_string);
        Self { outcome: report.outcome, session, verified: report.verified }
    }
}

fn import(store: PathBuf, sources: &Path, jobs: usize) -> Vec<Kept> {
    let options = ImportOptions { verify: true, jobs, ..ImportOptions::default() };
    let mut reports = Vec::new();
    Import::new(store, options).run(&[sources.to_owned()], &mut |one| reports.push(Kept::of(one)));
    reports
}

/// Whoever comes second finds the other's sessions, also where their journals were not there yet when
/// it began: nothing is there twice, and nothing is missing.
#[test]
fn two_imports_of_the_same_sources_at_the_same_time_make_each_session_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sources, store) = (folder.path().join("in"), folder.path().join("store"));
    make_sources(&sources);
    for round in 0..4 {
        let store = store.join(round.to_string());
        let all = thread::scope(|scope| {
            let imports = [1, 3].map(|jobs| {
                let (store, sources) = (store.clone(), &sources);
                scope.spawn(move || import(store, sources, jobs))
            });
            imports.map(|one| one.join().expect("ends"))
        });
        let mut imported = 0;
        for report in all.iter().flatten() {
            let is_done = matches!(report.outcome, Outcome::Imported | Outcome::Unchanged);
            assert!(is_done, "{report:?}");
            assert_eq!(report.verified, Some(true));
            imported += usize::from(report.outcome == Outcome::Imported);
        }
        assert_eq!(imported, SOURCES, "each by one of the two");
        let names: BTreeSet<_> = all.iter().flatten().map(|one| one.session.clone()).collect();
        assert_eq!(names.len(), SOURCES, "no session has a number");
        assert_eq!(walk(&store), SOURCES, "and nothing else is there");
    }
}

/// What is reported is there: a report is not given before its journal has its name.
#[test]
fn a_session_is_there_when_it_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sources, store) = (folder.path().join("in"), folder.path().join("store"));
    make_sources(&sources);
    let import = Import::new(&store, ImportOptions::default());
    let mut reported = 0;
    let summary = import.run(&[sources], &mut |report| {
        let name = report.session.as_ref().expect("a session");
        let reader = Reader::open(store.join(name.relative_path())).expect("is there");
        assert!(reader.last_sequence().get() >= report.records);
        reported += 1;
        if reported == 10 {
            import.control().stop();
        }
    });
    let there = walk(&store);
    let imported = usize::try_from(summary.imported).expect("fits");
    assert_eq!(there, imported, "nothing is there that was not reported");
    assert!((10..=SOURCES).contains(&imported), "{summary:?}");
}

fn walk(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("reads").map(|entry| entry.expect("reads").path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}
