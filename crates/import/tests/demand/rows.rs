//! The table.

use std::fs;

use session_journal_import::Outcome::{Extended, Failed, Imported};

use crate::scene::Step::{Again, Does, Grown, Import, Linked, Restored, Rewritten};
use crate::scene::{File, Row, Step, database, file, part};
use crate::steps;
use crate::support::fixtures_folder;

const HEADER: &str = "{\"type\":\"session\",\"version\":3,\"id\":\"s\",\"timestamp\":\"2026-05-21T09:00:00.000Z\",\"cwd\":\"/w\"}\n";
const ROOT: &str =
    "{\"type\":\"message\",\"id\":\"a\",\"parentId\":null,\"message\":{\"role\":\"user\"}}\n";
const NEXT: &str =
    "{\"type\":\"message\",\"id\":\"b\",\"parentId\":\"a\",\"message\":{\"role\":\"assistant\"}}\n";

const GREW: &str = "it grew since it was imported";
const NEW: &str = "it was not here before";

pub(crate) fn all() -> Vec<Row> {
    let sections = [damage(), repairs(), identity(), put_off(), at_work(), told()];
    sections.into_iter().flatten().collect()
}

/// Imported, and nothing is left to do when it is imported again, twice.
fn row(id: &'static str, what: &'static str, files: Vec<File>) -> Row {
    Row { id, what, files, steps: vec![Import, Again(&[]), Again(&[])] }
}

impl Row {
    fn steps(self, steps: Vec<Step>) -> Self {
        Self { steps, ..self }
    }
}

fn sound() -> String {
    format!("{HEADER}{ROOT}{NEXT}")
}

fn with_id(id: &str) -> String {
    format!("{}{ROOT}", HEADER.replace("\"s\"", &format!("\"{id}\"")))
}

fn with_version(version: &str) -> String {
    format!("{}{ROOT}", HEADER.replace("\"version\":3", &format!("\"version\":{version}")))
}

fn damage() -> Vec<Row> {
    let glued = format!("{HEADER}{ROOT}{{\"type\":\"message\",\"id\":\"x\",\"par{NEXT}");
    let zeros = format!("{HEADER}{ROOT}{}\n{}{NEXT}{NEXT}", "\0".repeat(300), "\0".repeat(200));
    vec![
        row(
            "D1",
            "a bad first line must not cost the transcript",
            vec![
                file("a.jsonl", format!("{{\"type\":\"sess\n{ROOT}{NEXT}"))
                    .odd(&["broken-json", "header-missing"]),
            ],
        ),
        row(
            "D2",
            "the next append glued to a torn tail",
            vec![
                file("a.jsonl", glued).odd(&["broken-json", "embedded"]),
                file("b.jsonl", format!("{HEADER}{ROOT}{{\"type\":\"mess")).odd(&["torn"]),
            ],
        ),
        row(
            "D3",
            "a run of NUL in the middle, and a record behind it",
            vec![file("a.jsonl", zeros).odd(&["nul", "embedded"])],
        ),
        row(
            "D4",
            "malformed lines are named, not skipped",
            vec![file("a.jsonl", format!("{HEADER}not json\n\n7\n{ROOT}")).odd(&[
                "broken-json",
                "blank",
                "not-an-object",
            ])],
        ),
    ]
}

fn repairs() -> Vec<Row> {
    let poison = "{\"type\":\"message\",\"message\":{\"content\":\"\u{1}\"}}\n";
    let half = format!("{HEADER}{ROOT}{{\"type\":\"message\",\"id\":\"b\",\"pa");
    vec![
        row(
            "D5",
            "a backup for every repair",
            vec![
                file("a.jsonl", sound()),
                file("a.jsonl.bak-12-1779354000685", sound()),
                file("a.jsonl.bak-12-1779354000686", sound()),
            ],
        ),
        row(
            "D6",
            "a repair that was interrupted",
            vec![
                file("a.jsonl", "").empty(),
                file("a.jsonl.repair.12.u.tmp", format!("{HEADER}{ROOT}{{\"ty")).odd(&["torn"]),
            ],
        ),
        row(
            "D7",
            "meaning is not changed: null roles and odd answers stay",
            vec![file("a.jsonl", sound().replace("\"assistant\"", "null"))],
        ),
        row(
            "D8",
            "payloads that are poison to a reader",
            vec![file("a.jsonl", format!("{HEADER}{poison}{ROOT}")).odd(&["broken-json"])],
        ),
        row(
            "D9",
            "a header that is longer than a probe",
            vec![file("a.jsonl", sound().replace("/w", &format!("/{}", "w".repeat(2000))))],
        ),
        row(
            "D10",
            "a record that is still being written",
            vec![file("a.jsonl", half).odd(&["torn"])],
        )
        .steps(vec![
            Import,
            Again(&[]),
            Grown("a.jsonl", "rentId\":\"a\"}\n"),
            Again(&[("a.jsonl", Extended, GREW)]),
            Again(&[]),
        ]),
        row(
            "D11",
            "a version that is newer than this program",
            vec![file("a.jsonl", with_version("99")).odd(&["header-version"])],
        ),
    ]
}

