//! Clean pi lines: every fixture becomes a file that pi takes as it is, and nothing sound is lost.

mod support;

use std::fs;

use proptest::prelude::*;
use serde_json::Value;
use session_journal_import::{Cleaned, Damage, Object, write_clean};
use support::{Bench, fixtures, fixtures_folder};

/// A line; not as a value, for JSON can spell more than one can hold.
struct Line(String);

impl Line {
    fn raw(&self, name: &str) -> Option<&str> {
        Object::parse(self.0.as_bytes()).expect("an object").raw(name)
    }

    fn text(&self, name: &str) -> Option<String> {
        Object::parse(self.0.as_bytes()).expect("an object").text(name)
    }
}

fn clean(bench: &Bench, session: &str) -> (Vec<Line>, Cleaned) {
    let mut bytes = Vec::new();
    let reader = bench.reader(session);
    let done = write_clean(&reader, &mut bytes, &mut |_| true).expect("writes");
    assert_eq!(done.bytes, bytes.len() as u64);
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    // Split at line feeds only: other line ends of Unicode stand within lines.
    let lines = text.split_terminator('\n').map(|line| Line(line.to_owned()));
    (lines.collect(), done)
}

fn import(bench: &Bench, path: &std::path::Path) -> String {
    let report = bench.import().run_file(path);
    report.session.expect("a session").to_string()
}

fn clean_text(text: &str) -> (Vec<Line>, Cleaned) {
    let bench = Bench::new();
    let path = bench.write("x.jsonl", text);
    let session = import(&bench, &path);
    clean(&bench, &session)
}

#[test]
fn every_fixture_becomes_one_header_and_entries_with_ids() {
    let bench = Bench::new();
    let mut cleaned = 0;
    for path in [fixtures("sessions"), fixtures("damaged")].concat() {
        let is_lines = path.extension().is_some_and(|extension| extension == "jsonl");
        let is_trace = path.to_string_lossy().contains("trajectory");
        if !is_lines || is_trace {
            continue;
        }
        let session = import(&bench, &path);
        let (lines, _) = clean(&bench, &session);
        let Some((header, entries)) = lines.split_first() else { continue };
        assert_eq!(header.text("type").as_deref(), Some("session"), "{}", path.display());
        assert_eq!(header.raw("version"), Some("3"), "{}", path.display());
        assert!(header.text("id").is_some() && header.text("timestamp").is_some());
        for entry in entries {
            assert_ne!(entry.text("type").as_deref(), Some("session"), "{}", path.display());
            assert!(entry.text("id").is_some(), "{}: {}", path.display(), entry.0);
        }
        cleaned += 1;
    }
    assert!(cleaned > 70, "{cleaned}");
}

#[test]
fn a_sound_session_of_version_3_comes_back_byte_for_byte() {
    let bench = Bench::new();
    for name in ["small-chat", "branched-tree", "compaction", "labels-custom", "unicode", "images"]
    {
        let path = fixtures_folder("sessions/pi-0.73.1").join(format!("{name}.jsonl"));
        let reader = bench.reader(&import(&bench, &path));
        let mut bytes = Vec::new();
        let done = write_clean(&reader, &mut bytes, &mut |_| true).expect("writes");
        assert_eq!(done.damage, [], "{name}");
        assert!(bytes == fs::read(&path).expect("reads"), "{name}");
    }
}

/// Every whole line of a damaged file that is an entry stays, and what is left out is named.
#[test]
fn only_damage_is_left_out() {
    let manifest = fs::read(fixtures_folder("damaged/MANIFEST.json")).expect("reads");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let bench = Bench::new();
    for file in manifest["files"].as_array().expect("a list") {
        let Some(parts) = file["parts"].as_array() else { continue };
        let name = file["path"].as_str().expect("text");
        if name == "header/no-version.jsonl" {
            // It says that it is of version 1, and is migrated like one.
            continue;
        }
        let session = import(&bench, &fixtures_folder("damaged").join(name));
        let (lines, done) = clean(&bench, &session);
        let entries = parts.iter().filter(|part| part[2] == "entry").count();
        // One bad character is replaced, as pi does; what was cut within one is gone.
        let mended = usize::from(name.starts_with("encoding/"));
        let left_out = ["broken", "bad-utf8", "nul", "blank"];
        let is_out = |part: &&Value| left_out.contains(&part[2].as_str().expect("text"));
        let out = parts.iter().filter(is_out).count() as u64;
        assert_eq!(lines.len().saturating_sub(1), entries + mended, "{name}");
        // A header is told beside, and a circle is cut in a line that stays.
        let is_line = |damage: &&Damage| {
            let what = damage.what.as_str();
            !what.starts_with("header") && what != "circle"
        };
        let named = done.damage.iter().filter(is_line);
        assert_eq!(named.map(|damage| damage.count).sum::<u64>(), out, "{name}: {:?}", done.damage);
    }
}

