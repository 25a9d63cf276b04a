//! What rows do of their own.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use session_journal::{Journal, NewRecord, Options};
use session_journal_import::{Attributes, ImportOptions, Outcome};

use crate::scene::{agents, place};
use crate::support::Bench;

/// Longer lines are too long, where records are limited.
pub(crate) const LIMIT_BYTES: usize = 8 << 10;
/// So many files are many.
pub(crate) const MANY: usize = 80;

/// A session keeps both names: that of its file, and the id that its header states.
pub(crate) fn ids_of_headers_are_known(bench: &mut Bench) {
    let id = |session: &str| {
        let known = Attributes::of(&bench.reader(session)).expect("reads").expect("is known");
        known.header_id
    };
    assert_eq!(id("main/boot-2026-05-21-abcdef").as_deref(), Some("other"));
    assert_eq!(id("main/11111111-0000-4000-8000-000000000000").as_deref(), Some("s"));
}

/// The source grows all the time; an import that cannot come to rest says so, and what it took is a
/// beginning of the source.
pub(crate) fn imported_beside_a_writer(bench: &mut Bench) {
    let path = place(bench, "a.jsonl");
    let is_over = AtomicBool::new(false);
    let mut is_told = false;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
            while !is_over.load(Ordering::Relaxed) {
                file.write_all(b"{\"type\":\"mess").expect("writes");
                file.write_all(b"age\"}\n").expect("writes");
                // Not a wait for anything: as fast as it could, it would outrun who reads.
                thread::sleep(Duration::from_micros(200));
            }
        });
        for _ in 0..100 {
            let mut reports = Vec::new();
            let summary = bench.import().run(&[agents(bench)], &mut |report| {
                reports.push((report.source == path, report.warnings.clone()));
                assert!(report.error.is_none(), "{report:?}");
            });
            assert!(summary.is_balanced(), "{summary:?}");
            let (now, source) = (bench.export("main/a"), fs::read(&path).expect("reads"));
            assert!(source.starts_with(&now), "what is stored is a beginning of the source");
            let changed = "changed while it was read; run the import again";
            let mut warnings = reports.into_iter().filter(|(is_it, _)| *is_it);
            is_told = warnings.any(|(_, warnings)| warnings.iter().any(|one| one == changed));
            if is_told {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(is_told, "a source that changes without an end is told");
    // However much of it was taken: there is something left.
    crate::support::grow(&path, "{\"type\":\"last\"}\n");
}

pub(crate) fn limit_records(bench: &mut Bench) {
    bench.options.journal.record_bytes_max = LIMIT_BYTES as u64;
}

pub(crate) fn lift_the_limit(bench: &mut Bench) {
    let usual = ImportOptions::default().journal.record_bytes_max;
    bench.options.journal.record_bytes_max = usual;
}

/// What was migrated can be read and a new session be written, whatever was not; that is where it was.
pub(crate) fn the_store_serves(bench: &mut Bench) {
    let path = bench.journal("main/own");
    let name = "main/own".parse().expect("a name");
    let mut own = Journal::create(&path, &name, &Options::default()).expect("creates");
    assert!(own.append(&NewRecord::new("{\"n\":1}")).expect("appends").durable);
    own.close().expect("closes");
    assert_eq!(bench.export("main/own"), b"{\"n\":1}\n");
    assert_eq!(bench.export("main/a"), fs::read(place(bench, "a.jsonl")).expect("reads"));
    assert!(!bench.journal("main/b").exists(), "nothing of what failed");
}

/// Twice as many files are twice the work: how often a file is read does not grow with their number.
pub(crate) fn each_byte_is_read_as_often_however_many_there_are(bench: &mut Bench) {
    let text = fs::read(place(bench, "0.jsonl")).expect("reads");
    let read = |count: u64| {
        let bench = Bench::new();
        for n in 0..count {
            bench.write(&format!("in/{n}.jsonl"), &text);
        }
        let import = bench.import();
        let first = import.run(&[bench.path("in")], &mut |_| {});
        let again = bench.import();
        let second = again.run(&[bench.path("in")], &mut |_| {});
        assert_eq!((first.imported, second.unchanged), (count, count));
        (import.control().done() / count, again.control().done() / count)
    };
    assert_eq!(read(4), read(100));
}

/// What was done is done: the next run takes up the rest.
pub(crate) fn stopped_half_way_and_gone_on(bench: &mut Bench) {
    let import = bench.import();
    let control = import.control();
    let mut done = 0;
    let first = import.run(&[agents(bench)], &mut |report| {
        done += u64::from(report.outcome == Outcome::Imported);
        if done == 10 {
            control.stop();
        }
    });
    assert_eq!((first.sources, first.imported + first.failed), (MANY as u64, MANY as u64));
    let second = bench.import().run(&[agents(bench)], &mut |_| {});
    assert!(second.unchanged >= first.imported && first.imported >= 10, "{first:?} {second:?}");
    assert_eq!((second.failed, second.added_bytes + first.added_bytes), (0, second.bytes));
    let journals = fs::read_dir(bench.store().join("main")).expect("reads");
    assert_eq!(journals.count(), MANY, "a journal each, and nothing beside them");
}

/// A source that is longer than the disk: nothing of it is on the disk, and nobody reads it to its
/// end.
pub(crate) fn too_little_room_is_told_before(bench: &mut Bench) {
    let path = place(bench, "a.jsonl");
    let source = OpenOptions::new().write(true).open(&path).expect("opens");
    let length = source.metadata().expect("is there").len();
    let import = bench.import();
    let free = import.plan(&[agents(bench)]).space().free;
    source.set_len(free.saturating_add(1)).expect("a file with a hole");
    let plan = import.plan(&[agents(bench)]);
    assert!(plan.space().needed > free, "{:?}", plan.space());
    let error = import.check_space(&plan).expect_err("there is no such room");
    assert_eq!(error.code(), "no-space", "{error}");
    assert!(error.to_string().contains(&bench.store().display().to_string()), "{error}");
    assert!(!bench.store().exists(), "nothing was begun");
    source.set_len(length).expect("as it was");
}

pub(crate) fn no_more_room_is_needed(bench: &mut Bench) {
    let space = bench.import().plan(&[agents(bench)]).space();
    assert_eq!((space.sources, space.needed), (0, 0));
}

/// As after an import of some other day.
pub(crate) fn one_of_them_is_there(bench: &mut Bench) {
    bench.run(&place(bench, "a.jsonl"), Outcome::Imported);
}
