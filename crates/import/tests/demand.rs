//! What users of JSONL stores and of their migration have reported, a fixture each: what is in the
//! folder, and what becomes of every file. Rows of section D are damage, rows of section H are
//! reasons for which a migration left files behind.

mod support;

use std::fs;
use std::path::Path;

use session_journal_import::{Outcome, SourceReport};
use support::Bench;

use Between::{Copied, Grown, Nothing};
use Outcome::{Empty, Extended, Imported, Skipped, Unchanged};

const HEADER: &str = "{\"type\":\"session\",\"version\":3,\"id\":\"s\",\"timestamp\":\"2026-05-21T09:00:00.000Z\",\"cwd\":\"/w\"}\n";
const ROOT: &str =
    "{\"type\":\"message\",\"id\":\"a\",\"parentId\":null,\"message\":{\"role\":\"user\"}}\n";
const NEXT: &str =
    "{\"type\":\"message\",\"id\":\"b\",\"parentId\":\"a\",\"message\":{\"role\":\"assistant\"}}\n";

/// A file: its name, what it holds, what becomes of it, and what is odd about it.
type File = (&'static str, String, Outcome, &'static [&'static str]);

/// What happens between two runs.
#[derive(Clone, Copy)]
enum Between {
    /// Nothing: all of it is unchanged.
    Nothing,
    /// Every file is put back from a copy: another inode, another time.
    Copied,
    /// This is appended to the first file.
    Grown(&'static str),
}

struct Row {
    id: &'static str,
    what: &'static str,
    files: Vec<File>,
    between: Between,
}

fn row(id: &'static str, what: &'static str, files: Vec<File>) -> Row {
    Row { id, what, files, between: Nothing }
}

fn sound() -> String {
    format!("{HEADER}{ROOT}{NEXT}")
}

fn with_id(id: &str) -> String {
    format!("{}{ROOT}", HEADER.replace("\"s\"", &format!("\"{id}\"")))
}

fn damage() -> Vec<Row> {
    let broken = &["broken-json", "header-missing"][..];
    vec![
        row(
            "D1",
            "a bad first line must not cost the transcript",
            vec![("a.jsonl", format!("{{\"type\":\"sess\n{ROOT}{NEXT}"), Imported, broken)],
        ),
        row(
            "D2",
            "the next append glued to a torn tail",
            vec![
                (
                    "a.jsonl",
                    format!("{HEADER}{ROOT}{{\"type\":\"message\",\"id\":\"x\",\"par{NEXT}"),
                    Imported,
                    &["broken-json", "embedded"],
                ),
                ("b.jsonl", format!("{HEADER}{ROOT}{{\"type\":\"mess"), Imported, &["torn"]),
            ],
        ),
        row(
            "D3",
            "a run of NUL in the middle, and a record behind it",
            vec![(
                "a.jsonl",
                format!("{HEADER}{ROOT}{}\n{}{NEXT}{NEXT}", "\0".repeat(300), "\0".repeat(200)),
                Imported,
                &["nul", "embedded"],
            )],
        ),
        row(
            "D4",
            "malformed lines are named, not skipped",
            vec![(
                "a.jsonl",
                format!("{HEADER}not json\n\n7\n{ROOT}"),
                Imported,
                &["broken-json", "blank", "not-an-object"],
            )],
        ),
    ]
}

fn repairs() -> Vec<Row> {
    vec![
        row(
            "D5",
            "a backup for every repair",
            vec![
                ("a.jsonl", sound(), Imported, &[]),
                ("a.jsonl.bak-12-1779354000685", sound(), Imported, &[]),
                ("a.jsonl.bak-12-1779354000686", sound(), Imported, &[]),
            ],
        ),
        row(
            "D6",
            "a repair that was interrupted",
            vec![
                ("a.jsonl", String::new(), Empty, &[]),
                ("a.jsonl.repair.12.u.tmp", format!("{HEADER}{ROOT}{{\"ty"), Imported, &["torn"]),
            ],
        ),
        row(
            "D7",
            "meaning is not changed: null roles and odd answers stay",
            vec![(
                "a.jsonl",
                format!("{HEADER}{ROOT}{}", NEXT.replace("\"assistant\"", "null")),
                Imported,
                &[],
            )],
        ),
        row(
            "D8",
            "payloads that are poison to a reader",
            vec![(
                "a.jsonl",
                format!(
                    "{HEADER}{{\"type\":\"message\",\"message\":{{\"content\":\"\u{1}\"}}}}\n{ROOT}"
                ),
                Imported,
                &["broken-json"],
            )],
        ),
        row(
            "D9",
            "a header that is longer than a probe",
            vec![(
                "a.jsonl",
                format!("{}{ROOT}", HEADER.replace("/w", &format!("/{}", "w".repeat(2000)))),
                Imported,
                &[],
            )],
        ),
        Row {
            between: Grown("rentId\":\"a\"}\n"),
            ..row(
                "D10",
                "a record that is still being written",
                vec![(
                    "a.jsonl",
                    format!("{HEADER}{ROOT}{{\"type\":\"message\",\"id\":\"b\",\"pa"),
                    Imported,
                    &["torn"],
                )],
            )
        },
        row(
            "D11",
            "a version that is newer than this program",
            vec![(
                "a.jsonl",
                format!("{}{ROOT}", HEADER.replace("\"version\":3", "\"version\":99")),
                Imported,
                &["header-version"],
            )],
        ),
    ]
}

fn identity() -> Vec<Row> {
    vec![
        row(
            "H1",
            "the header does not match the file's name",
            vec![
                ("11111111-0000-4000-8000-000000000000-topic-2.jsonl", sound(), Imported, &[]),
                ("boot-2026-05-21-abcdef.jsonl", with_id("other"), Imported, &[]),
                (
                    "2026-05-21T09-00-00-000Z_22222222-0000-4000-8000-000000000000.jsonl",
                    sound(),
                    Imported,
                    &[],
                ),
                ("x.checkpoint.33333333-0000-4000-8000-000000000000.jsonl", sound(), Imported, &[]),
                ("x.jsonl.deleted.2026-05-21T09-00-00Z", sound(), Imported, &[]),
                ("x.jsonl.reset.2026-05-21T09-00-00.000Z", sound(), Imported, &[]),
            ],
        ),
        row("H2", "the same sources again and again", vec![("a.jsonl", sound(), Imported, &[])]),
        Row {
            between: Copied,
            ..row(
                "H3",
                "restored from a backup: another inode, another time",
                vec![
                    ("a.jsonl", sound(), Imported, &[]),
                    ("sessions.json", "{\"k\":{\"sessionId\":\"s\"}}".to_owned(), Imported, &[]),
                ],
            )
        },
        Row {
            between: Copied,
            ..row(
                "H5",
                "an archive whose identity changed",
                vec![("sessions.json.bak.1", "{}".to_owned(), Imported, &[])],
            )
        },
        row(
            "H6",
            "one byte that is not UTF-8",
            vec![("a.jsonl", format!("{HEADER}{ROOT}{NEXT}"), Imported, &[])],
        ),
    ]
}

fn refusals() -> Vec<Row> {
    let reason = |files| row("H7", "every other reason to put a file off", files);
    let key = "{\"type\":\"brand_new_type\",\"id\":\"c\",\"parentId\":\"a\",\"future\":{}}\n";
    let owners = "{\"k1\":{\"sessionId\":\"s\",\"sessionFile\":\"/x/a.jsonl\"},
        \"k2\":{\"sessionId\":\"s\",\"sessionFile\":\"/x/a.jsonl\"}}";
    vec![
        reason(vec![("a.jsonl", format!("{HEADER}{HEADER}{ROOT}"), Imported, &["header-again"])]),
        reason(vec![(
            "a.jsonl",
            format!("{}{ROOT}", HEADER.replace("\"version\":3", "\"version\":\"x\"")),
            Imported,
            &["header-version"],
        )]),
        reason(vec![("a.jsonl", format!("{HEADER}{ROOT}{key}"), Imported, &[])]),
        reason(vec![
            ("a.jsonl", with_id("one"), Imported, &[]),
            ("b.jsonl", with_id("one"), Imported, &[]),
        ]),
        reason(vec![
            ("a.jsonl", sound(), Imported, &[]),
            ("sessions.json", owners.to_owned(), Imported, &[]),
        ]),
        reason(vec![("a.jsonl", NEXT.to_owned(), Imported, &["header-missing", "parent-missing"])]),
        row(
            "H11",
            "every file says what became of it, why, and what to do next",
            vec![
                ("a.jsonl", sound(), Imported, &[]),
                ("a.jsonl.lock", "{\"pid\":1}".to_owned(), Skipped, &[]),
                ("odd.bin", "?".to_owned(), Imported, &[]),
            ],
        ),
        row(
            "H12",
            "a session that was never started is not a lost one",
            vec![
                ("a.jsonl", HEADER.to_owned(), Imported, &[]),
                ("b.jsonl", String::new(), Empty, &[]),
                ("sessions.json", "{\"k\":{\"sessionId\":\"never\"}}".to_owned(), Imported, &[]),
            ],
        ),
        row(
            "H13",
            "a store that is there already does not mean that all of it is",
            vec![("a.jsonl", sound(), Imported, &[]), ("b.jsonl", with_id("b"), Imported, &[])],
        ),
    ]
}

fn reports(bench: &Bench, folder: &Path) -> Vec<SourceReport> {
    let mut reports = Vec::new();
    let summary = bench.import().run(&[folder.to_owned()], &mut |report| {
        reports.push(SourceReport { error: None, ..copy(report) });
        assert!(report.error.is_none(), "{report:?}");
    });
    assert!(summary.is_balanced());
    assert_eq!(summary.sources, reports.len() as u64);
    reports
}

fn copy(report: &SourceReport) -> SourceReport {
    SourceReport {
        source: report.source.clone(),
        session: report.session.clone(),
        reason: report.reason.clone(),
        next: report.next.clone(),
        sha256: report.sha256.clone(),
        damage: report.damage.clone(),
        warnings: report.warnings.clone(),
        attributes: report.attributes.clone(),
        error: None,
        ..*report
    }
}

/// Every file of a row: its outcome, its damage, its reason, and its bytes out of its session.
fn holds(bench: &Bench, row: &Row, reports: &[SourceReport], is_first: bool) {
    let Row { id, what, files, .. } = row;
    assert_eq!(reports.len(), files.len(), "{id}: {what}: {reports:?}");
    for (at, (name, _, outcome, odd)) in files.iter().enumerate() {
        let is_it = |report: &&SourceReport| report.source.ends_with(name);
        let all: Vec<_> = reports.iter().filter(is_it).collect();
        let [report] = &all[..] else { panic!("{id}: {name} has {} outcomes", all.len()) };
        let expected = match (is_first, outcome, row.between) {
            (true, outcome, _) | (false, outcome @ Skipped, _) => *outcome,
            (false, _, Grown(_)) if at == 0 => Extended,
            (false, ..) => Unchanged,
        };
        assert_eq!(report.outcome, expected, "{id}: {name}: {report:?}");
        assert!(!report.reason.is_empty() && !report.next.is_empty(), "{id}: {report:?}");
        if is_first {
            let damage: Vec<_> = report.damage.iter().map(|one| one.what.as_str()).collect();
            assert_eq!(&damage, odd, "{id}: {name}");
        }
        if report.session.is_some() {
            let source = fs::read(&report.source).expect("reads");
            assert!(bench.export_of(report) == source, "{id}: {name} comes back");
        }
    }
}

fn between(row: &Row, folder: &Path) {
    match row.between {
        Nothing => {}
        Copied => {
            for (name, ..) in &row.files {
                let (path, copy) = (folder.join(name), folder.join("copy"));
                fs::copy(&path, &copy).expect("copies");
                fs::remove_file(&path).expect("removes");
                fs::rename(&copy, &path).expect("renames");
            }
        }
        Grown(more) => support::grow(&folder.join(row.files[0].0), more),
    }
}

#[test]
fn nothing_that_users_reported_is_left_behind() {
    let rows: Vec<_> =
        damage().into_iter().chain(repairs()).chain(identity()).chain(refusals()).collect();
    assert!(rows.len() >= 25);
    for row in rows {
        let bench = Bench::new();
        let folder = bench.path("agents/main/sessions");
        for (name, text, ..) in &row.files {
            let mut bytes = text.clone().into_bytes();
            if row.id == "H6" {
                let at = bytes.windows(4).position(|four| four == b"user").expect("a text");
                bytes[at] = 0xff;
            }
            bench.write(&format!("agents/main/sessions/{name}"), bytes);
        }
        let row = if row.id == "H6" { not_utf8(row) } else { row };
        holds(&bench, &row, &reports(&bench, &folder), true);
        between(&row, &folder);
        holds(&bench, &row, &reports(&bench, &folder), false);
        let still = Row { between: Nothing, ..row };
        holds(&bench, &still, &reports(&bench, &folder), false);
    }
}

fn not_utf8(row: Row) -> Row {
    let odd: &[&str] = &["not-utf8", "parent-missing"];
    let files = row.files.into_iter().map(|(name, text, outcome, _)| (name, text, outcome, odd));
    Row { files: files.collect(), ..row }
}

/// H4: snapshot tools make hard links.
#[test]
fn a_source_with_two_names_is_imported_under_both() {
    let bench = Bench::new();
    let path = bench.write("in/a.jsonl", sound());
    fs::hard_link(&path, bench.path("in/b.jsonl")).expect("links");
    let (lines, summary) = bench.run_all(&[bench.path("in")]);
    assert_eq!((summary.imported, lines.len()), (2, 2));
    assert_eq!(bench.export("a"), bench.export("b"));
}

/// H8, H9, H10: what was not migrated stays usable, nothing is staged, and the need is known before.
#[test]
fn the_sources_stay_as_they_are_and_the_need_is_known_before() {
    let bench = Bench::new();
    for n in 0..200 {
        bench.write(&format!("in/{n}.jsonl"), sound().repeat(20));
    }
    let before = support::files(&bench.path("in"));
    let import = bench.import();
    let plan = import.plan(&[bench.path("in")]);
    let space = plan.space();
    assert_eq!((plan.sources(), plan.bytes()), (200, space.sources));
    import.check_space(&plan).expect("there is room for a megabyte");
    import.run_plan(plan, &mut |_| {});
    let used: u64 = support::files(&bench.store()).values().map(|file| file.len() as u64).sum();
    assert!(used <= space.needed, "{used} bytes were used, and {} were announced", space.needed);
    assert!(support::files(&bench.path("in")) == before);
    assert_eq!(import.plan(&[bench.path("in")]).space().needed, 0, "all of it is there");
}

/// The need of many short lines is many times their bytes; what is packed is judged unpacked.
#[test]
fn short_lines_take_no_more_room_than_was_announced() {
    use std::fmt::Write;
    let text = |count: u32| {
        (0..count).fold(String::new(), |mut text, n| {
            writeln!(text, "{{\"n\":{n}}}").expect("writes");
            text
        })
    };
    let packed = zstd::encode_all(text(40_000).as_bytes(), 3).expect("packs");
    for (name, bytes) in [
        ("a.jsonl", text(40_000).into_bytes()),
        ("b.jsonl", "\n".repeat(10_000).into_bytes()),
        ("c.jsonl.zst", packed),
        ("d.jsonl", vec![b'x'; 1 << 20]),
    ] {
        let bench = Bench::new();
        bench.write(&format!("in/{name}"), &bytes);
        let import = bench.import();
        let plan = import.plan(&[bench.path("in")]);
        let needed = plan.space().needed;
        assert_eq!(import.run_plan(plan, &mut |_| {}).imported, 1, "{name}");
        let used: u64 = support::files(&bench.store()).values().map(|file| file.len() as u64).sum();
        assert!(used <= needed, "{name}: {used} bytes were used, and {needed} were announced");
        assert!(needed <= 3 * used, "{name}: {used} bytes were used, and {needed} were announced");
    }
}
