//! `OpenClaw`'s database: its sessions as lines, read beside whoever has it open, and without a trace.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::{Connection, params};
use session_journal_import::{Attributes, Outcome, Relation, Role};
use support::{Bench, fixtures_folder};

const MAIN: &str = "76967b97-793c-4d00-a00a-c53493a7d253";
/// Tells a child to leave a write half done.
const HALF: &str = "SESSION_JOURNAL_TEST_HALF";
/// Where a child finds its database.
const DATABASE: &str = "SESSION_JOURNAL_TEST_DATABASE";

fn unpack(bench: &Bench, which: &str, to: &str) -> PathBuf {
    let packed = fixtures_folder("sqlite").join(which).join("openclaw-agent.sqlite.zst");
    let packed = fs::read(packed).expect("the fixture is there");
    bench.write(to, zstd::decode_all(&packed[..]).expect("unpacks"))
}

fn native(bench: &Bench) -> PathBuf {
    unpack(bench, "native", "agents/main/agent/openclaw-agent.sqlite")
}

/// The names and bytes of the files in a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("reads").map(|entry| entry.expect("reads"));
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).expect("reads"))
    };
    entries.map(read).collect()
}

fn add_row(connection: &Connection, session: &str, text: &str) {
    let sql = "insert into transcript_events (session_id, seq, event_json, created_at,
        event_utf8_bytes) select ?1, max(seq) + 1, ?2, 0, ?3 from transcript_events
        where session_id = ?1";
    let bytes = i64::try_from(text.len()).expect("fits");
    connection.execute(sql, params![session, text, bytes]).expect("inserts");
}

fn open(path: &Path) -> Connection {
    Connection::open(path).expect("opens")
}

fn attributes(bench: &Bench, session: &str) -> Attributes {
    Attributes::of(&bench.reader(session)).expect("reads").expect("has attributes")
}

#[test]
fn every_session_is_the_lines_that_another_reader_finds() {
    for (which, sessions) in [("native", 2), ("imported", 12)] {
        let mut bench = Bench::new();
        bench.options.verify = true;
        let database = unpack(&bench, which, "in/openclaw-agent.sqlite");
        let before = contents(database.parent().expect("a folder"));
        let (lines, summary) = bench.run_all(std::slice::from_ref(&database));
        assert_eq!((summary.imported, summary.verified, summary.skipped), (sessions, sessions, 1));
        assert!(summary.is_balanced());
        assert_eq!(lines[0].outcome, Outcome::Skipped, "the database itself");
        let rows = fixtures_folder("sqlite").join(which).join("rows-as-jsonl");
        for (name, expected) in contents(&rows) {
            let session = format!("main/{}", name.strip_suffix(".jsonl").expect("a name"));
            assert!(bench.export(&session) == expected, "{which} {name}");
        }
        let (_, summary) = bench.run_all(std::slice::from_ref(&database));
        assert_eq!((summary.unchanged, summary.added_bytes), (sessions, 0));
        let after = contents(database.parent().expect("a folder"));
        assert!(after == before, "the database is as it was, and nothing is beside it");
    }
}

/// The files are those that `OpenClaw` itself makes of sessions that are deleted.
#[test]
fn every_session_is_the_lines_that_openclaws_own_export_gives() {
    for (which, sessions) in [("native", 2), ("imported", 12)] {
        let bench = Bench::new();
        let folder = fixtures_folder("sqlite").join(which).join("archived");
        let database = unpack(&bench, which, "in/openclaw-agent.sqlite");
        let (_, summary) = bench.run_all(&[database, folder.clone()]);
        assert_eq!((summary.imported, summary.failed), (2 * sessions, 0));
        for (name, packed) in contents(&folder) {
            let (id, end) = name.split_once(".jsonl.").expect("an archive");
            let end = end.strip_suffix(".zst").expect("is packed");
            let expected = zstd::decode_all(&packed[..]).expect("unpacks");
            assert!(bench.export(&format!("main/{id}")) == expected, "{which} {name}");
            assert!(bench.export(&format!("{id}.{end}")) == expected, "the file itself: {name}");
        }
    }
}

