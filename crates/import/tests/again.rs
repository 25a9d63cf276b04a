//! An import can be run again whenever and however often.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use session_journal::{AppendOptions, Durability, Journal, NewRecord, Options, SessionName};
use session_journal_import::{Attributes, Outcome, RECEIPT_KIND, Receipt};
use support::{Bench, SourceLine, grow, open};

const HEADER: &str = "{\"type\":\"session\",\"id\":\"s\"}\n";
const MESSAGE: &str = "{\"type\":\"message\",\"id\":\"m\",\"parentId\":null,\"message\":{}}\n";

fn receipts(bench: &Bench, session: &str) -> Vec<Receipt> {
    let records = bench.reader(session).records().map(|record| record.expect("reads"));
    records.filter_map(|record| Receipt::from_record(&record)).collect()
}

/// A session as an import leaves it that was killed after these lines.
fn killed_after(bench: &Bench, lines: &[&str]) {
    fs::create_dir_all(bench.store()).expect("makes the store");
    let name = SessionName::new(None, "a").expect("a name");
    let path = bench.journal("a");
    let mut journal = Journal::create(&path, &name, &Options::default()).expect("creates");
    let records: Vec<_> = lines.iter().map(|line| NewRecord::new(line.to_string())).collect();
    if !records.is_empty() {
        journal.append_all(&records, &AppendOptions::default()).expect("appends");
    }
}

#[test]
fn the_receipt_says_what_was_imported() {
    let bench = Bench::new();
    let path = bench.write("agents/main/sessions/a.jsonl", format!("{HEADER}{MESSAGE}garbage"));
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("main/a"));
    assert_eq!((report.records, report.opaque), (3, 1));
    assert!(report.warnings.iter().any(|w| w.contains("no line feed")), "{:?}", report.warnings);
    let [receipt] = &receipts(&bench, "main/a")[..] else { panic!("one receipt") };
    assert_eq!(receipt.header_id.as_deref(), Some("s"));
    assert_eq!((receipt.file_name.as_str(), receipt.format.as_str()), ("a.jsonl", "openclaw"));
    assert_eq!((receipt.first_seq, receipt.last_seq), (Some(1), Some(3)));
    assert_eq!(receipt.unterminated, Some(3));
    assert_eq!((receipt.continues, receipt.previous), (None, None));
    assert_eq!(Some(&receipt.sha256), report.sha256.as_ref());
    let message = bench.reader("main/a").by_key("m").expect("reads").expect("is there");
    assert_eq!(message.kind.as_deref(), Some("message"));
    let last = bench.reader("main/a").last(1).expect("reads").next().expect("one").expect("reads");
    assert_eq!(last.kind.as_deref(), Some(RECEIPT_KIND));
}

#[test]
fn running_again_changes_nothing() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", HEADER);
    bench.run(&path, Outcome::Imported);
    let journal = bench.journal("a");
    let before = fs::metadata(&journal).expect("is there");
    bench.run(&path, Outcome::Unchanged);
    let after = fs::metadata(&journal).expect("is there");
    assert_eq!((before.len(), before.mtime_nsec()), (after.len(), after.mtime_nsec()));
}

#[test]
fn growth_extends_the_session() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", HEADER);
    bench.run(&path, Outcome::Imported);
    grow(&path, MESSAGE);
    let report = bench.run(&path, Outcome::Extended);
    assert_eq!((report.records, report.added_records), (2, 1));
    assert_eq!(report.added_bytes, MESSAGE.len() as u64);
    assert_eq!(bench.export("a"), format!("{HEADER}{MESSAGE}").into_bytes());
    let first = bench.reader("a").records().map(|record| record.expect("reads"));
    let mut first = first.filter(|record| record.kind.as_deref() == Some(RECEIPT_KIND));
    let first = first.next().expect("a receipt").sequence.get();
    assert_eq!(receipts(&bench, "a")[1].previous, Some(first));
    bench.run(&path, Outcome::Unchanged);
}

#[test]
fn growth_inside_a_line_goes_on_with_the_line() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", format!("{HEADER}{{\"type\":"));
    bench.run(&path, Outcome::Imported);
    assert_eq!(bench.export("a"), format!("{HEADER}{{\"type\":").into_bytes());
    grow(&path, "\"x\"");
    bench.run(&path, Outcome::Extended);
    assert_eq!(bench.export("a"), format!("{HEADER}{{\"type\":\"x\"").into_bytes());
    grow(&path, "}\nmore\n");
    let report = bench.run(&path, Outcome::Extended);
    assert_eq!(bench.export("a"), format!("{HEADER}{{\"type\":\"x\"}}\nmore\n").into_bytes());
    assert!(report.warnings.iter().any(|w| w.contains("two parts")), "{:?}", report.warnings);
    assert!(report.warnings.iter().any(|w| w.contains("lines 2, 3:")), "{:?}", report.warnings);
    bench.run(&path, Outcome::Unchanged);
}

