//! Sources that are no sessions, and what stops an import.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use session_journal_import::{Format, Outcome};
use support::Bench;

fn code(bench: &Bench, path: &Path) -> (&'static str, String) {
    let report = bench.run(path, Outcome::Failed);
    let error = report.error.expect("an error");
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    (error.code(), error.to_string())
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let bench = Bench::new();
    assert_eq!(code(&bench, &bench.path("none.jsonl")).0, "not-found");
    let (kind, text) = code(&bench, Path::new("/"));
    assert_eq!(kind, "invalid");
    assert!(text.contains("is a folder"), "{text}");
    let pipe = bench.path("pipe.jsonl");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    let (kind, text) = code(&bench, &pipe);
    assert_eq!(kind, "invalid");
    assert!(text.contains("is a pipe"), "{text}");
}

#[test]
fn a_file_that_may_not_be_read_is_reported() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{}\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("sets the mode");
    if fs::File::open(&path).is_ok() {
        return; // root reads everything
    }
    let (kind, text) = code(&bench, &path);
    assert_eq!(kind, "io");
    assert!(text.contains("allow this user to read it"), "{text}");
}

#[test]
fn one_bad_source_stops_no_other() {
    let bench = Bench::new();
    bench.write("in/a.jsonl", "{}\n");
    bench.write("in/a.jsonl.lock", "{}");
    bench.write("in/b/c.jsonl", "{}\n");
    bench.write("in/empty.jsonl", "");
    std::os::unix::fs::symlink("a.jsonl", bench.path("in/link.jsonl")).expect("links");
    let paths = [bench.path("none"), bench.path("in")];
    let (lines, summary) = bench.run_all(&paths);
    assert_eq!(summary.sources, lines.len() as u64);
    assert_eq!((summary.imported, summary.empty), (2, 1));
    assert_eq!((summary.skipped, summary.failed), (2, 1));
    assert_eq!(lines[0].outcome, Outcome::Failed);
    let (_, summary) = bench.run_all(&paths);
    assert_eq!((summary.unchanged, summary.failed), (3, 1));
}

#[test]
fn garbage_where_a_journal_belongs_is_left_alone() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{}\n");
    bench.write("store/a.journal", "not a journal");
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("a~2"));
    assert!(report.warnings.iter().any(|w| w.contains("no journal")), "{:?}", report.warnings);
    assert_eq!(fs::read(bench.journal("a")).expect("reads"), b"not a journal");
    bench.run(&path, Outcome::Unchanged);
}

#[test]
fn an_import_that_was_stopped_goes_on() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{}\n".repeat(2000));
    let import = bench.import();
    import.control().stop();
    let report = import.run_file(&path);
    assert!(report.error.expect("an error").is_interrupted());
    bench.run(&path, Outcome::Imported);
    assert!(bench.export("a") == "{}\n".repeat(2000).into_bytes());
}

#[test]
fn a_format_can_be_given() {
    let mut bench = Bench::new();
    let line = "{\"type\":\"user\",\"uuid\":\"u\",\"parentUuid\":null,\"sessionId\":\"s\"}\n";
    let path = bench.write("a.jsonl", line);
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!(report.format, Some(Format::ClaudeCode));
    assert!(bench.reader("a").by_key("u").expect("reads").is_some());
    let path = bench.write("b.jsonl", line);
    bench.options.format = Some(Format::Jsonl);
    bench.run(&path, Outcome::Imported);
    assert!(bench.reader("b").by_key("u").expect("reads").is_none());
}
