//! What was imported is exported as the same bytes, whatever they are.

mod support;

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use session_journal_import::Outcome;
use support::{Bench, fixtures, grow};

#[test]
fn every_fixture_comes_back() {
    let files: Vec<_> = [fixtures("sessions"), fixtures("damaged"), fixtures("sqlite")].concat();
    let is_packed = |name: &str| [".sqlite", ".zst"].iter().any(|end| name.contains(end));
    let lines = |path: &PathBuf| !is_packed(&path.to_string_lossy());
    let files: Vec<_> = files.into_iter().filter(lines).collect();
    assert!(files.len() > 130, "the fixtures are there");
    let bench = Bench::new();
    for file in files {
        let source = fs::read(&file).expect("reads");
        let report = bench.import().run_file(&file);
        let is_known = [Outcome::Imported, Outcome::Empty, Outcome::Unchanged];
        assert!(is_known.contains(&report.outcome), "{report:?}");
        assert_eq!(report.bytes, source.len() as u64);
        assert_eq!(bench.export_of(&report), source, "{}", file.display());
        let again = bench.run(&file, Outcome::Unchanged);
        assert_eq!((again.session, again.sha256), (report.session, report.sha256));
        assert_eq!((again.records, again.opaque), (report.records, report.opaque));
        assert_eq!(fs::read(&file).expect("reads"), source, "the source is not touched");
    }
}

#[test]
fn empty_file_is_an_empty_session() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "");
    let report = bench.run(&path, Outcome::Empty);
    assert_eq!((report.records, report.bytes), (0, 0));
    assert_eq!(bench.export("a"), b"");
    bench.run(&path, Outcome::Unchanged);
    grow(&path, "{}\n");
    bench.run(&path, Outcome::Extended);
    assert_eq!(bench.export("a"), b"{}\n");
}

#[test]
fn many_lines_and_long_ones_go_in_batches() {
    let bench = Bench::new();
    let mut source = Vec::new();
    for n in 0..3000 {
        source.extend_from_slice(format!("{{\"n\":{n}}}\n").as_bytes());
    }
    source.extend_from_slice(&vec![b'x'; 3 << 20]);
    source.extend_from_slice(b"\n\n\n");
    let path = bench.write("a.jsonl", &source);
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!((report.records, report.opaque), (3003, 3));
    assert!(bench.export("a") == source);
}

#[test]
fn a_line_above_the_limit_fails_and_leaves_nothing() {
    let mut bench = Bench::new();
    bench.options.journal.record_bytes_max = 1000;
    let path = bench.write("a.jsonl", [b"{}\n".to_vec(), vec![b'x'; 1001]].concat());
    let report = bench.run(&path, Outcome::Failed);
    let error = report.error.expect("an error");
    assert_eq!(error.code(), "too-large");
    assert!(error.to_string().contains("a.jsonl: line 2 is longer"), "{error}");
    assert!(!bench.journal("a").exists());
    bench.write("a.jsonl", [b"{}\n".to_vec(), vec![b'x'; 1000]].concat());
    bench.run(&path, Outcome::Imported);
}

fn sources() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\0\0\0".to_vec()),
        1 => Just("\u{feff}".as_bytes().to_vec()),
        2 => Just(br#"{"type":"message","id":"a","parentId":"b"}"#.to_vec()),
        1 => Just(br#"{"type":"sj.import","id":""}"#.to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes, and any bytes behind them, and any behind those.
    #[test]
    fn any_bytes_come_back_however_they_grew(parts in prop::collection::vec(sources(), 1..4)) {
        let bench = Bench::new();
        let path = bench.write("a.jsonl", "");
        let mut source = Vec::new();
        for part in parts {
            grow(&path, &part);
            source.extend_from_slice(&part);
            let report = bench.import().run_file(&path);
            prop_assert!(report.error.is_none(), "{:?}", report);
            prop_assert_eq!(report.bytes, source.len() as u64);
            prop_assert_eq!(&bench.export("a"), &source);
            prop_assert_eq!(bench.run(&path, Outcome::Unchanged).sha256, report.sha256);
        }
        prop_assert!(!bench.journal("a~2").exists());
    }

    /// Any files that are kept whole, one after the other under one name.
    #[test]
    fn any_file_that_is_kept_whole_comes_back_in_its_newest_version(
        versions in prop::collection::vec(sources(), 1..5),
    ) {
        let bench = Bench::new();
        for version in versions {
            let path = bench.write("sessions.json", &version);
            let report = bench.import().run_file(&path);
            prop_assert!(report.error.is_none(), "{:?}", report);
            prop_assert_eq!(&bench.export("sessions.json"), &version);
            bench.run(&path, Outcome::Unchanged);
        }
        prop_assert!(!bench.journal("sessions.json~2").exists());
    }

    /// Any bytes, packed.
    #[test]
    fn any_bytes_come_back_unpacked(source in sources()) {
        let bench = Bench::new();
        let packed = zstd::encode_all(&source[..], 1).expect("packs");
        let path = bench.write("a.jsonl.zst", packed);
        let report = bench.import().run_file(&path);
        prop_assert!(report.error.is_none(), "{:?}", report);
        prop_assert_eq!(&bench.export("a"), &source);
        bench.run(&path, Outcome::Unchanged);
    }
}