/// It had none: the path from what follows ended there, and its line was stored again by whoever
/// appended it once more.
#[test]
fn an_entry_that_was_cut_when_it_was_imported_keeps_its_name() {
    let cut =
        "{\"type\":\"message\",\"id\":\"n\",\"parentId\":\"m\",\"timestamp\":1779354600000}\n";
    let next = "{\"type\":\"message\",\"id\":\"o\",\"parentId\":\"n\"}\n";
    let whole = format!("{HEADER}{MESSAGE}{cut}{next}");
    let before = HEADER.len() + MESSAGE.len();
    for places in [&[1][..], &[before + 20], &[before + 5, before + 45], &[before + cut.len() - 2]]
    {
        let bench = Bench::new();
        let path = bench.write("a.jsonl", &whole[..places[0].max(before)]);
        bench.run(&path, Outcome::Imported);
        for place in &places[1..] {
            bench.write("a.jsonl", &whole[..*place]);
            bench.run(&path, Outcome::Extended);
        }
        bench.write("a.jsonl", &whole);
        bench.run(&path, Outcome::Extended);
        assert_eq!(bench.export("a"), whole.as_bytes(), "{places:?}");
        let reader = bench.reader("a");
        let record = reader.by_key("n").expect("reads");
        let record = record.unwrap_or_else(|| panic!("cut at {places:?}: no such key"));
        assert_eq!(record.time_ms, 1_779_354_600_000, "{places:?}");
        let chain = reader.path_to_root("o").expect("has it").map(|one| one.expect("reads").key);
        let chain: Vec<_> = chain.map(Option::unwrap_or_default).collect();
        assert_eq!(chain, ["o", "n", "m"], "{places:?}");
        let mut journal = open(&bench.journal("a"));
        let again = journal.append(&NewRecord::new(cut.trim_end()).key("n")).expect("appends");
        assert!(again.duplicate && again.sequence == record.sequence, "{places:?}: {again:?}");
        journal.close().expect("closes");
        bench.run(&path, Outcome::Unchanged);
    }
}

#[test]
fn a_line_feed_alone_ends_the_line() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{}");
    bench.run(&path, Outcome::Imported);
    grow(&path, "\n");
    let report = bench.run(&path, Outcome::Extended);
    assert_eq!((report.records, report.added_records, report.bytes), (1, 0, 3));
    assert_eq!(bench.export("a"), b"{}\n");
    grow(&path, "\n{}");
    bench.run(&path, Outcome::Extended);
    assert_eq!(bench.export("a"), b"{}\n\n{}");
}

#[test]
fn records_of_the_user_are_never_glued_to_a_line() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{\"a\":");
    bench.run(&path, Outcome::Imported);
    bench.append("a", "mine");
    assert_eq!(bench.export("a"), b"{\"a\":\nmine\n");
    bench.run(&path, Outcome::Unchanged);
    grow(&path, "1}");
    bench.run(&path, Outcome::Extended);
    assert_eq!(bench.export("a"), b"{\"a\":\nmine\n1}");
    bench.run(&path, Outcome::Unchanged);
}

#[test]
fn a_killed_import_is_taken_up() {
    let source = "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n";
    for lines in
        [&["{\"n\":1}"][..], &["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"], &["{\"n\":1}", "{\"n"]]
    {
        let bench = Bench::new();
        let path = bench.write("a.jsonl", source);
        killed_after(&bench, lines);
        let report = bench.run(&path, Outcome::Extended);
        assert_eq!(report.bytes, source.len() as u64);
        assert_eq!(bench.export("a"), source.as_bytes());
        assert!(report.warnings.iter().any(|w| w.contains("cut short")), "{:?}", report.warnings);
        bench.run(&path, Outcome::Unchanged);
        assert!(!bench.journal("a~2").exists());
    }
}

#[test]
fn an_import_killed_before_its_first_line_is_taken_up() {
    for source in ["", "{}\n"] {
        let bench = Bench::new();
        let path = bench.write("a.jsonl", source);
        killed_after(&bench, &[]);
        bench.run(&path, if source.is_empty() { Outcome::Empty } else { Outcome::Imported });
        assert_eq!(bench.export("a"), source.as_bytes());
        bench.run(&path, Outcome::Unchanged);
    }
}