fn identity() -> Vec<Row> {
    let restored = || vec![Import, Restored, Again(&[]), Restored, Again(&[])];
    let mut not_utf8 = sound().into_bytes();
    let at = not_utf8.windows(4).position(|four| four == b"user").expect("a text");
    not_utf8[at] = 0xff;
    vec![
        row(
            "H1",
            "the header does not match the file's name",
            vec![
                file("11111111-0000-4000-8000-000000000000.jsonl", sound()),
                file("11111111-0000-4000-8000-000000000000-topic-2.jsonl", sound()),
                file("boot-2026-05-21-abcdef.jsonl", with_id("other")),
                file(
                    "2026-05-21T09-00-00-000Z_22222222-0000-4000-8000-000000000000.jsonl",
                    sound(),
                ),
                file("x.checkpoint.33333333-0000-4000-8000-000000000000.jsonl", sound()),
                file("x.jsonl.deleted.2026-05-21T09-00-00Z", sound()),
                file("x.jsonl.reset.2026-05-21T09-00-00.000Z", sound()),
            ],
        )
        .steps(vec![Import, Does(steps::ids_of_headers_are_known), Again(&[])]),
        row("H2", "the same sources again and again", vec![file("a.jsonl", sound())]).steps(vec![
            Import,
            Again(&[]),
            Again(&[]),
            Again(&[]),
        ]),
        row(
            "H3",
            "restored from a backup: another inode, another time",
            vec![file("a.jsonl", sound()), file("sessions.json", "{\"k\":{\"sessionId\":\"s\"}}")],
        )
        .steps(restored()),
        row(
            "H4",
            "a second name of the same file, as snapshot tools make them",
            vec![file("a.jsonl", sound()), file("b.jsonl", sound())],
        )
        .steps(vec![Linked("a.jsonl", "b.jsonl"), Import, Again(&[]), Again(&[])]),
        row(
            "H5",
            "an archive whose identity changed",
            vec![file("sessions.json.bak.1", "{}"), file("sessions.json.bak", "{\"k\":{}}")],
        )
        .steps(restored()),
        row(
            "H6",
            "one byte that is not UTF-8",
            vec![file("a.jsonl", not_utf8).odd(&["not-utf8", "parent-missing"])],
        ),
    ]
}

/// The other reasons for which a file was put off, a row each.
fn put_off() -> Vec<Row> {
    let of_future = "{\"type\":\"brand_new_type\",\"id\":\"c\",\"parentId\":\"a\",\"future\":{}}\n";
    let two_owners = "{\"k1\":{\"sessionId\":\"s\",\"sessionFile\":\"/x/a.jsonl\"},
        \"k2\":{\"sessionId\":\"s\",\"sessionFile\":\"/x/a.jsonl\"}}";
    vec![
        row(
            "H7",
            "several headers",
            vec![file("a.jsonl", format!("{HEADER}{HEADER}{ROOT}")).odd(&["header-again"])],
        ),
        row(
            "H7",
            "a version that is no number",
            vec![file("a.jsonl", with_version("\"x\"")).odd(&["header-version"])],
        ),
        row(
            "H7",
            "a type of record that nobody knows",
            vec![file("a.jsonl", format!("{HEADER}{ROOT}{of_future}"))],
        ),
        row(
            "H7",
            "two files claim one id",
            vec![file("a.jsonl", with_id("one")), file("b.jsonl", with_id("one"))],
        ),
        row(
            "H7",
            "two agents claim one file",
            vec![file("a.jsonl", sound()), file("sessions.json", two_owners)],
        ),
        row(
            "H7",
            "a session of no agent's",
            vec![file("sessions/a.jsonl", sound()), file("b.jsonl", with_id("b"))],
        ),
        row(
            "H7",
            "it changes while it is read",
            vec![file("a.jsonl", sound()), file("b.jsonl", with_id("b"))],
        )
        .steps(vec![
            Import,
            Does(steps::imported_beside_a_writer),
            Again(&[("a.jsonl", Extended, GREW)]),
            Again(&[]),
        ]),
        row(
            "H7",
            "the history before it is missing",
            vec![file("a.jsonl", NEXT).odd(&["header-missing", "parent-missing"])],
        ),
        row(
            "H7",
            "what is there is no beginning of it",
            vec![file("a.jsonl", sound()), file("b.jsonl", with_id("b"))],
        )
        .steps(vec![
            Import,
            Rewritten("a.jsonl", format!("{HEADER}{NEXT}")),
            Again(&[("a.jsonl", Imported, "rewritten since it became session main/a")]),
            Again(&[]),
        ]),
    ]
}

