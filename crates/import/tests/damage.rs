//! Every damaged fixture: all of it is kept, and what is wrong with it is named exactly.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use session_journal_import::{Outcome, SourceReport};
use support::{Bench, fixtures_folder};

/// What is odd, and on which lines.
type Odd = &'static [(&'static str, &'static [u64])];

/// Per file: what is odd, and on which lines; worked out from the manifest, not by this program.
/// Files that are not here have nothing odd.
const EXPECTED: [(&str, Odd); 29] = [
    ("bom/utf8.jsonl", &[("byte-order-mark", &[1])]),
    ("duplicate/header-twice.jsonl", &[("header-again", &[2])]),
    ("duplicate/id-reused.jsonl", &[("id-again", &[7]), ("parent-missing", &[8])]),
    ("duplicate/line-twice.jsonl", &[("id-again", &[7])]),
    ("empty/one-newline.jsonl", &[("blank", &[1])]),
    ("encoding/ff-in-text.jsonl", &[("not-utf8", &[5]), ("parent-missing", &[6])]),
    ("header/cut-short.jsonl", &[("broken-json", &[1]), ("header-missing", &[1])]),
    ("header/first-bytes-lost.jsonl", &[("broken-json", &[1]), ("header-missing", &[1])]),
    ("header/future-version.jsonl", &[("header-version", &[1])]),
    ("header/head-cut-off.jsonl", &[("header-missing", &[1]), ("parent-missing", &[1])]),
    ("header/missing.jsonl", &[("header-missing", &[1])]),
    ("header/no-version.jsonl", &[("header-without-version", &[1])]),
    (
        "interleaved/half-whole-half.jsonl",
        &[("broken-json", &[6, 7]), ("embedded", &[6]), ("parent-missing", &[8])],
    ),
    ("line-ends/blank-lines.jsonl", &[("blank", &[2, 3, 5, 7])]),
    ("line-ends/crlf-no-last.jsonl", &[("carriage-return", &[1, 2, 3, 4, 5, 6, 7, 8])]),
    ("line-ends/crlf.jsonl", &[("carriage-return", &[1, 2, 3, 4, 5, 6, 7, 8])]),
    ("nul/all.jsonl", &[("nul", &[1])]),
    ("nul/tail-after-torn.jsonl", &[("nul", &[9])]),
    ("nul/tail-one.jsonl", &[("nul", &[10])]),
    ("nul/tail-to-page.jsonl", &[("nul", &[10])]),
    ("parent/first-branch-root-gone.jsonl", &[("parent-missing", &[2])]),
    ("parent/orphan.jsonl", &[("parent-missing", &[6])]),
    ("torn-tail/in-escape.jsonl", &[("torn", &[16])]),
    ("torn-tail/in-id.jsonl", &[("torn", &[9])]),
    ("torn-tail/in-key.jsonl", &[("torn", &[9])]),
    ("torn-tail/in-number.jsonl", &[("torn", &[9])]),
    ("torn-tail/last-brace.jsonl", &[("torn", &[9])]),
    ("torn-tail/middle-of-tree.jsonl", &[("torn", &[8])]),
    ("torn-tail/one-byte.jsonl", &[("torn", &[9])]),
];

fn damage(report: &SourceReport) -> Vec<(&'static str, Vec<u64>)> {
    report.damage.iter().map(|one| (one.what.as_str(), one.lines.clone())).collect()
}

fn files() -> Vec<Value> {
    let manifest = fixtures_folder("damaged").join("MANIFEST.json");
    let manifest = fs::read(manifest).expect("reads");
    let manifest: Value = serde_json::from_slice(&manifest).expect("is JSON");
    manifest["files"].as_array().expect("a list").clone()
}

#[test]
fn every_damage_is_named_with_its_lines() {
    let expected: BTreeMap<_, _> = EXPECTED.into_iter().collect();
    let bench = Bench::new();
    for file in files() {
        let name = file["path"].as_str().expect("text");
        if Path::new(name).extension() != Some("jsonl".as_ref()) {
            continue;
        }
        let report = bench.import().run_file(&fixtures_folder("damaged").join(name));
        assert!(report.error.is_none(), "{report:?}");
        let torn: Odd = &[("torn", &[6])];
        let within_a_character = name.starts_with("torn-tail/in-utf8");
        let expected =
            if within_a_character { torn } else { expected.get(name).copied().unwrap_or(&[]) };
        let expected: Vec<_> =
            expected.iter().map(|(what, lines)| (*what, lines.to_vec())).collect();
        assert_eq!(damage(&report), expected, "{name}");
    }
}