#[test]
fn what_its_tables_say_is_known_of_a_session() {
    let bench = Bench::new();
    let database = native(&bench);
    let connection = open(&database);
    let sql = "update session_windows set previous_session_id = 'before', reason = 'reset',
        channel = 'telegram', display_name = 'mine' where session_id = ?1";
    connection.execute(sql, [MAIN]).expect("updates");
    drop(connection);
    bench.run_all(&[database]);
    let known = attributes(&bench, &format!("main/{MAIN}"));
    assert_eq!(known.session_key.as_deref(), Some("agent:main:main"));
    assert_eq!((known.agent.as_deref(), known.model.as_deref()), (Some("main"), Some("scripted")));
    assert_eq!(
        (known.channel.as_deref(), known.title.as_deref()),
        (Some("telegram"), Some("mine"))
    );
    assert_eq!(known.counters["totalTokens"].as_u64(), Some(1003));
    assert_eq!(known.role, Role::Transcript);
    let [reset] = &known.lineage[..] else { panic!("one relation: {:?}", known.lineage) };
    assert_eq!((reset.relation, reset.id.as_deref()), (Relation::ResetFrom, Some("before")));
}

#[test]
fn new_rows_extend_a_session_and_changed_ones_make_a_new_one() {
    let bench = Bench::new();
    let database = native(&bench);
    let main = format!("main/{MAIN}");
    bench.run_all(std::slice::from_ref(&database));
    let connection = open(&database);
    add_row(&connection, MAIN, "{\"type\":\"message\",\"id\":\"new\"}");
    drop(connection);
    let (_, summary) = bench.run_all(std::slice::from_ref(&database));
    assert_eq!((summary.extended, summary.unchanged, summary.added_records), (1, 1, 1));
    assert!(bench.export(&main).ends_with(b"\n{\"type\":\"message\",\"id\":\"new\"}\n"));
    let connection = open(&database);
    connection.execute("delete from transcript_events where seq = 2", []).expect("deletes");
    drop(connection);
    let (_, summary) = bench.run_all(&[database]);
    assert_eq!(summary.imported, 2);
    let known = attributes(&bench, &format!("{main}~2"));
    let before = known.lineage.iter().find(|one| one.relation == Relation::RewriteOf);
    assert_eq!(before.expect("a relation").session.as_deref(), Some(&*main));
}

#[test]
fn traces_streams_and_archives_come_along() {
    let bench = Bench::new();
    let database = native(&bench);
    let connection = open(&database);
    let trace = "{\"traceSchema\":\"openclaw-trajectory\"}";
    let sql = "insert into trajectory_runtime_events values (?1, 1, 'r', ?2, 0)";
    connection.execute(sql, params![MAIN, trace]).expect("inserts");
    for (run, seq, text) in [("b", 1, "{\"n\":3}"), ("a", 1, "{\"n\":1}"), ("a", 2, "{\"n\":2}")] {
        let sql = "insert into acp_parent_stream_events values (?1, ?2, ?3, ?4, 0)";
        connection.execute(sql, params![MAIN, run, seq, text]).expect("inserts");
    }
    let transcript = b"{\"type\":\"session\",\"version\":4,\"id\":\"old\"}\n";
    let packed = zstd::encode_all(&transcript[..], 1).expect("packs");
    let name = "old.jsonl.deleted.2026-09-01T00-00-00.000Z";
    let sql = "insert into session_transcript_archives values ('old', 'g', 'k', 'deleted', 'zstd',
        ?1, ?2, ?3 || '.zst', 0, null, 0, null, null)";
    connection.execute(sql, params![packed, "0".repeat(64), name]).expect("inserts");
    drop(connection);
    let (_, summary) = bench.run_all(&[database]);
    assert_eq!((summary.imported, summary.failed), (5, 0));
    let main = format!("main/{MAIN}");
    assert_eq!(bench.export(&format!("{main}.trajectory")), format!("{trace}\n").into_bytes());
    let stream = bench.export(&format!("{main}.acp-stream"));
    assert_eq!(stream, b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    assert_eq!(bench.export("main/old.deleted.2026-09-01T00-00-00.000Z"), transcript);
    assert_eq!(attributes(&bench, &format!("{main}.trajectory")).role, Role::Trajectory);
}