#[test]
fn version_1_gets_ids_parents_and_a_kept_entry() {
    let text = "{\"type\":\"session\",\"id\":\"s\",\"timestamp\":\"t\",\"cwd\":\"/w\"}\n\
        {\"type\":\"message\",\"timestamp\":\"t\",\"message\":{\"role\":\"user\"}}\n\
        {\"type\":\"message\",\"timestamp\":\"t\",\"message\":{\"role\":\"hookMessage\"}}\n\
        {\"type\":\"compaction\",\"timestamp\":\"t\",\"summary\":\"x\",\"firstKeptEntryIndex\":2}\n";
    let (lines, done) = clean_text(text);
    assert_eq!(done.damage, []);
    assert_eq!(lines[0].raw("version"), Some("3"));
    let ids = |at: usize| (lines[at].text("id").expect("an id"), lines[at].text("parentId"));
    assert_eq!(ids(1), ("00000001".to_owned(), None));
    assert_eq!(ids(2), ("00000002".to_owned(), Some("00000001".to_owned())));
    assert_eq!(lines[2].raw("message"), Some("{\"role\":\"custom\"}"));
    assert_eq!(lines[3].text("firstKeptEntryId").as_deref(), Some("00000002"));
}

#[test]
fn a_session_without_header_gets_one_and_circles_are_cut() {
    let text = "{\"type\":\"message\",\"id\":\"a\",\"parentId\":\"a\",\"timestamp\":\"t\",\"message\":{}}\n\
        {\"type\":\"message\",\"id\":\"b\",\"parentId\":\"a\",\"timestamp\":\"t\",\"message\":{}}\n";
    let (lines, done) = clean_text(text);
    assert_eq!((lines.len(), lines[0].text("id").as_deref()), (3, Some("x")));
    let parents = (lines[1].raw("parentId"), lines[2].raw("parentId"));
    assert_eq!(parents, (Some("null"), Some("\"a\"")));
    let told: Vec<_> = done.damage.iter().map(|damage| damage.what.as_str()).collect();
    assert_eq!(told, ["header-missing", "circle"]);
}

#[test]
fn what_was_appended_here_is_in_it() {
    let bench = Bench::new();
    let path = fixtures_folder("sessions/pi-0.73.1/minimal.jsonl");
    let session = import(&bench, &path);
    bench
        .append(&session, "{\"type\":\"message\",\"id\":\"new\",\"parentId\":null,\"message\":{}}");
    let (lines, done) = clean(&bench, &session);
    assert_eq!(lines.last().and_then(|line| line.text("id")).as_deref(), Some("new"));
    assert_eq!(done.damage, []);
}

#[test]
fn other_programs_sessions_are_refused_and_told_how() {
    let bench = Bench::new();
    let path = bench.write("c.jsonl", "{\"type\":\"user\",\"uuid\":\"u\",\"parentUuid\":null}\n");
    let session = import(&bench, &path);
    let error = write_clean(&bench.reader(&session), &mut Vec::new(), &mut |_| true);
    let error = error.expect_err("it is refused").to_string();
    assert!(error.contains("claude-code") && error.contains("--format original"), "{error}");
}

/// Pieces of lines as pi writes them, of all versions, in any order and broken anywhere.
fn pieces() -> impl Strategy<Value = String> {
    let id = prop_oneof![Just("a"), Just("b"), Just("c"), Just("\\ud800")];
    let entry = (id.clone(), prop::option::of(id), any::<bool>()).prop_map(|(id, parent, is_old)| {
        let parent = parent.map_or("null".to_owned(), |parent| format!("\"{parent}\""));
        let role = if is_old { "hookMessage" } else { "user" };
        format!(
            "{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":{parent},\"message\":{{\"role\":\"{role}\"}}}}\n"
        )
    });
    let compaction =
        (0..9u8).prop_map(|n| format!("{{\"type\":\"compaction\",\"firstKeptEntryIndex\":{n}}}\n"));
    let header = prop_oneof![
        Just(""),
        Just(",\"version\":2"),
        Just(",\"version\":3"),
        Just(",\"version\":\"x\"")
    ];
    let header =
        header.prop_map(|version| format!("{{\"type\":\"session\"{version},\"id\":\"s\"}}\n"));
    let piece = prop_oneof![
        6 => entry,
        1 => compaction,
        1 => header,
        1 => Just("{}\n{\"type\":7}\nnull\n\u{feff}{\"type\":\"x\"}\r\n".to_owned()),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is in it: one header, entries with ids, and no entry comes from itself.
    #[test]
    fn any_session_becomes_lines_that_pi_can_walk(text in pieces()) {
        let (lines, _) = clean_text(&text);
        let Some((header, entries)) = lines.split_first() else { return Ok(()) };
        prop_assert_eq!(header.raw("type"), Some("\"session\""));
        prop_assert_eq!(header.raw("version"), Some("3"));
        let mut parent_of = std::collections::HashMap::new();
        for entry in entries {
            prop_assert_ne!(entry.raw("type"), Some("\"session\""));
            let id = entry.raw("id").map(str::to_owned);
            prop_assert!(id.is_some(), "{}", entry.0);
            parent_of.insert(id, entry.raw("parentId").map(str::to_owned));
        }
        for entry in entries {
            let mut at = entry.raw("id").map(str::to_owned);
            for step in 0.. {
                prop_assert!(step <= parent_of.len(), "a circle at {}", entry.0);
                match parent_of.get(&at) {
                    None => break,
                    Some(parent) => at.clone_from(parent),
                }
            }
        }
    }
}