/// The manifest was made without any repair logic, by looking at the parts between line feeds.
#[test]
fn the_counts_are_those_of_the_manifest() {
    let bench = Bench::new();
    let mut compared = 0;
    for file in files() {
        let Some(parts) = file["parts"].as_array() else { continue };
        let name = file["path"].as_str().expect("text");
        let path = fixtures_folder("damaged").join(name);
        let report = bench.import().run_file(&path);
        let kinds: Vec<_> = parts.iter().map(|part| part[2].as_str().expect("text")).collect();
        let count = |kind: &[&str]| kinds.iter().filter(|one| kind.contains(one)).count() as u64;
        assert_eq!(report.records, kinds.len() as u64, "{name}");
        assert_eq!(report.opaque, count(&["broken", "bad-utf8", "nul", "blank"]), "{name}");
        assert_eq!(report.bytes, file["bytes"].as_u64().expect("a number"), "{name}");
        assert_eq!(report.sha256.as_deref(), file["sha256"].as_str(), "{name}");
        let entries = count(&["entry", "header", "bom+header"]);
        assert_eq!(report.records - report.opaque, entries, "{name}");
        let is_open = |warning: &String| warning.contains("no line feed");
        let ends = fs::read(&path).expect("reads").last().is_none_or(|last| *last == b'\n');
        assert_eq!(report.warnings.iter().any(is_open), !ends, "{name}");
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}

/// Every line of the undamaged file that is still whole can be read, by its bytes.
#[test]
fn what_survived_the_damage_is_there() {
    let bench = Bench::new();
    let root = fixtures_folder("damaged");
    for file in files() {
        let name = file["path"].as_str().expect("text");
        let Some(survival) = file["survival"].as_object() else { continue };
        let report = bench.import().run_file(&root.join(name));
        let session = report.session.expect("a session").to_string();
        let records = bench.reader(&session).records().map(|record| record.expect("reads"));
        let payloads: Vec<_> = records.map(|record| record.payload).collect();
        for (base, survival) in survival {
            let base = fs::read(fixtures_folder("sessions").join(base)).expect("reads");
            let lines: Vec<&[u8]> = base.split(|byte| *byte == b'\n').collect();
            for whole in survival["whole"].as_array().expect("a list") {
                let line = usize::try_from(whole[0].as_u64().expect("a number")).expect("fits");
                let is_it = |payload: &&[u8]| payload.trim_ascii_end() == lines[line];
                let found = payloads.iter().any(|payload| is_it(&&payload[..]));
                assert!(found, "{name}: line {line} of the base");
            }
        }
    }
}

#[test]
fn a_registry_names_the_files_that_are_not_there() {
    let bench = Bench::new();
    let mut told = Vec::new();
    let folder = fixtures_folder("damaged/folder");
    bench.import().run(&[folder], &mut |report| told.extend(report.warnings.clone()));
    let [told] = &told[..] else { panic!("one warning: {told:?}") };
    assert!(told.starts_with("1 of its entries name files that are not there: agent:"), "{told}");
    let path = bench.write("x/sessions.json", "[]");
    let report = bench.run(&path, Outcome::Imported);
    assert!(report.warnings[0].contains("no JSON object"), "{:?}", report.warnings);
}

#[test]
fn a_fixture_that_is_sound_has_nothing_odd() {
    let bench = Bench::new();
    for name in ["pi-0.73.1/minimal.jsonl", "pi-0.73.1/unicode.jsonl", "pi-0.73.1/images.jsonl"] {
        let report = bench.run(&fixtures_folder("sessions").join(name), Outcome::Imported);
        assert_eq!((damage(&report), &report.warnings[..]), (Vec::new(), &[][..]), "{name}");
    }
}