#[test]
fn a_row_that_cannot_be_unpacked_costs_nothing_but_itself() {
    let bench = Bench::new();
    let database = native(&bench);
    let connection = open(&database);
    let sql = "update transcript_events set event_zstd = x'28b52ffd00112233' where event_zstd is not null";
    assert_eq!(connection.execute(sql, []).expect("updates"), 1);
    drop(connection);
    let (_, summary) = bench.run_all(&[database]);
    assert_eq!((summary.imported, summary.failed), (2, 0));
    let export = bench.export(&format!("main/{MAIN}"));
    let packed = b"\n\x28\xb5\x2f\xfd\x00\x11\x22\x33\n";
    assert!(export.windows(packed.len()).any(|bytes| bytes == packed));
    assert_eq!(export.split(|byte| *byte == b'\n').count(), 11);
}

#[test]
fn other_databases_and_broken_ones_are_told_apart() {
    let bench = Bench::new();
    let other = bench.path("in/other.sqlite");
    fs::create_dir_all(bench.path("in")).expect("makes a folder");
    open(&other).execute_batch("create table t (x)").expect("makes a table");
    bench.write("in/broken.sqlite", [&b"SQLite format 3\0"[..], &[7; 4096]].concat());
    bench.write("in/good.jsonl", "{}\n");
    let (lines, summary) = bench.run_all(&[bench.path("in")]);
    let outcome = |file: &str| lines.iter().find(|line| line.file == file).map(|line| line.outcome);
    assert_eq!(outcome("other.sqlite"), Some(Outcome::Skipped));
    assert_eq!(outcome("broken.sqlite"), Some(Outcome::Failed));
    assert_eq!((summary.imported, summary.failed), (1, 1));
}

// ---- beside a gateway --------------------------------------------------------------------------

/// A process that has the database open and writes to it.
struct Gateway {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Gateway {
    fn start(database: &Path) -> Self {
        Self::spawn(&mut Self::command(database))
    }

    fn command(database: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "gateway", "--ignored", "--nocapture"]).env(DATABASE, database);
        command
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut gateway = Self { child, said };
        gateway.wait();
        gateway
    }

    fn write(&mut self) {
        self.child.stdin.as_mut().expect("a pipe").write_all(b"more\n").expect("writes");
        self.wait();
    }

    fn wait(&mut self) {
        let mut line = String::new();
        while !line.contains("written") {
            line.clear();
            assert!(self.said.read_line(&mut line).expect("reads") > 0, "the gateway ended");
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }
}

/// The gateway: a row for each line that it reads, left in the write-ahead log.
#[test]
#[ignore = "run by the tests that need a gateway"]
#[allow(clippy::print_stdout, reason = "it answers")]
fn gateway() {
    let database = std::env::var_os(DATABASE).expect("a database");
    let connection = open(Path::new(&database));
    if std::env::var_os(HALF).is_some() {
        // More than fits into the cache, so that some of it is in the database already.
        let sql = "pragma journal_mode = delete; pragma cache_size = 1; begin;
            update transcript_events set event_json = '{\"half\":1}', event_zstd = null,
                navigation_json = null;
            create table filler as select randomblob(100000) from transcript_events;";
        connection.execute_batch(sql).expect("writes");
        println!("written");
        std::io::stdin().lines().next();
        return;
    }
    connection.execute_batch("pragma wal_autocheckpoint = 0").expect("no checkpoints");
    let write = |n: usize| {
        add_row(&connection, MAIN, &format!("{{\"type\":\"message\",\"id\":\"live-{n}\"}}"));
        println!("written");
    };
    write(0);
    for (n, _) in std::io::stdin().lines().enumerate() {
        write(n + 1);
    }
}

