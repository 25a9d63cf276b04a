//! How much room an import says that it needs, beside what it takes.
#![allow(missing_docs, reason = "test names are sentences")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use session_journal_import::{Import, ImportOptions, Space};
use tempfile::TempDir;

/// One source and a store.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("in.jsonl")
    }

    fn append(&self, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(self.source());
        file.expect("opens").write_all(text.as_bytes()).expect("writes");
    }

    fn import(&self) -> Import {
        Import::new(self.folder.path().join("store"), ImportOptions::default())
    }

    /// What is announced, and what is taken then.
    fn announced_and_taken(&self) -> (Space, u64) {
        let (import, paths) = (self.import(), [self.source()]);
        let announced = import.plan(&paths).space();
        let before = size_of(&self.folder.path().join("store"));
        let summary = import.run(&paths, &mut |_| {});
        assert_eq!(summary.failed, 0);
        (announced, size_of(&self.folder.path().join("store")) - before)
    }
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata().expect("looks") {
        metadata if metadata.is_dir() => size_of(&entry.path()),
        metadata => metadata.len(),
    };
    entries.map(|entry| size(entry.expect("reads"))).sum()
}

fn is_enough_and_not_far_too_much(announced: Space, taken: u64) {
    let needed = announced.needed;
    assert!(taken <= needed, "{taken} bytes were taken, {needed} announced");
    assert!(needed <= 3 * taken, "{taken} bytes were taken, {needed} announced");
}

/// The journal of short lines is longer than they are: it was taken for one that holds what came since.
#[test]
fn what_came_behind_short_lines_is_counted() {
    let bench = Bench::new();
    let lines = "{\"id\":1234}\n".repeat(10_000);
    bench.append(&lines);
    let (announced, taken) = bench.announced_and_taken();
    assert_eq!(announced.sources, lines.len() as u64);
    is_enough_and_not_far_too_much(announced, taken);
    assert_eq!(bench.import().plan(&[bench.source()]).space().needed, 0, "all of it is there");

    let more = "{\"id\":5678}\n".repeat(5000);
    bench.append(&more);
    let (announced, taken) = bench.announced_and_taken();
    assert_eq!(announced.sources, more.len() as u64, "exactly what is new");
    is_enough_and_not_far_too_much(announced, taken);
    assert_eq!(bench.import().plan(&[bench.source()]).space().needed, 0, "all of it is there");
}

/// Its first bytes are one long line; what follows are very many.
#[test]
fn a_source_is_not_judged_by_its_beginning_alone() {
    let bench = Bench::new();
    bench.append(&format!("{{\"text\":\"{}\"}}\n", "x".repeat(100_000)));
    bench.append(&"{\"id\":1234}\n".repeat(100_000));
    let (announced, taken) = bench.announced_and_taken();
    is_enough_and_not_far_too_much(announced, taken);
}

/// Whoever put it back may have given it any time.
#[test]
fn a_source_that_is_older_than_its_journal_is_taken_for_what_was_imported() {
    let bench = Bench::new();
    bench.append(&"{\"id\":1234}\n".repeat(100));
    bench.announced_and_taken();
    let source = File::options().append(true).open(bench.source()).expect("opens");
    source.set_modified(std::time::UNIX_EPOCH).expect("sets its time");
    assert_eq!(bench.import().plan(&[bench.source()]).space().needed, 0);
}
