//! What entries say of themselves is kept: kind, key, parent and time. So a session that was imported
//! is looked up by key, walked to its root, and appended to without doubling anything.
//!
//! What is expected is read from the sources once more, as plain JSON values.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use session_journal::{AppendOptions, Journal, NewRecord, Record, Sequence};
use session_journal_import::{Format, Outcome};
use support::{Bench, fixtures, open};

/// An entry as its line says it.
#[derive(Debug)]
struct Entry {
    /// How many lines are before its own.
    at: usize,
    kind: String,
    key: Option<String>,
    parent: Option<String>,
    time_ms: Option<i64>,
}

/// Where a format has the name of an entry and that of the one before it.
fn fields(format: Format) -> Option<[&'static str; 2]> {
    match format {
        Format::Pi | Format::OpenClaw => Some(["id", "parentId"]),
        Format::ClaudeCode => Some(["uuid", "parentUuid"]),
        _ => None,
    }
}

/// A line as a value. Halves of surrogates, which some lines have in their texts, cannot be one: they
/// are taken for something else.
fn value(line: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(line).ok()?;
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\ud") {
        plain.push_str(&rest[..at]);
        plain.push_str("\\ufffd");
        rest = rest.get(at + 6..)?;
    }
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&(plain + rest))).ok()
}

/// The entries of a source.
fn entries(bytes: &[u8], [id, parent]: [&str; 2]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(Value::Object(object)) = value(line) else { continue };
        let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(kind) = text("type") else { continue };
        // The id in the header of pi and OpenClaw is that of the session.
        let is_header = kind == "session";
        let time = |name: &str| match object.get(name)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()),
            _ => None,
        };
        entries.push(Entry {
            at,
            kind,
            key: text(id).filter(|_| !is_header),
            parent: text(parent).filter(|_| !is_header),
            time_ms: time("timestamp").or_else(|| time("ts")),
        });
    }
    entries
}

/// The keys from an entry to its root, by the parents that the source names.
fn chain(entries: &[Entry], from: &str) -> Vec<String> {
    let mut parents = BTreeMap::new();
    for entry in entries {
        if let Some(key) = &entry.key {
            parents.entry(key.as_str()).or_insert(entry.parent.as_deref());
        }
    }
    let (mut chain, mut next) = (Vec::new(), Some(from));
    while let Some(key) = next.filter(|key| parents.contains_key(key)) {
        chain.push(key.to_owned());
        next = parents[key];
    }
    chain
}

/// A source whose lines have names, imported.
struct Imported {
    bench: Bench,
    session: String,
    what: String,
    entries: Vec<Entry>,
    /// The sequences of its lines.
    lines: Vec<Sequence>,
}

impl Imported {
    /// `None` where its lines have no names.
    fn of(bench: Bench, path: &Path) -> Option<Self> {
        let report = bench.import().run_file(path);
        assert!(report.error.is_none(), "{report:?}");
        let fields = fields(report.format.expect("a format"))?;
        let session = report.session.expect("a session").to_string();
        let bytes = std::fs::read(path).expect("reads");
        let what = path.display().to_string();
        let records = bench.reader(&session).records().map(|record| record.expect("reads"));
        let is_line = |record: &Record| !record.kind.as_deref().unwrap_or("").starts_with("sj.");
        let lines = records.filter(is_line).map(|record| record.sequence).collect();
        Some(Self { bench, session, what, entries: entries(&bytes, fields), lines })
    }

    fn record_of(&self, entry: &Entry) -> Record {
        let reader = self.bench.reader(&self.session);
        reader.get(self.lines[entry.at]).expect("reads").expect("is there")
    }

    /// Each key, with the first entry that has it.
    fn first_of_keys(&self) -> BTreeMap<&str, &Entry> {
        let mut firsts = BTreeMap::new();
        for entry in &self.entries {
            if let Some(key) = &entry.key {
                firsts.entry(key.as_str()).or_insert(entry);
            }
        }
        firsts
    }

    fn last_key(&self) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| entry.key.as_deref())
    }

    fn path(&self, from: &str) -> Vec<String> {
        let reader = self.bench.reader(&self.session);
        let path = reader.path_to_root(from).expect("has the key");
        path.map(|record| record.expect("reads").key.expect("a key")).collect()
    }

    fn open(&self) -> Journal {
        open(&self.bench.journal(&self.session))
    }
}

