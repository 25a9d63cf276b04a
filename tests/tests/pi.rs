//! The real pi opens what `sjournal export --format pi` writes, and builds from it the context that it
//! builds from the original.
#![allow(missing_docs, reason = "test names are sentences")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use session_journal_tests::{Pi, Program, say, skip};
use tempfile::TempDir;

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");

/// A store, and the real pi.
struct Scene {
    folder: TempDir,
    program: Program,
    pi: Pi,
}

/// A source that was imported, and its session.
struct Imported {
    source: PathBuf,
    session: String,
    damage: Vec<String>,
}

impl Scene {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        match Pi::beside(DRIVER, folder.path()) {
            Ok(pi) => Some(Self { folder, program: Program::beside(DRIVER), pi }),
            Err(why) => {
                skip(&format!("the real pi was not asked: {why}"));
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = self.program.command(arguments);
        command.env("SESSION_JOURNAL_STORE", self.path("store"));
        let output = command.output().expect("runs");
        // One is "done, with findings": damage that was left out.
        let is_well = matches!(output.status.code(), Some(0 | 1));
        assert!(is_well, "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Imports fixtures; gives the transcripts.
    fn import(&self, fixtures: &Path) -> Vec<Imported> {
        let said = self.run(&["--json", "import", fixtures.to_str().expect("text")]);
        let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
        lines.filter(|line| line["role"] == "transcript").map(|line| Imported::of(&line)).collect()
    }

    fn clean(&self, session: &str, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, self.run(&["export", session, "--format", "pi"])).expect("writes");
        path
    }
}

impl Imported {
    fn of(line: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let damage = line["damage"].as_array().expect("a list");
        Self {
            source: text(&line["source"]).into(),
            session: text(&line["session"]),
            damage: damage.iter().map(|one| text(&one["what"])).collect(),
        }
    }

    /// Whether pi can read the original itself: without a header first it drops the whole file.
    fn is_valid(&self) -> bool {
        !self.damage.iter().any(|what| what == "header-missing")
    }
}

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A tree with ids: versions 2 and 3. Of version 1 pi and we make the ids, each its own.
fn has_ids(original: &Value) -> bool {
    original["rewritten"] == false
}

#[test]
fn pi_builds_the_same_context_from_an_export_as_from_the_original() {
    let Some(scene) = Scene::new() else { return };
    let mut imported = scene.import(&fixtures("sessions"));
    // What OpenClaw's databases give; the headers say version 4.
    for store in ["native", "imported"] {
        imported.extend(scene.import(&fixtures("sqlite").join(store).join("rows-as-jsonl")));
    }
    let (valid, others): (Vec<_>, Vec<_>) = imported.iter().partition(|one| one.is_valid());
    assert!(valid.len() > 30, "{} valid ones", valid.len());
    for other in others {
        say(&format!("not compared, pi drops it: {} {:?}", other.source.display(), other.damage));
    }
    let (mut originals, mut exports) = (Vec::new(), Vec::new());
    for (n, one) in valid.iter().enumerate() {
        let copy = scene.path(&format!("original-{n}.jsonl"));
        fs::copy(&one.source, &copy).expect("copies");
        originals.push(copy);
        exports.push(scene.clean(&one.session, &format!("export-{n}.jsonl")));
    }
    let (originals, exports) = (scene.pi.opens(&originals), scene.pi.opens(&exports));
    let (mut with_ids, mut messages) = (0, 0);
    for ((one, original), export) in valid.iter().zip(&originals).zip(&exports) {
        let name = one.source.display();
        assert_eq!(original["context"], export["context"], "{name}");
        messages += original["context"]["messages"].as_array().map_or(0, Vec::len);
        assert_eq!(original["name"], export["name"], "{name}");
        assert_eq!(export["rewritten"], false, "{name}: pi takes it as it is");
        if has_ids(original) {
            with_ids += 1;
            let same = ["session", "leaf"].map(|field| original[field] == export[field]);
            assert_eq!(same, [true; 2], "{name}");
        }
    }
    let sessions = valid.len();
    say(&format!("{sessions} sessions compared, {messages} messages, {with_ids} with their ids"));
    assert!(with_ids > 20 && messages > 300, "{with_ids} with ids, {messages} messages");
}

#[test]
fn pi_goes_on_with_a_session_that_was_appended_to_here() {
    let Some(scene) = Scene::new() else { return };
    let imported = scene.import(&fixtures("sessions/pi-0.73.1/small-chat.jsonl"));
    let [one] = &imported[..] else { panic!("one session") };
    let copy = scene.path("original.jsonl");
    fs::copy(&one.source, &copy).expect("copies");
    let before = scene.pi.opens(&[copy]).remove(0);
    let message =
        json!({ "role": "user", "content": "and then?", "timestamp": 1_779_354_600_000_u64 });
    let line = json!({
        "type": "message", "id": "a0b1c2d3", "parentId": before["leaf"],
        "timestamp": "2026-05-21T09:10:00.000Z", "message": message,
    });
    let input = scene.path("line.jsonl");
    fs::write(&input, format!("{line}\n")).expect("writes");
    let mut append = scene.program.command(&["append", &one.session]);
    append.env("SESSION_JOURNAL_STORE", scene.path("store"));
    let done = append.stdin(fs::File::open(&input).expect("opens")).output().expect("runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let after = scene.pi.opens(&[scene.clean(&one.session, "after.jsonl")]).remove(0);
    assert_eq!(after["leaf"], "a0b1c2d3");
    let mut expected = before["context"].clone();
    expected["messages"].as_array_mut().expect("a list").push(message);
    assert_eq!(after["context"], expected);
}

#[test]
fn pi_opens_every_damaged_session_once_its_damage_is_left_out() {
    let Some(scene) = Scene::new() else { return };
    let imported = scene.import(&fixtures("damaged"));
    let mut exports = Vec::new();
    for (n, one) in imported.iter().enumerate() {
        let export = scene.clean(&one.session, &format!("export-{n}.jsonl"));
        // Of nothing nothing can be made.
        if fs::metadata(&export).expect("is there").len() > 0 {
            exports.push(export);
        }
    }
    let lines = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("text");
        text.lines().count() - 1
    };
    let written: Vec<_> = exports.iter().map(lines).collect();
    let opened = scene.pi.opens(&exports);
    for ((opened, written), export) in opened.iter().zip(written).zip(&exports) {
        let entries = opened["entries"].as_array().expect("a list").len();
        assert_eq!(entries, written, "{}: pi sees every entry", export.display());
        assert_eq!(opened["rewritten"], false, "{}", export.display());
    }
    assert!(exports.len() > 30, "{} sessions", exports.len());
}