/// What stops a migration half way.
fn at_work() -> Vec<Row> {
    let long = format!("{HEADER}{}\n", "x".repeat(steps::LIMIT_BYTES + 1));
    let many = (0..steps::MANY).map(|n| file(format!("{n}.jsonl"), sound().repeat(5)));
    vec![
        row(
            "H8",
            "one store cannot be migrated, and nothing starts any more",
            vec![
                file("a.jsonl", sound()),
                file("b.jsonl", long).failed("line 2 is longer than a record may be"),
                file("c.jsonl", with_id("c")),
            ],
        )
        .steps(vec![
            Does(steps::limit_records),
            Import,
            Does(steps::the_store_serves),
            Again(&[("b.jsonl", Failed, "line 2 is longer than a record may be")]),
            Does(steps::lift_the_limit),
            Again(&[("b.jsonl", Imported, NEW)]),
            Again(&[]),
        ]),
        row("H9", "thousands of sessions, begun anew each time", many.collect()).steps(vec![
            Does(steps::each_byte_is_read_as_often_however_many_there_are),
            Does(steps::stopped_half_way_and_gone_on),
            Again(&[]),
        ]),
        row(
            "H10",
            "room for everything several times over, and nobody knew before",
            vec![
                file("a.jsonl", sound().repeat(500)).odd(&["header-again", "id-again"]),
                file("b.jsonl", with_id("b")),
            ],
        )
        .steps(vec![
            Does(steps::too_little_room_is_told_before),
            Import,
            Does(steps::no_more_room_is_needed),
            Again(&[]),
        ]),
    ]
}

fn told() -> Vec<Row> {
    let sqlite = "main/agent/openclaw-agent.sqlite";
    let rows = fixtures_folder("sqlite/native/rows-as-jsonl");
    let rows = fs::read_dir(rows).expect("the fixture is there").map(|row| {
        let row = row.expect("reads");
        let name = row.file_name().into_string().expect("text");
        part(format!("{sqlite}/{name}"), fs::read(row.path()).expect("reads"))
    });
    let beside = [
        file("a.jsonl", sound()),
        file("b.jsonl", with_id("b")),
        database(sqlite, "sqlite/native/openclaw-agent.sqlite.zst"),
    ];
    vec![
        row(
            "H11",
            "every file says what became of it, why, and what to do next",
            vec![
                file("a.jsonl", sound()),
                file("a.jsonl.lock", "{\"pid\":1}").skipped("a lock file: it says who wrote"),
                file("odd.bin", "?"),
            ],
        ),
        row(
            "H12",
            "a session that was never started is not a lost one",
            vec![
                file("a.jsonl", HEADER),
                file("b.jsonl", "").empty(),
                file("sessions.json", "{\"k\":{\"sessionId\":\"never\"}}"),
            ],
        ),
        row(
            "H13",
            "a store that is there already, and a database beside it",
            beside.into_iter().chain(rows).collect(),
        )
        .steps(vec![
            Does(steps::one_of_them_is_there),
            Again(&[
                ("b.jsonl", Imported, NEW),
                (
                    "main/agent/openclaw-agent.sqlite/00c3ea2c-92cb-498e-94ee-59027bf18c52.jsonl",
                    Imported,
                    NEW,
                ),
                (
                    "main/agent/openclaw-agent.sqlite/76967b97-793c-4d00-a00a-c53493a7d253.jsonl",
                    Imported,
                    NEW,
                ),
            ]),
            Again(&[]),
        ]),
    ]
}