fn last_line(bench: &Bench) -> String {
    let export = String::from_utf8(bench.export(&format!("main/{MAIN}"))).expect("text");
    export.lines().last().expect("a line").to_owned()
}

#[test]
fn it_is_read_beside_a_living_gateway() {
    let bench = Bench::new();
    let database = native(&bench);
    let mut gateway = Gateway::start(&database);
    let folder = database.parent().expect("a folder");
    let names = |folder: &Path| contents(folder).into_keys().collect::<Vec<_>>();
    let before = names(folder);
    assert_eq!(before.len(), 3, "the database, its log and the log's index: {before:?}");
    let (_, summary) = bench.run_all(std::slice::from_ref(&database));
    assert_eq!((summary.imported, summary.failed), (2, 0));
    assert!(last_line(&bench).contains("live-0"));
    gateway.write();
    let (_, summary) = bench.run_all(std::slice::from_ref(&database));
    assert_eq!((summary.extended, summary.unchanged, summary.added_records), (1, 1, 1));
    assert!(last_line(&bench).contains("live-1"));
    gateway.write();
    assert_eq!(names(folder), before);
    gateway.kill();
}

#[test]
fn what_a_killed_gateway_left_in_its_log_is_read_and_left_there() {
    let bench = Bench::new();
    let database = native(&bench);
    Gateway::start(&database).kill();
    let folder = database.parent().expect("a folder");
    let before = contents(folder);
    assert!(before["openclaw-agent.sqlite-wal"].len() > 1000);
    let (_, summary) = bench.run_all(std::slice::from_ref(&database));
    assert_eq!((summary.imported, summary.failed), (2, 0));
    assert!(last_line(&bench).contains("live-0"));
    assert!(contents(folder) == before, "nothing was written, made or removed");
}

#[test]
fn a_log_without_its_index_is_read_from_a_private_copy() {
    let bench = Bench::new();
    let database = native(&bench);
    Gateway::start(&database).kill();
    let folder = database.parent().expect("a folder");
    fs::remove_file(folder.join("openclaw-agent.sqlite-shm")).expect("removes");
    let before = contents(folder);
    let mut warnings = Vec::new();
    let import = bench.import();
    let summary = import.run(std::slice::from_ref(&database), &mut |report| {
        warnings.extend(report.warnings.clone());
    });
    assert_eq!((summary.imported, summary.failed), (2, 0));
    assert!(last_line(&bench).contains("live-0"));
    let is_told = |warning: &String| warning.contains("private copy");
    assert!(warnings.iter().any(is_told), "{warnings:?}");
    assert!(contents(folder) == before, "nothing was written, made or removed");
}

#[test]
fn a_write_that_was_killed_half_way_is_not_seen() {
    let bench = Bench::new();
    let database = native(&bench);
    Gateway::spawn(Gateway::command(&database).env(HALF, "yes")).kill();
    let folder = database.parent().expect("a folder");
    let before = contents(folder);
    assert!(before["openclaw-agent.sqlite-journal"].len() > 1000, "{:?}", before.keys());
    let half = before["openclaw-agent.sqlite"].windows(8).any(|bytes| bytes == b"{\"half\":");
    assert!(half, "the database holds some of the write");
    let (_, summary) = bench.run_all(std::slice::from_ref(&database));
    assert_eq!((summary.imported, summary.failed), (2, 0));
    let rows = fixtures_folder("sqlite/native/rows-as-jsonl").join(format!("{MAIN}.jsonl"));
    assert!(bench.export(&format!("main/{MAIN}")) == fs::read(rows).expect("reads"));
    assert!(contents(folder) == before, "nothing was written, made or removed");
}
