//! The whole bar, so small that no figure means anything: everything can be measured, and nothing is left.
#![allow(missing_docs, reason = "test names are sentences")]

use std::path::Path;
use std::process::{Command, Output};

fn bar(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bar"));
    command.env("SESSION_JOURNAL_BENCH_DIR", folder).args(["bar", "--tiny", "--seed", "7"]);
    command.args(arguments).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_row_is_measured_and_nothing_is_left_behind() {
    let [folder, report] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let path = report.path().to_string_lossy().into_owned();
    let output = bar(folder.path(), &["--report", &path]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", text(&output.stderr));
    assert!(printed.contains(" 0 not measured; seed 7;"), "{printed}");
    for row in [
        "against lock file + append + unlink",
        "against SQLite, WAL, a connection a thread",
        "8 producers pipelining on one session",
        "64 threads, against the fastest log crate",
        "path to the root",
        "owner appending at full speed, p99",
        "memory, the most of any of these",
        "burst: 1,770 records/s",
    ] {
        assert!(printed.contains(row), "no row {row:?} in\n{printed}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 0, "something is left");
    let report = std::fs::read_to_string(report.path().join("README.md")).expect("a report");
    for needed in ["--seed 7", "Linux", "no checksum and no recovery", "not comparable", ".svg)"] {
        assert!(report.contains(needed), "no {needed:?} in\n{report}");
    }
}

#[test]
fn what_cannot_be_measured_fails_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = bar(&folder.path().join("is not there"), &["--only", "space"]);
    assert!(!output.status.success(), "{}", text(&output.stdout));
}