const CLAUDE: &str = "{\"type\":\"summary\",\"summary\":\"two words\",\"leafUuid\":\"c4\"}
{\"type\":\"user\",\"uuid\":\"c1\",\"parentUuid\":null,\"sessionId\":\"s\",\"timestamp\":\"2026-05-21T09:00:00.001Z\"}
{\"type\":\"assistant\",\"uuid\":\"c2\",\"parentUuid\":\"c1\",\"sessionId\":\"s\",\"timestamp\":\"2026-05-21T09:00:01.020Z\"}
{\"type\":\"user\",\"uuid\":\"c3\",\"parentUuid\":\"c1\",\"sessionId\":\"s\",\"isSidechain\":true,\"timestamp\":\"2026-05-21T09:00:02.300Z\"}
{\"type\":\"file-history-snapshot\",\"messageId\":\"c2\",\"snapshot\":{}}
{\"type\":\"assistant\",\"uuid\":\"c4\",\"parentUuid\":\"c2\",\"sessionId\":\"s\",\"timestamp\":\"2026-05-21T09:00:03.000Z\"}
";

/// All fixtures whose lines have names, damaged ones too, and a project file of Claude Code, of which
/// there is none. Codex' lines have neither names nor parents.
fn all() -> Vec<Imported> {
    let made = Bench::new();
    let claude = made.write(".claude/projects/-w/s.jsonl", CLAUDE);
    let claude = Imported::of(made, &claude).expect("has names");
    let paths = fixtures("sessions").into_iter().chain(fixtures("damaged"));
    let is_source = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.contains(".jsonl")
            && !name.contains(".lock")
            && path.extension() != Some("json".as_ref())
    };
    let sources = paths.filter(|path| is_source(path));
    let found = sources.filter_map(|path| Imported::of(Bench::new(), &path));
    let all: Vec<_> = found.chain([claude]).collect();
    for origin in
        ["openclaw-2026.5.26", "openclaw-2026.7.1", "pi-0.73.1", "pi-legacy", "damaged", ".claude"]
    {
        let is_of = |one: &Imported| one.what.contains(origin);
        assert!(all.iter().any(is_of), "no source of {origin}");
    }
    all
}

#[test]
fn every_record_has_the_kind_the_key_the_parent_and_the_time_of_its_entry() {
    let (mut keys, mut parents, mut times) = (0, 0, 0);
    for one in all() {
        for entry in &one.entries {
            let (record, what) = (one.record_of(entry), format!("{}: {entry:?}", one.what));
            assert_eq!(record.kind.as_deref(), Some(&*entry.kind), "{what}");
            assert_eq!(record.key, entry.key, "{what}");
            assert_eq!(record.parent, entry.parent, "{what}");
            if let Some(time_ms) = entry.time_ms {
                assert_eq!(record.time_ms, time_ms, "{what}");
                times += 1;
            }
            keys += u64::from(entry.key.is_some());
            parents += u64::from(entry.parent.is_some());
        }
    }
    assert!(keys > 200 && parents > 150 && times > 200, "{keys} {parents} {times}");
}

#[test]
fn every_entry_is_found_by_its_id() {
    for one in all() {
        let reader = one.bench.reader(&one.session);
        for (key, entry) in one.first_of_keys() {
            let record = reader.by_key(key).expect("reads");
            let record = record.unwrap_or_else(|| panic!("{}: no {key}", one.what));
            assert_eq!(record, one.record_of(entry), "{}: {key}", one.what);
        }
        assert!(reader.by_key("nobody has this id").expect("reads").is_none());
    }
}

#[test]
fn the_path_from_every_entry_is_the_chain_of_parents_that_the_source_names() {
    let mut longest = 0;
    let mut branched = BTreeSet::new();
    for one in all() {
        for key in one.first_of_keys().into_keys() {
            let expected = chain(&one.entries, key);
            assert_eq!(one.path(key), expected, "{}: from {key}", one.what);
            longest = longest.max(expected.len());
        }
        let Some(last) = one.last_key() else { continue };
        if one.path(last).len() < one.first_of_keys().len() {
            branched.insert(one.what.clone());
        }
    }
    assert!(longest >= 10 && branched.len() >= 3, "{longest} {branched:?}");
}

#[test]
fn what_was_imported_is_not_stored_again_and_answers_with_its_own_number() {
    for one in all() {
        let mut journal = one.open();
        let before = journal.last_sequence();
        for (key, entry) in one.first_of_keys() {
            let again = NewRecord::new("{\"other\":\"bytes\"}").key(key);
            let appended = journal.append(&again).expect("appends");
            let record = one.record_of(entry);
            assert!(appended.duplicate && appended.durable, "{}: {appended:?}", one.what);
            assert_eq!(
                (appended.sequence, appended.generation, appended.offset),
                (record.sequence, record.generation, record.offset),
                "{}: {key}",
                one.what
            );
        }
        let keys = one.first_of_keys();
        let batch: Vec<_> = keys.keys().map(|key| NewRecord::new("{}").key(*key)).collect();
        if !batch.is_empty() {
            let appended = journal.append_all(&batch, &AppendOptions::default()).expect("appends");
            assert!(appended.iter().all(|one| one.duplicate), "{}: {appended:?}", one.what);
        }
        assert_eq!(journal.last_sequence(), before, "{}: nothing was stored", one.what);
        journal.close().expect("closes");
    }
}

#[test]
fn a_new_entry_goes_on_where_an_imported_one_ended() {
    for one in all() {
        let Some(last) = one.last_key() else { continue };
        let before = one.path(last);
        let mut journal = one.open();
        let new = |key: &str, parent: &str| {
            let payload = format!("{{\"type\":\"message\",\"id\":\"{key}\"}}");
            NewRecord::new(payload).kind("message").key(key).parent(parent)
        };
        for (key, parent) in [("new-1", last), ("new-2", "new-1")] {
            assert!(!journal.append(&new(key, parent)).expect("appends").duplicate, "{}", one.what);
        }
        // A branch from the root, behind all of it.
        let root = before.last().expect("a root");
        journal.append(&new("new-3", root)).expect("appends");
        journal.close().expect("closes");
        let with = |new: &[&str], path: &[String]| -> Vec<String> {
            new.iter().map(ToString::to_string).chain(path.iter().cloned()).collect()
        };
        assert_eq!(one.path("new-2"), with(&["new-2", "new-1"], &before), "{}", one.what);
        assert_eq!(one.path("new-3"), with(&["new-3"], std::slice::from_ref(root)), "{}", one.what);
        // Its source is still the one that was imported, and its path what it was.
        one.bench.run(Path::new(&one.what), Outcome::Unchanged);
        assert_eq!(one.path(last), before, "{}", one.what);
    }
}
