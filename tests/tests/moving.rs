//! Imports beside programs that write to their sources as they please, and that are killed: what is
//! stored is whole at any time, and when the writers rest it converges.
#![allow(missing_docs, reason = "test names are sentences")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use session_journal_tests::{Chance, Program, rounds, say};
use tempfile::TempDir;

const DRIVER: &str = env!("CARGO_BIN_EXE_driver");
const FILES: u64 = 12;

struct Scene {
    folder: TempDir,
    program: Program,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().expect("a folder"),
            program: Program::beside(DRIVER),
        };
        fs::create_dir_all(scene.sources()).expect("makes folders");
        for n in 0..FILES {
            fs::write(scene.source(n), line(n, 0)).expect("writes");
        }
        scene
    }

    fn sources(&self) -> PathBuf {
        self.folder.path().join("in/agents/main/sessions")
    }

    fn source(&self, n: u64) -> PathBuf {
        self.sources().join(format!("s{n}.jsonl"))
    }

    fn start(&self, arguments: &[&str], said: &str) -> Child {
        let mut command = self.program.command(arguments);
        let store = self.folder.path().join("store");
        command.env("SESSION_JOURNAL_STORE", store).current_dir(self.folder.path());
        let file = |end: &str| {
            File::create(self.folder.path().join(format!("{said}{end}"))).expect("a file")
        };
        command.stdin(Stdio::null()).stdout(file("")).stderr(file(".errors"));
        command.spawn().expect("starts")
    }

    /// Runs it to its end; gives what it said.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
        let status = self.start(arguments, "said").wait().expect("ends");
        let said = fs::read_to_string(self.folder.path().join("said")).expect("reads");
        let lines = said.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        (status.code(), lines.collect())
    }

    /// Every journal verifies, whoever was killed in the middle of what.
    fn is_sound(&self) {
        let (code, said) = self.run(&["--json", "verify", "--all"]);
        assert_eq!(code, Some(0), "{said:?}");
    }

    fn export(&self, session: &str) -> Vec<u8> {
        let mut command = self.program.command(&["export", session]);
        command.env("SESSION_JOURNAL_STORE", self.folder.path().join("store"));
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The second run has nothing to do, and every source is the session that its outcome names.
    fn converges(&self) {
        let (code, said) = self.run(&["--json", "import", "in"]);
        assert_eq!(code, Some(0), "{said:?}");
        let (code, said) = self.run(&["--json", "import", "--verify", "in"]);
        let (summary, sources) = said.split_last().expect("a summary");
        assert_eq!(code, Some(0), "{said:?}");
        assert_eq!(summary["unchanged"], FILES, "{said:?}");
        assert_eq!(summary["verified"], FILES, "{said:?}");
        let mut session_of = BTreeMap::new();
        for one in sources {
            let text = |field: &str| one[field].as_str().expect("text").to_owned();
            let before = session_of.insert(text("session"), text("source"));
            assert_eq!(before, None, "a session each");
            let source = fs::read(self.folder.path().join(text("source"))).expect("reads");
            assert!(self.export(&text("session")) == source, "{one}");
        }
    }
}

fn line(file: u64, n: u64) -> String {
    let text = "x".repeat(usize::try_from(n % 300).expect("small"));
    format!("{{\"type\":\"message\",\"id\":\"{file}-{n}\",\"text\":\"{text}\"}}\n")
}

/// What a program does to its file.
fn disturb(path: &Path, file: u64, n: u64, kind: u64) {
    let line = line(file, n);
    let append = |bytes: &[u8]| {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("opens");
        file.write_all(bytes).expect("writes");
    };
    match kind {
        // A line in two halves, which somebody may see.
        0..=2 => {
            let (begin, rest) = line.split_at(line.len() / 2);
            append(begin.as_bytes());
            thread::yield_now();
            append(rest.as_bytes());
        }
        // In place, as repairs and migrations of the programs do it.
        3 => fs::write(path, line.repeat(3)).expect("writes"),
        // Beside it, and renamed over it.
        4 => {
            let beside = path.with_extension("jsonl.lock");
            fs::write(&beside, line.repeat(2)).expect("writes");
            fs::rename(&beside, path).expect("renames");
        }
        // Cut back.
        5 => {
            let file = OpenOptions::new().write(true).open(path).expect("opens");
            let length = file.metadata().expect("is there").len();
            file.set_len(length / 2).expect("cuts");
        }
        _ => append(line.repeat(1 + usize::try_from(n % 40).expect("small")).as_bytes()),
    }
}

fn write_until(scene: &Scene, is_over: &AtomicBool, writer: u64, kinds: u64, seed: u64) {
    let mut chance = Chance::of(seed ^ writer);
    let mut n = 1;
    while !is_over.load(Ordering::Relaxed) {
        // Each writer has files of its own.
        let file = writer + 2 * chance.below(FILES / 2);
        let kind = if chance.below(6) == 0 { chance.below(kinds) } else { 6 };
        disturb(&scene.source(file), file, n, kind);
        chance.nap(3000);
        n += 1;
    }
}

/// Imports, two at a time now and then, some of them killed, while the writers write.
fn storm(test: &str, kinds: u64) {
    let scene = Scene::new();
    let mut chance = Chance::of_test("moving", test);
    let seed = chance.number();
    let is_over = AtomicBool::new(false);
    let mut kills = 0;
    thread::scope(|scope| {
        for writer in 0..2 {
            let (scene, is_over) = (&scene, &is_over);
            scope.spawn(move || write_until(scene, is_over, writer, kinds, seed));
        }
        for _ in 0..rounds(12) {
            let mut imports = vec![scene.start(&["import", "in"], "one")];
            if chance.below(3) == 0 {
                imports.push(scene.start(&["import", "in"], "two"));
            }
            for import in &mut imports {
                chance.nap(40_000);
                if chance.below(2) == 0 && import.try_wait().expect("looks").is_none() {
                    import.kill().expect("kills");
                    kills += 1;
                }
            }
            for mut import in imports {
                import.wait().expect("ends");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    say(&format!("{kills} imports were killed"));
    scene.is_sound();
    scene.converges();
}

#[test]
fn beside_writers_that_append_imports_converge_though_some_are_killed() {
    storm("beside_writers_that_append", 3);
}

#[test]
fn beside_writers_that_rewrite_imports_converge_though_some_are_killed() {
    storm("beside_writers_that_rewrite", 6);
}