/// Its header was stored, and read by nobody any more.
#[test]
fn what_the_lines_of_a_killed_import_say_is_known() {
    let bench = Bench::new();
    let header = HEADER.trim_end();
    for (n, source) in [HEADER.to_owned(), format!("{HEADER}{MESSAGE}")].iter().enumerate() {
        let bench = if n == 0 { &bench } else { &Bench::new() };
        let path = bench.write("a.jsonl", source);
        killed_after(bench, &[header]);
        bench.run(&path, Outcome::Extended);
        let known = Attributes::of(&bench.reader("a")).expect("reads").expect("has attributes");
        assert_eq!(known.header_id.as_deref(), Some("s"));
        let last = receipts(bench, "a").pop().expect("a receipt");
        assert_eq!(last.header_id.as_deref(), Some("s"));
    }
}

#[test]
fn a_file_kept_whole_whose_import_was_killed_is_taken_up() {
    let bench = Bench::new();
    let path = bench.write("in/sessions.json", "{}");
    fs::create_dir_all(bench.store()).expect("makes the store");
    let name = SessionName::new(None, "sessions.json").expect("a name");
    let journal = bench.journal("sessions.json");
    drop(Journal::create(&journal, &name, &Options::default()).expect("creates"));
    bench.run(&path, Outcome::Imported);
    assert_eq!(bench.export("sessions.json"), b"{}");
    bench.run(&path, Outcome::Unchanged);
}

#[test]
fn verifying_looks_at_what_was_imported_and_at_nothing_else() {
    let mut bench = Bench::new();
    bench.options.verify = true;
    let path = bench.write("a.jsonl", "{\"a\":");
    bench.run(&path, Outcome::Imported);
    bench.append("a", "mine");
    grow(&path, "1}\n");
    assert_eq!(bench.run(&path, Outcome::Extended).verified, Some(true));
    assert_eq!(bench.run(&path, Outcome::Unchanged).verified, Some(true));
}

#[test]
fn the_store_is_no_source() {
    let bench = Bench::new();
    bench.write("a.jsonl", HEADER);
    for _ in 0..3 {
        let (lines, summary) = bench.run_all(&[bench.path("")]);
        let is_journal = |line: &SourceLine| line.file.contains(".journal");
        assert!(!lines.iter().any(is_journal), "{lines:?}");
        assert_eq!(summary.imported + summary.unchanged, 1);
    }
}

#[test]
fn a_killed_extension_is_taken_up() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{\"n\":1}\n{\"n\"");
    bench.run(&path, Outcome::Imported);
    grow(&path, ":2}\n{\"n\":3}\n{\"n\":4}\n");
    let mut journal = open(&bench.journal("a"));
    for line in [":2}", "{\"n\":3}"] {
        journal.append(&NewRecord::new(line)).expect("appends");
    }
    drop(journal);
    let report = bench.run(&path, Outcome::Extended);
    assert_eq!((report.records, report.added_records), (5, 1));
    assert_eq!(bench.export("a"), fs::read(&path).expect("reads"));
    bench.run(&path, Outcome::Unchanged);
}

#[test]
fn a_rewritten_source_is_a_new_session() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{\"n\":1}\n{\"n\":2}\n");
    bench.run(&path, Outcome::Imported);
    for (number, source) in [(2, "{\"n\":1}\n"), (3, "{\"n\":9}\n{\"n\":2}\n{\"n\":3}\n")] {
        bench.write("a.jsonl", source);
        let report = bench.run(&path, Outcome::Imported);
        let session = format!("a~{number}");
        assert_eq!(report.session.map(|name| name.to_string()), Some(session.clone()));
        assert!(
            report.warnings.iter().any(|w| w.starts_with("session a: ")),
            "{:?}",
            report.warnings
        );
        assert_eq!(bench.export(&session), source.as_bytes());
        bench.run(&path, Outcome::Unchanged);
    }
    assert_eq!(bench.export("a"), b"{\"n\":1}\n{\"n\":2}\n");
    grow(&path, "more\n");
    let report = bench.run(&path, Outcome::Extended);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("a~3"));
}

