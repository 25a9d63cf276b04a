//! Import and export, as a user runs them.

mod support;

use std::fs;
use std::path::Path;

use support::{Bench, Said, fixtures, has};

const FIELDS: [&str; 8] =
    ["source", "session", "outcome", "records", "bytes", "opaque", "sha256", "warnings"];

const SUMMARY: [&str; 11] = [
    "summary",
    "sources",
    "imported",
    "unchanged",
    "extended",
    "empty",
    "skipped",
    "failed",
    "records",
    "bytes",
    "seconds",
];

fn import(bench: &Bench, args: &[&str]) -> (Said, Vec<serde_json::Value>, serde_json::Value) {
    let said = bench.run(&[&["--json", "import"], args].concat());
    let mut lines = said.json();
    let summary = lines.pop().expect("a summary");
    for line in &lines {
        has(line, &FIELDS);
    }
    has(&summary, &SUMMARY);
    assert_eq!(summary["summary"], true);
    assert_eq!(summary["sources"], lines.len());
    (said, lines, summary)
}

#[test]
fn the_fixtures_go_in_and_come_out() {
    let bench = Bench::new();
    let (sessions, damaged) = (fixtures("sessions"), fixtures("damaged"));
    let paths = [sessions.to_str().expect("text"), damaged.to_str().expect("text")];
    let (said, lines, summary) = import(&bench, &paths);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(summary["failed"], 0);
    let mut exported = 0;
    for line in &lines {
        let Some(session) = line["session"].as_str() else {
            assert_eq!(line["outcome"], "skipped");
            assert!(line["warnings"][0].is_string());
            continue;
        };
        let source = fs::read(line["source"].as_str().expect("text")).expect("reads");
        assert!(bench.done(&["export", session]).bytes == source, "{line}");
        assert_eq!(line["bytes"], source.len());
        exported += 1;
    }
    assert!(exported > 80, "{exported}");
    let (_, lines, summary) = import(&bench, &paths);
    assert!(
        lines.iter().all(|line| line["outcome"] == "unchanged" || line["outcome"] == "skipped")
    );
    assert_eq!(summary["unchanged"], exported);
    assert_eq!(bench.done(&["verify", "--all"]).code, Some(0));
    let plain = bench.done(&["import", paths[0]]);
    assert!(plain.out.contains("unchanged") && plain.out.contains("sources: "), "{}", plain.out);
}

#[test]
fn growth_extends_and_export_writes_files() {
    let bench = Bench::new();
    bench.write("agents/main/sessions/a.jsonl", "{\"type\":\"session\",\"id\":\"a\"}\n");
    let path = "agents/main/sessions/a.jsonl";
    assert_eq!(import(&bench, &[path]).1[0]["outcome"], "imported");
    bench.write(path, "{\"type\":\"session\",\"id\":\"a\"}\n{\"type\":\"message\",\"id\":\"m\"}");
    let (_, lines, _) = import(&bench, &["agents"]);
    assert_eq!(lines[0]["outcome"], "extended");
    assert_eq!(lines[0]["session"], "main/a");
    assert_eq!(bench.done(&["export", "main/a", "-o", "out.jsonl"]).out, "");
    let same =
        |out: &Path| fs::read(out).expect("reads") == fs::read(bench.path(path)).expect("reads");
    assert!(same(&bench.path("out.jsonl")));
    assert_eq!(bench.done(&["export", "main/a", "-o", "/dev/stdout"]).out.lines().count(), 2);
    assert_eq!(bench.done(&["export", "main/a", "-o", "/dev/null"]).out, "");
}

#[test]
fn one_bad_source_is_a_finding() {
    let bench = Bench::new();
    bench.write("good.jsonl", "{}\n");
    let (said, lines, summary) = import(&bench, &["good.jsonl", "missing.jsonl"]);
    said.fails(1, "not-found");
    assert_eq!(
        (&lines[0]["outcome"], &lines[1]["outcome"]),
        (&"imported".into(), &"failed".into())
    );
    assert_eq!(lines[1]["code"], "not-found");
    assert_eq!((&summary["imported"], &summary["failed"]), (&1.into(), &1.into()));
    let (_, lines, summary) = import(&bench, &["good.jsonl", "missing.jsonl"]);
    assert_eq!(lines[0]["outcome"], "unchanged");
    assert!(summary["next"].is_null(), "there is something to do: {summary}");
    let (_, _, summary) = import(&bench, &["good.jsonl"]);
    assert_eq!(summary["next"], "nothing to do");
}

#[test]
fn a_dry_run_writes_nothing() {
    let bench = Bench::new();
    bench.write("a.jsonl", "{}\n");
    let (_, lines, _) = import(&bench, &["--dry-run", "a.jsonl"]);
    assert_eq!(lines[0]["outcome"], "imported");
    assert!(!bench.path("store").exists());
}

#[test]
fn formats_and_jobs_can_be_given() {
    let bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.write(&format!("in/{name}.jsonl"), format!("{{\"type\":\"{name}\"}}\n"));
    }
    let (_, lines, _) = import(&bench, &["--format", "pi", "--jobs", "2", "in"]);
    let sources: Vec<_> = lines.iter().map(|line| line["session"].as_str()).collect();
    assert_eq!(sources, [Some("a"), Some("b"), Some("c")]);
    let record = &bench.done(&["--json", "cat", "b"]).json()[0];
    assert_eq!(record["kind"], "b");
}