#[test]
fn two_files_with_one_name_both_arrive() {
    let bench = Bench::new();
    let files = [
        bench.write("x/a.jsonl", "{\"n\":1}\n"),
        bench.write("y/a.jsonl", "{\"n\":1}\n{\"n\":2}\n"),
        bench.write("y/a~2.jsonl", "{\"n\":3}\n"),
    ];
    let line = |file: &str, session: &str, outcome| SourceLine {
        file: file.to_owned(),
        session: Some(session.to_owned()),
        outcome,
    };
    let (lines, summary) = bench.run_all(&files);
    assert_eq!(
        lines,
        [
            line("a.jsonl", "a", Outcome::Imported),
            line("a.jsonl", "a~2", Outcome::Imported),
            line("a~2.jsonl", "a~2~2", Outcome::Imported)
        ]
    );
    assert_eq!((summary.sources, summary.imported, summary.records), (3, 3, 4));
    for (file, line) in files.iter().zip(lines) {
        let session = line.session.expect("a session");
        assert_eq!(bench.export(&session), fs::read(file).expect("reads"));
    }
    let (_, summary) = bench.run_all(&files);
    assert_eq!((summary.unchanged, summary.sources), (3, 3));
}

#[test]
fn a_moved_source_is_known_again() {
    let bench = Bench::new();
    let path = bench.write("x/a.jsonl", "{\"n\":1}\n");
    bench.run(&path, Outcome::Imported);
    let moved = bench.write("y/a.jsonl", "{\"n\":1}\n{\"n\":2}\n");
    fs::remove_file(&path).expect("removes");
    bench.run(&moved, Outcome::Extended);
    assert_eq!(bench.export("a"), fs::read(&moved).expect("reads"));
}

#[test]
fn a_session_of_somebody_else_is_left_alone() {
    let bench = Bench::new();
    killed_after(&bench, &["{\"n\":1}", "mine"]);
    let path = bench.write("a.jsonl", "{\"n\":1}\n{\"n\":2}\n");
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("a~2"));
    assert_eq!(bench.export("a"), b"{\"n\":1}\nmine\n");
}

#[test]
fn a_source_that_grows_meanwhile_arrives_in_the_end() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", HEADER);
    let source = path.clone();
    let writer = std::thread::spawn(move || {
        for n in 0..300 {
            grow(&source, format!("{{\"n\":{n}"));
            grow(&source, "}\n");
        }
    });
    while !writer.is_finished() {
        assert!(bench.import().run_file(&path).error.is_none());
    }
    writer.join().expect("writes");
    assert!(bench.import().run_file(&path).error.is_none());
    assert!(bench.export("a") == fs::read(&path).expect("reads"));
    bench.run(&path, Outcome::Unchanged);
    assert!(!bench.journal("a~2").exists());
}

#[test]
fn a_dry_run_decides_and_writes_nothing() {
    let mut bench = Bench::new();
    bench.options.dry_run = true;
    let path = bench.write("a.jsonl", format!("{HEADER}{MESSAGE}"));
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!((report.records, report.bytes), (2, (HEADER.len() + MESSAGE.len()) as u64));
    assert!(!bench.store().exists());
    bench.options.dry_run = false;
    bench.run(&path, Outcome::Imported);
    let before = fs::read(bench.journal("a")).expect("reads");
    bench.options.dry_run = true;
    bench.run(&path, Outcome::Unchanged);
    grow(&path, MESSAGE);
    let report = bench.run(&path, Outcome::Extended);
    assert_eq!((report.records, report.added_records), (3, 1));
    assert!(fs::read(bench.journal("a")).expect("reads") == before);
}

/// It was called unchanged, because an older receipt knew these bytes; its session gave back more.
#[test]
fn a_source_that_is_cut_back_to_what_it_once_was_is_a_new_session() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{\"n\":1}\n");
    bench.run(&path, Outcome::Imported);
    grow(&path, "{\"n\":2}\n");
    bench.run(&path, Outcome::Extended);
    bench.write("a.jsonl", "{\"n\":1}\n");
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!(report.session.as_ref().map(ToString::to_string).as_deref(), Some("a~2"));
    assert_eq!(bench.export_of(&report), b"{\"n\":1}\n");
    assert!(report.reason.contains("rewritten since it became session a"), "{}", report.reason);
    bench.run(&path, Outcome::Unchanged);
}

/// The second one was called unchanged, and only the first came back on export.
#[test]
fn two_files_with_one_name_and_the_same_bytes_both_arrive() {
    let bench = Bench::new();
    let files = [bench.write("x/a.jsonl", HEADER), bench.write("y/a.jsonl", HEADER)];
    let (lines, summary) = bench.run_all(&files);
    assert_eq!((summary.imported, lines[1].session.as_deref()), (2, Some("a~2")));
    let (lines, summary) = bench.run_all(&files);
    assert_eq!((summary.unchanged, lines[1].session.as_deref()), (2, Some("a~2")));
}

#[test]
fn the_new_place_of_a_moved_source_is_known() {
    let bench = Bench::new();
    let path = bench.write("x/a.jsonl", HEADER);
    bench.run(&path, Outcome::Imported);
    let moved = bench.path("y/a.jsonl");
    fs::create_dir(bench.path("y")).expect("makes a folder");
    fs::rename(&path, &moved).expect("moves");
    bench.run(&moved, Outcome::Unchanged);
    let known = Attributes::of(&bench.reader("a")).expect("reads").expect("has attributes");
    assert!(known.source.ends_with("y/a.jsonl"), "{}", known.source);
    // Now the old place is taken by a copy: it is another session.
    bench.write("x/a.jsonl", HEADER);
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!(report.session.map(|name| name.to_string()).as_deref(), Some("a~2"));
}

/// Attributes are looked up by their number, however many there are.
#[test]
fn the_newest_of_many_attributes_counts() {
    let bench = Bench::new();
    let path = bench.write("agents/main/sessions/a.jsonl", HEADER);
    for n in 1..=20 {
        let registry = format!("{{\"k\":{{\"sessionId\":\"a\",\"totalTokens\":{n}}}}}");
        bench.write("agents/main/sessions/sessions.json", registry);
        assert!(bench.import().run_file(&path).error.is_none());
        let known = Attributes::of(&bench.reader("main/a")).expect("reads").expect("is there");
        assert_eq!(known.counters["totalTokens"].as_u64(), Some(n));
    }
    assert_eq!(bench.export("main/a"), HEADER.as_bytes());
}

/// Behind damage a key may hide, those of the attributes too.
#[test]
fn a_session_that_was_damaged_meanwhile_is_no_reason_to_fail() {
    let mut bench = Bench::new();
    let path = bench.write("a.jsonl", format!("{HEADER}{MESSAGE}{{\"hit\":\"here\"}}\n{MESSAGE}"));
    bench.run(&path, Outcome::Imported);
    let journal = bench.journal("a");
    let mut bytes = fs::read(&journal).expect("reads");
    let at = bytes.windows(4).position(|four| four == b"here").expect("is there");
    bytes[at] ^= 1;
    fs::write(&journal, bytes).expect("writes");
    let report = bench.run(&path, Outcome::Imported);
    assert!(report.reason.contains("session a lost some of it"), "{}", report.reason);
    assert_eq!(bench.export_of(&report), fs::read(&path).expect("reads"));
    let known = Attributes::of(&bench.reader("a")).expect("reads").expect("is known");
    assert_eq!(known.header_id.as_deref(), Some("s"));
    bench.options.verify = true;
    assert_eq!(bench.run(&path, Outcome::Unchanged).verified, Some(true));
}

/// Power may take lines that were written before a receipt, and leave the receipt: it was believed,
/// and the source called unchanged.
#[test]
fn a_receipt_whose_lines_are_missing_is_not_believed() {
    let bench = Bench::new();
    let path = bench.write("a.jsonl", "{\"n\":1}\n{\"n\":\"here\"}\n");
    bench.run(&path, Outcome::Imported);
    let receipt = receipts(&bench, "a").pop().expect("a receipt");
    let journal = bench.journal("a");
    fs::remove_file(&journal).expect("removes");
    // The same again, by an owner that does not come to its end.
    let name = SessionName::new(None, "a").expect("a name");
    let mut owner = Journal::create(&journal, &name, &Options::default()).expect("creates");
    let receipt = serde_json::to_vec(&receipt).expect("is JSON");
    for record in [
        NewRecord::new("{\"n\":1}"),
        NewRecord::new("{\"n\":\"here\"}"),
        NewRecord::new(receipt).kind(RECEIPT_KIND),
    ] {
        let options =
            AppendOptions { durability: Some(Durability::Written), ..AppendOptions::default() };
        owner.append_all(&[record], &options).expect("appends");
    }
    drop(owner);
    let mut bytes = fs::read(&journal).expect("reads");
    let at = bytes.windows(4).position(|four| four == b"here").expect("is there");
    bytes[at..at + 4].fill(0);
    fs::write(&journal, bytes).expect("writes");
    let report = bench.run(&path, Outcome::Imported);
    assert_eq!(report.session.as_ref().map(ToString::to_string).as_deref(), Some("a~2"));
    assert_eq!(bench.export_of(&report), fs::read(&path).expect("reads"));
    bench.run(&path, Outcome::Unchanged);
}
